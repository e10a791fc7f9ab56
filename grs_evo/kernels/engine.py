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
from .simd import HAIR, LANES, fma, item, load, scatter_add, splat, store, total, totals, transpose
from .tables import (
    CHEB,
    CHEB_SLOPE,
    COLUMNS,
    ENV,
    ENV_SLOPE,
    FIELDS,
    GROW,
    OK,
    OVERLAP,
    R_INVERSE,
    RC,
    UX,
    UY,
    UZ,
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
def fill_slots(species, first, last, n_el, slots):
    """Atoms first … last - 1 by element, each element's filled up with -1 to whole lanes. Returns the slots used."""
    used = 0
    for element in range(n_el):
        for i in range(first, last):
            if species[i] == element:
                slots[used] = i
                used += 1
        while used % LANES != 0:
            slots[used] = -1
            used += 1
    return used


@njit(cache=True, error_model="numpy")
def fast_moments(pair, begin, end, n_of_l, l_offset, spare, out, at):
    """Chebyshev moments of one section for l <= 2 with at most 8, 2 and 2 radial functions, all in registers."""
    zero = splat(0.0)
    a0, a1, a2, a3, a4, a5, a6, a7 = zero, zero, zero, zero, zero, zero, zero, zero
    b0, b1, b2, b3, b4, b5 = zero, zero, zero, zero, zero, zero
    c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 = zero, zero, zero, zero, zero, zero, zero, zero, zero, zero
    third = -1.0 / 3.0
    for block in range(begin, end):
        p = block * FIELDS
        ux, uy, uz = load(pair, p + UX), load(pair, p + UY), load(pair, p + UZ)
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
    store(spare, 0, totals(a0, a1, a2, a3, a4, a5, a6, a7))
    store(spare, 8, totals(b0, b1, b2, b3, b4, b5, c0, c1))
    store(spare, 16, totals(c2, c3, c4, c5, c6, c7, c8, c9))
    source = 0
    for l in range(n_of_l.shape[0]):
        for k in range(n_of_l[l] * (2 * l + 1)):
            out[at + l_offset[l] + k] = item(spare, source + k)
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
        harmonics(
            load(pair, p + UX), load(pair, p + UY), load(pair, p + UZ), l_max, tables.climb, spare, 0, legendre, powers
        )
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
def to_rows(work, tables, block, element):
    """Moments of eight atoms into their rows of A (the first rows of the value buffer), lanes abreast."""
    n_el, rows, rows8 = tables.n_el, tables.rows, tables.rows8
    spare, values, scale = work.spare, work.values, tables.row_scale
    stride = n_el * rows8
    for other in range(n_el):
        for k in range(0, rows8, LANES):
            transpose(work.moments, block * LANES * stride + other * rows8 + k, stride, spare, k * LANES, LANES)
        into = other * rows * LANES
        for l in range(tables.l_max + 1):
            width = 2 * l + 1
            for m in range(width):
                first = tables.l_offset[l] + m
                zeroth = load(spare, first * LANES) * item(scale, first)
                store(values, into + first * LANES, zeroth)
                for n in range(1, tables.n_of_l[l]):
                    row = first + n * width
                    # g_n = (T_0 - T_{n-1}) e / 2
                    value = zeroth - load(spare, row * LANES) * item(scale, row)
                    store(values, into + row * LANES, value * 0.5)
    store(values, tables.n_a[element] * LANES, splat(1.0))


@njit(cache=True, error_model="numpy")
def from_rows(work, tables, element):
    """Adjoints of A of eight atoms back into adjoints of their moments; the inverse way of `to_rows`."""
    n_el, rows, rows8 = tables.n_el, tables.rows, tables.rows8
    spare, values, scale = work.spare, work.values, tables.row_scale
    stride = n_el * rows8
    for other in range(n_el):
        source = (tables.n_rows[element] + other * rows) * LANES
        for l in range(tables.l_max + 1):
            width = 2 * l + 1
            for m in range(width):
                first = tables.l_offset[l] + m
                zeroth = load(values, source + first * LANES)
                for n in range(1, tables.n_of_l[l]):
                    row = first + n * width
                    half = load(values, source + row * LANES) * 0.5
                    store(spare, row * LANES, half * (-item(scale, row)))
                    zeroth = zeroth + half
                store(spare, first * LANES, zeroth * item(scale, first))
        for k in range(0, rows8, LANES):
            transpose(spare, k * LANES, LANES, work.adjoint, other * rows8 + k, stride)


@njit(cache=True, error_model="numpy")
def forward(work, tables, block, element):
    """A and the value buffer of one block of lanes."""
    to_rows(work, tables, block, element)
    run_program(
        work.values,
        tables.segments[element, 0],
        tables.segments[element, 1],
        tables.dst,
        tables.start,
        tables.x,
        tables.y,
        tables.c,
    )


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
            end = radial_section(count, block, which, tables, work)
            at = (slot * n_el + other) * rows8
            if tables.fast:
                fast_moments(work.pair, block, end, tables.n_of_l, tables.l_offset, spare, moments, at)
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
    slots, values = work.slots, work.values
    for block in range(n_slots // LANES):
        element = species[slots[block * LANES]]
        forward(work, tables, block, element)
        size = tables.sizes[element]
        b_rows = tables.b_rows[tables.b_from[element] :]
        for lane in range(LANES):
            i = slots[block * LANES + lane]
            if i < 0:
                break
            row = out[i - first_atom]
            for k in range(size):
                row[k] = values[item(b_rows, k) * LANES + lane]
            for k in range(size, row.shape[0]):
                row[k] = 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def describe_range(species, tables, work, first, last, out):
    """B of atoms first … last - 1 after `sort_images`; `out` is (last - first, max_size). No gradient can follow."""
    n_slots = fill_slots(species, first, last, tables.n_el, work.slots)
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
    n_slots = fill_slots(species, 0, species.shape[0], tables.n_el, work.slots)
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
        ux, uy, uz = load(pair, p + UX), load(pair, p + UY), load(pair, p + UZ)
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
        across = env * load(pair, p + R_INVERSE)
        radial = fma(s, load(pair, p + ENV_SLOPE), env * d * load(pair, p + CHEB_SLOPE)) - along * across
        gx = fma(gx, across, radial * ux)
        gy = fma(gy, across, radial * uy)
        gz = fma(gz, across, radial * uz)
        scatter_add(push, pair_id, block * LANES, gx, gy, gz)
        fx = fx + gx
        fy = fy + gy
        fz = fz + gz
        r = 1.0 / load(pair, p + R_INVERSE)
        gx = gx * r
        gy = gy * r
        gz = gz * r
        vxx = fma(gx, ux, vxx)
        vyy = fma(gy, uy, vyy)
        vzz = fma(gz, uz, vzz)
        vyz = fma(gy, uz, vyz)
        vxz = fma(gx, uz, vxz)
        vxy = fma(gx, uy, vxy)
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
        ux, uy, uz = load(pair, p + UX), load(pair, p + UY), load(pair, p + UZ)
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
        across = env * load(pair, p + R_INVERSE)
        radial = fma(s, load(pair, p + ENV_SLOPE), env * d * load(pair, p + CHEB_SLOPE)) - along * across
        gx = fma(gx, across, radial * ux)
        gy = fma(gy, across, radial * uy)
        gz = fma(gz, across, radial * uz)
        scatter_add(push, pair_id, block * LANES, gx, gy, gz)
        fx = fx + gx
        fy = fy + gy
        fz = fz + gz
        r = 1.0 / load(pair, p + R_INVERSE)
        gx = gx * r
        gy = gy * r
        gz = gz * r
        vxx = fma(gx, ux, vxx)
        vyy = fma(gy, uy, vyy)
        vzz = fma(gz, uz, vzz)
        vyz = fma(gy, uz, vyz)
        vxz = fma(gx, uz, vxz)
        vxy = fma(gx, uy, vxy)
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
    slots, section, values = work.slots, work.section, work.values
    spare, push, sums = work.spare, work.push, work.total
    n, n_slots = species.shape[0], work.shape[4]
    for k in range(push.shape[0]):
        push[k] = 0.0
    strain = np.zeros(6)
    for block in range(n_slots // LANES):
        element = species[slots[block * LANES]]
        forward(work, tables, block, element)
        n_rows, size = tables.n_rows[element], tables.sizes[element]
        b_rows = tables.b_rows[tables.b_from[element] :]
        for k in range(n_rows * LANES, 2 * n_rows * LANES, LANES):
            store(values, k, splat(0.0))
        for lane in range(LANES):
            i = slots[block * LANES + lane]
            if i < 0:
                break
            row = dq_db[i]
            for k in range(size):
                values[(n_rows + item(b_rows, k)) * LANES + lane] = row[k]
        run_program(
            values,
            tables.segments[element, 2],
            tables.segments[element, 3],
            tables.dst,
            tables.start,
            tables.x,
            tables.y,
            tables.c,
        )
        from_rows(work, tables, element)
        for lane in range(LANES):
            slot = block * LANES + lane
            i = slots[slot]
            if i < 0:
                break
            for k in range(16):
                sums[k] = 0.0
            for other in range(n_el):
                begin, end = section[slot * n_el + other], section[slot * n_el + other + 1]
                w = work.adjoint[(lane * n_el + other) * rows8 :]
                if tables.fast:
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
            for k in range(6):
                strain[k] += sums[k]
    for i in range(n):
        grad[i, 0], grad[i, 1], grad[i, 2] = push[4 * i], push[4 * i + 1], push[4 * i + 2]
    dq_dstrain[0, 0], dq_dstrain[1, 1], dq_dstrain[2, 2] = strain[0], strain[1], strain[2]
    dq_dstrain[1, 2], dq_dstrain[2, 1] = strain[3], strain[3]
    dq_dstrain[0, 2], dq_dstrain[2, 0] = strain[4], strain[4]
    dq_dstrain[0, 1], dq_dstrain[1, 0] = strain[5], strain[5]
    return OK
