"""Which operator acts: probabilities within classes, and rates that follow success."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .limits import Limits
from .operators import CHEMICAL, CROSSOVERS, OperatorOptions
from .problem import OPERATORS

# What each operator does unless told otherwise, relative to the others of its class.
_WEIGHTS = {
    "slice": 1.0,
    "occupation": 1.0,
    "swap": 1.0,
    "flip": 2.0,
    "swaps": 0.5,
    "flips": 0.5,
    "displace_one": 0.5,
    "displace_some": 1.0,
    "displace_all": 1.0,
    "strain": 0.5,
    "volume": 0.5,
    "add": 1.0,
    "remove": 1.0,
    "replace": 0.1,
}


def probabilities(
    limits: Limits, options: OperatorOptions, rates: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cumulative probabilities over OPERATORS of being the crossover and of being the mutation, (n_op,) each.

    Operators that could never act under the limits (a flip at fixed composition, add at fixed size, anything spatial
    on a lattice) have none. An all-zero row means that there is no such operator.
    """
    spatial = options.spatial
    if spatial is None:
        spatial = 0.0 if limits.lattice else 1.0 if limits.n_elements == 1 else 0.5
    weights = np.array([options.weights.get(name, _WEIGHTS[name]) for name in OPERATORS])
    weights *= np.array([_possible(name, limits) for name in OPERATORS])
    if rates is not None and options.adaptive:
        weights *= rates
    result = []
    for kind in (True, False):
        share = np.zeros(len(OPERATORS))
        member = np.array([(name in CROSSOVERS) == kind for name in OPERATORS])
        chemical = member & np.array([name in CHEMICAL for name in OPERATORS])
        for group, probability in ((chemical, 1.0 - spatial), (member & ~chemical, spatial)):
            total = weights[group].sum()
            if total > 0.0:
                share[group] = probability * weights[group] / total
        # `replace` belongs to both classes: on a lattice it is the only way in for new blood.
        if not kind and limits.lattice and spatial == 0.0:
            k = OPERATORS.index("replace")
            total = weights[chemical].sum() + weights[k]
            if total > 0.0:
                share = np.where(chemical, weights / total, 0.0)
                share[k] = weights[k] / total
        total = share.sum()
        result.append(np.cumsum(share / total) if total > 0.0 else share)
    return result[0], result[1]


def draw_operator(rng: np.random.Generator, cumulative: NDArray[np.float64]) -> str:
    """One of OPERATORS with these cumulative probabilities."""
    return OPERATORS[min(int(np.searchsorted(cumulative, rng.random(), side="right")), len(OPERATORS) - 1)]


def adapt(
    rates: NDArray[np.float64], tries: NDArray[np.int64], successes: NDArray[np.int64], options: OperatorOptions
) -> NDArray[np.float64]:
    """Operator weights after a generation with these tries and successes, (n_op,): mean 1, none below the floor.

    Each used operator's weight moves towards its share of success; unused ones stay. One success and one failure are
    added to each count, so that a lucky first try does not rule.
    """
    if not options.adaptive:
        return rates
    quality = (successes + 1.0) / (tries + 2.0)
    used = tries > 0
    if not used.any():
        return rates
    wanted = np.where(used, quality / quality[used].mean(), rates)
    new = options.memory * rates + (1.0 - options.memory) * wanted
    new = np.maximum(new / new.mean(), options.floor)
    return new / new.mean()


def _possible(name: str, limits: Limits) -> bool:
    if name in CHEMICAL:
        if limits.n_elements == 1:
            return False
        return not (name in ("flip", "flips") and limits.composition.fixed)
    if name == "replace":
        return True
    if limits.lattice:
        return False
    if name in ("add", "remove"):
        return limits.size_free and limits.allowed is None and limits.composition.kind != "counts"
    return not (name == "slice" and limits.allowed is not None)
