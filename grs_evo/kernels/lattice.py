"""Compiled: occupations of fixed sites into A, B and block moments, eight to thirty-two sites abreast.

A is linear in the occupation, so each site contributes one tabulated column (`phi`) and a flip or swap subtracts and
adds columns. Sites are the lanes of every buffer: block b holds lanes 32 b … 32 b + 8 widths[b], rows of a block lie
one after the other, and every row of a block is `8 * widths[b]` consecutive numbers. All blocks are four vectors wide
but for the last, because one step of the table interpreter costs little more for four vectors than for one (measured:
3.2, 2.4 and 1.9 µs for 765 steps on 32 sites with one, two and four vectors).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .objective import CORE, L1, L2, LossPlan, LossWork, moments_loss, norm_of, rows_loss
from .simd import LANES as VECTOR
from .simd import fma, item, load, splat, store, totals

WIDEST = 4  # vectors in a block
BLOCK = VECTOR * WIDEST  # lanes in a full block
# Nothing here allocates, so arrays need no reference counts: counting them (two atomic operations each time a field of
# a tuple is touched or a slice taken) was more than half of the time of a swap.
bare = njit(cache=True, error_model="numpy", _nrt=False)
# What a loss needs: means and perhaps variances, weighted here; both, for the general loss; every row.
SUMS, MOMENTS, ROWS = range(3)


class LatticeTables(NamedTuple):
    """The pair functions of a set of sites, and one bilinear program. Made by `lattice.LatticeObjective`."""

    phi: NDArray[np.float64]  # (n_tables, n_sites, rows * n_lanes) what the atom at a site adds to A of all sites
    table_of: NDArray[np.int64]  # (n_centre, n_el) which table; n_centre is 1 when the centre's element plays no part
    total: NDArray[np.float64]  # (rows * n_lanes,) sum of all columns, or empty if the tables differ
    widths: NDArray[np.int64]  # (n_blocks,) vectors per block
    n_sites: int
    n_el: int
    rows: int  # rows of A for each neighbour element
    program_of: NDArray[np.int64]  # (n_el,) which program the functions of an element use
    n_rows: NDArray[np.int64]  # (n_programs,) rows of the value buffer
    b_rows: NDArray[np.int32]  # all programs, one after the other, each filled up to a multiple of 8 …
    b_from: NDArray[np.int64]  # (n_programs + 1,)
    dst: NDArray[np.int32]
    start: NDArray[np.int32]  # relative to the program's first step; n_seg + 1 entries per program
    seg_from: NDArray[np.int64]  # (n_programs + 1,) segments of each program
    x: NDArray[np.int32]
    y: NDArray[np.int32]
    c: NDArray[np.float64]
    step_from: NDArray[np.int64]  # (n_programs + 1,)


class MomentLoss(NamedTuple):
    """The part of a loss that compares one moment, for the functions that a pruned program still computes.

    Residuals are linear in the representatives' moments: x = offset + weightsᵀ (moment − target). Functions that
    coincide with a representative up to scale are folded into its weights exactly.
    """

    weight: float  # 0: not compared
    target: NDArray[np.float64]  # (n_el, n_wide)
    n_components: int
    diagonal: bool  # one weight per component, and `source` says of which function
    weights: NDArray[np.float64]  # (n_el * n_wide, components filled up to 8) or (1, components)
    source: NDArray[np.int64]  # (components,) or (0,)
    share: NDArray[np.float64]  # (components,) how many functions a component stands for, over all functions
    offset: NDArray[np.float64]  # (components filled up to 8,)


class LatticeLoss(NamedTuple):
    """Everything between an occupation and its loss."""

    tables: LatticeTables  # of the functions needed
    kind: int  # SUMS, MOMENTS or ROWS: what has to be computed
    pooled: bool
    norm: int
    delta: float
    w_structure: float
    w_set: float  # of the means only; other losses with a set are of kind MOMENTS or ROWS
    set_counts: NDArray[np.float64]  # (n_el,) environments in the set
    set_sums: NDArray[np.float64]  # (n_el, n_wide) of the representatives over them
    mean: MomentLoss
    variance: MomentLoss
    core: NDArray[np.float64]  # (n_el, n_el, n_sites, n_sites) core energy of two sites over all atoms, or no entries


class AnyLoss(NamedTuple):
    """The loss in full, for what `MomentLoss` does not cover."""

    plan: LossPlan
    work: LossWork


class LatticeWork(NamedTuple):
    """Scratch space; nothing in it outlives a call but A of the current occupation, which is made anew from it."""

    a: NDArray[np.float64]  # (n_centre, n_el * rows * n_lanes)
    trial: NDArray[np.float64]  # the same, or empty for n_centre 1
    buf: NDArray[np.float64]  # (max n_rows * n_lanes,)
    masks: NDArray[np.float64]  # (n_el, n_lanes) 1 where the site holds the element
    counts: NDArray[np.float64]  # (n_el,)
    sums: NDArray[np.float64]  # (n_el, n_wide) sums of B over the atoms of each element; n_wide is a multiple of 8
    squares: NDArray[np.float64]  # (n_el, n_wide) sums of squared deviations from the mean of the element
    mean: NDArray[np.float64]  # (n_wide,)
    rows: NDArray[np.float64]  # (n_sites, max size) B of every site, for losses that need them
    gaps: NDArray[np.float64]  # (n_el * n_wide,)
    residual: NDArray[np.float64]  # (n_components, filled up to a multiple of 8)
    central: NDArray[np.float64]  # (4, n_desc)
    terms: NDArray[np.float64]  # (N_TERMS,)


@bare
def _run1(buf, base, dst, start, x, y, c):
    for s in range(dst.shape[0]):
        a = splat(0.0)
        for t in range(item(start, s), item(start, s + 1)):
            a = fma(load(buf, base + 8 * item(x, t)) * item(c, t), load(buf, base + 8 * item(y, t)), a)
        store(buf, base + 8 * item(dst, s), a)


@bare
def _run2(buf, base, dst, start, x, y, c):
    for s in range(dst.shape[0]):
        a = splat(0.0)
        b = splat(0.0)
        for t in range(item(start, s), item(start, s + 1)):
            i = base + 16 * item(x, t)
            j = base + 16 * item(y, t)
            factor = splat(item(c, t))
            a = fma(load(buf, i) * factor, load(buf, j), a)
            b = fma(load(buf, i + 8) * factor, load(buf, j + 8), b)
        k = base + 16 * item(dst, s)
        store(buf, k, a)
        store(buf, k + 8, b)


@bare
def _run3(buf, base, dst, start, x, y, c):
    for s in range(dst.shape[0]):
        a = splat(0.0)
        b = splat(0.0)
        d = splat(0.0)
        for t in range(item(start, s), item(start, s + 1)):
            i = base + 24 * item(x, t)
            j = base + 24 * item(y, t)
            factor = splat(item(c, t))
            a = fma(load(buf, i) * factor, load(buf, j), a)
            b = fma(load(buf, i + 8) * factor, load(buf, j + 8), b)
            d = fma(load(buf, i + 16) * factor, load(buf, j + 16), d)
        k = base + 24 * item(dst, s)
        store(buf, k, a)
        store(buf, k + 8, b)
        store(buf, k + 16, d)


@bare
def _run4(buf, base, dst, start, x, y, c):
    for s in range(dst.shape[0]):
        a = splat(0.0)
        b = splat(0.0)
        d = splat(0.0)
        e = splat(0.0)
        for t in range(item(start, s), item(start, s + 1)):
            i = base + 32 * item(x, t)
            j = base + 32 * item(y, t)
            factor = splat(item(c, t))
            a = fma(load(buf, i) * factor, load(buf, j), a)
            b = fma(load(buf, i + 8) * factor, load(buf, j + 8), b)
            d = fma(load(buf, i + 16) * factor, load(buf, j + 16), d)
            e = fma(load(buf, i + 24) * factor, load(buf, j + 24), e)
        k = base + 32 * item(dst, s)
        store(buf, k, a)
        store(buf, k + 8, b)
        store(buf, k + 16, d)
        store(buf, k + 24, e)


@bare
def run_block(buf, base, width, dst, start, x, y, c):
    """One program over one block: a table interpreter, a step at a time over all lanes of the block."""
    if width == 4:
        _run4(buf, base, dst, start, x, y, c)
    elif width == 3:
        _run3(buf, base, dst, start, x, y, c)
    elif width == 2:
        _run2(buf, base, dst, start, x, y, c)
    else:
        _run1(buf, base, dst, start, x, y, c)


@bare
def _masked(buf, first, width, mask, mask_base):
    total = load(buf, first) * load(mask, mask_base)
    for v in range(1, width):
        total = fma(load(buf, first + 8 * v), load(mask, mask_base + 8 * v), total)
    return total


@bare
def sum_block(buf, base, width, rows, mask, mask_base, sums):
    """Add to `sums` each listed row (a multiple of 8 of them) summed over the masked lanes of a block."""
    wide = 8 * width
    for k in range(0, rows.shape[0], 8):
        store(
            sums,
            k,
            load(sums, k)
            + totals(
                _masked(buf, base + wide * item(rows, k), width, mask, mask_base),
                _masked(buf, base + wide * item(rows, k + 1), width, mask, mask_base),
                _masked(buf, base + wide * item(rows, k + 2), width, mask, mask_base),
                _masked(buf, base + wide * item(rows, k + 3), width, mask, mask_base),
                _masked(buf, base + wide * item(rows, k + 4), width, mask, mask_base),
                _masked(buf, base + wide * item(rows, k + 5), width, mask, mask_base),
                _masked(buf, base + wide * item(rows, k + 6), width, mask, mask_base),
                _masked(buf, base + wide * item(rows, k + 7), width, mask, mask_base),
            ),
        )


@bare
def _spread(buf, first, width, mask, mask_base, mean):
    total = splat(0.0)
    for v in range(width):
        gap = load(buf, first + 8 * v) - mean
        total = fma(gap * gap, load(mask, mask_base + 8 * v), total)
    return total


@bare
def square_block(buf, base, width, rows, mask, mask_base, mean, sums):
    """Add to `sums` the squared deviations of each listed row from `mean` over the masked lanes of a block."""
    wide = 8 * width
    for k in range(0, rows.shape[0], 8):
        store(
            sums,
            k,
            load(sums, k)
            + totals(
                _spread(buf, base + wide * item(rows, k), width, mask, mask_base, item(mean, k)),
                _spread(buf, base + wide * item(rows, k + 1), width, mask, mask_base, item(mean, k + 1)),
                _spread(buf, base + wide * item(rows, k + 2), width, mask, mask_base, item(mean, k + 2)),
                _spread(buf, base + wide * item(rows, k + 3), width, mask, mask_base, item(mean, k + 3)),
                _spread(buf, base + wide * item(rows, k + 4), width, mask, mask_base, item(mean, k + 4)),
                _spread(buf, base + wide * item(rows, k + 5), width, mask, mask_base, item(mean, k + 5)),
                _spread(buf, base + wide * item(rows, k + 6), width, mask, mask_base, item(mean, k + 6)),
                _spread(buf, base + wide * item(rows, k + 7), width, mask, mask_base, item(mean, k + 7)),
            ),
        )


# Compiled functions that are not inlined take a tuple of arrays as hundreds of numbers on the stack: measured 2.4 of
# 5.5 µs a swap. So what is called most takes the few arrays it needs.


@bare
def add_column(column, widths, rows, a, a_rows, element, sign):
    """Add (sign 1) or take away (−1) what an atom of `element` at a column's site gives to A; a_rows rows a block."""
    for b in range(widths.shape[0]):
        wide = VECTOR * widths[b]
        size = rows * wide
        source = column[BLOCK * b * rows : BLOCK * b * rows + size]
        first = BLOCK * b * a_rows + element * size
        target = a[first : first + size]
        if sign > 0:
            for k in range(size):
                target[k] += source[k]
        else:
            for k in range(size):
                target[k] -= source[k]


