"""Compiled: a cell list for structures of any size and shape, periodic images included.

The atoms are sorted by the bin they lie in; bins are about half the reach wide, in fractional coordinates, so that a
cell smaller than the reach has one bin and is looked at in as many images as it takes.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.arrays import integers, real_rows, reals
from grs_evo.kernels.bundles import bundle
from grs_evo.kernels.compiling import inner, inner_allocating

# Half as wide as the reach: 125 bins hold half the volume that 27 bins of the full width hold.
_BINS_PER_REACH = 2


@bundle
class CellList(NamedTuple):
    """Atoms sorted by bin."""

    order: NDArray[np.int64]  # (n,) number of each sorted atom in the structure
    points: NDArray[np.float64]  # (n, 3) Å, periodic directions wrapped into the cell, sorted
    kinds: NDArray[np.int64]  # (n,) species, sorted
    places: NDArray[np.int64]  # (n, 3) bin of each sorted atom
    starts: NDArray[np.int64]  # (n_bins + 1,) first sorted atom of each bin
    shape: NDArray[np.int64]  # (3,) number of bins along each vector
    wide: NDArray[np.int64]  # (3,) how many bins to either side the reach goes
    pbc: NDArray[np.bool_]  # (3,)
    cell: NDArray[np.float64]  # (3, 3) Å
    reach: float  # Å


def cell_list(
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
    species: NDArray[np.integer[Any]],
    pbc: NDArray[np.bool_],
    reach: float,
) -> CellList:
    """Sort atoms into bins so that all pairs within `reach` Å lie in bins near each other."""
    inverse = np.linalg.inv(cell)
    heights = 1.0 / np.linalg.norm(inverse, axis=0)
    fractional = positions @ inverse
    turns = np.where(pbc, np.floor(fractional), 0.0)
    points = positions - turns @ cell
    fractional -= turns
    low = np.where(pbc, 0.0, fractional.min(axis=0))
    span = np.where(pbc, 1.0, np.maximum(fractional.max(axis=0) - low, 1e-9))
    widths = span * heights
    shape = np.maximum(np.floor(widths * _BINS_PER_REACH / reach), 1.0).astype(np.int64)
    most = 4 * len(species) + 64
    while int(np.prod(shape)) > most:  # a few atoms in a wide space need few bins
        shape[int(np.argmax(shape))] = (shape.max() + 1) // 2
    wide = np.ceil(reach / (widths / shape) + 1e-9).astype(np.int64)
    wide = np.where(pbc, wide, np.minimum(wide, shape))
    places = np.clip(np.floor((fractional - low) / span * shape).astype(np.int64), 0, shape - 1)
    number = (places[:, 0] * shape[1] + places[:, 1]) * shape[2] + places[:, 2]
    order = np.argsort(number, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(number, minlength=int(np.prod(shape))))]).astype(np.int64)
    return CellList(
        order.astype(np.int64),
        np.ascontiguousarray(points[order]),
        np.ascontiguousarray(species[order].astype(np.int64)),
        np.ascontiguousarray(places[order]),
        starts,
        shape,
        wide.astype(np.int64),
        np.array(pbc, np.bool_),
        np.array(cell, np.float64),
        float(reach),
    )


@inner
def _near(atoms, i, ids, vectors, lengths):
    """The neighbours of `neighbours_of`, into arrays that may be too short; their number, or -1 then."""
    room = len(ids)
    limit = atoms.reach * atoms.reach
    points, starts, cell, pbc = atoms.points, atoms.starts, atoms.cell, atoms.pbc
    x, y, z = points[i, 0], points[i, 1], points[i, 2]
    n0, n1, n2 = atoms.shape[0], atoms.shape[1], atoms.shape[2]
    a0, b0, c0 = atoms.places[i, 0], atoms.places[i, 1], atoms.places[i, 2]
    w0, w1, w2 = atoms.wide[0], atoms.wide[1], atoms.wide[2]
    found = 0
    for a in range(a0 - w0, a0 + w0 + 1):
        s0 = a // n0
        if s0 != 0 and not pbc[0]:
            continue
        for b in range(b0 - w1, b0 + w1 + 1):
            s1 = b // n1
            if s1 != 0 and not pbc[1]:
                continue
            row = ((a - s0 * n0) * n1 + (b - s1 * n1)) * n2
            c = c0 - w2
            while c <= c0 + w2:
                # bins along the last vector follow each other in memory, image by image
                s2 = c // n2
                last = min(c0 + w2, s2 * n2 + n2 - 1)
                first_bin, last_bin = row + c - s2 * n2, row + last - s2 * n2
                c = last + 1
                if s2 != 0 and not pbc[2]:
                    continue
                px = s0 * cell[0, 0] + s1 * cell[1, 0] + s2 * cell[2, 0] - x
                py = s0 * cell[0, 1] + s1 * cell[1, 1] + s2 * cell[2, 1] - y
                pz = s0 * cell[0, 2] + s1 * cell[1, 2] + s2 * cell[2, 2] - z
                at_home = s0 == 0 and s1 == 0 and s2 == 0
                for j in range(starts[first_bin], starts[last_bin + 1]):
                    dx = points[j, 0] + px
                    dy = points[j, 1] + py
                    dz = points[j, 2] + pz
                    r2 = dx * dx + dy * dy + dz * dz
                    if r2 >= limit or (j == i and at_home):
                        continue
                    if found == room:
                        return -1
                    ids[found] = j
                    vectors[found, 0] = dx
                    vectors[found, 1] = dy
                    vectors[found, 2] = dz
                    lengths[found] = math.sqrt(r2)
                    found += 1
    return found


@inner_allocating
def space(most):
    """Arrays for neighbours: numbers (most,), vectors (most, 3), lengths (most,)."""
    return integers(most), real_rows(most, 3), reals(most)


@inner_allocating
def neighbours_of(atoms, i, ids, vectors, lengths):
    """All neighbours of sorted atom `i` within the reach, its own images included.

    Returns
    -------
    found : their number
    ids : (at least found,) their sorted numbers
    vectors : (…, 3) Å, from i to the image of the neighbour
    lengths : Å; these are the arrays given, or longer ones
    """
    found = _near(atoms, i, ids, vectors, lengths)
    while found < 0:
        ids, vectors, lengths = space(2 * len(ids))
        found = _near(atoms, i, ids, vectors, lengths)
    return found, ids, vectors, lengths
