"""How close atoms come, pair by pair, judged by how close the target lets as many of its own atoms come.

A single distance in 10^5 must not rule, and a small target must not forbid what it did not happen to show. So the
chance that one of n environments has a contact as short is estimated: from the target's own shortest contacts, and
below its lowest fiftieth by a tail that starts with the same slope and falls like that of a normal distribution;
the wall between two atoms is steeper. Likewise by how much one element is nearer to an atom than another one: two ions
that were exchanged need have no contact that is too short alone.
"""

from __future__ import annotations

from itertools import permutations
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.observables.counting.survey import Survey
from grs_evo.observables.record import Observable, Row
from grs_evo.observables.sampling import Comparison

LIMIT = 3.5  # scatters of a normal distribution that are as unlikely: a chance of 1 in 2,000
_LEAST = 0.02  # Å, how fast the tail falls at least
_TAIL, _MOST_OF_TAIL = 0.02, 40  # share and number of the contacts that show how the tail falls
_ALLOWED = 0.03  # Å nearer than the contacts that the target shows are no difference
_FEW = 20  # atoms of the target, to tell what is usual
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
        share = part * np.exp(-steps - 0.5 * (steps / max(-NormalDist().inv_cdf(min(part, 0.3)), 0.5)) ** 2)
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
    # what a contact that is too short says already need not be said again
    if not comparison.exact and all(row.excess <= 1 for row in rows):
        for a in np.flatnonzero(comparison.of_kind).tolist():
            for b, c in permutations(np.flatnonzero(comparison.of_kind).tolist(), 2):
                if all(comparison.usable(k) for k in (a, b, c)):
                    rows += _gap_rows(found, comparison, a, b, c)
    return rows


def _gaps(found: Survey, a: int, b: int, c: int, torn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sorted: by how much farther away the nearest of element b is than that of element c, of each atom of a."""
    nearest = found.nearest[found.kinds == a].astype(np.float64)
    nearest = nearest[np.isfinite(nearest).all(axis=1) & (nearest >= torn[a]).all(axis=1)]
    return np.sort(nearest[:, b] - nearest[:, c])


def _gap_rows(found: Survey, comparison: Comparison, a: int, b: int, c: int) -> list[Row]:
    """Whether an atom has an element nearer than another one as no atom of the target has: what is left of two ions
    that were exchanged, where neither distance alone is too short."""
    ours = _gaps(found, a, b, c, np.zeros_like(comparison.torn))
    theirs = _gaps(comparison.target, a, b, c, comparison.torn)
    if len(ours) == 0 or len(theirs) < _FEW:
        return []
    value, lowest = float(ours[0]), float(theirs[0])
    unlikely = chance(theirs, value + _ALLOWED, int(comparison.of_kind[a]))
    deviation = 0.0 if value >= lowest - _ALLOWED else -NormalDist().inv_cdf(max(unlikely, 1e-300) / 2)
    central, near, far = (found.elements[k] for k in (a, b, c))
    bound = "at most" if lowest < 0 else "at least"
    words = (
        f"the {near} nearest to a {central} is {_nearer(value)} than the nearest {far}, in the target {bound} "
        f"{_nearer(lowest)}"
    )
    quantity = f"nearest {near} less nearest {far}"
    return [OBSERVABLE.row(central, quantity, value, lowest, float(theirs.std()), LIMIT, words, deviation=deviation)]


def _nearer(gap: float) -> str:
    return f"{abs(gap):.2f} Å {'nearer' if gap < 0 else 'farther'}"


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
        deviation = -NormalDist().inv_cdf(max(chance(theirs, ours + _ALLOWED, n), 1e-300) / 2)
    limits = f"none below {lowest:.2f}" if known else f"none within {found.reach:g}"
    words = f"{name} contacts at {ours:.2f} Å, the target has {limits}"
    return OBSERVABLE.row(name, "shortest contact", ours, lowest, spread, LIMIT, words, deviation=deviation)


OBSERVABLE = Observable(
    "contacts",
    "distance from an atom to its nearest of an element: the shortest, low quantiles, and which element is nearer",
    "Å",
    _measure,
    _compare,
)
