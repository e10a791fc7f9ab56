"""Compiled: the loss of descriptor rows, its parts, and its derivative with respect to every row (eqs. 13–16).

Two norms are carried at once: the one that is reported, in the plan (it decides which structure is better), and the one
that is descended, in the arguments `norm` and `delta`, so that a relaxation on a smooth stand-in still keeps the best
structure by the measure that counts. Where nothing is descended both are the same.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from grs_evo.kernels.loss.distribution import ENTROPY, MATCHED, SET, STRUCTURE, distribution_loss
from grs_evo.kernels.loss.moments import blend, blend_adjoint, central_adjoint, central_into


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
