"""Compiled: the loss of descriptor rows, its parts, and its derivative with respect to every row (eqs. 13–16).

Two norms are carried at once: the one that is reported (and decides which structure is better) and the one that is
descended, so that a relaxation on a smooth stand-in still keeps the best structure by the measure that counts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .moments import blend, blend_adjoint, central_adjoint, central_into

# Positions of the parts in a full row of terms.
STRUCTURE, MEAN, VARIANCE, SKEWNESS, KURTOSIS, COVARIANCE, SET, CORE, ENTROPY, MATCHED, RAW = range(11)
N_TERMS = 11
L1, L2, HUBER = range(3)


class LossPlan(NamedTuple):
    """Everything a loss depends on besides the structure, as arrays."""

    sizes: NDArray[np.int64]  # (n_el,) functions per element
    offsets: NDArray[np.int64]  # (n_el + 1,) first column of each block
    starts: NDArray[np.int64]  # (n_el + 1,) first entry of each block's covariance
    pooled: bool
    alpha: NDArray[np.float64]  # (5,) weights of mean, variance, skewness, kurtosis, covariance
    active: NDArray[np.bool_]  # (5,) which of them are computed
    norm: int  # the norm that is reported
    delta: float
    target: NDArray[np.float64]  # (4, n_desc) the target's mean, variance, skewness, kurtosis
    inverse: NDArray[np.float64]  # (4, n_desc) 1 / scale
    floor: NDArray[np.float64]  # (n_desc,) added to variances before they divide
    n_components: NDArray[np.int64]  # (4,) principal axes of each moment; 0: compared function by function
    axes: NDArray[np.float64]  # (4, n_desc, max components) whitening: residual x = axesᵀ (feature − target)
    target_covariance: NDArray[np.float64]  # (Σ size²,) or (0,)
    w_structure: float  # w_1 of eq. 16
    w_set: float  # w_2
    set_counts: NDArray[np.float64]  # (n_el,) environments of the set so far
    set_central: NDArray[np.float64]  # (4, n_desc) mean, c2, c3, c4 of each block of the set
    set_covariance: NDArray[np.float64]  # (Σ size²,) or (0,)
    reward: float  # taken off the value per share of matched residuals
    tolerance: float
    w_entropy: float
    softness: float  # squared distance below which environments count as one
    spread: NDArray[np.float64]  # (n_desc,) 1 / scale of each function in distances between environments
    core_kind: int  # 0 none, 1 polynomial, 2 ZBL
    core_strength: float
    core_inner: NDArray[np.float64]  # (n_el, n_el) Å
    core_outer: NDArray[np.float64]  # (n_el, n_el) Å, the core is exactly 0 from here on
    numbers: NDArray[np.float64]  # (n_el,) atomic numbers


class LossWork(NamedTuple):
    """Room for intermediate arrays; allocated once, never read before it is written."""

    counts: NDArray[np.float64]
    merged_counts: NDArray[np.float64]
    central: NDArray[np.float64]
    merged: NDArray[np.float64]
    pool: NDArray[np.float64]
    feature: NDArray[np.float64]
    dfeature: NDArray[np.float64]
    dcentral: NDArray[np.float64]
    dmerged: NDArray[np.float64]
    covariance: NDArray[np.float64]
    merged_covariance: NDArray[np.float64]
    dcovariance: NDArray[np.float64]
    dmerged_covariance: NDArray[np.float64]
    residual: NDArray[np.float64]
    dresidual: NDArray[np.float64]
    set_terms: NDArray[np.float64]
    closest: NDArray[np.float64]  # (1,) smallest distance over core distance of the last structure; inf: out of reach


def make_loss_work(plan: LossPlan) -> LossWork:
    """Buffers of the right size for a plan."""
    n_el, n_desc = len(plan.sizes), plan.target.shape[1]
    flat = len(plan.target_covariance)
    longest = max(n_desc, int(plan.n_components.max(initial=0)), flat)

    def wide() -> NDArray[np.float64]:
        return np.zeros((4, n_desc))

    return LossWork(
        counts=np.zeros(n_el),
        merged_counts=np.zeros(n_el),
        central=wide(),
        merged=wide(),
        pool=wide(),
        feature=wide(),
        dfeature=wide(),
        dcentral=wide(),
        dmerged=wide(),
        covariance=np.zeros(flat),
        merged_covariance=np.zeros(flat),
        dcovariance=np.zeros(flat),
        dmerged_covariance=np.zeros(flat),
        residual=np.zeros(longest),
        dresidual=np.zeros(longest),
        set_terms=np.zeros(N_TERMS),
        closest=np.full(1, np.inf),
    )


@njit(cache=True, error_model="numpy")
def norm_of(x, n, norm, delta):
    """Mean |x|, root mean square, or mean of the pseudo-Huber function √(x² + δ²) − δ."""
    total = 0.0
    if norm == L1:
        for k in range(n):
            total += abs(x[k])
        return total / n
    if norm == L2:
        for k in range(n):
            total += x[k] * x[k]
        return np.sqrt(total / n)
    square = delta * delta
    for k in range(n):
        # x²/(√(x² + δ²) + δ) is √(x² + δ²) − δ without its cancellation at small x
        total += x[k] * x[k] / (np.sqrt(x[k] * x[k] + square) + delta)
    return total / n


@njit(cache=True, error_model="numpy")
def norm_slope(x, n, norm, delta, dx):
    """Derivative of `norm_of` with respect to each x; 0 at x = 0 for every norm."""
    share = 1.0 / n
    if norm == L1:
        for k in range(n):
            dx[k] = share if x[k] > 0.0 else (-share if x[k] < 0.0 else 0.0)
    elif norm == L2:
        size = norm_of(x, n, norm, delta)
        factor = share / size if size > 0.0 else 0.0
        for k in range(n):
            dx[k] = factor * x[k]
    else:
        square = delta * delta
        for k in range(n):
            dx[k] = share * x[k] / np.sqrt(x[k] * x[k] + square)


@njit(cache=True, error_model="numpy")
def _features(central, counts, plan, pool, feature):
    """Central moments of the distribution compared (pooled or per element), and the four features made of them."""
    total = 0.0
    for e in range(plan.sizes.shape[0]):
        total += counts[e]
    for e in range(plan.sizes.shape[0]):
        share = 1.0
        if plan.pooled and total > 0.0:
            share = counts[e] / total
        for k in range(plan.offsets[e], plan.offsets[e + 1]):
            m, c2, c3, c4 = blend(share, central[0, k], central[1, k], central[2, k], central[3, k], 0.0, 0.0, 0.0, 0.0)
            pool[0, k] = m
            pool[1, k] = c2
            pool[2, k] = c3
            pool[3, k] = c4
            feature[0, k] = m
            feature[1, k] = c2
    if plan.active[2] or plan.active[3]:
        for k in range(pool.shape[1]):
            safe = pool[1, k] + plan.floor[k]
            feature[2, k] = pool[2, k] / (safe * np.sqrt(safe))
            feature[3, k] = pool[3, k] / (safe * safe)


@njit(cache=True, error_model="numpy")
def _features_adjoint(central, counts, plan, pool, dfeature, dcentral):
    """Overwrite dcentral with the derivative with respect to each block's mean, c2, c3, c4."""
    higher = plan.active[2] or plan.active[3]
    total = 0.0
    for e in range(plan.sizes.shape[0]):
        total += counts[e]
    for e in range(plan.sizes.shape[0]):
        share = 1.0
        if plan.pooled and total > 0.0:
            share = counts[e] / total
        for k in range(plan.offsets[e], plan.offsets[e + 1]):
            g1 = dfeature[0, k]
            g2 = dfeature[1, k]
            g3 = 0.0
            g4 = 0.0
            if higher:
                safe = pool[1, k] + plan.floor[k]
                root = np.sqrt(safe)
                g3 = dfeature[2, k] / (safe * root)
                g4 = dfeature[3, k] / (safe * safe)
                g2 += -1.5 * g3 * pool[2, k] / safe - 2.0 * g4 * pool[3, k] / safe
            h1, h2, h3, h4 = blend_adjoint(
                share, central[0, k], central[1, k], central[2, k], 0.0, 0.0, 0.0, g1, g2, g3, g4
            )
            dcentral[0, k] = h1
            dcentral[1, k] = h2
            dcentral[2, k] = h3
            dcentral[3, k] = h4


