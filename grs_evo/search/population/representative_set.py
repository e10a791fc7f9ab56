"""Rounds of search into a representative set: greedy addition, and the reverse search whose target moves (method §4).

After a round, candidates of all islands are offered together. The one that lowers the set loss (eq. 14: the joint
distribution of all environments of the set against the target) most is taken first, then the next, as long as it falls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from grs_evo.loss.objective import Objective
from grs_evo.loss.quality import structure_loss
from grs_evo.options import Options
from grs_evo.search.population.individual import Individual, order_key
from grs_evo.structures.same_crystal import Crystal, crystal_of, same_crystal
from grs_evo.structures.structure import Structure, content_hash
from grs_evo.targets.moments import Moments, empty, merge
from grs_evo.targets.target import Target


class InformationOptions(Options):
    """How a set is judged by what it teaches a linear potential (method §11)."""

    energies: float = Field(
        default=0.3,
        ge=0,
        le=1e6,
        description="weight of the target's energies over that of its forces, 0: forces alone [1]",
    )
    # Of a dozen small cells, energies taken for ten times as sure leave nothing to the forces, whose errors then vary
    # by a half between draws of candidates (runs/fig7-fe-wire).
    energy_sigma: float = Field(
        default=0.01,
        ge=1e-6,
        le=1e3,
        description="how well a linear potential can know energies of small cells unlike one another; of forces it is "
        "0.1 eV/Å [eV/atom]",
    )
    ridge: float = Field(
        default=0.01, gt=0, le=1e6, description="what is known of a coefficient beforehand, in rows of the target [1]"
    )
    cost: float = Field(default=1.0, ge=0, le=10, description="a structure of n atoms costs n to this power [1]")
    misfit: float = Field(
        default=0.5,
        ge=0,
        le=10,
        description="rows of a structure weigh less by this power of its squared distance from the target's "
        "environments, where a linear model errs; 0: they do not [1]",
    )
    cutoff: float | None = Field(
        default=None, gt=0, description="of the linear potential; default: twice the target's nearest distance [Å]"
    )
    functions: int = Field(
        default=400, ge=10, description="of the linear potential at most: the richest basis of some within that [1]"
    )
    exchange: int = Field(
        default=4, ge=0, description="most structures of the set that give way to better ones after a round [1]"
    )


class SetOptions(Options):
    """How a representative set grows and when it is done."""

    objective: Literal["moments", "information"] = Field(
        default="moments",
        description="what structures are added by: moments, the set looks like the target (set loss); information, a "
        "linear potential learns most about the target from the set, for training data",
    )
    information: InformationOptions = InformationOptions()

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

    @model_validator(mode="after")
    def _towards(self) -> SetOptions:
        if self.objective == "information" and self.bootstrap != "none":
            raise ValueError(
                f"objective is 'information' and bootstrap {self.bootstrap!r}: a set that moves away from its target "
                "does not learn about it; give one"
            )
        return self


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


def set_loss(moments: Moments, objective: Objective) -> float:
    """Distance of a joint distribution from the target (eq. 14); inf for no environments."""
    if moments.total <= 0:
        return float("inf")
    # a new objective looks its compiled functions up again, which takes far longer than the loss
    alone = objective.with_set(None) if objective.plan.set_counts.any() else objective
    return structure_loss(alone.moments_loss(moments).terms, alone.term_names)


def begin(objective: Objective, given: Sequence[Structure] = ()) -> SetState:
    """A set that holds the given structures only."""
    moments = empty_set(objective)
    for structure in given:
        moments = merge(moments, objective.moments_of(structure))
    return SetState((), moments, (set_loss(moments, objective),))


def resume(objective: Objective, individuals: Sequence[Individual], given: Sequence[Structure] = ()) -> SetState:
    """The set that held these individuals, in their order of acceptance: the same bits as when it grew."""
    state = begin(objective, given)
    for one in individuals:
        moments = merge(state.moments, objective.moments_of(one.structure))
        state = _with_added(state, one, moments, set_loss(moments, objective))
    return state


def rebuilt(
    before: SetState, objective: Objective, individuals: Sequence[Individual], given: Sequence[Structure], changes: int
) -> SetState:
    """The set after a round in which so many structures came or went: these individuals, from nothing."""
    state = resume(objective, individuals, given)
    return replace(state, round=before.round + 1, idle=0 if changes else before.idle + 1)


class Known:
    """Structures, and whether another is one of them: the same bits, or the same crystal in whatever cell."""

    def __init__(self, structures: Iterable[Structure] = ()) -> None:
        self._contents: set[str] = set()
        self._crystals: list[Crystal] = []
        for one in structures:
            self.add(one)

    def add(self, structure: Structure) -> None:
        """One more."""
        self._contents.add(content_hash(structure))
        crystal = crystal_of(structure)
        if crystal is not None:
            self._crystals.append(crystal)

    def __contains__(self, structure: Structure) -> bool:
        if content_hash(structure) in self._contents:
            return True
        crystal = crystal_of(structure) if self._crystals else None
        return crystal is not None and any(same_crystal(crystal, one) for one in self._crystals)


def _with_added(state: SetState, one: Individual, moments: Moments, loss: float) -> SetState:
    """The set with one individual more, which makes its moments and its loss these."""
    return replace(state, individuals=(*state.individuals, one), moments=moments, losses=(*state.losses, loss))


def empty_set(objective: Objective) -> Moments:
    """Moments of no environments, of the objective's basis."""
    return empty(objective.basis.sizes, covariance=objective.options.covariance != 0)


