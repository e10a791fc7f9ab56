"""What an island counts, and the columns of its history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.search.operators.table import operator_columns, operator_names

Poll = Callable[[], None]


# Why a candidate was thrown away before or after its evaluation.
CAUSES = (
    "overlap",  # two atoms closer than the minimum distance
    "density",  # volume per atom or volume outside its limits
    "composition",  # counts that break the composition rule
    "size",  # number of atoms outside its limits, other sites than the island's, or a fixed atom elsewhere
    "packing",  # no place found for an atom of a random cell
    "height",  # cell thinner than the minimum perpendicular height
    "operator",  # an operator found nothing valid to do
    "repeat",  # the same structure was evaluated before
    "evaluation",  # the loss was not finite
)


COUNTERS = (
    "evaluations",  # full loss evaluations
    "gradient_evaluations",  # loss and gradient together
    "incremental",  # losses after a single flip or swap on a lattice
    "accepted_migrants",
    "accepted_seeds",
    "refreshes",
    *(f"rejected_{cause}" for cause in CAUSES),
)


# Always the first columns of a history row; the best terms and the operators' tries and successes follow.
STAT_NAMES = (
    "generation",
    *COUNTERS,
    "best_value",  # best ever found by the island
    "population_best",
    "population_median",
    "population_worst",
    "population_size",
    "diversity",
    "archive_size",
)


_COLUMN = {name: k for k, name in enumerate(COUNTERS)}


def stat_names(term_names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the columns of a history row, which is also what `island.stats` returns."""
    return (
        *STAT_NAMES,
        *(f"best_{name}" for name in term_names),
        *(f"tries_{name}" for name in operator_names()),
        *(f"successes_{name}" for name in operator_names()),
    )


def evaluations_so_far(history: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Loss evaluations of every kind up to each row of a history: plain, with gradient, incremental, each counts 1."""
    parts = [np.asarray(history[name], dtype=np.float64) for name in COUNTERS[:3] if name in history]
    return np.sum(parts, axis=0) if parts else np.zeros(len(history.get("generation", ())))


class RunCount:
    """Evaluations of all islands, from those of one of them: islands are taken to go through a generation in step.

    So the count is the same on any number of ranks, whichever island was ahead of which on the clock.

    Parameters
    ----------
    history : columns with a row per island and generation; where rows are left out, islands go in step between those
        that are there, and on after the last one
    """

    def __init__(self, history: Mapping[str, NDArray[Any]]) -> None:
        counts = evaluations_so_far(history)
        zero = np.zeros(len(counts), np.int64)
        islands = np.asarray(history.get("island", zero)).astype(np.int64)
        generations = np.asarray(history.get("generation", zero)).astype(np.int64)
        rounds = np.asarray(history.get("round", zero)).astype(np.int64)
        moments = np.unique(np.stack([rounds, generations], 1), axis=0, return_inverse=True)[1].reshape(-1) + 1
        every = np.arange(int(moments.max(initial=0)) + 1)  # moment 0: before the first generation
        self._all = np.zeros(len(every))  # of all islands at each moment
        self._islands: dict[
            int, tuple[NDArray[np.int64], NDArray[np.float64]]
        ] = {}  # moments, and evaluations up to each
        for island in np.unique(islands).tolist():
            rows = np.flatnonzero(islands == island)
            rows = rows[np.argsort(moments[rows])]
            at, own = np.concatenate([[0], moments[rows]]), np.concatenate([[0.0], counts[rows]])
            self._islands[island] = at, own
            self._all += np.interp(every, at, own)

    def __call__(self, island: int, evaluation: int) -> int:
        """Of all islands when this one had made so many; the same number where there is no history."""
        if island not in self._islands:
            return evaluation
        at, own = self._islands[island]
        k = int(np.searchsorted(own, evaluation))  # the first row by which it had made them
        if k == 0:
            return evaluation
        if k == len(own):
            return round(float(self._all[at[-1]]) + (evaluation - float(own[-1])) * len(self._islands))
        share = (evaluation - own[k - 1]) / (own[k] - own[k - 1])
        before, after = self._all[at[k - 1]], self._all[at[k]]
        return round(float(before + share * (after - before)))


@dataclass(eq=False)
class Ledger:
    """Running counts while one generation is made; `advance` freezes them into the next state.

    Mutable on purpose: every rejection must be counted where it happens, however deep.
    """

    counters: NDArray[np.int64]  # (len(COUNTERS),)
    tries: NDArray[np.int64]  # (n_operators,), in the order of `operator_names()`
    successes: NDArray[np.int64]  # (n_operators,)
    next_uid: int
    generation: int  # being made
    poll: Poll | None = None
    evaluated: Callable[[Any], None] | None = None  # told of every new individual

    def count(self, name: str, by: int = 1) -> None:
        """Add to one of COUNTERS."""
        self.counters[_COLUMN[name]] += by

    def reject(self, cause: str, by: int = 1) -> None:
        """Count a candidate thrown away for one of CAUSES."""
        self.count("rejected_" + cause, by)

    def attempt(self, operator: str, by: int = 1) -> None:
        """Count tries of an operator."""
        self.tries[operator_columns()[operator]] += by

    def success(self, operator: str, by: int = 1) -> None:
        """Count children better than their parents; what no operator made has no column."""
        column = operator_columns().get(operator)
        if column is not None:
            self.successes[column] += by

    def new_uid(self) -> int:
        """A uid that no individual of the island has had."""
        uid = self.next_uid
        self.next_uid += 1
        return uid

    @property
    def evaluations(self) -> int:
        """Loss evaluations of every kind so far: the number stored with an individual."""
        return int(self.counters[0] + self.counters[1] + self.counters[2])

    def check(self) -> None:
        """Let the caller of `advance` interrupt the generation here."""
        if self.poll is not None:
            self.poll()
