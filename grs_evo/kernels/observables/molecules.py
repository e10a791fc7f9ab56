"""Compiled: which atoms hang together by bonds, and whether what they form ends or runs through the periodic cell."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.arrays import flags, integers, real_rows
from grs_evo.kernels.compiling import entry_beside
from grs_evo.kernels.observables.cell_list import CellList, neighbours_of, space


def connected(atoms: CellList, bonded: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Groups of atoms connected by bonds.

    Parameters
    ----------
    bonded : (n_el, n_el) Å, at most the reach; neighbours nearer than this are bonded

    Returns
    -------
    group : (n,) number of each atom's group, in the order of the structure
    endless : (n_groups,) whether a group is bonded to its own image
    """
    found: Any = _connect(atoms, np.ascontiguousarray(bonded, np.float64))
    sorted_group, endless = found
    group = np.empty(len(sorted_group), np.int64)
    group[atoms.order] = sorted_group
    return group, endless


@entry_beside
def _connect(atoms, bonded):
    n = len(atoms.order)
    group, unwrapped, endless, stack = integers(n), real_rows(n, 3), flags(n), integers(n)
    for i in range(n):
        group[i] = -1
    ids, vectors, lengths = space(256)
    groups = 0
    for seed in range(n):
        if group[seed] >= 0:
            continue
        group[seed] = groups
        for c in range(3):
            unwrapped[seed, c] = atoms.points[seed, c]
        stack[0] = seed
        waiting = 1
        while waiting > 0:
            waiting -= 1
            i = stack[waiting]
            found, ids, vectors, lengths = neighbours_of(atoms, i, ids, vectors, lengths)
            for k in range(found):
                j = ids[k]
                if lengths[k] >= bonded[atoms.kinds[i], atoms.kinds[j]]:
                    continue
                if group[j] < 0:
                    group[j] = groups
                    for c in range(3):
                        unwrapped[j, c] = unwrapped[i, c] + vectors[k, c]
                    stack[waiting] = j
                    waiting += 1
                else:
                    off = 0.0
                    for c in range(3):
                        off += abs(unwrapped[i, c] + vectors[k, c] - unwrapped[j, c])
                    if off > 0.01:  # Å; the same atom reached over another way is elsewhere: an image
                        endless[groups] = True
        groups += 1
    return group, endless[:groups]
