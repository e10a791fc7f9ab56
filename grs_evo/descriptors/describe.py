"""Descriptors of structures, and gradients of functions of them.

Arguments are checked here, once; the kernels neither check nor raise. Values depend on the structure and the basis
alone: not on the number of threads, the chunks, or which atoms share vector lanes.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.descriptors.basis import Basis
from grs_evo.descriptors.threads.workers import Workers
from grs_evo.errors import InputError, expect
from grs_evo.kernels.ace import engine
from grs_evo.kernels.ace.tables import Tables, Work, kernel_tables, larger_images, larger_work, make_work, share_work
from grs_evo.kernels.geometry import images
from grs_evo.kernels.geometry.layout import GROW, MOST_PARTS, NOT_FINITE, OK, OVERLAP, SINGULAR
from grs_evo.kernels.geometry.pairs import nearest_in_range
from grs_evo.structures.structure import Structure, check_finite, checked_structure, is_atoms

# Atoms per chunk of large structures; fixed, so that sums over chunks do not depend on the machine.
CHUNK = 2048
# The last chunk of each thread is done in so many pieces, so that they end together.
_LATE = 4
# More images than this mean a cell far thinner than its cutoff, or a cutoff in the wrong unit.
_MAX_IMAGES = 400_000_000


class EmptyEnvironmentWarning(UserWarning):
    """Some atoms have no neighbour within the cutoff, so their descriptors are all zero."""


class _Arrays(NamedTuple):
    """A structure as the kernels take it: writable copies, so that one compiled version serves all callers."""

    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    species: NDArray[np.int32]
    pbc: NDArray[np.bool_]


def _checked(structure: Any, basis: Basis, source: str) -> Structure:
    """A Structure that kernels can be given: they tell of positions that are not finite."""
    return checked_structure(structure, basis.elements, source, positions=False)


def _arrays(structure: Structure) -> _Arrays:
    return _Arrays(structure.positions.copy(), structure.cell.copy(), structure.species.copy(), structure.pbc.copy())


def _refuse(status: int, structure: Structure | _Arrays, work: Work, source: str) -> None:
    """Raise InputError, naming what is wrong, for a status with which a kernel has refused a structure."""
    if status == OVERLAP:
        i, j, distance = closest(structure, int(work.need[0]))
        raise InputError(
            f"{source}: atoms {i} and {j} are on top of each other ({distance:.2e} Å apart); "
            f"descriptors need at least {engine.HAIR:g} Å"
        )
    if status == NOT_FINITE:
        check_finite(structure.positions, source)
        raise InputError(f"{source}: a position lies more than 1e9 cells away from the cell")
    if status == SINGULAR:
        raise InputError(f"{source}: the cell is singular; its vectors must not lie in one plane")


def closest(structure: Structure | _Arrays, atom: int) -> tuple[int, int, float]:
    """The pair that an atom makes with its nearest neighbour, itself only through its periodic images.

    Returns
    -------
    i, j, distance : numbers of the two atoms, the lower one first, and Å between them
    """
    inverse = np.linalg.inv(structure.cell)
    fractional = (structure.positions - structure.positions[atom]) @ inverse
    fractional[:, structure.pbc] -= np.round(fractional[:, structure.pbc])
    distances = np.linalg.norm(fractional @ structure.cell, axis=1)
    distances[atom] = min([np.linalg.norm(structure.cell[a]) for a in range(3) if structure.pbc[a]], default=np.inf)
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


def _warn_empty(empty: int, n_atoms: int, source: str) -> None:
    if empty:
        warnings.warn(
            f"{source}: {empty} of {n_atoms} atoms have no neighbour within the cutoff; their descriptors are zero",
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
    checked = _checked(structure, basis, source)
    if checked.n_atoms > CHUNK:
        out = np.empty((checked.n_atoms, max(basis.sizes)))
        lone = sum(lone for _, lone in _chunks(checked, basis, CHUNK, threads, source, into=out))
    else:
        work, out = _evaluate(_arrays(checked), kernel_tables(basis), source)
        lone = int(work.shape[7])
    if warn:
        _warn_empty(lone, checked.n_atoms, source)
    return out


def describe(structure: Any, basis: Basis, *, threads: int = 1, source: str = "structure") -> NDArray[np.float64]:
    """ACE descriptors of every atom (arXiv:2409.13871 eqs. 8-12).

    Parameters
    ----------
    structure : Structure or ase.Atoms, or several of them: the rows of one follow those of the other
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
    expect(basis, Basis, "basis", "describe(structure, basis)")
    if isinstance(structure, Iterable) and not is_atoms(structure) and not isinstance(structure, str):
        several = (describe(one, basis, threads=threads, source=f"{source} {k}") for k, one in enumerate(structure))
        return np.concatenate([np.empty((0, basis.n_desc)), *several])
    checked = _checked(structure, basis, source)
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
    checked = _checked(structure, basis, source)
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


