"""Spatial mutations: they move atoms, change the cell or the number of atoms.

A child keeps the limits (composition, sites, size, volume, distances) or is None. Overlapping atoms are pushed apart,
since rejection would fail nearly always in a dense cell.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.geometry.contacts import (
    cartesian,
    push_apart,
    roomiest,
)
from grs_evo.search.candidates.limits import Limits, volume
from grs_evo.search.operators.molecular import moves as molecular
from grs_evo.search.operators.record import StepSizes
from grs_evo.structures.composition import repair
from grs_evo.structures.structure import Structure

_SWEEPS = 100
# Trial points for a new atom: enough that the roomiest of them is a real hole.
_POINTS = 64


def displace_one(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, steps: StepSizes
) -> Structure | None:
    """Move one atom."""
    free = np.flatnonzero(limits.movable(parents[0].n_atoms))
    chosen = np.zeros(parents[0].n_atoms, bool)
    if not len(free):
        return None
    chosen[free[int(rng.random() * len(free))]] = True
    return _displaced(rng, parents[0], chosen, limits, steps)


def displace_some(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, steps: StepSizes
) -> Structure | None:
    """Move a share of the atoms."""
    free = np.flatnonzero(limits.movable(parents[0].n_atoms))
    chosen = np.zeros(parents[0].n_atoms, bool)
    chosen[free[rng.permutation(len(free))[: max(1, round(steps.some * len(free)))]]] = True
    return _displaced(rng, parents[0], chosen, limits, steps)


def displace_all(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, steps: StepSizes
) -> Structure | None:
    """Move all atoms that may."""
    return _displaced(rng, parents[0], limits.movable(parents[0].n_atoms), limits, steps)


def strain(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, steps: StepSizes
) -> Structure | None:
    """A random symmetric strain at constant volume; fractional positions stay."""
    one = parents[0]
    e = steps.strain * rng.standard_normal(6)
    deform = np.array([[1 + e[0], e[3] / 2, e[4] / 2], [e[3] / 2, 1 + e[1], e[5] / 2], [e[4] / 2, e[5] / 2, 1 + e[2]]])
    size = volume(deform)
    if size < 0.1:
        return None
    deform /= size ** (1.0 / 3.0)
    return _deformed(rng, one, deform, limits)


def volume_change(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, steps: StepSizes
) -> Structure | None:
    """The cell scaled evenly."""
    factor = 1.0 + steps.volume_change * rng.standard_normal()
    if factor < 0.1:
        return None
    return _deformed(rng, parents[0], np.eye(3) * factor ** (1.0 / 3.0), limits)


def add(rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, steps: StepSizes) -> Structure | None:
    """One more atom in the roomiest of some random points; the cell grows with it, so that the density stays."""
    one = parents[0]
    if one.n_atoms + 1 > limits.sizes[1]:
        return None
    species = one.species[int(rng.random() * one.n_atoms)]
    if limits.periodic:
        one = _scaled(one, ((one.n_atoms + 1) / one.n_atoms) ** (1.0 / 3.0))
    grown = inserted(rng, one, limits, species)
    return None if grown is None else finished(rng, grown, limits)


def remove(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, steps: StepSizes
) -> Structure | None:
    """One atom less; the cell shrinks with it, so that the density stays."""
    one = parents[0]
    n = one.n_atoms
    free = np.flatnonzero(limits.movable(n))
    if n - 1 < limits.sizes[0] or n == 1 or not len(free):
        return None
    keep = np.delete(np.arange(n), free[int(rng.random() * len(free))])
    child = arranged(
        one.replace(positions=one.positions[keep], species=one.species[keep]), ~limits.movable(n)[keep], limits
    )
    if limits.periodic:
        child = _scaled(child, ((n - 1) / n) ** (1.0 / 3.0))
    return finished(rng, child, limits)


# ---------------------------------------------------------------------------------------------------------------------
# what stops them


def all_fixed(limits: Limits) -> str | None:
    """Obstacle of displacements."""
    return None if limits.movable(limits.sizes[1]).any() else "all sites fixed"


def elements_by_site(limits: Limits) -> str | None:
    """Obstacle of what gives atoms another index."""
    return None if limits.allowed is None else "elements given by site"


def fixed_size(limits: Limits) -> str | None:
    """Obstacle of a change of the number of atoms."""
    if limits.allowed is not None:
        return elements_by_site(limits)
    if not limits.size_free:
        return "fixed number of atoms"
    return "fixed counts" if limits.composition.kind == "counts" else None


# ---------------------------------------------------------------------------------------------------------------------
# steps that several share, crossover among them


def arranged(child: Structure, held: NDArray[np.bool_], limits: Limits) -> Structure:
    """Atoms in an order in which the fixed ones (the first atoms of which `held` says so) have their own index."""
    fixed = limits.fixed
    if fixed is None or child.n_atoms <= fixed.sites[-1] or held.sum() != len(fixed.sites):
        return child  # without its fixed atoms it is refused in the end
    held = np.concatenate([held, np.zeros(child.n_atoms - len(held), np.bool_)])
    order = np.empty(child.n_atoms, np.int64)
    order[fixed.sites] = np.flatnonzero(held)
    order[limits.movable(child.n_atoms)] = np.flatnonzero(~held)
    return child.replace(positions=child.positions[order], species=child.species[order])


def _scaled(structure: Structure, factor: float) -> Structure:
    return structure.replace(positions=structure.positions * factor, cell=structure.cell * factor)


def _displaced(
    rng: np.random.Generator, one: Structure, chosen: NDArray[np.bool_], limits: Limits, steps: StepSizes
) -> Structure | None:
    if not chosen.any():
        return None
    moves = steps.displacement * rng.standard_normal((one.n_atoms, 3))
    return finished(rng, one.replace(positions=one.positions + np.where(chosen[:, None], moves, 0.0)), limits)


def _deformed(
    rng: np.random.Generator, one: Structure, deform: NDArray[np.float64], limits: Limits
) -> Structure | None:
    if limits.molecules is not None:
        return molecular.deformed(one, deform, limits)
    cell = cartesian(one.cell, deform)
    return finished(rng, one.replace(cell=cell, positions=cartesian(one.positions, deform)), limits)


def inserted(rng: np.random.Generator, one: Structure, limits: Limits, species: int) -> Structure | None:
    trials = cartesian(rng.random((_POINTS, 3)), one.cell)
    best, ratio = roomiest(one.positions, one.cell, one.species, one.pbc, limits.min_distance, int(species), trials)
    # Closer than that, pushing the neighbours away would tear the structure.
    if ratio < 0.4:
        return None
    return one.replace(
        positions=np.concatenate([one.positions, trials[best : best + 1]]),
        species=np.append(one.species, np.int32(species)).astype(np.int32),
    )


def finished(rng: np.random.Generator, child: Structure, limits: Limits) -> Structure | None:
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
    return None if limits.violation(child) else child
