"""Candidates cut from a large disordered target: a periodic cell of its atoms, with the seam healed.

The cell lies anywhere in the target, turned by chance. Inside, atoms stand as the target has them; where the cell meets
its own image they do not fit. Of an element in excess those go that fit worst, one that is short is put where there is
most space, and atoms too near are pushed apart; relaxation does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.kernels.geometry.contacts import cartesian, fractional, inverse, push_apart, roomiest, slab_images
from grs_evo.search.candidates.limits import Limits
from grs_evo.structures.molecules.bodies import random_rotations, turned_by
from grs_evo.structures.structure import Structure

# Places of the cell in the target that are tried, of which the one with the fewest atoms too many or missing is taken.
_ORIGINS = 8
_SWEEPS = 400
# Trial points for a missing atom.
_POINTS = 128
# Smallest distances over the limits' that count when it is asked which atoms fit worst.
_REACH = 1.15


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
    positions, species = _cut(rng, turned, cell, counts)
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
    rng: np.random.Generator, target: Structure, cell: NDArray[np.float64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Fractional positions in the cell and species of the atoms at the best of some places in the target."""
    inv = inverse(cell)
    best: tuple[int, NDArray[np.float64], NDArray[np.int32]] | None = None
    for _ in range(_ORIGINS):
        origin = cartesian(rng.random((1, 3)), target.cell)[0]
        index, where = slab_images(target.positions, target.cell, target.pbc, origin, inv, 0, 0.0, 1.0)
        species = target.species[index]
        off = int(np.abs(np.bincount(species, minlength=len(counts)) - counts).sum())
        if best is None or off < best[0]:
            best = off, where, species
    assert best is not None
    return best[1], best[2]


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


def to_be_cut(share: float, targets: Sequence[Structure], n: int, where: str) -> tuple[Structure, ...]:
    """Structures of a target that hold a cell of n atoms twice or more; none where no share of candidates is cut.

    Raises
    ------
    InputError
        There are none.
    """
    if share == 0.0:
        return ()
    periodic = [one for one in targets if one.pbc.all()]
    found = tuple(one for one in periodic if one.n_atoms >= 2 * n)
    if not found:
        raise InputError(
            f"{where}.carved: is {share:g}, but a target to cut cells of {n} atoms from needs a periodic structure of "
            f"{2 * n} atoms; its largest has {max((one.n_atoms for one in periodic), default=0)}"
        )
    return found
