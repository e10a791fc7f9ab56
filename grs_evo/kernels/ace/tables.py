"""What the kernels know of a basis, as flat arrays, and the scratch arrays they work in."""

from __future__ import annotations

import contextlib
import math
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.ace.interpreter import FEWEST, SEGMENTS, SPREAD, Layout, lay_out
from grs_evo.kernels.bundles import bundle
from grs_evo.kernels.geometry.layout import MOST_PARTS, PART, SECTIONS
from grs_evo.kernels.simd import LANES, WIDE

# Columns of Tables.radial, one row per ordered pair (central, neighbour).
RC, RC_INVERSE, LAM_OVER_RC, SLOPE_ADD, TAPER_FROM, TAPER, INNER_TO, INNER, COLUMNS = 0, 1, 2, 3, 4, 5, 6, 7, 8

# Atoms that share the steps of a program: two vectors.
BLOCK = 2 * LANES

# Fields of a block of eight pairs, eight numbers each.
DX, DY, DZ, R_INVERSE, CHEB, ENV, CHEB_SLOPE, ENV_SLOPE, FIELDS = 0, 8, 16, 24, 32, 40, 48, 56, 64


# Value buffers kept between values and gradient, at most; most of a common second-level cache.
_KEPT_BYTES = 1_500_000

# Largest truncation error of the polynomials, absolute, on values of order one.
_TRUNCATION = 1e-17


@bundle
class Tables(NamedTuple):
    """A basis as flat arrays for the kernels. Made by `kernel_tables`."""

    n_el: int
    l_max: int
    wide_k: (
        int  # moments for each (l, m): most radial functions of any l, rounded up to a multiple of eight; 0 if `fast`
    )
    rows: int  # rows of A per neighbour element
    rows8: int  # moments per neighbour element, a multiple of eight
    max_size: int  # functions of the element that has most
    n_rows_max: int  # rows of the largest value buffer
    fast: bool  # l <= 2 with at most 8, 2, 2 radial functions: the fused kernels
    full: bool  # l <= 2 with exactly 8, 2, 2
    n_of_l: NDArray[np.int64]  # (l_max + 1,)
    l_offset: NDArray[np.int64]  # (l_max + 1,)
    row_scale: NDArray[np.float64]  # (rows,) from an accumulated moment to one of the real harmonics
    reach: float  # Å, largest cutoff
    radial: NDArray[np.float64]  # (n_el * n_el * COLUMNS,)
    cheb: NDArray[np.float64]  # (n_el * n_el * (degree + 1),) Chebyshev argument x as polynomial in r / rc - 1/2
    degree: int
    climb: NDArray[np.float64]  # (2, (l_max + 1)²) recursion of the associated Legendre functions
    slope: NDArray[np.float64]  # ((l_max + 1)²,) d/dz of them
    n_groups: int  # distinct programs; elements with the same functions share one
    group: NDArray[np.int64]  # (n_el,) program of each element
    tail: NDArray[np.float64]  # (4 LANES,) ones, then zeros: weights of a block that is not full
    sizes: NDArray[np.int64]  # (n_groups,) functions
    n_a: NDArray[np.int64]  # (n_groups,) rows of A, all neighbour elements
    n_rows: NDArray[np.int64]  # (n_groups,) rows of the value buffer
    b_rows: NDArray[np.int32]  # functions' rows of all programs; rows are counted in numbers (row times BLOCK)
    b_from: NDArray[np.int64]  # (n_groups,)
    segments: NDArray[np.int64]  # (n_groups, 4) first and last phase of each program, forward and backward
    phases: NDArray[np.int64]  # (n_phases * 4,) these and the rest as in `interpreter.Layout`, of all programs
    dst: NDArray[np.int32]
    start: NDArray[np.int32]
    x: NDArray[np.int32]
    y: NDArray[np.int32]
    c: NDArray[np.float64]
    base: NDArray[np.int32]
    strip_start: NDArray[np.int32]
    other: NDArray[np.int32]
    scalar: NDArray[np.int32]
    factor: NDArray[np.float64]
    c_single: NDArray[np.float32]  # the same in single precision
    factor_single: NDArray[np.float32]


