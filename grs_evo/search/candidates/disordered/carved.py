"""Candidates cut from a large disordered target: a periodic cell of its atoms or molecules, with the seam healed.

The cell lies anywhere in the target, turned by chance. Inside, atoms stand as the target has them; where the cell meets
its own image they do not fit. Of an element in excess those go that fit worst, one that is short is put where there is
most space, and atoms too near are pushed apart; relaxation does the rest. Molecules are taken whole, those whose
centres lie in the cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.kernels.geometry.contacts import cartesian, fractional, inverse, push_apart, roomiest, slab_images
from grs_evo.search.candidates.disordered.molecules import SWEEPS, drawn_geometry
from grs_evo.search.candidates.limits import Limits
from grs_evo.structures.molecules.apart import pushed_apart
from grs_evo.structures.molecules.bodies import Bodies, bodies_of, random_rotations, turned_by
from grs_evo.structures.molecules.kinds import Molecules, too_near
from grs_evo.structures.structure import Structure

# Places of the cell in the target that are tried, of which the one with the fewest atoms too many or missing is taken.
_ORIGINS = 8
_SWEEPS = 400
# Trial points for a missing atom.
_POINTS = 128
# Smallest distances over the limits' that count when it is asked which atoms fit worst.
_REACH = 1.15


class Whole(NamedTuple):
    """A structure that cells are cut from."""

    structure: Structure
    bodies: Bodies | None = None  # its molecules, where they are to stay whole
    kinds: NDArray[np.int64] | None = None  # (n_bodies,) the kind of each


def carve(
    rng: np.random.Generator,
    target: Structure,
    limits: Limits,
    cell: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> Structure | None:
    """A periodic cell cut from a target, with so many atoms of each element; None where they cannot be pushed apart."""
    turn = random_rotations(rng, 1)[0]
    turned = target.replace(positions=turned_by(turn, target.positions), cell=turned_by(turn, target.cell))
    index, positions = _cut(rng, turned, target.species, cell, counts)
    species = target.species[index]
    pbc = np.ones(3, np.bool_)
    kept = _fitting(Structure(cartesian(positions, cell), cell, species, pbc), limits.min_distance, counts)
    one = Structure(cartesian(positions[kept], cell), cell, species[kept], pbc)
    for element in np.repeat(np.arange(len(counts)), np.maximum(counts - one.counts(len(counts)), 0)).tolist():
        trials = cartesian(rng.random((_POINTS, 3)), cell)
        best, _ = roomiest(one.positions, one.cell, one.species, one.pbc, limits.min_distance, element, trials)
        one = one.replace(
            positions=np.concatenate([one.positions, trials[best : best + 1]]),
            species=np.append(one.species, np.int32(element)).astype(np.int32),
        )
    apart, sweeps = push_apart(
        one.positions, one.cell, one.species, one.pbc, limits.min_distance, np.ones(one.n_atoms, np.bool_), _SWEEPS
    )
    return None if sweeps < 0 else one.replace(positions=apart)


def _cut(
    rng: np.random.Generator,
    target: Structure,
    kinds: NDArray[np.integer],
    cell: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Points of a target that lie in the cell at the best of some places: numbers, and fractional positions in it.

    Parameters
    ----------
    kinds : (n,) of each point, of which `counts` says how many there are to be
    """
    inv = inverse(cell)
    best: tuple[int, NDArray[np.int64], NDArray[np.float64]] | None = None
    for _ in range(_ORIGINS):
        origin = cartesian(rng.random((1, 3)), target.cell)[0]
        index, where = slab_images(target.positions, target.cell, target.pbc, origin, inv, 0, 0.0, 1.0)
        off = int(np.abs(np.bincount(kinds[index], minlength=len(counts)) - counts).sum())
        if best is None or off < best[0]:
            best = off, index, where
    assert best is not None
    return best[1], best[2]


