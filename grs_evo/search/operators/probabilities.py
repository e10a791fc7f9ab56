"""Which operator acts: probabilities within classes, and rates that follow success."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.search.candidates.limits import Limits
from grs_evo.search.operators.options import OperatorOptions
from grs_evo.search.operators.record import Operator
from grs_evo.search.operators.table import operators


def probabilities(
    limits: Limits, options: OperatorOptions, rates: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cumulative probabilities over `operators()` of being the crossover and of being the mutation, (n_op,) each.

    Operators that could never act under the limits (a flip at fixed composition, add at fixed size, anything spatial
    on a lattice) have none. An all-zero row means that there is no such operator.
    """
    # those asked for last under the same limits: they change with adaptive rates alone
    key = (id(options), None if rates is None or not options.adaptive else rates.tobytes(), id(operators()))
    known = _known.get(limits)
    if known is None or known[0] != key:
        known = _known[limits] = (key, (options, operators()), _probabilities(limits, options, rates))
    return known[2]


# By limits: what they were asked for with (kept, so that no other object has the same id), and the answer.
_known: WeakKeyDictionary[Limits, tuple[Any, Any, tuple[NDArray[np.float64], NDArray[np.float64]]]]
_known = WeakKeyDictionary()


def _probabilities(
    limits: Limits, options: OperatorOptions, rates: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`probabilities`, not remembered."""
    spatial = spatial_share(limits, options)
    all_ = operators()
    weights = np.array([options.weights.get(one.name, one.weight) for one in all_])
    weights *= np.array([one.exclusion(limits) is None for one in all_])
    if rates is not None and options.adaptive:
        weights *= rates
    crossover = np.array([one.is_crossover for one in all_])
    chemical = np.array([one.kind == "chemical" for one in all_])
    fresh = np.array([one.is_fresh for one in all_])
    by_crossover = _class_shares(weights, crossover & chemical, crossover & ~chemical, spatial)
    if limits.lattice and spatial == 0.0:
        # Fresh candidates count as spatial elsewhere; on a lattice nothing else brings in structures without parents.
        by_mutation = _class_shares(weights, ~crossover & (chemical | fresh), np.zeros_like(fresh), 0.0)
    else:
        by_mutation = _class_shares(weights, ~crossover & chemical, ~crossover & ~chemical, spatial)
    return _cumulative(by_crossover), _cumulative(by_mutation)


def check_operators(limits: Limits, options: OperatorOptions, strategy: str, where: str) -> tuple[str, ...]:
    """What the log should say about probabilities that cannot be as the run file wants.

    Parameters
    ----------
    strategy : genetic, or one that moves a single structure by mutations
    where : the table of the run file, for messages

    Raises
    ------
    InputError
        Nothing could ever change a structure.
    """
    crossing, mutating = (
        [one for one, share in zip(operators(), np.diff(row, prepend=0.0), strict=True) if share > 0.0]
        for row in probabilities(limits, options)
    )
    genetic = strategy == "genetic"
    crossed = genetic and bool(crossing) and options.crossover > 0.0
    crossovers = [one for one in operators() if one.is_crossover]
    # A fresh candidate is a restart, not a move.
    mutations = [one for one in operators() if not one.is_crossover and not one.is_fresh]
    if not crossed and not any(one in mutations for one in mutating):
        if genetic and mutating:
            names = ", ".join(one.name for one in mutating)
            return (f"{where}: only {names} can act under these limits; every child is a fresh candidate",)
        excluded = [*crossovers, *mutations] if genetic else mutations
        raise InputError(
            f"{where}: no operator can act under these limits, {strategy} cannot move: "
            + _why_not(excluded, limits, options)
        )
    notes = []
    if genetic and not crossing and options.crossover > 0.0 and "crossover" in options.model_fields_set:
        notes.append(
            f"{where}.crossover: is {options.crossover:g}, but no crossover can act under these limits; all children "
            f"come by mutation: {_why_not(crossovers, limits, options)}"
        )
    if genetic and not mutating and options.crossover < 1.0:
        notes.append(
            f"{where}: no mutation can act under these limits; all children come by crossover: "
            + _why_not(mutations, limits, options)
        )
    return tuple(notes)


def _why_not(excluded: Sequence[Operator], limits: Limits, options: OperatorOptions) -> str:
    """The causes that exclude some operators, each with those that it excludes."""
    spatial = spatial_share(limits, options)
    found: dict[str, list[str]] = {}
    for one in excluded:
        cause = one.exclusion(limits)
        if cause is None and options.weights.get(one.name, one.weight) == 0.0:
            cause = "weight 0"
        elif cause is None and one.kind != "chemical" and spatial == 0.0:
            cause = "spatial = 0"
        elif cause is None and one.kind == "chemical" and spatial == 1.0:
            cause = "spatial = 1"
        elif cause is None and one.is_crossover:
            cause = "crossover = 0"
        found.setdefault(cause or "not wanted", []).append(one.name)
    return "; ".join(f"{', '.join(names)} ({cause})" for cause, names in found.items())


def _class_shares(
    weights: NDArray[np.float64], chemical: NDArray[np.bool_], spatial: NDArray[np.bool_], spatial_share: float
) -> NDArray[np.float64]:
    """(n_op,) share of each operator in its class, times the probability of the class."""
    shares = np.zeros(len(weights))
    for members, probability in ((chemical, 1.0 - spatial_share), (spatial, spatial_share)):
        total = weights[members].sum()
        if total > 0.0:
            shares[members] = probability * weights[members] / total
    return shares


def _cumulative(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n_op,) running sum of shares that add up to 1; zeros where all are zero."""
    total = shares.sum()
    return np.cumsum(shares / total) if total > 0.0 else shares


def spatial_share(limits: Limits, options: OperatorOptions) -> float:
    """Probability that an operator is spatial: the one wanted, or what suits the limits."""
    if options.spatial is not None:
        return options.spatial
    return 0.0 if limits.lattice else 1.0 if limits.n_elements == 1 else 0.5


def draw_operator(rng: np.random.Generator, cumulative: Sequence[float]) -> Operator:
    """One of `operators()` with these cumulative probabilities."""
    all_ = operators()
    return all_[min(bisect_right(cumulative, rng.random()), len(all_) - 1)]


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
    following: NDArray[np.float64] = new / new.mean()
    return following