@njit(cache=True, error_model="numpy")
def _covariance_residual(central, counts, covariance, plan, residual):
    """Scaled difference of each block's covariance from the target's.

    Entries between the blocks of two elements are −mean·mean' in the pooled distribution: fixed by the means, and so
    not counted again.
    """
    total = 0.0
    for e in range(plan.sizes.shape[0]):
        total += counts[e]
    for e in range(plan.sizes.shape[0]):
        n = plan.sizes[e]
        share = 1.0
        if plan.pooled and total > 0.0:
            share = counts[e] / total
        cross = share * (1.0 - share)
        for a in range(n):
            row = plan.starts[e] + a * n
            ka = plan.offsets[e] + a
            inverse_a = np.sqrt(plan.inverse[1, ka])
            for b in range(n):
                kb = plan.offsets[e] + b
                value = share * covariance[row + b] + cross * central[0, ka] * central[0, kb]
                residual[row + b] = (value - plan.target_covariance[row + b]) * inverse_a * np.sqrt(plan.inverse[1, kb])


@njit(cache=True, error_model="numpy")
def _covariance_adjoint(central, counts, plan, dresidual, weight, dcentral, dcovariance):
    """Overwrite dcovariance, add to dcentral[0]."""
    total = 0.0
    for e in range(plan.sizes.shape[0]):
        total += counts[e]
    for e in range(plan.sizes.shape[0]):
        n = plan.sizes[e]
        share = 1.0
        if plan.pooled and total > 0.0:
            share = counts[e] / total
        cross = share * (1.0 - share)
        for a in range(n):
            row = plan.starts[e] + a * n
            ka = plan.offsets[e] + a
            inverse_a = np.sqrt(plan.inverse[1, ka])
            for b in range(n):
                kb = plan.offsets[e] + b
                g = weight * dresidual[row + b] * inverse_a * np.sqrt(plan.inverse[1, kb])
                dcovariance[row + b] = share * g
                dcentral[0, ka] += cross * g * central[0, kb]
                dcentral[0, kb] += cross * g * central[0, ka]


