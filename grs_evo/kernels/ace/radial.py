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
    filled_wide,
    fma,
    inverse_root,
    item,
    load_wide,
    put,
    splat,
    store,
    wide_of,
    width,
)

_S0, _S1, _S2, _S3, _S4, _S5, _S6, _S7 = SINE_OVER_Y
_C0, _C1, _C2, _C3, _C4, _C5, _C6, _C7, _C8 = COSINE


@inner
def field(pair, block, which):
    """Where a field of the pairs of a block begins, or of the next block's too where both are taken at once."""
    return block * FIELDS + which * (width(pair) // LANES)


@inner
def vectors(pair, block):
    """Distances along x, y and z of pairs that are taken at once."""
    return (
        load_wide(pair, field(pair, block, DX)),
        load_wide(pair, field(pair, block, DY)),
        load_wide(pair, field(pair, block, DZ)),
    )


@inner
def directions(pair, block):
    """1/r of pairs that are taken at once, and x, y and z of their unit vectors."""
    r_inverse = load_wide(pair, field(pair, block, R_INVERSE))
    x, y, z = vectors(pair, block)
    return r_inverse, x * r_inverse, y * r_inverse, z * r_inverse


@inner
def taper_block(pair, block, radial, row):
    """Outer taper and inner cutoff of pairs that are taken at once, if any is within their ranges (few are)."""
    taper_from, taper = item(radial, row + TAPER_FROM), item(radial, row + TAPER)
    inner_to, inner = item(radial, row + INNER_TO), item(radial, row + INNER)
    for k in range(width(pair)):
        r = 1.0 / item(pair, field(pair, block, R_INVERSE) + k)
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
        at, rise_at = field(pair, block, ENV) + k, field(pair, block, ENV_SLOPE) + k
        env = item(pair, at)
        put(pair, rise_at, item(pair, rise_at) * factor + env * slope)
        put(pair, at, env * factor)


@inner
def radial_section(count, block, which, slopes, radial, cheb, degree, tail, sx, sy, sz, pair, pair_id, nobody):
    """Turn the `count` neighbours found by `find_near` into blocks of pairs, from `block` on. Returns the next block.

    The last block is filled up with pairs without weight (envelope and slope 0). Their neighbours are `nobody` and
    those after it, each another one, since sums on the same one wait for each other. Where two blocks are taken at
    once, there is an even number of them.
    """
    row = which * COLUMNS
    terms = which * (degree + 1)
    rc, rc_inverse = item(radial, row + RC), item(radial, row + RC_INVERSE)
    lam = item(radial, row + LAM_OVER_RC)
    slope_add = lam + lam * item(radial, row + SLOPE_ADD)
    taper_from, inner_to = item(radial, row + TAPER_FROM), item(radial, row + INNER_TO)
    bend = -0.5 * math.pi * rc_inverse

    wide = width(pair)
    ones_from = 2 * LANES - wide
    full = (count + wide - 1) // wide * wide
    for k in range(count, full, LANES):
        store(sx, k, splat(0.5 * rc))
        store(sy, k, splat(0.0))
        store(sz, k, splat(0.0))
    for k in range(count, full):
        put(pair_id, block * LANES + k, nobody + k - count)
    for k in range(0, full, wide):
        dx, dy, dz = wide_of(pair, sx, k), wide_of(pair, sy, k), wide_of(pair, sz, k)
        r2 = fma(dx, dx, fma(dy, dy, dz * dz))
        r_inverse = inverse_root(r2)
        r = r2 * r_inverse
        store(pair, field(pair, block, DX), dx)
        store(pair, field(pair, block, DY), dy)
        store(pair, field(pair, block, DZ), dz)
        store(pair, field(pair, block, R_INVERSE), r_inverse)
        y = fma(r, rc_inverse, -0.5)
        x = filled_wide(pair, item(cheb, terms + degree))
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
        store(pair, field(pair, block, CHEB), x)
        last = k + wide > count
        if last:
            env = env * wide_of(pair, tail, ones_from + full - count)
        store(pair, field(pair, block, ENV), env)
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
                c = c * wide_of(pair, tail, ones_from + full - count)
            store(pair, field(pair, block, CHEB_SLOPE), fma(x, -lam, slope_add))
            store(pair, field(pair, block, ENV_SLOPE), c)
        if any_above(r, taper_from) or any_below(r, inner_to):
            taper_block(pair, block, radial, row)
        block += wide // LANES
    return block
