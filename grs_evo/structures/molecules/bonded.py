"""Which atoms of a structure are bonded into one group, across periodic borders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.structures.neighbours import neighbours
from grs_evo.structures.structure import Structure

# Atoms nearer than this share of the sum of their covalent radii are bonded.
STRETCH = 1.25
# Å; an atom reached over two ways at places farther apart than this is bonded to its own image.
_SAME = 0.01


class Bonded(NamedTuple):
    """Groups of bonded atoms."""

    group: NDArray[np.int64]  # (n_atoms,) number of each atom's group; groups are numbered by their first atom
    positions: NDArray[np.float64]  # (n_atoms, 3) Å, each group in one piece, its first atom where it was
    endless: NDArray[np.bool_]  # (n_groups,) bonded to its own image


def bond_lengths(elements: Sequence[str]) -> NDArray[np.float64]:
    """(n_el, n_el) Å, distances below which two atoms are bonded."""
    from ase.data import atomic_numbers, covalent_radii

    radii = np.array([covalent_radii[atomic_numbers[symbol]] for symbol in elements])
    return np.asarray(STRETCH * (radii[:, None] + radii[None, :]), np.float64)


def bonded(structure: Structure, bonds: NDArray[np.float64]) -> Bonded:
    """The groups of a structure's atoms that are connected by distances below `bonds`, (n_el, n_el) Å."""
    n = structure.n_atoms
    pairs = neighbours(structure, float(bonds.max()))
    near = pairs.distances < bonds[structure.species[pairs.first], structure.species[pairs.second]]
    others, vectors = pairs.second[near].tolist(), pairs.vectors[near].tolist()
    starts = np.searchsorted(pairs.first[near], np.arange(n + 1)).tolist()
    group = [-1] * n
    places: list[list[float]] = structure.positions.tolist()
    endless: list[bool] = []
    for seed in range(n):
        if group[seed] >= 0:
            continue
        group[seed] = len(endless)
        endless.append(False)
        waiting = [seed]
        while waiting:
            i = waiting.pop()
            x, y, z = places[i]
            for k in range(starts[i], starts[i + 1]):
                j, (dx, dy, dz) = others[k], vectors[k]
                reached = [x + dx, y + dy, z + dz]
                if group[j] < 0:
                    group[j] = group[seed]
                    places[j] = reached
                    waiting.append(j)
                elif max(abs(a - b) for a, b in zip(reached, places[j], strict=True)) > _SAME:
                    endless[-1] = True
    return Bonded(np.array(group, np.int64), np.array(places), np.array(endless, np.bool_))