@njit(cache=True, error_model="numpy")
def distribution_loss(central, counts, covariance, plan, norm, delta, gradient, work, terms, dcentral, dcovariance):
    """Σ_p α_p ΔM_p of one distribution against the target (eqs. 13, 14).

    Returns the value in the norm that is descended; fills terms[STRUCTURE … COVARIANCE, MATCHED, RAW] in the norm that
    is reported, and, with `gradient`, dcentral (4, n_desc) and dcovariance of the value descended.
    """
    n_desc = plan.target.shape[1]
    _features(central, counts, plan, work.pool, work.feature)
    value = 0.0
    reported = 0.0
    raw = 0.0
    matched = 0.0
    compared = 0.0
    x = work.residual
    dx = work.dresidual
    if gradient:
        work.dfeature[:, :] = 0.0
    for p in range(4):
        if not plan.active[p]:
            continue
        feature = work.feature[p]
        target = plan.target[p]
        inverse = plan.inverse[p]
        away = 0.0
        for k in range(n_desc):
            away += abs(feature[k] - target[k])
        raw += plan.alpha[p] * away / n_desc
        n = plan.n_components[p]
        if n == 0:
            n = n_desc
            for k in range(n_desc):
                x[k] = (feature[k] - target[k]) * inverse[k]
        else:
            xs = x[:n]
            xs[:] = 0.0
            for k in range(n_desc):
                gap = feature[k] - target[k]
                if gap != 0.0:
                    axis = plan.axes[p, k]
                    for c in range(n):
                        xs[c] += axis[c] * gap
        size = norm_of(x, n, plan.norm, plan.delta)
        terms[MEAN + p] = size
        reported += plan.alpha[p] * size
        if plan.reward != 0.0 and plan.alpha[p] != 0.0:
            for k in range(n):
                if abs(x[k]) <= plan.tolerance:
                    matched += 1.0
            compared += n
        if gradient and plan.alpha[p] != 0.0:
            value += plan.alpha[p] * norm_of(x, n, norm, delta)
            norm_slope(x, n, norm, delta, dx)
            out = work.dfeature[p]
            if plan.n_components[p] == 0:
                for k in range(n_desc):
                    out[k] = plan.alpha[p] * dx[k] * inverse[k]
            else:
                for k in range(n_desc):
                    axis = plan.axes[p, k]
                    slope = 0.0
                    for c in range(n):
                        slope += axis[c] * dx[c]
                    out[k] = plan.alpha[p] * slope
    if gradient:
        _features_adjoint(central, counts, plan, work.pool, work.dfeature, dcentral)
    if plan.active[4]:
        n = plan.target_covariance.shape[0]
        _covariance_residual(central, counts, covariance, plan, x)
        size = norm_of(x, n, plan.norm, plan.delta)
        terms[COVARIANCE] = size
        reported += plan.alpha[4] * size
        if gradient:
            value += plan.alpha[4] * norm_of(x, n, norm, delta)
            norm_slope(x, n, norm, delta, dx)
            _covariance_adjoint(central, counts, plan, dx, plan.alpha[4], dcentral, dcovariance)
    terms[STRUCTURE] = reported
    terms[RAW] = raw
    terms[MATCHED] = matched / compared if compared > 0.0 else 0.0
    return value