@bare
def _add_columns(phi, widths, rows, occupation, skip, a, a_rows):
    """Add the columns of all sites whose element is not `skip`."""
    for i in range(phi.shape[0]):
        if occupation[i] != skip:
            add_column(phi[i], widths, rows, a, a_rows, occupation[i], 1)


@bare
def _fill_rest(total, widths, rows, a, a_rows, n_el, most):
    """A of the commonest element: what the others leave of the sum over all sites."""
    for b in range(widths.shape[0]):
        size = rows * VECTOR * widths[b]
        first = BLOCK * b * a_rows
        rest = a[first + most * size : first + (most + 1) * size]
        for k in range(size):
            rest[k] = total[BLOCK * b * rows + k]
        for e in range(n_el):
            if e != most:
                other = a[first + e * size : first + (e + 1) * size]
                for k in range(size):
                    rest[k] -= other[k]


@bare
def fill_a(tables, occupation, a):
    """A of all sites for an occupation, (n_centre, n_el * rows * n_lanes): a pure function of the occupation."""
    n_el = tables.n_el
    a_rows = n_el * tables.rows
    if tables.total.shape[0] > 0:
        most = 0
        held = -1
        for e in range(n_el):
            n = 0
            for i in range(tables.n_sites):
                if occupation[i] == e:
                    n += 1
            if n > held:
                held = n
                most = e
        a[0, :] = 0.0
        _add_columns(tables.phi[0], tables.widths, tables.rows, occupation, most, a[0], a_rows)
        _fill_rest(tables.total, tables.widths, tables.rows, a[0], a_rows, n_el, most)
        return
    a[:, :] = 0.0
    for centre in range(tables.table_of.shape[0]):
        for i in range(tables.n_sites):
            column = tables.phi[tables.table_of[centre, occupation[i]], i]
            add_column(column, tables.widths, tables.rows, a[centre], a_rows, occupation[i], 1)


