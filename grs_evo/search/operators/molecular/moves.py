"""Mutations of structures that consist of molecules: these are shifted, turned and exchanged as a whole.

A child keeps the limits or is None. Molecules too near are pushed apart as rigid bodies.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.geometry.contacts import cartesian
from grs_evo.search.candidates.disordered.molecules import drawn_geometry
from grs_evo.search.candidates.limits import Limits
from grs_evo.search.operators.record import StepSizes
from grs_evo.structures.molecules.apart import pushed_apart, with_body
from grs_evo.structures.molecules.bodies import Bodies, bodies_of, rotations, turned_by
from grs_evo.structures.molecules.kinds import Molecules
from grs_evo.structures.structure import Structure

_SWEEPS = 100
# Of the molecules that are moved, the share that get a geometry of the target anew, turned by chance; and, of single
# ones in a mixture, the share that change places with one of another kind.
_ANEW, _EXCHANGED = 0.3, 0.3

_Known = tuple[Molecules, Bodies, NDArray[np.int64]]


def displace_one(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, steps: StepSizes
) -> Structure | None:
    """Move one molecule, or exchange two of different kinds."""
    known = _known(parents[0], limits)
    if known is None:
        return None
    molecules, bodies, kinds = known
    chosen = int(rng.random() * len(kinds))
    others = np.flatnonzero(kinds != kinds[chosen])
    if len(others) and rng.random() < _EXCHANGED:
        other = int(others[int(rng.random() * len(others))])
        centres = bodies.centres.copy()
        centres[[chosen, other]] = centres[[other, chosen]]
        return finished(parents[0], bodies._replace(centres=centres), molecules, limits)
    return _displaced(rng, parents[0], known, np.array([chosen]), limits, steps)


def displace_some(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, steps: StepSizes
) -> Structure | None:
    """Move a share of the molecules."""
    known = _known(parents[0], limits)
    if known is None:
        return None
    n = len(known[2])
    chosen = rng.permutation(n)[: max(1, round(steps.some * n))]
    return _displaced(rng, parents[0], known, chosen, limits, steps)


def displace_all(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, steps: StepSizes
) -> Structure | None:
    """Move all molecules."""
    known = _known(parents[0], limits)
    return None if known is None else _displaced(rng, parents[0], known, np.arange(len(known[2])), limits, steps)


def deformed(one: Structure, deform: NDArray[np.float64], limits: Limits) -> Structure | None:
    """The cell and the centres of the molecules under a deformation; the molecules stay as they are."""
    known = _known(one, limits)
    if known is None:
        return None
    molecules, bodies, _ = known
    bodies = bodies._replace(centres=cartesian(bodies.centres, deform))
    return finished(one.replace(cell=cartesian(one.cell, deform)), bodies, molecules, limits)


def add(rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, steps: StepSizes) -> Structure | None:
    """The next larger number of molecules, at the same density."""
    return _of_other_size(rng, parents[0], limits, 1)


def remove(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, steps: StepSizes
) -> Structure | None:
    """The next smaller number of molecules, at the same density."""
    return _of_other_size(rng, parents[0], limits, -1)


# ---------------------------------------------------------------------------------------------------------------------
# steps that several share, crossover among them


def finished(one: Structure, bodies: Bodies, molecules: Molecules, limits: Limits) -> Structure | None:
    """The structure with its molecules as these bodies, pushed apart; None where it breaks a limit."""
    whole = one.replace(positions=bodies.centres[bodies.group] + bodies.arms)
    child = pushed_apart(whole, bodies, molecules.contacts, _SWEEPS)
    return None if child is None or limits.violation(child) is not None else child


def with_bodies(whole: Structure, group: NDArray[np.int64], kept: Sequence[int]) -> tuple[Structure, NDArray[np.int64]]:
    """The structure with these of its bodies alone, and the group of each atom, numbered anew in their order."""
    atoms = np.isin(group, kept)
    found = whole.replace(positions=whole.positions[atoms], species=whole.species[atoms])
    return found, np.searchsorted(np.sort(kept), group[atoms])


def with_numbers(
    rng: np.random.Generator,
    whole: Structure,
    group: NDArray[np.int64],
    kinds: NDArray[np.int64],
    molecules: Molecules,
    numbers: Sequence[int],
) -> tuple[Structure, NDArray[np.int64]]:
    """The structure with so many molecules of each kind, and the new groups: some leave by chance, some come where
    there is space."""
    order = rng.permutation(len(kinds))
    kept = [k for kind, n in enumerate(numbers) for k in order[kinds[order] == kind][:n].tolist()]
    whole, group = with_bodies(whole, group, kept)
    for kind, n in enumerate(numbers):
        for _ in range(n - int((kinds == kind).sum())):
            arms = drawn_geometry(rng, molecules, kind)
            species = molecules.kinds[kind].species
            whole = with_body(rng, whole, arms, species, molecules.contacts)
            group = np.concatenate([group, np.full(len(species), group.max(initial=-1) + 1)])
    return whole, group


def _known(one: Structure, limits: Limits) -> _Known | None:
    """The molecules of a structure as bodies, and their kinds; None where they are not whole."""
    if limits.molecules is None:
        return None
    found = limits.molecules.bodies(one)
    return None if found is None else (limits.molecules, *found)


def _displaced(
    rng: np.random.Generator,
    one: Structure,
    known: _Known,
    chosen: NDArray[np.int64],
    limits: Limits,
    steps: StepSizes,
) -> Structure | None:
    """Shift and turn molecules a little, and give some of them another geometry of the target, turned by chance."""
    molecules, bodies, kinds = known
    centres, arms = bodies.centres.copy(), bodies.arms.copy()
    centres[chosen] += steps.displacement * rng.standard_normal((len(chosen), 3))
    turns = rotations(steps.displacement * rng.standard_normal((len(chosen), 3)) / bodies.lengths[chosen, None])
    species = one.species.copy()
    for k, turn in zip(chosen.tolist(), turns, strict=True):
        own = np.flatnonzero(bodies.group == k)
        if rng.random() < _ANEW:
            arms[own] = drawn_geometry(rng, molecules, int(kinds[k]))
            species[own] = molecules.kinds[int(kinds[k])].species
        else:
            arms[own] = turned_by(turn, arms[own])
    moved = bodies_of(bodies.group, centres[bodies.group] + arms)
    return finished(one.replace(species=species), moved, molecules, limits)


def _of_other_size(rng: np.random.Generator, one: Structure, limits: Limits, step: int) -> Structure | None:
    known = _known(one, limits)
    if known is None:
        return None
    molecules, bodies, kinds = known
    sizes = sorted(molecules.numbers)
    at = sizes.index(one.n_atoms) + step
    if not 0 <= at < len(sizes):
        return None
    n = sizes[at]
    factor = (n / one.n_atoms) ** (1.0 / 3.0)
    positions = (factor * bodies.centres)[bodies.group] + bodies.arms
    whole = one.replace(cell=factor * one.cell, positions=positions)
    child, group = with_numbers(rng, whole, bodies.group, kinds, molecules, molecules.numbers[n])
    return finished(child, bodies_of(group, child.positions), molecules, limits)
