"""Descriptors of structures, and gradients of functions of them: the border in front of the compiled kernels.

Data is checked here once; the kernels neither check nor raise. Values depend on the structure and the basis only: not
on the number of threads, the chunks, or which atoms share vector lanes.
"""

from __future__ import annotations

import threading
import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .kernels import engine
from .kernels.tables import (
    GROW,
    NOT_FINITE,
    OVERLAP,
    SINGULAR,
    Tables,
    Work,
    kernel_tables,
    larger_work,
    make_work,
    share_work,
)
from .structure import Structure, checked_cell, from_atoms

if TYPE_CHECKING:
    from .basis import Basis

# Atoms per chunk of large structures; fixed, so that sums over chunks do not depend on the machine.
CHUNK = 2048
# More images than this mean a cell far thinner than its cutoff, or a cutoff in the wrong unit.
_MAX_IMAGES = 400_000_000


class EmptyEnvironmentWarning(UserWarning):
    """Some atoms have no neighbour within the cutoff, so their descriptors are all zero."""


class Neighbours(NamedTuple):
    """All ordered pairs nearer than a cutoff, periodic images included, sorted by the first atom."""

    first: NDArray[np.int32]  # (n_pairs,) atom i
    second: NDArray[np.int32]  # (n_pairs,) atom j
    vectors: NDArray[np.float64]  # (n_pairs, 3) from i to the image of j, Å
    distances: NDArray[np.float64]  # (n_pairs,) Å


def as_structure(structure: Any, basis: Basis, source: str = "structure") -> Structure:
    """A `Structure` or `ase.Atoms` as a checked `Structure`.

    Raises
    ------
    InputError
        No atoms, an element the basis does not know, positions that are not finite, or a singular cell.
    """
    if not isinstance(structure, Structure):
        return from_atoms(structure, basis.elements, source)
    if structure.n_atoms == 0:
        raise InputError(f"{source}: holds no atoms; a structure needs at least one")
    low, high = int(structure.species.min()), int(structure.species.max())
    if low < 0 or high >= len(basis.elements):
        raise InputError(
            f"{source}: species index {low if low < 0 else high} is not in the basis; "
            f"its {len(basis.elements)} elements are {', '.join(basis.elements)}"
        )
    if not np.isfinite(structure.positions).all():
        atom = int(np.argwhere(~np.isfinite(structure.positions))[0, 0])
        raise InputError(f"{source}: the position of atom {atom} is {structure.positions[atom]} Å; it must be finite")
    checked_cell(structure.cell, structure.pbc, source)
    return structure


class _Arrays(NamedTuple):
    """A structure as the kernels take it: writable copies, so that one compiled version serves all callers."""

    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    species: NDArray[np.int32]
    pbc: NDArray[np.bool_]


def _arrays(structure: Structure) -> _Arrays:
    return _Arrays(structure.positions.copy(), structure.cell.copy(), structure.species.copy(), structure.pbc.copy())


def _refuse(status: int, arrays: _Arrays, work: Work, source: str) -> None:
    """Turn a kernel's refusal into an error that names what is wrong."""
    if status == OVERLAP:
        i, j, distance = _closest(arrays, int(work.need[0]))
        raise InputError(
            f"{source}: atoms {i} and {j} are on top of each other ({distance:.2e} Å apart); "
            f"descriptors need at least {engine.HAIR:g} Å"
        )
    if status == NOT_FINITE:
        raise InputError(f"{source}: a position is not finite or lies more than 1e9 cells away from the cell")
    if status == SINGULAR:
        raise InputError(f"{source}: the cell is singular; its vectors must not lie in one plane")


def _closest(arrays: _Arrays, atom: int) -> tuple[int, int, float]:
    """The neighbour of `atom` that is nearest, itself only through its periodic images."""
    inverse = np.linalg.inv(arrays.cell)
    fractional = (arrays.positions - arrays.positions[atom]) @ inverse
    fractional[:, arrays.pbc] -= np.round(fractional[:, arrays.pbc])
    distances = np.linalg.norm(fractional @ arrays.cell, axis=1)
    distances[atom] = min([np.linalg.norm(arrays.cell[a]) for a in range(3) if arrays.pbc[a]], default=np.inf)
    other = int(np.argmin(distances))
    return min(atom, other), max(atom, other), float(distances[other])


def _check_images(work: Work, source: str) -> None:
    if int(work.need[1]) > _MAX_IMAGES:
        raise InputError(
            f"{source}: {int(work.need[1]):.1e} periodic images lie within the cutoff; "
            "the cell is too thin or the cutoff too long for this structure"
        )


class _Scratch(threading.local):
    """Each thread keeps the scratch arrays of the basis it used last."""

    tables: Tables | None = None
    work: Work | None = None


