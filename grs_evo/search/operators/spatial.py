"""Parents into a child: crossover and mutation, each f(rng, parents, limits, options) -> Structure or None.

*Chemical* operators change who sits where and leave positions and cell alone; *spatial* ones move atoms, change the
cell or the number of atoms. A child keeps the limits (composition, sites, size, volume, distances) or is None;
overlaps are repaired, by removing one of two atoms (slice) or by pushing apart (the rest), since rejection would fail
nearly always in a dense cell.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.geometry.contacts import (
    cartesian,
    fractional,
    inverse,
    overlapping,
    push_apart,
    roomiest,
    slab_images,
)
from grs_evo.search.candidates.limits import Limits, volume
from grs_evo.search.operators.occupation import flip_species, mix_species, swap_species
from grs_evo.search.operators.options import OperatorOptions
from grs_evo.structures.composition import repair
from grs_evo.structures.structure import Structure

_SWEEPS = 100
# Trial points for a new atom: enough that the roomiest of them is a real hole.
_POINTS = 64
_SHIFTS = 4


# ---- chemical, on bare species arrays (the lattice search uses these directly)


def slab_region(rng: np.random.Generator, structure: Structure) -> NDArray[np.bool_]:
    """(n,) atoms in a random slab of the cell."""
    axis = int(rng.random() * 3)
    low, width = rng.random(), 0.2 + 0.6 * rng.random()
    along = fractional(structure.positions, inverse(structure.cell))[:, axis]
    # A hair's breadth, so that sites on a lattice plane fall on one side together.
    return np.asarray((along + 1e-9 - low) % 1.0 < width)


# ---- the operators


def slice_crossover(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, options: OperatorOptions
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
        grown = _inserted(rng, child, limits, two.species[int(rng.random() * two.n_atoms)])
        if grown is None:
            return None
        child = grown
    return _finished(rng, _arranged(child, held, limits), limits)


def occupation_crossover(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, options: OperatorOptions
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
    if species is None or (species == one.species).all():
        return None
    return _occupied(one, species, limits)


def swap(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, options: OperatorOptions
) -> Structure | None:
    """Exchange the species of two atoms."""
    one = parents[0]
    return _occupied(one, swap_species(rng, one.species, limits.mask(one.n_atoms)), limits)


def swaps(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, options: OperatorOptions
) -> Structure | None:
    """Several swaps: what leaves a trap that no single one leaves."""
    one = parents[0]
    times = 2 + int(rng.random() * (options.several - 1))
    return _occupied(one, swap_species(rng, one.species, limits.mask(one.n_atoms), times), limits)


def flip(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, options: OperatorOptions
) -> Structure | None:
    """Change the species of one atom."""
    one = parents[0]
    return _occupied(one, flip_species(rng, one.species, limits, limits.mask(one.n_atoms)), limits)


def flips(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, options: OperatorOptions
) -> Structure | None:
    """Change the species of several atoms."""
    one = parents[0]
    times = 2 + int(rng.random() * (options.several - 1))
    return _occupied(one, flip_species(rng, one.species, limits, limits.mask(one.n_atoms), times), limits)


def displace_one(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, options: OperatorOptions
) -> Structure | None:
    """Move one atom."""
    free = np.flatnonzero(limits.movable(parents[0].n_atoms))
    chosen = np.zeros(parents[0].n_atoms, bool)
    if not len(free):
        return None
    chosen[free[int(rng.random() * len(free))]] = True
    return _displaced(rng, parents[0], chosen, limits, options)


def displace_some(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, options: OperatorOptions
) -> Structure | None:
    """Move a share of the atoms."""
    free = np.flatnonzero(limits.movable(parents[0].n_atoms))
    chosen = np.zeros(parents[0].n_atoms, bool)
    chosen[free[rng.permutation(len(free))[: max(1, round(options.some * len(free)))]]] = True
    return _displaced(rng, parents[0], chosen, limits, options)


def displace_all(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, options: OperatorOptions
) -> Structure | None:
    """Move all atoms that may."""
    return _displaced(rng, parents[0], limits.movable(parents[0].n_atoms), limits, options)


def strain(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, options: OperatorOptions
) -> Structure | None:
    """A random symmetric strain at constant volume; fractional positions stay."""
    one = parents[0]
    e = options.strain * rng.standard_normal(6)
    deform = np.array([[1 + e[0], e[3] / 2, e[4] / 2], [e[3] / 2, 1 + e[1], e[5] / 2], [e[4] / 2, e[5] / 2, 1 + e[2]]])
    size = volume(deform)
    if size < 0.1:
        return None
    deform /= size ** (1.0 / 3.0)
    return _deformed(rng, one, deform, limits)


def volume_change(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, options: OperatorOptions
) -> Structure | None:
    """The cell scaled evenly."""
    factor = 1.0 + options.volume_change * rng.standard_normal()
    if factor < 0.1:
        return None
    return _deformed(rng, parents[0], np.eye(3) * factor ** (1.0 / 3.0), limits)


def add(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, options: OperatorOptions
) -> Structure | None:
    """One more atom in the roomiest of some random points; the cell grows with it, so that the density stays."""
    one = parents[0]
    if one.n_atoms + 1 > limits.sizes[1]:
        return None
    species = one.species[int(rng.random() * one.n_atoms)]
    if limits.periodic:
        one = _scaled(one, ((one.n_atoms + 1) / one.n_atoms) ** (1.0 / 3.0))
    grown = _inserted(rng, one, limits, species)
    return None if grown is None else _finished(rng, grown, limits)


def remove(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, options: OperatorOptions
) -> Structure | None:
    """One atom less; the cell shrinks with it, so that the density stays."""
    one = parents[0]
    n = one.n_atoms
    free = np.flatnonzero(limits.movable(n))
    if n - 1 < limits.sizes[0] or n == 1 or not len(free):
        return None
    keep = np.delete(np.arange(n), free[int(rng.random() * len(free))])
    child = _arranged(
        one.replace(positions=one.positions[keep], species=one.species[keep]), ~limits.movable(n)[keep], limits
    )
    if limits.periodic:
        child = _scaled(child, ((n - 1) / n) ** (1.0 / 3.0))
    return _finished(rng, child, limits)


# ---- shared ends


def _ceil(x: float) -> int:
    return -int(-x // 1)


def _sorted_by(key: NDArray[np.bool_], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """The order with all whose key is False in front of the others."""
    return order[np.argsort(key[order], kind="stable")]


def _arranged(child: Structure, held: NDArray[np.bool_], limits: Limits) -> Structure:
    """Atoms in an order in which the fixed ones (the first atoms of which `held` says so) have their own index."""
    fixed = limits.fixed
    if fixed is None or child.n_atoms <= fixed.sites[-1] or held.sum() != len(fixed.sites):
        return child  # without its fixed atoms it is refused in the end
    held = np.concatenate([held, np.zeros(child.n_atoms - len(held), np.bool_)])
    order = np.empty(child.n_atoms, np.int64)
    order[fixed.sites] = np.flatnonzero(held)
    order[limits.movable(child.n_atoms)] = np.flatnonzero(~held)
    return child.replace(positions=child.positions[order], species=child.species[order])


def _occupied(structure: Structure, species: NDArray[np.int32] | None, limits: Limits) -> Structure | None:
    if species is None:
        return None
    child = structure.replace(species=species)
    return None if limits.refuses(child) else child


def _scaled(structure: Structure, factor: float) -> Structure:
    return structure.replace(positions=structure.positions * factor, cell=structure.cell * factor)


def _displaced(
    rng: np.random.Generator, one: Structure, chosen: NDArray[np.bool_], limits: Limits, options: OperatorOptions
) -> Structure | None:
    if not chosen.any():
        return None
    moves = options.displacement * rng.standard_normal((one.n_atoms, 3))
    return _finished(rng, one.replace(positions=one.positions + np.where(chosen[:, None], moves, 0.0)), limits)


def _deformed(
    rng: np.random.Generator, one: Structure, deform: NDArray[np.float64], limits: Limits
) -> Structure | None:
    cell = cartesian(one.cell, deform)
    return _finished(rng, one.replace(cell=cell, positions=cartesian(one.positions, deform)), limits)


def _inserted(rng: np.random.Generator, one: Structure, limits: Limits, species: int) -> Structure | None:
    trials = cartesian(rng.random((_POINTS, 3)), one.cell)
    best, ratio = roomiest(one.positions, one.cell, one.species, one.pbc, limits.min_distance, int(species), trials)
    # Closer than that, pushing the neighbours away would tear the structure.
    if ratio < 0.4:
        return None
    return one.replace(
        positions=np.concatenate([one.positions, trials[best : best + 1]]),
        species=np.append(one.species, np.int32(species)).astype(np.int32),
    )


def _finished(rng: np.random.Generator, child: Structure, limits: Limits) -> Structure | None:
    """Composition repaired, contacts pushed apart, limits checked."""
    species = repair(rng, child.species, limits.composition, limits.mask(child.n_atoms))
    if species is None:
        return None
    positions, sweeps = push_apart(
        child.positions, child.cell, species, child.pbc, limits.min_distance, limits.movable(len(species)), _SWEEPS
    )
    if sweeps < 0:
        return None
    child = child.replace(species=species, positions=positions)
    return None if limits.refuses(child) else child
