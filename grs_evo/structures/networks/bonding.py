"""A structure into a network with the usual numbers of bonds, which are exchanged until it is hardly strained."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.relaxation.exchange import Plan, exchange_bonds
from grs_evo.kernels.relaxation.strain import Bonds
from grs_evo.structures.neighbours import neighbours
from grs_evo.structures.networks.usual import Network, bonds_of, turns_of
from grs_evo.structures.structure import Structure

# Strain that exchanges may add at first and in the end: one of two usual bonds adds some tens.
_HOT, _WARM, _COLD = 30.0, 12.0, 2.0
# Exchanges that are tried, per atom, in new cells and in such as are networks for the most part.
_NEW, _KNOWN = 40, 6
# Of how many atoms near to it one becomes an atom's new neighbour.
_CHOICES = 8
# Evaluations of the strain in one relaxation, at most.
_EVALUATIONS = 300
# Smallest height of a cell, as a share of the edge of a cube of its volume.
_HEIGHT = 0.6
# Å to which atoms are looked for that may be bonded at first, over the length of a bond; and tries for the others.
_FAR, _TRIES = 3.0, 100


def completed(rng: np.random.Generator, structure: Structure, network: Network, new: bool) -> tuple[Structure, Bonds]:
    """The structure as a network, relaxed, and its bonds.

    Near atoms are bonded until each has its number; what is left is bonded by chance. Then bonds are exchanged.

    Parameters
    ----------
    new : whether atoms stand at random, so that all has to be found
    """
    bonds = _first_bonds(rng, structure, network)
    edge = structure.volume ** (1 / 3)
    plan = Plan(
        attempts=round(network.effort * (_NEW if new else _KNOWN) * structure.n_atoms),
        hot=_HOT if new else _WARM,
        cold=_COLD,
        choices=_CHOICES,
        goal=network.strain * structure.n_atoms,
        evaluations=_EVALUATIONS,
        shape=network.shape,
        height=_HEIGHT * edge,
    )
    positions, cell = np.array(structure.positions), np.array(structure.cell)
    exchange_bonds(rng, positions, cell, np.array(structure.species), bonds, network.springs, plan)
    return structure.replace(positions=positions, cell=cell), bonds


def _first_bonds(rng: np.random.Generator, structure: Structure, network: Network) -> Bonds:
    """Bonds of the nearest atoms first, as long as both lack one, and of others by chance."""
    n, species = structure.n_atoms, structure.species
    pairs = neighbours(structure, float(network.springs.lengths.max()) + _FAR)
    near = pairs.distances < network.bonds[species[pairs.first], species[pairs.second]]
    has = np.zeros((n, len(network.bonds)), np.int64)
    np.add.at(has, (pairs.first[near], species[pairs.second[near]]), 1)
    lacks = _wanted(rng, species, has, network)
    turns = turns_of(structure, pairs)
    ends: list[tuple[int, int]] = []
    around: list[NDArray[np.float64]] = []
    together = set()
    order = np.argsort(pairs.distances, kind="stable")
    for k in order[(pairs.first < pairs.second)[order]].tolist():
        i, j = int(pairs.first[k]), int(pairs.second[k])
        a, b = int(species[i]), int(species[j])
        if lacks[i, b] > 0 and lacks[j, a] > 0 and (i, j) not in together:
            lacks[i, b] -= 1
            lacks[j, a] -= 1
            together.add((i, j))
            ends.append((i, j))
            around.append(turns[k])
    _bond_the_rest(rng, structure, lacks, ends, around, together)
    return bonds_of(np.array(ends, np.int64).reshape(-1, 2), np.array(around).reshape(-1, 3), n)


def _wanted(
    rng: np.random.Generator, species: NDArray[np.int32], has: NDArray[np.int64], network: Network
) -> NDArray[np.int64]:
    """(n, n_el) bonds that each atom is to have: as often as the target has them, more where there are more now."""
    wanted = np.zeros_like(has)
    n_el = has.shape[1]
    for a in range(n_el):
        atoms = np.flatnonzero(species == a)
        pool = network.numbers[a]
        if not len(atoms) or not len(pool):
            continue
        drawn = pool[((np.arange(len(atoms)) + 0.5) / len(atoms) * len(pool)).astype(np.int64)]
        by_now = np.lexsort((rng.random(len(atoms)), has[atoms].sum(axis=1)))
        wanted[atoms[by_now]] = drawn[np.argsort(drawn.sum(axis=1), kind="stable")]
    for a in range(n_el):
        for b in range(a, n_el):
            _balance(rng, wanted, species, a, b)
    return wanted


def _balance(rng: np.random.Generator, wanted: NDArray[np.int64], species: NDArray[np.int32], a: int, b: int) -> None:
    """Take away what bonds of element a to b are too many for those of b to a."""
    ours, theirs = np.flatnonzero(species == a), np.flatnonzero(species == b)
    excess = int(wanted[ours, b].sum() - wanted[theirs, a].sum()) if a != b else int(wanted[ours, a].sum()) % 2
    atoms, other = (ours, b) if excess > 0 else (theirs, a)
    for _ in range(abs(excess)):
        most = np.flatnonzero(wanted[atoms, other] == wanted[atoms, other].max())
        wanted[atoms[most[int(rng.random() * len(most))]], other] -= 1


def _bond_the_rest(
    rng: np.random.Generator,
    structure: Structure,
    lacks: NDArray[np.int64],
    ends: list[tuple[int, int]],
    around: list[NDArray[np.float64]],
    together: set[tuple[int, int]],
) -> None:
    """Bond atoms that are left with others that are, or put them between two that are bonded."""
    species, inverse = structure.species, np.linalg.inv(structure.cell)

    def is_free(i: int, j: int) -> bool:
        return i != j and (min(i, j), max(i, j)) not in together

    def bond(i: int, j: int) -> None:
        gap = (structure.positions[j] - structure.positions[i]) @ inverse
        together.add((min(i, j), max(i, j)))
        ends.append((i, j))
        around.append(-np.floor(gap + 0.5))

    n_el = lacks.shape[1]
    for a, b in combinations_with_replacement(range(n_el), 2):
        ours = np.repeat(np.flatnonzero(species == a), lacks[species == a, b]).tolist()
        theirs = np.repeat(np.flatnonzero(species == b), lacks[species == b, a]).tolist()
        if a == b:
            ours, theirs = ours[::2], ours[1::2]
        for i, j in zip(ours, theirs, strict=False):
            if is_free(i, j):
                bond(i, j)
                continue
            for _ in range(_TRIES):
                k = int(rng.random() * len(ends))
                c, d = ends[k] if species[ends[k][0]] == a else ends[k][::-1]
                if (species[c], species[d]) == (a, b) and is_free(i, d) and is_free(c, j):
                    together.discard((min(c, d), max(c, d)))
                    del ends[k], around[k]
                    bond(i, d)
                    bond(c, j)
                    break
