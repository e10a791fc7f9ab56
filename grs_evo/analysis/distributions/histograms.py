"""The distributions of single functions, side by side, with a distance for each (paper, SI 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.analysis.distributions.components import FLOOR, checked_rows
from grs_evo.errors import InputError

# Which quantiles of both sides the bins reach to.
_MIDDLE = (0.005, 0.995)


@dataclass(frozen=True, eq=False)
class Histograms:
    """Densities of each function over the target and over the set, on common bins."""

    edges: NDArray[np.float64]  # (n_func, bins + 1) values of the function
    target: NDArray[np.float64]  # (n_func, bins) share of the target's environments in the bin; sums to 1
    chosen: NDArray[np.float64]  # (n_func, bins) the same for the set
    wasserstein: NDArray[np.float64]  # (n_func,) earth mover's distance in units of `scale`
    ks: NDArray[np.float64]  # (n_func,) largest difference of the cumulative distributions, 0 … 1
    scale: NDArray[np.float64]  # (n_func,) standard deviation over the target (over both where that is 0)


def _checked_pair(target: NDArray[Any], chosen: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    target, chosen = checked_rows(target, "target"), checked_rows(chosen, "set")
    if target.shape[1] != chosen.shape[1]:
        raise InputError(
            f"set: has {chosen.shape[1]} functions, the target {target.shape[1]}; both must come from the same basis"
        )
    return target, chosen


def spread(target: NDArray[np.float64], chosen: NDArray[np.float64]) -> NDArray[np.float64]:
    """What differences of each function are divided by, (n_func,).

    The target's standard deviation; where the target does not vary (a perfect crystal) that of both together; and where
    neither varies nor differs by more than rounding 1, so that the difference counts as 0.
    """
    scale: NDArray[np.float64] = target.std(axis=0)
    rounding = FLOOR * max(np.abs(target).max(), np.abs(chosen).max())
    low = scale <= rounding
    if low.any():
        mean = target[:, low].mean(axis=0)
        between = np.sqrt(((chosen[:, low] - mean) ** 2).mean(axis=0))
        scale[low] = np.where(between > rounding, between, 1.0)
    return scale


def wasserstein_distances(target: NDArray[np.float64], chosen: NDArray[np.float64]) -> NDArray[np.float64]:
    """Earth mover's distance (order 1) of each function, in the function's own unit, (n_func,)."""
    target, chosen = _checked_pair(target, chosen)
    return _distances(target, chosen)[0]


def ks_distances(target: NDArray[np.float64], chosen: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kolmogorov–Smirnov distance of each function, (n_func,)."""
    target, chosen = _checked_pair(target, chosen)
    return _distances(target, chosen)[1]


def _distances(target: NDArray[Any], chosen: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    earth, ks = np.empty(target.shape[1]), np.empty(target.shape[1])
    rounding = FLOOR * max(np.abs(target).max(), np.abs(chosen).max())
    for column in range(target.shape[1]):
        a, b = np.sort(target[:, column]), np.sort(chosen[:, column])
        both = np.sort(np.concatenate([a, b]))
        below_a = np.searchsorted(a, both, side="right") / len(a)
        below_b = np.searchsorted(b, both, side="right") / len(b)
        gap = np.abs(below_a - below_b)
        steps = np.diff(both)
        earth[column] = np.sum(gap[:-1] * steps)
        # Values that differ by rounding only are one value; the gap between them is none.
        ks[column] = np.max(gap[:-1], where=steps > rounding, initial=0.0)
    return earth, ks


def histograms(target: NDArray[np.float64], chosen: NDArray[np.float64], bins: int = 40) -> Histograms:
    """Histograms of every function over two sets of environments, with their distances.

    Parameters
    ----------
    target, chosen : (n, n_func) environments of the target and of the set
    bins : of equal width over what the middle 99 % of both span, so that one far environment does not empty the rest;
        the outermost bins hold what lies beyond them

    Raises
    ------
    InputError
        Empty or non-finite input, or different numbers of functions.
    """
    if bins < 1:
        raise InputError(f"bins is {bins}; it must be at least 1")
    target, chosen = _checked_pair(target, chosen)
    ends = [np.quantile(rows, _MIDDLE, axis=0) for rows in (target, chosen)]
    low, high = np.minimum(ends[0][0], ends[1][0]), np.maximum(ends[0][1], ends[1][1])
    # A constant function gets bins of some width around its value, which stands in the middle of one of them.
    size = np.maximum(np.abs(low), np.abs(high))
    rounding = FLOOR * size.max()
    half = np.where(high - low <= 10 * rounding, np.maximum(0.05 * size, rounding if rounding else 0.5), 0.0)
    low, high = low - half, high + half * (1.0 + (bins + 1) % 2 * 2.0 / max(1, bins - 1))
    edges = np.linspace(low, high, bins + 1, axis=1)
    counts = []
    for rows in (target, chosen):
        of = np.clip((rows - low) / (high - low) * bins, 0, bins - 1).astype(np.int64)
        of += np.arange(rows.shape[1]) * bins
        counted = np.bincount(of.ravel(), minlength=rows.shape[1] * bins).reshape(rows.shape[1], bins)
        counts.append(counted / len(rows))
    earth, ks = _distances(target, chosen)
    scale = spread(target, chosen)
    return Histograms(edges, counts[0], counts[1], earth / scale, ks, scale)
