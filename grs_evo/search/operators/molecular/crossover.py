"""Crossover of structures that consist of molecules: a slab of one holds those of the other whose centres lie in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.geometry.contacts import cartesian, fractional, inverse, slab_images
from grs_evo.search.candidates.limits import Limits
from grs_evo.search.operators.molecular.moves import finished, with_bodies, with_numbers
from grs_evo.search.operators.record import StepSizes
from grs_evo.structures.molecules.bodies import Bodies, bodies_of
from grs_evo.structures.molecules.kinds import Molecules, too_near
from grs_evo.structures.structure import Structure

# Origins of the second parent that are tried, of which the one that fits best is taken.
_SHIFTS = 4
# Two molecules that come nearer than this share of their smallest distance are one too many.
_OVERLAP = 0.75


def slice_crossover(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, steps: StepSizes
) -> Structure | None:
    """Molecules of the second parent in a random slab of the first parent's cell, those of the first outside it."""
    molecules = limits.molecules
    known = [None if molecules is None else molecules.bodies(one) for one in parents]
    if molecules is None or known[0] is None or known[1] is None:
        return None
    (bodies, kinds), (theirs, their_kinds) = known[0], known[1]
    one, two = parents[0], parents[1]
    inv = inverse(one.cell)
    axis = int(rng.random() * 3)
    low, width = rng.random(), 0.25 + 0.5 * rng.random()
    own = fractional(bodies.centres, inv) % 1.0
    stays = np.flatnonzero((own[:, axis] - low) % 1.0 >= width)
    missing = len(own) - len(stays)
    best: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None
    for _ in range(_SHIFTS):
        origin = cartesian(rng.random((1, 3)), two.cell)[0]
        filling = slab_images(theirs.centres, two.cell, two.pbc, origin, inv, axis, low, width)
        if best is None or abs(len(filling[0]) - missing) < abs(len(best[0]) - missing):
            best = filling
    if best is None or not len(best[0]) or not len(stays):
        return None
    index, where = best
    child, group = _joined(
        one,
        [
            _part(one, bodies, stays, cartesian(own[stays], one.cell)),
            _part(two, theirs, index, cartesian(where, one.cell)),
        ],
    )
    kinds = np.concatenate([kinds[stays], their_kinds[index]])
    child, group, kinds = _without_overlaps(rng, child, group, kinds, molecules)
    numbers = molecules.numbers[one.n_atoms]
    child, group = with_numbers(rng, child, group, kinds, molecules, numbers)
    return finished(child, bodies_of(group, child.positions), molecules, limits)


Part = tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.int64]]  # positions, species, atoms of each body


def _part(structure: Structure, bodies: Bodies, chosen: NDArray[np.int64], centres: NDArray[np.float64]) -> list[Part]:
    """Some bodies of a structure, at these centres (their images may be chosen more than once)."""
    found = []
    for k, centre in zip(chosen.tolist(), centres, strict=True):
        atoms = np.flatnonzero(bodies.group == k)
        found.append((centre + bodies.arms[atoms], structure.species[atoms], atoms))
    return found


def _joined(cell_of: Structure, parts: Sequence[list[Part]]) -> tuple[Structure, NDArray[np.int64]]:
    """All bodies in the cell of a structure, and the group of each atom."""
    bodies = [one for part in parts for one in part]
    group = np.concatenate([np.full(len(atoms), k, np.int64) for k, (_, _, atoms) in enumerate(bodies)])
    positions = np.concatenate([positions for positions, _, _ in bodies])
    species = np.concatenate([species for _, species, _ in bodies]).astype(np.int32)
    return Structure(positions, cell_of.cell, species, cell_of.pbc), group


def _without_overlaps(
    rng: np.random.Generator,
    whole: Structure,
    group: NDArray[np.int64],
    kinds: NDArray[np.int64],
    molecules: Molecules,
) -> tuple[Structure, NDArray[np.int64], NDArray[np.int64]]:
    """One of two molecules that overlap is left out, whoever comes later in a random order."""
    first, second, _, _ = too_near(whole, group, _OVERLAP * molecules.contacts)
    near: dict[int, set[int]] = {}
    for a, b in zip(group[first].tolist(), group[second].tolist(), strict=True):
        near.setdefault(a, set()).add(b)
    kept: set[int] = set()
    for k in rng.permutation(len(kinds)).tolist():
        if not near.get(k, set()) & kept:
            kept.add(k)
    bodies = sorted(kept)
    return *with_bodies(whole, group, bodies), kinds[bodies]
