"""Candidates cut from a target along its own atoms, so that they go on in their images.

A cell whose edges run from one atom to others of its element holds a strained, displaced piece of a crystal, whatever
the crystal is, and its images fit to it nearly as the target's next atoms do: nothing needs healing. Where an atom's
neighbours lie to one side there is a surface: two edges then run along it, and the third through some layers into a
vacuum. Environments are the target's own but for what repeats them too early.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.geometry.contacts import cell_heights, inverse
from grs_evo.search.candidates.limits import Limits, volume
from grs_evo.structures.structure import Structure

Array = NDArray[np.float64]

# All lengths but the last two in units of the third root of the volume per atom.
_EDGE = 1.6  # longest edge, times the third root of the largest number of atoms
_NEXT = 0.95  # shortest edge
_AROUND = 2.6  # neighbours that tell a surface: of a half space their mean lies at 3/8 of it
_ASIDE = 0.2  # share of `_AROUND` at which the mean of the neighbours lies, at a surface
_ALONG = 0.3  # of its length, by which an edge along a surface may leave it
_WIDE = 3.1  # longest edge along a surface
_DEPTH, _VACUUM = (1.1, 3.5), 2.6
_CLEAR = 1.3  # from the image of a piece's lowest layer, where the vacuum ends
# Atoms that stand so much outside, as a share of an edge, may be one with those at the other side.
_EDGE_OF_CELL = 0.12
# Of the smallest distance, below which two atoms are one atom and its image.
_ONE = 0.6
# By how much a piece may hold more or fewer atoms than its volume at the usual density: atoms, or a share.
_OFF, _OFF_SHARE = 0.5, 0.06
_TRIES = 60


@dataclass(frozen=True, eq=False)
class Cuttable:
    """A structure of the target with its images, and what finds atoms in it."""

    structure: Structure
    positions: Array  # (n_images, 3) Å
    species: NDArray[np.int32]
    tree: Any  # scipy.spatial.cKDTree of the positions
    unit: float  # Å, third root of the volume per atom
    edge: float  # Å, longest edge

    def near(self, place: Array, reach: float) -> NDArray[np.int64]:
        """Images within `reach` Å of a place, in a fixed order."""
        return np.array(self.tree.query_ball_point(place, reach, return_sorted=True), np.int64)


def cuttable(structures: Sequence[Structure], volume_per_atom: float, largest: int) -> tuple[Cuttable, ...]:
    """Structures made ready for pieces of at most so many atoms to be cut."""
    from scipy.spatial import cKDTree

    unit = volume_per_atom ** (1 / 3)
    edge = unit * max(_EDGE * largest ** (1 / 3), _WIDE)
    found = []
    for one in structures:
        positions, species = _with_images(one, 3.0 * edge)
        found.append(Cuttable(one, positions, species, cKDTree(positions), unit, edge))
    return tuple(found)


def _with_images(one: Structure, reach: float) -> tuple[Array, NDArray[np.int32]]:
    """Atoms in the cell, and images of them up to `reach` Å beside it."""
    inv = inverse(one.cell)
    scaled = one.positions @ inv
    scaled -= np.where(one.pbc, np.floor(scaled), 0.0)
    beside = reach / np.array(cell_heights(inv))
    steps = [range(-int(np.ceil(b)), int(np.ceil(b)) + 1) if p else (0,) for b, p in zip(beside, one.pbc, strict=True)]
    positions, species = [scaled], [one.species]
    for step in product(*steps):
        if any(step):
            moved = scaled + np.array(step)
            inside = ((moved > -beside) & (moved < 1.0 + beside))[:, one.pbc].all(axis=1)
            positions.append(moved[inside])
            species.append(one.species[inside])
    return np.concatenate(positions) @ one.cell, np.concatenate(species)


def cut_piece(rng: np.random.Generator, whole: Cuttable, sizes: tuple[int, int], limits: Limits) -> Structure | None:
    """A piece of the target in a cell of its own; None where some tries came to nothing."""
    for _ in range(_TRIES):
        centre = int(rng.random() * whole.structure.n_atoms)
        place = whole.positions[centre]
        near = whole.near(place, whole.edge)
        near = near[near != centre]
        edges = whole.positions[near] - place
        lengths = np.sqrt((edges**2).sum(axis=1))
        around = edges[lengths < _AROUND * whole.unit]
        outward = -around.mean(axis=0) if len(around) else np.zeros(3)
        alike = (whole.species[near] == whole.species[centre]) & (lengths > _NEXT * whole.unit)
        if np.linalg.norm(outward) > _ASIDE * _AROUND * whole.unit:
            cut = _slab(rng, whole, place, edges[alike], outward / np.linalg.norm(outward))
        else:
            cut = _inside(rng, place, edges[alike])
        made = None if cut is None else _filled(whole, *cut, sizes, limits)
        if made is not None:
            return made
    return None


def _inside(rng: np.random.Generator, place: Array, edges: Array) -> tuple[Array, Array, float] | None:
    """Origin and cell between atoms, and how high atoms may stand in it."""
    if len(edges) < 3:
        return None
    return place, edges[rng.choice(len(edges), 3, replace=False)], np.inf


def _slab(
    rng: np.random.Generator, whole: Cuttable, place: Array, edges: Array, outward: Array
) -> tuple[Array, Array, float] | None:
    """Origin and cell of some layers at a surface, and the share of its height above which it is empty."""
    lengths = np.sqrt((edges**2).sum(axis=1))
    along = edges[(np.abs(edges @ outward) < _ALONG * lengths) & (lengths < _WIDE * whole.unit)]
    if len(along) < 2:
        return None
    depth = whole.unit * (_DEPTH[0] + (_DEPTH[1] - _DEPTH[0]) * rng.random())
    height = depth + _VACUUM * whole.unit
    cell = np.concatenate([along[rng.choice(len(along), 2, replace=False)], outward[None] * height])
    return place - outward * depth, cell, 1.0 - _CLEAR * whole.unit / height


def _filled(
    whole: Cuttable, origin: Array, cell: Array, top: float, sizes: tuple[int, int], limits: Limits
) -> Structure | None:
    """The target's atoms within a cell; None where they do not fill it or the cell is no good one."""
    if np.linalg.det(cell) < 0.0:
        cell = cell[[1, 0, 2]]
    total, slab = volume(cell), np.isfinite(top)
    usual = total / whole.unit**3
    if total < 0.1 * whole.unit**3 or not (slab or sizes[0] - _OFF < usual < sizes[1] + _OFF):
        return None
    inv = inverse(cell)
    if min(cell_heights(inv)) < max(limits.height, whole.unit):
        return None
    near = whole.near(origin + cell.sum(axis=0) / 2, float(np.sqrt((cell**2).sum(axis=1)).sum()) / 2 + 1.0)
    scaled = (whole.positions[near] - origin) @ inv
    low, high = np.full(3, -_EDGE_OF_CELL), np.full(3, 1.0 + _EDGE_OF_CELL)
    if slab:
        low[2], high[2] = -0.02, top
    inside = ((scaled > low) & (scaled < high)).all(axis=1)
    kept = _once(scaled[inside], whole.species[near[inside]], cell, limits.min_distance)
    if kept is None or not sizes[0] <= len(kept) <= sizes[1]:
        return None
    if not slab and abs(len(kept) - usual) > max(_OFF, _OFF_SHARE * len(kept)):
        return None
    chosen = np.flatnonzero(inside)[kept]
    return Structure((scaled[chosen] % 1.0) @ cell, cell, whole.species[near[chosen]], np.ones(3, np.bool_))


def _once(scaled: Array, species: NDArray[np.int32], cell: Array, minimum: Array) -> NDArray[np.int64] | None:
    """Which atoms stay when each is there once, those farthest inside first; None where two elements share a place."""
    order = np.argsort(np.abs(scaled - 0.5).max(axis=1), kind="stable")
    kept: list[int] = []
    for k in order.tolist():
        gaps = scaled[kept] - scaled[k]
        gaps -= np.rint(gaps)
        near = np.sqrt(((gaps @ cell) ** 2).sum(axis=1)) < _ONE * minimum[species[k], species[kept]]
        if not near.any():
            kept.append(k)
        elif (species[kept][near] != species[k]).any():
            return None
    return np.array(kept, np.int64)
