"""What rounds have made of a representative set: every rank computes the same, bit for bit, from what was accepted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from grs_evo.descriptors.basis import Basis
from grs_evo.driver.config.run_file import RunFile
from grs_evo.driver.setup import with_objective
from grs_evo.errors import within
from grs_evo.loss.objective import Objective
from grs_evo.search.population import representative_set as sets
from grs_evo.search.population.individual import Individual
from grs_evo.search.problem import Problem
from grs_evo.structures.reading import read_structures
from grs_evo.structures.structure import Structure
from grs_evo.targets.moments import merge
from grs_evo.targets.overlap import check_overlap


@dataclass(frozen=True, eq=False)
class SetProgress:
    """What rounds have made so far."""

    run: RunFile
    problem: Problem  # of the round under way
    state: sets.SetState
    accepted: tuple[int, ...] = ()  # structures added after each round, those that took others' places among them
    given: tuple[Structure, ...] = ()  # that the set began with

    @property
    def exchanges(self) -> bool:
        """Whether structures of the set may give way to others."""
        return self.run.set.objective == "information"

    def added(self, new: Sequence[Individual], state: sets.SetState | None = None) -> SetProgress:
        """The set and the problem after a round that only adds.

        Parameters
        ----------
        state : the set after the round where it is known already, else it is computed from `new`
        """
        objective = self.problem.objective
        grown = state if state is not None else _grown(self.state, new, objective)
        following = sets.next_objective(objective, grown, new, self.run.set)
        return self._after(following, grown, len(new))

    def exchanged(self, individuals: Sequence[Individual], changes: int) -> SetProgress:
        """After a round that made the set these individuals, by so many changes."""
        objective = self.problem.objective
        grown = sets.rebuilt(self.state, objective, individuals, self.given, changes)
        return self._after(objective.with_set(grown.moments), grown, changes)

    def after(self, told: Sequence[Individual], changes: int, state: sets.SetState | None = None) -> SetProgress:
        """After a round, from what rank 0 tells: the whole set where structures may give way, else what is new."""
        return self.exchanged(told, changes) if self.exchanges else self.added(told, state)

    def _after(self, objective: Objective, state: sets.SetState, changes: int) -> SetProgress:
        problem = with_objective(self.problem, objective)
        return replace(self, problem=problem, state=state, accepted=(*self.accepted, changes))


def begin(run: RunFile, problem: Problem, folder: Path) -> SetProgress:
    """Before the first round: the given structures alone."""
    given = given_structures(run, problem.objective.basis, folder)
    state = sets.begin(problem.objective, given)
    return SetProgress(run, with_objective(problem, problem.objective.with_set(state.moments)), state, (), tuple(given))


def given_structures(run: RunFile, basis: Basis, folder: Path) -> list[Structure]:
    """What the set of a run starts from.

    Raises
    ------
    InputError
        A file that cannot be read, an element outside the basis, atoms that overlap.
    """
    if run.set.given is None:
        return []
    with within("set.given"):
        entries = read_structures(run.set.given, basis.elements, types=run.target.types, folder=folder)
        for entry in entries:
            check_overlap(entry.structure, basis, entry.source)
    return [entry.structure for entry in entries]


def again(set_progress: SetProgress, individuals: Sequence[Individual], accepted: Sequence[int]) -> SetProgress:
    """Go through the earlier rounds of a resumed run again, after which these individuals were in the set."""
    if set_progress.exchanges:
        for changes in accepted:
            set_progress = set_progress.exchanged(individuals, changes)
        return set_progress
    start = 0
    for count in accepted:
        set_progress = set_progress.added(individuals[start : start + count])
        start += count
    return set_progress


def smallest(problem: Problem) -> int:
    """Atoms of the smallest structure that the islands can offer."""
    return min(source.limits.sizes[0] for source in problem.sources)


def _grown(state: sets.SetState, new: Sequence[Individual], objective: Objective) -> sets.SetState:
    moments, losses = state.moments, list(state.losses)
    for one in new:
        moments = merge(moments, objective.moments_of(one.structure))
        losses.append(sets.set_loss(moments, objective))
    idle = 0 if new else state.idle + 1
    return replace(
        state,
        individuals=(*state.individuals, *new),
        moments=moments,
        losses=tuple(losses),
        idle=idle,
        round=state.round + 1,
    )
