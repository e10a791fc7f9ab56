"""Compiled: descriptors of all atoms of a structure, and the gradient of any function of them.

    images → pairs → Chebyshev moments → A → (program) → B           `describe_into`
    dQ/dB → (program backwards) → dQ/dA → moments' adjoints → pairs   `pull_into`

A = Σ_j g_n(r) Y_lm is accumulated as moments Σ_j e T_k(x) Y_lm over the neighbours, eight at a time, and changed to
the g_n once per atom. Atoms are then the lanes: eight atoms of one element share each step of the programs. Which
atoms share lanes changes nothing in their results.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .harmonics import harmonic_gradient, harmonics
from .interpreter import run_program
from .pairs import find_near, sort_images
from .radial import radial_section
from .simd import HAIR, LANES, fma, item, load, put, scatter_add, splat, store, total, totals, transpose, transpose_rows
from .tables import (
    BLOCK,
    CHEB,
    CHEB_SLOPE,
    COLUMNS,
    DX,
    DY,
    DZ,
    ENV,
    ENV_SLOPE,
    FIELDS,
    GROW,
    OK,
    OVERLAP,
    R_INVERSE,
    RC,
    Tables,
    Work,
    kernel_tables,
    larger_work,
    make_work,
    share_work,
)

__all__ = [
    "GROW",
    "HAIR",
    "OK",
    "OVERLAP",
    "Tables",
    "Work",
    "describe_into",
    "describe_range",
    "kernel_tables",
    "larger_work",
    "make_work",
    "pull_into",
    "share_work",
    "sort_images",
]


@njit(cache=True, error_model="numpy")
def fill_slots(species, first, last, group, n_groups, slots):
    """Atoms first … last - 1 by program, each program's filled up with -1 to whole blocks. Returns the slots used."""
    used = 0
    for g in range(n_groups):
        for i in range(first, last):
            if group[species[i]] == g:
                slots[used] = i
                used += 1
        while used % BLOCK != 0:
            slots[used] = -1
            used += 1
    return used


@njit(cache=True, error_model="numpy")
def fast_moments(pair, begin, end, tables, spare, out, at):
    """Chebyshev moments of one section for l <= 2 with at most 8, 2 and 2 radial functions, all in registers."""
    zero = splat(0.0)
    a0, a1, a2, a3, a4, a5, a6, a7 = zero, zero, zero, zero, zero, zero, zero, zero
    b0, b1, b2, b3, b4, b5 = zero, zero, zero, zero, zero, zero
    c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 = zero, zero, zero, zero, zero, zero, zero, zero, zero, zero
    third = -1.0 / 3.0
    for block in range(begin, end):
        p = block * FIELDS
        r_inverse = load(pair, p + R_INVERSE)
        ux, uy, uz = load(pair, p + DX) * r_inverse, load(pair, p + DY) * r_inverse, load(pair, p + DZ) * r_inverse
        x = load(pair, p + CHEB)
        t0 = load(pair, p + ENV)
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
        t2 = x2 * t1 - t0
        t3 = x2 * t2 - t1
        t4 = x2 * t3 - t2
        t5 = x2 * t4 - t3
        t6 = x2 * t5 - t4
        t7 = x2 * t6 - t5
        a2 = a2 + t2
        a3 = a3 + t3
        a4 = a4 + t4
        a5 = a5 + t5
        a6 = a6 + t6
        a7 = a7 + t7
    if tables.full:
        store(out, at, totals(a0, a1, a2, a3, a4, a5, a6, a7))
        store(out, at + 8, totals(b0, b1, b2, b3, b4, b5, c0, c1))
        store(out, at + 16, totals(c2, c3, c4, c5, c6, c7, c8, c9))
        return
    store(spare, 0, totals(a0, a1, a2, a3, a4, a5, a6, a7))
    store(spare, 8, totals(b0, b1, b2, b3, b4, b5, c0, c1))
    store(spare, 16, totals(c2, c3, c4, c5, c6, c7, c8, c9))
    source = 0
    for l in range(tables.l_max + 1):
        for k in range(tables.n_of_l[l] * (2 * l + 1)):
            out[at + tables.l_offset[l] + k] = item(spare, source + k)
        source += 8 if l == 0 else 6