def carve_molecules(
    rng: np.random.Generator, whole: Whole, molecules: Molecules, n: int, cell: NDArray[np.float64]
) -> Structure | None:
    """The same of n atoms in whole molecules; None where they cannot be pushed apart."""
    bodies, kinds = whole.bodies, whole.kinds
    assert bodies is not None
    assert kinds is not None
    target, wanted = whole.structure, np.array(molecules.numbers[n], np.int64)
    turn = random_rotations(rng, 1)[0]
    turned = Structure(
        turned_by(turn, bodies.centres), turned_by(turn, target.cell), kinds.astype(np.int32), target.pbc
    )
    index, where = _cut(rng, turned, kinds, cell, wanted)
    centres = list(cartesian(where, cell))
    atoms = [np.flatnonzero(bodies.group == k) for k in index.tolist()]
    arms = [turned_by(turn, bodies.arms[own]) for own in atoms]
    species = [target.species[own] for own in atoms]
    here = kinds[index].tolist()
    while any(here.count(kind) > most for kind, most in enumerate(wanted.tolist())):
        crowded = _crowded_bodies(_together(centres, arms, species, cell), molecules)
        may_go = [k for k, kind in enumerate(here) if here.count(kind) > wanted[kind]]
        worst = max(may_go, key=lambda k: float(crowded[k]))
        for one in (centres, arms, species, here):
            del one[worst]
    for kind, number in enumerate(wanted.tolist()):
        for _ in range(number - here.count(kind)):
            trials = cartesian(rng.random((_POINTS, 3)), cell)
            best = 0
            if centres:
                known, _ = _together(centres, arms, species, cell)
                first = int(molecules.kinds[kind].species[0])
                minimum = np.where(np.isfinite(molecules.contacts), molecules.contacts, 1.0)
                best, _ = roomiest(known.positions, cell, known.species, known.pbc, minimum, first, trials)
            centres.append(trials[best])
            arms.append(drawn_geometry(rng, molecules, kind))
            species.append(molecules.kinds[kind].species)
    one, group = _together(centres, arms, species, cell)
    return pushed_apart(one, bodies_of(group, one.positions), molecules.contacts, SWEEPS)


def _together(
    centres: Sequence[NDArray[np.float64]],
    arms: Sequence[NDArray[np.float64]],
    species: Sequence[NDArray[np.int32]],
    cell: NDArray[np.float64],
) -> tuple[Structure, NDArray[np.int64]]:
    """Molecules in one structure, and the molecule of each atom."""
    group = np.repeat(np.arange(len(arms)), [len(own) for own in arms])
    positions = np.array(centres)[group] + np.concatenate(arms)
    return Structure(positions, cell, np.concatenate(species).astype(np.int32), np.ones(3, np.bool_)), group


def _crowded_bodies(made: tuple[Structure, NDArray[np.int64]], molecules: Molecules) -> NDArray[np.float64]:
    """(n_bodies,) Å by which the atoms of each molecule are nearer to others than these may be, summed."""
    one, group = made
    first, second, _, distances = too_near(one, group, molecules.contacts)
    missing = molecules.contacts[one.species[first], one.species[second]] - distances
    return np.bincount(group[first], missing, minlength=int(group[-1]) + 1).astype(np.float64)


def _fitting(one: Structure, minimum: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Atoms that stay: of elements in excess the one that stands worst goes, again and again."""
    kept = np.arange(one.n_atoms)
    excess = one.counts(len(counts)) - counts
    crowded = _crowding(one, minimum)
    while (excess > 0).any():
        may_go = np.flatnonzero(excess[one.species[kept]] > 0)
        worst = may_go[int(np.argmax(crowded[np.ix_(kept, kept)].sum(1)[may_go]))]
        excess[one.species[kept[worst]]] -= 1
        kept = np.delete(kept, worst)
    return kept


def _crowding(one: Structure, minimum: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, n) how much nearer than they should atoms stand, as a share of their smallest distance."""
    scaled = fractional(one.positions, inverse(one.cell))
    gaps = scaled[:, None] - scaled[None]
    gaps -= np.rint(gaps)
    distances = np.sqrt(((gaps @ one.cell) ** 2).sum(-1))
    wanted = _REACH * minimum[one.species][:, one.species]
    crowded = np.maximum(1.0 - distances / wanted, 0.0)
    np.fill_diagonal(crowded, 0.0)
    return np.asarray(crowded, np.float64)


def to_be_cut(
    share: float, targets: Sequence[Structure], n: int, molecules: Molecules | None, where: str
) -> tuple[Whole, ...]:
    """Structures of a target that hold a cell of n atoms twice or more; none where no share of candidates is cut.

    Parameters
    ----------
    molecules : which are to stay whole; None: atoms are cut one by one

    Raises
    ------
    InputError
        There are none, or they hold other groups of atoms than molecules.
    """
    if share == 0.0:
        return ()
    periodic = [one for one in targets if one.pbc.all()]
    found = [one for one in periodic if one.n_atoms >= 2 * n]
    if not found:
        raise InputError(
            f"{where}.carved: is {share:g}, but a target to cut cells of {n} atoms from needs a periodic structure of "
            f"{2 * n} atoms; its largest has {max((one.n_atoms for one in periodic), default=0)}"
        )
    if molecules is None:
        return tuple(Whole(one) for one in found)
    known = [(one, molecules.bodies(one)) for one in found]
    whole = tuple(Whole(one, *bodies) for one, bodies in known if bodies is not None)
    if not whole:
        raise InputError(
            f"{where}.carved: is {share:g}, but none of the target's structures of {2 * n} atoms consists of whole "
            f"molecules alone, and what is cut through cannot be made whole; leave it out, or give molecules = false"
        )
    return whole
