"""A pool of structures, described once in one pass: what choosing needs of each, in bounded memory.

Of each structure its energy row is kept, the size of each column of its force rows, and its force rows themselves, as
few as hold their Gram matrix: exactly where the pool is small, by a random sketch of rows where it is large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from grs_evo.datasets.design import design_rows
from grs_evo.descriptors.basis import Basis
from grs_evo.descriptors.threads.workers import Workers
from grs_evo.errors import InputError
from grs_evo.structures.structure import Structure
from grs_evo.targets.overlap import check_overlap

# Errors that a fit reckons with, per row: their ratio weighs energies against forces.
ENERGY_SIGMA = 1e-3  # eV per atom
FORCE_SIGMA = 0.1  # eV/Å
# Bytes of force rows that are kept at most; beyond, rows are sketched.
_MOST_BYTES = 300_000_000
_SKETCH = 16  # rows of a sketch
# Structures that are described and whose Gram matrices are added up together, on whichever thread or rank: the order
# of sums, and so the bits, are always the same.
_BLOCK = 8
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

    def only(self, kept: NDArray[np.int64]) -> Pool:
        """Some of the structures. The mean square of a force row stays that of all."""
        atoms = self.n_atoms[kept]
        return replace(
            self,
            n_atoms=atoms,
            energy=self.energy[kept],
            sizes=self.sizes[kept],
            force_rows=tuple(self.force_rows[k] for k in kept),
            force_gram=self.force_gram * (atoms.sum() / self.n_atoms.sum()),
        )

    def gram(self, chosen: Iterable[int]) -> NDArray[np.float64]:
        """(d, d) of the rows of some structures."""
        total = np.zeros((self.n_columns, self.n_columns))
        for k in chosen:
            rows = self.rows(k)
            total += rows.T @ rows
        return total


@dataclass(frozen=True, eq=False)
class Row:
    """What is kept of one structure."""

    n_atoms: int
    energy: NDArray[np.float64]  # (d,)
    squares: NDArray[np.float64]  # (d,) Σ f² of each column
    forces: NDArray[np.float32]  # (rows, d) whose Gram matrix is that of all force rows
    refused: str = ""  # why it cannot be described; then the rest is empty


@dataclass(frozen=True, eq=False)
class Block:
    """Some structures that follow each other in a pool, described."""

    rows: tuple[Row, ...]
    gram: NDArray[np.float64]  # (d, d) of all their force rows


@dataclass(frozen=True, eq=False)
class Task:
    """Structures to be described as one block, wherever that is done."""

    first: int  # number of the first one in the pool
    structures: tuple[Structure, ...]
    basis: Basis
    sketched: bool
    seed: int


# Describes tasks: their blocks, in order. What comes out must not depend on how the work is shared.
Describer = Callable[[Iterator[Task]], Iterator[Block]]


def by_threads(threads: int) -> Describer:
    """Threads of this process share the blocks."""

    def describe(tasks: Iterator[Task]) -> Iterator[Block]:
        with threadpool_limits(1), Workers(threads) as workers:
            yield from workers.in_order(block_of, tasks)

    return describe


def make_pool(
    structures: Iterable[Structure],
    n_structures: int,
    basis: Basis,
    *,
    like: Pool | None = None,
    describe: Describer | None = None,
    seed: int = 0,
) -> tuple[Pool, list[tuple[int, str]]]:
    """Describe structures, each once.

    Parameters
    ----------
    n_structures : how many there are, which decides whether force rows are kept whole
    like : take centre and scale of this pool, so that rows compare (a target beside the pool it is chosen from)
    describe : by which threads or ranks; the result does not depend on it
    seed : of the sketch

    Returns
    -------
    The pool, and (number, why) of each structure that cannot be described and is not in it.
    """
    d = basis.n_desc
    sketched = 4 * n_structures * d * (d + 1) > _MOST_BYTES
    # what all structures have goes straight into its place: a large pool is not held twice
    energy, squares = np.empty((2, n_structures, d))
    atoms_of: list[int] = []
    forces: list[NDArray[np.float32]] = []
    refused: list[tuple[int, str]] = []
    gram = np.zeros((d, d))
    for block in (describe or by_threads(1))(_tasks(structures, basis, sketched, seed)):
        gram += block.gram
        for one in block.rows:
            if one.refused:
                refused.append((len(atoms_of) + len(refused), one.refused))
                continue
            energy[len(atoms_of)], squares[len(atoms_of)] = one.energy, one.squares
            atoms_of.append(one.n_atoms)
            forces.append(one.forces)
    atoms = np.array(atoms_of, np.int64)
    energy, squares = energy[: len(atoms)], squares[: len(atoms)]
    centre = like.centre if like is not None else energy.mean(axis=0) if len(energy) else np.zeros(d)
    energy -= centre
    energy /= ENERGY_SIGMA
    gram /= FORCE_SIGMA**2
    scale = like.scale if like is not None else _column_sizes(energy, gram, atoms)
    energy /= scale
    squares /= 3 * atoms[:, None]
    sizes = np.sqrt(squares, out=squares)
    sizes /= FORCE_SIGMA
    sizes /= scale
    return Pool(
        basis,
        atoms,
        energy,
        sizes,
        tuple(np.divide(one, FORCE_SIGMA * scale, out=one, casting="same_kind") for one in forces),
        gram / scale / scale[:, None],
        centre,
        scale,
        sketched,
    ), refused


def _tasks(structures: Iterable[Structure], basis: Basis, sketched: bool, seed: int) -> Iterator[Task]:
    left, first = iter(structures), 0
    while some := tuple(islice(left, _BLOCK)):
        yield Task(first, some, basis, sketched, seed)
        first += len(some)


def _column_sizes(
    energy: NDArray[np.float64], gram: NDArray[np.float64], atoms: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(d,) root mean square of each column over all rows; inf where it vanishes, so that scaled it is nothing."""
    squares = (energy**2).sum(axis=0) + np.diagonal(gram)
    size = np.sqrt(squares / max(1, len(atoms) + 3 * int(atoms.sum())))
    return np.where(size > _VANISHES * size.max(initial=0.0), size, np.inf)