_scratch = _Scratch()


def _work_for(tables: Tables, n_atoms: int) -> Work:
    work = _scratch.work
    if _scratch.tables is not tables or work is None or len(work.home) < 3 * n_atoms:
        _scratch.tables, work = tables, make_work(n_atoms, tables)
        _scratch.work = work
    return work


def _evaluate(arrays: _Arrays, tables: Tables, source: str) -> tuple[Work, NDArray[np.float64]]:
    out = np.empty((len(arrays.species), tables.max_size))
    work = _work_for(tables, len(arrays.species))
    while True:
        status = engine.describe_into(*arrays, tables, work, out)
        if status != GROW:
            break
        _check_images(work, source)
        work = larger_work(work, tables)
        _scratch.work = work
    _refuse(status, arrays, work, source)
    return work, out


def _warn_empty(rows: NDArray[np.float64], source: str) -> None:
    empty = int((~rows.any(axis=1)).sum())
    if empty:
        warnings.warn(
            f"{source}: {empty} of {len(rows)} atoms have no neighbour within the cutoff; their descriptors are zero",
            EmptyEnvironmentWarning,
            stacklevel=3,
        )


def describe_compact(
    structure: Any, basis: Basis, *, threads: int = 1, source: str = "structure", warn: bool = True
) -> NDArray[np.float64]:
    """Descriptors of each atom's own element.

    Parameters
    ----------
    structure : Structure or ase.Atoms
    basis : Basis
    threads : threads to share large structures (more than 2,048 atoms) out over; the result does not depend on it
    source : how errors and warnings call the structure
    warn : warn of atoms without neighbours

    Returns
    -------
    (n_atoms, max(basis.sizes)) float64; row i is valid for `basis.sizes[species[i]]` entries, the rest is 0.

    Raises
    ------
    InputError
        NaN positions, singular cell, unknown element, or atoms on top of each other.
    """
    checked = as_structure(structure, basis, source)
    if checked.n_atoms > CHUNK:
        out = np.empty((checked.n_atoms, max(basis.sizes)))
        for atoms, rows in _chunks(checked, basis, CHUNK, threads, source, by_place=True):
            out[atoms] = rows
    else:
        _, out = _evaluate(_arrays(checked), kernel_tables(basis), source)
    if warn:
        _warn_empty(out, source)
    return out


def describe(structure: Any, basis: Basis, *, threads: int = 1, source: str = "structure") -> NDArray[np.float64]:
    """ACE descriptors of every atom (arXiv:2409.13871 eqs. 8-12).

    Parameters
    ----------
    structure : Structure or ase.Atoms
    basis : Basis
    threads : threads for large structures; the result does not depend on it
    source : how errors and warnings call the structure

    Returns
    -------
    (n_atoms, basis.n_desc) float64: the block of columns of the atom's element, zero elsewhere.

    Raises
    ------
    InputError
        NaN positions, singular cell, unknown element, or atoms on top of each other.
    """
    checked = as_structure(structure, basis, source)
    rows = describe_compact(checked, basis, threads=threads, source=source)
    if len(basis.elements) == 1:
        return rows
    wide = np.zeros((checked.n_atoms, basis.n_desc))
    for element, size in enumerate(basis.sizes):
        atoms = np.flatnonzero(checked.species == element)
        wide[atoms, basis.columns(element)] = rows[atoms, :size]
    return wide


