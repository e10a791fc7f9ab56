"""Compiled: norms of residuals and their slopes, eight numbers at a time.

Sums are kept in eight lanes, number k in lane k mod 8, and the lanes are added in a fixed order at the end: as fast as
memory allows, and the same bits every time.
"""

from __future__ import annotations

import math

from grs_evo.kernels.compiling import inner
from grs_evo.kernels.simd import (
    LANES,
    beyond,
    fma,
    item,
    load_part,
    magnitude,
    put,
    root,
    sign,
    splat,
    store_part,
    total,
)

L1, L2, HUBER = range(3)


@inner
def clear(x, n):
    """x[:n] = 0."""
    for k in range(0, n, LANES):
        store_part(x, k, n - k, splat(0.0))


@inner
def rescale(x, n, factor):
    """x[:n] *= factor."""
    for k in range(0, n, LANES):
        store_part(x, k, n - k, load_part(x, k, n - k, 0.0) * factor)


@inner
def inner_product(x, y, n):
    """Σ x[k] y[k] for k < n."""
    sums = splat(0.0)
    for k in range(0, n, LANES):
        sums = fma(load_part(x, k, n - k, 0.0), load_part(y, k, n - k, 0.0), sums)
    return total(sums)


@inner
def norm_of(x, n, norm, delta):
    """Mean |x|, root mean square, or mean of the pseudo-Huber function √(x² + δ²) − δ, over the first n numbers."""
    sums = splat(0.0)
    if norm == L1:
        for k in range(0, n, LANES):
            sums = sums + magnitude(load_part(x, k, n - k, 0.0))
        return total(sums) / n
    if norm == L2:
        return math.sqrt(inner_product(x, x, n) / n)
    square = splat(delta * delta)
    for k in range(0, n, LANES):
        # x²/(√(x² + δ²) + δ) is √(x² + δ²) − δ without its cancellation at small x
        squares = load_part(x, k, n - k, 0.0)
        squares = squares * squares
        sums = sums + squares / (root(squares + square) + delta)
    return total(sums) / n


@inner
def norm_slope(x, n, norm, delta, size, weight, dx):
    """Derivative of `weight` times `norm_of`, which is `size`, with respect to each x; 0 at x = 0 for every norm."""
    share = weight / n
    if norm == L1:
        for k in range(0, n, LANES):
            store_part(dx, k, n - k, sign(load_part(x, k, n - k, 0.0)) * share)
    elif norm == L2:
        factor = share / size if size > 0.0 else 0.0
        for k in range(0, n, LANES):
            store_part(dx, k, n - k, load_part(x, k, n - k, 0.0) * factor)
    else:
        square = splat(delta * delta)
        for k in range(0, n, LANES):
            x_k = load_part(x, k, n - k, 0.0)
            store_part(dx, k, n - k, x_k * share / root(fma(x_k, x_k, square)))


@inner
def residuals(feature, target, inverse, n, x):
    """x = (feature − target) inverse; returns Σ |feature − target|."""
    away = splat(0.0)
    for k in range(0, n, LANES):
        left = n - k
        gap = load_part(feature, k, left, 0.0) - load_part(target, k, left, 0.0)
        away = away + magnitude(gap)
        store_part(x, k, left, gap * load_part(inverse, k, left, 0.0))
    return total(away)


@inner
def times(x, y, n, out):
    """out[k] = x[k] y[k]."""
    for k in range(0, n, LANES):
        left = n - k
        store_part(out, k, left, load_part(x, k, left, 0.0) * load_part(y, k, left, 0.0))


@inner
def project(feature, target, axes, n, width, n_axes, x):
    """x[c] = Σ_k axes[k, c] (feature − target)[k], c < n_axes; `axes` has rows of `width`.

    Returns Σ |feature − target|.
    """
    clear(x, n_axes)
    away = 0.0
    for k in range(n):
        gap = item(feature, k) - item(target, k)
        away += abs(gap)
        if gap != 0.0:
            axis = beyond(axes, k * width)
            for c in range(0, n_axes, LANES):
                left = n_axes - c
                store_part(x, c, left, fma(load_part(axis, c, left, 0.0), splat(gap), load_part(x, c, left, 0.0)))
    return away


@inner
def project_back(dx, axes, n, width, n_axes, out):
    """out[k] = Σ_c axes[k, c] dx[c]."""
    for k in range(n):
        put(out, k, inner_product(beyond(axes, k * width), dx, n_axes))
