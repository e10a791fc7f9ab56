"""Rank 0's side of a round: gathers statistics, speaks verdicts, collects states to be saved.

What touches files, clock or screen is the desk's business; this room only knows what has arrived and what follows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from grs_evo.parallel.decisions import NEVER, CheckpointOptions, Decision, Pace, StopOptions, Totals, judge
from grs_evo.search.population.individual import Individual, pack
from grs_evo.structures.structure import Structure

Arrays = dict[str, NDArray[Any]]


class Recorder(Protocol):
    """What the conductor needs of the outside."""

    def totals(self, generation: int, rows: NDArray[np.float64]) -> Totals:
        """Sum up the statistics of one generation, (n_islands, n_stats)."""

    def observe(self, rows: NDArray[np.float64], decision: Decision, pace: Pace) -> None:
        """A generation is complete."""

    def halt_reason(self, heard: str) -> str:
        """Why everybody should stop now, or an empty string."""

    def new_seeds(self, made: int) -> list[tuple[int, Structure]]:
        """Structures that enter islands when generation `made` is made, as (island, structure)."""

    def save(self, generation: int, states: Sequence[Arrays], decision: Decision, final: bool) -> None:
        """Put the states of all islands, in their order, on disk."""


@dataclass(frozen=True)
class Terms:
    """What a round is conducted by."""

    n_islands: int
    n_stats: int
    generations: int | None
    delay: int
    stop: StopOptions
    checkpoint: CheckpointOptions


class Coordinator:
    """The state of rank 0's side while a round lasts.

    Parameters
    ----------
    terms : rules
    desk : the outside
    start : generation the islands are at, -1 before the first
    previous : verdict on that generation, when resuming
    """

    def __init__(self, terms: Terms, recorder: Recorder, start: int = -1, previous: Decision | None = None) -> None:
        self.terms = terms
        self.recorder = recorder
        self.pace = Pace(start, time.monotonic())
        self.halted: dict[int, int] = {}  # rank -> newest generation it completed
        self.halt_reason = ""
        self.spent: dict[int, NDArray[np.float64]] = {}  # rank -> where its time went, newest known, see `spent`
        self.final: list[Arrays] = []  # states of all islands at the end of the round
        self._rows: dict[int, NDArray[np.float64]] = {}
        self._missing: dict[int, int] = {}
        self._states: dict[int, dict[int, Arrays]] = {}
        self._spoken: dict[int, Decision] = {} if previous is None else {start: previous}
        self._next = start + 1
        self._saving = -1

    def take_stats(self, generation: int, islands: Sequence[int], rows: NDArray[np.float64]) -> None:
        """Rows of some islands at one generation."""
        table = self._rows.setdefault(generation, np.empty((self.terms.n_islands, self.terms.n_stats)))
        table[list(islands)] = rows
        self._missing[generation] = self._missing.get(generation, self.terms.n_islands) - len(islands)

    def decisions(self) -> list[tuple[Decision, Arrays]]:
        """Verdicts on the generations that have become complete, each with the seeds that go with it."""
        spoken = []
        while self._missing.get(self._next) == 0:
            spoken.append(self._speak(self._next))
            self._next += 1
        return spoken

    def _speak(self, generation: int) -> tuple[Decision, Arrays]:
        terms = self.terms
        rows = self._rows.pop(generation)
        del self._missing[generation]
        previous = self._spoken.get(generation - 1)
        decision = judge(previous, self.recorder.totals(generation, rows), terms.stop, terms.delay)
        effect = generation + terms.delay
        seeds: list[tuple[int, Structure]] = []
        if effect < self._last(decision):
            seeds = self.recorder.new_seeds(effect + 1)
            if self._saving < 0 and self.pace.due(effect, time.monotonic(), terms.checkpoint):
                self._saving = effect
                decision = replace(decision, checkpoint_at=effect)
        if seeds:
            decision = replace(decision, seeds_at=effect + 1)
        self._spoken[generation] = decision
        self._spoken.pop(generation - 3 * terms.delay - 3, None)
        self.recorder.observe(rows, decision, self.pace)
        guests = [
            Individual(structure, 0.0, np.empty(0), uid=-1, operator="seed", island=island)
            for island, structure in seeds
        ]
        return decision, pack(guests, 0) if guests else {}

    def _last(self, decision: Decision) -> int:
        return min(NEVER if self.terms.generations is None else self.terms.generations, decision.stop_at)

    def take_state(self, generation: int, island: int, arrays: Arrays) -> None:
        """The state of one island."""
        self._states.setdefault(generation, {})[island] = arrays

    def save_due(self) -> None:
        """Save the generation that was asked for, once it is all here."""
        if self._saving >= 0 and self.can_save(self._saving):
            generation, self._saving = self._saving, -1
            self._save(generation, final=False)

    def can_save(self, generation: int) -> bool:
        """Whether all states of a generation are here and the verdict on it is spoken."""
        return generation in self._spoken and len(self._states.get(generation, {})) == self.terms.n_islands

    def save_final(self, generation: int) -> None:
        """Save the last generation of the round, or the one everybody halted at."""
        self.final = [self._states[generation][island] for island in range(self.terms.n_islands)]
        self._save(generation, final=True)

    def _save(self, generation: int, final: bool) -> None:
        states = self._states.pop(generation)
        before = time.monotonic()
        ordered = [states[island] for island in range(self.terms.n_islands)]
        self.recorder.save(generation, ordered, self._spoken[generation], final)
        now = time.monotonic()
        self.pace = self.pace.saved(generation, now, now - before)

    def take_halted(self, rank: int, generation: int) -> None:
        self.halted[rank] = generation

    def tick(self, heard: str) -> bool:
        """Whether everybody should stop now; looked at often."""
        if not self.halt_reason:
            self.halt_reason = self.recorder.halt_reason(heard)
        return bool(self.halt_reason)
