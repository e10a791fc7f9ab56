"""Compiled: the loss of descriptor rows, its parts, and its derivative with respect to every row (eqs. 13–16).

Two norms are carried at once: the one that is reported, in the plan (it decides which structure is better), and the one
that is descended, in the arguments `norm` and `delta`, so that a relaxation on a smooth stand-in still keeps the best
structure by the measure that counts. Where nothing is descended both are the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from grs_evo.kernels.arrays import integers, real_rows, reals, zeros
from grs_evo.kernels.calls import address, call_number, call_pair, call_status
from grs_evo.kernels.compiling import entry_allocating, entry_locked, inner, inner_allocating
from grs_evo.kernels.loss.covariance import (
    covariance_of_rows,
    covariance_rows_adjoint,
    merged_covariance,
    merged_covariance_adjoint,
)
from grs_evo.kernels.loss.distribution import (
    ENTROPY,
    MATCHED,
    SET,
    STRUCTURE,
    LossPlan,
    LossWork,
    compare_covariance,
    distribution_loss,
    loss_buffers,
)
from grs_evo.kernels.loss.moments import (
    blend,
    blend_adjoint,
    blend_two,
    blend_two_adjoint,
    central_adjoint,
    central_into,
)
from grs_evo.kernels.loss.norms import rescale
from grs_evo.kernels.simd import LANES, beyond, fma, load_part, pointer, splat, store_part
from grs_evo.kernels.simd import total as sum_of_lanes


@entry_locked
def merge_set(central, counts, covariance, plan, higher, work):
    """The set's environments and the structure's together. Returns 0."""
    n_desc = central.shape[1]
    own, old, out = pointer(central), pointer(plan.set_central), pointer(work.merged)
    for e in range(plan.sizes.shape[0]):
        both = counts[e] + plan.set_counts[e]
        work.merged_counts[e] = both
        share = counts[e] / both if both > 0.0 else 0.0
        for k in range(plan.offsets[e], plan.offsets[e + 1], LANES):
            left, two, three, four = plan.offsets[e + 1] - k, n_desc + k, 2 * n_desc + k, 3 * n_desc + k
            mean_a, mean_b = load_part(own, k, left, 0.0), load_part(old, k, left, 0.0)
            a2, b2 = load_part(own, two, left, 0.0), load_part(old, two, left, 0.0)
            if higher:
                a3, b3 = load_part(own, three, left, 0.0), load_part(old, three, left, 0.0)
                a4, b4 = load_part(own, four, left, 0.0), load_part(old, four, left, 0.0)
                m, c2, c3, c4 = blend(share, mean_a, a2, a3, a4, mean_b, b2, b3, b4)
                store_part(out, three, left, c3)
                store_part(out, four, left, c4)
            else:
                m, c2 = blend_two(share, mean_a, a2, mean_b, b2)
            store_part(out, k, left, m)
            store_part(out, two, left, c2)
        if plan.active[4]:
            merged_covariance(e, share, central, covariance, plan, work.merged_covariance)
    return 0


@inner
def _add_times(x, at, left, factor, more):
    """x[at : at + 8] += factor × more, the first `left` of them only."""
    store_part(x, at, left, fma(more, splat(factor), load_part(x, at, left, 0.0)))


@entry_locked
def merge_set_adjoint(central, counts, plan, higher, work, weight, dcentral, dcovariance):
    """Add weight × the derivative through the merge to dcentral and dcovariance. Returns 0."""
    n_desc = central.shape[1]
    own, old, slopes, out = pointer(central), pointer(plan.set_central), pointer(work.dmerged), pointer(dcentral)
    for e in range(plan.sizes.shape[0]):
        if counts[e] == 0.0:
            continue
        share = counts[e] / work.merged_counts[e]
        for k in range(plan.offsets[e], plan.offsets[e + 1], LANES):
            left, two, three, four = plan.offsets[e + 1] - k, n_desc + k, 2 * n_desc + k, 3 * n_desc + k
            mean_a, mean_b = load_part(own, k, left, 0.0), load_part(old, k, left, 0.0)
            g1, g2 = load_part(slopes, k, left, 0.0), load_part(slopes, two, left, 0.0)
            if higher:
                a2, b2 = load_part(own, two, left, 0.0), load_part(old, two, left, 0.0)
                a3, b3 = load_part(own, three, left, 0.0), load_part(old, three, left, 0.0)
                g3, g4 = load_part(slopes, three, left, 0.0), load_part(slopes, four, left, 0.0)
                h1, h2, h3, h4 = blend_adjoint(share, mean_a, a2, a3, mean_b, b2, b3, g1, g2, g3, g4)
                _add_times(out, three, left, weight, h3)
                _add_times(out, four, left, weight, h4)
            else:
                h1, h2 = blend_two_adjoint(share, mean_a, mean_b, g1, g2)
            _add_times(out, k, left, weight, h1)
            _add_times(out, two, left, weight, h2)
        if plan.active[4]:
            merged_covariance_adjoint(e, share, weight, central, work.dmerged_covariance, plan, dcentral, dcovariance)
    return 0


@entry_locked
def moments_loss(central, counts, covariance, plan, norm, delta, gradient, work, terms):
    """w_1 Q + w_2 Q^set of a structure given by its moments; the parts that need rows or distances are left at 0.

    Returns (value descended, value reported). With `gradient`, work.dcentral and work.dcovariance hold the derivative.
    """
    terms[:] = 0.0
    value = 0.0
    higher = plan.active[2] or plan.active[3]
    if plan.w_set != 0.0:
        call_status(work.merge_set, (central, counts, covariance, plan, higher, work))
    # One place calls distribution_loss, first for the set and then for the structure: each call is a copy to compile.
    of, of_counts, of_covariance = work.merged, work.merged_counts, work.merged_covariance
    slope, slope_covariance, into = work.dmerged, work.dmerged_covariance, work.set_terms
    weight = plan.w_set
    for turn in range(2):
        if turn == 1 or weight != 0.0:
            value += weight * distribution_loss(
                of, of_counts, of_covariance, plan, higher, norm, delta, gradient, work, into, slope, slope_covariance
            )
        of, of_counts, of_covariance = central, counts, covariance
        slope, slope_covariance, into = work.dcentral, work.dcovariance, terms
        weight = plan.w_structure
    if gradient and plan.w_structure != 1.0:
        rescale(pointer(work.dcentral), (4 if higher else 2) * central.shape[1], plan.w_structure)
        rescale(pointer(work.dcovariance), work.dcovariance.shape[0], plan.w_structure)
    reported = plan.w_structure * terms[STRUCTURE] - plan.reward * terms[MATCHED]
    if plan.w_set != 0.0:
        terms[SET] = work.set_terms[STRUCTURE]
        reported += plan.w_set * terms[SET]
        if gradient:
            given = (central, counts, plan, higher, work, plan.w_set, work.dcentral, work.dcovariance)
            call_status(work.merge_set_adjoint, given)
    return value, reported


@entry_allocating
def entropy(rows, species, plan, weight, drows):
    """Nearest-neighbour entropy of the environments, softened; returns S and adds weight × dS/drows.

    S = mean over i of −(1/8) ln Σ_j (d_ij² + ε)^−4, j over the other atoms of i's element and d² the mean over
    functions of the squared scaled difference. As the power grows this tends to the mean of ln min_j d_ij: the
    estimator of Karabin & Perez (J. Chem. Phys. 153, 094110, 2020) up to constants, but smooth where the nearest
    neighbour changes.
    """
    n_atoms = species.shape[0]
    near, smallest = real_rows(n_atoms, n_atoms), reals(n_atoms)
    for i in range(n_atoms):
        smallest[i] = np.inf
        for j in range(n_atoms):
            near[i, j] = 0.0
    first, target, spread, width = pointer(rows), pointer(drows), pointer(plan.spread), rows.shape[1]
    for i in range(n_atoms):
        e = species[i]
        n = plan.sizes[e]
        scale, row = beyond(spread, plan.offsets[e]), beyond(first, i * width)
        for j in range(i):
            if species[j] != e or n == 0:
                continue
            other = beyond(first, j * width)
            squares = splat(0.0)
            for k in range(0, n, LANES):
                gap = (load_part(row, k, n - k, 0.0) - load_part(other, k, n - k, 0.0)) * load_part(
                    scale, k, n - k, 0.0
                )
                squares = fma(gap, gap, squares)
            square = sum_of_lanes(squares) / n + plan.softness
            near[i, j] = square
            near[j, i] = square
            smallest[i] = min(smallest[i], square)
            smallest[j] = min(smallest[j], square)
    crowding = zeros(n_atoms)
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
            scale, row, out = beyond(spread, plan.offsets[e]), beyond(first, i * width), beyond(target, i * width)
            for j in range(i):
                if near[i, j] == 0.0:
                    continue
                by_i = smallest[i] / near[i, j]
                by_j = smallest[j] / near[i, j]
                by_i *= by_i
                by_j *= by_j
                slope = (by_i * by_i / crowding[i] + by_j * by_j / crowding[j]) * 0.5 / near[i, j]
                slope *= 2.0 * weight / (n * partners)
                other, back = beyond(first, j * width), beyond(target, j * width)
                for k in range(0, n, LANES):
                    left, unit = n - k, load_part(scale, k, n - k, 0.0)
                    gap = (load_part(row, k, left, 0.0) - load_part(other, k, left, 0.0)) * unit * unit * slope
                    store_part(out, k, left, load_part(out, k, left, 0.0) + gap)
                    store_part(back, k, left, load_part(back, k, left, 0.0) - gap)
    return total / partners


@inner_allocating
def loss_of_rows(rows, species, plan, norm, delta, gradient, work, terms, drows):
    """Loss of descriptor rows, without the core; with `gradient` overwrites drows (n_atoms, max_size).

    Returns (value descended, value reported).
    """
    higher = plan.active[2] or plan.active[3]
    places = integers(species.shape[0])
    central_into(rows, species, plan.sizes, plan.offsets, work.counts, places, work.central, higher)
    if plan.active[4]:
        given = (rows, plan, work.counts, places, work.central[0], work.covariance)
        call_status(work.covariance_of_rows, given)
    value, reported = call_pair(
        work.moments_loss, (work.central, work.counts, work.covariance, plan, norm, delta, gradient, work, terms)
    )
    if gradient:
        central_adjoint(
            rows, plan.sizes, plan.offsets, work.counts, places, work.central, work.dcentral, higher, work.polynomial,
            drows,
        )  # fmt: skip
        if plan.active[4]:
            back = (rows, plan, work.counts, places, work.central[0], work.dcovariance, drows)
            call_status(work.covariance_rows_adjoint, back)
    if plan.w_entropy != 0.0:
        slope = -plan.w_entropy if gradient else 0.0
        terms[ENTROPY] = -call_number(work.entropy, (rows, species, plan, slope, drows))
        value += plan.w_entropy * terms[ENTROPY]
        reported += plan.w_entropy * terms[ENTROPY]
    return value, reported


@entry_allocating
def rows_loss(rows, species, plan, norm, delta, gradient, work, terms, drows):
    """The same for Python, and for calls by address."""
    return loss_of_rows(rows, species, plan, norm, delta, gradient, work, terms, drows)


def make_loss_work(plan: LossPlan) -> LossWork:
    """Buffers of the right size for a plan, and where compiled parts of its loss are: of those that it has."""
    work = loss_buffers(plan)
    higher, norm = bool(plan.active[2] or plan.active[3]), (plan.norm, plan.delta)
    found: dict[str, Any] = {}
    if plan.w_set != 0.0:
        own = (work.central, work.counts)
        back = (plan.w_set, work.dcentral, work.dcovariance)
        found["merge_set"] = address(merge_set, *own, work.covariance, plan, higher, work)
        found["merge_set_adjoint"] = address(merge_set_adjoint, *own, plan, higher, work, *back)
    if plan.active[4]:
        rows, places = np.zeros((1, int(plan.sizes.max()))), np.zeros(1, np.int64)
        moments = (plan, work.counts, places, work.central[0])
        found["covariance_of_rows"] = address(covariance_of_rows, rows, *moments, work.covariance)
        found["covariance_rows_adjoint"] = address(covariance_rows_adjoint, rows, *moments, work.dcovariance, rows)
        given = (work.central, work.counts, work.covariance, plan, *norm, True, work, work.set_terms)
        found["compare_covariance"] = address(compare_covariance, *given, work.dcentral, work.dcovariance)
    if plan.w_entropy != 0.0:
        rows = np.zeros((1, int(plan.sizes.max())))
        found["entropy"] = address(entropy, rows, np.zeros(1, np.int32), plan, plan.w_entropy, rows)
    found["moments_loss"] = address(
        moments_loss, work.central, work.counts, work.covariance, plan, *norm, True, work, work.set_terms
    )
    return work._replace(**found)
