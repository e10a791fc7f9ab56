"""All pairs of atoms and images nearer than a distance, for set-up, checks and reports.

Two other searches have other tasks: `sites.site_pairs` lists the pairs of a lattice in the order in which its tables
are summed, and `kernels` search anew for each structure, in compiled code: `pairs` for descriptors, `contacts` for the
distances that a candidate must keep.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.structures.structure import Structure

# Neighbours of an atom at the density of its cell, at most: usual cutoffs hold 20 to 200, this is one in a wrong unit.
_MOST = 5_000
# Pairs of points that are looked at one by one, at most, and how many points at once.
_FEW = 8_000_000
_AT_ONCE = 32


class Neighbours(NamedTuple):
    """All ordered pairs nearer than a cutoff, periodic images included, sorted by the first atom."""

    first: NDArray[np.int32]  # (n_pairs,) atom i
    second: NDArray[np.int32]  # (n_pairs,) atom j
    vectors: NDArray[np.float64]  # (n_pairs, 3) from i to the image of j, Å
    distances: NDArray[np.float64]  # (n_pairs,) Å


def check_reach(structure: Structure, cutoff: float, source: str, option: str = "basis.cutoff") -> None:
    """Refuse a cutoff within which atoms of a structure have thousands of neighbours, before memory runs out on them.

    Parameters
    ----------
    option : how messages name the cutoff

    Raises
    ------
    InputError
        More neighbours per atom are to be expected within `cutoff` Å than anybody describes.
    """
    n, volume = structure.n_atoms, structure.volume
    if (n < _MOST and not structure.pbc.any()) or volume < 1e-3 * n:  # flat cells are refused for what they are
        return
    expected = n / volume * 4.0 / 3.0 * np.pi * cutoff**3
    if expected > _MOST:
        raise InputError(
            f"{option}: {cutoff:g} Å holds some {expected:,.0f} neighbours per atom of {source}; at most {_MOST:,}"
            " (cutoffs of 4 to 10 Å hold 20 to 200)"
        )


def stride_for(structures: Sequence[Structure], most: int) -> int:
    """Every so manieth atom is looked at where `most` of all of them are to be."""
    return max(1, -(-sum(one.n_atoms for one in structures) // most))


def neighbours(structure: Structure, cutoff: float, centres: NDArray[np.int64] | None = None) -> Neighbours:
    """All ordered pairs of atoms and images nearer than `cutoff` Å, an atom's own images included.

    Sorted by the first atom, then the second, then the vector.

    Parameters
    ----------
    centres : atoms that may be the first of a pair, in their order; default: all
    """
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
    first, image = _near(middle, images, cutoff)
    if centres is not None:
        first = centres[first]
    other = ~(at_home[image] & (owner[image] == first))
    first, image = first[other], image[other]
    vectors = images[image] - home[first]
    order = np.lexsort((vectors[:, 2], vectors[:, 1], vectors[:, 0], owner[image], first))
    first, image, vectors = first[order], image[order], vectors[order]
    distances = np.sqrt((vectors**2).sum(axis=1))
    return Neighbours(first.astype(np.int32), owner[image].astype(np.int32), vectors, distances)


def _near(
    points: NDArray[np.float64], others: NDArray[np.float64], cutoff: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of all pairs of a point and another within the cutoff, in any order."""
    by_x, others_by_x = np.argsort(points[:, 0]), np.argsort(others[:, 0])
    along, others_along = points[by_x, 0], others[others_by_x, 0]
    reach = cutoff * (1 + 1e-12)  # so that rounding loses none
    low = np.searchsorted(others_along, along - reach)
    high = np.searchsorted(others_along, along + reach, side="right")
    if int((high - low).sum()) > _FEW:
        from scipy.spatial import cKDTree  # its import takes longer than to look at a few million pairs

        found = cKDTree(points).sparse_distance_matrix(cKDTree(others), cutoff, output_type="ndarray")
        return found["i"].astype(np.int64), found["j"].astype(np.int64)
    parts = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    for start in range(0, len(points), _AT_ONCE):
        mine = by_x[start : start + _AT_ONCE]
        near = others_by_x[low[start] : high[start + len(mine) - 1]]
        x, y, z = (others[near, k] - points[mine, k, None] for k in range(3))
        i, j = np.nonzero(x * x + y * y + z * z <= cutoff * cutoff)
        parts.append((mine[i], near[j]))
    return np.concatenate([i for i, _ in parts]), np.concatenate([j for _, j in parts])


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