@njit(cache=True, error_model="numpy")
def any_moments(pair, begin, end, tables, spare, out, at):
    """Chebyshev moments of one section for any basis. Rows are l_offset[l] + k (2 l + 1) + m + l."""
    l_max, k_max = tables.l_max, tables.k_max
    lm = (l_max + 1) * (l_max + 1)
    legendre = lm * LANES
    powers = 2 * lm * LANES
    cheb = powers + 2 * (l_max + 1) * LANES
    # one vector per row; `heap` is summed over its lanes at the end
    heap = cheb + (k_max + 2) * LANES
    rows = tables.rows
    for row in range(rows):
        store(spare, heap + row * LANES, splat(0.0))
    for block in range(begin, end):
        p = block * FIELDS
        r_inverse = load(pair, p + R_INVERSE)
        ux, uy, uz = load(pair, p + DX) * r_inverse, load(pair, p + DY) * r_inverse, load(pair, p + DZ) * r_inverse
        harmonics(ux, uy, uz, l_max, tables.climb, spare, 0, legendre, powers)
        x = load(pair, p + CHEB)
        x2 = x + x
        now = load(pair, p + ENV)
        # T_{-1} = T_1 starts the recursion
        before = now * x
        for k in range(k_max):
            store(spare, cheb + k * LANES, now)
            before, now = now, x2 * now - before
        row = heap
        for l in range(l_max + 1):
            for k in range(tables.n_of_l[l]):
                t = load(spare, cheb + k * LANES)
                for m in range(l * l, (l + 1) * (l + 1)):
                    store(spare, row, fma(t, load(spare, m * LANES), load(spare, row)))
                    row += LANES
    for row in range(rows):
        out[at + row] = total(load(spare, heap + row * LANES))


@njit(cache=True, error_model="numpy")
def to_rows(work, tables, block, group, halves):
    """Moments of a block's atoms into their rows of A (the first rows of the value buffer), atoms abreast."""
    n_el, rows, rows8 = tables.n_el, tables.rows, tables.rows8
    spare, values, scale = work.spare, work.values, tables.row_scale
    stride = n_el * rows8
    for half in range(halves):
        shift = half * LANES
        atoms = (block * BLOCK + shift) * stride
        for other in range(n_el):
            for k in range(0, rows8, LANES):
                transpose(work.moments, atoms + other * rows8 + k, stride, spare, k * LANES, LANES)
            into = other * rows * BLOCK + shift
            for l in range(tables.l_max + 1):
                width = 2 * l + 1
                for m in range(width):
                    first = tables.l_offset[l] + m
                    zeroth = load(spare, first * LANES) * item(scale, first)
                    store(values, into + first * BLOCK, zeroth)
                    for n in range(1, tables.n_of_l[l]):
                        row = first + n * width
                        # g_n = (T_0 - T_{n-1}) e / 2
                        value = zeroth - load(spare, row * LANES) * item(scale, row)
                        store(values, into + row * BLOCK, value * 0.5)
        store(values, tables.n_a[group] * BLOCK + shift, splat(1.0))


@njit(cache=True, error_model="numpy")
def from_rows(work, tables, group, halves):
    """Adjoints of A of a block's atoms back into adjoints of their moments; the inverse way of `to_rows`."""
    n_el, rows, rows8 = tables.n_el, tables.rows, tables.rows8
    spare, values, scale = work.spare, work.values, tables.row_scale
    stride = n_el * rows8
    for half in range(halves):
        shift = half * LANES
        for other in range(n_el):
            source = (tables.n_rows[group] + other * rows) * BLOCK + shift
            for l in range(tables.l_max + 1):
                width = 2 * l + 1
                for m in range(width):
                    first = tables.l_offset[l] + m
                    zeroth = load(values, source + first * BLOCK)
                    for n in range(1, tables.n_of_l[l]):
                        row = first + n * width
                        share = load(values, source + row * BLOCK) * 0.5
                        store(spare, row * LANES, share * (-item(scale, row)))
                        zeroth = zeroth + share
                    store(spare, first * LANES, zeroth * item(scale, first))
            for k in range(0, rows8, LANES):
                transpose(spare, k * LANES, LANES, work.adjoint, shift * stride + other * rows8 + k, stride)


@njit(cache=True, error_model="numpy")
def run(work, tables, group, which, halves):
    """The forward (which = 0) or backward (2) program of a group on the value buffer."""
    first, last = tables.segments[group, which], tables.segments[group, which + 1]
    run_program(work.values, first, last, tables.dst, tables.start, tables.x, tables.y, tables.c, halves > 1)


