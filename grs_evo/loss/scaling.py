"""Loss options, a target and reference structures into the numbers that the compiled loss reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from grs_evo.descriptors.basis import Basis
from grs_evo.descriptors.describe import describe_compact
from grs_evo.errors import InputError
from grs_evo.kernels.loss.distribution import LossPlan
from grs_evo.loss.options import CoreOptions, LossOptions
from grs_evo.structures.structure import Structure
from grs_evo.targets.moments import MOMENT_NAMES, Moments, empty, moments_of, standardise, variance_floor
from grs_evo.targets.target import Target

# Principal axes whose variance is below this share of the largest are dropped (a share of 1e-3 in spread).
_WHITENING_CUTOFF = 1e-6
# Random directions along which is compared what lies outside the principal axes, where there are more functions than
# reference structures tell the axes of.
_REST = 64
# A function whose size is below this share of the block's largest vanishes by symmetry.
_VANISHES = 1e-12


# What the norms and scales of `LossOptions` do, in a sentence about the loss.
NORMS = {
    "l1": "mean |x| over the functions",
    "l2": "root mean square over the functions",
    "huber": "mean pseudo-Huber √(x² + δ²) − δ over the functions",
}
SCALES = {
    "none": "in the functions’ own units",
    "target": "in units of the target’s spread",
    "reference": "in units of the spread over random structures",
    "whitened": "in units of the spread over random structures, along its principal axes",
}


def core_distances(elements: Sequence[str], options: CoreOptions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Core distance d and range R of each pair of elements, both (n_elements, n_elements) Å."""
    radii = np.array([covalent_radii[atomic_numbers[e]] for e in elements])
    inner = options.fraction * (radii[:, None] + radii[None, :])
    index = {element: k for k, element in enumerate(elements)}
    for pair, distance in options.distances.items():
        names = pair.split("-")
        if len(names) != 2 or any(name not in index for name in names):
            raise InputError(f"loss.core.distances: {pair!r} is no pair of the elements {', '.join(elements)}")
        if not distance > 0:
            raise InputError(f"loss.core.distances: {pair} is {distance} Å; it must be > 0")
        inner[index[names[0]], index[names[1]]] = inner[index[names[1]], index[names[0]]] = distance
    return inner, inner * (1.0 + options.width)


def features(moments: Moments, distribution: Any) -> NDArray[np.float64]:
    """(4, n_desc): the mean, variance, skewness and kurtosis that losses compare."""
    return moments.standardised(distribution)


def check_core(basis: Basis, outer: NDArray[np.float64], options: CoreOptions) -> None:
    if options.kind == "none":
        return
    for a, b in np.argwhere(outer > np.minimum(basis.cutoff, basis.cutoff.T)):
        names = f"{basis.elements[a]}-{basis.elements[b]}"
        raise InputError(
            f"loss.core: the range of {names} is {outer[a, b]:.3f} Å, beyond the basis's cutoff"
            f" {min(basis.cutoff[a, b], basis.cutoff[b, a]):.3f} Å; lower core.fraction or core.width"
        )


def with_set(plan: LossPlan, moments: Moments | None) -> LossPlan:
    if moments is None:
        moments = empty([int(n) for n in plan.sizes], covariance=True)
    return plan._replace(
        set_counts=np.array(moments.counts),
        set_central=moments.central(),
        set_covariance=covariance_of(moments, len(plan.target_covariance)),
    )


def covariance_of(moments: Moments, n_flat: int) -> NDArray[np.float64]:
    """Each block's covariance, 1/N, flat; empty when it is not compared."""
    if n_flat == 0:
        return np.zeros(0)
    if moments.covariance_sums is None:
        raise InputError("the covariance is compared but these moments hold none")
    sizes = np.array(moments.sizes)
    count = np.repeat(moments.counts, sizes**2)
    return np.divide(moments.covariance_sums, count, out=np.zeros(n_flat), where=count > 0)


