"""Selection of parents and survivors. The only module that knows deap, and of it only what draws no random numbers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Rows that are compared with others at once.
_ROWS = 256


class _Point:
    """What deap sorts: its fitness holds weighted values and takes a crowding distance."""

    __slots__ = ("fitness", "index")

    def __init__(self, fitness: Any, index: int) -> None:
        self.fitness = fitness
        self.index = index


def pick(rng: np.random.Generator, scores: Sequence[float], tournament: int) -> int:
    """Index of the best of `tournament` contestants drawn with replacement; lower score, then lower index wins."""
    n = len(scores)
    winner = int(rng.random() * n)
    for _ in range(tournament - 1):
        other = int(rng.random() * n)
        if scores[other] < scores[winner] or (scores[other] == scores[winner] and other < winner):
            winner = other
    return winner


def survivors(objectives: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """NSGA-II: indices of the `count` that stay, by front and then by crowding, best first.

    Parameters
    ----------
    objectives : (n, n_objectives), all minimised, finite
    """
    ranks, crowding = fronts(objectives)
    order = np.lexsort((np.arange(len(objectives)), -crowding, ranks))
    return order[:count]


def preference(objectives: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) one score per row, the lower the better, that orders as NSGA-II's crowded comparison does."""
    order = survivors(objectives, len(objectives))
    scores = np.empty(len(objectives))
    scores[order] = np.arange(len(objectives))
    return scores


def fronts(objectives: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Front number (0 is not dominated) and crowding distance of each row.

    The distances are deap's; equal rows share a front, and the order of rows does not matter.
    For the first front alone there is `archive.dominated`.
    """
    from deap.base import Fitness
    from deap.tools.emo import assignCrowdingDist

    n, n_objectives = objectives.shape
    kind = type("Loss", (Fitness,), {"weights": (-1.0,) * n_objectives})
    points = [_Point(kind(tuple(row)), k) for k, row in enumerate(objectives.tolist())]
    ranks = front_numbers(objectives)
    crowding = np.zeros(n)
    order = np.argsort(ranks, kind="stable")
    for same in np.split(order, np.flatnonzero(np.diff(ranks[order])) + 1):
        front = [points[k] for k in same.tolist()]
        assignCrowdingDist(front)
        crowding[same] = [point.fitness.crowding_dist for point in front]
    return ranks, crowding


def front_numbers(objectives: NDArray[np.float64]) -> NDArray[np.int64]:
    """(n,) the front of each row: 0 is not dominated, 1 only by rows of front 0, and so on; equal rows share a front.

    In lexicographic order whatever dominates a row stands before it. With two objectives it does so if it is no worse
    in the second, so that the least second objective of each front, which grows with its number, tells the front of
    the next row (Jensen, IEEE Trans. Evol. Comput. 7, 503, 2003); with more, rows are compared with all before them.
    """
    if len(objectives) == 0:
        return np.empty(0, np.int64)
    deciding = objectives[:, (objectives != objectives[0]).any(axis=0)]
    rows, back = np.unique(deciding, axis=0, return_inverse=True)  # in lexicographic order
    if rows.shape[1] == 2:
        ranks = np.empty(len(rows), np.int64)
        least: list[float] = []
        for k, second in enumerate(rows[:, 1].tolist()):
            front = ranks[k] = bisect_right(least, second)
            least[front : front + 1] = [second]
    else:
        ranks = _among_many(rows)
    return np.asarray(ranks[back.reshape(-1)], np.int64)


def _among_many(rows: NDArray[np.float64]) -> NDArray[np.int64]:
    """Fronts of different rows in lexicographic order, for any number of objectives."""
    if rows.shape[1] < 2:
        return np.arange(len(rows))
    ranks = np.zeros(len(rows), np.int64)
    for first in range(0, len(rows), _ROWS):
        some = rows[first : first + _ROWS]
        before = _no_worse(rows[:first], some)
        lowest = np.where(before, ranks[:first, None] + 1, 0).max(axis=0, initial=0)
        within = _no_worse(some, some)
        for k in range(len(some)):
            ahead = ranks[first : first + k][within[:k, k]]
            ranks[first + k] = max(lowest[k], ahead.max(initial=-1) + 1)
    return ranks


def _no_worse(these: NDArray[np.float64], than: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n, m) whether each of these is nowhere worse than each of the others."""
    result = np.ones((len(these), len(than)), np.bool_)
    for mine, other in zip(these.T, than.T, strict=True):
        result &= mine[:, None] <= other
    return result
