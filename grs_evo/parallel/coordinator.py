"""Rank 0's side of a round: gathers statistics, decides, collects states to be saved.

What touches files, clock or screen is left to its hooks; this module only knows what has arrived and what follows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from grs_evo.parallel.decisions import NEVER, Balance, CheckpointOptions, Decision, Pace, StopOptions, Totals, judge
from grs_evo.search.population.individual import Individual, pack, unpack
from grs_evo.structures.structure import Structure

Arrays = dict[str, NDArray[Any]]


class Hooks(Protocol):
    """What the coordinator asks of the program around it; `driver.recorder` provides it."""

    def totals(self, generation: int, rows: NDArray[np.float64]) -> Totals:
        """Sum up the statistics of one generation, (n_islands, n_stats)."""

    def observe(self, rows: NDArray[np.float64], decision: Decision, pace: Pace) -> None:
        """A generation is complete."""

    def halt_reason(self, heard: str) -> str:
        """Why all ranks should stop now, or an empty string."""

    def new_seeds(self, made: int) -> list[tuple[int, Structure]]:
        """Structures that enter islands when generation `made` is made, as (island, structure)."""

    def save(self, generation: int, states: Sequence[Arrays], decision: Decision, final: bool) -> None:
        """Put the states of all islands, in their order, on disk."""

    def save_shards(self, generation: int, parts: Sequence[Arrays], decision: Decision, final: bool) -> None:
        """The states of all islands are on disk, as `worker.IslandFunctions.shard` tells of each part: name them."""

    def save_first(self, evaluated: int, individuals: Sequence[Individual]) -> None:
        """Generation 0 was not completed: put on disk what there is of it."""


@dataclass(frozen=True)
class RoundRules:
    """What decides when a round saves and ends."""

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
    rules : when to save and to end
    hooks : files, clock and screen
    balance : which rank computes which island
    start : generation the islands are at, -1 before the first
    previous : decision on that generation, when resuming
    """

    def __init__(
        self, rules: RoundRules, hooks: Hooks, balance: Balance, start: int = -1, previous: Decision | None = None
    ) -> None:
        self.rules = rules
        self.hooks = hooks
        self.balance = balance
        self.pace = Pace(start, time.monotonic())
        self.halted: dict[int, int] = {}  # rank -> newest generation it completed
        self.halt_reason = ""
        self.times: dict[int, NDArray[np.float64]] = {}  # rank -> where its time went, newest known, see `timing`
        self.final: list[Arrays] = []  # states of all islands at the end of the round
        self._rows: dict[int, NDArray[np.float64]] = {}
        self._seconds: dict[int, NDArray[np.float64]] = {}
        self._missing: dict[int, int] = {}
        self._states: dict[int, dict[int, Arrays]] = {}
        self._shards: dict[int, list[Arrays]] = {}  # of the newest generation saved, and of those that are to be
        self._decisions: dict[int, Decision] = {} if previous is None else {start: previous}
        self._next = start + 1
        self._saving = -1
        self._first: dict[int, Arrays] = {}  # rank -> what it has of generation 0, when halted

    def take_stats(self, generation: int, told: Arrays) -> None:
        """What some ranks tell of one generation.

        Parameters
        ----------
        told : "ranks" and "times", where the time of each goes; "islands", "rows" and "seconds", each one's statistics
            and the processor time that it took for this generation
        """
        self.times.update(zip(told["ranks"].tolist(), told["times"], strict=True))
        n, islands = self.rules.n_islands, told["islands"]
        self._rows.setdefault(generation, np.empty((n, self.rules.n_stats)))[islands] = told["rows"]
        self._seconds.setdefault(generation, np.empty(n))[islands] = told["seconds"]
        self._missing[generation] = self._missing.get(generation, n) - len(islands)

    def decisions(self) -> list[tuple[Decision, Arrays]]:
        """Decisions on the generations that have become complete, each with the seeds and moves that go with it."""
        decided = []
        while self._missing.get(self._next) == 0:
            decided.append(self._decide(self._next))
            self._next += 1
        return decided

    def _decide(self, generation: int) -> tuple[Decision, Arrays]:
        rules = self.rules
        rows = self._rows.pop(generation)
        self.balance.take(generation, self._seconds.pop(generation))
        del self._missing[generation]
        previous = self._decisions.get(generation - 1)
        decision = judge(previous, self.hooks.totals(generation, rows), rules.stop, rules.delay)
        effect = generation + rules.delay
        seeds: list[tuple[int, Structure]] = []
        columns: Arrays = {}
        if effect < self._last(decision):
            seeds = self.hooks.new_seeds(effect + 1)
            if self._saving < 0 and self.pace.due(effect, time.monotonic(), rules.checkpoint):
                self._saving = effect
                decision = replace(decision, checkpoint_at=effect)
            moves = self.balance.moves(generation, effect)
            if len(moves):
                columns["moves"] = moves
        if seeds:
            decision = replace(decision, seeds_at=effect + 1)
        self._decisions[generation] = decision
        self._decisions.pop(generation - 3 * rules.delay - 3, None)
        self.hooks.observe(rows, decision, self.pace)
        guests = [
            Individual(structure, 0.0, np.empty(0), uid=-1, operator="seed", island=island)
            for island, structure in seeds
        ]
        return decision, {**columns, **(pack(guests, 0) if guests else {})}

    def _last(self, decision: Decision) -> int:
        return min(NEVER if self.rules.generations is None else self.rules.generations, decision.stop_at)

    def take_state(self, generation: int, island: int, arrays: Arrays) -> None:
        """The state of one island."""
        self._states.setdefault(generation, {})[island] = arrays

    def take_shard(self, generation: int, told: Arrays) -> None:
        """Ranks have written the states of their islands; each does so once for a generation."""
        self._shards.setdefault(generation, []).append(told)

    def save_due(self) -> None:
        """Save the generation that is due, once all its states are here; none where a halt saves one as new anyway.

        Ranks then send states once more, maybe of the same generation: to save it now would take the first ones away.
        """
        if self._saving >= 0 and not self.halt_reason and self.can_save(self._saving):
            generation, self._saving = self._saving, -1
            self._save(generation, final=False)

    def can_save(self, generation: int) -> bool:
        """Whether all states of a generation are here and the decision on it is made."""
        written = sum(len(told["islands"]) for told in self._shards.get(generation, []))
        n_here = len(self._states.get(generation, {})) + written
        return generation in self._decisions and n_here == self.rules.n_islands

    def save_final(self, generation: int) -> None:
        """Save the last generation of the round, or the one that all ranks have when halted."""
        self._save(generation, final=True)

    def _save(self, generation: int, final: bool) -> None:
        decision, before, seconds = self._decisions[generation], time.monotonic(), 0.0
        if generation in self._shards:
            # kept, since the last generation that all ranks have may be this one, should they be halted now
            self._shards = {g: parts for g, parts in self._shards.items() if g >= generation}
            parts = self._shards[generation]
            seconds = max(float(told["seconds"].max()) for told in parts)
            self.hooks.save_shards(generation, parts, decision, final)
        else:
            states = self._states.pop(generation)
            ordered = [states[island] for island in range(self.rules.n_islands)]
            self.final = ordered if final else []
            self.hooks.save(generation, ordered, decision, final)
        now = time.monotonic()
        self.pace = self.pace.saved(generation, now, now - before + seconds)

    def take_halted(self, rank: int, generation: int, arrays: Arrays) -> None:
        """A rank gave up the generation under way; `generation` is the newest it completed.

        Parameters
        ----------
        arrays : see `worker.Worker.halted`
        """
        self.halted[rank] = generation
        self._first[rank] = arrays

    def save_first(self) -> None:
        """Save what all ranks together have of generation 0."""
        parts = [self._first[rank] for rank in sorted(self._first)]
        evaluated = sum(int(part["numbers"][2]) for part in parts)
        self.hooks.save_first(evaluated, [one for part in parts for one in unpack(part)])

    def tick(self, heard: str) -> bool:
        """Whether all ranks should stop now; called often."""
        if not self.halt_reason:
            self.halt_reason = self.hooks.halt_reason(heard)
        return bool(self.halt_reason)
