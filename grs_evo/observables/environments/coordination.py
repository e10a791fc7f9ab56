"""How many neighbours an atom has up to the target's first minimum of g(r), and how many atoms have how many."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.observables.counting.survey import Survey
from grs_evo.observables.record import Observable, Row
from grs_evo.observables.sampling import Comparison

LIMIT = 4.5
_LEAST = 0.06  # neighbours
_ODD = 3.5  # scatters of a normal distribution that are as unlikely: a chance of 1 in 2,000
_LEAST_SPREAD = 0.5  # neighbours, of single atoms
_NUMBERS = (
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip


def _of(found: Survey, a: int, b: int) -> NDArray[np.int64]:
    """(n,) bonded neighbours of element b of the atoms of element a at hand."""
    return np.asarray(found.rows.coordination[found.rows.kinds == a, b], np.int64)


def _ordered(found: Survey) -> list[tuple[int, int]]:
    here = np.flatnonzero(found.of_kind)
    return [(int(a), int(b)) for a in here for b in here]


def _measure(found: Survey) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for a, b in _ordered(found):
        numbers = _of(found, a, b)
        if len(numbers) and found.shells.minimum[a, b] > 0:
            share = np.bincount(numbers) / len(numbers)
            distribution = {str(k): float(s) for k, s in enumerate(share) if s > 0}
            result[found.pair(a, b)] = {"mean": float(numbers.mean()), "distribution": distribution}
    return result


def _compare(found: Survey, comparison: Comparison) -> list[Row]:
    target = comparison.target
    rows = []
    for a, b in _ordered(found):
        usable = comparison.usable(a) and comparison.usable(b) and target.shells.minimum[a, b] > 0
        if usable and len(_of(found, a, b)):
            rows += [_mean_row(found, comparison, a, b), _share_row(found, comparison, a, b)]
            if not comparison.exact:
                rows.append(_odd_row(found, comparison, a, b))
    return rows


def _mean_row(found: Survey, comparison: Comparison, a: int, b: int) -> Row:
    ours, theirs = _of(found, a, b), _of(comparison.target, a, b)
    drawn = comparison.means(a, theirs)
    scatter = comparison.scatter(drawn, _LEAST)
    limit = comparison.limit(drawn, scatter, LIMIT)
    pair = found.pair(a, b)
    first, second = found.elements[a], found.elements[b]
    words = f"{first} has {ours.mean():.2f} {second} around it, in the target {theirs.mean():.2f}"
    return OBSERVABLE.row(pair, "coordination", float(ours.mean()), float(theirs.mean()), scatter, limit, words)


def _share_row(found: Survey, comparison: Comparison, a: int, b: int) -> Row:
    """The share of atoms that have the target's commonest number of neighbours."""
    ours, theirs = _of(found, a, b), _of(comparison.target, a, b)
    usual = int(np.argmax(np.bincount(theirs)))
    value, target = float((ours == usual).mean()), float((theirs == usual).mean())
    n, known = len(ours), len(theirs)
    if comparison.exact and target in (0.0, 1.0):
        least = 0.2 / n  # on sites, one atom with another number of neighbours is a fault
    else:
        # what none of N atoms of the target shows may still be shown by one of the next ones
        expected = (known * target + 0.5) / (known + 1)
        least = float(np.sqrt(expected * (1 - expected) / n))
    drawn = comparison.means(a, theirs == usual)
    scatter = comparison.scatter(drawn, least)
    limit = comparison.limit(drawn, scatter, LIMIT)
    first, second = found.elements[a], found.elements[b]
    number = _NUMBERS[usual] if usual < len(_NUMBERS) else str(usual)
    words = f"{100 * value:.0f} % of {first} have {number} {second}, in the target {100 * target:.0f} %"
    pair = found.pair(a, b)
    return OBSERVABLE.row(pair, f"share of {first} with {usual} {second}", value, target, scatter, limit, words)


def _odd_row(found: Survey, comparison: Comparison, a: int, b: int) -> Row:
    """The number of neighbours that is least to be expected: one ion in the place of one of the other sign changes no
    mean, but no atom of the target has so few counter-ions."""
    first, second = found.elements[a], found.elements[b]
    ours, theirs = _of(found, a, b), _of(comparison.target, a, b)
    value, deviation = _rarest(ours, theirs)
    least, most = int(theirs.min()), int(theirs.max())
    words = f"a {first} has {value} {second} around it, those of the target {least} to {most}"
    nearest, spread = float(np.clip(value, least, most)), float(theirs.std())
    quantity = f"rarest number of {second} around {first}"
    return OBSERVABLE.row(found.pair(a, b), quantity, float(value), nearest, spread, _ODD, words, deviation=deviation)


def _rarest(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> tuple[int, float]:
    """The count that is least to be expected, and how unlikely it is, in scatters of a normal distribution."""
    few, many = int(ours.min()), int(ours.max())
    chances = {few: _chance(theirs, few, len(ours)), many: _chance(-theirs, -many, len(ours))}
    value = min(chances, key=lambda number: chances[number])
    if theirs.min() <= value <= theirs.max():
        return value, 0.0
    return value, -NormalDist().inv_cdf(max(chances[value], 1e-300) / 2)


def _chance(theirs: NDArray[np.int64], number: int, n: int) -> float:
    """Chance that one of n atoms has so few neighbours or fewer.

    Below the fewest that the target shows, the share of its atoms with these falls as a normal distribution does.
    """
    least = int(theirs.min())
    if number >= least:
        share = float((theirs <= number).mean())
    else:
        spread = max(float(theirs.std()), _LEAST_SPREAD)
        further, known = (_log_tail(float(at - theirs.mean()) / spread) for at in (number, least))
        share = float((theirs == least).mean() * np.exp(further - known))
    return float(-np.expm1(-n * min(share, 1.0)))


def _log_tail(x: float) -> float:
    """ln of the share of a normal distribution below x scatters; far out by its asymptotic series (DLMF 7.12.1)."""
    if x > -30.0:
        return math.log(0.5 * math.erfc(-x / math.sqrt(2.0)))
    return -0.5 * x * x - math.log(-x * math.sqrt(2.0 * math.pi)) + math.log1p((3.0 / (x * x) - 1.0) / (x * x))


OBSERVABLE = Observable(
    "coordination",
    "neighbours up to the target's first minimum of g(r): their mean, and the share of atoms with the usual number",
    "",
    _measure,
    _compare,
)