@bare
def load_a(widths, n_sites, a_rows, a, occupation, buf, n_rows):
    """Copy A into the first rows of the value buffer, each lane from A of its own element, and set the row of ones."""
    for b in range(widths.shape[0]):
        wide = VECTOR * widths[b]
        size = a_rows * wide
        first = BLOCK * b * n_rows
        source = BLOCK * b * a_rows
        flat = a[0]
        for k in range(0, size, VECTOR):
            store(buf, first + k, load(flat, source + k))
        for k in range(size, size + wide, VECTOR):
            store(buf, first + k, splat(1.0))
        if a.shape[0] > 1:
            for q in range(min(wide, n_sites - BLOCK * b)):
                centre = occupation[BLOCK * b + q]
                if centre > 0:
                    own = a[centre, source : source + size]
                    target = buf[first : first + size]
                    for r in range(a_rows):
                        target[r * wide + q] = own[r * wide + q]


@bare
def set_masks(occupation, masks, counts):
    """Which lanes hold which element, and how many."""
    masks[:, :] = 0.0
    counts[:] = 0.0
    for i in range(occupation.shape[0]):
        e = occupation[i]
        masks[e, i] = 1.0
        counts[e] += 1.0


@bare
def finish(tables, occupation, work, a, loaded, with_squares):
    """From A to the sums of B, and of its squared deviations, over the atoms of each element, in `work`.

    loaded: A lies in the value buffer already (one program and one centre type).
    """
    set_masks(occupation, work.masks, work.counts)
    n_blocks = tables.widths.shape[0]
    work.sums[:, :] = 0.0
    if with_squares:
        work.squares[:, :] = 0.0
    for p in range(tables.n_rows.shape[0]):
        n_rows = tables.n_rows[p]
        if not loaded:
            load_a(tables.widths, tables.n_sites, tables.n_el * tables.rows, a, occupation, work.buf, n_rows)
        seg0 = tables.seg_from[p]
        seg1 = tables.seg_from[p + 1]
        dst = tables.dst[seg0:seg1]
        start = tables.start[seg0 + p : seg1 + p + 1]
        x = tables.x[tables.step_from[p] : tables.step_from[p + 1]]
        y = tables.y[tables.step_from[p] : tables.step_from[p + 1]]
        c = tables.c[tables.step_from[p] : tables.step_from[p + 1]]
        b_rows = tables.b_rows[tables.b_from[p] : tables.b_from[p + 1]]
        for b in range(n_blocks):
            base = BLOCK * b * n_rows
            run_block(work.buf, base, tables.widths[b], dst, start, x, y, c)
            for e in range(tables.n_el):
                if tables.program_of[e] == p:
                    sum_block(work.buf, base, tables.widths[b], b_rows, work.masks[e], BLOCK * b, work.sums[e])
        if with_squares:
            for e in range(tables.n_el):
                if tables.program_of[e] == p and work.counts[e] > 0.0:
                    share = 1.0 / work.counts[e]
                    for k in range(b_rows.shape[0]):
                        work.mean[k] = work.sums[e, k] * share
                    for b in range(n_blocks):
                        square_block(
                            work.buf,
                            BLOCK * b * n_rows,
                            tables.widths[b],
                            b_rows,
                            work.masks[e],
                            BLOCK * b,
                            work.mean,
                            work.squares[e],
                        )