@bundle
class Work(NamedTuple):
    """Scratch of the kernels. `need` says what was missing when a kernel returned GROW."""

    need: NDArray[np.int64]  # (5,) atoms, images, bins, pairs, candidates of kept lists
    grid: NDArray[np.float64]  # (33,) origin, width and inverse width of the bins along x, y, z; scratch of sort_images
    # (9,) bins along x, y, z; images; slots; pair blocks; 1 if values are kept; lone atoms; 1 if pairs are singles
    shape: NDArray[np.int64]
    parts: NDArray[np.float64]  # (MOST_PARTS * PART,) one row per range of atoms, see geometry/layout.py
    shift: NDArray[np.float64]  # (n_atoms * 3,) fractional coordinates, wrapped
    home: NDArray[np.float64]  # (n_atoms * 3,) positions inside the cell, Å
    atoms: NDArray[np.int32]  # (n_atoms,) the order in which atoms are worked on
    gx: NDArray[np.float64]  # images sorted by element, column, z
    gy: NDArray[np.float64]
    gz: NDArray[np.float64]
    gid: NDArray[np.int32]
    raw: NDArray[np.float64]  # (n_images * 3,) images in the order they are made
    raw_id: NDArray[np.int32]
    raw_key: NDArray[np.int32]
    bins: NDArray[np.int32]  # first image of each bin
    kept: NDArray[np.int64]  # lists that are kept, see geometry/kept.py; the four are empty until they are wanted
    kept_real: NDArray[np.float64]
    kept_images: NDArray[np.float64]  # (n_images * 8,) where images are, x y z and a 0 each, and then their shifts
    kept_ids: NDArray[np.int32]  # each image's atom; candidates' images; candidates' atoms
    slots: NDArray[np.int32]  # atoms by program, each program's padded with -1 to whole blocks
    slot_rows: NDArray[np.int32]  # row of B of each slot
    section: NDArray[np.int64]  # (n_slots * n_el + 1,) first block of pairs of each slot and neighbour element
    sx: NDArray[np.float64]  # neighbours of one section
    sy: NDArray[np.float64]
    sz: NDArray[np.float64]
    pair: NDArray[np.float64]  # (n_blocks * FIELDS,)
    pair_id: NDArray[np.int32]  # (n_blocks * LANES,)
    moments: NDArray[np.float64]  # (n_slots * n_el * rows8,) Chebyshev moments
    adjoint: NDArray[np.float64]  # (BLOCK * n_el * rows8,) their adjoints, one block of atoms
    spare: NDArray[np.float64]  # rows of lanes: harmonics, transposes
    values: NDArray[np.float64]  # ((blocks kept + 1) * n_rows_max * BLOCK,) value buffers, adjoints after the last
    lane_rows: NDArray[np.int64]  # (BLOCK,) where the rows of B of a block's atoms start
    push: NDArray[np.float64]  # ((n_atoms + WIDE) * 4,) gradient on neighbours, and on those that fill blocks up
    total: NDArray[np.float64]  # (16,)


def aligned(n: int) -> NDArray[np.float64]:
    """Zeros on a cache-line border, so that no vector straddles two lines."""
    made = _unset(n)
    made[:] = 0.0
    return made


def _unset(n: int) -> NDArray[np.float64]:
    """The same without the zeros, for what is written before it is read: the thread that writes it touches it first."""
    buffer = np.empty(n + LANES)
    skip = (-buffer.ctypes.data % 64) // 8
    return buffer[skip : skip + n]


