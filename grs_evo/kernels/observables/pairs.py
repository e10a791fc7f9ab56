"""Compiled: how many pairs stand at which distance, and each atom's nearest neighbour of each element."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from grs_evo.kernels.observables.cell_list import CellList, near


class PairCounts(NamedTuple):
    """Pairs of one structure."""

    histogram: NDArray[np.int64]  # (n_el, n_el, n_bins) ordered pairs per distance
    nearest: NDArray[np.float32]  # (n, n_el) Å, distance to the nearest atom of each element; inf beyond the reach
    crossing: NDArray[np.uint8]  # (n, n_el) bit k: that nearest pair crosses the boundary of cell vector k


def count_pairs(atoms: CellList, n_elements: int, n_bins: int) -> PairCounts:
    """Histogram of distances from 0 to the reach in `n_bins` equal bins, and the nearest atoms."""
    n = len(atoms.order)
    histogram = np.zeros((n_elements, n_elements, n_bins), np.int64)
    nearest = np.full((n, n_elements), np.inf, np.float32)
    crossing = np.zeros((n, n_elements), np.uint8)
    _count(atoms, histogram, nearest, crossing)
    return PairCounts(histogram, nearest, crossing)


def close_pairs(atoms: CellList, below: NDArray[np.float64]) -> tuple[int, NDArray[np.int64]]:
    """Unordered pairs nearer than the (n_el, n_el) limits of their elements, Å.

    Returns
    -------
    number : of pairs
    crossing : (3,) how many of them cross the boundary of each cell vector
    """
    counts: Any = _close(atoms, np.ascontiguousarray(below, np.float64))
    return int(counts[0]) // 2, counts[1:] // 2


@njit(cache=True, error_model="numpy", nogil=True)
def _count(atoms, histogram, nearest, crossing):
    n_bins = histogram.shape[2]
    per = n_bins / atoms.reach
    room = 256
    ids = np.empty(room, np.int64)
    vectors = np.empty((room, 3))
    lengths = np.empty(room)
    crossings = np.empty(room, np.int64)
    for i in range(len(atoms.order)):
        found = near(atoms, i, ids, vectors, lengths, crossings)
        while found < 0:
            room *= 2
            ids = np.empty(room, np.int64)
            vectors = np.empty((room, 3))
            lengths = np.empty(room)
            crossings = np.empty(room, np.int64)
            found = near(atoms, i, ids, vectors, lengths, crossings)
        own = atoms.order[i]
        kind = atoms.kinds[i]
        for k in range(found):
            other = atoms.kinds[ids[k]]
            histogram[kind, other, min(int(lengths[k] * per), n_bins - 1)] += 1
            if lengths[k] < nearest[own, other]:
                nearest[own, other] = lengths[k]
                crossing[own, other] = crossings[k]


@njit(cache=True, error_model="numpy", nogil=True)
def _close(atoms, below):
    counts = np.zeros(4, np.int64)
    room = 1024
    ids = np.empty(room, np.int64)
    vectors = np.empty((room, 3))
    lengths = np.empty(room)
    crossings = np.empty(room, np.int64)
    for i in range(len(atoms.order)):
        found = near(atoms, i, ids, vectors, lengths, crossings)
        while found < 0:
            room *= 2
            ids = np.empty(room, np.int64)
            vectors = np.empty((room, 3))
            lengths = np.empty(room)
            crossings = np.empty(room, np.int64)
            found = near(atoms, i, ids, vectors, lengths, crossings)
        for k in range(found):
            if lengths[k] < below[atoms.kinds[i], atoms.kinds[ids[k]]]:
                counts[0] += 1
                for axis in range(3):
                    counts[1 + axis] += crossings[k] >> axis & 1
    return counts