@bare
def whole(tables, occupation, work, with_squares):
    """Sums for an occupation from nothing; leaves A of it in work.a."""
    fill_a(tables, occupation, work.a)
    finish(tables, occupation, work, work.a, False, with_squares)


@bare
def exchange(occupation, sites, elements, n):
    """Put the n-th change into the occupation and the old element into the list of changes."""
    site = sites[n]
    old = occupation[site]
    occupation[site] = elements[n]
    elements[n] = old


@bare
def changed(tables, occupation, sites, elements, n_changes, work, with_squares):
    """Sums after `n_changes` sites of the current occupation (A in work.a) take new elements.

    The changes stay in `occupation` and `elements` holds the old ones then; A of the old occupation stays as it is.
    """
    a_rows = tables.n_el * tables.rows
    single = work.trial.shape[0] == 0
    if single:
        load_a(tables.widths, tables.n_sites, a_rows, work.a, occupation, work.buf, tables.n_rows[0])
    else:
        for centre in range(work.a.shape[0]):
            for k in range(work.a.shape[1]):
                work.trial[centre, k] = work.a[centre, k]
    for n in range(n_changes):
        site = sites[n]
        old = occupation[site]
        new = elements[n]
        if single:
            n_rows = tables.n_rows[0]
            leaving = tables.phi[tables.table_of[0, old], site]
            add_column(leaving, tables.widths, tables.rows, work.buf, n_rows, old, -1)
            arriving = tables.phi[tables.table_of[0, new], site]
            add_column(arriving, tables.widths, tables.rows, work.buf, n_rows, new, 1)
        else:
            for centre in range(work.a.shape[0]):
                own = work.trial[centre]
                leaving = tables.phi[tables.table_of[centre, old], site]
                add_column(leaving, tables.widths, tables.rows, own, a_rows, old, -1)
                arriving = tables.phi[tables.table_of[centre, new], site]
                add_column(arriving, tables.widths, tables.rows, own, a_rows, new, 1)
        exchange(occupation, sites, elements, n)
    finish(tables, occupation, work, work.trial, single, with_squares)


