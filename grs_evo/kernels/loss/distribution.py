"""Compiled: the loss of one distribution of descriptors, given by its moments, against the target's, and its slopes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.bundles import bundle
from grs_evo.kernels.calls import call_number
from grs_evo.kernels.compiling import entry_locked, inner
from grs_evo.kernels.loss.covariance import covariance_adjoint, covariance_residual
from grs_evo.kernels.loss.moments import blend, blend_adjoint, blend_two, blend_two_adjoint
from grs_evo.kernels.loss.norms import clear, norm_of, norm_slope, project, project_back, residuals, times
from grs_evo.kernels.simd import LANES, beyond, load_part, pointer, root, store_part

# Positions of the parts in a full row of terms.
STRUCTURE, MEAN, VARIANCE, SKEWNESS, KURTOSIS, COVARIANCE, SET, CORE, ENTROPY, MATCHED, RAW = range(11)
N_TERMS = 11


@bundle
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


@bundle
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
    polynomial: NDArray[np.float64]
    covariance: NDArray[np.float64]
    merged_covariance: NDArray[np.float64]
    dcovariance: NDArray[np.float64]
    dmerged_covariance: NDArray[np.float64]
    residual: NDArray[np.float64]
    dresidual: NDArray[np.float64]
    set_terms: NDArray[np.float64]
    closest: NDArray[np.float64]  # (1,) smallest distance over core distance of the last structure; inf: out of reach
    moments_loss: int  # address of `objective.moments_loss` for arguments of these types
    # the same of what not every loss has; 0: this one has not
    entropy: int
    merge_set: int
    merge_set_adjoint: int
    covariance_of_rows: int
    covariance_rows_adjoint: int
    compare_covariance: int


def loss_buffers(plan: LossPlan) -> LossWork:
    """Buffers of the right size for a plan, before it is known where compiled code is."""
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
        polynomial=wide(),
        covariance=np.zeros(flat),
        merged_covariance=np.zeros(flat),
        dcovariance=np.zeros(flat),
        dmerged_covariance=np.zeros(flat),
        residual=np.zeros(longest),
        dresidual=np.zeros(longest),
        set_terms=np.zeros(N_TERMS),
        closest=np.full(1, np.inf),
        moments_loss=0,
        entropy=0,
        merge_set=0,
        merge_set_adjoint=0,
        covariance_of_rows=0,
        covariance_rows_adjoint=0,
        compare_covariance=0,
    )


@inner
def _total(counts):
    total = 0.0
    for e in range(counts.shape[0]):
        total += counts[e]
    return total


@inner
def _share(e, counts, total, pooled):
    """How much of the distribution compared element e's environments are: all of its own, or their part of the pool."""
    return counts[e] / total if pooled and total > 0.0 else 1.0


@inner
def _features(central, counts, plan, higher, pool, feature):
    """Central moments of the distribution compared (pooled or per element), and the four features made of them.

    With `higher` only: the pool, and the third and fourth feature.
    """
    total, n_desc = _total(counts), central.shape[1]
    own, mixed, out, floor = pointer(central), pointer(pool), pointer(feature), pointer(plan.floor)
    for e in range(plan.sizes.shape[0]):
        share = _share(e, counts, total, plan.pooled)
        for k in range(plan.offsets[e], plan.offsets[e + 1], LANES):
            left = plan.offsets[e + 1] - k
            mean, c2 = load_part(own, k, left, 0.0), load_part(own, n_desc + k, left, 0.0)
            if higher:
                c3, c4 = load_part(own, 2 * n_desc + k, left, 0.0), load_part(own, 3 * n_desc + k, left, 0.0)
                m, b2, b3, b4 = blend(share, mean, c2, c3, c4, 0.0, 0.0, 0.0, 0.0)
                safe = b2 + load_part(floor, k, left, 1.0)
                store_part(mixed, n_desc + k, left, b2)
                store_part(mixed, 2 * n_desc + k, left, b3)
                store_part(mixed, 3 * n_desc + k, left, b4)
                store_part(out, 2 * n_desc + k, left, b3 / (safe * root(safe)))
                store_part(out, 3 * n_desc + k, left, b4 / (safe * safe))
            else:
                m, b2 = blend_two(share, mean, c2, 0.0, 0.0)
            store_part(out, k, left, m)
            store_part(out, n_desc + k, left, b2)


@inner
def _features_adjoint(central, counts, plan, higher, pool, dfeature, dcentral):
    """Overwrite dcentral with the derivative with respect to each block's mean, c2, and with `higher` c3, c4."""
    total, n_desc = _total(counts), central.shape[1]
    own, mixed, slopes, out = pointer(central), pointer(pool), pointer(dfeature), pointer(dcentral)
    floor = pointer(plan.floor)
    for e in range(plan.sizes.shape[0]):
        share = _share(e, counts, total, plan.pooled)
        for k in range(plan.offsets[e], plan.offsets[e + 1], LANES):
            left = plan.offsets[e + 1] - k
            g1, g2 = load_part(slopes, k, left, 0.0), load_part(slopes, n_desc + k, left, 0.0)
            mean = load_part(own, k, left, 0.0)
            if higher:
                safe = load_part(mixed, n_desc + k, left, 0.0) + load_part(floor, k, left, 1.0)
                g3 = load_part(slopes, 2 * n_desc + k, left, 0.0) / (safe * root(safe))
                g4 = load_part(slopes, 3 * n_desc + k, left, 0.0) / (safe * safe)
                b3, b4 = load_part(mixed, 2 * n_desc + k, left, 0.0), load_part(mixed, 3 * n_desc + k, left, 0.0)
                g2 = g2 - (1.5 * g3 * b3 + 2.0 * g4 * b4) / safe
                c2, c3 = load_part(own, n_desc + k, left, 0.0), load_part(own, 2 * n_desc + k, left, 0.0)
                h1, h2, h3, h4 = blend_adjoint(share, mean, c2, c3, 0.0, 0.0, 0.0, g1, g2, g3, g4)
                store_part(out, 2 * n_desc + k, left, h3)
                store_part(out, 3 * n_desc + k, left, h4)
            else:
                h1, h2 = blend_two_adjoint(share, mean, 0.0, g1, g2)
            store_part(out, k, left, h1)
            store_part(out, n_desc + k, left, h2)


