"""Compiled: the loss of an occupation of fixed sites, and what a change of a few sites does to it.

`occupation.py` gives the sums of B over the atoms of each element; here they are compared with the target.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.arrays import short_integers
from grs_evo.kernels.bundles import bundle
from grs_evo.kernels.calls import call_pair
from grs_evo.kernels.compiling import entry_allocating, inner, inner_allocating
from grs_evo.kernels.lattice.clusters import (
    ClusterTables,
    clusters_changed,
    clusters_whole,
    count_clusters,
    keep_counts,
)
from grs_evo.kernels.lattice.occupation import (
    BLOCK,
    WIDEST,
    LatticeTables,
    LatticeWork,
    changed,
    exchange,
    fill_a,
    site_rows,
    whole,
)
from grs_evo.kernels.loss.distribution import CORE, N_TERMS, LossPlan, LossWork
from grs_evo.kernels.loss.norms import L1, L2, norm_of
from grs_evo.kernels.loss.objective import loss_of_rows
from grs_evo.kernels.simd import LANES as VECTOR
from grs_evo.kernels.simd import fma, item, load, pointer, splat, store

__all__ = [
    "BLOCK",
    "MOMENTS",
    "ROWS",
    "SUMS",
    "VECTOR",
    "WIDEST",
    "AnyLoss",
    "LatticeLoss",
    "LatticeTables",
    "LatticeWork",
    "MomentLoss",
    "batch_terms",
    "batch_values",
    "central_moments",
    "core_value",
    "settle",
    "settle_trial",
    "site_rows",
    "time_swaps",
    "value_changed",
    "value_whole",
    "whole",
]

# What a loss needs: means and perhaps variances, weighted here; both, for the general loss; every row.
SUMS, MOMENTS, ROWS = range(3)


@bundle
class MomentLoss(NamedTuple):
    """The part of a loss that compares one moment, for the functions that a pruned program still computes.

    Residuals are linear in the representatives' moments: x = offset + weightsᵀ (moment − target). Functions that
    coincide with a representative up to scale are folded into its weights exactly.
    """

    weight: float  # 0: not compared
    target: NDArray[np.float64]  # (n_el, n_wide)
    n_components: int
    diagonal: bool  # one weight per component, and `source` says of which function
    weights: NDArray[np.float64]  # (n_el * n_wide, components filled up to 8) or (1, components)
    source: NDArray[np.int64]  # (components,) or (0,)
    share: NDArray[np.float64]  # (components,) how many functions a component stands for, over all functions
    offset: NDArray[np.float64]  # (components filled up to 8,)


@bundle
class LatticeLoss(NamedTuple):
    """Everything between an occupation and its loss."""

    tables: LatticeTables  # of the functions needed
    kind: int  # SUMS, MOMENTS or ROWS: what has to be computed
    pooled: bool
    norm: int
    delta: float
    w_structure: float
    w_set: float  # of the means only; other losses with a set are of kind MOMENTS or ROWS
    set_counts: NDArray[np.float64]  # (n_el,) environments in the set
    set_sums: NDArray[np.float64]  # (n_el, n_wide) of the representatives over them
    mean: MomentLoss
    variance: MomentLoss
    core: NDArray[np.float64]  # (n_el, n_el, n_sites, n_sites) core energy of two sites over all atoms, or no entries
    clusters: ClusterTables
    by_rows: bool  # whether anything is compared besides clusters and core


@bundle
class AnyLoss(NamedTuple):
    """The loss in full, for what `MomentLoss` does not cover."""

    plan: LossPlan
    work: LossWork


@inner
def _project(gaps, weights, n_components, residual):
    """residual += weightsᵀ gaps; the number of gaps is a multiple of 8.

    Up to four vectors of components at a time and two or more gaps abreast: one sum alone would wait for itself.
    """
    n = gaps.shape[0]
    stride = weights.shape[1]
    flat = weights.reshape(-1)
    first = 0
    while first < n_components:
        left = n_components - first
        if left > 16:
            a = load(residual, first)
            b = load(residual, first + 8)
            c = load(residual, first + 16)
            d = splat(0.0)
            e = splat(0.0)
            f = splat(0.0)
            for k in range(0, n, 2):
                at = k * stride + first
                gap = splat(item(gaps, k))
                a = fma(gap, load(flat, at), a)
                b = fma(gap, load(flat, at + 8), b)
                c = fma(gap, load(flat, at + 16), c)
                at += stride
                gap = splat(item(gaps, k + 1))
                d = fma(gap, load(flat, at), d)
                e = fma(gap, load(flat, at + 8), e)
                f = fma(gap, load(flat, at + 16), f)
            store(residual, first, a + d)
            store(residual, first + 8, b + e)
            store(residual, first + 16, c + f)
            first += 24
        elif left > 8:
            a = load(residual, first)
            b = load(residual, first + 8)
            c = splat(0.0)
            d = splat(0.0)
            for k in range(0, n, 2):
                at = k * stride + first
                gap = splat(item(gaps, k))
                a = fma(gap, load(flat, at), a)
                b = fma(gap, load(flat, at + 8), b)
                at += stride
                gap = splat(item(gaps, k + 1))
                c = fma(gap, load(flat, at), c)
                d = fma(gap, load(flat, at + 8), d)
            store(residual, first, a + c)
            store(residual, first + 8, b + d)
            first += 16
        else:
            a = load(residual, first)
            b = splat(0.0)
            c = splat(0.0)
            d = splat(0.0)
            for k in range(0, n, 4):
                at = k * stride + first
                a = fma(splat(item(gaps, k)), load(flat, at), a)
                b = fma(splat(item(gaps, k + 1)), load(flat, at + stride), b)
                c = fma(splat(item(gaps, k + 2)), load(flat, at + 2 * stride), c)
                d = fma(splat(item(gaps, k + 3)), load(flat, at + 3 * stride), d)
            store(residual, first, (a + b) + (c + d))
            first += 8


@inner
def _moment_value(moment, norm, delta, gaps, residual):
    """The norm of the residuals of one moment, from its differences (n_el * n_wide)."""
    if not moment.diagonal:
        for c in range(residual.shape[0]):
            residual[c] = 0.0
        for c in range(moment.offset.shape[0]):
            residual[c] = moment.offset[c]
        _project(gaps, moment.weights, moment.n_components, residual)
        return norm_of(pointer(residual), moment.n_components, norm, delta)
    size = 0.0
    square = delta * delta
    for c in range(moment.n_components):
        x = gaps[moment.source[c]] * moment.weights[0, c] + moment.offset[c]
        if norm == L1:
            size += moment.share[c] * abs(x)
        elif norm == L2:
            size += moment.share[c] * x * x
        else:
            size += moment.share[c] * (x * x / (np.sqrt(x * x + square) + delta))
    return np.sqrt(size) if norm == L2 else size


@inner
def _mean_gaps(pooled, counts, sums, more_counts, more_sums, share_of_more, target, gaps):
    """Means of the structure's environments, with those of the set if share_of_more is 1, less the target's."""
    n_el = target.shape[0]
    n_wide = target.shape[1]
    total = 0.0
    for e in range(n_el):
        total += counts[e] + share_of_more * more_counts[e]
    for e in range(n_el):
        number = total if pooled else counts[e] + share_of_more * more_counts[e]
        share = 1.0 / number if number > 0.0 else 0.0
        start = e * n_wide
        if share_of_more == 0.0:
            for k in range(n_wide):
                gaps[start + k] = sums[e, k] * share - target[e, k]
        else:
            for k in range(n_wide):
                gaps[start + k] = (sums[e, k] + more_sums[e, k]) * share - target[e, k]


@inner
def _variance_gaps(pooled, counts, sums, squares, target, gaps):
    """Variances less the target's; a pooled environment is 0 outside its own block."""
    n_el = target.shape[0]
    n_wide = target.shape[1]
    total = 0.0
    for e in range(n_el):
        total += counts[e]
    for e in range(n_el):
        inverse = 1.0 / counts[e] if counts[e] > 0.0 else 0.0
        share = counts[e] / total if pooled else 1.0
        rest = 1.0 - share
        for k in range(n_wide):
            mean = sums[e, k] * inverse
            gaps[e * n_wide + k] = share * (squares[e, k] * inverse + rest * mean * mean) - target[e, k]