def _floored(
    spread: NDArray[np.float64], size: NDArray[np.float64], sizes: NDArray[np.int64], floor: float
) -> tuple[NDArray[np.float64], int]:
    """Spreads raised to `floor` × the function's own size, and how many were.

    A function that vanishes on all that was seen (by symmetry) has no size of its own: it takes the block's median.
    """
    lowest = floor * size
    start = 0
    for n in sizes:
        block = size[start : start + n]
        gone = block <= _VANISHES * block.max(initial=0.0)
        typical = float(np.median(block[~gone])) if (~gone).any() else 1.0
        lowest[start : start + n][gone] = floor * typical
        start += n
    return np.maximum(spread, lowest), int((spread < lowest).sum())


def target_part(plan: LossPlan, target: Target, options: LossOptions) -> tuple[LossPlan, tuple[str, ...]]:
    """The plan with everything that depends on the target."""
    central = target.moments.central(options.distribution)
    floor = variance_floor(central)
    wanted = standardise(central, floor)
    changed: dict[str, Any] = {"target": wanted, "floor": floor}
    size = np.sqrt(central[0] ** 2 + central[1])
    spread, n_floored = _floored(np.sqrt(central[1]), size, plan.sizes, options.scale_floor)
    notes: tuple[str, ...] = ()
    if options.scale == "target":
        ones = np.ones_like(spread)
        changed["inverse"] = np.array([1.0 / spread, 1.0 / spread**2, ones, ones])
        changed["spread"] = 1.0 / spread
        if n_floored:
            notes = (
                f"{n_floored} of {len(spread)} functions have (almost) no spread in the target; their scale is"
                f" {options.scale_floor:g} of their root mean square",
            )
    elif options.scale == "none":
        # Distances between environments always need a scale: the entropy would see one function only.
        changed["spread"] = 1.0 / spread
    if options.covariance != 0:
        flat = covariance_of(target.moments, len(plan.target_covariance))
        changed["target_covariance"] = _pooled_blocks(flat, target.moments, plan) if plan.pooled else flat
    return plan._replace(**changed), notes


def _pooled_blocks(flat: NDArray[np.float64], moments: Moments, plan: LossPlan) -> NDArray[np.float64]:
    """Each block's covariance in the pooled distribution."""
    pooled = np.zeros_like(flat)
    for e, share in enumerate(moments.counts / moments.total):
        own = slice(int(plan.starts[e]), int(plan.starts[e + 1]))
        mean = moments.mean[plan.offsets[e] : plan.offsets[e + 1]]
        pooled[own] = share * flat[own] + share * (1.0 - share) * np.outer(mean, mean).ravel()
    return pooled


def reference_part(
    plan: LossPlan, basis: Basis, options: LossOptions, reference: Sequence[Structure]
) -> tuple[LossPlan, tuple[str, ...]]:
    """The plan with scales, and principal axes, from the spread of the moments over the reference structures; notes."""
    if len(reference) < 2:
        raise InputError(
            f"loss.scale is {options.scale!r}, which needs random reference structures to take the spread from;"
            f" {len(reference)} given, at least 2 needed"
        )
    all_moments = [moments_of(describe_compact(s, basis, warn=False), s.species, basis.sizes) for s in reference]
    seen = np.array([features(m, options.distribution) for m in all_moments])  # (n_reference, 4, n_desc)
    centre = seen.mean(axis=0)
    spread = seen.std(axis=0)
    inverse = np.ones((4, plan.target.shape[1]))
    for p in range(4):
        size = np.sqrt(centre[p] ** 2 + spread[p] ** 2)
        inverse[p] = 1.0 / _floored(spread[p], size, plan.sizes, options.scale_floor)[0]
    within = np.mean([variances for _, variances, _, _ in seen], axis=0) + spread[0] ** 2
    size = np.sqrt(centre[0] ** 2 + within)
    changed: dict[str, Any] = {
        "inverse": inverse,
        "spread": 1.0 / _floored(np.sqrt(within), size, plan.sizes, options.scale_floor)[0],
    }
    if options.scale == "whitened":
        found = [_principal_axes(seen[:, p], centre[p], spread[p]) if plan.active[p] else None for p in range(4)]
        beyond = [p for p, one in enumerate(found) if one is not None and _are_all_there_can_be(one, len(reference))]
        for p in beyond:
            found[p] = _with_rest(seen[:, p], centre[p], spread[p])
        counts = [0 if a is None else a.shape[1] for a in found]
        axes = np.zeros((4, plan.target.shape[1], max(counts)))
        for p, one in enumerate(found):
            if one is None:
                continue
            if one.shape[1] == 0:
                raise InputError(
                    f"loss.scale is 'whitened' but the {MOMENT_NAMES[p]}s of the {len(reference)} reference structures"
                    " do not differ at all; hand in structures that do, or choose scale = 'reference'"
                )
            axes[p, :, : one.shape[1]] = one
        changed["axes"] = axes
        changed["n_components"] = np.array(counts, dtype=np.int64)
        return plan._replace(**changed), tuple(
            f"loss.scale: {len(reference)} random structures do not tell all principal axes of the {MOMENT_NAMES[p]}s "
            f"of {plan.target.shape[1]} functions; the {_leading(len(reference))} widest are taken, and the rest is "
            f"compared along random directions, {counts[p]} components in all"
            for p in beyond
        )
    return plan._replace(**changed), ()