def make_work(
    n_atoms: int, tables: Tables, images: int = 0, bins: int = 0, pairs: int = 0, chunk: int = 0, listed: int = 0
) -> Work:
    """Scratch for structures of up to `n_atoms` atoms; the other sizes are first guesses.

    With `chunk`, space for values of that many atoms at a time, without gradients. With `listed`, space for kept lists
    of that many candidates.
    """
    n = max(int(n_atoms), 1)
    images = max(int(images), 16 * n if n <= 4096 else 2 * n, 1024)
    own = _own_arrays(chunk or n, tables, int(pairs), keep=not chunk)
    return Work(
        grid=np.zeros(33),
        shift=np.empty(3 * n),
        home=np.empty(3 * n),
        **_image_arrays(images, max(int(bins), images // 2)),
        shape=np.zeros(9, np.int64),
        parts=aligned(MOST_PARTS * PART),
        atoms=np.empty(n, np.int32),
        **_kept_arrays(n, tables.n_el, images if listed else 0, listed),
        **own,
    )


def _image_arrays(images: int, bins: int) -> dict[str, NDArray[Any]]:
    return {
        "gx": _unset(images + LANES),
        "gy": _unset(images + LANES),
        "gz": _unset(images + LANES),
        "gid": np.empty(images + LANES, np.int32),
        "raw": np.empty(3 * images),
        "raw_id": np.empty(images, np.int32),
        "raw_key": np.empty(images, np.int32),
        "bins": np.empty(bins + 2, np.int32),
    }


def _kept_arrays(n: int, n_el: int, images: int, listed: int) -> dict[str, NDArray[Any]]:
    """Arrays of lists that are kept; only their state where there is no space for any."""
    return {
        "kept": np.zeros(SECTIONS + (n * n_el + 1 if listed else 0), np.int64),
        "kept_real": np.zeros(18 + 6 * n if listed else 0),
        "kept_images": aligned(8 * images),
        "kept_ids": np.zeros(images + 2 * (listed + LANES) if listed else 0, np.int32),
    }


def _own_arrays(n: int, tables: Tables, pairs: int, keep: bool) -> dict[str, NDArray[Any]]:
    """The arrays that each thread has of its own."""
    # all pairs for a gradient, those of one atom for values only
    pairs = max(pairs, n * (80 + LANES * tables.n_el) if keep else 0, 2048)
    blocks = (pairs + LANES - 1) // LANES + 2
    n_slots = n + BLOCK * tables.n_groups
    lm = (tables.l_max + 1) ** 2
    # value buffers of all blocks when they are small enough to stay in a cache, so that the gradient need not redo them
    kept = -(-n_slots // BLOCK)
    if not keep or kept * tables.n_rows_max * BLOCK * 8 > _KEPT_BYTES:
        kept = 1
    return {
        "need": np.zeros(5, np.int64),
        "slots": np.zeros(n_slots, np.int32),
        "slot_rows": np.zeros(n_slots, np.int32),
        "section": np.zeros(n_slots * tables.n_el + 1, np.int64),
        "sx": aligned(pairs + 2 * LANES),
        "sy": aligned(pairs + 2 * LANES),
        "sz": aligned(pairs + 2 * LANES),
        "pair": aligned(blocks * FIELDS),
        "pair_id": np.zeros(blocks * LANES, np.int32),
        "moments": aligned(n_slots * tables.n_el * tables.rows8),
        "adjoint": aligned(BLOCK * tables.n_el * tables.rows8),
        "spare": aligned(LANES * (3 * lm + 2 * tables.wide_k + tables.rows8 + LANES)),
        "values": aligned((kept + 1) * tables.n_rows_max * BLOCK),
        "lane_rows": np.zeros(BLOCK, np.int64),
        "push": aligned(4 * (n + WIDE)),
        "total": np.zeros(16),
    }


def share_work(work: Work, tables: Tables, chunk: int, pairs: int = 0) -> Work:
    """Another thread's scratch for chunks of the structure whose images `work` holds."""
    return work._replace(**_own_arrays(chunk, tables, pairs, keep=False), shape=work.shape.copy())


def larger_images(work: Work) -> Work:
    """The same scratch with space for the images and bins that `work.need` says were missing."""
    images, bins = int(work.need[1]), int(work.need[2])
    images = max(images, len(work.gid) - LANES)
    return work._replace(**_image_arrays(images, max(bins, len(work.bins) - 2, images // 2)))


def larger_work(work: Work, tables: Tables, chunk: int = 0) -> Work:
    """Scratch with space for what `work.need` says was missing, and a quarter more."""
    atoms, images, bins, pairs, listed = (int(k) for k in work.need)
    held = (len(work.kept_ids) - len(work.kept_images) // 8) // 2 - LANES
    return make_work(
        max(atoms, len(work.home) // 3),
        tables,
        images=max(images + images // 4, len(work.gid) - LANES),
        bins=max(bins + bins // 4, len(work.bins) - 2),
        pairs=max(pairs, len(work.sx) - 2 * LANES),
        chunk=chunk,
        listed=max(listed + listed // 4, held, 0),
    )


def _exponential(lam: float, degree: int) -> NDArray[np.float64]:
    """x(y) = 1 - 2 (e^{-lam s} - e^{-lam}) / (1 - e^{-lam}), s = y + 1/2, expanded about y = 0.

    The coefficients are a_0 = tanh(lam / 4), a_k = -(-lam)^k / (k! sinh(lam / 2)): no cancellation for small lam.
    """
    with localcontext() as context:
        context.prec = 40
        half = Decimal(lam) / 2
        term = 2 / (half.exp() - (-half).exp())
        out = np.empty(degree + 1)
        out[0] = math.tanh(lam / 4)
        for k in range(1, degree + 1):
            term *= -Decimal(lam) / k
            out[k] = float(-term)
    return out


def polynomial_degree(lam: float) -> int:
    """Smallest degree at which the expansion of `_exponential` is exact to rounding."""
    degree = 1
    log_sinh = lam / 2 + math.log(-math.expm1(-lam) / 2)
    limit = math.log(_TRUNCATION) + log_sinh
    while degree < lam / 2 or (degree + 1) * math.log(lam / 2) - math.lgamma(degree + 2) > limit:
        degree += 1
    return degree


def _legendre(l_max: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Recursion for Q_lm(z) with Y_lm = Q_lm(z) · Re or Im (x + iy)^|m|, normalised so that Y_00 = 1.

    Q_mm is climb[0]; Q_lm = climb[0] z Q_{l-1,m} + climb[1] Q_{l-2,m} for l > m; dQ_lm/dz = slope Q_{l,m+1}.
    """
    size = (l_max + 1) ** 2
    climb, slope = np.zeros((2, size)), np.zeros(size)

    def norm(l: int, m: int) -> float:
        log = math.lgamma(l - m + 1) - math.lgamma(l + m + 1)
        return math.sqrt((2 * l + 1) * (2.0 if m else 1.0)) * math.exp(0.5 * log)

    for l in range(l_max + 1):
        for m in range(l + 1):
            at = l * (l_max + 1) + m
            if l == m:
                climb[0, at] = norm(m, m) * math.prod(range(1, 2 * m, 2))
            else:
                climb[0, at] = (2 * l - 1) / (l - m) * norm(l, m) / norm(l - 1, m)
                if l - 2 >= m:
                    climb[1, at] = -(l + m - 1) / (l - m) * norm(l, m) / norm(l - 2, m)
            if m < l:
                slope[at] = norm(l, m) / norm(l, m + 1)
    return climb, slope


# What the fused kernels accumulate, times this, is the real harmonic (m = -l … l; l = 0, 1, 2).
_FAST_SCALE = (
    (1.0,),
    (math.sqrt(3.0),) * 3,
    (math.sqrt(15.0), math.sqrt(15.0), 1.5 * math.sqrt(5.0), math.sqrt(15.0), 0.5 * math.sqrt(15.0)),
)
_FAST_COUNTS = (8, 2, 2)


def _whole(n: int) -> int:
    """Rounded up to whole vectors."""
    return -(-n // LANES) * LANES


def kernel_tables(basis: Any) -> Tables:
    """A basis as flat arrays for the kernels; made once and kept on the basis."""
    kept: Tables | None = getattr(basis, "__dict__", {}).get("_kernel_tables")
    if kept is not None:
        return kept
    tables = make_tables(basis)
    with contextlib.suppress(AttributeError):
        object.__setattr__(basis, "_kernel_tables", tables)
    return tables


def make_tables(basis: Any, fewest: int = FEWEST) -> Tables:
    """A basis as flat arrays for the kernels, its programs in strips where these take at least `fewest` steps out."""
    n_el = len(basis.elements)
    n_of_l = np.array(basis.n_of_l, dtype=np.int64)
    l_max = len(n_of_l) - 1
    widths = n_of_l * (2 * np.arange(l_max + 1) + 1)
    l_offset = np.concatenate([[0], np.cumsum(widths)[:-1]]).astype(np.int64)
    rows = int(widths.sum())
    fast = l_max <= 2 and all(n <= limit for n, limit in zip(n_of_l, _FAST_COUNTS, strict=False))

    radial = np.zeros((n_el, n_el, COLUMNS))
    # whole groups of four terms, as the kernel unrolls them
    degree = -(-max(polynomial_degree(abs(float(lam))) for lam in np.ravel(basis.lam)) // 4) * 4
    cheb = np.zeros((n_el, n_el, degree + 1))
    for i in range(n_el):
        for j in range(n_el):
            rc, lam = float(basis.cutoff[i, j]), float(basis.lam[i, j])
            inner, taper = float(basis.cutoff_in[i, j]), float(basis.taper[i, j])
            row = radial[i, j]
            row[RC], row[RC_INVERSE], row[LAM_OVER_RC] = rc, 1.0 / rc, lam / rc
            row[SLOPE_ADD] = 2.0 / math.expm1(lam)
            row[TAPER_FROM], row[TAPER] = (rc - taper, taper) if taper > 0.0 else (2.0 * rc, 1.0)
            row[INNER_TO], row[INNER] = (inner, float(basis.taper_in[i, j])) if inner > 0.0 else (0.0, 1.0)
            cheb[i, j] = _exponential(lam, degree)

    scale = np.ones(rows)
    if fast:
        for l in range(l_max + 1):
            for n in range(n_of_l[l]):
                at = l_offset[l] + n * (2 * l + 1)
                scale[at : at + 2 * l + 1] = _FAST_SCALE[l]
    climb, slope = _legendre(l_max)
    # a moment for each row of A, or whole vectors of radial functions for each (l, m)
    wide_k = 0 if fast else _whole(int(n_of_l.max()))
    rows8 = _whole(rows) if fast else (l_max + 1) ** 2 * wide_k

    b_rows, b_from, n_functions = [], [], 0
    programs: list[Any] = []
    group = np.zeros(n_el, np.int64)
    for element, program in enumerate(basis.programs):
        same = [k for k, one in enumerate(programs) if one is program]
        group[element] = same[0] if same else len(programs)
        if same:
            continue
        programs.append(program)
        b_rows.append(np.asarray(program.b_rows, dtype=np.int32) * BLOCK)
        b_from.append(n_functions)
        n_functions += len(program.b_rows)

    sizes = np.array([len(program.b_rows) for program in programs], dtype=np.int64)
    return Tables(
        n_el=n_el,
        l_max=l_max,
        wide_k=wide_k,
        rows=rows,
        rows8=rows8,
        max_size=int(sizes.max()),
        n_rows_max=max(int(program.n_rows) for program in basis.programs),
        fast=bool(fast),
        full=tuple(n_of_l) == _FAST_COUNTS,
        n_of_l=n_of_l,
        l_offset=l_offset,
        row_scale=scale,
        reach=float(np.max(basis.cutoff)),
        radial=radial.ravel(),
        cheb=cheb.ravel(),
        degree=degree,
        climb=np.ascontiguousarray(climb),
        slope=slope,
        n_groups=len(programs),
        group=group,
        tail=np.repeat([1.0, 0.0], 2 * LANES),
        sizes=sizes,
        n_a=np.array([program.n_a for program in programs], dtype=np.int64),
        n_rows=np.array([program.n_rows for program in programs], dtype=np.int64),
        b_rows=np.concatenate(b_rows),
        b_from=np.array(b_from, dtype=np.int64),
        **_program_arrays([lay_out(program, fewest) for program in programs]),
    )


def _program_arrays(layouts: list[tuple[Layout, Layout]]) -> dict[str, NDArray[Any]]:
    """The layouts of all programs one after the other; rows become numbers, and ends go on counting."""
    found: dict[str, list[NDArray[Any]]] = {name: [] for name in Layout._fields}
    segments: list[list[int]] = []
    ends = {"start": np.zeros(1, np.int64), "strip_start": np.zeros(1, np.int64)}
    n_phases, counted = 0, {SEGMENTS: 0, SPREAD: 0}
    for both in layouts:
        segments.append([])
        for one in both:
            phases = one.phases.copy()
            for phase in phases:
                phase[2:] += counted[SEGMENTS if phase[0] == SEGMENTS else SPREAD]
            counted[SEGMENTS] += len(one.dst)
            counted[SPREAD] += len(one.base)
            segments[-1] += [n_phases, n_phases + len(phases)]
            n_phases += len(phases)
            found["phases"].append(phases.ravel())
            for name in ("dst", "x", "y", "base", "other", "scalar"):
                found[name].append(getattr(one, name) * BLOCK)
            for name in ("c", "factor"):
                found[name].append(getattr(one, name))
            for name, end in ends.items():
                found[name].append(end[-1] + getattr(one, name)[1:])
                ends[name] = np.concatenate([end, found[name][-1]])
    out: dict[str, NDArray[Any]] = {name: np.concatenate(parts) for name, parts in found.items()} | ends
    for name in ("dst", "start", "x", "y", "base", "strip_start", "other", "scalar"):
        out[name] = out[name].astype(np.int32)
    for name in ("c", "factor"):
        out[f"{name}_single"] = out[name].astype(np.float32)
    return out | {"segments": np.array(segments, dtype=np.int64)}
