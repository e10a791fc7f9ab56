"""Atoms per volume; per area of a slab and per length of a wire, whose vacuum has no meaning.

A density is set, not sampled: a target of one frame has no scatter of it, and small cells do not excuse another one.
So it may be off by 2.8 % where atoms are disordered and by 1.2 % where they stand on sites; more only where the
target's own frames scatter by more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.observables.counting.extent import filled
from grs_evo.observables.counting.survey import Survey
from grs_evo.observables.record import Observable, Row
from grs_evo.observables.sampling import Comparison
from grs_evo.structures.structure import VACANCY, Structure

LIMIT = 4.0
_DISORDERED, _ON_SITES = 0.007, 0.003
_OF_SMALL = 0.009  # the most that a target's frames allow to a smaller cell

_UNITS = {3: "atoms/Å³", 2: "atoms/Å²", 1: "atoms/Å"}
_NAMES = {3: "density", 2: "density per area", 1: "density per length"}


def extent_of(structure: Structure) -> tuple[int, float]:
    """Directions along which matter goes on, and the volume, area or length that the cell has along them, Å^k."""
    along = np.flatnonzero(filled(structure))
    if len(along) == 3:
        return 3, structure.volume
    vectors = structure.cell[along]
    return len(along), float(np.sqrt(max(np.linalg.det(vectors @ vectors.T), 0.0))) if len(along) else 0.0


def _densities(found: Survey) -> tuple[int, NDArray[np.float64], NDArray[np.int64]] | None:
    """Dimension, and density and atoms of each structure at hand; None without a dimension common to all."""
    extents = [extent_of(s) for s in found.kept]
    dimensions = {d for d, _ in extents}
    if len(dimensions) != 1 or dimensions == {0}:
        return None
    atoms = np.array([s.n_atoms for s in found.kept])
    return dimensions.pop(), atoms / np.array([e for _, e in extents]), atoms


def _mean(densities: NDArray[np.float64], atoms: NDArray[np.int64]) -> float:
    return float(atoms.sum() / (atoms / densities).sum())


def _measure(found: Survey) -> dict[str, Any]:
    known = _densities(found)
    if known is None:
        return {}
    dimension, densities, atoms = known
    result: dict[str, Any] = {_NAMES[dimension]: _mean(densities, atoms), "unit": _UNITS[dimension]}
    if dimension == 3:
        from ase.data import atomic_masses, atomic_numbers

        masses = np.array([0.0 if e == VACANCY else atomic_masses[atomic_numbers[e]] for e in found.elements])
        result["g/cm3"] = float(1.66053907 * (masses * found.of_kind).sum() / found.volumes.sum())
    return result


def _compare(found: Survey, comparison: Comparison) -> list[Row]:
    ours, theirs = _densities(found), _densities(comparison.target)
    if ours is None or theirs is None or ours[0] != theirs[0]:
        return []
    dimension = ours[0]
    value, target = _mean(*ours[1:]), _mean(*theirs[1:])
    least = _ON_SITES if comparison.exact else _DISORDERED
    spread = float(theirs[1].std()) / target
    share = np.sqrt(theirs[2].mean() / ours[2].mean())
    relative = max(least, min(spread * share, max(spread, _OF_SMALL)) / np.sqrt(len(ours[1])))
    percent = 100 * (value / target - 1)
    words = f"{_NAMES[dimension]} is {abs(percent):.1f} % {'above' if percent > 0 else 'below'} the target's"
    return [
        OBSERVABLE.row("", _NAMES[dimension], value, target, relative * target, LIMIT, words, unit=_UNITS[dimension])
    ]


OBSERVABLE = Observable(
    "density",
    "atoms per volume; per area or length where there is vacuum",
    "atoms/Å³",
    _measure,
    _compare,
)
