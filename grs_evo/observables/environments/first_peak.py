"""Where the first peak of each pair's g(r) is, and how wide the first shell is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.observables.counting.shells import pair_function
from grs_evo.observables.counting.survey import COARSE, Survey
from grs_evo.observables.record import Observable, Row
from grs_evo.observables.sampling import Comparison

Array = NDArray[np.float64]

LIMIT = 4.0
_LEAST = 0.015  # Å, what nobody would call a difference
_COMPETES = 0.35  # of the highest maximum
_PAST = 1.15  # the peak is looked for to this times the target's first minimum


def peak_places(g: Array, minimum: float) -> Array:
    """(...,) Å, the highest point of g(r) before a little past the minimum, between bins by a parabola."""
    flat = np.atleast_2d(g)
    last = min(max(int(minimum * _PAST / COARSE), 3), flat.shape[1] - 1)
    top = np.clip(np.argmax(flat[:, :last], axis=1), 1, flat.shape[1] - 2)
    line = np.arange(len(flat))
    left, middle, right = flat[line, top - 1], flat[line, top], flat[line, top + 1]
    curve = left - 2 * middle + right
    shift = np.divide(0.5 * (left - right), curve, out=np.zeros_like(curve), where=curve < 0)
    places = (top + 0.5 + np.clip(shift, -0.5, 0.5)) * COARSE
    return np.where(flat[:, :last].max(axis=1) > 0, places, np.nan).reshape(np.shape(g)[:-1])


def _from_maximum(g: Array, place: float, minimum: float) -> float:
    """Å from a place to the nearest of the target's maxima that compete for the highest, as the first two shells of
    bcc do: which of them wins in a small cell says nothing."""
    inner = np.arange(1, min(int(minimum * _PAST / COARSE), len(g) - 1))
    tops = inner[(g[inner] >= g[inner - 1]) & (g[inner] > g[inner + 1]) & (g[inner] > _COMPETES * g[inner].max())]
    return float(np.abs((tops + 0.5) * COARSE - place).min()) if len(tops) else np.inf


def widths(counts: Array, grid: Array, minimum: float) -> Array:
    """(...,) Å, standard deviation of the distances below the minimum."""
    inner = counts[..., grid < minimum]
    r = grid[grid < minimum]
    total = inner.sum(axis=-1)
    safe = np.where(total > 0, total, 1.0)
    mean = (inner * r).sum(axis=-1) / safe
    spread = np.sqrt(np.maximum((inner * r**2).sum(axis=-1) / safe - mean**2, 0.0))
    return np.where(total > 0, spread, np.nan)


def _values(found: Survey, a: int, b: int, density: float) -> tuple[float, float]:
    counts = found.coarse(a, b)
    minimum = float(found.shells.minimum[a, b])
    g = pair_function(counts, COARSE, density)
    return float(peak_places(g, minimum)), float(widths(counts, found.grid, minimum))


def _measure(found: Survey) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for a, b in found.pairs():
        if found.histogram[a, b].any():
            place, width = _values(found, a, b, float(found.densities[b]))
            minimum = float(found.shells.minimum[a, b])
            result[found.pair(a, b)] = {"place": place, "width": width, "first_minimum": minimum}
    return result


def _compare(found: Survey, comparison: Comparison) -> list[Row]:
    target = comparison.target
    rows = []
    for a, b in found.pairs():
        if not (comparison.usable(a) and comparison.usable(b)) or not target.histogram[a, b].any():
            continue
        density, minimum = float(target.densities[b]), float(target.shells.minimum[a, b])
        ours, theirs = _values(found, a, b, density), _values(target, a, b, density)
        drawn = (
            peak_places(comparison.pair_functions(a, b), minimum),
            widths(comparison.distances(a)[:, b], target.grid, minimum),
        )
        pair = found.pair(a, b)
        texts = (
            f"first peak of {pair} at {ours[0]:.2f} Å, the target's at {theirs[0]:.2f}",
            f"first shell of {pair} {ours[1]:.2f} Å wide, the target's {theirs[1]:.2f}",
        )
        for k, quantity in enumerate(("first peak", "width of first shell")):
            if not np.isfinite(ours[k]):
                continue
            scatter = comparison.scatter(drawn[k], _LEAST)
            # few atoms shift the highest point of a noisy g(r) to one side: their own mean is the fair comparison
            off = min(abs(ours[k] - theirs[k]), abs(ours[k] - float(np.nanmean(drawn[k]))))
            if k == 0:
                off = min(off, _from_maximum(pair_function(target.coarse(a, b), COARSE, density), ours[0], minimum))
            limit = comparison.limit(drawn[k], scatter, LIMIT)
            rows.append(
                OBSERVABLE.row(pair, quantity, ours[k], theirs[k], scatter, limit, texts[k], deviation=off / scatter)
            )
    return rows


OBSERVABLE = Observable(
    "first peak",
    "place of the first peak of g(r), and standard deviation of the distances up to the target's first minimum",
    "Å",
    _measure,
    _compare,
)