@njit(cache=True, error_model="numpy")
def _merge_set(central, counts, covariance, plan, work):
    """The set's environments and the structure's together."""
    for e in range(plan.sizes.shape[0]):
        both = counts[e] + plan.set_counts[e]
        work.merged_counts[e] = both
        share = counts[e] / both if both > 0.0 else 0.0
        old = plan.set_central
        for k in range(plan.offsets[e], plan.offsets[e + 1]):
            m, c2, c3, c4 = blend(
                share,
                central[0, k], central[1, k], central[2, k], central[3, k],
                old[0, k], old[1, k], old[2, k], old[3, k],
            )  # fmt: skip
            work.merged[0, k] = m
            work.merged[1, k] = c2
            work.merged[2, k] = c3
            work.merged[3, k] = c4
        if plan.active[4]:
            n = plan.sizes[e]
            cross = share * (1.0 - share)
            for a in range(n):
                row = plan.starts[e] + a * n
                ka = plan.offsets[e] + a
                for b in range(n):
                    kb = plan.offsets[e] + b
                    work.merged_covariance[row + b] = (
                        share * covariance[row + b]
                        + (1.0 - share) * plan.set_covariance[row + b]
                        + cross * (central[0, ka] - old[0, ka]) * (central[0, kb] - old[0, kb])
                    )


