"""The rounds of a session: the islands search, and between two rounds a representative set grows.

Every rank keeps the accepted structures and computes the same loss from them, bit for bit; only what was accepted is
sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from grs_evo.driver.monitor.summary import Result
from grs_evo.driver.ranks.startup import Start, broadcast, receive
from grs_evo.driver.recorder import Recorder, shorten, write_shard
from grs_evo.driver.sets.judgement import Judge
from grs_evo.driver.sets.progress import SetProgress, again, begin, smallest
from grs_evo.parallel.communicator import World
from grs_evo.parallel.coordinator import Coordinator, RoundRules
from grs_evo.parallel.decisions import NEVER, Decision
from grs_evo.parallel.endings import Ending, run_round
from grs_evo.parallel.messages import array_text, text_array
from grs_evo.parallel.topology import Routes, sources
from grs_evo.parallel.worker import Arrays, IslandFunctions, RoundPlan, SignalFlag, Worker
from grs_evo.search import island
from grs_evo.search.population import representative_set as sets
from grs_evo.search.population.archive import merge as merge_archives
from grs_evo.search.population.individual import Individual, best_distinct, pack, unpack
from grs_evo.search.problem import Problem
from grs_evo.search.state import IslandState
from grs_evo.storage.checkpoint import Checkpoint
from grs_evo.storage.run_folder import Folder

# Individuals of a first generation that a rank holds beside the states of its islands, at most.
_MOST_HELD = 2000


def island_functions(
    problem: Problem,
    seed: int,
    round_: int,
    before: Mapping[int, IslandState],
    made: Callable[[Individual], None] = lambda _: None,
    shard: Callable[[int, Mapping[int, IslandState]], Arrays] | None = None,
) -> IslandFunctions:
    """How the islands of a round are started, advanced, and sent.

    Parameters
    ----------
    before : states of own islands at the end of the round before, from which they start
    made : told of every new individual
    shard : writes states beside a checkpoint; None: rank 0 writes them all
    """
    first = FirstGeneration(problem)
    # what a later round was doing when it ended is of no use: its loss is of a set that then does not grow

    def told(one: Individual) -> None:
        made(one)
        if round_ == 0:
            first.add(one)

    return IslandFunctions(
        n_terms=len(problem.term_names),
        start=lambda k, poll: island.start(problem, k, seed, round_, before.get(k), poll, told),
        advance=lambda state, immigrants, seeds, poll: island.advance(state, problem, immigrants, seeds, poll, made),
        stats=island.stats,
        emigrants=island.emigrants,
        pack=IslandState.to_arrays,
        unpack=IslandState.from_arrays,
        shard=shard,
        shorten=partial(shorten, problem),
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


def search(world: World, start: Start, signal_flag: SignalFlag, problem: Problem, recorder: Recorder | None) -> Result:
    """Round after round; without a representative set there is one.

    Parameters
    ----------
    problem : of `start`
    recorder : on rank 0
    """
    run_ = start.run
    point, rounds_ = start.point, run_.set.rounds
    set_progress = begin(run_, problem, start.folder)
    if point is not None and rounds_:
        set_progress = again(set_progress, unpack(point.set), point.extra["accepted"])
    heard = sources(problem.n_islands, run_.migration, run_.seed)
    routes = Routes(heard, start.owner, world.rank, run_.migration.interval, run_.migration.delay)
    problem = set_progress.problem if rounds_ else problem
    round_ = 0 if point is None else point.round
    before: dict[int, IslandState] = {}
    writes = partial(write_shard, Folder(start.folder), start.token, problem) if start.shared else None
    judge = Judge(start.target_data)
    while True:
        if recorder is not None:
            recorder.begin_round(problem, round_, set_progress.state.individuals, set_progress.accepted)
        made = recorder.count_structure if recorder is not None else lambda _: None
        islands = island_functions(problem, run_.seed, round_, before, made, writes)
        ending, coordinator, routes = _round(world, start, islands, routes, signal_flag, recorder, point, round_)
        if ending.halted or not rounds_:
            return _result(recorder, start, ending, coordinator, set_progress)
        if recorder is not None and coordinator is not None:
            judged = judge(set_progress, coordinator.final)
            set_progress, done = judged.progress, judged.done
            recorder.end_round(coordinator.final, set_progress.state.individuals, done, judged.note)
            told = pack(judged.told, len(problem.term_names))
            broadcast(world, {"done": text_array(done), "changes": np.array([judged.changes]), **told})
        else:
            arrays = receive(world)
            done = array_text(arrays["done"])
            set_progress = set_progress.after(unpack(arrays), int(arrays["changes"][0]))
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
) -> tuple[Ending, Coordinator | None, Routes]:
    """One round; how it ended, what rank 0 knows of it, and who had which islands then."""
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
        recorder.balance.begin_round()
        coordinator = Coordinator(rules, recorder, recorder.balance, at, decision)
        recorder.times = coordinator.times
    worker = Worker(world, islands, routes, round_plan, signal_flag, coordinator)
    states = None if point is None else {k: islands.unpack(start.states[k]) for k in routes.mine}
    return run_round(worker, states), coordinator, worker.routes


def _result(
    recorder: Recorder | None,
    start: Start,
    ending: Ending,
    coordinator: Coordinator | None,
    set_progress: SetProgress,
) -> Result:
    short = bool(sets.shortfall(set_progress.state, start.run.set, smallest(set_progress.problem)))
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
