"""Compiled: occupations of fixed sites into A, B and block moments, eight to thirty-two sites abreast.

A is linear in the occupation, so each site contributes one tabulated column (`phi`) and a flip or swap subtracts and
adds columns. Sites are the lanes of every buffer: block b holds lanes 32 b … 32 b + 8 widths[b], rows of a block lie
one after the other, every row `8 * widths[b]` numbers. All blocks but the last are four vectors wide: a step costs
little more for four than for one (3.2, 2.4, 1.9 µs for 765 steps on 32 sites with 1, 2, 4).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.bundles import bundle
from grs_evo.kernels.compiling import entry_locked, inner
from grs_evo.kernels.simd import LANES as VECTOR
from grs_evo.kernels.simd import fma, item, load, splat, store, totals

WIDEST, BLOCK = 4, 4 * VECTOR  # vectors in a block, and lanes


@bundle
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


@bundle
class ClusterWork(NamedTuple):
    """How often each decoration of each orbit of clusters occurs (`clusters.py`)."""

    counts: NDArray[np.float64]  # (2, n_counts) of the current occupation, and of the trial looked at last
    chi: NDArray[np.float64]  # (n_orbits,) χ² of what was looked at last


@bundle
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
    clusters: ClusterWork


@inner
def _run1(buf, base, dst, start, x, y, c):
    for s in range(dst.shape[0]):
        a = splat(0.0)
        for t in range(item(start, s), item(start, s + 1)):
            a = fma(load(buf, base + 8 * item(x, t)) * item(c, t), load(buf, base + 8 * item(y, t)), a)
        store(buf, base + 8 * item(dst, s), a)


@inner
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


@inner
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


@inner
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


@inner
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


@inner
def _masked(buf, first, width, mask, mask_base):
    total = load(buf, first) * load(mask, mask_base)
    for v in range(1, width):
        total = fma(load(buf, first + 8 * v), load(mask, mask_base + 8 * v), total)
    return total


@inner
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


@inner
def _spread(buf, first, width, mask, mask_base, mean):
    total = splat(0.0)
    for v in range(width):
        gap = load(buf, first + 8 * v) - mean
        total = fma(gap * gap, load(mask, mask_base + 8 * v), total)
    return total


@inner
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


@inner
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


@inner
def _add_columns(phi, widths, rows, occupation, skip, a, a_rows):
    """Add the columns of all sites whose element is not `skip`."""
    for i in range(phi.shape[0]):
        if occupation[i] != skip:
            add_column(phi[i], widths, rows, a, a_rows, occupation[i], 1)


@inner
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


@inner
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


@inner
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


@inner
def set_masks(occupation, masks, counts):
    """Which lanes hold which element, and how many."""
    masks[:, :] = 0.0
    counts[:] = 0.0
    for i in range(occupation.shape[0]):
        e = occupation[i]
        masks[e, i] = 1.0
        counts[e] += 1.0


@inner
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


@inner
def whole(tables, occupation, work, with_squares):
    """Sums for an occupation from nothing; leaves A of it in work.a."""
    fill_a(tables, occupation, work.a)
    finish(tables, occupation, work, work.a, False, with_squares)


@inner
def exchange(occupation, sites, elements, n):
    """Put the n-th change into the occupation and the old element into the list of changes."""
    site = sites[n]
    old = occupation[site]
    occupation[site] = elements[n]
    elements[n] = old


@inner
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


@entry_locked
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