@njit(cache=True, error_model="numpy")
def _merge_set_adjoint(central, counts, plan, work, weight, dcentral, dcovariance):
    """Add weight × the derivative through the merge to dcentral and dcovariance."""
    g = work.dmerged
    old = plan.set_central
    for e in range(plan.sizes.shape[0]):
        if counts[e] == 0.0:
            continue
        share = counts[e] / work.merged_counts[e]
        for k in range(plan.offsets[e], plan.offsets[e + 1]):
            h1, h2, h3, h4 = blend_adjoint(
                share,
                central[0, k], central[1, k], central[2, k],
                old[0, k], old[1, k], old[2, k],
                g[0, k], g[1, k], g[2, k], g[3, k],
            )  # fmt: skip
            dcentral[0, k] += weight * h1
            dcentral[1, k] += weight * h2
            dcentral[2, k] += weight * h3
            dcentral[3, k] += weight * h4
        if plan.active[4]:
            n = plan.sizes[e]
            cross = share * (1.0 - share)
            for a in range(n):
                row = plan.starts[e] + a * n
                ka = plan.offsets[e] + a
                for b in range(n):
                    kb = plan.offsets[e] + b
                    slope = weight * work.dmerged_covariance[row + b]
                    dcovariance[row + b] += share * slope
                    dcentral[0, ka] += cross * slope * (central[0, kb] - old[0, kb])
                    dcentral[0, kb] += cross * slope * (central[0, ka] - old[0, ka])


@njit(cache=True, error_model="numpy")
def moments_loss(central, counts, covariance, plan, norm, delta, gradient, work, terms):
    """w_1 Q + w_2 Q^set of a structure given by its moments; the parts that need rows or distances are left at 0.

    Returns (value descended, value reported). With `gradient`, work.dcentral and work.dcovariance hold the derivative.
    """
    terms[:] = 0.0
    value = 0.0
    if plan.w_set != 0.0:
        _merge_set(central, counts, covariance, plan, work)
    # One place calls distribution_loss, first for the set and then for the structure: each call is a copy to compile.
    of, of_counts, of_covariance = work.merged, work.merged_counts, work.merged_covariance
    slope, slope_covariance, into = work.dmerged, work.dmerged_covariance, work.set_terms
    weight = plan.w_set
    for turn in range(2):
        if turn == 1 or weight != 0.0:
            value += weight * distribution_loss(
                of, of_counts, of_covariance, plan, norm, delta, gradient, work, into, slope, slope_covariance
            )
        of, of_counts, of_covariance = central, counts, covariance
        slope, slope_covariance, into = work.dcentral, work.dcovariance, terms
        weight = plan.w_structure
    if gradient and plan.w_structure != 1.0:
        work.dcentral[:, :] *= plan.w_structure
        if plan.active[4]:
            work.dcovariance[:] *= plan.w_structure
    reported = plan.w_structure * terms[STRUCTURE] - plan.reward * terms[MATCHED]
    if plan.w_set != 0.0:
        terms[SET] = work.set_terms[STRUCTURE]
        reported += plan.w_set * terms[SET]
        if gradient:
            _merge_set_adjoint(central, counts, plan, work, plan.w_set, work.dcentral, work.dcovariance)
    return value, reported


@njit(cache=True, error_model="numpy")
def _covariance(rows, species, plan, counts, mean, flat):
    """Covariance of each block, 1/N."""
    flat[:] = 0.0
    for i in range(species.shape[0]):
        e = species[i]
        n = plan.sizes[e]
        m = mean[plan.offsets[e] : plan.offsets[e + 1]]
        row = rows[i]
        share = 1.0 / counts[e]
        for a in range(n):
            left = share * (row[a] - m[a])
            line = flat[plan.starts[e] + a * n : plan.starts[e] + (a + 1) * n]
            for b in range(n):
                line[b] += left * (row[b] - m[b])


@njit(cache=True, error_model="numpy")
def _covariance_rows_adjoint(rows, species, plan, counts, mean, slope, drows):
    """Add the derivative through each block's covariance to drows."""
    for i in range(species.shape[0]):
        e = species[i]
        n = plan.sizes[e]
        m = mean[plan.offsets[e] : plan.offsets[e + 1]]
        row = rows[i]
        out = drows[i]
        share = 1.0 / counts[e]
        for a in range(n):
            d = share * (row[a] - m[a])
            line = slope[plan.starts[e] + a * n : plan.starts[e] + (a + 1) * n]
            mixed = 0.0
            for b in range(n):
                out[b] += d * line[b]
                mixed += line[b] * (row[b] - m[b])
            out[a] += share * mixed


