"""Compiled: from dQ/dB to the gradient of Q, the way of the values backwards.

dQ/dB → (program backwards) → dQ/dA → moments' adjoints → pairs   `pull_into`
"""

from __future__ import annotations

import numpy as np

from grs_evo.kernels.ace.density import to_rows
from grs_evo.kernels.ace.harmonics import legendre, radial_sums, weighted_sum
from grs_evo.kernels.ace.interpreter import program_of, run_program
from grs_evo.kernels.ace.radial import directions, field, vectors
from grs_evo.kernels.ace.slots import AHEAD, block_atoms
from grs_evo.kernels.ace.tables import BLOCK, CHEB, CHEB_SLOPE, ENV, ENV_SLOPE
from grs_evo.kernels.compiling import entry, inner
from grs_evo.kernels.geometry.layout import OK
from grs_evo.kernels.simd import (
    DOUBLE,
    LANES,
    SINGLE,
    beyond,
    filled_wide,
    fma,
    fms,
    item,
    like,
    load,
    load_wide,
    numbers,
    pointer,
    prefetch,
    put,
    scatter_add,
    splat,
    store,
    total,
    totals,
    transpose,
    transpose_rows,
    width,
)


@inner
def from_rows(values, first_row, halves, n_el, rows, rows8, l_max, n_of_l, l_offset, wide_k, scale, spare, adjoint):
    """Adjoints of A of a block's atoms back into adjoints of their moments; the inverse way of `to_rows`."""
    stride = n_el * rows8
    if wide_k > 0:  # moments that have no row
        for row in range(rows8):
            store(spare, row * LANES, splat(0.0))
    for half in range(halves):
        shift = half * LANES
        for other in range(n_el):
            source = (first_row + other * rows) * BLOCK + shift
            for l in range(l_max + 1):
                width = 2 * l + 1
                for m in range(width):
                    first = item(l_offset, l) + m
                    at, step = first, width
                    if wide_k > 0:
                        at, step = (l * l + m) * wide_k, 1
                    zeroth = load(values, source + first * BLOCK)
                    for n in range(1, item(n_of_l, l)):
                        row = first + n * width
                        share = load(values, source + row * BLOCK) * 0.5
                        store(spare, (at + n * step) * LANES, share * (-item(scale, row)))
                        zeroth = zeroth + share
                    store(spare, at * LANES, zeroth * item(scale, first))
            for k in range(0, rows8, LANES):
                transpose(spare, k * LANES, LANES, adjoint, shift * stride + other * rows8 + k, stride)


@inner
def add_section(pair_id, begin, end, sx, sy, sz, push, sums, fz, virial):
    """Spread the gradients of one section's pairs, which wait in sx, sy, sz, and add its sums to `virial`."""
    for block in range(begin, end):
        k = (block - begin) * LANES
        scatter_add(push, pair_id, block * LANES, load(sx, k), load(sy, k), load(sz, k))
    store(virial, 0, load(virial, 0) + like(virial, sums))
    put(virial, 8, item(virial, 8) + total(fz))


