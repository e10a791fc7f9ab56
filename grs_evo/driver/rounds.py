"""A representative set over the rounds of a run: what was accepted so far, and the problem of the next round.

Every rank holds the same story and comes to the same loss from it, bit for bit; only what was accepted travels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from grs_evo.descriptors.basis import Basis
from grs_evo.driver.config.run_file import RunFile
from grs_evo.driver.setup import with_objective
from grs_evo.errors import within
from grs_evo.loss.objective import Objective
from grs_evo.parallel.worker import Arrays
from grs_evo.search.population import representative_set as sets
from grs_evo.search.population.individual import Individual
from grs_evo.search.problem import Problem
from grs_evo.search.state import IslandState
from grs_evo.storage.target_file import TargetData
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
    accepted: tuple[int, ...] = ()  # structures added after each round

    def added(self, new: Sequence[Individual], state: sets.SetState | None = None) -> SetProgress:
        """The story after a round.

        Parameters
        ----------
        state : the set after the round where it is known already, else it is computed from `new`
        """
        objective = self.problem.objective
        grown = state if state is not None else _grown(self.state, new, objective)
        following = sets.next_objective(objective, grown, new, self.run.set)
        return SetProgress(self.run, with_objective(self.problem, following), grown, (*self.accepted, len(new)))


def begin(run: RunFile, problem: Problem, folder: Path) -> SetProgress:
    """Before the first round: the given structures alone."""
    state = sets.begin(problem.objective, given_structures(run, problem.objective.basis, folder))
    return SetProgress(run, with_objective(problem, problem.objective.with_set(state.moments)), state)


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
    """The story that led to these individuals, told from its beginning."""
    start = 0
    for count in accepted:
        set_progress = set_progress.added(individuals[start : start + count])
        start += count
    return set_progress


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


def judge(
    set_progress: SetProgress, final: Sequence[Arrays], target_data: TargetData
) -> tuple[list[Individual], sets.SetState, str | None]:
    """Rank 0, after a round: what joins the set, the set then, and why it is done if it is."""
    options = set_progress.run.set
    candidates: list[Individual] = []
    # Moving away, a structure is wanted once; a set may hold the same one twice, if that fits the target.
    taken = {one.content for one in set_progress.state.individuals} if options.bootstrap != "none" else set()
    for arrays in final:
        state = IslandState.from_arrays(arrays)
        population, archive = (
            [one for one in group if one.content not in taken] for group in (state.population, state.archive)
        )
        candidates += sets.offer(population, archive, options.offered)
    cover = _cover(target_data) if options.coverage is not None else None
    grown, done = sets.extend_set(set_progress.state, candidates, set_progress.problem.objective, options, cover)
    new = list(grown.individuals[len(set_progress.state.individuals) :])
    return new, grown, done


def _cover(target_data: TargetData) -> Callable[[Sequence[Structure]], float]:
    from grs_evo.analysis.distributions.coverage import coverage
    from grs_evo.analysis.distributions.environments import of_structures, of_target

    target = of_target(target_data.target).wide(target_data.basis)

    def share(structures: Sequence[Structure]) -> float:
        return float(coverage(target, of_structures(structures, target_data.basis).wide(target_data.basis)).v_rep)

    return share
