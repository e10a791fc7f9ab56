"""How far two sets of environments are apart in their moments (paper, Fig. 7), and how far one set is from itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grs_evo.analysis.distributions.components import checked_rows
from grs_evo.analysis.distributions.histograms import _checked_pair, spread
from grs_evo.errors import InputError


@dataclass(frozen=True, eq=False)
class MomentDistances:
    """Absolute differences of the first and second moments, per function and averaged."""

    first: NDArray[np.float64]  # (n_func,) |difference of the means|
    second: NDArray[np.float64]  # (n_func,) |difference of the variances|
    scale: NDArray[np.float64]  # (n_func,) the spread by which the scaled averages divide (the variance by its square)
    mae_first: float  # mean over functions of `first`, raw: the measure of Fig. 7
    mae_second: float
    scaled_first: float  # mean over functions of first / scale
    scaled_second: float  # mean over functions of second / scale²


def moment_distances(target: NDArray[np.float64], chosen: NDArray[np.float64]) -> MomentDistances:
    """Mean absolute difference of the first and second (central) moments of two sets of environments.

    Parameters
    ----------
    target, chosen : (n, n_func) environments; raw descriptor values

    Raises
    ------
    InputError
        Empty or non-finite input, or different numbers of functions.
    """
    target, chosen = _checked_pair(target, chosen)
    first = np.abs(chosen.mean(axis=0) - target.mean(axis=0))
    second = np.abs(chosen.var(axis=0) - target.var(axis=0))
    scale = spread(target, chosen)
    return MomentDistances(
        first,
        second,
        scale,
        float(first.mean()),
        float(second.mean()),
        float((first / scale).mean()),
        float((second / scale**2).mean()),
    )


def halves_floor(target: NDArray[np.float64], repeats: int = 16, seed: int = 0) -> MomentDistances:
    """The target against itself: median over random halves of the distance of one half from the other.

    A set that is nearer to the target than this fits the sampling noise of one target; more accuracy then means a
    larger target, not a longer search.

    Parameters
    ----------
    target : (n, n_func) environments, n ≥ 2
    repeats : number of random partitions
    seed : of the partitions

    Notes
    -----
    The environments of one structure overlap, so a partition of single environments gives a lower bound of the distance
    between two independent targets of half the size.
    """
    target = checked_rows(target, "target")
    if len(target) < 2:
        raise InputError("target: has 1 environment; two halves need at least 2")
    rng = np.random.default_rng(seed)
    half = len(target) // 2
    found = []
    for _ in range(repeats):
        order = rng.permutation(len(target))
        found.append(moment_distances(target[order[:half]], target[order[half:]]))
    return MomentDistances(
        *(
            np.median([getattr(one, name) for one in found], axis=0)
            for name in ("first", "second", "scale", "mae_first", "mae_second", "scaled_first", "scaled_second")
        )
    )
