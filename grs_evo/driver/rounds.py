"""The rounds of a session: the islands search, and between two rounds a representative set grows.

Every rank keeps the accepted structures and computes the same loss from them, bit for bit; only what was accepted is
sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from grs_evo.descriptors.basis import Basis
from grs_evo.driver.config.run_file import RunFile
from grs_evo.driver.monitor.summary import Result
from grs_evo.driver.recorder import Recorder
from grs_evo.driver.setup import make_problem, with_objective
from grs_evo.driver.startup import Start, broadcast, receive
from grs_evo.errors import within
from grs_evo.loss.objective import Objective
from grs_evo.parallel.communicator import World
from grs_evo.parallel.coordinator import Arrays, Coordinator, RoundRules
from grs_evo.parallel.decisions import NEVER, Decision
from grs_evo.parallel.endings import Ending, run_round
from grs_evo.parallel.messages import array_text, text_array
from grs_evo.parallel.topology import Routes, shares, sources
from grs_evo.parallel.worker import IslandFunctions, RoundPlan, SignalFlag, Worker
from grs_evo.search import island
from grs_evo.search.population import representative_set as sets
from grs_evo.search.population.archive import merge as merge_archives
from grs_evo.search.population.individual import Individual, best_distinct, pack, unpack
from grs_evo.search.problem import Problem
from grs_evo.search.state import IslandState
from grs_evo.storage.checkpoint import Checkpoint
from grs_evo.storage.target_file import TargetData
from grs_evo.structures.reading import read_structures
from grs_evo.structures.structure import Structure
from grs_evo.targets.moments import merge
from grs_evo.targets.overlap import check_overlap

# Individuals of a first generation that a rank holds beside the states of its islands, at most.
_MOST_HELD = 2000


def island_functions(problem: Problem, seed: int, round_: int, before: Mapping[int, IslandState]) -> IslandFunctions:
    """How the islands of a round are started, advanced, and sent.

    Parameters
    ----------
    before : states of own islands at the end of the round before, from which they start
    """
    first = FirstGeneration(problem)
    # what a later round was doing when it ended is of no use: its loss is of a set that then does not grow
    told = first.add if round_ == 0 else None
    return IslandFunctions(
        n_terms=len(problem.term_names),
        start=lambda k, poll: island.start(problem, k, seed, round_, before.get(k), poll, told),
        advance=lambda state, immigrants, seeds, poll: island.advance(state, problem, immigrants, seeds, poll),
        stats=island.stats,
        emigrants=island.emigrants,
        pack=IslandState.to_arrays,
        unpack=IslandState.from_arrays,
        first=lambda: (first.count, first.individuals),
    )


class FirstGeneration:
    """What own islands have of generation 0, for a run that ends before it is complete."""

    def __init__(self, problem: Problem) -> None:
        self.count = 0  # individuals evaluated
        self.individuals: list[Individual] = []  # those that would be in an archive, and some more
        self._problem = problem

    def add(self, one: Individual) -> None:
        self.count += 1
        self.individuals.append(one)
        if len(self.individuals) >= _MOST_HELD:
            kept = merge_archives([self.individuals], self._problem.archive, self._problem.term_names)
            # all of them may be worth keeping: then the next look is as far away
            self.individuals = kept if len(kept) < _MOST_HELD // 2 else best_distinct(kept, _MOST_HELD // 2)


def search(world: World, start: Start, signal_flag: SignalFlag, recorder: Recorder | None) -> Result:
    """Round after round; without a representative set there is one.

    Parameters
    ----------
    recorder : on rank 0
    """
    run_ = start.run
    problem = recorder.problem if recorder is not None else make_problem(run_, start.target_data, start.folder)
    point, rounds_ = start.point, run_.set.rounds
    set_progress = begin(run_, problem, start.folder)
    if point is not None and rounds_:
        set_progress = again(set_progress, unpack(point.set), point.extra["accepted"])
    heard = sources(problem.n_islands, run_.migration, run_.seed)
    owned = shares(problem.n_islands, world.size)
    routes = Routes(heard, owned, world.rank, run_.migration.interval, run_.migration.delay)
    problem = set_progress.problem if rounds_ else problem
    round_ = 0 if point is None else point.round
    before: dict[int, IslandState] = {}
    while True:
        if recorder is not None:
            recorder.begin_round(problem, round_, set_progress.state.individuals, set_progress.accepted)
        islands = island_functions(problem, run_.seed, round_, before)
        ending, coordinator = _round(world, start, islands, routes, signal_flag, recorder, point, round_)
        if ending.halted or not rounds_:
            return _result(recorder, start, ending, coordinator, set_progress)
        new: Sequence[Individual] = ()
        grown, done = None, ""
        if recorder is not None and coordinator is not None:
            new, grown, reason = judge(set_progress, coordinator.final, start.target_data)
            done = reason or ""
            recorder.end_round(coordinator.final, (*set_progress.state.individuals, *new), done)
            broadcast(world, {"done": text_array(done), **pack(new, len(problem.term_names))})
        else:
            arrays = receive(world)
            done, new = array_text(arrays["done"]), unpack(arrays)
        set_progress = set_progress.added(new, grown)
        if done:
            return _result(recorder, start, ending, coordinator, set_progress)
        problem, round_, before, point = set_progress.problem, round_ + 1, dict(ending.states), None


def _round(
    world: World,
    start: Start,
    islands: IslandFunctions,
    routes: Routes,
    signal_flag: SignalFlag,
    recorder: Recorder | None,
    point: Checkpoint | None,
    round_: int,
) -> tuple[Ending, Coordinator | None]:
    """One round; how it ended, and what rank 0 knows of it."""
    run_ = start.run
    decision = None if point is None else Decision.from_array(point.decision)
    at = -1 if point is None else point.generation
    round_plan = RoundPlan(
        round_,
        run_.stop.generations,
        at,
        NEVER if decision is None else decision.stop_at,
        start.seeds if point is not None else {},
    )
    coordinator = None
    if recorder is not None:
        recorder.extra["session_generation"] = at
        rules = RoundRules(
            recorder.problem.n_islands,
            len(recorder.names),
            run_.stop.generations,
            run_.migration.delay,
            run_.stop,
            run_.checkpoint,
        )
        coordinator = Coordinator(rules, recorder, at, decision)
        recorder.times = coordinator.times
    worker = Worker(world, islands, routes, round_plan, signal_flag, coordinator)
    states = None
    if point is not None:
        first = (
            0 if recorder is not None else routes.mine.start
        )  # rank 0 has the states of all islands, others their own
        states = {k: islands.unpack(point.states[k - first]) for k in routes.mine}
    return run_round(worker, states), coordinator


def _result(
    recorder: Recorder | None,
    start: Start,
    ending: Ending,
    coordinator: Coordinator | None,
    set_progress: SetProgress,
) -> Result:
    short = bool(sets.shortfall(set_progress.state, start.run.set, _smallest(set_progress.problem)))
    short = short and start.run.set.rounds > 0
    if recorder is None or coordinator is None:
        # rank 0 alone knows the reasons; the exit code of the others follows from how the round ended
        finished = not ending.halted or ending.why == "seconds"
        return Result(start.folder, finished, ending.why, ending.generation, 0.0, short=short)
    recorder.pace = coordinator.pace
    finished = not ending.halted or coordinator.halt_reason == "seconds"
    reason = recorder.last_reason if not ending.halted else coordinator.halt_reason
    recorder.end("finished" if finished else "stopped", reason, ending.generation)
    return Result(
        start.folder,
        finished,
        reason,
        ending.generation,
        recorder.seconds(),
        tuple(recorder.newest),
        recorder.hash,
        short=short,
    )


# ---------------------------------------------------------------------------------------------------------------------
# the representative set


@dataclass(frozen=True, eq=False)
class SetProgress:
    """What rounds have made so far."""

    run: RunFile
    problem: Problem  # of the round under way
    state: sets.SetState
    accepted: tuple[int, ...] = ()  # structures added after each round

    def added(self, new: Sequence[Individual], state: sets.SetState | None = None) -> SetProgress:
        """The set and the problem after a round.

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
    """Go through the earlier rounds of a resumed run again, in which these individuals were accepted."""
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
    # Moving away, a crystal is wanted once; a set may hold the same one twice, if that fits the target.
    moving = options.bootstrap != "none"
    taken = sets.Known(one.structure for one in set_progress.state.individuals) if moving else None
    for arrays in final:
        state = IslandState.from_arrays(arrays)
        candidates += sets.offer(state.population, state.archive, options.offered, taken)
    cover = _cover(target_data) if options.coverage is not None else None
    smallest = _smallest(set_progress.problem)
    grown, done = sets.extend_set(
        set_progress.state, candidates, set_progress.problem.objective, options, cover, smallest
    )
    new = list(grown.individuals[len(set_progress.state.individuals) :])
    return new, grown, done


def _smallest(problem: Problem) -> int:
    """Atoms of the smallest structure that the islands can offer."""
    return min(source.limits.sizes[0] for source in problem.sources)


def _cover(target_data: TargetData) -> Callable[[Sequence[Structure]], float]:
    from grs_evo.analysis.distributions.coverage import coverage
    from grs_evo.analysis.distributions.environments import of_structures, of_target

    target = of_target(target_data.target).wide(target_data.basis)

    def share(structures: Sequence[Structure]) -> float:
        return float(coverage(target, of_structures(structures, target_data.basis).wide(target_data.basis)).v_rep)

    return share
