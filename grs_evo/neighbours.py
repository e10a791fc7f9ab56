"""All pairs of atoms and images nearer than a distance, for set-up, checks and reports.

Two other searches have other tasks: `sites.site_pairs` lists the pairs of a lattice in the order in which its tables
are summed, and `kernels` search anew for each structure, in compiled code: `pairs` for descriptors, `contacts` for the
distances that a candidate must keep.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .structure import Structure


class Neighbours(NamedTuple):
    """All ordered pairs nearer than a cutoff, periodic images included, sorted by the first atom."""

    first: NDArray[np.int32]  # (n_pairs,) atom i
    second: NDArray[np.int32]  # (n_pairs,) atom j
    vectors: NDArray[np.float64]  # (n_pairs, 3) from i to the image of j, Å
    distances: NDArray[np.float64]  # (n_pairs,) Å


def neighbours(structure: Structure, cutoff: float) -> Neighbours:
    """All ordered pairs of atoms and images nearer than `cutoff` Å, an atom's own images included.

    Sorted by the first atom, then the second, then the vector.
    """
    from scipy.spatial import cKDTree

    cell = structure.cell
    inverse = np.linalg.inv(cell)
    fractional = structure.positions @ inverse
    turns = np.where(structure.pbc, np.floor(fractional), 0.0)
    home = structure.positions - turns @ cell
    reach = np.where(structure.pbc, np.ceil(cutoff * np.linalg.norm(inverse, axis=0)), 0).astype(int)
    low, high = home.min(axis=0) - cutoff, home.max(axis=0) + cutoff
    points, owners, own = [], [], []
    for shift in np.ndindex(*(2 * reach + 1)):
        moved = home + (np.array(shift) - reach) @ cell
        near = ((moved >= low) & (moved <= high)).all(axis=1)
        points.append(moved[near])
        owners.append(np.flatnonzero(near))
        own.append(np.full(int(near.sum()), not (np.array(shift) - reach).any()))
    images, owner, at_home = np.concatenate(points), np.concatenate(owners), np.concatenate(own)
    found = cKDTree(home).sparse_distance_matrix(cKDTree(images), cutoff, output_type="ndarray")
    first, image = found["i"].astype(np.int64), found["j"].astype(np.int64)
    other = ~(at_home[image] & (owner[image] == first))
    first, image = first[other], image[other]
    vectors = images[image] - home[first]
    order = np.lexsort((vectors[:, 2], vectors[:, 1], vectors[:, 0], owner[image], first))
    first, image, vectors = first[order], image[order], vectors[order]
    distances = np.sqrt((vectors**2).sum(axis=1))
    return Neighbours(first.astype(np.int32), owner[image].astype(np.int32), vectors, distances)
