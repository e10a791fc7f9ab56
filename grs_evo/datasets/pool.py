"""A pool of structures, described once in one pass: what choosing needs of each, in bounded memory.

Of each structure its energy row is kept, the size of each column of its force rows, and its force rows themselves, as
few as hold their Gram matrix: exactly where the pool is small, by a random sketch of rows where it is large.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from grs_evo.datasets.design import DesignRows, design_rows
from grs_evo.descriptors.basis import Basis
from grs_evo.descriptors.describe import Workers
from grs_evo.errors import InputError
from grs_evo.structures.structure import Structure

# Errors that a fit reckons with, per row: their ratio weighs energies against forces.
ENERGY_SIGMA = 1e-3  # eV per atom
FORCE_SIGMA = 0.1  # eV/Å
# Bytes of force rows that are kept at most; beyond, rows are sketched.
_MOST_BYTES = 300_000_000
_SKETCH = 16  # rows of a sketch
# A column whose size is below this share of the largest is nothing but rounding.
_VANISHES = 1e-12


@dataclass(frozen=True, eq=False)
class Pool:
    """Structures as a linear model sees them. All rows are scaled: weighted by their sigma, each column of size one."""

    basis: Basis
    n_atoms: NDArray[np.int64]  # (n,)
    energy: NDArray[np.float64]  # (n, d) energy rows, less their mean over the pool
    sizes: NDArray[np.float64]  # (n, d) root mean square of each column over the structure's force rows
    force_rows: tuple[NDArray[np.float32], ...]  # (rows, d) each; rows' rows is the Gram matrix of all force rows
    force_gram: NDArray[np.float64]  # (d, d) sum over the pool
    centre: NDArray[np.float64]  # (d,) mean of the energy rows, unscaled
    scale: NDArray[np.float64]  # (d,) by which columns were divided
    sketched: bool

    def __len__(self) -> int:
        return len(self.n_atoms)

    @property
    def n_columns(self) -> int:
        return len(self.scale)

    @property
    def energy_gram(self) -> NDArray[np.float64]:
        """(d, d) Σ e eᵀ over the pool."""
        return np.asarray(self.energy.T @ self.energy)

    def rows(self, k: int) -> NDArray[np.float64]:
        """(rows, d) of structure k: its energy row, then its force rows."""
        return np.concatenate([self.energy[k : k + 1], self.force_rows[k].astype(np.float64)])

    def gram(self, chosen: Iterable[int]) -> NDArray[np.float64]:
        """(d, d) of the rows of some structures."""
        total = np.zeros((self.n_columns, self.n_columns))
        for k in chosen:
            rows = self.rows(k)
            total += rows.T @ rows
        return total


@dataclass(frozen=True, eq=False)
class _Part:
    energy: NDArray[np.float64]
    squares: NDArray[np.float64]  # (d,) Σ f² of each column
    rows: NDArray[np.float32]
    gram: NDArray[np.float64]


def make_pool(
    structures: Iterable[Structure],
    n_structures: int,
    basis: Basis,
    *,
    like: Pool | None = None,
    threads: int = 1,
    seed: int = 0,
) -> tuple[Pool, list[tuple[int, str]]]:
    """Describe structures, each once.

    Parameters
    ----------
    n_structures : how many there are, which decides whether force rows are kept whole
    like : take centre and scale of this pool, so that rows compare (a target beside the pool it is chosen from)
    threads : that share the work; the result does not depend on it
    seed : of the sketch

    Returns
    -------
    The pool, and (number, why) of each structure that cannot be described and is not in it.
    """
    d = basis.n_desc
    sketched = 4 * n_structures * d * (d + 1) > _MOST_BYTES
    numbers, parts = [], []
    refused: list[tuple[int, str]] = []
    gram = np.zeros((d, d))

    def part(item: tuple[int, Structure]) -> tuple[int, int, _Part | str]:
        number, structure = item
        try:
            rows = design_rows(structure, basis, f"structure {number}")
        except InputError as error:
            return number, structure.n_atoms, str(error)
        if not rows.energy.any():
            return number, structure.n_atoms, "no two atoms are within the cutoff"
        return number, structure.n_atoms, _part(rows, np.random.default_rng((seed, number)) if sketched else None)

    with threadpool_limits(1), Workers(threads) as workers:
        for number, size, one in workers.in_order(part, enumerate(structures)):
            if isinstance(one, str):
                refused.append((number, one))
                continue
            numbers.append(size)
            gram += one.gram
            parts.append(replace(one, gram=gram[:0]))
    atoms = np.array(numbers, np.int64)
    energy = np.array([one.energy for one in parts]).reshape(-1, d)
    squares = np.array([one.squares for one in parts]).reshape(-1, d)
    centre = like.centre if like is not None else energy.mean(axis=0) if len(energy) else np.zeros(d)
    energy = (energy - centre) / ENERGY_SIGMA
    gram /= FORCE_SIGMA**2
    scale = like.scale if like is not None else _column_sizes(energy, gram, atoms)
    return Pool(
        basis,
        atoms,
        energy / scale,
        np.sqrt(squares / (3 * atoms[:, None])) / FORCE_SIGMA / scale,
        tuple(np.divide(one.rows, FORCE_SIGMA * scale, out=one.rows, casting="same_kind") for one in parts),
        gram / scale / scale[:, None],
        centre,
        scale,
        sketched,
    ), refused


def _column_sizes(
    energy: NDArray[np.float64], gram: NDArray[np.float64], atoms: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(d,) root mean square of each column over all rows; inf where it vanishes, so that scaled it is nothing."""
    squares = (energy**2).sum(axis=0) + np.diagonal(gram)
    size = np.sqrt(squares / max(1, len(atoms) + 3 * int(atoms.sum())))
    return np.where(size > _VANISHES * size.max(initial=0.0), size, np.inf)


def _part(rows: DesignRows, rng: np.random.Generator | None) -> _Part:
    forces = rows.forces
    n, d = forces.shape
    if rng is not None and n > _SKETCH:
        # signs at random: the mean of the sketch's Gram matrix is that of all rows
        kept = rng.choice((-1.0, 1.0), (_SKETCH, n)) @ forces / np.sqrt(_SKETCH)
    elif n > d:
        kept = np.linalg.qr(forces, mode="r")
    else:
        kept = forces
    return _Part(rows.energy, (forces**2).sum(axis=0), kept.astype(np.float32), forces.T @ forces)