@inner
def core_value(core, occupation):
    """Core energy over the number of atoms."""
    total = 0.0
    n = core.shape[2]
    for i in range(n):
        for j in range(i + 1):
            total += core[occupation[i], occupation[j], i, j]
    return total


@inner
def _sums_value(loss, occupation, work):
    """The loss of what `whole` or `changed` left in `work`, for losses of kind SUMS."""
    mean = loss.mean
    _mean_gaps(loss.pooled, work.counts, work.sums, loss.set_counts, loss.set_sums, 0.0, mean.target, work.gaps)
    value = mean.weight * _moment_value(mean, loss.norm, loss.delta, work.gaps, work.residual)
    variance = loss.variance
    if variance.weight != 0.0:
        _variance_gaps(loss.pooled, work.counts, work.sums, work.squares, variance.target, work.gaps)
        value += variance.weight * _moment_value(variance, loss.norm, loss.delta, work.gaps, work.residual)
    value *= loss.w_structure
    if loss.w_set != 0.0:
        _mean_gaps(loss.pooled, work.counts, work.sums, loss.set_counts, loss.set_sums, 1.0, mean.target, work.gaps)
        value += loss.w_set * mean.weight * _moment_value(mean, loss.norm, loss.delta, work.gaps, work.residual)
    if loss.core.shape[0] > 0:
        value += core_value(loss.core, occupation)
    return value


