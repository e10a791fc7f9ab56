"""Compiled: real spherical harmonics of any l for many directions at once, and sums of them with their gradients.

Y_lm is taken as the function Q_lm(z) · Re or Im (x + iy)^|m| of the unit vector, times √4π so that Y_00 = 1 and without
the Condon-Shortley sign: Y_1 = √3 (y, z, x) for m = -1, 0, 1. The gradient is that of this function; only its part
across the direction is meant, so callers project out the part along it.
"""

from __future__ import annotations

from grs_evo.kernels.compiling import inner
from grs_evo.kernels.simd import filled_wide, fma, item, load_wide, store, width


@inner
def harmonics(x, y, z, l_max, climb, out, at):
    """Y_lm for l = 0 … l_max into rows `l² + l + m` of `out` from `at` on."""
    wide = l_max + 1
    second, row_size = wide * wide, width(out)
    re, im = filled_wide(out, 1.0), filled_wide(out, 0.0)
    for m in range(wide):
        before, last = filled_wide(out, 0.0), filled_wide(out, item(climb, m * wide + m))
        for l in range(m, wide):
            k = l * wide + m
            if l > m:
                now = fma(z * last, item(climb, k), before * item(climb, second + k))
                before, last = last, now
            row = at + (l * l + l) * row_size
            store(out, row + m * row_size, last * re)
            if m > 0:
                store(out, row - m * row_size, last * im)
        re, im = re * x - im * y, re * y + im * x


@inner
def legendre(z, l_max, climb, out):
    """Q_lm for 0 ≤ m ≤ l ≤ l_max into rows `l (l_max + 1) + m` of `out`."""
    wide = l_max + 1
    second, row_size = wide * wide, width(out)
    for m in range(wide):
        before, last = filled_wide(out, 0.0), filled_wide(out, item(climb, m * wide + m))
        store(out, (m * wide + m) * row_size, last)
        for l in range(m + 1, wide):
            k = l * wide + m
            before, last = last, fma(z * last, item(climb, k), before * item(climb, second + k))
            store(out, k * row_size, last)


@inner
def eight_rows(rows, at):
    """Eight rows of pairs from `at` on."""
    step = width(rows)
    return (
        load_wide(rows, at),
        load_wide(rows, at + step),
        load_wide(rows, at + 2 * step),
        load_wide(rows, at + 3 * step),
        load_wide(rows, at + 4 * step),
        load_wide(rows, at + 5 * step),
        load_wide(rows, at + 6 * step),
        load_wide(rows, at + 7 * step),
    )


@inner
def radial_sums(l_max, n_of_l, wide_k, w, at, spare, t, dt, v, dv):
    """Σ_k w_lmk T_k and Σ_k w_lmk T_k' of a row of pairs, into rows `l² + l + m` of `spare` from `v` and from `dv` on.

    Parameters
    ----------
    w : weights from `at` on: `wide_k` (a multiple of eight) for each (l, m), the ones past n_of_l[l] zero
    spare : T_k and T_k' in rows from `t` and from `dt` on
    """
    row_size = width(spare)
    for first in range(0, wide_k, 8):
        top = l_max
        while item(n_of_l, top) <= first:
            top -= 1
        t0, t1, t2, t3, t4, t5, t6, t7 = eight_rows(spare, t + first * row_size)
        d0, d1, d2, d3, d4, d5, d6, d7 = eight_rows(spare, dt + first * row_size)
        for l in range(top + 1):
            left = item(n_of_l, l) - first
            for row in range(l * l, (l + 1) * (l + 1)):
                value, slope = filled_wide(spare, 0.0), filled_wide(spare, 0.0)
                if first > 0:
                    value, slope = load_wide(spare, v + row * row_size), load_wide(spare, dv + row * row_size)
                k = at + row * wide_k + first
                one, two = item(w, k), item(w, k + 1)
                value, slope = fma(t1, two, fma(t0, one, value)), fma(d1, two, fma(d0, one, slope))
                if left > 2:
                    one, two = item(w, k + 2), item(w, k + 3)
                    value, slope = fma(t3, two, fma(t2, one, value)), fma(d3, two, fma(d2, one, slope))
                if left > 4:
                    one, two = item(w, k + 4), item(w, k + 5)
                    value, slope = fma(t5, two, fma(t4, one, value)), fma(d5, two, fma(d4, one, slope))
                if left > 6:
                    one, two = item(w, k + 6), item(w, k + 7)
                    value, slope = fma(t7, two, fma(t6, one, value)), fma(d7, two, fma(d6, one, slope))
                store(spare, v + row * row_size, value)
                store(spare, dv + row * row_size, slope)


@inner
def weighted_sum(x, y, z, l_max, slopes, spare, v, dv):
    """s = Σ v_lm Y_lm, Σ v'_lm Y_lm and the gradient of s by the direction at given v.

    Both signs of m share Q_lm: what multiplies Re and Im (x + iy)^m is summed over l first.

    Parameters
    ----------
    spare : Q_lm as `legendre` leaves them; v_lm and v'_lm as `radial_sums` does
    """
    wide, row_size = l_max + 1, width(spare)
    zero = filled_wide(spare, 0.0)
    s, d, gx, gy, gz = zero, zero, zero, zero, zero
    for l in range(wide):
        k, row = l * wide * row_size, (l * l + l) * row_size
        q, value = load_wide(spare, k), load_wide(spare, v + row)
        s = fma(q, value, s)
        d = fma(q, load_wide(spare, dv + row), d)
        if l > 0:
            gz = fma(load_wide(spare, k + row_size) * item(slopes, l * wide), value, gz)
    re, im, re_below, im_below = x, y, filled_wide(spare, 1.0), zero
    for m in range(1, wide):
        a, b, da, db, rise_a, rise_b = zero, zero, zero, zero, zero, zero
        for l in range(m, wide):
            k, row = l * wide + m, (l * l + l) * row_size
            above, below = load_wide(spare, v + row + m * row_size), load_wide(spare, v + row - m * row_size)
            q = load_wide(spare, k * row_size)
            a = fma(q, above, a)
            b = fma(q, below, b)
            da = fma(q, load_wide(spare, dv + row + m * row_size), da)
            db = fma(q, load_wide(spare, dv + row - m * row_size), db)
            if l > m:
                rise = load_wide(spare, (k + 1) * row_size) * item(slopes, k)
                rise_a = fma(rise, above, rise_a)
                rise_b = fma(rise, below, rise_b)
        s = fma(a, re, fma(b, im, s))
        d = fma(da, re, fma(db, im, d))
        gz = fma(rise_a, re, fma(rise_b, im, gz))
        a = a * float(m)
        b = b * float(m)
        gx = fma(a, re_below, fma(b, im_below, gx))
        gy = fma(b, re_below, gy) - a * im_below
        re_below, im_below = re, im
        re, im = re * x - im * y, re * y + im * x
    return s, d, gx, gy, gz