@inner
def fast_pull(pair, pair_id, begin, end, w, at, spare, sx, sy, sz, push, virial):
    """Gradient of Σ w · moments with respect to the neighbours of one section, for the fused bases.

    `w[at:]`: 24 adjoints of the unnormalised moments, as `fast_moments` makes them. Adds to the neighbours' `push`, and
    to `virial` the sums of gradient times distance (xx, yy, zz, yz, xz, xy) and of the gradient (x, y, z). The
    gradients wait in sx, sy, sz: a second short loop spreads them, because with the scatter in it one turn of the
    first is longer than what the processor looks ahead.
    """
    zero = filled_wide(pair, 0.0)
    fx, fy, fz = zero, zero, zero
    vxx, vyy, vzz, vyz, vxz, vxy = zero, zero, zero, zero, zero, zero
    third = -1.0 / 3.0
    w0, w1, w2, w3 = item(w, at), item(w, at + 1), item(w, at + 2), item(w, at + 3)
    w4, w5, w6, w7 = item(w, at + 4), item(w, at + 5), item(w, at + 6), item(w, at + 7)
    # Σ w_k T_k(x) of l = 0 and its derivative in powers of x: two thirds of the operations, and shorter chains. It
    # costs two digits of w_7's contribution, which values cannot spare (they keep T_k) but gradients can.
    put(spare, 0, w0 - w2 + w4 - w6)
    put(spare, 1, w1 - 3.0 * w3 + 5.0 * w5 - 7.0 * w7)
    put(spare, 2, 2.0 * w2 - 8.0 * w4 + 18.0 * w6)
    put(spare, 3, 4.0 * w3 - 20.0 * w5 + 56.0 * w7)
    put(spare, 4, 8.0 * w4 - 48.0 * w6)
    put(spare, 5, 16.0 * w5 - 112.0 * w7)
    put(spare, 6, 32.0 * w6)
    put(spare, 7, 64.0 * w7)
    for k in range(8, 24):
        put(spare, k, item(w, at + k))
    for k in range(2, 8):
        put(spare, 22 + k, float(k) * item(spare, k))
    # Numbers are read from `spare` where they are used: as variables they would fill all registers with copies, and be
    # spilled to a stack that is not aligned for vectors (measured: 100 cycles a block instead of 55).
    c = spare
    for block in range(begin, end, width(pair) // LANES):
        r_inverse, ux, uy, uz = directions(pair, block)
        x = load_wide(pair, field(pair, block, CHEB))
        x2 = x * x
        x4 = x2 * x2
        high = fma(fma(x, item(c, 7), item(c, 6)), x2, fma(x, item(c, 5), item(c, 4)))
        low = fma(fma(x, item(c, 3), item(c, 2)), x2, fma(x, item(c, 1), item(c, 0)))
        s = fma(high, x4, low)
        high = fma(x2, item(c, 29), fma(x, item(c, 28), item(c, 27)))
        low = fma(fma(x, item(c, 26), item(c, 25)), x2, fma(x, item(c, 24), item(c, 1)))
        d = fma(high, x4, low)
        # l = 1
        p1 = fma(x, item(c, 11), item(c, 8))
        p2 = fma(x, item(c, 12), item(c, 9))
        p3 = fma(x, item(c, 13), item(c, 10))
        one = fma(p1, uy, fma(p2, uz, p3 * ux))
        slope = fma(uy, item(c, 11), fma(uz, item(c, 12), ux * item(c, 13)))
        # l = 2
        q0 = fma(x, item(c, 19), item(c, 14))
        q1 = fma(x, item(c, 20), item(c, 15))
        q2 = fma(x, item(c, 21), item(c, 16))
        q3 = fma(x, item(c, 22), item(c, 17))
        q4 = fma(x, item(c, 23), item(c, 18))
        xy = ux * uy
        yz = uy * uz
        zz = fma(uz, uz, third)
        xz = ux * uz
        xx = (ux - uy) * (ux + uy)
        two = fma(q0, xy, fma(q1, yz, q2 * zz)) + fma(q3, xz, q4 * xx)
        d = d + slope + fma(xz, item(c, 22), xx * item(c, 23))
        d = d + fma(xy, item(c, 19), fma(yz, item(c, 20), zz * item(c, 21)))
        s = s + one + two
        # gradient of the angular polynomials
        q4 = q4 + q4
        gx = fma(q0, uy, p3) + fma(q3, uz, q4 * ux)
        gy = fma(q0, ux, p1) + fms(q1, uz, q4 * uy)
        gz = fma(q1, uy, p2) + fma(q3, ux, (q2 + q2) * uz)
        along = fma(gx, ux, fma(gy, uy, gz * uz))
        env = load_wide(pair, field(pair, block, ENV))
        across = env * r_inverse
        radial = fma(
            s,
            load_wide(pair, field(pair, block, ENV_SLOPE)),
            fms(env * d, load_wide(pair, field(pair, block, CHEB_SLOPE)), along * across),
        )
        gx = fma(gx, across, radial * ux)
        gy = fma(gy, across, radial * uy)
        gz = fma(gz, across, radial * uz)
        k = (block - begin) * LANES
        store(sx, k, gx)
        store(sy, k, gy)
        store(sz, k, gz)
        fx = fx + gx
        fy = fy + gy
        fz = fz + gz
        dx, dy, dz = vectors(pair, block)
        vxx = fma(gx, dx, vxx)
        vyy = fma(gy, dy, vyy)
        vzz = fma(gz, dz, vzz)
        vyz = fma(gy, dz, vyz)
        vxz = fma(gx, dz, vxz)
        vxy = fma(gx, dy, vxy)
    sums = totals(vxx, vyy, vzz, vyz, vxz, vxy, fx, fy)
    add_section(pair_id, begin, end, sx, sy, sz, push, sums, fz, virial)


@inner
def any_pull(
    pair, pair_id, begin, end, l_max, n_of_l, wide_k, climb, slopes, w, at, spare, sx, sy, sz, push, virial
):  # fmt: skip
    """The same as `fast_pull` for any basis; `w` has the rows of `any_moments`, from `at` on."""
    wide = width(pair)
    lm = (l_max + 1) * (l_max + 1) * wide
    v, dv = lm, 2 * lm
    t = 3 * lm
    dt = t + wide_k * wide
    zero = filled_wide(pair, 0.0)
    fx, fy, fz = zero, zero, zero
    vxx, vyy, vzz, vyz, vxz, vxy = zero, zero, zero, zero, zero, zero
    for block in range(begin, end, wide // LANES):
        r_inverse, ux, uy, uz = directions(pair, block)
        legendre(uz, l_max, climb, spare)
        x = load_wide(pair, field(pair, block, CHEB))
        x2 = x + x
        now, before = filled_wide(pair, 1.0), x
        # T_k' = k U_{k-1}, with U_{-1} = 0 and U_0 = 1
        u_now, u_before = zero, filled_wide(pair, -1.0)
        for k in range(wide_k):
            store(spare, t + k * wide, now)
            store(spare, dt + k * wide, u_now * float(k))
            before, now = now, fms(x2, now, before)
            u_before, u_now = u_now, fms(x2, u_now, u_before)
        radial_sums(l_max, n_of_l, wide_k, w, at, spare, t, dt, v, dv)
        s, d, gx, gy, gz = weighted_sum(ux, uy, uz, l_max, slopes, spare, v, dv)
        along = fma(gx, ux, fma(gy, uy, gz * uz))
        env = load_wide(pair, field(pair, block, ENV))
        across = env * r_inverse
        radial = (
            fma(
                s,
                load_wide(pair, field(pair, block, ENV_SLOPE)),
                env * d * load_wide(pair, field(pair, block, CHEB_SLOPE)),
            )
            - along * across
        )
        gx = fma(gx, across, radial * ux)
        gy = fma(gy, across, radial * uy)
        gz = fma(gz, across, radial * uz)
        k = (block - begin) * LANES
        store(sx, k, gx)
        store(sy, k, gy)
        store(sz, k, gz)
        fx = fx + gx
        fy = fy + gy
        fz = fz + gz
        dx, dy, dz = vectors(pair, block)
        vxx = fma(gx, dx, vxx)
        vyy = fma(gy, dy, vyy)
        vzz = fma(gz, dz, vzz)
        vyz = fma(gy, dz, vyz)
        vxz = fma(gx, dz, vxz)
        vxy = fma(gx, dy, vxy)
    sums = totals(vxx, vyy, vzz, vyz, vxz, vxy, fx, fy)
    add_section(pair_id, begin, end, sx, sy, sz, push, sums, fz, virial)


@inner
def pulled(positions, cell, species, pbc, tables, dq_db, work, grad, dq_dstrain, kind):
    """`pull_into` in the precision of `kind`."""
    n_el, rows, rows8, wide_k, l_max = tables.n_el, tables.rows, tables.rows8, tables.wide_k, tables.l_max
    fast, full = tables.fast, tables.full
    n_of_l, l_offset, scale = pointer(tables.n_of_l), pointer(tables.l_offset), pointer(tables.row_scale)
    climb, slopes, all_rows = pointer(tables.climb), pointer(tables.slope), pointer(tables.b_rows)
    steps = program_of(tables, kind)
    slots, slot_rows, section = pointer(work.slots), pointer(work.slot_rows), pointer(work.section)
    moments, adjoint, values = numbers(work.moments, kind), numbers(work.adjoint, kind), numbers(work.values, kind)
    spare, pair, lane_rows, pair_id = (
        numbers(work.spare, kind), numbers(work.pair, kind), pointer(work.lane_rows), pointer(work.pair_id)
    )  # fmt: skip
    sx, sy, sz = pointer(work.sx), pointer(work.sy), pointer(work.sz)
    push, sums, source_rows = pointer(work.push), pointer(work.total), pointer(dq_db)
    n, n_slots, row_size = species.shape[0], work.shape[4], dq_db.shape[1]
    for k in range(work.push.shape[0]):
        put(push, k, 0.0)
    sxx, syy, szz, syz, sxz, sxy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    # Blocks are taken from the last to the first: the adjoints of a block lie where the values of the next one were.
    buffer = tables.n_rows_max * BLOCK
    kept = work.shape[6] == 1
    work.shape[6] = 0
    first_values = values
    for first_slot in range(n_slots - BLOCK, -1, -BLOCK):
        group = tables.group[species[item(slots, first_slot)]]
        count = block_atoms(slot_rows, first_slot, row_size, lane_rows)
        halves = (count + LANES - 1) // LANES
        segments = tables.segments[group]
        begin, end, back, last = segments[0], segments[1], segments[2], segments[3]
        if kept:
            values = beyond(first_values, first_slot // BLOCK * buffer)
        else:
            one = tables.n_a[group]
            to_rows(
                moments, first_slot, halves, n_el, rows, rows8, l_max, n_of_l, l_offset, wide_k, scale, one, spare,
                values,
            )  # fmt: skip
            run_program(values, begin, end, steps, halves > 1)
        size, b_from, n_rows = tables.sizes[group], tables.b_from[group], tables.n_rows[group]
        below = n_rows * BLOCK
        whole = size // LANES * LANES
        for half in range(halves):
            for k in range(0, whole, LANES):
                shift = half * LANES
                for lane in range(shift, shift + LANES):
                    prefetch(source_rows, item(lane_rows, lane) + k + AHEAD)
                transpose_rows(source_rows, lane_rows, shift, k, values, all_rows, b_from + k, below + shift)
        for lane in range(count):
            at = item(lane_rows, lane)
            for k in range(whole, size):
                put(values, below + item(all_rows, b_from + k) + lane, item(source_rows, at + k))
        run_program(values, back, last, steps, halves > 1)
        from_rows(values, n_rows, halves, n_el, rows, rows8, l_max, n_of_l, l_offset, wide_k, scale, spare, adjoint)
        for lane in range(count):
            slot = first_slot + lane
            i = item(slots, slot)
            for k in range(16):
                put(sums, k, 0.0)
            for other in range(n_el):
                begin, end = item(section, slot * n_el + other), item(section, slot * n_el + other + 1)
                at = (lane * n_el + other) * rows8
                if fast:
                    w, w_at = adjoint, at
                    if not full:
                        w, w_at = spare, np.int64(32)
                        source = 32
                        for k in range(24):
                            put(spare, source + k, 0.0)
                        for l in range(l_max + 1):
                            for k in range(item(n_of_l, l) * (2 * l + 1)):
                                put(spare, source + k, item(adjoint, at + item(l_offset, l) + k))
                            source += 8 if l == 0 else 6
                    fast_pull(pair, pair_id, begin, end, w, w_at, spare, sx, sy, sz, push, sums)
                else:
                    any_pull(
                        pair, pair_id, begin, end, l_max, n_of_l, wide_k, climb, slopes,
                        adjoint, at, spare, sx, sy, sz, push, sums,
                    )  # fmt: skip
            for a in range(3):
                put(push, 4 * i + a, item(push, 4 * i + a) - item(sums, 6 + a))
            sxx += item(sums, 0)
            syy += item(sums, 1)
            szz += item(sums, 2)
            syz += item(sums, 3)
            sxz += item(sums, 4)
            sxy += item(sums, 5)
    for i in range(n):
        for a in range(3):
            grad[i, a] = item(push, 4 * i + a)
    dq_dstrain[0, 0], dq_dstrain[1, 1], dq_dstrain[2, 2] = sxx, syy, szz
    dq_dstrain[1, 2], dq_dstrain[2, 1] = syz, syz
    dq_dstrain[0, 2], dq_dstrain[2, 0] = sxz, sxz
    dq_dstrain[0, 1], dq_dstrain[1, 0] = sxy, sxy
    return OK


@entry
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
    return pulled(positions, cell, species, pbc, tables, dq_db, work, grad, dq_dstrain, DOUBLE)


@entry
def pull_single(positions, cell, species, pbc, tables, dq_db, work, grad, dq_dstrain):
    """The same in single precision, right after `describe_single`; gradients on an atom are summed as doubles."""
    return pulled(positions, cell, species, pbc, tables, dq_db, work, grad, dq_dstrain, SINGLE)