@inner
def settle(loss, occupation, work):
    """Make an occupation the current one: A of all its sites, counts of its clusters."""
    if loss.by_rows:
        fill_a(loss.tables, occupation, work.a)
    if loss.clusters.weight != 0.0:
        count_clusters(loss.clusters, occupation, work.clusters)


@inner
def settle_trial(loss, occupation, work):
    """`settle` for the trial looked at last, whose clusters `value_changed` has counted."""
    if loss.by_rows:
        fill_a(loss.tables, occupation, work.a)
    if loss.clusters.weight != 0.0:
        keep_counts(work.clusters)


@inner
def _sums_whole(loss, occupation, work):
    if not loss.by_rows:
        return core_value(loss.core, occupation) if loss.core.shape[0] > 0 else 0.0
    whole(loss.tables, occupation, work, loss.variance.weight != 0.0)
    return _sums_value(loss, occupation, work)


@inner
def _sums_changed(loss, occupation, sites, elements, n_changes, work):
    if not loss.by_rows:
        value = 0.0
        if loss.core.shape[0] > 0:
            for n in range(n_changes):
                exchange(occupation, sites, elements, n)
            value = core_value(loss.core, occupation)
            for n in range(n_changes - 1, -1, -1):
                exchange(occupation, sites, elements, n)
        return value
    changed(loss.tables, occupation, sites, elements, n_changes, work, loss.variance.weight != 0.0)
    value = _sums_value(loss, occupation, work)
    for n in range(n_changes - 1, -1, -1):
        exchange(occupation, sites, elements, n)
    return value


@inner
def central_moments(work, sizes, offsets):
    """Means and variances of each element's block, from the sums, into the wide work.central."""
    for e in range(sizes.shape[0]):
        share = 1.0 / work.counts[e] if work.counts[e] > 0.0 else 0.0
        start = offsets[e]
        for k in range(sizes[e]):
            work.central[0, start + k] = work.sums[e, k] * share
            work.central[1, start + k] = work.squares[e, k] * share


@inner_allocating
def _any(loss, scratch, occupation, work):
    """The loss of what was left in `work`, for losses of the other kinds; leaves all parts in work.terms."""
    plan, more, terms = scratch.plan, scratch.work, work.terms
    if loss.kind == MOMENTS:
        central_moments(work, plan.sizes, plan.offsets)
        given = (work.central, work.counts, more.covariance, plan, plan.norm, plan.delta, False, more, terms)
        _, value = call_pair(more.moments_loss, given)
    else:
        _, value = loss_of_rows(work.rows, occupation, plan, plan.norm, plan.delta, False, more, terms, work.rows)
    if loss.core.shape[0] > 0:
        terms[CORE] = core_value(loss.core, occupation)
        value += terms[CORE]
    return value


