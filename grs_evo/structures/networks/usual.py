"""What bonds a target shows: their lengths and angles with their spreads, and how many each atom has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.relaxation.strain import Bonds, Springs, strain_of
from grs_evo.structures.neighbours import Neighbours, neighbours
from grs_evo.structures.structure import Structure

Array = NDArray[np.float64]

# Atoms after which no further structure is looked at.
_SAMPLE = 4_000
# Å, and of cosines: smallest spreads, those of a cold crystal's phonons.
_LEAST_SPREAD, _LEAST_COSINE = 0.02, 0.03
# 1/Å², how hard walls are: 0.03 Å within one is worth 1/2, as a usual spread is.
_WALL = 1000.0
# Spread of the cosines of angles up to which a mean stands for them: about 17° around a tetrahedron's.
WIDEST = 0.3


@dataclass(frozen=True, eq=False)
class Network:
    """What structures keep that are networks of bonds."""

    springs: Springs
    bonds: Array  # (n_el, n_el) Å, nearer atoms are bonded; 0 for pairs that never are
    numbers: tuple[NDArray[np.int64], ...]  # of each element: (k, n_el) bonds of its atoms to each element, sorted
    strain: float  # of the target, per atom
    shape: bool = True  # whether the cell's shape relaxes with the bonds
    effort: float = 1.0  # exchanges of bonds, as a share of what is usual


class _Seen(NamedTuple):
    """Pairs of one structure."""

    structure: Structure
    pairs: Neighbours
    bonded: NDArray[np.bool_]  # (n_pairs,)
    second: NDArray[np.bool_]  # (n_pairs,) neighbours of one atom


def usual_bonds(structures: Sequence[Structure], bonds: Array, reach: float) -> tuple[Network, Array]:
    """What lengths, angles and numbers of bonds are usual, and the spread of the cosines (n_el, n_el, n_el).

    Parameters
    ----------
    bonds : (n_el, n_el) Å, nearer atoms are bonded
    reach : Å to which it is looked how near atoms come that are not bonded
    """
    n_el = len(bonds)
    seen: list[_Seen] = []
    for structure in structures:
        if sum(one.structure.n_atoms for one in seen) < _SAMPLE:
            seen.append(_seen(structure, bonds, reach))
    lengths, stretch, second, farther = np.zeros((4, n_el, n_el))
    for a in range(n_el):
        for b in range(n_el):
            own = _distances(seen, a, b)
            lengths[a, b] = own[0].mean() if len(own[0]) else 0.0
            stretch[a, b] = 1.0 / max(float(own[0].std()), _LEAST_SPREAD) ** 2 if len(own[0]) else 0.0
            second[a, b], farther[a, b] = (float(one.min()) if len(one) else 0.0 for one in own[1:])
    mean, spread = _cosines(seen, n_el)
    bend = np.where(np.isfinite(spread), 1.0 / np.maximum(spread, _LEAST_COSINE) ** 2, 0.0)
    springs = Springs(lengths, stretch, mean, bend, second, farther, _WALL)
    numbers = tuple(_numbers(seen, a, n_el) for a in range(n_el))
    strain = sum(_own_strain(one, springs) for one in seen) / sum(one.structure.n_atoms for one in seen)
    return Network(springs, bonds, numbers, strain), spread


def bonds_of(ends: NDArray[np.int64], turns: Array, n_atoms: int) -> Bonds:
    """Bonds with those of each atom.

    Parameters
    ----------
    ends : (m, 2) atoms
    turns : (m, 3) multiples of the cell vectors that lead to the image of the second one
    """
    degree = np.bincount(ends.ravel(), minlength=n_atoms).astype(np.int64)
    links = np.zeros((n_atoms, max(1, int(degree.max(initial=0)))), np.int64)
    place = np.zeros(n_atoms, np.int64)
    for k, pair in enumerate(ends.tolist()):
        for atom in pair:
            links[atom, place[atom]] = k
            place[atom] += 1
    return Bonds(np.ascontiguousarray(ends, np.int64), np.ascontiguousarray(turns, np.float64), links, degree)


def bonded_as_found(structure: Structure, pairs: Neighbours, chosen: NDArray[np.bool_]) -> Bonds:
    """The bonds that some of a structure's pairs are; these are listed from both of their ends."""
    turns = turns_of(structure, pairs)
    once = (pairs.first < pairs.second) | ((pairs.first == pairs.second) & _forward(turns))
    kept = np.flatnonzero(chosen & once)
    ends = np.stack([pairs.first[kept], pairs.second[kept]], axis=1).astype(np.int64)
    return bonds_of(ends, turns[kept], structure.n_atoms)


