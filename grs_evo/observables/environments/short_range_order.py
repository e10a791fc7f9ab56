"""Warren-Cowley parameters: whether elements seek or shun each other, shell by shell.

α = 1 − P(b beside a) / c(b): 0 at random, negative where unlike atoms seek each other, positive where they shun each
other. Shells are those of all pairs together, to the target's minima of the total g(r), at most three.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.observables.counting.survey import COARSE, Survey
from grs_evo.observables.record import Observable, Row
from grs_evo.observables.sampling import Comparison

LIMIT = 4.0
_LEAST = 0.02


def _shell(counts: NDArray[np.float64], edges: tuple[float, ...], k: int) -> NDArray[np.float64]:
    """(...,) neighbours in shell k of counts per coarse bin."""
    first = round(edges[k - 1] / COARSE) if k else 0
    return np.asarray(counts[..., first : round(edges[k] / COARSE)].sum(axis=-1), np.float64)


def _alpha(of_b: NDArray[np.float64], of_all: NDArray[np.float64], fraction: float) -> NDArray[np.float64]:
    share = np.divide(of_b, of_all, out=np.full_like(of_all, np.nan), where=of_all > 0)
    return 1.0 - share / fraction


def _values(found: Survey, a: int, b: int, k: int) -> float:
    here = np.flatnonzero(found.of_kind)
    edges = found.shells.edges
    total = np.sum([_shell(found.coarse(a, int(c)), edges, k) for c in here], axis=0)
    fraction = float(found.of_kind[b] / found.n_atoms)
    return float(_alpha(np.atleast_1d(_shell(found.coarse(a, b), edges, k)), np.atleast_1d(total), fraction)[0])


def _unlike(found: Survey) -> list[tuple[int, int]]:
    return [(a, b) for a, b in found.pairs() if a != b]


def _measure(found: Survey) -> dict[str, Any]:
    result: dict[str, Any] = {"shell_edges": list(found.shells.edges)}
    for a, b in _unlike(found):
        result[found.pair(a, b)] = [_values(found, a, b, k) for k in range(len(found.shells.edges))]
    return result


def _compare(found: Survey, comparison: Comparison) -> list[Row]:
    target = comparison.target
    rows = []
    for a, b in _unlike(found):
        if not (comparison.usable(a) and comparison.usable(b)):
            continue
        fraction = float(target.of_kind[b] / target.n_atoms)
        pair = found.pair(a, b)
        for k in range(len(target.shells.edges)):
            value, theirs = _values(found, a, b, k), _values(target, a, b, k)
            if not (np.isfinite(value) and np.isfinite(theirs)):
                continue
            shells = _shell(comparison.distances(a), target.shells.edges, k)
            drawn = _alpha(shells[:, b], shells.sum(axis=1), fraction)
            scatter = comparison.scatter(drawn, _LEAST)
            limit = comparison.limit(drawn, scatter, LIMIT)
            words = f"Warren-Cowley parameter of {pair} in shell {k + 1} is {value:.2f}, the target's {theirs:.2f}" + (
                " (unlike atoms seek each other more)" if value < theirs else " (unlike atoms shun each other more)"
            )
            rows.append(OBSERVABLE.row(pair, f"α, shell {k + 1}", value, theirs, scatter, limit, words))
    return rows


OBSERVABLE = Observable(
    "short-range order",
    "Warren-Cowley parameters of unlike pairs in up to three shells of the total g(r)",
    "",
    _measure,
    _compare,
)
