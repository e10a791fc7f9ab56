"""How close atoms come, pair by pair, judged by how close the target lets as many of its own atoms come.

A single distance in 10^5 must not rule, and a small target must not forbid what it did not happen to show. So the
chance that one of n environments has a contact as short is estimated: from the target's own shortest contacts, and
below its lowest fiftieth by a tail that starts with the same slope and falls like that of a normal distribution;
the wall between two atoms is steeper.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from grs_evo.observables.counting.survey import Survey
from grs_evo.observables.record import Observable, Row
from grs_evo.observables.sampling import Comparison

LIMIT = 3.5  # scatters of a normal distribution that are as unlikely: a chance of 1 in 2,000
_LEAST = 0.02  # Å, how fast the tail falls at least
_TAIL, _MOST_OF_TAIL = 0.02, 40  # share and number of the contacts that show how the tail falls
_ALLOWED = 0.03  # Å nearer than the contacts that the target shows are no difference
_QUANTILES = (0.001, 0.01, 0.1)


def _nearest(found: Survey, a: int, b: int) -> NDArray[np.float64]:
    """Sorted distances from each atom of element a to its nearest of element b; inf where none is in reach."""
    return np.sort(found.nearest[found.kinds == a, b].astype(np.float64))


def _measure(found: Survey) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for a, b in found.pairs():
        nearest = _nearest(found, a, b)
        nearest = nearest[np.isfinite(nearest)]
        if len(nearest):
            low = {f"q{q:g}": float(np.quantile(nearest, q)) for q in _QUANTILES}
            result[found.pair(a, b)] = {"shortest": float(nearest[0]), **low}
    return result


def chance(nearest: NDArray[np.float64], contact: float, n: int) -> float:
    """Chance that one of `n` environments has a contact as short or shorter.

    Parameters
    ----------
    nearest : sorted contacts of the target's environments, inf where there is none in reach
    """
    known = nearest[np.isfinite(nearest)]
    if len(known) == 0:
        return 0.0
    rank = min(max(4, min(int(_TAIL * len(known)), _MOST_OF_TAIL)), len(known) - 1)
    edge = known[rank]
    if contact >= edge:
        share = np.searchsorted(known, contact, side="right") / len(nearest)
    else:
        fall = max(float((edge - known[:rank]).mean()) if rank else 0.0, _LEAST)
        part = (rank + 1) / len(nearest)
        steps = (edge - contact) / fall
        share = part * np.exp(-steps - 0.5 * (steps / max(float(norm.isf(min(part, 0.3))), 0.5)) ** 2)
    return float(-np.expm1(-n * min(share, 1.0)))


def _compare(found: Survey, comparison: Comparison) -> list[Row]:
    target = comparison.target
    rows = []
    for a, b in found.pairs():
        if not (comparison.usable(a) and comparison.usable(b)):
            continue
        ours, theirs = _nearest(found, a, b), _nearest(target, a, b)
        theirs = theirs[theirs >= comparison.torn[a, b]]
        if len(theirs) == 0 or not np.isfinite(ours[0]):
            continue
        rows.append(_row(found, comparison, (a, b), float(ours[0]), theirs))
    return rows


def _row(found: Survey, comparison: Comparison, pair: tuple[int, int], ours: float, theirs: NDArray[np.float64]) -> Row:
    a, b = pair
    name = found.pair(a, b)
    n = int(comparison.of_kind[a])
    lowest = float(theirs[0])
    known = np.isfinite(lowest)
    # the shortest of n drawn contacts, by its quartiles, shows how much it varies
    typical = np.quantile(theirs, [max(1 - 0.25 ** (1 / n), 0.0), max(1 - 0.75 ** (1 / n), 0.0)], method="nearest")
    spread = float(typical[0] - typical[1]) / 1.35 if np.isfinite(typical).all() else 0.0
    if ours >= min(lowest, found.reach) - _ALLOWED:
        deviation = 0.0
    elif comparison.exact or not known:
        deviation = LIMIT * (min(lowest, found.reach) - ours) / _ALLOWED
    else:
        deviation = float(norm.isf(max(chance(theirs, ours + _ALLOWED, n), 1e-300) / 2))
    limits = f"none below {lowest:.2f}" if known else f"none within {found.reach:g}"
    words = f"{name} contacts at {ours:.2f} Å, the target has {limits}"
    return OBSERVABLE.row(name, "shortest contact", ours, lowest, spread, LIMIT, words, deviation=deviation)


OBSERVABLE = Observable(
    "contacts",
    "distance from an atom to its nearest of an element: the shortest, and low quantiles",
    "Å",
    _measure,
    _compare,
)
