"""Crossover: two parents into a child, by a slab of the cell or by the species on the sites of one of them.

A child keeps the limits (composition, sites, size, volume, distances) or is None; of two overlapping atoms one is
removed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.geometry.contacts import cartesian, fractional, inverse, overlapping, slab_images
from grs_evo.search.candidates.limits import Limits, volume
from grs_evo.search.operators.occupation import mix_species, occupied
from grs_evo.search.operators.record import StepSizes
from grs_evo.search.operators.spatial import arranged, finished, inserted
from grs_evo.structures.structure import Structure

# Origins of the second parent that are tried, of which the one that fits best is taken.
_SHIFTS = 4


def slice_crossover(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, steps: StepSizes
) -> Structure | None:
    """Atoms of the second parent in a random slab of the first parent's cell, those of the first outside it.

    The second parent fills the slab at its true lengths, with its periodic images and at a random origin; of a few
    origins the one whose number of atoms fits best is taken. One of two overlapping atoms is removed, then number and
    composition are repaired.
    """
    one, two = parents[0], parents[1]
    inv = inverse(one.cell)
    axis = int(rng.random() * 3)
    low, width = rng.random(), 0.25 + 0.5 * rng.random()
    own = fractional(one.positions, inv)
    own = np.where(one.pbc, own % 1.0, own)
    held = ~limits.movable(one.n_atoms)
    stays = held | ((own[:, axis] - low) % 1.0 >= width)
    missing = one.n_atoms - int(stays.sum())
    best: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None
    for _ in range(_SHIFTS):
        origin = cartesian(np.where(two.pbc, rng.random(3), 0.0)[None], two.cell)[0]
        filling = slab_images(two.positions, two.cell, two.pbc, origin, inv, axis, low, width)
        if best is None or abs(len(filling[0]) - missing) < abs(len(best[0]) - missing):
            best = filling
    if best is None or len(best[0]) == 0 or not stays.any():
        return None
    index, where = best
    positions = np.concatenate([cartesian(own[stays], one.cell), cartesian(where, one.cell)])
    species = np.concatenate([one.species[stays], two.species[index]]).astype(np.int32)
    held = np.concatenate([held[stays], np.zeros(len(index), np.bool_)])
    # Whoever comes first in the order stays: fixed atoms do.
    order = _sorted_by(~held, rng.permutation(len(species)))
    keep = ~overlapping(positions, one.cell, species, one.pbc, limits.min_distance, order)
    positions, species, held = positions[keep], species[keep], held[keep]
    low_size, high_size = limits.sizes
    wanted = min(max(len(species), low_size), high_size)
    if limits.composition.kind == "counts":
        wanted = int(limits.composition.lower.sum())
    # The cell decides how many atoms the density allows.
    if limits.periodic:
        total = volume(one.cell)
        wanted = min(max(wanted, _ceil(total / limits.volume_per_atom[1])), int(total / limits.volume_per_atom[0]))
    if not low_size <= wanted <= high_size:
        return None
    if len(species) > wanted:
        chosen = np.sort(_sorted_by(~held, rng.permutation(len(species)))[:wanted])
        positions, species, held = positions[chosen], species[chosen], held[chosen]
    child = Structure(positions, one.cell, species, one.pbc)
    while child.n_atoms < wanted:
        grown = inserted(rng, child, limits, two.species[int(rng.random() * two.n_atoms)])
        if grown is None:
            return None
        child = grown
    return finished(rng, arranged(child, held, limits), limits)


def occupation_crossover(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, steps: StepSizes
) -> Structure | None:
    """Positions and cell of the first parent; species mixed from both, at random or by slab.

    Parents of different size are matched by the nearest fractional position.
    """
    one, two = parents[0], parents[1]
    theirs = two.species
    if two.n_atoms != one.n_atoms:
        mine_f = fractional(one.positions, inverse(one.cell))
        delta = mine_f[:, None, :] - fractional(two.positions, inverse(two.cell))[None, :, :]
        delta -= np.floor(delta + 0.5)
        theirs = two.species[(delta**2).sum(2).argmin(1)]
    region = slab_region(rng, one) if rng.random() < 0.5 else None
    species = mix_species(rng, one.species, theirs, limits, region)
    if species is None or species.tobytes() == one.species.tobytes():
        return None
    return occupied(one, species, limits)


def slab_region(rng: np.random.Generator, structure: Structure) -> NDArray[np.bool_]:
    """(n,) atoms in a random slab of the cell."""
    axis = int(rng.random() * 3)
    low, width = rng.random(), 0.2 + 0.6 * rng.random()
    along = fractional(structure.positions, inverse(structure.cell))[:, axis]
    # A little further, so that sites on a lattice plane fall on one side together.
    return np.asarray((along + 1e-9 - low) % 1.0 < width)


def _ceil(x: float) -> int:
    return -int(-x // 1)


def _sorted_by(key: NDArray[np.bool_], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """The order with all whose key is False in front of the others."""
    return order[np.argsort(key[order], kind="stable")]
