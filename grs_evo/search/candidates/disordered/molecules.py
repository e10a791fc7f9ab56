"""Candidates that consist of a target's molecules, and whether a run file leaves it to the target to have them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.kernels.geometry.contacts import cartesian
from grs_evo.structures.composition import Composition
from grs_evo.structures.molecules.apart import pushed_apart
from grs_evo.structures.molecules.bodies import bodies_of, random_rotations, turned_by
from grs_evo.structures.molecules.kinds import Molecules, find_molecules, make_molecules
from grs_evo.structures.structure import Structure, formula_of

# Molecules may come nearer than the target's do by this share, as atoms may.
NEARER = 0.9
SWEEPS = 400
# Atoms beyond a wanted size to which a size that whole molecules have is looked for.
NEXT = 200


def target_molecules(
    targets: Sequence[Structure],
    elements: Sequence[str],
    rule: Composition,
    given: bool,
    sizes: Sequence[int],
    where: str,
) -> Molecules:
    """What candidates of whole molecules keep.

    Parameters
    ----------
    rule : of the atoms' composition
    given : whether the composition is given, so that it must come out with whole molecules; else the target's
    sizes : wanted numbers of atoms
    where : the section of the run file, for messages

    Raises
    ------
    InputError
        The target does not consist of molecules, or no size can be had with whole ones.
    """
    if not targets:
        raise InputError(f"{where}.molecules: is true, but the target has no structures to take molecules from")
    found = find_molecules(targets, elements)
    if not found.kinds:
        raise InputError(f"{where}.molecules: is true, but the target does not consist of molecules: {found.why_not}")
    names = ", ".join(kind.formula for kind in found.kinds)
    if not rule.fixed and len(elements) > 1:
        raise InputError(
            f"{where}.molecules: whole molecules ({names}) fix the composition; leave out limits and composition = "
            '"free", or give molecules = false'
        )
    counts = {n: bounds[0].tolist() for n in sizes if given and (bounds := rule.bounds(n)) is not None}
    made = make_molecules(found, elements, sizes, NEARER, counts)
    if not made.numbers:
        span = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        if given:
            atoms = formula_of(np.array(next(iter(counts.values()))), elements)
            raise InputError(
                f"{where}: {atoms} cannot be had with whole molecules ({names}) near the target's proportions; "
                "molecules = false places atoms alone"
            )
        around = make_molecules(found, elements, range(max(1, sizes[0] - NEXT), sizes[-1] + NEXT), NEARER, {})
        near = sorted(sorted(around.numbers, key=lambda n: (abs(n - sizes[0]), n))[:2])
        raise InputError(
            f"{where}.sizes: {span} atoms cannot be had with whole molecules ({names}) in the target's proportions; "
            f"near are {' and '.join(map(str, near))}; molecules = false places atoms alone"
        )
    return made


def drawn_geometry(rng: np.random.Generator, molecules: Molecules, kind: int) -> NDArray[np.float64]:
    """(n, 3) Å, a molecule's atoms about its centre as one of the target's, turned by chance."""
    return drawn_geometries(rng, molecules, kind, 1)[0]


def drawn_geometries(
    rng: np.random.Generator, molecules: Molecules, kind: int, number: int
) -> list[NDArray[np.float64]]:
    """So many molecules as the target has them, evenly from all in the order of what varies most, each turned."""
    geometries = molecules.kinds[kind].geometries
    chosen = ((np.arange(number) + rng.random()) / max(number, 1) * len(geometries)).astype(np.int64)
    turns = random_rotations(rng, number)
    return [turned_by(turn, geometries[k]) for turn, k in zip(turns, chosen.tolist(), strict=True)]


def place_molecules(
    rng: np.random.Generator, molecules: Molecules, n: int, cell: NDArray[np.float64]
) -> Structure | None:
    """n atoms in whole molecules at random places of a cell, pushed apart; None where they do not fit."""
    arms: list[NDArray[np.float64]] = []
    species: list[NDArray[np.int32]] = []
    group: list[NDArray[np.int64]] = []
    for kind, number in enumerate(molecules.numbers[n]):
        for own in drawn_geometries(rng, molecules, kind, number):
            arms.append(own)
            species.append(molecules.kinds[kind].species)
            group.append(np.full(len(species[-1]), len(group), np.int64))
    bodies = np.concatenate(group)
    centres = cartesian(rng.random((len(group), 3)), cell)
    positions = centres[bodies] + np.concatenate(arms)
    whole = Structure(positions, cell, np.concatenate(species), np.ones(3, np.bool_))
    return pushed_apart(whole, bodies_of(bodies, positions), molecules.contacts, SWEEPS)