def gradients(
    structure: Any, basis: Basis, *, source: str = "structure"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each function summed over all atoms, Σ_i B_i (n_desc,), and d(Σ_i B_i)/dR (n_desc, n_atoms, 3) in 1/Å.

    What a linear potential's energy and forces are made of. Columns as in `describe`, which raises the same errors.
    """
    checked = _checked(structure, basis, source)
    tables = kernel_tables(basis)
    arrays = _arrays(checked)
    work, rows = _evaluate(arrays, tables, source)
    sums, slopes = np.zeros(basis.n_desc), np.zeros((basis.n_desc, checked.n_atoms, 3))
    adjoint, strain = np.zeros((checked.n_atoms, tables.max_size)), np.empty((3, 3))
    for element, size in enumerate(basis.sizes):
        own = checked.species == element
        if not own.any():
            continue
        first = basis.columns(element).start
        sums[first : first + size] = rows[own, :size].sum(axis=0)
        for k in range(size):
            adjoint[own, k] = 1.0
            engine.pull_into(*arrays, tables, adjoint, work, slopes[first + k], strain)
            adjoint[own, k] = 0.0
    return sums, slopes


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
    checked = _checked(structure, basis, source)
    for rows, _ in _chunks(checked, basis, chunk, threads, source):
        if rows is not None:
            yield rows


class Chunk(NamedTuple):
    """Some atoms of a large structure, described."""

    first: int  # number of the first atom
    rows: NDArray[np.float64]  # (n, max_size) compact descriptors; overwritten when the task has returned
    species: NDArray[np.int32]  # (n,)
    squared: NDArray[np.float64]  # (n_el, n_el) least squared distance from an element to another, Å²; inf: none
    owner: NDArray[np.int64]  # (n_el, n_el) the atom that has it; -1: none


def map_chunks(
    structure: Structure,
    basis: Basis,
    task: Callable[[Chunk], Any],
    starts: Sequence[int],
    reach: float,
    *,
    threads: int = 1,
    source: str = "structure",
) -> Iterator[Any]:
    """What a task makes of chunks of a large structure, in their order; tasks run in the threads that describe.

    Memory is as in `stream_descriptors`, besides what the tasks return.

    Parameters
    ----------
    structure : checked, see `structure.checked_structure`
    task : must keep no view of its chunk's rows
    starts : first atoms of the chunks wanted, multiples of CHUNK
    reach : Å; shortest distances are looked for below it, or below the longest cutoff

    Raises
    ------
    InputError
        As `describe`.
    """
    n_el = len(basis.elements)

    def reduced(first: int, rows: NDArray[np.float64], work: Work) -> Any:
        last = first + len(rows)
        squared, owner = np.empty((n_el, n_el)), np.empty((n_el, n_el), np.int64)
        within = min(reach, float(kernel_tables(basis).reach))
        while nearest_in_range(structure.species, n_el, work, first, last, within, squared, owner) == GROW:
            work = share_work(work, kernel_tables(basis), CHUNK, pairs=int(work.need[3]))
        return task(Chunk(first, rows, structure.species[first:last], squared, owner))

    yield from _chunks(structure, basis, CHUNK, threads, source, then=reduced, starts=starts)


class _Piece(NamedTuple):
    """Some atoms of a chunk, mostly all of them."""

    first: int
    last: int  # its last atom + 1
    whole: NDArray[np.float64] | None  # the rows of its chunk, where it is the chunk's last piece and these are kept
    rows: NDArray[np.float64] | None  # its own of them


def _chunks(
    structure: Structure,
    basis: Basis,
    chunk: int,
    threads: int,
    source: str,
    into: NDArray[np.float64] | None = None,
    then: Callable[[int, NDArray[np.float64], Work], Any] | None = None,
    starts: Sequence[int] | None = None,
) -> Iterator[Any]:
    """Descriptors of atoms, piece after piece, and how many of them have no neighbour; or what `then` makes of chunks.

    In the atoms' own order, the rows of a chunk with its last piece; or, straight into the rows of a
    (n_atoms, max_size) array, in the order in which they lie in space, so that the neighbours of consecutive atoms are
    in the cache.
    """
    tables = kernel_tables(basis)
    n, species = structure.n_atoms, structure.species
    chunk = min(chunk, n)
    own = threading.local()
    with Workers(threads) as workers:
        work = _sorted_images(structure, tables, chunk, workers, source)
        if into is not None:
            _by_place(work, n, workers)

        # rows that are copied go through the same memory each time: spread over a large array they miss all caches
        reused = into is not None or then is not None
        own.work, own.rows = work, np.empty((chunk if reused else 0, tables.max_size))

        def one(piece: _Piece) -> Any:
            first, last, _, rows = piece
            mine: Work | None = getattr(own, "work", None)
            if mine is None:
                mine = share_work(work, tables, chunk)
                own.rows = np.empty((chunk if reused else 0, tables.max_size))
            out = own.rows[: last - first] if rows is None else rows
            while True:
                status = engine.describe_range(species, tables, mine, mine.atoms, first, last, out)
                if status != GROW:
                    break
                mine = share_work(mine, tables, chunk, pairs=int(mine.need[3]))
            own.work = mine
            _refuse(status, structure, mine, source)
            if then is not None:
                return then(first, out, mine)
            if into is not None:
                into[work.atoms[first:last]] = out
            return piece.whole, int(mine.shape[7])

        def pieces() -> Iterator[_Piece]:
            begins = range(0, n, chunk) if starts is None else starts
            for k, first in enumerate(begins):
                last = min(first + chunk, n)
                rows = None if reused else np.empty((last - first, tables.max_size))
                is_late = then is None and len(begins) - k <= threads
                parts = min(_LATE, last - first) if is_late and threads > 1 else 1
                for at, end in pairwise(first + (last - first) * part // parts for part in range(parts + 1)):
                    part = None if rows is None else rows[at - first : end - first]
                    yield _Piece(at, end, rows if end == last else None, part)

        yield from workers.in_order(one, pieces())


def _sorted_images(structure: Structure, tables: Tables, chunk: int, workers: Workers, source: str) -> Work:
    """Scratch that holds the sorted images of a large structure. The threads also are the first to touch its memory."""
    positions, cell, species, pbc = structure.positions, structure.cell, structure.species, structure.pbc
    n, shares = structure.n_atoms, min(workers.threads, MOST_PARTS)
    ends = [n * k // shares for k in range(shares + 1)]
    work = make_work(n, tables, chunk=chunk)
    status = images.frame_images(n, cell, pbc, tables.reach, work)
    if status == OK:
        wrap = lambda k: images.wrap_atoms(positions, cell, pbc, work, k, ends[k], ends[k + 1])  # noqa: E731
        status = max(workers.all(wrap, shares))
    _refuse(status, structure, work, source)
    images.span_atoms(work, shares)
    workers.all(lambda k: images.count_atoms(work, k, ends[k], ends[k + 1]), shares)
    while images.lay_grid(work, shares, tables.reach, tables.n_el) == GROW:
        _check_images(work, source)
        work = larger_images(work)
    workers.all(lambda k: images.make_images(cell, species, tables.reach, work, k, ends[k], ends[k + 1]), shares)
    workers.all(lambda k: images.sort_bins(work, shares, tables.n_el, k, shares), shares)
    return work


def _by_place(work: Work, n: int, workers: Workers) -> None:
    """Put the atoms into the order in which they lie. Their own stays where one is missed, which only happens where two
    coincide, and is refused."""
    shares = min(workers.threads, MOST_PARTS)
    workers.all(lambda k: images.count_home(work, k, shares), shares)
    workers.all(lambda k: images.order_by_place(work, k, shares, n), shares)
