"""Angles between bonds, of neighbours up to the target's first minima, by the three elements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.observables.counting.shells import broadened
from grs_evo.observables.counting.survey import ANGLE, PARTS, Survey
from grs_evo.observables.record import Curve, Observable, Row
from grs_evo.observables.sampling import Comparison

Array = NDArray[np.float64]

LIMIT = 2.8
_MEAN_LIMIT = 4.5
_LEAST = 0.75  # degrees
_BROADENING = 5.0  # degrees
_SHIFT = 1.0  # degrees, of all angles of a crystal that has no scatter


def _triples(found: Survey) -> list[tuple[int, int, int, int]]:
    """(b, centre, c, column of the rows) of elements that occur, b <= c."""
    n_el = found.n_elements
    columns = [(b, c) for b in range(n_el) for c in range(b, n_el)]
    here = np.flatnonzero(found.of_kind)
    return [(b, int(a), c, k) for a in here for k, (b, c) in enumerate(columns) if b in here and c in here]


def _name(found: Survey, b: int, a: int, c: int) -> str:
    return "-".join(found.elements[k] for k in (b, a, c))


def _counts(found: Survey, a: int, column: int) -> Array:
    return np.asarray(found.rows.angles[found.rows.kinds == a, column].sum(axis=0), np.float64) / PARTS


def _shape(counts: Array) -> Array:
    """(..., n_angles) distribution of angles per degree; 0 where there are none."""
    total = counts.sum(axis=-1, keepdims=True)
    shape = broadened(counts, ANGLE, _BROADENING) / np.where(total > 0, total, 1.0) / ANGLE
    return np.asarray(shape, np.float64)


def _grid() -> Array:
    """(n_angles,) degrees."""
    return np.asarray(np.arange(round(180.0 / ANGLE) + 1) * ANGLE, np.float64)


def _mean(counts: Array) -> Array:
    total = counts.sum(axis=-1)
    return np.where(total > 0, (counts * _grid()).sum(axis=-1) / np.where(total > 0, total, 1.0), np.nan)


def _measure(found: Survey) -> dict[str, Any]:
    result: dict[str, Any] = {"angle": _grid().tolist()}
    for b, a, c, column in _triples(found):
        counts = _counts(found, a, column)
        if counts.any():
            result[_name(found, b, a, c)] = {"mean": float(_mean(counts)), "distribution": _shape(counts).tolist()}
    return result


def _told(found: Survey, comparison: Comparison) -> Iterator[tuple[str, Array, Array, Array]]:
    """(name, own counts, the target's, those of each draw) of the angles that both have."""
    target = comparison.target
    for b, a, c, column in _triples(found):
        if not all(comparison.usable(k) for k in (a, b, c)):
            continue
        ours, theirs = _counts(found, a, column), _counts(target, a, column)
        # a handful of angles has no distribution; coordination tells of bonds that are missing
        if not ours.any() or not theirs.any():
            continue
        drawn = comparison.sums(a, np.asarray(comparison.rows_of(a, "angles"))[:, column]) / PARTS
        yield _name(found, b, a, c), ours, theirs, drawn


def _curves(found: Survey, comparison: Comparison) -> list[Curve]:
    return [
        Curve(
            OBSERVABLE.name, name, _grid(), _shape(ours), _shape(theirs), comparison.scatters(_shape(drawn)),
            "angle (°)", "share per degree",
        )
        for name, ours, theirs, drawn in _told(found, comparison)
    ]  # fmt: skip


def _compare(found: Survey, comparison: Comparison) -> list[Row]:
    return [row for name, *counts in _told(found, comparison) for row in _rows(comparison, name, *counts)]


def _rows(comparison: Comparison, name: str, ours: Array, theirs: Array, drawn: Array) -> list[Row]:
    mean, other = float(_mean(ours)), float(_mean(theirs))
    scatter = comparison.scatter(_mean(drawn), _LEAST)
    limit = comparison.limit(_mean(drawn), scatter, _MEAN_LIMIT)
    words = f"{name} angles {mean:.0f}° on the average, the target's {other:.0f}°"
    first = OBSERVABLE.row(name, "mean angle", mean, other, scatter, limit, words)
    shape = _shape(theirs)
    shifted = np.interp(_grid() + _SHIFT, _grid(), shape)
    far = np.sqrt(((_shape(drawn) - shape) ** 2).mean(axis=1))
    scatter = max(comparison.typical(far), float(np.sqrt(((shifted - shape) ** 2).mean())), 1e-12)
    value = float(np.sqrt(((_shape(ours) - shape) ** 2).mean()))
    limit = max(LIMIT, 1.2 * float(far.max()) * comparison.widening / scatter)
    words = f"{name} angles are {value / scatter:.1f} times as far off as those of a random sample"
    return [first, OBSERVABLE.row(name, "rms difference of angles", value, 0.0, scatter, limit, words, unit="1/°")]


OBSERVABLE = Observable(
    "angles",
    "angles between bonds up to the target's first minima: their mean and their distribution, broadened by 5°",
    "°",
    _measure,
    _compare,
    _curves,
)