@bare
def site_rows(tables, occupation, work):
    """B of every site into work.rows, in the program's order of functions."""
    rows = work.rows
    rows[:, :] = 0.0
    fill_a(tables, occupation, work.a)
    for p in range(tables.n_rows.shape[0]):
        n_rows = tables.n_rows[p]
        load_a(tables.widths, tables.n_sites, tables.n_el * tables.rows, work.a, occupation, work.buf, n_rows)
        seg0 = tables.seg_from[p]
        seg1 = tables.seg_from[p + 1]
        b_rows = tables.b_rows[tables.b_from[p] : tables.b_from[p + 1]]
        n_funcs = min(b_rows.shape[0], rows.shape[1])
        for b in range(tables.widths.shape[0]):
            run_block(
                work.buf,
                BLOCK * b * n_rows,
                tables.widths[b],
                tables.dst[seg0:seg1],
                tables.start[seg0 + p : seg1 + p + 1],
                tables.x[tables.step_from[p] : tables.step_from[p + 1]],
                tables.y[tables.step_from[p] : tables.step_from[p + 1]],
                tables.c[tables.step_from[p] : tables.step_from[p + 1]],
            )
            wide = VECTOR * tables.widths[b]
            for q in range(min(wide, tables.n_sites - BLOCK * b)):
                i = BLOCK * b + q
                if tables.program_of[occupation[i]] == p:
                    for k in range(n_funcs):
                        rows[i, k] = work.buf[BLOCK * b * n_rows + b_rows[k] * wide + q]


