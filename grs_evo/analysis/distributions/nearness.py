"""How near a set comes to the target's environments, in units of the distance between those."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from grs_evo.errors import InputError


@dataclass(frozen=True, eq=False)
class Nearness:
    """Distances of a target's environments to a set."""

    unit: float  # median distance of an environment of the target to the nearest other one
    median: float  # median distance of an environment of the target to the nearest of the set, in the same space
    shares: NDArray[np.float64]  # (n_multiples,) of the target's environments within each multiple of the unit


def nearness(target: NDArray[np.float64], chosen: NDArray[np.float64], multiples: Sequence[float]) -> Nearness:
    """How much of the target lies near the set.

    Parameters
    ----------
    target, chosen : (n, k) environments in one space, such as the target's principal components
    multiples : of the unit, within which environments count as near

    Raises
    ------
    InputError
        No set, fewer than two environments in the target, or more than half of these coincide.
    """
    if len(target) < 2 or len(chosen) == 0:
        raise InputError(
            f"nearness needs two environments in the target and one in the set, got {len(target)} and {len(chosen)}"
        )
    unit = float(np.median(cKDTree(target).query(target, k=2)[0][:, 1]))
    if unit == 0.0:
        raise InputError("target: more than half of the environments coincide, so they have no distance to measure by")
    gaps = cKDTree(chosen).query(target)[0]
    return Nearness(unit, float(np.median(gaps)), np.array([(gaps < m * unit).mean() for m in multiples]))
