"""Which operator acts: probabilities within classes, and rates that follow success."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.search.candidates.limits import Limits
from grs_evo.search.operators.names import CHEMICAL, CROSSOVERS, OPERATORS
from grs_evo.search.operators.options import OperatorOptions
from grs_evo.search.operators.table import _WEIGHTS, _obstacle


def probabilities(
    limits: Limits, options: OperatorOptions, rates: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cumulative probabilities over OPERATORS of being the crossover and of being the mutation, (n_op,) each.

    Operators that could never act under the limits (a flip at fixed composition, add at fixed size, anything spatial
    on a lattice) have none. An all-zero row means that there is no such operator.
    """
    spatial = spatial_share(limits, options)
    weights = np.array([options.weights.get(name, _WEIGHTS[name]) for name in OPERATORS])
    weights *= np.array([_obstacle(name, limits) is None for name in OPERATORS])
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


def check_operators(limits: Limits, options: OperatorOptions, strategy: str, where: str) -> tuple[str, ...]:
    """What the log should say about probabilities that cannot be as asked for.

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
        [name for name, share in zip(OPERATORS, np.diff(row, prepend=0.0), strict=True) if share > 0.0]
        for row in probabilities(limits, options)
    )
    genetic = strategy == "genetic"
    crossed = genetic and bool(crossing) and options.crossover > 0.0
    mutations = [name for name in OPERATORS if name not in CROSSOVERS and name != "replace"]
    # A fresh candidate is a restart, not a move.
    if not crossed and not set(mutating) & set(mutations):
        if genetic and mutating:
            return (f"{where}: only replace can act under these limits; every child is a fresh candidate",)
        kinds = [*CROSSOVERS, *mutations] if genetic else mutations
        raise InputError(
            f"{where}: no operator can act under these limits, {strategy} cannot move: "
            + _why_not(kinds, limits, options)
        )
    notes = []
    if genetic and not crossing and options.crossover > 0.0 and "crossover" in options.model_fields_set:
        notes.append(
            f"{where}.crossover: is {options.crossover:g}, but no crossover can act under these limits; all children "
            f"come by mutation: {_why_not(CROSSOVERS, limits, options)}"
        )
    if genetic and not mutating and options.crossover < 1.0:
        notes.append(
            f"{where}: no mutation can act under these limits; all children come by crossover: "
            + _why_not(mutations, limits, options)
        )
    return tuple(notes)


def _why_not(names: Sequence[str], limits: Limits, options: OperatorOptions) -> str:
    """The causes that exclude some operators, each with those that it excludes."""
    spatial = spatial_share(limits, options)
    found: dict[str, list[str]] = {}
    for name in names:
        cause = _obstacle(name, limits)
        if cause is None and options.weights.get(name, 1.0) == 0.0:
            cause = "weight 0"
        elif cause is None and name not in CHEMICAL and spatial == 0.0:
            cause = "spatial = 0"
        elif cause is None and name in CHEMICAL and spatial == 1.0:
            cause = "spatial = 1"
        elif cause is None and name in CROSSOVERS:
            cause = "crossover = 0"
        found.setdefault(cause or "not asked for", []).append(name)
    return "; ".join(f"{', '.join(excluded)} ({cause})" for cause, excluded in found.items())


def spatial_share(limits: Limits, options: OperatorOptions) -> float:
    """Probability that an operator is spatial: the one asked for, or what suits the limits."""
    if options.spatial is not None:
        return options.spatial
    return 0.0 if limits.lattice else 1.0 if limits.n_elements == 1 else 0.5


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
