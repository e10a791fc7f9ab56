"""All pairs of atoms and images nearer than a distance, for set-up, checks and reports.

Two other searches have other tasks: `sites.site_pairs` lists the pairs of a lattice in the order in which its tables
are summed, and `kernels` search anew for each structure, in compiled code: `pairs` for descriptors, `contacts` for the
distances that a candidate must keep.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.structures.structure import Structure


class Neighbours(NamedTuple):
    """All ordered pairs nearer than a cutoff, periodic images included, sorted by the first atom."""

    first: NDArray[np.int32]  # (n_pairs,) atom i
    second: NDArray[np.int32]  # (n_pairs,) atom j
    vectors: NDArray[np.float64]  # (n_pairs, 3) from i to the image of j, Å
    distances: NDArray[np.float64]  # (n_pairs,) Å


def neighbours(structure: Structure, cutoff: float, centres: NDArray[np.int64] | None = None) -> Neighbours:
    """All ordered pairs of atoms and images nearer than `cutoff` Å, an atom's own images included.

    Sorted by the first atom, then the second, then the vector.

    Parameters
    ----------
    centres : atoms that may be the first of a pair, in their order; default: all
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
    middle = home if centres is None else home[centres]
    found = cKDTree(middle).sparse_distance_matrix(cKDTree(images), cutoff, output_type="ndarray")
    first, image = found["i"].astype(np.int64), found["j"].astype(np.int64)
    if centres is not None:
        first = centres[first]
    other = ~(at_home[image] & (owner[image] == first))
    first, image = first[other], image[other]
    vectors = images[image] - home[first]
    order = np.lexsort((vectors[:, 2], vectors[:, 1], vectors[:, 0], owner[image], first))
    first, image, vectors = first[order], image[order], vectors[order]
    distances = np.sqrt((vectors**2).sum(axis=1))
    return Neighbours(first.astype(np.int32), owner[image].astype(np.int32), vectors, distances)


# Two atoms nearer than this (Å) are on top of each other.
_HAIR = 1e-3


class SitePairs(NamedTuple):
    """All pairs of a site and a site or image nearer than a distance; both directions."""

    centre: NDArray[np.int64]  # (n_pairs,)
    neighbour: NDArray[np.int64]  # (n_pairs,)
    vector: NDArray[np.float64]  # (n_pairs, 3) Å from centre to neighbour


def site_pairs(template: Structure, reach: float) -> SitePairs:
    """Pairs of sites within `reach` Å, self images included, sorted by centre, neighbour, image.

    Not `neighbours`: tables of a lattice are summed in this order of pairs, so that another one would change the last
    bits of every loss on fixed sites; and sites on top of each other are refused.

    Raises
    ------
    InputError
        Two sites are on top of each other.
    """
    inverse = np.linalg.inv(template.cell)
    heights = 1.0 / np.linalg.norm(inverse, axis=0)
    fractional = template.positions @ inverse
    shift = np.where(template.pbc, np.floor(fractional), 0.0)
    home = template.positions - shift @ template.cell
    number = np.where(template.pbc, np.floor(reach / heights).astype(int) + 1, 0)
    grid = np.stack(np.meshgrid(*(np.arange(-k, k + 1) for k in number), indexing="ij"), axis=-1).reshape(-1, 3)
    images = grid @ template.cell
    centres, neighbours, vectors = [], [], []
    for i in range(template.n_atoms):
        gap = home[:, None, :] + images[None, :, :] - home[i]
        distance = np.sqrt((gap**2).sum(-1))
        distance[i, len(images) // 2] = np.inf
        near = distance < reach
        if distance.min() < _HAIR:
            other = int(np.argmin(distance.min(1)))
            raise InputError(f"lattice: sites {i} and {other} are {distance.min():.2g} Å apart: on top of each other")
        j, k = np.nonzero(near)
        centres.append(np.full(len(j), i))
        neighbours.append(j)
        vectors.append(gap[j, k])
    return SitePairs(np.concatenate(centres), np.concatenate(neighbours), np.concatenate(vectors))