@inner_allocating
def _rows_whole(loss, scratch, occupation, work):
    if scratch is None:
        return _sums_whole(loss, occupation, work)
    if loss.kind == ROWS:
        site_rows(loss.tables, occupation, work)
    else:
        whole(loss.tables, occupation, work, True)
    return _any(loss, scratch, occupation, work)


@inner_allocating
def value_whole(loss, scratch, occupation, work):
    """The loss of an occupation from nothing, which is the current one then (see `settle`).

    scratch: None for losses of kind SUMS. Numba then drops the other branches, which take most of the time to compile.
    """
    value = _rows_whole(loss, scratch, occupation, work)
    if loss.clusters.weight != 0.0:
        value += clusters_whole(loss.clusters, occupation, work.clusters)
    return value


@inner_allocating
def _rows_changed(loss, scratch, occupation, sites, elements, n_changes, work):
    if scratch is None:
        return _sums_changed(loss, occupation, sites, elements, n_changes, work)
    if loss.kind == ROWS:
        # Losses of single rows gain nothing from an incremental A.
        for n in range(n_changes):
            exchange(occupation, sites, elements, n)
        site_rows(loss.tables, occupation, work)
    else:
        changed(loss.tables, occupation, sites, elements, n_changes, work, True)
    value = _any(loss, scratch, occupation, work)
    for n in range(n_changes - 1, -1, -1):
        exchange(occupation, sites, elements, n)
    return value


@inner_allocating
def value_changed(loss, scratch, occupation, sites, elements, n_changes, work):
    """The loss after `n_changes` sites of the current occupation (see `settle`) take new elements.

    The occupation is that of the trial for the while and is put back.
    """
    value = _rows_changed(loss, scratch, occupation, sites, elements, n_changes, work)
    if loss.clusters.weight != 0.0:
        value += clusters_changed(loss.clusters, occupation, sites, elements, n_changes, work.clusters)
    return value


@entry_allocating
def batch_values(loss, scratch, occupations, work, values):
    """Losses of many occupations, one after the other: the lanes are the sites."""
    for k in range(occupations.shape[0]):
        values[k] = value_whole(loss, scratch, occupations[k], work)


@entry_allocating
def batch_terms(loss, of_moments, of_rows, plan, scratch, occupations, work, values, terms):
    """Losses of many occupations with all their parts, for losses of the kinds MOMENTS and ROWS.

    of_moments, of_rows : addresses of `moments_loss` and `rows_loss`; terms (k, columns): N_TERMS of them, and one more
    for clusters where the loss has any.
    """
    for k in range(occupations.shape[0]):
        occupation = occupations[k]
        if loss.kind == ROWS:
            site_rows(loss.tables, occupation, work)
            _, value = call_pair(
                of_rows,
                (work.rows, occupation, plan, plan.norm, plan.delta, False, scratch, terms[k], work.rows),
            )
        else:
            whole(loss.tables, occupation, work, True)
            central_moments(work, plan.sizes, plan.offsets)
            _, value = call_pair(
                of_moments,
                (
                    work.central, work.counts, scratch.covariance, plan, plan.norm, plan.delta, False, scratch, terms[k]
                ),
            )  # fmt: skip
        if loss.core.shape[0] > 0:
            terms[k, CORE] = core_value(loss.core, occupation)
            value += terms[k, CORE]
        if loss.clusters.weight != 0.0:
            weighted = clusters_whole(loss.clusters, occupation, work.clusters)
            terms[k, N_TERMS] = weighted / loss.clusters.weight
            value += weighted
        values[k] = value


@entry_allocating
def time_swaps(loss, scratch, occupation, pairs, work):
    """Lowest loss over the swaps of the listed pairs of sites, (k, 2), each from the same occupation."""
    settle(loss, occupation, work)
    sites = short_integers(2)
    elements = short_integers(2)
    lowest = np.inf
    for k in range(pairs.shape[0]):
        sites[0] = pairs[k, 0]
        sites[1] = pairs[k, 1]
        elements[0] = occupation[sites[1]]
        elements[1] = occupation[sites[0]]
        value = value_changed(loss, scratch, occupation, sites, elements, 2, work)
        lowest = min(lowest, value)
    return lowest
