"""Whether two files hold the same cell, atoms in another order, wrapped or turned: and then, which atom is which."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Match(NamedTuple):
    """How the atoms of an output stand in the structure that it was made for."""

    order: NDArray[np.int64]  # (n_atoms,) place in the output of each atom of the structure
    turn: NDArray[np.float64]  # (3, 3) row vectors of the output, times this, are the structure's
    farthest: float  # Å, the largest distance between an atom and its like


def composition_of(atoms: Any) -> tuple[tuple[str, int], ...]:
    """Elements and how many, sorted."""
    return tuple(sorted(atoms.symbols.formula.count().items()))


def match(structure: Any, output: Any, tolerance: float) -> Match | None:
    """How an output's atoms stand in a structure of the same composition; None where cell or atoms differ by more.

    Parameters
    ----------
    structure, output : ase.Atoms
    tolerance : Å, for the vectors of the cell and for every atom
    """
    cell, other = _cell(structure), _cell(output)
    turn = np.asarray(np.linalg.solve(other, cell), np.float64)
    if np.abs(turn - np.eye(3)).max() * np.abs(other).max() <= tolerance:
        turn = np.eye(3, dtype=np.float64)
    elif np.abs(turn @ turn.T - np.eye(3)).max() * np.abs(cell).max() > 2 * tolerance:
        return None
    shares = np.linalg.solve(cell.T, structure.positions.T).T
    theirs = np.linalg.solve(other.T, output.positions.T).T
    order = np.empty(len(structure), np.int64)
    farthest = 0.0
    for number in np.unique(structure.numbers):
        own, like = np.flatnonzero(structure.numbers == number), np.flatnonzero(output.numbers == number)
        if len(own) != len(like):
            return None
        apart = shares[own][:, None] - theirs[like][None]
        distances = np.linalg.norm((apart - np.round(apart)) @ cell, axis=2)
        nearest = distances.argmin(axis=1)
        farthest = max(farthest, float(distances.min(axis=1).max()))
        if farthest > tolerance or len(set(nearest.tolist())) < len(own):
            return None
        order[own] = like[nearest]
    return Match(order, turn, farthest)


def _cell(atoms: Any) -> NDArray[np.float64]:
    import ase.geometry

    complete: Any = ase.geometry.complete_cell  # ASE gives no types
    return np.asarray(complete(atoms.cell[:]), np.float64)
