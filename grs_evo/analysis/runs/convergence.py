"""Best loss against evaluations, of one run and of many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.search.counters import evaluations_so_far

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]  # evaluations so far, best value so far


def best_against_evaluations(history: Mapping[str, NDArray[Any]]) -> Curve:
    """The best value of all islands against the evaluations of all islands, one point a generation.

    Each round of a search for a representative set has a loss of its own, so the value may rise where one begins.

    Raises
    ------
    InputError
        The history has no rows, or no column ``best_value``.
    """
    if "best_value" not in history or not len(history["best_value"]):
        raise InputError("history: is empty, so there is no convergence to draw")
    count, best, moment = (
        evaluations_so_far(history),
        np.asarray(history["best_value"], dtype=np.float64),
        moments_of(history),
    )
    steps = np.unique(moment)
    total, lowest = np.zeros(len(steps)), np.full(len(steps), np.inf)
    for rows in island_rows(history).values():
        # An island that has not got so far counts with its newest row.
        at = np.searchsorted(moment[rows], steps, side="right") - 1
        seen = at >= 0
        total[seen] += count[rows][at[seen]]
        lowest[seen] = np.minimum(lowest[seen], best[rows][at[seen]])
    return total, lowest


def moments_of(history: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    """When each row was written, as a number that grows over generations and over rounds."""
    generations = np.asarray(history["generation"]).astype(np.int64)
    if "round" not in history or not len(generations):
        return generations
    rounds: NDArray[np.int64] = np.asarray(history["round"]).astype(np.int64)
    return rounds * int(generations.max() + 1) + generations


def island_rows(history: Mapping[str, NDArray[Any]]) -> dict[int, NDArray[np.int64]]:
    """The rows of each island, oldest first."""
    islands, moment = np.asarray(history["island"]).astype(np.int64), moments_of(history)
    found = {}
    for one in np.unique(islands):
        rows = np.flatnonzero(islands == one)
        found[int(one)] = rows[np.argsort(moment[rows], kind="stable")]
    return found


def bands(curves: Sequence[Curve], points: int = 200, log: bool = False) -> dict[str, NDArray[np.float64]]:
    """Median and quartiles over runs at common numbers of evaluations.

    Parameters
    ----------
    curves : each (evaluations rising, best value falling); a run keeps its last value after its end
    points : at which to compare, from the first at which every run has a value to the longest run's last
    log : these numbers grow by a factor, not by a step

    Returns
    -------
    ``evaluations``, ``median``, ``low`` and ``high`` (quartiles), ``runs`` (still going), each (points,)
    """
    if not curves:
        raise InputError("convergence: no runs were given; at least one is needed")
    first = max(float(x[0]) for x, _ in curves)
    last = max(float(x[-1]) for x, _ in curves)
    last = max(first, last)
    grid = np.geomspace(first, last, points) if log and first > 0 else np.linspace(first, last, points)
    values = np.empty((len(curves), points))
    going = np.zeros(points)
    for k, (x, y) in enumerate(curves):
        values[k] = y[np.maximum(np.searchsorted(x, grid, side="right") - 1, 0)]  # geomspace may round below x[0]
        going += grid <= x[-1]
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75), axis=0)
    return {"evaluations": grid, "median": median, "low": low, "high": high, "runs": going}


def evaluations_to_reach(curve: Curve, value: float) -> float:
    """Evaluations after which the best value was `value` or lower; infinity when it never was."""
    x, y = curve
    reached = np.flatnonzero(y <= value)
    return float(x[reached[0]]) if len(reached) else float("inf")
