"""Compiled: run a bilinear program, `row[dst] = Σ c · row[x] · row[y]`, on eight or sixteen atoms at once.

One interpreter serves every basis, forward and backward: nothing has to be compiled when the basis changes. What a step
costs are its loads: two rows for one multiply-add. A product of two sets of components, Σ_m X_m Y_m, is met by each X
with many Y, so X can stay in registers: a *strip* is one X with all its Y, forward (`spread`: a scalar for each Y) and
backward (`gather`: into the adjoint of X, from the adjoints of these scalars), and needs one row for a multiply-add.
`lay_out` finds the strips of a program; wide programs have most of their products in them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.compiling import apart, inner
from grs_evo.kernels.simd import LANES, filled_full, fma, item, load_full, pointer, single, store, which_of

# Columns of `Layout.phases`: what it runs, components of its strips, first and last segment or strip.
SEGMENTS, SPREAD, GATHER = 0, 1, 2
# Components of X that strips have code for.
WIDTHS = (1, 3, 5, 7, 9)
# Strips are used where they take at least this many steps out of a forward program. The paper's basis has 96, 458 and
# 1,277 for one, two and three elements, which gain nothing; Fe-Cr-Si-V to rank 3 has 2,532.
FEWEST = 1500

# The most atoms that share the steps of a program: two vectors, next to each other in a row.
_ROW = 2 * LANES


class Layout(NamedTuple):
    """One direction of a program as the interpreter runs it; rows are counted in rows."""

    phases: NDArray[np.int64]  # (n, 4)
    dst: NDArray[np.int64]
    start: NDArray[np.int64]  # steps of segment s are start[s] … start[s + 1]
    x: NDArray[np.int64]
    y: NDArray[np.int64]
    c: NDArray[np.float64]
    base: NDArray[np.int64]  # first row of X of each strip; of its adjoint in a gathering one
    strip_start: NDArray[np.int64]
    other: NDArray[np.int64]  # first row of Y of each entry of a strip
    scalar: NDArray[np.int64]  # the entry's scalar; its adjoint in a gathering one
    factor: NDArray[np.float64]  # scalar = factor · Σ_m X_m Y_m


class _Dot(NamedTuple):
    dst: int
    width: int
    x: int
    y: int
    factor: float


class _Piece(NamedTuple):
    """A segment or a strip, and the rows that it reads and writes."""

    kind: int
    size: int  # steps of a segment, components of a strip
    writes: NDArray[Any]
    reads: NDArray[Any]
    parts: tuple[Any, ...]


# ---------------------------------------------------------------------------------------------------------------------
# layout


def lay_out(program: Any, fewest: int = FEWEST) -> tuple[Layout, Layout]:
    """A program (`descriptors.program.Program`) forward and backward, with strips where these pay.

    Parameters
    ----------
    fewest : use strips where they take at least so many steps out of the forward program
    """
    forward = _segments(program.fwd_dst, program.fwd_start, program.fwd_x, program.fwd_y, program.fwd_c)
    backward = _segments(program.bwd_dst, program.bwd_start, program.bwd_x, program.bwd_y, program.bwd_c)
    dots = _dots(forward)
    taken = sum(dot.width for dot in dots.values())
    if taken >= fewest:
        forward, backward = _spreading(forward, dots), _gathering(backward, dots, int(program.n_rows))
    return _scheduled(forward, int(program.n_rows)), _scheduled(backward, 2 * int(program.n_rows))


def _segments(*arrays: Any) -> list[_Piece]:
    dst, start, x, y, c = (np.asarray(array) for array in arrays)
    out = []
    for s, row in enumerate(dst):
        own = slice(int(start[s]), int(start[s + 1]))
        out.append(_segment(int(row), x[own], y[own], c[own]))
    return out


def _segment(row: int, x: NDArray[Any], y: NDArray[Any], c: NDArray[Any]) -> _Piece:
    return _Piece(SEGMENTS, len(x), np.array([row]), np.concatenate([x, y]), (row, x, y, c))


def _dots(segments: list[_Piece]) -> dict[int, _Dot]:
    """Segments that are one product Σ_m X_m Y_m, by the row they write.

    Rows that belong to X or Y of one width belong to none of another: the components of an adjoint are gathered as one.
    """
    found: list[_Dot] = []
    for segment in segments:
        row, x, y, c = segment.parts
        if segment.size not in WIDTHS or np.any(c != c[0]):
            continue
        rise = np.arange(segment.size)
        if np.array_equal(x, x[0] + rise) and np.array_equal(y, y[0] + rise):
            found.append(_Dot(row, segment.size, int(x[0]), int(y[0]), float(c[0])))
    sets: dict[int, tuple[int, int]] = {}  # row: first row and width of its set
    for dot in sorted(found, key=lambda dot: -dot.width):
        for base in (dot.x, dot.y):
            for row in range(base, base + dot.width):
                sets.setdefault(row, (base, dot.width))
    fits = {(row, *own) for row, own in sets.items()}
    return {
        dot.dst: dot
        for dot in found
        if all((base + m, base, dot.width) in fits for base in (dot.x, dot.y) for m in range(dot.width))
    }


def _spreading(segments: list[_Piece], dots: dict[int, _Dot]) -> list[_Piece]:
    """Dots of equal depth with a common X joined, each with the one of its two sets that has most."""
    depth: dict[int, int] = {}
    for segment in segments:
        depth[int(segment.writes[0])] = 1 + max((depth.get(int(row), 0) for row in segment.reads), default=0)
    met: Counter[tuple[int, int]] = Counter()
    for dot in dots.values():
        met.update({(depth[dot.dst], dot.x), (depth[dot.dst], dot.y)})
    strips: dict[tuple[int, int, int], list[tuple[int, _Dot]]] = defaultdict(list)
    for dot in dots.values():
        x, y = (dot.x, dot.y) if met[depth[dot.dst], dot.x] >= met[depth[dot.dst], dot.y] else (dot.y, dot.x)
        strips[depth[dot.dst], dot.width, x].append((y, dot))
    rest = [segment for segment in segments if int(segment.writes[0]) not in dots]
    made = []
    for (level, width, x), entries in strips.items():
        made.append((level, _strip(SPREAD, width, x, [(y, dot.dst, dot.factor) for y, dot in entries])))
    leveled = [(depth[int(segment.writes[0])], segment) for segment in rest] + made
    return [piece for _, piece in sorted(leveled, key=lambda item: item[0])]


def _gathering(segments: list[_Piece], dots: dict[int, _Dot], shift: int) -> list[_Piece]:
    """The same dots in the adjoint: each set with all that were made of it, after what else its rows gather."""
    readers: dict[tuple[int, int], list[tuple[int, int, float]]] = defaultdict(list)
    for dot in dots.values():
        if dot.width == 1:  # nothing to keep in registers
            continue
        scalar = shift + dot.dst
        if dot.x == dot.y:
            readers[dot.x, dot.width].append((dot.x, scalar, 2.0 * dot.factor))
        else:
            readers[dot.x, dot.width].append((dot.y, scalar, dot.factor))
            readers[dot.y, dot.width].append((dot.x, scalar, dot.factor))
    gathered = {shift + dot.dst for dot in dots.values() if dot.width > 1}
    sets = {shift + base + m: (base, width) for base, width in readers for m in range(width)}
    left = {key: key[1] for key in readers}
    out = []
    for segment in segments:
        row, x, y, c = segment.parts
        rest = np.array([a == row or a not in gathered for a in x.tolist()], bool)
        out.append(_segment(row, x[rest], y[rest], c[rest]))
        if row in sets:
            base, width = sets[row]
            left[base, width] -= 1
            if left[base, width] == 0:
                out.append(_strip(GATHER, width, shift + base, readers[base, width]))
    return out


def _strip(kind: int, width: int, base: int, entries: list[tuple[int, int, float]]) -> _Piece:
    own = np.arange(base, base + width)
    others = np.concatenate([np.arange(other, other + width) for other, _, _ in entries])
    scalars = np.array([scalar for _, scalar, _ in entries])
    writes, reads = (scalars, own) if kind == SPREAD else (own, np.concatenate([own, scalars]))
    return _Piece(kind, width, writes, np.concatenate([reads, others]), (base, entries))


def _scheduled(pieces: list[_Piece], n_rows: int) -> Layout:
    """Pieces in another valid order: level after level of their dependences, and in each by kind and size.

    Equal lengths one after the other are loop ends that the processor predicts.
    """
    written = np.full(n_rows, -1)  # level of the last piece that wrote a row, and of the last one that read it
    read = np.full(n_rows, -1)
    levels = []
    for piece in pieces:
        level = max(int(written[piece.writes].max()), int(read[piece.writes].max()))
        if len(piece.reads):
            level = max(level, int(written[piece.reads].max()))
        level += 1
        read[piece.reads] = np.maximum(read[piece.reads], level)
        written[piece.writes] = level
        levels.append(level)
    order = sorted(range(len(pieces)), key=lambda k: (levels[k], pieces[k].kind, pieces[k].size))
    phases: list[list[int]] = []
    counts = {SEGMENTS: 0, SPREAD: 0}
    for k in order:
        kind, width = pieces[k].kind, pieces[k].size if pieces[k].kind != SEGMENTS else 0
        of = SEGMENTS if kind == SEGMENTS else SPREAD  # both kinds of strips are numbered together
        if not phases or phases[-1][:2] != [kind, width]:
            phases.append([kind, width, counts[of], counts[of]])
        counts[of] += 1
        phases[-1][3] = counts[of]
    segments = [pieces[k].parts for k in order if pieces[k].kind == SEGMENTS]
    strips = [pieces[k].parts for k in order if pieces[k].kind != SEGMENTS]
    entries = [entry for _, own in strips for entry in own]
    return Layout(
        np.array(phases, np.int64).reshape(-1, 4),
        np.array([row for row, *_ in segments], np.int64),
        _ends([len(x) for _, x, _, _ in segments]),
        np.concatenate([x for _, x, _, _ in segments] or [np.empty(0)]).astype(np.int64),
        np.concatenate([y for _, _, y, _ in segments] or [np.empty(0)]).astype(np.int64),
        np.concatenate([c for *_, c in segments] or [np.empty(0)]).astype(np.float64),
        np.array([base for base, _ in strips], np.int64),
        _ends([len(own) for _, own in strips]),
        np.array([other for other, _, _ in entries], np.int64),
        np.array([scalar for _, scalar, _ in entries], np.int64),
        np.array([factor for _, _, factor in entries], np.float64),
    )


def _ends(lengths: list[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


# ---------------------------------------------------------------------------------------------------------------------
# compiled


@apart
def run_segments(values, first, last, dst, start, x, y, c, wide):
    """Run segments `first` to `last` (exclusive) on the value buffer; dst, x, y count numbers.

    A row is two vectors of doubles; without `wide` only the first one is worked on. It is one vector of singles.
    """
    step = item(start, first)
    if wide:
        for segment in range(first, last):
            end = item(start, segment + 1)
            # kept in registers until the end: a segment may read the old value of its own row
            one, two = filled_full(values, 0.0), filled_full(values, 0.0)
            while step < end:
                a, b, factor = item(x, step), item(y, step), item(c, step)
                one = fma(load_full(values, a) * factor, load_full(values, b), one)
                two = fma(load_full(values, a + LANES) * factor, load_full(values, b + LANES), two)
                step += 1
            at = item(dst, segment)
            store(values, at, one)
            store(values, at + LANES, two)
    else:
        for segment in range(first, last):
            end = item(start, segment + 1)
            one = filled_full(values, 0.0)
            while step < end:
                one = fma(load_full(values, item(x, step)) * item(c, step), load_full(values, item(y, step)), one)
                step += 1
            store(values, item(dst, segment), one)


@apart
def spread(values, width, first, last, base, start, other, scalar, factor, shift):
    """scalar = factor · Σ_m X_m Y_m of strips `first` to `last`, on the vector of each row that `shift` names."""
    for strip in range(first, last):
        x, end = item(base, strip) + shift, item(start, strip + 1)
        x0 = load_full(values, x)
        if width == 1:
            for k in range(item(start, strip), end):
                found = x0 * load_full(values, item(other, k) + shift)
                store(values, item(scalar, k) + shift, found * item(factor, k))
            continue
        x1, x2 = load_full(values, x + _ROW), load_full(values, x + 2 * _ROW)
        if width == 3:
            for k in range(item(start, strip), end):
                y = item(other, k) + shift
                found = fma(x1, load_full(values, y + _ROW), x0 * load_full(values, y))
                found = fma(x2, load_full(values, y + 2 * _ROW), found)
                store(values, item(scalar, k) + shift, found * item(factor, k))
            continue
        x3, x4 = load_full(values, x + 3 * _ROW), load_full(values, x + 4 * _ROW)
        if width == 5:
            for k in range(item(start, strip), end):
                y = item(other, k) + shift
                found = fma(x1, load_full(values, y + _ROW), x0 * load_full(values, y))
                found = fma(x2, load_full(values, y + 2 * _ROW), found)
                found = fma(x3, load_full(values, y + 3 * _ROW), found)
                found = fma(x4, load_full(values, y + 4 * _ROW), found)
                store(values, item(scalar, k) + shift, found * item(factor, k))
            continue
        x5, x6 = load_full(values, x + 5 * _ROW), load_full(values, x + 6 * _ROW)
        if width == 7:
            for k in range(item(start, strip), end):
                y = item(other, k) + shift
                found = fma(x1, load_full(values, y + _ROW), x0 * load_full(values, y))
                found = fma(x2, load_full(values, y + 2 * _ROW), found)
                found = fma(x3, load_full(values, y + 3 * _ROW), found)
                found = fma(x4, load_full(values, y + 4 * _ROW), found)
                found = fma(x5, load_full(values, y + 5 * _ROW), found)
                found = fma(x6, load_full(values, y + 6 * _ROW), found)
                store(values, item(scalar, k) + shift, found * item(factor, k))
            continue
        x7, x8 = load_full(values, x + 7 * _ROW), load_full(values, x + 8 * _ROW)
        for k in range(item(start, strip), end):
            y = item(other, k) + shift
            found = fma(x1, load_full(values, y + _ROW), x0 * load_full(values, y))
            found = fma(x2, load_full(values, y + 2 * _ROW), found)
            found = fma(x3, load_full(values, y + 3 * _ROW), found)
            found = fma(x4, load_full(values, y + 4 * _ROW), found)
            found = fma(x5, load_full(values, y + 5 * _ROW), found)
            found = fma(x6, load_full(values, y + 6 * _ROW), found)
            found = fma(x7, load_full(values, y + 7 * _ROW), found)
            found = fma(x8, load_full(values, y + 8 * _ROW), found)
            store(values, item(scalar, k) + shift, found * item(factor, k))


@apart
def gather(values, width, first, last, base, start, other, scalar, factor, shift):
    """X_m += Σ factor · scalar · Y_m of strips `first` to `last`, where X are adjoints, and so are the scalars."""
    for strip in range(first, last):
        x, end = item(base, strip) + shift, item(start, strip + 1)
        x0, x1, x2 = load_full(values, x), load_full(values, x + _ROW), load_full(values, x + 2 * _ROW)
        if width == 3:
            for k in range(item(start, strip), end):
                y, weight = item(other, k) + shift, load_full(values, item(scalar, k) + shift) * item(factor, k)
                x0 = fma(weight, load_full(values, y), x0)
                x1 = fma(weight, load_full(values, y + _ROW), x1)
                x2 = fma(weight, load_full(values, y + 2 * _ROW), x2)
        elif width == 5:
            x3, x4 = load_full(values, x + 3 * _ROW), load_full(values, x + 4 * _ROW)
            for k in range(item(start, strip), end):
                y, weight = item(other, k) + shift, load_full(values, item(scalar, k) + shift) * item(factor, k)
                x0 = fma(weight, load_full(values, y), x0)
                x1 = fma(weight, load_full(values, y + _ROW), x1)
                x2 = fma(weight, load_full(values, y + 2 * _ROW), x2)
                x3 = fma(weight, load_full(values, y + 3 * _ROW), x3)
                x4 = fma(weight, load_full(values, y + 4 * _ROW), x4)
            store(values, x + 3 * _ROW, x3)
            store(values, x + 4 * _ROW, x4)
        else:
            x3, x4 = load_full(values, x + 3 * _ROW), load_full(values, x + 4 * _ROW)
            x5, x6 = load_full(values, x + 5 * _ROW), load_full(values, x + 6 * _ROW)
            if width == 7:
                for k in range(item(start, strip), end):
                    y, weight = item(other, k) + shift, load_full(values, item(scalar, k) + shift) * item(factor, k)
                    x0 = fma(weight, load_full(values, y), x0)
                    x1 = fma(weight, load_full(values, y + _ROW), x1)
                    x2 = fma(weight, load_full(values, y + 2 * _ROW), x2)
                    x3 = fma(weight, load_full(values, y + 3 * _ROW), x3)
                    x4 = fma(weight, load_full(values, y + 4 * _ROW), x4)
                    x5 = fma(weight, load_full(values, y + 5 * _ROW), x5)
                    x6 = fma(weight, load_full(values, y + 6 * _ROW), x6)
            else:
                x7, x8 = load_full(values, x + 7 * _ROW), load_full(values, x + 8 * _ROW)
                for k in range(item(start, strip), end):
                    y, weight = item(other, k) + shift, load_full(values, item(scalar, k) + shift) * item(factor, k)
                    x0 = fma(weight, load_full(values, y), x0)
                    x1 = fma(weight, load_full(values, y + _ROW), x1)
                    x2 = fma(weight, load_full(values, y + 2 * _ROW), x2)
                    x3 = fma(weight, load_full(values, y + 3 * _ROW), x3)
                    x4 = fma(weight, load_full(values, y + 4 * _ROW), x4)
                    x5 = fma(weight, load_full(values, y + 5 * _ROW), x5)
                    x6 = fma(weight, load_full(values, y + 6 * _ROW), x6)
                    x7 = fma(weight, load_full(values, y + 7 * _ROW), x7)
                    x8 = fma(weight, load_full(values, y + 8 * _ROW), x8)
                store(values, x + 7 * _ROW, x7)
                store(values, x + 8 * _ROW, x8)
            store(values, x + 3 * _ROW, x3)
            store(values, x + 4 * _ROW, x4)
            store(values, x + 5 * _ROW, x5)
            store(values, x + 6 * _ROW, x6)
        store(values, x, x0)
        store(values, x + _ROW, x1)
        store(values, x + 2 * _ROW, x2)


@inner
def program_of(tables, kind):
    """Pointers to the arrays that `run_program` takes, with factors in the precision of `kind`."""
    return (
        pointer(tables.phases), pointer(tables.dst), pointer(tables.start), pointer(tables.x), pointer(tables.y),
        which_of(kind, pointer(tables.c), pointer(tables.c_single)), pointer(tables.base), pointer(tables.strip_start),
        pointer(tables.other), pointer(tables.scalar),
        which_of(kind, pointer(tables.factor), pointer(tables.factor_single)),
    )  # fmt: skip


@inner
def run_program(values, first, last, steps, wide):
    """Run phases `first` to `last` (exclusive) of `program_of` on the value buffer.

    wide : whether both halves of the rows are needed; of singles both are worked on at once
    """
    wide = wide and not single(values)
    phases, dst, start, x, y, c, base, strip_start, other, scalar, factor = steps
    for phase in range(first, last):
        kind, width = item(phases, 4 * phase), item(phases, 4 * phase + 1)
        begin, end = item(phases, 4 * phase + 2), item(phases, 4 * phase + 3)
        if kind == SEGMENTS:
            run_segments(values, begin, end, dst, start, x, y, c, wide)
            continue
        for shift in range(0, _ROW if wide else LANES, LANES):
            if kind == SPREAD:
                spread(values, width, begin, end, base, strip_start, other, scalar, factor, shift)
            else:
                gather(values, width, begin, end, base, strip_start, other, scalar, factor, shift)
