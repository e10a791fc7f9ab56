"""Rounds of search into a representative set: greedy addition, and the reverse search whose target moves (method §4).

After a round, candidates of all islands are offered together. The one that lowers the set loss (eq. 14: the joint
distribution of all environments of the set against the target) most is taken first, then the next, as long as it falls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from grs_evo.options import Options
from grs_evo.search.population.individual import Individual, order_key
from grs_evo.structures.structure import Structure
from grs_evo.targets.moments import Moments, empty, merge


class SetOptions(Options):
    """How a representative set grows and when it is done."""

    rounds: int = Field(default=0, ge=0, description="most rounds of search; 0: no set, one search only [1]")
    accept: int = Field(default=1, ge=1, description="most structures added after a round [1]")
    offered: int = Field(default=20, ge=1, description="candidates that each island offers after a round [1]")
    given: str | None = Field(
        default=None,
        description="structure file that the set starts from, with an optional index (not searched for anew)",
    )
    tolerance: float | None = Field(default=None, ge=0, description="stop when the set loss is at or below this [1]")
    count: int | None = Field(default=None, ge=1, description="stop at this many structures, the given ones aside [1]")
    environments: int | None = Field(
        default=None, ge=1, description="stop at this many atoms, given ones aside [atoms]"
    )
    coverage: float | None = Field(
        default=None, gt=0, description="stop when the set covers this share of the target (V_rep, eq. 18) [1]"
    )
    slack: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of the set loss by which an addition may raise it, for a set that must reach a size [1]",
    )
    patience: int = Field(
        default=1, ge=1, description="stop after this many rounds in a row that added nothing [rounds]"
    )
    bootstrap: Literal["none", "replace", "merge"] = Field(
        default="none",
        description="what an accepted structure does to the target (reverse): nothing, takes its place, or joins it",
    )
    bootstrap_weight: float = Field(
        default=1.0,
        gt=0,
        description="merge: weight of an environment of the new structure over one of the target's [1]",
    )


@dataclass(frozen=True, eq=False)
class SetState:
    """A representative set so far."""

    individuals: tuple[Individual, ...]  # in the order of acceptance, the given ones not among them
    moments: Moments  # of all environments, the given ones included
    losses: tuple[float, ...]  # set loss after each acceptance; the first entry is the given set's (inf when empty)
    idle: int = 0  # rounds in a row that added nothing
    round: int = 0

    @property
    def n_atoms(self) -> int:
        return sum(one.structure.n_atoms for one in self.individuals)

    @property
    def loss(self) -> float:
        return self.losses[-1]


def set_loss(moments: Moments, objective: Any) -> float:
    """Distance of a joint distribution from the target (eq. 14); inf for no environments."""
    if moments.total <= 0:
        return float("inf")
    alone = objective.with_set(None)
    return float(alone.moments_loss(moments).terms[alone.term_names.index("structure")])


def begin(objective: Any, given: Sequence[Structure] = ()) -> SetState:
    """A set that holds the given structures only."""
    moments = empty_set(objective)
    for structure in given:
        moments = merge(moments, objective.moments_of(structure))
    return SetState((), moments, (set_loss(moments, objective),))


def resume(objective: Any, individuals: Sequence[Individual], given: Sequence[Structure] = ()) -> SetState:
    """The set that held these individuals, in their order of acceptance: the same bits as when it grew."""
    state = begin(objective, given)
    for one in individuals:
        moments = merge(state.moments, objective.moments_of(one.structure))
        state = replace(
            state,
            individuals=(*state.individuals, one),
            moments=moments,
            losses=(*state.losses, set_loss(moments, objective)),
        )
    return state


def empty_set(objective: Any) -> Moments:
    """Moments of no environments, of the objective's basis."""
    return empty(objective.basis.sizes, covariance=objective.options.covariance != 0)


def offer(population: Sequence[Individual], archive: Sequence[Individual], count: int) -> list[Individual]:
    """What an island offers after a round: the `count` lowest values of archive and population, each structure once."""
    pool = {one.uid: one for one in (*archive, *population)}
    ordered = sorted(pool.values(), key=order_key)
    offered, seen = [], set()
    for one in ordered:
        key = (one.value, one.content)
        if key not in seen:
            seen.add(key)
            offered.append(one)
        if len(offered) == count:
            break
    return offered