def block_of(task: Task) -> Block:
    """The structures of a task, described one after the other."""
    d = task.basis.n_desc
    gram = np.zeros((d, d))
    found = []
    for number, structure in enumerate(task.structures, task.first):
        name = f"structure {number}"
        try:
            check_overlap(structure, task.basis, name)
            rows = design_rows(structure, task.basis, name)
            refused = "" if rows.energy.any() else "no two atoms are within the cutoff"
        except InputError as error:
            refused = str(error).removeprefix(f"{name}: ")
        if refused:
            found.append(Row(structure.n_atoms, np.zeros(d), np.zeros(d), np.zeros((0, d), np.float32), refused))
            continue
        rng = np.random.default_rng((task.seed, number)) if task.sketched else None
        gram += rows.forces.T @ rows.forces
        squares = (rows.forces**2).sum(axis=0)
        found.append(Row(structure.n_atoms, rows.energy, squares, _condensed(rows.forces, rng)))
    return Block(tuple(found), gram)


def _condensed(forces: NDArray[np.float64], rng: np.random.Generator | None) -> NDArray[np.float32]:
    """(rows, d) that have the Gram matrix of all rows: exactly, or with `rng` in the mean over its draws."""
    n, d = forces.shape
    if rng is not None and n > _SKETCH:
        # signs at random: the mean of the sketch's Gram matrix is that of all rows
        kept = rng.choice((-1.0, 1.0), (_SKETCH, n)) @ forces / np.sqrt(_SKETCH)
    elif n > d:
        kept = np.linalg.qr(forces, mode="r")
    else:
        kept = forces
    return np.asarray(kept, np.float32)
