"""Pareto fronts and what they are worth: which points nothing beats, and the volume they command."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.search.population.domination import dominated


def _checked(objectives: NDArray[np.float64]) -> NDArray[np.float64]:
    objectives = np.asarray(objectives, dtype=np.float64)
    if objectives.ndim != 2:
        raise InputError(f"objectives come as an array (n, n_objectives), got shape {objectives.shape}")
    if not np.isfinite(objectives).all():
        row, column = np.argwhere(~np.isfinite(objectives))[0]
        raise InputError(f"objective {column} of individual {row} is {objectives[row, column]}; it must be finite")
    return objectives


def pareto_front(objectives: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows of (n, n_objectives) are dominated by no other; all objectives are minimised.

    Of rows that are equal only the first is marked.
    """
    objectives = _checked(objectives)
    if len(objectives) == 0:
        return np.zeros(0, dtype=bool)
    first = np.zeros(len(objectives), dtype=bool)
    first[np.unique(objectives, axis=0, return_index=True)[1]] = True
    return ~dominated(objectives) & first


def reference_point(objectives: NDArray[np.float64]) -> NDArray[np.float64]:
    """The corner hypervolumes are measured from: the worst of each objective, and a tenth of its range beyond.

    An objective that is 0 everywhere (no cores overlap) counts as a factor of 1.
    """
    objectives = _checked(objectives)
    if len(objectives) == 0:
        raise InputError("the front is empty: there is nothing to measure a hypervolume from")
    worst, best = objectives.max(axis=0), objectives.min(axis=0)
    margin = np.where(worst > best, 0.1 * (worst - best), np.where(worst != 0.0, 0.1 * np.abs(worst), 1.0))
    reference: NDArray[np.float64] = worst + margin
    return reference


def hypervolume(objectives: NDArray[np.float64], reference: Sequence[float] | NDArray[np.float64]) -> float:
    """Volume between the front and the reference point (moocore); all objectives are minimised."""
    objectives = _checked(objectives)
    reference = np.asarray(reference, dtype=np.float64)
    if reference.shape != (objectives.shape[1],):
        raise InputError(f"reference has {reference.size} values, the front {objectives.shape[1]} objectives")
    if len(objectives) == 0:
        return 0.0
    if objectives.shape[1] == 1:
        return float(max(0.0, reference[0] - objectives.min()))
    import moocore

    return float(moocore.hypervolume(objectives, ref=reference))


def hypervolume_over_generations(
    generations: NDArray[np.int64], objectives: NDArray[np.float64], steps: int = 200
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Hypervolume of what had been found by each generation, relative to the last.

    Parameters
    ----------
    generations : (n,) generation in which each individual was found
    objectives : (n, n_objectives)
    steps : at most so many generations, evenly chosen

    Returns
    -------
    generations (k,), share of the final hypervolume (k,), rising to 1

    Notes
    -----
    An archive keeps what was never beaten, and not what once was on the front: before the last generation this is a
    lower bound. A running record would not be: islands meet only when a checkpoint is written, at times that the clock
    chooses, so it would differ between runs that are equal in all else.
    """
    objectives = _checked(objectives)
    generations = np.asarray(generations)
    reference = reference_point(objectives)
    seen = np.unique(generations)
    if len(seen) > steps:
        seen = seen[np.unique(np.linspace(0, len(seen) - 1, steps).round().astype(int))]
    volumes = np.array([hypervolume(objectives[generations <= one], reference) for one in seen])
    return seen, volumes / volumes[-1]
