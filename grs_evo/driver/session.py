"""A session of a run: prepare on rank 0, start the other ranks, search round after round, and end all in good order."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from grs_evo import __version__
from grs_evo.driver import rounds
from grs_evo.driver.chosen.decided import decided, with_floor
from grs_evo.driver.config.changes import check_files, extended, gather_files
from grs_evo.driver.config.run_file import RunFile
from grs_evo.driver.config.run_file import given as given_run
from grs_evo.driver.monitor.console import Display, Reporter, announcing_long_setup
from grs_evo.driver.monitor.status_file import Progress
from grs_evo.driver.monitor.summary import Result, next_commands, summary
from grs_evo.driver.provenance import check_same, fingerprint, moved, stamped, unchanged, versions
from grs_evo.driver.ranks.distributed_target import DistributedDescriber
from grs_evo.driver.ranks.held_states import HeldStates
from grs_evo.driver.ranks.startup import Start, is_large, receive, receive_start, send_start
from grs_evo.driver.recorder import Recorder
from grs_evo.driver.sets.progress import given_structures
from grs_evo.driver.setup import by_alloy, make_problem, make_target_data, rehearse, store_target
from grs_evo.driver.signals import listening
from grs_evo.errors import InputError, RankExit, StorageError, WrongType, exit_code_of, names_refused, type_of, within
from grs_evo.files import remove_folder, write_whole
from grs_evo.interrupts import SET_UP, TOO_SHORT, Interrupted
from grs_evo.kernels.compiling import METER
from grs_evo.options import seconds_of
from grs_evo.parallel.communicator import World, connect, started_by
from grs_evo.parallel.decisions import NEVER, Decision
from grs_evo.parallel.endings import end_other_ranks
from grs_evo.parallel.topology import shares
from grs_evo.search.problem import Problem
from grs_evo.storage import checkpoint
from grs_evo.storage.run_folder import Folder, check_free, claim, clear_partial, create, existing
from grs_evo.storage.target_file import TargetData
from grs_evo.structures.structure import Structure
from grs_evo.targets.chunks import cores
from grs_evo.text import counted

# ---------------------------------------------------------------------------------------------------------------------
# public


def run(
    run_file: str | Path | Mapping[str, Any] | RunFile,
    out: str | Path | None = None,
    *,
    seed: int | None = None,
    max_time: float | str | None = None,
    quiet: bool = False,
    on_generation: Callable[[Progress], Any] | None = None,
    progress: Display = "auto",
) -> Result:
    """Begin a run.

    SIGTERM, SIGUSR1 and SIGINT end it with a checkpoint, but for those for which the calling script has a handler of
    its own, which stay the script's.

    Parameters
    ----------
    run_file : a file in TOML, or what stands in one: tables, or a `RunFile`; relative names then start here
    out : the run folder, which must be new or empty; default: the run file's name without suffix, beside it
    seed : instead of the run file's
    max_time : s of this session, or text such as ``"50m"``, after which it ends with a checkpoint
    on_generation : called on rank 0 after every generation; the run ends with a checkpoint when it returns True
    progress : how the screen shows it, see `monitor.console.Reporter`

    Raises
    ------
    InputError
        On rank 0: something in the run file cannot be.
    StorageError
        On rank 0: the folder cannot be written.
    """
    path = Path(run_file) if isinstance(run_file, str | Path) else None
    if path is None and out is None:
        raise InputError("run: out is not given; without a run file the run folder needs a name")
    if on_generation is not None and not callable(on_generation):
        raise WrongType(f"run: on_generation is {type_of(on_generation)}; it must be a function")
    limit = None if max_time is None else seconds_of(max_time)

    def prepare(world: World, reporter: Reporter, leaving: ExitStack) -> tuple[Start, Recorder]:
        given, start_of_names = given_run(run_file, {} if seed is None else {"seed": seed})
        if out is None and path is not None and not path.suffix:
            raise InputError(f"{path}: the run folder would have the name of the run file; give --out")
        place = Path(out) if out is not None else Path(path or "").with_suffix("")
        check_free(place)
        name = "run" if path is None else str(path)
        with within(name):
            given, target_data, problem = _made(given, start_of_names, name, world, reporter)
        return _begun(given, start_of_names, place, name, target_data, problem, world, reporter, leaving)

    return _session(prepare, limit, quiet, on_generation, progress)


def resume(
    run_folder: str | Path,
    *,
    max_time: float | str | None = None,
    extend: str | Sequence[str] = (),
    same_machine: bool = False,
    quiet: bool = False,
    on_generation: Callable[[Progress], Any] | None = None,
    progress: Display = "auto",
) -> Result:
    """Go on with a run from its newest whole checkpoint, on any number of ranks.

    Parameters
    ----------
    max_time, progress : as for `run`
    extend : ``key=value`` changes of stop rules, checkpoints and output
    same_machine : refuse where the processor or the versions of numpy, numba, llvmlite, scipy or BLAS are not those
        that the run was begun with; otherwise it is said, and the run goes on to an archive of other bits
    on_generation : as for `run`
    """
    limit = None if max_time is None else seconds_of(max_time)
    changes = (extend,) if isinstance(extend, str) else tuple(extend)

    def prepare(world: World, reporter: Reporter, leaving: ExitStack) -> tuple[Start, Recorder]:
        folder = existing(Path(run_folder))
        ownership = claim(folder, world.size)
        leaving.callback(ownership.release)
        reporter.log = folder.log
        clear_partial(folder)
        held = HeldStates(world)
        point = checkpoint.newest(folder.checkpoints, reporter.say, held.read)
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
            check_same(folder, point, mark)
        if changes:
            write_whole(folder.run_file, stamped(effective).encode())
            if point is not None:
                cleared = replace(Decision.from_array(point.decision), stop_at=NEVER, reason="")
                point = replace(point, decision=cleared.to_array(), finished="")
        reporter.stage("preparing loss and candidates")
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
            recorder.take_over(point, held)
            ahead = range(point.generation + 1, point.generation + effective.migration.delay + 2)
            due = {made: seeds for made in ahead if (seeds := recorder.seeds.taken(recorder.round, made))}
        owner = recorder.share_out(world.size, point)
        return Start(effective, target_data, folder.path, point, owner, ownership.token, due, held=held), recorder

    return _session(prepare, limit, quiet, on_generation, progress)


def target(files: Sequence[str], out: Path, *, threads: int | None = None, **options: Any) -> str:
    """Describe structure files and store the target, on all ranks if there are several; returns one line about it.

    Parameters
    ----------
    files, out, options : see `setup.store_target`
    threads : that share large structures on one rank; default: one per core

    Raises
    ------
    InputError, StorageError
        On rank 0: as `setup.store_target`.
    RankExit
        On the other ranks, when rank 0 is done.
    """
    world = connect() if started_by().n_processes > 1 else World()
    if world.rank != 0:
        receive(world)
    describer = DistributedDescriber(world, threads or (1 if world.size > 1 else cores()))
    try:
        with names_refused():
            line = store_target(files, out, worker=describer, **options)
    except (InputError, StorageError) as error:
        end_other_ranks(world, exit_code_of(error))
        raise
    end_other_ranks(world, 0)
    return line


# ---------------------------------------------------------------------------------------------------------------------
# a session


def _session(
    prepare: Callable[[World, Reporter, ExitStack], tuple[Start, Recorder]],
    max_time: float | None,
    quiet: bool,
    on_generation: Callable[[Progress], Any] | None = None,
    progress: Display = "auto",
) -> Result:
    """Prepare on rank 0, tell the others, evolve, and end all ranks in good order."""
    begun = SET_UP.begun if SET_UP.active else time.monotonic()
    SET_UP.compiled = lambda: METER.functions
    with ExitStack() as leaving:
        signal_flag = leaving.enter_context(listening())
        world = connect()
        reporter = Reporter(quiet=quiet or world.rank != 0, progress=progress)
        leaving.callback(reporter.close)
        if world.rank != 0:
            SET_UP.connected(world.rank)
            start = receive_start(world)
            with failure_recorded(start.folder, world.rank):
                problem = make_problem(start.run, start.target_data, start.folder)
                signal_flag.heard = SET_UP.over() or signal_flag.heard
                return rounds.search(world, start, signal_flag, problem, None)
        start, recorder = _prepared(prepare, world, reporter, leaving)
        signal_flag.heard = SET_UP.over() or signal_flag.heard
        with suppress(OSError):
            (start.folder / TOO_SHORT).unlink()
        reporter.every = start.run.output.log_seconds
        recorder.on_generation = on_generation
        recorder.set_up_seconds = time.monotonic() - begun
        recorder.beside.begin()
        if max_time is not None:
            recorder.deadline = begun + max_time
        start = send_start(world, start)
        if is_large(world, start) and not start.shared:
            reporter.say(f"{start.folder}: not every rank sees this folder, so rank 0 writes all islands by itself")
        with failure_recorded(start.folder, world.rank):
            result = rounds.search(world, start, signal_flag, recorder.problem, recorder)
        reporter.close()
        _tell_the_end(result, start, recorder, reporter)
        return result


def _made(
    given: RunFile, start_of_names: Path, name: str, world: World, reporter: Reporter
) -> tuple[RunFile, TargetData, Problem]:
    """What a run file asks for, with all that it leaves to the target: the run, its target, its problem."""
    shares(len(given.each_island()), world.size)
    check_files(given, start_of_names)
    given, by_composition = by_alloy(given, start_of_names)
    reporter.stage("describing the target")
    describer = DistributedDescriber(world, 1 if world.size > 1 else cores())
    target_data = make_target_data(given, start_of_names, describer)
    reporter.stage("preparing loss and candidates")
    given, by_target = decided(given, target_data)
    problem = make_problem(given, target_data, start_of_names)
    given, at_floor = with_floor(given, problem.objective)
    given_structures(given, target_data.basis, start_of_names)
    reporter.say(f"grs_evo {__version__}: {name} on {counted(world.size, 'rank')}")
    for note in (*by_composition, *by_target, *at_floor, *problem.objective.notes, *problem.notes):
        reporter.say(note)
    return given, target_data, problem


def _begun(
    given: RunFile,
    start_of_names: Path,
    place: Path,
    name: str,
    target_data: TargetData,
    problem: Problem,
    world: World,
    reporter: Reporter,
    leaving: ExitStack,
) -> tuple[Start, Recorder]:
    """The run folder, claimed, and a small generation of each kind of island tried."""
    effective, copies = gather_files(given, start_of_names)
    folder = create(
        place,
        {"run.toml": stamped(effective), "versions.json": versions(world, effective), "lock": ""},
        {"target.h5": target_data.to_file()},
        copies,
    )
    ownership = claim(folder, world.size)
    leaving.callback(ownership.release)
    reporter.log = folder.log
    # The folder is there before what takes long on a new machine, so that a stop keeps what is ready.
    reporter.stage("trying a small generation of each kind of island")
    try:
        with within(name):
            rehearse(problem)
    except Exception:  # what was given cannot be done
        remove_folder(folder.path)
        raise
    same = fingerprint(effective, target_data)
    recorder = Recorder(folder, ownership, effective, target_data, problem, same, reporter, world.size)
    owner = recorder.share_out(world.size, None)
    return Start(effective, target_data, folder.path, None, owner, ownership.token), recorder


def _prepared(
    prepare: Callable[[World, Reporter, ExitStack], tuple[Start, Recorder]],
    world: World,
    reporter: Reporter,
    leaving: ExitStack,
) -> tuple[Start, Recorder]:
    """Rank 0: what `prepare` makes; where that ends early, the other ranks leave with its exit code."""
    try:
        SET_UP.connected(world.rank)
        if world.notice:
            reporter.say(world.notice)
        with announcing_long_setup(reporter), names_refused():
            found = prepare(world, reporter, leaving)
        SET_UP.over()
    except (InputError, StorageError) as error:
        end_other_ranks(world, exit_code_of(error))
        raise
    except Interrupted as stop:
        reporter.note(str(stop))
        end_other_ranks(world, stop.code)
        raise
    return found


def _tell_the_end(result: Result, start: Start, recorder: Recorder, reporter: Reporter) -> None:
    """How it ended, what was found and whether it stands for the target, and the commands that go on."""
    in_set = bool(recorder.run.set.rounds)
    shown = recorder.set if in_set and recorder.set else result.archive
    reporter.say(
        summary(
            result,
            recorder.problem,
            recorder.run.output.top,
            recorder.extra["session_generation"],
            recorder.set_up_seconds,
            None if in_set else recorder.target_data.structures,
            shown,
        )
    )
    from grs_evo.driver.monitor.closing import close, told_to_differ  # rank 0 alone needs what it imports

    given = partial(given_structures, recorder.run, start.target_data.basis, start.folder)
    for line in close(result, recorder.run, start.target_data, recorder.set, given, recorder.problem.objective):
        reporter.say(line)
    reporter.say(next_commands(result, in_set and bool(recorder.set), told_to_differ(result.folder)))


@contextmanager
def failure_recorded(folder: Path, rank: int) -> Iterator[None]:
    """Write the traceback of an error that nobody expected into the run folder: launchers may lose what ranks print."""
    try:
        yield
    except (InputError, StorageError, RankExit):
        raise
    except Exception:
        with suppress(OSError):
            Folder(folder).failure(rank).write_text(traceback.format_exc())
        raise