def extend_set(
    state: SetState,
    candidates: Sequence[Individual],
    objective: Any,
    options: SetOptions,
    cover: Callable[[Sequence[Structure]], float] | None = None,
) -> tuple[SetState, str | None]:
    """Add candidates greedily, and say why the set is done, if it is.

    Parameters
    ----------
    candidates : of all islands; their order does not matter
    objective : of the round; its set is ignored, the state's counts
    cover : share of the target that some structures cover, for the stop at `coverage`

    Returns
    -------
    The new state (round and idle counted on), and the reason to stop or None.
    """
    pool = sorted(candidates, key=lambda one: (one.value, one.structure.n_atoms, one.content, one.uid))
    alone = objective.with_set(None)
    # The reverse method moves away: then the best is what the search says it is, one structure after the other.
    away = options.bootstrap != "none"
    parts: list[Moments | None] = [None] * len(pool)
    individuals, moments, losses = list(state.individuals), state.moments, list(state.losses)
    n_atoms = state.n_atoms
    taken: set[int] = set()
    done = None
    for _ in range(options.accept):
        # A small set without the target's rare environments can be at a dead end: any of them weighs too much in it.
        bound = np.inf if away else losses[-1] * (1.0 + options.slack)
        best, best_loss, best_moments = -1, bound, moments
        for k, one in enumerate(pool):
            if k in taken:
                continue
            if options.environments is not None and n_atoms + one.structure.n_atoms > options.environments:
                continue
            part = parts[k]
            if part is None:
                part = parts[k] = alone.moments_of(one.structure)
            joint = merge(moments, part)
            loss = set_loss(joint, alone)
            if away:
                best, best_loss, best_moments = k, loss, joint
                break
            if loss < best_loss:
                best, best_loss, best_moments = k, loss, joint
        if best < 0:
            break
        taken.add(best)
        individuals.append(pool[best])
        moments = best_moments
        losses.append(best_loss)
        n_atoms += pool[best].structure.n_atoms
        done = _done(len(individuals), n_atoms, best_loss, options)
        if done is not None:
            break
    idle = 0 if taken else state.idle + 1
    new = SetState(tuple(individuals), moments, tuple(losses), idle, state.round + 1)
    if done is None and options.coverage is not None and cover is not None and taken:
        share = cover([one.structure for one in individuals])
        if share >= options.coverage:
            done = f"coverage {share:.3g} reached"
    if done is None and idle >= options.patience:
        done = f"no candidate lowered the set loss in {idle} round{'s' if idle > 1 else ''}"
    if done is None and new.round >= options.rounds:
        done = f"{options.rounds} rounds done"
    return new, done


def next_objective(objective: Any, state: SetState, accepted: Sequence[Individual], options: SetOptions) -> Any:
    """The loss of the next round: with the set so far, and against the moved target when there is a bootstrap."""
    if options.bootstrap != "none" and accepted:
        from grs_evo.targets.target import Target

        names = [f"accepted {one.uid}" for one in accepted]
        new = Target.from_structures(
            [one.structure for one in accepted],
            objective.basis,
            names=names,
            covariance=objective.options.covariance != 0,
        )
        target = objective.target.merged(new, options.bootstrap_weight) if options.bootstrap == "merge" else new
        # A few small cells have hardly any spread: in its units all distances would explode, and no two rounds compare.
        objective = objective.with_target(target, keep_scales=True)
    return objective.with_set(state.moments)


def distances(individuals: Sequence[Individual], objective: Any) -> NDArray[np.float64]:
    """Structure loss of each individual against the objective's target, (n,): how far a reverse search has come."""
    alone = objective.with_set(None)
    k = alone.term_names.index("structure")
    return np.array([alone.moments_loss(alone.moments_of(one.structure)).terms[k] for one in individuals])


def _done(count: int, n_atoms: int, loss: float, options: SetOptions) -> str | None:
    if options.tolerance is not None and loss <= options.tolerance:
        return f"set loss {loss:.4g} is at or below the tolerance {options.tolerance:g}"
    if options.count is not None and count >= options.count:
        return f"{count} structures found"
    if options.environments is not None and n_atoms >= options.environments:
        return f"{n_atoms} environments found"
    return None