@njit(cache=True, error_model="numpy")
def block_atoms(work, block, first_atom, row_size):
    """Where the rows of B of a block's atoms start, in `lane_rows`; returns how many atoms there are.

    Lanes without an atom get the row of the first atom of their half, so that whole vectors can be moved.
    """
    count = 0
    for lane in range(BLOCK):
        i = work.slots[block * BLOCK + lane]
        if i >= 0:
            count += 1
        else:
            i = work.slots[block * BLOCK + lane // LANES * LANES]
        work.lane_rows[lane] = (i - first_atom) * row_size
    return count


@njit(cache=True, error_model="numpy")
def accumulate(species, tables, work, n_slots, keep):
    """Pairs and moments of the atoms in the slots; with `keep`, all pairs stay for `pull_into`."""
    n_el, rows8 = tables.n_el, tables.rows8
    home, slots, section = work.home, work.slots, work.section
    moments, spare = work.moments, work.spare
    if n_slots * n_el * rows8 > moments.shape[0] or n_slots * n_el + 1 > section.shape[0]:
        work.need[0] = n_slots
        return GROW
    room = work.pair_id.shape[0] // LANES - 1
    block = 0
    for slot in range(n_slots):
        i = slots[slot]
        if i < 0:
            at = slot * n_el * rows8
            for k in range(n_el * rows8):
                moments[at + k] = 0.0
            for other in range(n_el):
                section[slot * n_el + other] = block
            continue
        element = species[i]
        if not keep:
            block = 0
        closer = 0
        for other in range(n_el):
            which = element * n_el + other
            cutoff = tables.radial[which * COLUMNS + RC]
            count, more = find_near(
                home[3 * i], home[3 * i + 1], home[3 * i + 2], other, cutoff, work, block * LANES
            )
            if count < 0 or block + (count + LANES - 1) // LANES > room:
                work.need[3] = 2 * room * LANES
                return GROW
            closer += more
            section[slot * n_el + other] = block
            end = radial_section(count, block, which, keep, tables, work)
            at = (slot * n_el + other) * rows8
            if tables.fast:
                fast_moments(work.pair, block, end, tables, spare, moments, at)
            else:
                any_moments(work.pair, block, end, tables, spare, moments, at)
            block = end
        if closer != 1:
            work.need[0] = i
            return OVERLAP
    section[n_slots * n_el] = block
    work.shape[4], work.shape[5] = n_slots, block
    return OK


@njit(cache=True, error_model="numpy")
def values_out(species, tables, work, n_slots, first_atom, out):
    """B of the atoms in the slots, from their moments; row i - first_atom of `out` belongs to atom i."""
    values, lane_rows, row_size = work.values, work.lane_rows, out.shape[1]
    for block in range(n_slots // BLOCK):
        group = tables.group[species[work.slots[block * BLOCK]]]
        count = block_atoms(work, block, first_atom, row_size)
        halves = (count + LANES - 1) // LANES
        to_rows(work, tables, block, group, halves)
        run(work, tables, group, 0, halves)
        size = tables.sizes[group]
        b_rows = tables.b_rows[tables.b_from[group] :]
        whole = size // LANES * LANES
        for half in range(halves):
            for k in range(0, whole, LANES):
                transpose_rows(values, b_rows, k, half * LANES, out, lane_rows, half * LANES, k)
        for lane in range(count):
            row = out[work.slots[block * BLOCK + lane] - first_atom]
            for k in range(whole, size):
                row[k] = item(values, item(b_rows, k) + lane)
            for k in range(size, row_size):
                row[k] = 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def describe_range(species, tables, work, first, last, out):
    """B of atoms first … last - 1 after `sort_images`; `out` is (last - first, max_size). No gradient can follow."""
    n_slots = fill_slots(species, first, last, tables.group, tables.n_groups, work.slots)
    status = accumulate(species, tables, work, n_slots, False)
    if status == OK:
        values_out(species, tables, work, n_slots, first, out)
    return status


@njit(cache=True, error_model="numpy", nogil=True)
def describe_into(positions, cell, species, pbc, tables, work, out):
    """B of all atoms, own block only.

    Parameters
    ----------
    positions, cell, species, pbc : arrays of a `Structure`, writable ones
    tables : Tables
    work : Work, from `make_work(n_atoms, tables)`; holds what `pull_into` needs afterwards
    out : (n_atoms, max_size) B of each atom's own element, the rest 0

    Returns
    -------
    OK; GROW: make a `larger_work(work, tables)` and call again; OVERLAP: an atom (its number is work.need[0]) has
    another nearer than a hair; NOT_FINITE, SINGULAR: positions or cell are no good.
    """
    status = sort_images(positions, cell, species, pbc, tables.reach, tables.n_el, work)
    if status != OK:
        return status
    n_slots = fill_slots(species, 0, species.shape[0], tables.group, tables.n_groups, work.slots)
    status = accumulate(species, tables, work, n_slots, True)
    if status == OK:
        values_out(species, tables, work, n_slots, 0, out)
    return status


@njit(cache=True, error_model="numpy")
def fast_pull(pair, pair_id, begin, end, w, push, virial):
    """Gradient of Σ w · moments with respect to the neighbours of one section, for the fused bases.

    `w`: 24 adjoints of the unnormalised moments as `fast_moments` makes them. Adds to `push` of the neighbours and to
    the six sums of virial (xx, yy, zz, yz, xz, xy; vectors); returns the sum over the section.
    """
    zero = splat(0.0)
    fx, fy, fz = zero, zero, zero
    vxx, vyy, vzz, vyz, vxz, vxy = zero, zero, zero, zero, zero, zero
    third = -1.0 / 3.0
    for block in range(begin, end):
        p = block * FIELDS
        r_inverse = load(pair, p + R_INVERSE)
        ux, uy, uz = load(pair, p + DX) * r_inverse, load(pair, p + DY) * r_inverse, load(pair, p + DZ) * r_inverse
        x = load(pair, p + CHEB)
        # l = 0: value and x-derivative of Σ w_k T_k, with U_k = (T_{k+1})' / (k + 1)
        x2 = x + x
        t2 = fma(x2, x, -1.0)
        u2 = fma(x2, x2, -1.0)
        t3 = x2 * t2 - x
        u3 = x2 * u2 - x2
        t4 = x2 * t3 - t2
        u4 = x2 * u3 - u2
        t5 = x2 * t4 - t3
        u5 = x2 * u4 - u3
        t6 = x2 * t5 - t4
        u6 = x2 * u5 - u4
        t7 = x2 * t6 - t5
        s = fma(x, item(w, 1), item(w, 0))
        s = fma(t2, item(w, 2), s)
        s = fma(t3, item(w, 3), s)
        s = fma(t4, item(w, 4), s)
        s = fma(t5, item(w, 5), s)
        s = fma(t6, item(w, 6), s)
        s = fma(t7, item(w, 7), s)
        d = fma(x2, 2.0 * item(w, 2), item(w, 1))
        d = fma(u2, 3.0 * item(w, 3), d)
        d = fma(u3, 4.0 * item(w, 4), d)
        d = fma(u4, 5.0 * item(w, 5), d)
        d = fma(u5, 6.0 * item(w, 6), d)
        d = fma(u6, 7.0 * item(w, 7), d)
        # l = 1
        p1 = fma(x, item(w, 11), item(w, 8))
        p2 = fma(x, item(w, 12), item(w, 9))
        p3 = fma(x, item(w, 13), item(w, 10))
        one = fma(p1, uy, fma(p2, uz, p3 * ux))
        d = fma(uy, item(w, 11), fma(uz, item(w, 12), fma(ux, item(w, 13), d)))
        # l = 2
        q0 = fma(x, item(w, 19), item(w, 14))
        q1 = fma(x, item(w, 20), item(w, 15))
        q2 = fma(x, item(w, 21), item(w, 16))
        q3 = fma(x, item(w, 22), item(w, 17))
        q4 = fma(x, item(w, 23), item(w, 18))
        xy = ux * uy
        yz = uy * uz
        zz = fma(uz, uz, third)
        xz = ux * uz
        xx = (ux - uy) * (ux + uy)
        two = fma(q0, xy, fma(q1, yz, fma(q2, zz, fma(q3, xz, q4 * xx))))
        d = fma(xy, item(w, 19), fma(yz, item(w, 20), fma(zz, item(w, 21), d)))
        d = fma(xz, item(w, 22), fma(xx, item(w, 23), d))
        s = s + one + two
        # gradient of the angular polynomials
        q4 = q4 + q4
        gx = fma(q0, uy, fma(q3, uz, fma(q4, ux, p3)))
        gy = fma(q0, ux, fma(q1, uz, p1 - q4 * uy))
        gz = fma(q1, uy, fma(q3, ux, fma(q2 + q2, uz, p2)))
        along = fma(gx, ux, fma(gy, uy, gz * uz))
        env = load(pair, p + ENV)
        across = env * r_inverse
        radial = fma(s, load(pair, p + ENV_SLOPE), env * d * load(pair, p + CHEB_SLOPE)) - along * across
        gx = fma(gx, across, radial * ux)
        gy = fma(gy, across, radial * uy)
        gz = fma(gz, across, radial * uz)
        scatter_add(push, pair_id, block * LANES, gx, gy, gz)
        fx = fx + gx
        fy = fy + gy
        fz = fz + gz
        dx, dy, dz = load(pair, p + DX), load(pair, p + DY), load(pair, p + DZ)
        vxx = fma(gx, dx, vxx)
        vyy = fma(gy, dy, vyy)
        vzz = fma(gz, dz, vzz)
        vyz = fma(gy, dz, vyz)
        vxz = fma(gx, dz, vxz)
        vxy = fma(gx, dy, vxy)
    sums = totals(vxx, vyy, vzz, vyz, vxz, vxy, fx, fy)
    store(virial, 0, load(virial, 0) + sums)
    virial[8] += total(fz)


@njit(cache=True, error_model="numpy")
def any_pull(pair, pair_id, begin, end, tables, w, spare, push, virial):
    """The same as `fast_pull` for any basis; `w` has the rows of `any_moments`."""
    l_max, k_max = tables.l_max, tables.k_max
    lm = (l_max + 1) * (l_max + 1)
    legendre = lm * LANES
    powers = 2 * lm * LANES
    cheb = powers + 2 * (l_max + 1) * LANES
    dcheb = cheb + (k_max + 2) * LANES
    zero = splat(0.0)
    fx, fy, fz = zero, zero, zero
    vxx, vyy, vzz, vyz, vxz, vxy = zero, zero, zero, zero, zero, zero
    for block in range(begin, end):
        p = block * FIELDS
        r_inverse = load(pair, p + R_INVERSE)
        ux, uy, uz = load(pair, p + DX) * r_inverse, load(pair, p + DY) * r_inverse, load(pair, p + DZ) * r_inverse
        harmonics(ux, uy, uz, l_max, tables.climb, spare, 0, legendre, powers)
        x = load(pair, p + CHEB)
        x2 = x + x
        now, before = splat(1.0), x
        # T_k' = k U_{k-1}, with U_{-1} = 0 and U_0 = 1
        u_now, u_before = zero, splat(-1.0)
        for k in range(k_max):
            store(spare, cheb + k * LANES, now)
            store(spare, dcheb + k * LANES, u_now * float(k))
            before, now = now, x2 * now - before
            u_before, u_now = u_now, x2 * u_now - u_before
        s, d = zero, zero
        gx, gy, gz = zero, zero, zero
        for l in range(l_max + 1):
            width = 2 * l + 1
            for m in range(-l, l + 1):
                value, slope = zero, zero
                row = tables.l_offset[l] + m + l
                for k in range(tables.n_of_l[l]):
                    weight = splat(item(w, row + k * width))
                    value = fma(load(spare, cheb + k * LANES), weight, value)
                    slope = fma(load(spare, dcheb + k * LANES), weight, slope)
                y = load(spare, (l * l + l + m) * LANES)
                s = fma(y, value, s)
                d = fma(y, slope, d)
                hx, hy, hz = harmonic_gradient(l, m, l_max, tables.slope, spare, legendre, powers)
                gx = fma(hx, value, gx)
                gy = fma(hy, value, gy)
                gz = fma(hz, value, gz)
        along = fma(gx, ux, fma(gy, uy, gz * uz))
        env = load(pair, p + ENV)
        across = env * r_inverse
        radial = fma(s, load(pair, p + ENV_SLOPE), env * d * load(pair, p + CHEB_SLOPE)) - along * across
        gx = fma(gx, across, radial * ux)
        gy = fma(gy, across, radial * uy)
        gz = fma(gz, across, radial * uz)
        scatter_add(push, pair_id, block * LANES, gx, gy, gz)
        fx = fx + gx
        fy = fy + gy
        fz = fz + gz
        dx, dy, dz = load(pair, p + DX), load(pair, p + DY), load(pair, p + DZ)
        vxx = fma(gx, dx, vxx)
        vyy = fma(gy, dy, vyy)
        vzz = fma(gz, dz, vzz)
        vyz = fma(gy, dz, vyz)
        vxz = fma(gx, dz, vxz)
        vxy = fma(gx, dy, vxy)
    sums = totals(vxx, vyy, vzz, vyz, vxz, vxy, fx, fy)
    store(virial, 0, load(virial, 0) + sums)
    virial[8] += total(fz)


@njit(cache=True, error_model="numpy", nogil=True)
def pull_into(positions, cell, species, pbc, tables, dq_db, work, grad, dq_dstrain):
    """Gradient of Q from dQ/dB, right after `describe_into` of the same structure with the same work.

    Parameters
    ----------
    dq_db : (n_atoms, max_size) dQ/dB of each atom's own functions
    grad : (n_atoms, 3) becomes dQ/dR, 1/Å
    dq_dstrain : (3, 3) becomes dQ/dε where positions and cell vectors turn into (1 + ε) times themselves

    Returns
    -------
    OK
    """
    n_el, rows8 = tables.n_el, tables.rows8
    slots, section, values, lane_rows = work.slots, work.section, work.values, work.lane_rows
    spare, push, sums = work.spare, work.push, work.total
    n, n_slots, row_size = species.shape[0], work.shape[4], dq_db.shape[1]
    for k in range(push.shape[0]):
        push[k] = 0.0
    sxx, syy, szz, syz, sxz, sxy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for block in range(n_slots // BLOCK):
        group = tables.group[species[slots[block * BLOCK]]]
        count = block_atoms(work, block, 0, row_size)
        halves = (count + LANES - 1) // LANES
        # cheaper than keeping all value buffers out of the way until now
        to_rows(work, tables, block, group, halves)
        run(work, tables, group, 0, halves)
        n_rows, size = tables.n_rows[group], tables.sizes[group]
        b_rows = tables.b_rows[tables.b_from[group] :]
        for k in range(n_rows * BLOCK, 2 * n_rows * BLOCK, LANES):
            store(values, k, splat(0.0))
        whole = size // LANES * LANES
        adjoint = n_rows * BLOCK
        for half in range(halves):
            for k in range(0, whole, LANES):
                transpose_rows(dq_db, lane_rows, half * LANES, k, values, b_rows, k, adjoint + half * LANES)
        for lane in range(count):
            row = dq_db[slots[block * BLOCK + lane]]
            for k in range(whole, size):
                put(values, adjoint + item(b_rows, k) + lane, row[k])
        run(work, tables, group, 2, halves)
        from_rows(work, tables, group, halves)
        for lane in range(count):
            slot = block * BLOCK + lane
            i = slots[slot]
            for k in range(16):
                sums[k] = 0.0
            for other in range(n_el):
                begin, end = section[slot * n_el + other], section[slot * n_el + other + 1]
                w = work.adjoint[(lane * n_el + other) * rows8 :]
                if tables.full:
                    fast_pull(work.pair, work.pair_id, begin, end, w, push, sums)
                elif tables.fast:
                    source = 0
                    for k in range(24):
                        spare[k] = 0.0
                    for l in range(tables.l_max + 1):
                        for k in range(tables.n_of_l[l] * (2 * l + 1)):
                            spare[source + k] = w[tables.l_offset[l] + k]
                        source += 8 if l == 0 else 6
                    fast_pull(work.pair, work.pair_id, begin, end, spare, push, sums)
                else:
                    any_pull(work.pair, work.pair_id, begin, end, tables, w, spare, push, sums)
            push[4 * i] -= sums[6]
            push[4 * i + 1] -= sums[7]
            push[4 * i + 2] -= sums[8]
            sxx += sums[0]
            syy += sums[1]
            szz += sums[2]
            syz += sums[3]
            sxz += sums[4]
            sxy += sums[5]
    for i in range(n):
        grad[i, 0], grad[i, 1], grad[i, 2] = push[4 * i], push[4 * i + 1], push[4 * i + 2]
    dq_dstrain[0, 0], dq_dstrain[1, 1], dq_dstrain[2, 2] = sxx, syy, szz
    dq_dstrain[1, 2], dq_dstrain[2, 1] = syz, syz
    dq_dstrain[0, 2], dq_dstrain[2, 0] = sxz, sxz
    dq_dstrain[0, 1], dq_dstrain[1, 0] = sxy, sxy
    return OK