@inner
def _compare_moment(p, plan, norm, delta, gradient, work, terms):
    """Feature p against the target's: fills terms[MEAN + p] and, with `gradient`, work.dfeature[p].

    Returns (value descended, |feature − target| averaged).
    """
    n_desc, n, alpha = plan.target.shape[1], plan.n_components[p], plan.alpha[p]
    feature, target = beyond(pointer(work.feature), p * n_desc), beyond(pointer(plan.target), p * n_desc)
    inverse, slope = beyond(pointer(plan.inverse), p * n_desc), beyond(pointer(work.dfeature), p * n_desc)
    x, dx = pointer(work.residual), pointer(work.dresidual)
    width = plan.axes.shape[2]
    axes = beyond(pointer(plan.axes), p * n_desc * width)
    if n == 0:
        away = residuals(feature, target, inverse, n_desc, x)
        n_x = n_desc
    else:
        away = project(feature, target, axes, n_desc, width, n, x)
        n_x = n
    size = norm_of(x, n_x, plan.norm, plan.delta)
    terms[MEAN + p] = size
    if not gradient:
        return 0.0, away / n_desc
    if alpha == 0.0:
        clear(slope, n_desc)
        return 0.0, away / n_desc
    if norm != plan.norm or delta != plan.delta:
        size = norm_of(x, n_x, norm, delta)
    norm_slope(x, n_x, norm, delta, size, alpha, dx)
    if n == 0:
        times(dx, inverse, n_desc, slope)
    else:
        project_back(dx, axes, n_desc, width, n, slope)
    return alpha * size, away / n_desc


@entry_locked
def compare_covariance(central, counts, covariance, plan, norm, delta, gradient, work, terms, dcentral, dcovariance):
    """The same for the covariance: adds to dcentral, overwrites dcovariance. Returns the value descended."""
    total, n, alpha = _total(counts), plan.target_covariance.shape[0], plan.alpha[4]
    x, dx = pointer(work.residual), pointer(work.dresidual)
    for e in range(plan.sizes.shape[0]):
        covariance_residual(e, _share(e, counts, total, plan.pooled), central, covariance, plan, work.residual)
    size = norm_of(x, n, plan.norm, plan.delta)
    terms[COVARIANCE] = size
    if not gradient:
        return 0.0
    if norm != plan.norm or delta != plan.delta:
        size = norm_of(x, n, norm, delta)
    norm_slope(x, n, norm, delta, size, alpha, dx)
    for e in range(plan.sizes.shape[0]):
        share = _share(e, counts, total, plan.pooled)
        covariance_adjoint(e, share, central, plan, work.dresidual, dcentral, dcovariance)
    return alpha * size


@inner
def distribution_loss(
    central, counts, covariance, plan, higher, norm, delta, gradient, work, terms, dcentral, dcovariance
):
    """Σ_p α_p ΔM_p of one distribution against the target (eqs. 13, 14).

    Returns the value in the norm that is descended; fills terms[STRUCTURE … COVARIANCE, MATCHED, RAW] in the norm that
    is reported, and, with `gradient`, dcentral (4, n_desc) and dcovariance of the value descended. `higher`: whether
    third and fourth moments are there, and wanted.
    """
    _features(central, counts, plan, higher, work.pool, work.feature)
    value, reported, raw, matched, compared = 0.0, 0.0, 0.0, 0.0, 0.0
    for p in range(4 if higher else 2):
        if not plan.active[p]:
            if gradient:
                work.dfeature[p, :] = 0.0
            continue
        alpha = plan.alpha[p]
        descended, away = _compare_moment(p, plan, norm, delta, gradient, work, terms)
        value += descended
        reported += alpha * terms[MEAN + p]
        raw += alpha * away
        if plan.reward != 0.0 and alpha != 0.0:
            n = plan.n_components[p] if plan.n_components[p] != 0 else plan.target.shape[1]
            for k in range(n):
                if abs(work.residual[k]) <= plan.tolerance:
                    matched += 1.0
            compared += n
    if gradient:
        _features_adjoint(central, counts, plan, higher, work.pool, work.dfeature, dcentral)
    if plan.active[4]:
        value += call_number(
            work.compare_covariance,
            (central, counts, covariance, plan, norm, delta, gradient, work, terms, dcentral, dcovariance),
        )
        reported += plan.alpha[4] * terms[COVARIANCE]
    terms[STRUCTURE] = reported
    terms[RAW] = raw
    terms[MATCHED] = matched / compared if compared > 0.0 else 0.0
    return value
