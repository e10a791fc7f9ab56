"""Compiled: from neighbour vectors to unit vectors, Chebyshev arguments and envelopes, with slopes.

g_1 = e and g_k = (1 - T_{k-1}(x)) e / 2, with x = 1 - 2 (e^{-lam r/rc} - e^{-lam}) / (1 - e^{-lam}) and the envelope
e = (1 + cos(pi r / rc)) / 2 times LAMMPS's outer taper and inner cutoff (arXiv:2409.13871 eq. 9; ML-PACE ChebExpCos).
x and the cosine are polynomials in r/rc - 1/2: a call to libm in the loop would end its vectorisation.
"""

from __future__ import annotations

import math

from numba import njit

from .simd import LANES, any_above, any_below, fma, item, load, root, splat, store
from .tables import (
    CHEB,
    CHEB_SLOPE,
    COLUMNS,
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
    UX,
    UY,
    UZ,
)


@njit(cache=True, error_model="numpy")
def taper_block(pair, at, radial):
    """Outer taper and inner cutoff of the pairs of one block that are within their ranges (few are)."""
    taper_from, taper = radial[TAPER_FROM], radial[TAPER]
    inner_to, inner = radial[INNER_TO], radial[INNER]
    for k in range(LANES):
        r = 1.0 / pair[at + R_INVERSE + k]
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
        env = pair[at + ENV + k]
        pair[at + ENV_SLOPE + k] = pair[at + ENV_SLOPE + k] * factor + env * slope
        pair[at + ENV + k] = env * factor


@njit(cache=True, error_model="numpy")
def radial_section(count, block, which, tables, work):
    """Turn the `count` neighbours found by `find_near` into blocks of pairs, from `block` on. Returns the next block.

    The last block is filled up with pairs without weight (envelope and slope 0) whose neighbour is nobody (the row
    after the last atom in `push`).
    """
    sx, sy, sz, s2, pair, pair_id = work.sx, work.sy, work.sz, work.s2, work.pair, work.pair_id
    radial = tables.radial[which * COLUMNS : (which + 1) * COLUMNS]
    degree = tables.degree
    cheb = tables.cheb[which * (degree + 1) : (which + 1) * (degree + 1)]
    sine, cosine = tables.sine, tables.cosine
    n_sine, n_cosine = sine.shape[0], cosine.shape[0]
    rc, rc_inverse = radial[RC], radial[RC_INVERSE]
    lam, slope_add = radial[LAM_OVER_RC], radial[SLOPE_ADD]
    taper_from, inner_to = radial[TAPER_FROM], radial[INNER_TO]
    bend = 0.5 * math.pi * rc_inverse

    full = (count + LANES - 1) // LANES * LANES
    nobody = work.push.shape[0] // 4 - 1
    halfway = 0.5 * rc
    for k in range(count, full):
        sx[k], sy[k], sz[k], s2[k] = halfway, 0.0, 0.0, halfway * halfway
        pair_id[block * LANES + k] = nobody
    for k in range(0, full, LANES):
        at = block * FIELDS
        r2 = load(s2, k)
        r = root(r2)
        r_inverse = 1.0 / r
        store(pair, at + UX, load(sx, k) * r_inverse)
        store(pair, at + UY, load(sy, k) * r_inverse)
        store(pair, at + UZ, load(sz, k) * r_inverse)
        store(pair, at + R_INVERSE, r_inverse)
        y = fma(r, rc_inverse, -0.5)
        x = splat(item(cheb, degree))
        for d in range(degree - 1, -1, -1):
            x = fma(x, y, item(cheb, d))
        y2 = y * y
        s = splat(item(sine, n_sine - 1))
        for d in range(n_sine - 2, -1, -1):
            s = fma(s, y2, item(sine, d))
        c = splat(item(cosine, n_cosine - 1))
        for d in range(n_cosine - 2, -1, -1):
            c = fma(c, y2, item(cosine, d))
        store(pair, at + CHEB, x)
        store(pair, at + ENV, fma(s * y, -0.5, 0.5))
        store(pair, at + CHEB_SLOPE, fma(x, -lam, lam + lam * slope_add))
        store(pair, at + ENV_SLOPE, c * (-bend))
        if any_above(r, taper_from) or any_below(r, inner_to):
            taper_block(pair, at, radial)
        block += 1
    at = (block - 1) * FIELDS
    for k in range(count - full + LANES, LANES):
        if count > 0:
            pair[at + ENV + k] = 0.0
            pair[at + ENV_SLOPE + k] = 0.0
    return block
