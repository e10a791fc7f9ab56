"""Compiled: covariances of descriptor rows, of mixtures, and their distance from the target's, with the adjoints.

One square matrix per element, row-major, one after the other (`plan.starts`).
"""

from __future__ import annotations

from grs_evo.kernels.compiling import entry_locked, inner
from grs_evo.kernels.simd import LANES, beyond, fma, item, load_part, pointer, put, root, splat, store_part, total


@entry_locked
def covariance_of_rows(rows, plan, counts, places, mean, flat):
    """Covariance of each block, 1/N; `places` as `moments.by_element` makes them. Returns 0."""
    row, means, order, out, first = pointer(rows), pointer(mean), pointer(places), pointer(flat), 0
    for e in range(plan.sizes.shape[0]):
        n, m, last = plan.sizes[e], beyond(means, plan.offsets[e]), first + int(counts[e])
        share = 1.0 / (last - first) if last > first else 0.0
        for a in range(n):
            line, mean_a = beyond(out, plan.starts[e] + a * n), item(m, a)
            for b in range(0, n, LANES):
                left, mean_b, sums = n - b, load_part(m, b, n - b, 0.0), splat(0.0)
                for atom in range(first, last):
                    at = item(order, atom)
                    d = load_part(row, at + b, left, 0.0) - mean_b
                    sums = fma(d, splat(item(row, at + a) - mean_a), sums)
                store_part(line, b, left, sums * share)
        first = last
    return 0


@entry_locked
def covariance_rows_adjoint(rows, plan, counts, places, mean, slope, drows):
    """Add the derivative through each block's covariance to drows; `slope` becomes itself and its transposed.

    Returns 0.
    """
    row, means, order, target, first = pointer(rows), pointer(mean), pointer(places), pointer(drows), 0
    for e in range(plan.sizes.shape[0]):
        n, m, last = plan.sizes[e], beyond(means, plan.offsets[e]), first + int(counts[e])
        both = beyond(pointer(slope), plan.starts[e])
        for a in range(n):
            for b in range(a + 1):
                value = item(both, a * n + b) + item(both, b * n + a)
                put(both, a * n + b, value)
                put(both, b * n + a, value)
        for atom in range(first, last):
            at, share = item(order, atom), 1.0 / (last - first)
            for b in range(0, n, LANES):
                left, sums = n - b, splat(0.0)
                for a in range(n):
                    d = item(row, at + a) - item(m, a)
                    sums = fma(load_part(both, a * n + b, left, 0.0), splat(d), sums)
                store_part(target, at + b, left, fma(sums, splat(share), load_part(target, at + b, left, 0.0)))
        first = last
    return 0


@inner
def merged_covariance(e, share, central, covariance, plan, out):
    """Covariance of element e's environments of a structure, `share`, and of the set, the rest."""
    n, n0, start = plan.sizes[e], plan.offsets[e], plan.starts[e]
    own, old, mean, old_mean = pointer(covariance), pointer(plan.set_covariance), pointer(central), plan.set_central
    before, into = pointer(old_mean), pointer(out)
    for a in range(n):
        gap = share * (1.0 - share) * (central[0, n0 + a] - old_mean[0, n0 + a])
        for b in range(0, n, LANES):
            left, at = n - b, start + a * n + b
            gaps = load_part(mean, n0 + b, left, 0.0) - load_part(before, n0 + b, left, 0.0)
            mixed = load_part(own, at, left, 0.0) * share + load_part(old, at, left, 0.0) * (1.0 - share)
            store_part(into, at, left, fma(gaps, splat(gap), mixed))


@inner
def merged_covariance_adjoint(e, share, weight, central, slopes, plan, dcentral, dcovariance):
    """Add weight × the derivative through `merged_covariance` to dcentral and dcovariance."""
    n, n0, start = plan.sizes[e], plan.offsets[e], plan.starts[e]
    mean, before, slope = pointer(central), pointer(plan.set_central), pointer(slopes)
    into, into_mean = pointer(dcovariance), pointer(dcentral)
    for a in range(n):
        cross = weight * share * (1.0 - share)
        gap, line = cross * (central[0, n0 + a] - plan.set_central[0, n0 + a]), start + a * n
        mixed = splat(0.0)
        for b in range(0, n, LANES):
            left = n - b
            g = load_part(slope, line + b, left, 0.0)
            mixed = fma(g, load_part(mean, n0 + b, left, 0.0) - load_part(before, n0 + b, left, 0.0), mixed)
            store_part(into, line + b, left, fma(g, splat(weight * share), load_part(into, line + b, left, 0.0)))
            store_part(into_mean, n0 + b, left, fma(g, splat(gap), load_part(into_mean, n0 + b, left, 0.0)))
        dcentral[0, n0 + a] += cross * total(mixed)


@inner
def covariance_residual(e, share, central, covariance, plan, residual):
    """Scaled difference of element e's covariance, as `share` of a distribution, from the target's.

    Entries between the blocks of two elements are −mean·mean' in the pooled distribution: fixed by the means, and so
    not counted again.
    """
    n, n0, start = plan.sizes[e], plan.offsets[e], plan.starts[e]
    own, mean, target, out = pointer(covariance), pointer(central), pointer(plan.target_covariance), pointer(residual)
    inverse, of_variances = pointer(plan.inverse), plan.inverse.shape[1] + n0
    for a in range(n):
        cross = share * (1.0 - share) * central[0, n0 + a]
        scale = plan.inverse[1, n0 + a] ** 0.5
        for b in range(0, n, LANES):
            left, at = n - b, start + a * n + b
            value = fma(load_part(mean, n0 + b, left, 0.0), splat(cross), load_part(own, at, left, 0.0) * share)
            gap = (value - load_part(target, at, left, 0.0)) * scale
            store_part(out, at, left, gap * root(load_part(inverse, of_variances + b, left, 0.0)))


@inner
def covariance_adjoint(e, share, central, plan, dresidual, dcentral, dcovariance):
    """The derivative through `covariance_residual`: overwrite dcovariance, add to dcentral[0]."""
    n, n0, start = plan.sizes[e], plan.offsets[e], plan.starts[e]
    slope, mean, into, into_mean = pointer(dresidual), pointer(central), pointer(dcovariance), pointer(dcentral)
    inverse, of_variances = pointer(plan.inverse), plan.inverse.shape[1] + n0
    cross = share * (1.0 - share)
    for a in range(n):
        scale = plan.inverse[1, n0 + a] ** 0.5
        along = cross * central[0, n0 + a]
        mixed = splat(0.0)
        for b in range(0, n, LANES):
            left, at = n - b, start + a * n + b
            g = load_part(slope, at, left, 0.0) * scale * root(load_part(inverse, of_variances + b, left, 0.0))
            store_part(into, at, left, g * share)
            mixed = fma(g, load_part(mean, n0 + b, left, 0.0), mixed)
            store_part(into_mean, n0 + b, left, fma(g, splat(along), load_part(into_mean, n0 + b, left, 0.0)))
        dcentral[0, n0 + a] += cross * total(mixed)