def _are_all_there_can_be(axes: NDArray[np.float64], n_reference: int) -> bool:
    """Whether the reference structures have no more axes than these: mismatches outside would go unseen."""
    return bool(0 < min(n_reference - 1, len(axes) + 1) <= axes.shape[1])


def _leading(n_reference: int) -> int:
    """Axes whose spread so many structures tell well, where they do not tell all."""
    return max(1, (n_reference - 1) // 2)


def _principal_axes(
    seen: NDArray[np.float64], centre: NDArray[np.float64], spread: NDArray[np.float64], most: int | None = None
) -> NDArray[np.float64]:
    """(n_desc, n_components): columns that turn a raw difference into components of unit spread over `seen`.

    Parameters
    ----------
    most : axes, the widest; default: all of them
    """
    moves, scaled = _scaled(seen, centre, spread)
    if not moves.any():
        return np.zeros((len(centre), 0))
    with threadpool_limits(1):
        _, sigma, vt = np.linalg.svd(scaled, full_matrices=False)
    kept = np.flatnonzero(sigma**2 > _WHITENING_CUTOFF * sigma[0] ** 2)[:most]
    sigma, vt = sigma[kept] / np.sqrt(len(seen)), vt[kept]
    # The sign of an axis is the library's choice; norms do not see it, but files should not differ by it.
    vt = vt * np.sign(vt[np.arange(len(vt)), np.argmax(np.abs(vt), axis=1)])[:, None]
    axes = np.zeros((len(centre), len(sigma)))
    axes[moves] = vt.T / sigma / spread[moves][:, None]
    return axes


def _scaled(
    seen: NDArray[np.float64], centre: NDArray[np.float64], spread: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which functions differ at all over `seen`, and these in units of their spread."""
    size = np.sqrt(centre**2 + spread**2)
    moves = spread > 1e-9 * np.maximum(size, _VANISHES * size.max(initial=0.0))
    return moves, (seen[:, moves] - centre[moves]) / spread[moves]


def _with_rest(
    seen: NDArray[np.float64], centre: NDArray[np.float64], spread: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The widest principal axes, and random directions at right angles to them, all of unit spread over `seen`.

    The squares of the components along random directions add up, in the mean, to a share of all that is outside the
    axes (Johnson and Lindenstrauss), so that no mismatch goes unseen.
    """
    axes = _principal_axes(seen, centre, spread, _leading(len(seen)))
    moves, scaled = _scaled(seen, centre, spread)
    leading = axes[moves] * spread[moves][:, None]
    leading /= np.linalg.norm(leading, axis=0)
    rng = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(0x72657374,)))
    rest = rng.standard_normal((int(moves.sum()), min(_REST, int(moves.sum()) - leading.shape[1])))
    with threadpool_limits(1):
        rest -= leading @ (leading.T @ rest)
        wide = (scaled @ rest).std(axis=0)
    along = np.zeros((len(centre), rest.shape[1]))
    along[moves] = rest / wide / spread[moves][:, None]
    return np.concatenate([axes, along], axis=1)