@bare
def _project(gaps, weights, n_components, residual):
    """residual += weightsᵀ gaps; the number of gaps is a multiple of 8.

    Up to four vectors of components at a time and two or more gaps abreast: one sum alone would wait for itself.
    """
    n = gaps.shape[0]
    stride = weights.shape[1]
    flat = weights.reshape(-1)
    first = 0
    while first < n_components:
        left = n_components - first
        if left > 16:
            a = load(residual, first)
            b = load(residual, first + 8)
            c = load(residual, first + 16)
            d = splat(0.0)
            e = splat(0.0)
            f = splat(0.0)
            for k in range(0, n, 2):
                at = k * stride + first
                gap = splat(item(gaps, k))
                a = fma(gap, load(flat, at), a)
                b = fma(gap, load(flat, at + 8), b)
                c = fma(gap, load(flat, at + 16), c)
                at += stride
                gap = splat(item(gaps, k + 1))
                d = fma(gap, load(flat, at), d)
                e = fma(gap, load(flat, at + 8), e)
                f = fma(gap, load(flat, at + 16), f)
            store(residual, first, a + d)
            store(residual, first + 8, b + e)
            store(residual, first + 16, c + f)
            first += 24
        elif left > 8:
            a = load(residual, first)
            b = load(residual, first + 8)
            c = splat(0.0)
            d = splat(0.0)
            for k in range(0, n, 2):
                at = k * stride + first
                gap = splat(item(gaps, k))
                a = fma(gap, load(flat, at), a)
                b = fma(gap, load(flat, at + 8), b)
                at += stride
                gap = splat(item(gaps, k + 1))
                c = fma(gap, load(flat, at), c)
                d = fma(gap, load(flat, at + 8), d)
            store(residual, first, a + c)
            store(residual, first + 8, b + d)
            first += 16
        else:
            a = load(residual, first)
            b = splat(0.0)
            c = splat(0.0)
            d = splat(0.0)
            for k in range(0, n, 4):
                at = k * stride + first
                a = fma(splat(item(gaps, k)), load(flat, at), a)
                b = fma(splat(item(gaps, k + 1)), load(flat, at + stride), b)
                c = fma(splat(item(gaps, k + 2)), load(flat, at + 2 * stride), c)
                d = fma(splat(item(gaps, k + 3)), load(flat, at + 3 * stride), d)
            store(residual, first, (a + b) + (c + d))
            first += 8


