"""Selection of parents and survivors. The only module that knows deap, and of it only what draws no random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class _Point:
    """What deap sorts: its fitness holds weighted values and takes a crowding distance."""

    __slots__ = ("fitness", "index")

    def __init__(self, fitness: Any, index: int) -> None:
        self.fitness = fitness
        self.index = index


def pick(rng: np.random.Generator, scores: NDArray[np.float64], tournament: int) -> int:
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

    The sorting and the distances are deap's; equal rows share a front, and the order of rows does not matter.
    For the first front alone there is `archive.dominated`.
    """
    from deap.base import Fitness
    from deap.tools.emo import assignCrowdingDist, sortNondominated

    n, n_objectives = objectives.shape
    kind = type("Loss", (Fitness,), {"weights": (-1.0,) * n_objectives})
    points = [_Point(kind(tuple(row)), k) for k, row in enumerate(objectives.tolist())]
    ranks = np.zeros(n, np.int64)
    crowding = np.zeros(n)
    for rank, front in enumerate(sortNondominated(points, n)):
        front.sort(key=lambda point: point.index)
        assignCrowdingDist(front)
        for point in front:
            ranks[point.index] = rank
            crowding[point.index] = point.fitness.crowding_dist
    return ranks, crowding
