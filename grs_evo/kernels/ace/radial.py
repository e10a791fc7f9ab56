"""Compiled: from neighbour vectors to distances, Chebyshev arguments and envelopes, with slopes.

g_1 = e and g_k = (1 - T_{k-1}(x)) e / 2, with x = 1 - 2 (e^{-lam r/rc} - e^{-lam}) / (1 - e^{-lam}) and the envelope
e = (1 + cos(pi r / rc)) / 2 times LAMMPS's outer taper and inner cutoff (arXiv:2409.13871 eq. 9; ML-PACE ChebExpCos).
x and the cosine are polynomials in y = r/rc - 1/2: a call to libm in the loop would end its vectorisation.
"""

from __future__ import annotations

import math

from grs_evo.kernels.ace.tables import (
    CHEB,
    CHEB_SLOPE,
    COLUMNS,
    DX,
    DY,
    DZ,
    ENV,
    ENV_SLOPE,
    FIELDS,
    INNER,
    INNER_TO,
    LAM_OVER_RC,
    R_INVERSE,
    RC,
    RC_INVERSE,
    SLOPE_ADD,
    TAPER,
    TAPER_FROM,
)
from grs_evo.kernels.compiling import inner
from grs_evo.kernels.polynomials import COSINE, SINE_OVER_Y
from grs_evo.kernels.simd import (
    LANES,
    any_above,
    any_below,
    filled,
    fma,
    inverse_root,
    item,
    like,
    load,
    put,
    single,
    splat,
    store,
)

_S0, _S1, _S2, _S3, _S4, _S5, _S6, _S7 = SINE_OVER_Y
_C0, _C1, _C2, _C3, _C4, _C5, _C6, _C7, _C8 = COSINE


@inner
def fields_of(pair, block):
    """Where the fields of a block of pairs begin.

    A block is as long as eight fields of doubles. Of singles all eight are in its second half, and in the first are
    vectors and 1/r as doubles, which others read.
    """
    return block * (2 * FIELDS) + FIELDS if single(pair) else block * FIELDS


@inner
def taper_block(pair, at, radial, row):
    """Outer taper and inner cutoff of the pairs of one block, if any is within their ranges (few are)."""
    taper_from, taper = item(radial, row + TAPER_FROM), item(radial, row + TAPER)
    inner_to, inner = item(radial, row + INNER_TO), item(radial, row + INNER)
    for k in range(LANES):
        r = 1.0 / item(pair, at + R_INVERSE + k)
        factor, slope = 1.0, 0.0
        if r > taper_from:
            turn = math.pi * (r - taper_from) / taper
            factor = 0.5 * (1.0 + math.cos(turn))
            slope = -0.5 * math.pi / taper * math.sin(turn)
        if r < inner_to:
            if r <= inner_to - inner:
                factor, slope = 0.0, 0.0
            else:
                t = 1.0 - 2.0 * (1.0 + (r - inner_to) / inner)
                t2 = t * t
                rise = 0.5 - 3.75 * t * (0.25 - t2 * (1.0 / 6.0 - t2 * 0.05))
                climb = 7.5 / inner * (0.25 - 0.5 * t2 + 0.25 * t2 * t2)
                slope = slope * rise + factor * climb
                factor = factor * rise
        env = item(pair, at + ENV + k)
        put(pair, at + ENV_SLOPE + k, item(pair, at + ENV_SLOPE + k) * factor + env * slope)
        put(pair, at + ENV + k, env * factor)


@inner
def radial_section(
    count, block, which, slopes, radial, cheb, degree, tail, sx, sy, sz, pair, seen, pair_id, nobody
):  # fmt: skip
    """Turn the `count` neighbours found by `find_near` into blocks of pairs, from `block` on. Returns the next block.

    The last block is filled up with pairs without weight (envelope and slope 0) whose neighbour is `nobody`. `seen` is
    `pair` as doubles, the same memory; distances are found in these, and what follows from them in pair's precision.
    """
    row = which * COLUMNS
    terms = which * (degree + 1)
    rc, rc_inverse = item(radial, row + RC), item(radial, row + RC_INVERSE)
    lam = item(radial, row + LAM_OVER_RC)
    slope_add = lam + lam * item(radial, row + SLOPE_ADD)
    taper_from, inner_to = item(radial, row + TAPER_FROM), item(radial, row + INNER_TO)
    bend = -0.5 * math.pi * rc_inverse

    full = (count + LANES - 1) // LANES * LANES
    store(sx, count, splat(0.5 * rc))
    store(sy, count, splat(0.0))
    store(sz, count, splat(0.0))
    for k in range(count, full):
        put(pair_id, block * LANES + k, nobody)
    for k in range(0, full, LANES):
        at = fields_of(pair, block)
        dx, dy, dz = load(sx, k), load(sy, k), load(sz, k)
        r2 = fma(dx, dx, fma(dy, dy, dz * dz))
        r_inverse = inverse_root(r2)
        r = r2 * r_inverse
        store(pair, at + DX, dx)
        store(pair, at + DY, dy)
        store(pair, at + DZ, dz)
        store(pair, at + R_INVERSE, r_inverse)
        if single(pair):
            store(seen, block * FIELDS + DX, dx)
            store(seen, block * FIELDS + DY, dy)
            store(seen, block * FIELDS + DZ, dz)
            store(seen, block * FIELDS + R_INVERSE, r_inverse)
        y = like(pair, fma(r, rc_inverse, -0.5))
        x = filled(pair, item(cheb, terms + degree))
        # the degree is a multiple of four (tables.py)
        for d in range(terms + degree - 4, terms - 1, -4):
            x = fma(x, y, item(cheb, d + 3))
            x = fma(x, y, item(cheb, d + 2))
            x = fma(x, y, item(cheb, d + 1))
            x = fma(x, y, item(cheb, d))
        y2 = y * y
        s = fma(y2, _S7, _S6)
        s = fma(s, y2, _S5)
        s = fma(s, y2, _S4)
        s = fma(s, y2, _S3)
        s = fma(s, y2, _S2)
        s = fma(s, y2, _S1)
        s = fma(s, y2, _S0)
        env = fma(s * y, -0.5, 0.5)
        store(pair, at + CHEB, x)
        last = k + LANES > count
        if last:
            env = env * like(pair, load(tail, full - count))
        store(pair, at + ENV, env)
        if slopes:
            c = fma(y2, _C8, _C7)
            c = fma(c, y2, _C6)
            c = fma(c, y2, _C5)
            c = fma(c, y2, _C4)
            c = fma(c, y2, _C3)
            c = fma(c, y2, _C2)
            c = fma(c, y2, _C1)
            c = fma(c, y2, _C0) * bend
            if last:
                c = c * like(pair, load(tail, full - count))
            store(pair, at + CHEB_SLOPE, fma(x, -lam, slope_add))
            store(pair, at + ENV_SLOPE, c)
        if any_above(r, taper_from) or any_below(r, inner_to):
            taper_block(pair, at, radial, row)
        block += 1
    return block
