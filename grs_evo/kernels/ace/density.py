"""Compiled: from the pairs of an atom to A, by way of Chebyshev moments.

A = Σ_j g_n(r) Y_lm is accumulated as moments Σ_j e T_k(x) Y_lm over the neighbours, eight at a time, and changed to
the g_n once per atom.
"""

from __future__ import annotations

import numpy as np

from grs_evo.kernels.ace.harmonics import harmonics
from grs_evo.kernels.ace.radial import directions, field, radial_section
from grs_evo.kernels.ace.tables import BLOCK, CHEB, COLUMNS, ENV, RC
from grs_evo.kernels.compiling import inner
from grs_evo.kernels.geometry.kept import find_kept, image_space, list_space
from grs_evo.kernels.geometry.layout import GROW, MODE, OK, ON, OVERLAP, SECTIONS
from grs_evo.kernels.geometry.pairs import find_near
from grs_evo.kernels.simd import (
    LANES,
    WIDE,
    filled_wide,
    fma,
    fms,
    item,
    load,
    load_wide,
    numbers,
    pointer,
    put,
    single,
    splat,
    store,
    totals,
    transpose,
    width,
)


@inner
def fast_moments(pair, begin, end, full, l_max, n_of_l, l_offset, spare, out, at):
    """Chebyshev moments of one section for l <= 2 with at most 8, 2 and 2 radial functions, all in registers."""
    zero = filled_wide(out, 0.0)
    a0, a1, a2, a3, a4, a5, a6, a7 = zero, zero, zero, zero, zero, zero, zero, zero
    b0, b1, b2, b3, b4, b5 = zero, zero, zero, zero, zero, zero
    c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 = zero, zero, zero, zero, zero, zero, zero, zero, zero, zero
    third = -1.0 / 3.0
    for block in range(begin, end, width(pair) // LANES):
        _, ux, uy, uz = directions(pair, block)
        x = load_wide(pair, field(pair, block, CHEB))
        t0 = load_wide(pair, field(pair, block, ENV))
        t1 = t0 * x
        x2 = x + x
        a0 = a0 + t0
        a1 = a1 + t1
        b0 = fma(t0, uy, b0)
        b1 = fma(t0, uz, b1)
        b2 = fma(t0, ux, b2)
        b3 = fma(t1, uy, b3)
        b4 = fma(t1, uz, b4)
        b5 = fma(t1, ux, b5)
        xy = ux * uy
        yz = uy * uz
        zz = fma(uz, uz, third)
        xz = ux * uz
        xx = (ux - uy) * (ux + uy)
        c0 = fma(t0, xy, c0)
        c1 = fma(t0, yz, c1)
        c2 = fma(t0, zz, c2)
        c3 = fma(t0, xz, c3)
        c4 = fma(t0, xx, c4)
        c5 = fma(t1, xy, c5)
        c6 = fma(t1, yz, c6)
        c7 = fma(t1, zz, c7)
        c8 = fma(t1, xz, c8)
        c9 = fma(t1, xx, c9)
        t2 = fms(x2, t1, t0)
        t3 = fms(x2, t2, t1)
        t4 = fms(x2, t3, t2)
        t5 = fms(x2, t4, t3)
        t6 = fms(x2, t5, t4)
        t7 = fms(x2, t6, t5)
        a2 = a2 + t2
        a3 = a3 + t3
        a4 = a4 + t4
        a5 = a5 + t5
        a6 = a6 + t6
        a7 = a7 + t7
    if full:
        store(out, at, totals(a0, a1, a2, a3, a4, a5, a6, a7))
        store(out, at + 8, totals(b0, b1, b2, b3, b4, b5, c0, c1))
        store(out, at + 16, totals(c2, c3, c4, c5, c6, c7, c8, c9))
        return
    store(spare, 0, totals(a0, a1, a2, a3, a4, a5, a6, a7))
    store(spare, 8, totals(b0, b1, b2, b3, b4, b5, c0, c1))
    store(spare, 16, totals(c2, c3, c4, c5, c6, c7, c8, c9))
    source = 0
    for l in range(l_max + 1):
        for k in range(item(n_of_l, l) * (2 * l + 1)):
            put(out, at + item(l_offset, l) + k, item(spare, source + k))
        source += 8 if l == 0 else 6


@inner
def any_moments(pair, begin, end, l_max, n_of_l, wide_k, climb, rows8, spare, out, at):
    """Chebyshev moments of one section for any basis: `wide_k` (a multiple of eight) for each (l, m).

    Eight k are the lanes and pairs come one after the other, so that no sum over lanes is left and the T_k of eight
    pairs stay in registers. Harmonics and T_k are made of all pairs that are taken at once.
    """
    wide = width(pair)
    t = (l_max + 1) * (l_max + 1) * wide
    turned = t + wide_k * wide
    for row in range(0, rows8, LANES):
        store(out, at + row, splat(0.0))
    for block in range(begin, end, wide // LANES):
        _, ux, uy, uz = directions(pair, block)
        harmonics(ux, uy, uz, l_max, climb, spare, 0)
        x = load_wide(pair, field(pair, block, CHEB))
        x2 = x + x
        now = load_wide(pair, field(pair, block, ENV))
        # T_{-1} = T_1 starts the recursion
        before = now * x
        for k in range(wide_k):
            store(spare, t + k * wide, now)
            before, now = now, fms(x2, now, before)
        for first in range(0, wide_k, LANES):
            top = l_max
            while item(n_of_l, top) <= first:
                top -= 1
            for part in range(0, wide, LANES):
                transpose(spare, t + first * wide + part, wide, spare, turned, LANES)
                t0, t1, t2, t3 = (
                    load(spare, turned), load(spare, turned + 8), load(spare, turned + 16), load(spare, turned + 24)
                )  # fmt: skip
                t4, t5, t6, t7 = (
                    load(spare, turned + 32), load(spare, turned + 40), load(spare, turned + 48),
                    load(spare, turned + 56),
                )  # fmt: skip
                for row in range((top + 1) * (top + 1)):
                    y, into = row * wide + part, at + row * wide_k + first
                    moments = load(out, into)
                    moments = fma(t1, item(spare, y + 1), fma(t0, item(spare, y), moments))
                    moments = fma(t3, item(spare, y + 3), fma(t2, item(spare, y + 2), moments))
                    moments = fma(t5, item(spare, y + 5), fma(t4, item(spare, y + 4), moments))
                    moments = fma(t7, item(spare, y + 7), fma(t6, item(spare, y + 6), moments))
                    store(out, into, moments)


@inner
def to_rows(moments, first_slot, halves, n_el, rows, rows8, l_max, n_of_l, l_offset, wide_k, scale, one, spare, values):
    """Moments of a block's atoms into their rows of A (the first rows of the value buffer), atoms abreast."""
    stride = n_el * rows8
    for half in range(halves):
        shift = half * LANES
        atoms = (first_slot + shift) * stride
        for other in range(n_el):
            for k in range(0, rows8, LANES):
                transpose(moments, atoms + other * rows8 + k, stride, spare, k * LANES, LANES)
            into = other * rows * BLOCK + shift
            for l in range(l_max + 1):
                width = 2 * l + 1
                for m in range(width):
                    first = item(l_offset, l) + m
                    at, step = first, width
                    if wide_k > 0:
                        at, step = (l * l + m) * wide_k, 1
                    zeroth = load(spare, at * LANES) * item(scale, first)
                    store(values, into + first * BLOCK, zeroth)
                    for n in range(1, item(n_of_l, l)):
                        row = first + n * width
                        # g_n = (T_0 - T_{n-1}) e / 2
                        value = zeroth - load(spare, (at + n * step) * LANES) * item(scale, row)
                        store(values, into + row * BLOCK, value * 0.5)
        store(values, one * BLOCK + shift, splat(1.0))


@inner
def accumulate(species, tables, work, n_slots, keep, kind):
    """Pairs and moments of the atoms in the slots, in the precision of `kind`; with `keep`, all pairs stay for the
    gradient."""
    n_el, rows8, wide_k, degree = tables.n_el, tables.rows8, tables.wide_k, tables.degree
    fast, full, l_max = tables.fast, tables.full, tables.l_max
    n_of_l, l_offset, tail, climb = (
        pointer(tables.n_of_l), pointer(tables.l_offset), pointer(tables.tail), pointer(tables.climb)
    )  # fmt: skip
    radial, cheb = pointer(tables.radial), pointer(tables.cheb)
    home, slots, section = pointer(work.home), pointer(work.slots), pointer(work.section)
    moments, spare, pair = numbers(work.moments, kind), numbers(work.spare, kind), numbers(work.pair, kind)
    pair_id = pointer(work.pair_id)
    grid, shape, bins = pointer(work.grid), pointer(work.shape), pointer(work.bins)
    gx, gy, gz, gid = pointer(work.gx), pointer(work.gy), pointer(work.gz), pointer(work.gid)
    sx, sy, sz = pointer(work.sx), pointer(work.sy), pointer(work.sz)
    kept, images, ids = pointer(work.kept), pointer(work.kept_images), pointer(work.kept_ids)
    listed = work.kept[MODE] == ON
    first_list = image_space(work)
    first_atom = first_list + list_space(work) + LANES
    nobody = work.push.shape[0] // 4 - WIDE
    if n_slots * n_el * rows8 > work.moments.shape[0] or n_slots * n_el + 1 > work.section.shape[0]:
        work.need[0] = n_slots
        return GROW
    # sections of pairs that are taken at once are as long as these make them
    most_blocks = work.pair_id.shape[0] // LANES - width(pair) // LANES
    most_in_section = work.sx.shape[0] - width(pair)
    lone = 0
    # np.int64 and np.bool_ here and below keep Numba from compiling a version of the callee for each constant
    block = np.int64(0)
    for slot in range(n_slots):
        i = item(slots, slot)
        if i < 0:
            at = slot * n_el * rows8
            for k in range(n_el * rows8):
                put(moments, at + k, 0.0)
            for other in range(n_el):
                put(section, slot * n_el + other, block)
            continue
        element = species[i]
        x, y, z = item(home, 3 * i), item(home, 3 * i + 1), item(home, 3 * i + 2)
        if not keep:
            block = np.int64(0)
        # the atom itself is in no kept list
        closer, met = (1 if listed else 0), 0
        for other in range(n_el):
            which = element * n_el + other
            cutoff = item(radial, which * COLUMNS + RC)
            space = min(most_in_section, (most_blocks - block) * LANES)
            if listed:
                begin, end = item(kept, SECTIONS + i * n_el + other), item(kept, SECTIONS + i * n_el + other + 1)
                count, more = find_kept(
                    x, y, z, begin, end, cutoff, images, ids, first_list, first_atom, sx, sy, sz, pair_id,
                    block * LANES, space,
                )  # fmt: skip
            else:
                count, more = find_near(
                    x, y, z, other, cutoff, grid, shape, bins, gx, gy, gz, gid, sx, sy, sz, pair_id, block * LANES,
                    space,
                )  # fmt: skip
            if count < 0:
                work.need[3] = 2 * most_blocks * LANES
                return GROW
            closer += more
            met += count
            put(section, slot * n_el + other, block)
            end = radial_section(
                count, block, which, keep, radial, cheb, degree, tail, sx, sy, sz, pair, pair_id, nobody
            )
            at = (slot * n_el + other) * rows8
            if fast:
                fast_moments(pair, block, end, full, l_max, n_of_l, l_offset, spare, moments, at)
            else:
                any_moments(pair, block, end, l_max, n_of_l, wide_k, climb, rows8, spare, moments, at)
            block = end
        if closer != 1:
            work.need[0] = i
            return OVERLAP
        if met == 0:
            lone += 1
    put(section, n_slots * n_el, block)
    put(shape, 4, n_slots)
    put(shape, 5, block)
    put(shape, 7, lone)
    put(shape, 8, 1 if single(pair) else 0)
    return OK