@bare
def _moment_value(moment, norm, delta, gaps, residual):
    """The norm of the residuals of one moment, from its differences (n_el * n_wide)."""
    if not moment.diagonal:
        for c in range(residual.shape[0]):
            residual[c] = 0.0
        for c in range(moment.offset.shape[0]):
            residual[c] = moment.offset[c]
        _project(gaps, moment.weights, moment.n_components, residual)
        return norm_of(residual, moment.n_components, norm, delta)
    size = 0.0
    square = delta * delta
    for c in range(moment.n_components):
        x = gaps[moment.source[c]] * moment.weights[0, c] + moment.offset[c]
        if norm == L1:
            size += moment.share[c] * abs(x)
        elif norm == L2:
            size += moment.share[c] * x * x
        else:
            size += moment.share[c] * (x * x / (np.sqrt(x * x + square) + delta))
    return np.sqrt(size) if norm == L2 else size


@bare
def _mean_gaps(pooled, counts, sums, more_counts, more_sums, share_of_more, target, gaps):
    """Means of the structure's environments, with those of the set if share_of_more is 1, less the target's."""
    n_el = target.shape[0]
    n_wide = target.shape[1]
    total = 0.0
    for e in range(n_el):
        total += counts[e] + share_of_more * more_counts[e]
    for e in range(n_el):
        number = total if pooled else counts[e] + share_of_more * more_counts[e]
        share = 1.0 / number if number > 0.0 else 0.0
        start = e * n_wide
        if share_of_more == 0.0:
            for k in range(n_wide):
                gaps[start + k] = sums[e, k] * share - target[e, k]
        else:
            for k in range(n_wide):
                gaps[start + k] = (sums[e, k] + more_sums[e, k]) * share - target[e, k]


@bare
def _variance_gaps(pooled, counts, sums, squares, target, gaps):
    """Variances less the target's; a pooled environment is 0 outside its own block."""
    n_el = target.shape[0]
    n_wide = target.shape[1]
    total = 0.0
    for e in range(n_el):
        total += counts[e]
    for e in range(n_el):
        inverse = 1.0 / counts[e] if counts[e] > 0.0 else 0.0
        share = counts[e] / total if pooled else 1.0
        rest = 1.0 - share
        for k in range(n_wide):
            mean = sums[e, k] * inverse
            gaps[e * n_wide + k] = share * (squares[e, k] * inverse + rest * mean * mean) - target[e, k]


@bare
def core_value(core, occupation):
    """Core energy over the number of atoms."""
    total = 0.0
    n = core.shape[2]
    for i in range(n):
        for j in range(i + 1):
            total += core[occupation[i], occupation[j], i, j]
    return total


@bare
def _sums_value(loss, occupation, work):
    """The loss of what `whole` or `changed` left in `work`, for losses of kind SUMS."""
    mean = loss.mean
    _mean_gaps(loss.pooled, work.counts, work.sums, loss.set_counts, loss.set_sums, 0.0, mean.target, work.gaps)
    value = mean.weight * _moment_value(mean, loss.norm, loss.delta, work.gaps, work.residual)
    variance = loss.variance
    if variance.weight != 0.0:
        _variance_gaps(loss.pooled, work.counts, work.sums, work.squares, variance.target, work.gaps)
        value += variance.weight * _moment_value(variance, loss.norm, loss.delta, work.gaps, work.residual)
    value *= loss.w_structure
    if loss.w_set != 0.0:
        _mean_gaps(loss.pooled, work.counts, work.sums, loss.set_counts, loss.set_sums, 1.0, mean.target, work.gaps)
        value += loss.w_set * mean.weight * _moment_value(mean, loss.norm, loss.delta, work.gaps, work.residual)
    if loss.core.shape[0] > 0:
        value += core_value(loss.core, occupation)
    return value


@bare
def _sums_whole(loss, occupation, work):
    whole(loss.tables, occupation, work, loss.variance.weight != 0.0)
    return _sums_value(loss, occupation, work)