def pullback(
    structure: Any, basis: Basis, dq_db: NDArray[np.float64], *, source: str = "structure"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Forces and virial of a function Q of the descriptors, in one adjoint pass.

    Parameters
    ----------
    structure : Structure or ase.Atoms
    basis : Basis
    dq_db : (n_atoms, max(basis.sizes)) derivative of Q by each atom's own descriptors, as in `describe_compact`

    Returns
    -------
    forces : (n_atoms, 3) -dQ/dR, 1/Å times the unit of Q
    virial : (3, 3) -Σ_pairs dQ/dr_ij ⊗ r_ij = -dQ/dε, where the strain ε takes positions and cell vectors to (1 + ε)
        times themselves; symmetric. The stress in ASE's sign is -virial / volume.

    Raises
    ------
    InputError
        As `describe`, or `dq_db` of another shape.
    """
    checked = as_structure(structure, basis, source)
    tables = kernel_tables(basis)
    adjoint = np.array(dq_db, dtype=np.float64, order="C")
    if adjoint.shape != (checked.n_atoms, tables.max_size):
        raise InputError(
            f"{source}: dq_db has shape {adjoint.shape}; it must be (atoms, functions) = "
            f"{(checked.n_atoms, tables.max_size)}"
        )
    arrays = _arrays(checked)
    work, _ = _evaluate(arrays, tables, source)
    gradient, strain = np.empty((checked.n_atoms, 3)), np.empty((3, 3))
    engine.pull_into(*arrays, tables, adjoint, work, gradient, strain)
    if checked.n_atoms > CHUNK:
        # all pairs of a large structure are not worth keeping for the next call
        _scratch.work = None
    return -gradient, -strain


def stream_descriptors(
    structure: Any, basis: Basis, chunk: int = CHUNK, *, threads: int = 1, source: str = "structure"
) -> Iterator[NDArray[np.float64]]:
    """Descriptors of a large structure, a chunk of atoms at a time and in their order.

    Memory beyond the structure is about 100 bytes per atom for the sorted images, and a few chunks.

    Parameters
    ----------
    structure : Structure or ase.Atoms
    basis : Basis
    chunk : atoms per chunk
    threads : threads that work on chunks; at most `threads` + 1 chunks are held

    Yields
    ------
    (at most `chunk`, max(basis.sizes)) rows as in `describe_compact`, of atoms 0, 1, 2, …

    Raises
    ------
    InputError
        As `describe`.
    """
    checked = as_structure(structure, basis, source)
    for _, rows in _chunks(checked, basis, chunk, threads, source, by_place=False):
        yield rows


def _chunks(
    structure: Structure, basis: Basis, chunk: int, threads: int, source: str, by_place: bool
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float64]]]:
    """Numbers and descriptors of atoms, chunk after chunk: in their own order, or where they lie (kinder to caches)."""
    tables = kernel_tables(basis)
    arrays = _arrays(structure)
    n = structure.n_atoms
    chunk = min(chunk, n)
    work = make_work(n, tables, chunk=chunk)
    while True:
        status = engine.sort_images(*arrays, tables.reach, tables.n_el, work)
        if status != GROW:
            break
        _check_images(work, source)
        work = larger_work(work, tables, chunk=chunk)
    _refuse(status, arrays, work, source)
    # order_by_place misses an atom only where two coincide, and those are refused with their names either way
    if not (by_place and engine.order_by_place(work, n)):
        work.atoms[:n] = np.arange(n)

    own = threading.local()

    def one(first: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        mine: Work | None = getattr(own, "work", None)
        if mine is None:
            mine = share_work(work, tables, chunk) if threads > 1 else work
        last = min(first + chunk, n)
        out = np.empty((last - first, tables.max_size))
        while True:
            status = engine.describe_range(arrays.species, tables, mine, mine.atoms, first, last, out)
            if status != GROW:
                break
            mine = share_work(mine, tables, chunk, pairs=int(mine.need[3]))
        own.work = mine
        _refuse(status, arrays, mine, source)
        return work.atoms[first:last], out

    starts = range(0, n, chunk)
    if threads <= 1:
        yield from map(one, starts)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[tuple[NDArray[np.int32], NDArray[np.float64]]]] = deque()
        for first in starts:
            waiting.append(pool.submit(one, first))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def neighbours(structure: Structure, cutoff: float) -> Neighbours:
    """All ordered pairs of atoms and images nearer than `cutoff` Å, for set-up and checks; an atom's own images count.

    Sorted by the first atom, then the second, then the vector.
    """
    from scipy.spatial import cKDTree

    cell = structure.cell
    inverse = np.linalg.inv(cell)
    fractional = structure.positions @ inverse
    turns = np.where(structure.pbc, np.floor(fractional), 0.0)
    home = structure.positions - turns @ cell
    reach = np.where(structure.pbc, np.ceil(cutoff * np.linalg.norm(inverse, axis=0)), 0).astype(int)
    low, high = home.min(axis=0) - cutoff, home.max(axis=0) + cutoff
    points, owners, own = [], [], []
    for shift in np.ndindex(*(2 * reach + 1)):
        moved = home + (np.array(shift) - reach) @ cell
        near = ((moved >= low) & (moved <= high)).all(axis=1)
        points.append(moved[near])
        owners.append(np.flatnonzero(near))
        own.append(np.full(int(near.sum()), not (np.array(shift) - reach).any()))
    images, owner, at_home = np.concatenate(points), np.concatenate(owners), np.concatenate(own)
    found = cKDTree(home).sparse_distance_matrix(cKDTree(images), cutoff, output_type="ndarray")
    first, image = found["i"].astype(np.int64), found["j"].astype(np.int64)
    other = ~(at_home[image] & (owner[image] == first))
    first, image = first[other], image[other]
    vectors = images[image] - home[first]
    order = np.lexsort((vectors[:, 2], vectors[:, 1], vectors[:, 0], owner[image], first))
    first, image, vectors = first[order], image[order], vectors[order]
    distances = np.sqrt((vectors**2).sum(axis=1))
    return Neighbours(first.astype(np.int32), owner[image].astype(np.int32), vectors, distances)