def offer(
    population: Sequence[Individual],
    archive: Sequence[Individual],
    count: int,
    taken: Known | None = None,
) -> list[Individual]:
    """What an island offers after a round: the `count` lowest values of archive and population, each structure once.

    Parameters
    ----------
    taken : crystals that are not wanted again; each other one then is offered once, in one of its cells
    """
    pool = {one.uid: one for one in (*archive, *population)}
    ordered = sorted(pool.values(), key=order_key)
    offered, seen, own = [], set(), Known()
    for one in ordered:
        key = (one.value, one.content)
        if key not in seen:
            seen.add(key)
            if taken is None:
                offered.append(one)
            elif one.structure not in taken and one.structure not in own:
                own.add(one.structure)
                offered.append(one)
        if len(offered) == count:
            break
    return offered


def extend_set(
    state: SetState,
    candidates: Sequence[Individual],
    objective: Objective,
    options: SetOptions,
    cover: Callable[[Sequence[Structure]], float] | None = None,
    smallest: int = 1,
) -> tuple[SetState, str | None]:
    """Add candidates greedily, and say why the set is done, if it is.

    Parameters
    ----------
    candidates : of all islands; their order does not matter
    objective : of the round; its set is ignored, the state's counts
    cover : share of the target that some structures cover, for the stop at `coverage`
    smallest : atoms of the smallest structure that can be offered, for the end at `environments`

    Returns
    -------
    The new state (round and idle counted on), and the reason to stop or None.
    """
    pool = sorted(candidates, key=lambda one: (one.value, one.structure.n_atoms, one.content, one.uid))
    alone = objective.with_set(None)
    parts: dict[int, Moments] = {}
    grown, done = state, None
    taken: set[int] = set()
    passed: set[int] = set()  # the same crystals as some taken in this round
    for _ in range(options.accept):
        best = _best_addition(grown, pool, taken | passed, parts, alone, options)
        if best is None:
            break
        k, moments, loss = best
        taken.add(k)
        if options.bootstrap != "none" and len(taken) < options.accept:
            known = Known([pool[k].structure])
            passed |= {j for j, one in enumerate(pool) if j not in taken | passed and one.structure in known}
        grown = _with_added(grown, pool[k], moments, loss)
        done = goal_reached(grown, options)
        if done is not None:
            break
    grown = replace(grown, idle=0 if taken else state.idle + 1, round=state.round + 1)
    if done is None and taken:
        done = coverage_reached(grown, options, cover)
    return grown, done if done is not None else given_up(grown, options, smallest)


