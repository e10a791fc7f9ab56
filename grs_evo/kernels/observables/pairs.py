"""Compiled: how many pairs stand at which distance, and each atom's nearest neighbour of each element."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.compiling import entry_beside
from grs_evo.kernels.observables.cell_list import CellList, neighbours_of, space


class PairCounts(NamedTuple):
    """Pairs of one structure."""

    histogram: NDArray[np.int64]  # (n_el, n_el, n_bins) ordered pairs per distance
    nearest: NDArray[np.float32]  # (n, n_el) Å, distance to the nearest atom of each element; inf beyond the reach


def count_pairs(atoms: CellList, n_elements: int, n_bins: int, centres: NDArray[np.int64] | None = None) -> PairCounts:
    """Histogram of distances from 0 to the reach in `n_bins` equal bins, and the nearest atoms.

    Parameters
    ----------
    centres : numbers of the atoms that are the first of a pair; None: all. Others have nothing near them
    """
    n = len(atoms.order)
    wanted = np.ones(n, np.bool_) if centres is None else np.isin(atoms.order, centres)
    histogram = np.zeros((n_elements, n_elements, n_bins), np.int64)
    nearest = np.full((n, n_elements), np.inf, np.float32)
    _count(atoms, wanted, histogram, nearest)
    return PairCounts(histogram, nearest)


def close_pairs(atoms: CellList, below: NDArray[np.float64]) -> tuple[int, NDArray[np.int64]]:
    """Unordered pairs nearer than the (n_el, n_el) limits of their elements, Å.

    Returns
    -------
    number : of pairs
    at_seam : (3,) how many of them have their middle within 1.5 Å of where the cell is joined along each cell vector
    """
    inverse = np.linalg.inv(atoms.cell)
    counts: Any = _close(atoms, np.ascontiguousarray(below, np.float64), inverse, 1.5 * np.linalg.norm(inverse, axis=0))
    return int(counts[0]) // 2, counts[1:] // 2


@entry_beside
def _count(atoms, wanted, histogram, nearest):
    n_bins = histogram.shape[2]
    per = n_bins / atoms.reach
    ids, vectors, lengths = space(256)
    for i in range(len(atoms.order)):
        if not wanted[i]:
            continue
        found, ids, vectors, lengths = neighbours_of(atoms, i, ids, vectors, lengths)
        own = atoms.order[i]
        kind = atoms.kinds[i]
        for k in range(found):
            other = atoms.kinds[ids[k]]
            histogram[kind, other, min(int(lengths[k] * per), n_bins - 1)] += 1
            if lengths[k] < nearest[own, other]:
                nearest[own, other] = lengths[k]


@entry_beside
def _close(atoms, below, inverse, beside):
    counts = np.zeros(4, np.int64)
    ids, vectors, lengths = space(1024)
    for i in range(len(atoms.order)):
        found, ids, vectors, lengths = neighbours_of(atoms, i, ids, vectors, lengths)
        for k in range(found):
            if lengths[k] < below[atoms.kinds[i], atoms.kinds[ids[k]]]:
                counts[0] += 1
                for axis in range(3):
                    middle = 0.0
                    for c in range(3):
                        middle += (atoms.points[i, c] + 0.5 * vectors[k, c]) * inverse[c, axis]
                    if atoms.pbc[axis] and abs(middle - np.round(middle)) < beside[axis]:
                        counts[1 + axis] += 1
    return counts