@bare
def _sums_changed(loss, occupation, sites, elements, n_changes, work):
    changed(loss.tables, occupation, sites, elements, n_changes, work, loss.variance.weight != 0.0)
    value = _sums_value(loss, occupation, work)
    for n in range(n_changes - 1, -1, -1):
        exchange(occupation, sites, elements, n)
    return value


@bare
def central_moments(work, sizes, offsets):
    """Means and variances of each element's block, from the sums, into the wide work.central."""
    for e in range(sizes.shape[0]):
        share = 1.0 / work.counts[e] if work.counts[e] > 0.0 else 0.0
        start = offsets[e]
        for k in range(sizes[e]):
            work.central[0, start + k] = work.sums[e, k] * share
            work.central[1, start + k] = work.squares[e, k] * share


@njit(cache=True, error_model="numpy")
def _any(loss, scratch, occupation, work):
    """The loss of what was left in `work`, for losses of the other kinds; leaves all parts in work.terms."""
    plan = scratch.plan
    terms = work.terms
    if loss.kind == MOMENTS:
        central_moments(work, plan.sizes, plan.offsets)
        _, value = moments_loss(
            work.central, work.counts, scratch.work.covariance, plan, plan.norm, plan.delta, False, scratch.work, terms
        )
    else:
        _, value = rows_loss(work.rows, occupation, plan, plan.norm, plan.delta, False, scratch.work, terms, work.rows)
    if loss.core.shape[0] > 0:
        terms[CORE] = core_value(loss.core, occupation)
        value += terms[CORE]
    return value


@njit(cache=True, error_model="numpy")
def value_whole(loss, scratch, occupation, work):
    """The loss of an occupation from nothing; leaves A of it in work.a.

    scratch: None for losses of kind SUMS. Numba then drops the other branches, which take most of the time to compile.
    """
    if scratch is None:
        return _sums_whole(loss, occupation, work)
    if loss.kind == ROWS:
        site_rows(loss.tables, occupation, work)
    else:
        whole(loss.tables, occupation, work, True)
    return _any(loss, scratch, occupation, work)


@njit(cache=True, error_model="numpy")
def value_changed(loss, scratch, occupation, sites, elements, n_changes, work):
    """The loss after `n_changes` sites of the current occupation (its A in work.a) take new elements.

    The occupation is that of the trial for the while and is put back.
    """
    if scratch is None:
        return _sums_changed(loss, occupation, sites, elements, n_changes, work)
    if loss.kind == ROWS:
        # Losses of single rows gain nothing from an incremental A.
        for n in range(n_changes):
            exchange(occupation, sites, elements, n)
        site_rows(loss.tables, occupation, work)
    else:
        changed(loss.tables, occupation, sites, elements, n_changes, work, True)
    value = _any(loss, scratch, occupation, work)
    for n in range(n_changes - 1, -1, -1):
        exchange(occupation, sites, elements, n)
    return value


@njit(cache=True, error_model="numpy")
def batch_values(loss, scratch, occupations, work, values):
    """Losses of many occupations, one after the other: the lanes are the sites."""
    for k in range(occupations.shape[0]):
        values[k] = value_whole(loss, scratch, occupations[k], work)


@njit(cache=True, error_model="numpy")
def time_swaps(loss, scratch, occupation, pairs, work):
    """Lowest loss over the swaps of the listed pairs of sites, (k, 2), each from the same occupation."""
    fill_a(loss.tables, occupation, work.a)
    sites = np.empty(2, np.int32)
    elements = np.empty(2, np.int32)
    lowest = np.inf
    for k in range(pairs.shape[0]):
        sites[0] = pairs[k, 0]
        sites[1] = pairs[k, 1]
        elements[0] = occupation[sites[1]]
        elements[1] = occupation[sites[0]]
        value = value_changed(loss, scratch, occupation, sites, elements, 2, work)
        lowest = min(lowest, value)
    return lowest