def _best_addition(
    state: SetState,
    pool: Sequence[Individual],
    taken: set[int],
    parts: dict[int, Moments],
    alone: Objective,
    options: SetOptions,
) -> tuple[int, Moments, float] | None:
    """Which of the pool to add next, the set's moments and its loss with it; None when none may be added.

    Parameters
    ----------
    taken : places in the pool that are in the set already
    parts : moments of the pool's structures; filled as they are needed
    alone : the loss without a set
    """
    # The reverse method moves away: then the best is what the search says it is, one structure after the other.
    away = options.bootstrap != "none"
    # A small set without the target's rare environments can be at a dead end: any of them weighs too much in it.
    bound = state.loss * (1.0 + options.slack)
    best = None
    for k, one in enumerate(pool):
        too_many = options.environments is not None and state.n_atoms + one.structure.n_atoms > options.environments
        if k in taken or too_many:
            continue
        if k not in parts:
            parts[k] = alone.moments_of(one.structure)
        moments = merge(state.moments, parts[k])
        loss = set_loss(moments, alone)
        if away:
            return k, moments, loss
        if loss < bound:
            best, bound = (k, moments, loss), loss
    return best


def next_objective(
    objective: Objective, state: SetState, accepted: Sequence[Individual], options: SetOptions
) -> Objective:
    """The loss of the next round: with the set so far, and against the moved target when there is a bootstrap."""
    if options.bootstrap != "none" and accepted:
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


def distances(individuals: Sequence[Individual], objective: Objective) -> NDArray[np.float64]:
    """Structure loss of each individual against the objective's target, (n,): how far a reverse search has come."""
    alone = objective.with_set(None)
    k = alone.term_names.index("structure")
    return np.array([alone.moments_loss(alone.moments_of(one.structure)).terms[k] for one in individuals])


def goal_reached(state: SetState, options: SetOptions) -> str | None:
    """Why the set is complete as far as loss and size tell; None when it is not."""
    if options.objective == "moments" and options.tolerance is not None and state.loss <= options.tolerance:
        return f"set loss {state.loss:.4g} is at or below the tolerance {options.tolerance:g}"
    if options.count is not None and len(state.individuals) >= options.count:
        return f"{len(state.individuals)} structures found"
    if options.environments is not None and state.n_atoms >= options.environments:
        return f"{state.n_atoms} environments found"
    return None


def coverage_reached(
    state: SetState, options: SetOptions, cover: Callable[[Sequence[Structure]], float] | None
) -> str | None:
    """Why the set is complete as far as its coverage tells; None when it is not."""
    if options.coverage is None or cover is None:
        return None
    share = cover([one.structure for one in state.individuals])
    return f"coverage {share:.3g} reached" if share >= options.coverage else None


def shortfall(state: SetState, options: SetOptions, smallest: int = 1) -> str:
    """How far a set is from the size it is to have, such as "3 of 9 structures"; empty where nothing is missing.

    Parameters
    ----------
    smallest : atoms of the smallest structure that could be added; what it does not fit into is not missing
    """
    if options.count is None and options.environments is None:
        return ""
    missing = []
    if options.count is not None:
        found = len(state.individuals)
        missing.append((found < options.count, f"{found} of {options.count} structures"))
    if options.environments is not None:
        full = state.n_atoms + smallest > options.environments
        missing.append((not full, f"{state.n_atoms} of {options.environments} environments"))
    return ", ".join(text for _, text in missing) if all(lacks for lacks, _ in missing) else ""


def given_up(state: SetState, options: SetOptions, smallest: int) -> str | None:
    """Why no further round follows although the set is not complete; None when one does."""
    if state.idle >= options.patience:
        what = "lowered the set loss" if options.objective == "moments" else "joined the set"
        why = f"no candidate {what} in {state.idle} round{'s' if state.idle > 1 else ''}"
    elif state.round >= options.rounds:
        why = f"{options.rounds} rounds done"
    else:
        return None
    short = shortfall(state, options, smallest)
    return f"{why}, short of its size: {short}" if short else why
