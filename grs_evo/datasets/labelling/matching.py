"""Whether two files hold the same cell, atoms in another order, wrapped or turned: and then, which atom is which.

And of many structures, told by rows of numbers, which agree with an earlier one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Match(NamedTuple):
    """How the atoms of an output stand in the structure that it was made for."""

    order: NDArray[np.int64]  # (n_atoms,) place in the output of each atom of the structure
    turn: NDArray[np.float64]  # (3, 3) row vectors of the output, times this, are the structure's
    farthest: float  # Å, the largest distance between an atom and its like


class Block(NamedTuple):
    """Columns in which structures that are the same agree."""

    rows: NDArray[np.float64]  # (n, d)
    among: NDArray[np.float64]  # (m, d) of those that are looked at; `rows` itself to look among the earlier ones
    within: NDArray[np.float64]  # (d,) by which they may differ; inf where they may as they like


def alike(blocks: Sequence[Block]) -> Iterator[tuple[int, int]]:
    """(number, number of the first it agrees with) of each structure that agrees with one in all columns of all blocks.

    Parameters
    ----------
    blocks : of the same structures; the first one is searched by, and should tell most of them apart
    """
    rows, among, within = blocks[0]
    # those that agree are near each other in a sum over the columns, and few others are
    weights = np.random.default_rng(0).uniform(0.5, 1.0, len(within))
    keys = rows @ (weights / within)
    others = keys if among is rows else among @ (weights / within)
    order = np.argsort(others, kind="stable")
    reach = 1.01 * float(weights[np.isfinite(within)].sum())
    lows, highs = (np.searchsorted(others[order], keys + sign * reach) for sign in (-1, 1))
    for k, (low, high) in enumerate(zip(lows.tolist(), highs.tolist(), strict=True)):
        near = np.sort(order[low:high])
        if among is rows:
            near = near[near < k]
        for one, other, bounds in blocks:
            if not len(near):
                break
            near = near[(np.abs(other[near] - one[k]) <= bounds).all(axis=1)]
        if len(near):
            yield k, int(near[0])


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
