"""Compiled: real spherical harmonics of any l for eight directions at once, and their gradients.

Y_lm is taken as the function Q_lm(z) · Re or Im (x + iy)^|m| of the unit vector, times √4π so that Y_00 = 1 and without
the Condon-Shortley sign: Y_1 = √3 (y, z, x) for m = -1, 0, 1. The gradient is that of this function; only its part
across the direction is meant, so callers project out the part along it.
"""

from __future__ import annotations

from grs_evo.kernels.compiling import inner
from grs_evo.kernels.simd import LANES, fma, item, load, splat, store


@inner
def harmonics(x, y, z, l_max, climb, y_out, at, legendre, powers):
    """Y_lm for l = 0 … l_max into rows `l² + l + m` of `y_out` from `at` on.

    `legendre` and `powers` are where the rows of Q_lm (at l (l_max + 1) + m) and of Re, Im (x + iy)^m (at 2 m) start
    in `y_out`; they are left there for the gradient.
    """
    wide = l_max + 1
    second = wide * wide
    re, im = splat(1.0), splat(0.0)
    for m in range(wide):
        store(y_out, powers + 2 * m * LANES, re)
        store(y_out, powers + (2 * m + 1) * LANES, im)
        before, last = splat(0.0), splat(item(climb, m * wide + m))
        for l in range(m, wide):
            k = l * wide + m
            if l > m:
                now = fma(z * last, item(climb, k), before * item(climb, second + k))
                before, last = last, now
            store(y_out, legendre + k * LANES, last)
            row = at + (l * l + l) * LANES
            store(y_out, row + m * LANES, last * re)
            if m > 0:
                store(y_out, row - m * LANES, last * im)
        re, im = re * x - im * y, re * y + im * x


@inner
def harmonic_gradient(l, m, l_max, slope, source, legendre, powers):
    """Gradient of Y_lm from what `harmonics` left behind."""
    wide = l_max + 1
    q = abs(m)
    value = load(source, legendre + (l * wide + q) * LANES)
    re = load(source, powers + 2 * q * LANES)
    im = load(source, powers + (2 * q + 1) * LANES)
    rise = splat(0.0)
    if q < l:
        rise = load(source, legendre + (l * wide + q + 1) * LANES) * item(slope, l * wide + q)
    gx, gy = splat(0.0), splat(0.0)
    if q > 0:
        below_re = load(source, powers + (2 * q - 2) * LANES) * value * float(q)
        below_im = load(source, powers + (2 * q - 1) * LANES) * value * float(q)
        if m > 0:
            gx, gy = below_re, splat(0.0) - below_im
        else:
            gx, gy = below_im, below_re
    gz = rise * re
    if m < 0:
        gz = rise * im
    return gx, gy, gz
