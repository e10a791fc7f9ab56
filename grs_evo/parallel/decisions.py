"""When to stop, to save, and to move islands: from what is known of one generation to what all ranks do a few later.

A decision on generation g depends on the statistics of generations up to g and takes effect after generation g + delay,
so no rank waits for another, and the answer does not depend on who was faster. Only checkpoints and the ranks of
islands, which change nothing, follow the clock.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from grs_evo.options import Options
from grs_evo.parallel.topology import balanced

NEVER = 1 << 62
REASONS = ("", "generations", "evaluations", "loss", "stagnation", "seconds", "round")
_DECISION_LENGTH = 7
# Islands are moved when the rank with most work is relieved by this share of the ranks' mean, and as much more as a
# mean over few generations is uncertain; what is older than so many generations counts less and less.
_WORTH = 0.01
_UNCERTAIN = 0.1
_REMEMBERED = 20
# Moves even out what the ranks have done so far where those between two decisions take so long together; where they are
# shorter, a move takes more than it saves, and the ranks' work of one generation is made even, now and then.
_LONG = 0.25  # s
_MOVE = 5e-3  # s, of an island with a long history
_LOOK = 1.0  # s
_SHARE = 0.02  # of rank 0's time that goes into this, at most


class StopOptions(Options):
    """When the search ends; the first rule that holds wins. All but `seconds` give the same end on every machine."""

    generations: int | None = Field(
        default=200, ge=0, description="generations per round; null: as many as the other rules allow [1]"
    )
    evaluations: int | None = Field(
        default=None, ge=1, description="loss evaluations of every kind, all islands together [1]"
    )
    loss: float | None = Field(default=None, description="a value (V_eff) at or below this is good enough [1]")
    stagnation: int | None = Field(
        default=None, ge=1, description="generations without a better value on any island [1]"
    )
    floor: bool | None = Field(
        default=None,
        description="stop where a lower loss would only follow the sample: at 7 % of the floor, the loss by which two"
        " halves of the target differ; default: where one cell is sought, there is a floor and `loss` is not given",
        json_schema_extra={"written": "when given"},
    )
    seconds: float | None = Field(default=None, gt=0, description="time spent, all sessions of the run together [s]")


class CheckpointOptions(Options):
    """How often the state is saved, and what that may cost."""

    generations: int | None = Field(default=None, ge=1, description="generations between two checkpoints [1]")
    seconds: float | None = Field(default=60.0, gt=0, description="time between two checkpoints [s]")
    keep: int = Field(default=3, ge=2, le=1000, description="newest checkpoints kept [1]")
    max_cost: float = Field(
        default=0.02,
        gt=0,
        le=1,
        description="largest share of the time spent on saving; intervals stretch to hold it [1]",
    )


@dataclass(frozen=True)
class Decision:
    """What is decided once generation `generation` is known; (7,) float64 on its way to the ranks."""

    generation: int
    best: float = np.inf  # lowest value any island has found so far
    improved: int = 0  # generation of the last improvement
    stop_at: int = NEVER  # last generation of the round
    reason: str = ""
    checkpoint_at: int = -1  # generation to be saved, or -1
    seeds_at: int = -1  # generation whose making takes in new seeds, or -1

    def to_array(self) -> NDArray[np.float64]:
        reason = REASONS.index(self.reason)
        stop = float(self.stop_at if self.stop_at < NEVER else -1)
        return np.array(
            [self.generation, self.best, self.improved, stop, reason, self.checkpoint_at, self.seeds_at], np.float64
        )

    @staticmethod
    def from_array(row: NDArray[Any]) -> Decision:
        if row.shape != (_DECISION_LENGTH,):
            raise ValueError(f"a decision has {_DECISION_LENGTH} numbers, not {row.shape}")
        stop = int(row[3]) if row[3] >= 0 else NEVER
        return Decision(int(row[0]), float(row[1]), int(row[2]), stop, REASONS[int(row[4])], int(row[5]), int(row[6]))


@dataclass(frozen=True)
class Totals:
    """Statistics of one generation over all islands."""

    generation: int
    best: float
    evaluations: float


def judge(previous: Decision | None, totals: Totals, stop: StopOptions, delay: int) -> Decision:
    """The decision on a generation; a pure function of statistics, so that it is the same on every machine.

    Parameters
    ----------
    previous : decision on the generation before, None at the start of a round
    totals : of that generation
    stop : rules
    delay : generations until a decision takes effect, at least 1
    """
    g = totals.generation
    if previous is None:
        decision = Decision(g, totals.best, g)
    elif totals.best < previous.best:
        decision = Decision(g, totals.best, g, previous.stop_at, previous.reason)
    else:
        decision = Decision(g, previous.best, previous.improved, previous.stop_at, previous.reason)
    if decision.stop_at < NEVER:
        return decision
    reason = ""
    if stop.loss is not None and decision.best <= stop.loss:
        reason = "loss"
    elif stop.evaluations is not None and totals.evaluations >= stop.evaluations:
        reason = "evaluations"
    elif stop.stagnation is not None and g - decision.improved >= stop.stagnation:
        reason = "stagnation"
    if reason:
        return replace(decision, stop_at=g + delay, reason=reason)
    return decision


@dataclass(frozen=True)
class Pace:
    """When the last checkpoint was, and what saving has cost."""

    generation: int  # last one saved, or to be saved
    clock: float  # s, when the last save ended
    last_cost: float = 0.0  # s
    total_cost: float = 0.0  # s, this session
    n_saved: int = 0

    def due(self, generation: int, now: float, options: CheckpointOptions) -> bool:
        """Whether `generation`, soon to be reached, should be saved."""
        by_count = options.generations is not None and generation - self.generation >= options.generations
        by_time = options.seconds is not None and now - self.clock >= options.seconds
        affordable = (now - self.clock) * options.max_cost >= self.last_cost * (1.0 - options.max_cost)
        return generation > self.generation and (by_count or by_time) and affordable

    def saved(self, generation: int, now: float, cost: float) -> Pace:
        return Pace(generation, now, cost, self.total_cost + cost, self.n_saved + 1)


class Balance:
    """Which rank computes which island, by the processor time that each takes; only rank 0 has one.

    Parameters
    ----------
    owner : (n_islands,) the rank that each island has
    n_ranks : of the run
    seconds : (n_islands,) processor time of a generation of each, as far as is known; before anything was measured in
        any unit
    n_measured : generations in which it was measured
    """

    def __init__(
        self, owner: NDArray[np.int32], n_ranks: int, seconds: NDArray[np.float64], n_measured: int = 0
    ) -> None:
        self.owner = owner
        self.n_ranks = n_ranks
        self.n_moved = 0  # islands, so far
        self._seconds = np.asarray(seconds, np.float64).copy()
        self._n_measured = n_measured
        self._ahead = np.zeros(n_ranks)  # s of processor time that each rank has had more than the mean
        self._effect = 0  # generation after which the newest move takes place
        self._before = owner  # the ranks up to then
        self._looked = time.monotonic()
        self._pause = 0.0  # s until the next look, so that looking takes a small share of the time

    def begin_round(self) -> None:
        """Generations are counted from 0 again, and no move is under way."""
        self._effect = 0

    @property
    def seconds(self) -> NDArray[np.float64] | None:
        """(n_islands,) processor time of a generation; None: none was measured yet."""
        return self._seconds if self._n_measured else None

    def take(self, generation: int, seconds: NDArray[np.float64]) -> None:
        """(n_islands,) processor time of one generation after the other; the first one also loads compiled code."""
        if generation == 0:
            return
        self._n_measured += 1
        self._seconds += (seconds - self._seconds) / min(self._n_measured, _REMEMBERED)
        owner = self.owner if generation > self._effect else self._before
        load = np.bincount(owner, seconds, self.n_ranks)
        # whoever is ahead by a generation waits for the others
        self._ahead = (self._ahead + load - load.mean()).clip(-load.mean(), load.mean())

    def moves(self, generation: int, effect: int) -> NDArray[np.int32]:
        """(n, 2) islands and their new ranks, after generation `effect`; called when `generation` is complete."""
        none = np.empty((0, 2), np.int32)
        if self.n_ranks == 1 or not self._n_measured or generation <= self._effect:
            return none
        load = np.bincount(self.owner, self._seconds, self.n_ranks)
        mean, window = float(load.mean()), effect - generation + 1
        is_long, begun = mean * window >= _LONG, time.monotonic()
        if begun - self._looked < (self._pause if is_long else max(self._pause, _LOOK)):
            return none
        ahead = np.zeros(self.n_ranks)
        if is_long:
            ahead = (self._ahead + (effect - generation) * (load - mean)).clip(-mean, mean) / window
        owner = balanced(self._seconds, self.n_ranks, self.owner, ahead)
        self._looked = time.monotonic()
        self._pause = (self._looked - begun) / _SHARE
        islands = np.flatnonzero(owner != self.owner)
        relieved = (load + ahead).max() - (np.bincount(owner, self._seconds, self.n_ranks) + ahead).max()
        least = (_WORTH + _UNCERTAIN / min(self._n_measured, _REMEMBERED)) * mean
        horizon = window if is_long else _REMEMBERED
        if relieved < max(least, 2.0 * _MOVE * len(islands) / self.n_ranks / horizon):
            return none
        self._before, self.owner, self._effect = self.owner, owner, effect
        self.n_moved += len(islands)
        return np.column_stack([islands, owner[islands]]).astype(np.int32)
