"""A run from its file to its end: lay the ground, share out the islands, evolve round after round, leave a result."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo import __version__
from grs_evo.driver import rounds
from grs_evo.driver.config.changes import check_files, extended, gather_files
from grs_evo.driver.config.run_file import read, seconds_of
from grs_evo.driver.distributed_target import DistributedDescriber
from grs_evo.driver.monitor.console import Reporter
from grs_evo.driver.monitor.summary import Result, summary
from grs_evo.driver.provenance import fingerprint, moved, stamped, unchanged, versions
from grs_evo.driver.recorder import Recorder
from grs_evo.driver.setup import make_problem, make_target_data
from grs_evo.driver.startup import Start, hear, receive, share, tell
from grs_evo.errors import EXIT_INPUT, EXIT_STORAGE, InputError, Quit, StorageError, within
from grs_evo.files import write_whole
from grs_evo.parallel.communicator import World, connect
from grs_evo.parallel.coordinator import Coordinator, Terms
from grs_evo.parallel.decisions import NEVER, Decision
from grs_evo.parallel.messages import array_text, text_array
from grs_evo.parallel.signals import SignalFlag, listening
from grs_evo.parallel.topology import Routes, shares, sources
from grs_evo.parallel.worker import Ending, Evolution, RoundPlan, send_home
from grs_evo.potential.relaxation import RelaxOptions
from grs_evo.search import island
from grs_evo.search.counters import stat_names
from grs_evo.search.evaluation import NoCandidates
from grs_evo.search.population.individual import Individual, pack, unpack
from grs_evo.search.problem import Problem
from grs_evo.search.state import IslandState
from grs_evo.storage import checkpoint
from grs_evo.storage.run_folder import Folder, check_free, claim, clear_partial, create, existing
from grs_evo.storage.target_file import TargetData
from grs_evo.structures.structure import Structure
from grs_evo.targets.chunks import cores
from grs_evo.text import counted, duration

# s of set-up after which it is said what takes so long
_MOMENT = 3.0


@dataclass(frozen=True, eq=False)
class Islands:
    """The work of a round; see `evolution.Work`."""

    problem: Problem
    seed: int
    round: int = 0
    before: Mapping[int, IslandState] = field(default_factory=dict)  # states at the end of the round before

    @property
    def n_terms(self) -> int:
        return len(self.problem.term_names)

    def start(self, k: int, poll: Callable[[], None]) -> IslandState:
        return island.start(self.problem, k, self.seed, self.round, self.before.get(k), poll)

    def advance(
        self,
        state: IslandState,
        immigrants: Sequence[Individual],
        seeds: Sequence[Structure],
        poll: Callable[[], None],
    ) -> IslandState:
        return island.advance(state, self.problem, immigrants, seeds, poll)

    def stats(self, state: IslandState) -> NDArray[np.float64]:
        return island.stats(state)

    def emigrants(self, state: IslandState, generation: int) -> Sequence[Individual]:
        return island.emigrants(state, generation)

    def pack(self, state: IslandState) -> dict[str, NDArray[Any]]:
        return state.to_arrays()

    def unpack(self, arrays: Mapping[str, NDArray[Any]]) -> IslandState:
        return IslandState.from_arrays(arrays)


# ---------------------------------------------------------------------------------------------------------------------
# public


def run(
    run_file: str | Path,
    out: str | Path | None = None,
    *,
    seed: int | None = None,
    max_time: float | str | None = None,
    quiet: bool = False,
) -> Result:
    """Begin a run.

    Parameters
    ----------
    run_file : TOML
    out : the run folder, which must be new or empty; default: the run file's name without suffix, beside it
    seed : instead of the run file's
    max_time : s of this session, or text such as ``"50m"``, after which it ends with a checkpoint

    Raises
    ------
    InputError
        On rank 0: something in the run file cannot be.
    StorageError
        On rank 0: the folder cannot be written.
    """
    path = Path(run_file)
    limit = None if max_time is None else seconds_of(max_time)

    def prepare(world: World, reporter: Reporter, leaving: ExitStack) -> tuple[Start, Recorder]:
        changes = {} if seed is None else {"seed": seed}
        given = read(path, changes)
        if out is None and not path.suffix:
            raise InputError(f"{path}: the run folder would have the name of the run file; give --out")
        place = Path(out) if out is not None else path.with_suffix("")
        check_free(place)
        with within(str(path)):
            shares(len(given.each_island()), world.size)
            check_files(given, path.parent)
            target_data = make_target_data(
                given, path.parent, DistributedDescriber(world, 1 if world.size > 1 else cores())
            )
            problem = make_problem(given, target_data, path.parent)
            rounds.given_structures(given, target_data.basis, path.parent)
            reporter.say(f"grs_evo {__version__}: {path} on {counted(world.size, 'rank')}")
            for note in (*problem.objective.notes, *problem.notes):
                reporter.say(note)
            rehearse(problem)
        effective, copies = gather_files(given, path.parent)
        folder = create(
            place,
            {"run.toml": stamped(effective), "versions.json": versions(world), "lock": ""},
            {"target.h5": target_data.to_file()},
            copies,
        )
        ownership = claim(folder, world.size)
        leaving.callback(ownership.release)
        reporter.log = folder.log
        recorder = Recorder(
            folder,
            ownership,
            effective,
            target_data,
            problem,
            fingerprint(effective, target_data),
            reporter,
            world.size,
        )
        return Start(effective, target_data, folder.path, None), recorder

    return _session(prepare, limit, quiet)


def resume(
    run_folder: str | Path,
    *,
    max_time: float | str | None = None,
    extend: str | Sequence[str] = (),
    same_machine: bool = False,
    quiet: bool = False,
) -> Result:
    """Go on with a run from its newest whole checkpoint, on any number of ranks.

    Parameters
    ----------
    max_time : as for `run`
    extend : ``key=value`` changes of stop rules, checkpoints and output
    same_machine : refuse where the processor or the versions of numpy, numba, llvmlite, scipy or BLAS are not those
        that the run was begun with; otherwise it is said, and the run goes on to an archive of other bits
    """
    limit = None if max_time is None else seconds_of(max_time)
    changes = (extend,) if isinstance(extend, str) else tuple(extend)

    def prepare(world: World, reporter: Reporter, leaving: ExitStack) -> tuple[Start, Recorder]:
        folder = existing(Path(run_folder))
        ownership = claim(folder, world.size)
        leaving.callback(ownership.release)
        reporter.log = folder.log
        clear_partial(folder)
        point = checkpoint.newest(folder.checkpoints, reporter.say)
        effective = unchanged(folder, point)
        if difference := moved(folder, versions(world)):
            if same_machine:
                raise InputError(f"{difference}; without --same-machine it goes on, to an archive of other bits")
            reporter.say(f"{difference}; the archive may differ from that of a run that stayed there")
        if changes:
            effective = extended(effective, changes)
        shares(len(effective.each_island()), world.size)
        target_data = TargetData.read(folder.target)
        mark = fingerprint(effective, target_data)
        if point is not None:
            for name, value in mark.items():
                if point.fingerprint.get(name) != value:
                    raise InputError(f"{folder.path}: {name} is not that of the checkpoint; the run folder was changed")
        if changes:
            write_whole(folder.run_file, stamped(effective).encode())
            if point is not None:
                cleared = replace(Decision.from_array(point.decision), stop_at=NEVER, reason="")
                point = replace(point, decision=cleared.to_array(), finished="")
        problem = make_problem(effective, target_data, folder.path)
        rehearse(problem)
        recorder = Recorder(folder, ownership, effective, target_data, problem, mark, reporter, world.size)
        due: dict[int, list[tuple[int, Structure]]] = {}
        if point is None:
            reporter.say(f"{folder.path}: no checkpoint yet, beginning anew on {counted(world.size, 'rank')}")
        else:
            if point.finished:
                reporter.say(
                    f"{folder.path}: finished already ({point.finished}); `grs-evo resume {folder.path} --extend "
                    "stop.generations=…` goes on"
                )
            else:
                reporter.say(
                    f"{folder.path}: going on after generation {point.generation} on {counted(world.size, 'rank')}"
                )
            recorder.take_over(point)
            ahead = range(point.generation + 1, point.generation + effective.migration.delay + 2)
            due = {made: seeds for made in ahead if (seeds := recorder.taken(made))}
        return Start(effective, target_data, folder.path, point, due), recorder

    return _session(prepare, limit, quiet)


# ---------------------------------------------------------------------------------------------------------------------
# a session


def _session(
    prepare: Callable[[World, Reporter, ExitStack], tuple[Start, Recorder]], max_time: float | None, quiet: bool
) -> Result:
    """Prepare on rank 0, tell the others, evolve, and end all ranks in good order."""
    begun = time.monotonic()
    world = connect()
    reporter = Reporter(quiet=quiet or world.rank != 0)
    with ExitStack() as leaving:
        leaving.callback(reporter.close)
        with listening() as signal_flag:
            if world.rank != 0:
                start = hear(world)
                with leaving_a_trace(start.folder, world.rank):
                    return _evolve(world, start, signal_flag, None)
            if world.notice:
                reporter.say(world.notice)
            try:
                with told_if_long(reporter):
                    start, recorder = prepare(world, reporter, leaving)
            except (InputError, StorageError) as error:
                send_home(world, EXIT_INPUT if isinstance(error, InputError) else EXIT_STORAGE)
                raise
            reporter.every = start.run.output.log_seconds
            recorder.set_up_seconds = time.monotonic() - begun
            if max_time is not None:
                recorder.deadline = begun + max_time
            tell(world, start)
            with leaving_a_trace(start.folder, world.rank):
                result = _evolve(world, start, signal_flag, recorder)
            reporter.close()
            session_generation = recorder.extra["session_generation"]
            reporter.say(
                summary(result, recorder.problem, recorder.run.output.top, session_generation, recorder.set_up_seconds)
            )
            return result


@contextmanager
def told_if_long(reporter: Reporter) -> Iterator[None]:
    """Say what takes so long when set-up lasts more than a moment, and at its end how long it took."""
    begun = time.monotonic()
    notice = threading.Timer(
        _MOMENT, reporter.say, ["setting up: the first run of its kind on a machine compiles for a minute or two"]
    )
    notice.daemon = True
    notice.start()
    try:
        yield
    finally:
        notice.cancel()
    if time.monotonic() - begun > _MOMENT:
        reporter.say(f"ready after {duration(time.monotonic() - begun)}")


@contextmanager
def leaving_a_trace(folder: Path, rank: int) -> Iterator[None]:
    """Leave the traceback of an error that nobody expected in the run folder: launchers may lose what ranks print."""
    try:
        yield
    except (InputError, StorageError, Quit):
        raise
    except Exception:
        with suppress(OSError):
            Folder(folder).failure(rank).write_text(traceback.format_exc())
        raise


def _evolve(world: World, start: Start, signal_flag: SignalFlag, recorder: Recorder | None) -> Result:
    """Round after round; without a representative set there is one."""
    run_ = start.run
    problem = recorder.problem if recorder is not None else make_problem(run_, start.target_data, start.folder)
    point, rounds_ = start.point, run_.set.rounds
    set_progress = rounds.begin(run_, problem, start.folder)
    if point is not None and rounds_:
        set_progress = rounds.again(set_progress, unpack(point.set), point.extra["accepted"])
    heard = sources(problem.n_islands, run_.migration, run_.seed)
    owned = shares(problem.n_islands, world.size)
    routes = Routes(heard, owned, world.rank, run_.migration.interval, run_.migration.delay)
    work = Islands(set_progress.problem if rounds_ else problem, run_.seed, 0 if point is None else point.round)
    while True:
        if recorder is not None:
            recorder.begin_round(work.problem, work.round, set_progress.state.individuals, set_progress.accepted)
        ending, coordinator = _round(world, start, work, routes, signal_flag, recorder, point)
        if ending.halted or not rounds_:
            return _result(recorder, start, ending, coordinator)
        new: Sequence[Individual] = ()
        grown, done = None, ""
        if recorder is not None and coordinator is not None:
            new, grown, reason = rounds.judge(set_progress, coordinator.final, start.target_data)
            done = reason or ""
            recorder.end_round(coordinator.final, (*set_progress.state.individuals, *new), done)
            share(world, {"done": text_array(done), **pack(new, work.n_terms)})
        else:
            arrays = receive(world)
            done, new = array_text(arrays["done"]), unpack(arrays)
        set_progress = set_progress.added(new, grown)
        if done:
            return _result(recorder, start, ending, coordinator)
        work = Islands(set_progress.problem, run_.seed, work.round + 1, dict(ending.states))
        point = None


def _round(
    world: World,
    start: Start,
    work: Islands,
    routes: Routes,
    signal_flag: SignalFlag,
    recorder: Recorder | None,
    point: checkpoint.Checkpoint | None,
) -> tuple[Ending, Coordinator | None]:
    """One round; how it ended, and what rank 0 knows of it."""
    run_ = start.run
    decision = None if point is None else Decision.from_array(point.decision)
    at = -1 if point is None else point.generation
    round_plan = RoundPlan(
        work.round,
        run_.stop.generations,
        at,
        NEVER if decision is None else decision.stop_at,
        start.seeds if point is not None else {},
    )
    coordinator = None
    if recorder is not None:
        recorder.extra["session_generation"] = at
        terms = Terms(
            work.problem.n_islands,
            len(stat_names(work.problem.term_names)),
            run_.stop.generations,
            run_.migration.delay,
            run_.stop,
            run_.checkpoint,
        )
        coordinator = Coordinator(terms, recorder, at, decision)
        recorder.spent = coordinator.spent
    evolution = Evolution(world, work, routes, round_plan, signal_flag, coordinator)
    states = None
    if point is not None:
        first = (
            0 if recorder is not None else routes.mine.start
        )  # rank 0 has the states of all islands, others their own
        states = {k: work.unpack(point.states[k - first]) for k in routes.mine}
    ending = evolution.run(states)
    return ending, coordinator


def _result(recorder: Recorder | None, start: Start, ending: Ending, coordinator: Coordinator | None) -> Result:
    if recorder is None or coordinator is None:
        # rank 0 alone knows the reasons; the exit code of the others follows from how the round ended
        finished = not ending.halted or ending.why == "seconds"
        return Result(start.folder, finished, ending.why, ending.generation, 0.0)
    recorder.pace = coordinator.pace
    finished = not ending.halted or coordinator.halt_reason == "seconds"
    reason = recorder.last_reason if not ending.halted else coordinator.halt_reason
    recorder.end("finished" if finished else "stopped", reason, ending.generation)
    return Result(
        start.folder, finished, reason, ending.generation, recorder.seconds(), tuple(recorder.newest), recorder.hash
    )


def rehearse(problem: Problem) -> None:
    """One small generation of each kind of island: compiles what will be needed, and finds out what cannot be.

    Rank 0 does it before the others begin, so that they load from the cache what it compiled.
    """
    done: set[str] = set()
    small = []
    for options in problem.islands:
        small.append(options.model_copy(update={"population": 2}))
    tiny = replace(problem, islands=tuple(small))
    if isinstance(problem.relax, RelaxOptions):
        tiny = replace(tiny, relax=problem.relax.model_copy(update={"max_evaluations": 4, "stage_evaluations": 4}))
    for k, options in enumerate(problem.islands):
        kind = f"{options.model_dump_json()} {id(problem.sources[k])}"
        if kind not in done and len(done) < 8:
            done.add(kind)
            try:
                island.advance(island.start(tiny, k, 0), tiny)
            except NoCandidates:
                # After the few steps allowed here atoms may still be too close, which says nothing about the run.
                if tiny.relax is problem.relax:
                    raise
