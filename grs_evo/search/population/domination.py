"""Which rows of objectives others dominate, and which of a front make way where it is most crowded.

A row is dominated by another one that is nowhere worse and somewhere better; all objectives are minimised. In
lexicographic order whatever dominates a row stands before it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Rows that are compared with others at once.
_ROWS = 256
_PAIRS = 1 << 17


def dominated(scores: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n,) whether another row is nowhere worse and somewhere better; `analysis.pareto_front` is made of it."""
    result = np.zeros(len(scores), np.bool_)
    order = np.lexsort(scores.T[::-1])
    result[order] = dominated_in_order(np.ascontiguousarray(scores[order].T))
    return result


def dominated_in_order(columns: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n,) the same of rows in lexicographic order, given as columns (n_objectives, n)."""
    columns = _deciding(columns)
    n_objectives, n = columns.shape
    if n_objectives < 2 or n == 0:
        return np.asarray((columns > columns[:, :1]).any(axis=0), np.bool_)
    if n_objectives > 2:
        return _dominated_by_those_before(columns)
    least = np.minimum.accumulate(columns[1])
    result = np.concatenate([[False], least[:-1] <= columns[1, 1:]])
    again = np.concatenate([[False], (columns[:, 1:] == columns[:, :-1]).all(axis=0)])
    if again.any():  # what is said of the first of equal rows holds for all
        result = result[np.maximum.accumulate(np.where(again, 0, np.arange(n)))]
    return result


def _deciding(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """The objectives in which rows differ."""
    deciding: NDArray[np.float64] = columns
    if columns.shape[1]:
        deciding = columns[columns.min(axis=1) < columns.max(axis=1)]
    return deciding


def _dominated_by_those_before(columns: NDArray[np.float64]) -> NDArray[np.bool_]:
    """`dominated_in_order` for any number of objectives: a look at the front so far is enough."""
    result = np.zeros(columns.shape[1], np.bool_)
    front = columns[:, :0]
    for first in range(0, columns.shape[1], _ROWS):
        some = columns[:, first : first + _ROWS]
        mine = _dominated_by_any(some, front)
        mine |= _dominated_by_any(some, some)
        result[first : first + len(mine)] = mine
        front = np.concatenate([front, some[:, ~mine]], axis=1)
    return result


def _dominated_by_any(mine: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(k,) whether any of the others dominates each row; both as columns, in any order."""
    result = np.zeros(mine.shape[1], np.bool_)
    for first in range(0, len(result), max(1, _PAIRS // max(1, others.shape[1]))):
        some = mine[:, first : first + max(1, _PAIRS // max(1, others.shape[1])), None]
        no_worse = others[0] <= some[0]
        for theirs, ours in zip(others[1:], some[1:], strict=True):
            no_worse &= theirs <= ours
        hit = np.flatnonzero(no_worse.any(axis=1))
        better = np.zeros((len(hit), others.shape[1]), np.bool_)
        for theirs, ours in zip(others, some, strict=True):
            better |= theirs < ours[hit]
        result[first + hit] = (no_worse[hit] & better).any(axis=1)
    return result


def dominated_by(mine: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(k,) whether any of the others dominates each row.

    Parameters
    ----------
    mine : (n_objectives, k) columns
    others : (n_objectives, n) columns, in lexicographic order
    """
    deciding = (others.min(axis=1) < others.max(axis=1)) | (mine != others[:, :1]).any(axis=1)
    mine, others = mine[deciding], others[deciding]
    n_objectives = len(mine)
    if n_objectives < 2:
        return np.asarray((mine > others[:, :1]).any(axis=0), np.bool_)
    before, upto = (np.searchsorted(others[0], mine[0], side) for side in ("left", "right"))
    if n_objectives == 2:
        least = np.concatenate([[np.inf], np.minimum.accumulate(others[1])])
        lowest = np.concatenate([others[1], [np.inf]])[before]  # of those with the same first objective
        return np.asarray((least[before] <= mine[1]) | ((before < upto) & (lowest < mine[1])), np.bool_)
    return _dominated_by_any(mine, others)


def dominated_with(
    columns: NDArray[np.float64], known: NDArray[np.bool_], added: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """`dominated_in_order` where all but what some added ones dominate is known.

    Parameters
    ----------
    columns : (n_objectives, n) all, in lexicographic order
    known : (n,) whether each is dominated by one that is not among those added
    added : where those added stand
    """
    columns = _deciding(columns)
    if len(columns) < 3:
        return dominated_in_order(columns)
    return known | _dominated_by_any(columns, columns[:, added])


def thin(scores: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    """Indices of `size` rows: the most crowded (the last of equals) goes, one at a time, extremes never."""
    low, high = scores.min(0), scores.max(0)
    span = np.where(high > low, high - low, 1.0)
    unit = (scores - low) / span
    extreme = np.unique(np.concatenate([unit.argmin(0), unit.argmax(0)]))
    crowds = _Crowding(unit, extreme)
    for _ in range(len(scores) - size):
        least = len(scores) - 1 - int(crowds.distance[::-1].argmin())
        if not np.isfinite(crowds.distance[least]):
            return np.flatnonzero(crowds.alive)[:size]
        crowds.remove(least)
    return np.flatnonzero(crowds.alive)


class _Crowding:
    """Crowding distances of rows, kept up to date while rows go: each looks at its neighbours in each column."""

    def __init__(self, unit: NDArray[np.float64], extreme: NDArray[np.int64]) -> None:
        n, n_columns = unit.shape
        self._unit = unit
        self._before = np.full((n_columns, n), -1)
        self._after = np.full((n_columns, n), -1)
        self.alive = np.ones(n, np.bool_)
        self.distance = np.zeros(n)  # inf: extreme, or gone
        for c, column in enumerate(unit.T):
            order = np.argsort(column, kind="stable")
            self._before[c, order[1:]] = order[:-1]
            self._after[c, order[:-1]] = order[1:]
            self.distance[order[1:-1]] += column[order[2:]] - column[order[:-2]]
        self.distance[extreme] = np.inf

    def _of(self, k: int) -> float:
        if np.isinf(self.distance[k]):
            return np.inf
        total = 0.0
        for c in range(len(self._before)):
            before, after = self._before[c, k], self._after[c, k]
            if before >= 0 and after >= 0:
                total += float(self._unit[after, c] - self._unit[before, c])
        return total

    def remove(self, k: int) -> None:
        """Row k goes, and its neighbours meet."""
        self.alive[k] = False
        self.distance[k] = np.inf
        touched = set()
        for c in range(len(self._before)):
            before, after = int(self._before[c, k]), int(self._after[c, k])
            if before >= 0:
                self._after[c, before] = after
                touched.add(before)
            if after >= 0:
                self._before[c, after] = before
                touched.add(after)
        for one in touched:
            self.distance[one] = self._of(one)
