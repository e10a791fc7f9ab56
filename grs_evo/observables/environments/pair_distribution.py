"""g(r) of each pair of elements, and its distance from the target's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.observables.counting.shells import BROADENING, pair_function
from grs_evo.observables.counting.survey import COARSE, FINE, Survey
from grs_evo.observables.record import Curve, Observable, Row
from grs_evo.observables.sampling import Comparison

Array = NDArray[np.float64]

# In medians of what as many random environments, or a block of them, differ by.
LIMIT = 2.0
# A crystal on its sites has no scatter: g(r) as it changes when all distances change by this share stands for it.
_STRAIN = 0.005
_CUT = 3 * BROADENING  # Å
# Distances of atoms on sites are as those of the target to this, or to this share of them where they are longer.
_OFF, _OFF_SHARE = 0.03, 0.01  # Å, 1
# Limit of the share of distances that such a target has not: a rounded coordinate in a large file.
_ODD = 1e-4


def _measure(found: Survey) -> dict[str, Any]:
    result: dict[str, Any] = {"r": found.grid.tolist()}
    for a, b in found.pairs():
        g = pair_function(found.coarse(a, b), COARSE, float(found.densities[b]))
        result[found.pair(a, b)] = g.tolist()
    return result


def _inner(target: Survey) -> NDArray[np.bool_]:
    """Where g(r) is known: nearer to the reach, the broadening lacks what is beyond it."""
    return np.asarray(target.grid < target.reach - _CUT)


def _pairs(found: Survey, comparison: Comparison) -> list[tuple[int, int, Array, Array]]:
    """(a, b, own g(r), the target's) of each pair that both have."""
    target = comparison.target
    result = []
    for a, b in found.pairs():
        if not (comparison.usable(a) and comparison.usable(b)) or not target.histogram[a, b].any():
            continue
        density = float(target.densities[b])
        ours, theirs = (pair_function(of.coarse(a, b), COARSE, density) for of in (found, target))
        result.append((a, b, ours, theirs))
    return result


def _curves(found: Survey, comparison: Comparison) -> list[Curve]:
    inner = _inner(comparison.target)
    return [
        Curve(
            OBSERVABLE.name, found.pair(a, b), comparison.target.grid[inner], ours[inner], theirs[inner],
            comparison.scatters(comparison.pair_functions(a, b)[:, inner]), "r (Å)", "g(r)",
        )
        for a, b, ours, theirs in _pairs(found, comparison)
    ]  # fmt: skip


def _compare(found: Survey, comparison: Comparison) -> list[Row]:
    rows = []
    r, inner = comparison.target.grid, _inner(comparison.target)
    for a, b, ours, theirs in _pairs(found, comparison):
        strained = np.interp(r * (1 + _STRAIN), r, theirs)
        drawn = np.sqrt(((comparison.pair_functions(a, b) - theirs)[:, inner] ** 2).mean(axis=1))
        least = float(np.sqrt(((strained - theirs)[inner] ** 2).mean()))
        scatter = max(comparison.typical(drawn), least, 1e-12)
        value = float(np.sqrt(((ours - theirs)[inner] ** 2).mean()))
        limit = max(LIMIT, 1.2 * float(drawn.max()) * comparison.widening / scatter)
        words = f"g(r) of {found.pair(a, b)} is {value / scatter:.1f} times as far off as that of a random sample"
        rows.append(OBSERVABLE.row(found.pair(a, b), "rms Δg", value, 0.0, scatter, limit, words))
    if comparison.exact and found.histogram.any():
        rows.append(_off_sites(found, comparison.target))
    return rows


def _off_sites(found: Survey, target: Survey) -> Row:
    """Whether atoms stand off the sites: one of very many changes no mean, but has distances that no other has."""
    known = target.histogram.sum(axis=(0, 1)) > 0
    r = (np.arange(len(known)) + 0.5) * FINE
    bins = np.flatnonzero(known)
    after = np.minimum(np.searchsorted(bins, np.arange(len(known))), len(bins) - 1)
    away = np.minimum(np.abs(r - r[bins[after]]), np.abs(r - r[bins[np.maximum(after - 1, 0)]]))
    allowed = np.maximum(_OFF, _OFF_SHARE * r)
    ours = found.histogram.sum(axis=(0, 1)) * (r < target.reach - allowed)
    odd = ours * (away > allowed + FINE)
    share = float(odd.sum() / max(int(ours.sum()), 1))
    first = float(r[int(np.argmax(odd > 0))])
    words = (
        f"{100 * share:.2g} % of the distances are none of the target's, the shortest {first:.2f} Å: atoms off sites"
    )
    return OBSERVABLE.row("", "share of other distances", share, 0.0, _ODD, 1.0, words)


OBSERVABLE = Observable(
    "pair distribution",
    "g(r) of each pair, broadened by a Gaussian of 0.1 Å on a grid of 0.05 Å; compared by its rms difference",
    "",
    _measure,
    _compare,
    _curves,
)