def turns_of(structure: Structure, pairs: Neighbours) -> Array:
    """(n_pairs, 3) multiples of the cell vectors from the second atoms to the images that are met."""
    gaps = pairs.vectors - structure.positions[pairs.second] + structure.positions[pairs.first]
    return np.asarray(np.rint(gaps @ np.linalg.inv(structure.cell)), np.float64)


def _forward(turns: Array) -> NDArray[np.bool_]:
    """(n,) of an atom and its image, which of both directions is taken."""
    return np.asarray(turns @ np.array([1e6, 1e3, 1.0]) > 0, np.bool_)


def _seen(structure: Structure, bonds: Array, reach: float) -> _Seen:
    pairs = neighbours(structure, reach)
    kinds = structure.species[pairs.first], structure.species[pairs.second]
    bonded = pairs.distances < bonds[kinds]
    turns = turns_of(structure, pairs).astype(np.int64)
    own = [np.flatnonzero(bonded[start:end]) + start for start, end in _ranges(structure.n_atoms, pairs)]
    second = np.zeros(len(bonded), np.bool_)
    for i, (start, end) in enumerate(_ranges(structure.n_atoms, pairs)):
        reached = set()
        for first in own[i].tolist():
            for then in own[pairs.second[first]].tolist():
                reached.add((int(pairs.second[then]), *(turns[first] + turns[then]).tolist()))
        for k in range(start, end):
            second[k] = not bonded[k] and (int(pairs.second[k]), *turns[k].tolist()) in reached
    return _Seen(structure, pairs, bonded, second)


def _ranges(n: int, pairs: Neighbours) -> list[tuple[int, int]]:
    """Where the pairs of each atom begin and end."""
    starts = np.searchsorted(pairs.first, np.arange(n + 1)).tolist()
    return list(pairwise(starts))


def _distances(seen: Sequence[_Seen], a: int, b: int) -> tuple[Array, Array, Array]:
    """Å of bonds, of neighbours of one atom, and of other pairs of two elements."""
    found: tuple[list[Array], list[Array], list[Array]] = [], [], []
    for one in seen:
        kind = (one.structure.species[one.pairs.first] == a) & (one.structure.species[one.pairs.second] == b)
        for chosen, into in zip((one.bonded, one.second, ~one.bonded & ~one.second), found, strict=True):
            into.append(one.pairs.distances[kind & chosen])
    bonded, second, others = (np.concatenate(each) for each in found)
    return bonded, second, others


def _cosines(seen: Sequence[_Seen], n_el: int) -> tuple[Array, Array]:
    """(n_el, n_el, n_el) mean and spread of the cosines of angles, the centre first; the spread is NaN without any."""
    total = np.zeros((3, n_el, n_el, n_el))
    for one in seen:
        species = one.structure.species
        for i, (start, end) in enumerate(_ranges(one.structure.n_atoms, one.pairs)):
            own = np.flatnonzero(one.bonded[start:end]) + start
            along = one.pairs.vectors[own] / one.pairs.distances[own, None]
            kinds = species[one.pairs.second[own]]
            p, q = np.nonzero(~np.eye(len(own), dtype=np.bool_))
            cosine = (along[p] * along[q]).sum(axis=1)
            for power in range(3):
                np.add.at(total[power, species[i]], (kinds[p], kinds[q]), cosine**power)
    number = np.where(total[0] > 0, total[0], np.nan)
    mean = total[1] / number
    return np.nan_to_num(mean), np.sqrt(np.maximum(total[2] / number - mean**2, 0.0))


def _numbers(seen: Sequence[_Seen], a: int, n_el: int) -> NDArray[np.int64]:
    counts = []
    for one in seen:
        own = np.zeros((one.structure.n_atoms, n_el), np.int64)
        species = one.structure.species
        np.add.at(own, (one.pairs.first[one.bonded], species[one.pairs.second[one.bonded]]), 1)
        counts.append(own[species == a])
    found = np.concatenate(counts)
    return found[np.lexsort(found.T[::-1])]


def _own_strain(one: _Seen, springs: Springs) -> float:
    structure = one.structure
    bonds = bonded_as_found(structure, one.pairs, one.bonded)
    return strain(structure, bonds, springs)[0]


def strain(structure: Structure, bonds: Bonds, springs: Springs) -> tuple[float, Array, Array]:
    """Strain of a network, its slopes (n, 3) in 1/Å and its virial (3, 3), slope under R → R (1 + ε)ᵀ."""
    slopes, virial = np.zeros((structure.n_atoms, 3)), np.zeros((3, 3))
    value = strain_of(
        np.array(structure.positions), np.array(structure.cell), np.array(structure.species), bonds, springs, slopes,
        virial,
    )  # fmt: skip
    return float(value), slopes, virial
