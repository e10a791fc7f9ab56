"""Compiled: the loss of one distribution of descriptors, given by its moments, against the target's, and its slopes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from grs_evo.kernels.loss.moments import blend, blend_adjoint

# Positions of the parts in a full row of terms.
STRUCTURE, MEAN, VARIANCE, SKEWNESS, KURTOSIS, COVARIANCE, SET, CORE, ENTROPY, MATCHED, RAW = range(11)
N_TERMS = 11
L1, L2, HUBER = range(3)


class LossPlan(NamedTuple):
    """Everything a loss depends on besides the structure, as arrays.

    `norm` and `delta` are what is reported, and what decides which structure is better. Compiled functions take another
    pair of that name beside the plan: what is descended, which a relaxation lets run from smooth to sharp.
    """

    sizes: NDArray[np.int64]  # (n_el,) functions per element
    offsets: NDArray[np.int64]  # (n_el + 1,) first column of each block
    starts: NDArray[np.int64]  # (n_el + 1,) first entry of each block's covariance
    pooled: bool
    alpha: NDArray[np.float64]  # (5,) weights of mean, variance, skewness, kurtosis, covariance
    active: NDArray[np.bool_]  # (5,) which of them are computed
    norm: int  # the norm that is reported
    delta: float  # its δ, where it is pseudo-Huber
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
    """Intermediate arrays; allocated once, never read before it is written."""

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