@njit(cache=True, error_model="numpy")
def _entropy(rows, species, plan, weight, drows):
    """Nearest-neighbour entropy of the environments, softened; returns S and adds weight × dS/drows.

    S = mean over i of −(1/8) ln Σ_j (d_ij² + ε)^−4, j over the other atoms of i's element and d² the mean over
    functions of the squared scaled difference. As the power grows this tends to the mean of ln min_j d_ij: the
    estimator of Karabin & Perez (J. Chem. Phys. 153, 094110, 2020) up to constants, but smooth where the nearest
    neighbour changes.
    """
    n_atoms = species.shape[0]
    near = np.zeros((n_atoms, n_atoms))
    smallest = np.full(n_atoms, np.inf)
    for i in range(n_atoms):
        e = species[i]
        n = plan.sizes[e]
        scale = plan.spread[plan.offsets[e] : plan.offsets[e + 1]]
        for j in range(i):
            if species[j] != e or n == 0:
                continue
            square = 0.0
            for k in range(n):
                gap = (rows[i, k] - rows[j, k]) * scale[k]
                square += gap * gap
            square = square / n + plan.softness
            near[i, j] = square
            near[j, i] = square
            smallest[i] = min(smallest[i], square)
            smallest[j] = min(smallest[j], square)
    crowding = np.zeros(n_atoms)
    partners = 0
    total = 0.0
    for i in range(n_atoms):
        if smallest[i] == np.inf:
            continue
        partners += 1
        for j in range(n_atoms):
            if near[i, j] > 0.0:
                ratio = smallest[i] / near[i, j]
                crowding[i] += ratio * ratio * ratio * ratio
        total += 0.5 * np.log(smallest[i]) - 0.125 * np.log(crowding[i])
    if partners == 0:
        return 0.0
    if weight != 0.0:
        for i in range(n_atoms):
            e = species[i]
            n = plan.sizes[e]
            scale = plan.spread[plan.offsets[e] : plan.offsets[e + 1]]
            for j in range(i):
                if near[i, j] == 0.0:
                    continue
                by_i = smallest[i] / near[i, j]
                by_j = smallest[j] / near[i, j]
                by_i *= by_i
                by_j *= by_j
                slope = (by_i * by_i / crowding[i] + by_j * by_j / crowding[j]) * 0.5 / near[i, j]
                slope *= 2.0 * weight / (n * partners)
                for k in range(n):
                    gap = slope * (rows[i, k] - rows[j, k]) * scale[k] * scale[k]
                    drows[i, k] += gap
                    drows[j, k] -= gap
    return total / partners


@njit(cache=True, error_model="numpy")
def rows_loss(rows, species, plan, norm, delta, gradient, work, terms, drows):
    """Loss of descriptor rows, without the core; with `gradient` overwrites drows (n_atoms, max_size).

    Returns (value descended, value reported).
    """
    central_into(rows, species, plan.sizes, plan.offsets, work.counts, work.central)
    if plan.active[4]:
        _covariance(rows, species, plan, work.counts, work.central[0], work.covariance)
    value, reported = moments_loss(work.central, work.counts, work.covariance, plan, norm, delta, gradient, work, terms)
    if gradient:
        drows[:, :] = 0.0
        n_powers = 4 if plan.active[2] or plan.active[3] else 2
        central_adjoint(
            rows, species, plan.sizes, plan.offsets, work.counts, work.central, work.dcentral, n_powers, drows
        )
        if plan.active[4]:
            _covariance_rows_adjoint(rows, species, plan, work.counts, work.central[0], work.dcovariance, drows)
    if plan.w_entropy != 0.0:
        slope = -plan.w_entropy if gradient else 0.0
        terms[ENTROPY] = -_entropy(rows, species, plan, slope, drows)
        value += plan.w_entropy * terms[ENTROPY]
        reported += plan.w_entropy * terms[ENTROPY]
    return value, reported
