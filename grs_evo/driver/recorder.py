"""Rank 0's record of a run: clock, archive, history, checkpoints, status and screen; the coordinator's hooks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo import __version__
from grs_evo.driver.config.callback import Callback
from grs_evo.driver.config.plugged import callbacks
from grs_evo.driver.config.run_file import RunFile
from grs_evo.driver.config.toml import to_toml
from grs_evo.driver.monitor.beside import Beside
from grs_evo.driver.monitor.console import Reporter
from grs_evo.driver.monitor.status_file import Progress, Snapshot, evaluations, facts, progress_of, status, write_status
from grs_evo.driver.ranks.held_states import HeldStates
from grs_evo.parallel.decisions import NEVER, Balance, Decision, Pace, Totals
from grs_evo.parallel.topology import balanced
from grs_evo.search.counters import stat_names
from grs_evo.search.island import violation
from grs_evo.search.population.archive import all_that_may_stay, archive_hash, merge, objectives
from grs_evo.search.population.individual import Individual, pack, unpack_of
from grs_evo.search.problem import Problem
from grs_evo.search.state import IslandState
from grs_evo.storage import checkpoint
from grs_evo.storage.archive_file import Archive, write_archive
from grs_evo.storage.run_folder import Folder, Ownership, check_owner
from grs_evo.storage.seed_folder import SeedFolder
from grs_evo.storage.target_file import TargetData
from grs_evo.structures.structure import Structure

Arrays = dict[str, NDArray[Any]]
Shards = tuple[checkpoint.Shard, ...]

# s between two looks for a stop request, new seeds, and whether the folder is still ours
_LOOK = 0.5
_TICK = 1.0  # s between two words on a generation under way
# Strategies whose first generation is a population; of the others it is a number of evaluations.
_POPULATED = ("genetic", "gradient")
# Rows of history kept per island, and of all islands together; of longer runs every second, fourth, … generation is.
_HISTORY_ROWS, _ALL_HISTORY_ROWS = 20_000, 1 << 16
# In a checkpoint's extra: s of processor time that a generation of each island took, by which a resume shares them out.
_SECONDS = "seconds_per_generation"


@dataclass
class Recorder:
    """What is known of a run while it goes on; only rank 0 has one, and it changes with every generation."""

    folder: Folder
    ownership: Ownership
    run: RunFile
    target_data: TargetData
    problem: Problem
    fingerprint: dict[str, str]
    reporter: Reporter
    n_ranks: int
    seconds_before: float = 0.0  # of earlier sessions
    set_up_seconds: float = 0.0  # of this session, before its first generation
    deadline: float | None = None  # of this session, on the monotonic clock
    round: int = 0
    steps_before: int = 0  # generations made in earlier rounds
    set: list[Individual] = field(default_factory=list)
    past: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))  # history of earlier rounds
    extra: dict[str, Any] = field(default_factory=dict)
    halted: str = ""
    newest: list[Individual] = field(default_factory=list)  # archive as last saved
    hash: str = ""
    state: str = "running"
    reason: str = ""
    # rank -> where its time went, see `timing.COLUMNS`
    times: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)
    last_reason: str = ""  # why the newest generation saved was the last of its round
    on_generation: Callable[[Progress], Any] | None = None  # of whoever runs it in Python

    def __post_init__(self) -> None:
        self.names = stat_names(self.problem.term_names)
        self.column = {name: k for k, name in enumerate(self.names)}
        if not len(self.past):
            self.past = np.empty((0, 2 + len(self.names)))
        self.begun = time.monotonic()
        self.pace = Pace(-1, self.begun)
        self.callbacks: list[Callback] = callbacks(self.run)
        self._looked = 0.0
        self._sought = 0.0
        self._told = 0.0
        self._ticked = 0.0
        self.structures = 0  # made by this rank's islands in this session
        self.lowest: float | None = None  # value among them
        self._pause = self.run.output.status_seconds  # until the next status.json
        self._rows = np.empty((0, len(self.names)))
        self._first: tuple[float, int] | None = None  # clock and evaluations when the session's first rows came
        problem = self.problem
        self.seeds = SeedFolder(
            self.folder.seeds,
            problem.elements,
            problem.n_islands,
            lambda structure, island: violation(structure, island, self.problem),
            self.ownership.check,
            self.reporter.say,
        )
        self._decision = Decision(-1)
        self.beside = Beside(self.run, problem.objective, self.target_data.kept_out, self.reporter.say)
        self.balance = Balance(np.zeros(problem.n_islands, np.int32), 1, problem.expected_work())

    def share_out(self, n_ranks: int, point: checkpoint.Checkpoint | None) -> NDArray[np.int32]:
        """(n_islands,) the rank of each island at first: by what was measured before a resume, else as expected."""
        known = None if point is None else point.extra.get(_SECONDS)
        n = self.problem.n_islands
        if (
            isinstance(known, list)
            and len(known) == n
            and all(isinstance(k, float) and 0.0 < k < np.inf for k in known)
        ):
            work, n_measured = np.array(known), 1
        else:
            work, n_measured = self.problem.expected_work(), 0
        owner = balanced(work, n_ranks)
        self.balance = Balance(owner, n_ranks, work, n_measured)
        return owner

    def take_over(self, point: checkpoint.Checkpoint, held: HeldStates) -> None:
        """Begin with what a checkpoint knows, which is shown even if this session adds nothing.

        Parameters
        ----------
        held : by all ranks: the states of its islands
        """
        self.seconds_before, self.round, self.past = point.seconds, point.round, point.past
        self.steps_before = point.step - point.generation
        self._decision = Decision.from_array(point.decision)
        self._rows, found = held.known(self.problem.archive, self.problem.term_names, len(self.names))
        self._gather([found])

    # -- hooks of the coordinator ------------------------------------------------------------------------------------

    def totals(self, generation: int, rows: NDArray[np.float64]) -> Totals:
        best = float(rows[:, self.column["best_value"]].min())
        return Totals(generation, best, float(evaluations(rows, self.names)))

    def _tell_callbacks(self, now: Snapshot) -> None:
        """One that fails is named and not called again: it must not end a run, which does not depend on it."""
        for one in tuple(self.callbacks):
            try:
                one.call(progress_of(now))
            except Exception as error:  # what somebody else's code raises is not known here
                self.callbacks.remove(one)
                words = f"{type(error).__name__}: {error}"
                self.reporter.say(f"callback {one.name} failed and is called no more ({words})")

    def observe(self, rows: NDArray[np.float64], decision: Decision, pace: Pace) -> None:
        self._rows, self._decision = rows, decision
        self.pace = pace
        now = time.monotonic()
        if self._first is None:
            self._first = (now, evaluations(rows, self.names))
        now_known = self.snapshot()
        self.reporter.progress(facts(now_known))
        self._tell_callbacks(now_known)
        if self.on_generation is not None and self.on_generation(progress_of(now_known)) is True:
            self.halted = self.halted or "on_generation"
        if now - self._told >= self._pause:
            self.write_status()

    def count_structure(self, one: Individual) -> None:
        """One more structure was made on this rank, relaxed if it is to be."""
        self.structures += 1
        if np.isfinite(one.value) and (self.lowest is None or one.value < self.lowest):
            self.lowest = float(one.value)

    def _tick(self, now: float) -> None:
        """Tell how far a generation has come, and of the first one in status.json too."""
        self._ticked = now
        self.reporter.tick(facts(self.snapshot()))
        if not len(self._rows) and now - self._told >= self._pause:
            self.write_status()

    def halt_reason(self, heard: str) -> str:
        if heard:
            self.halted = heard
            return heard
        now = time.monotonic()
        if now - self._ticked >= _TICK:
            self._tick(now)
        if self.deadline is not None and now >= self.deadline:
            self.halted = "max_time"
        elif self.run.stop.seconds is not None and self.seconds() >= self.run.stop.seconds:
            self.halted = "seconds"
        elif now - self._looked >= _LOOK:
            self._looked = now
            self.ownership.check()
            if self.folder.stop_request.exists():
                self.halted = "stop"
        return self.halted

    def new_seeds(self, made: int) -> list[tuple[int, Structure]]:
        again = self.seeds.taken(self.round, made)
        if again or time.monotonic() - self._sought < _LOOK:
            return again
        self._sought = time.monotonic()
        return self.seeds.take_new(self.round, made)

    # -- rounds ------------------------------------------------------------------------------------------------------

    def begin_round(self, problem: Problem, round_: int, accepted: Sequence[Individual], counts: Sequence[int]) -> None:
        """A round begins, or goes on after a resume."""
        self.problem, self.round = problem, round_
        self.set = list(accepted)
        self.extra["accepted"] = list(counts)

    def end_round(self, final: Sequence[Arrays], accepted: Sequence[Individual], done: str, note: str = "") -> None:
        """A round is over: its history is kept, and the set shown to readers of the archive."""
        self.set = list(accepted)
        histories = [one["history"] for one in final]
        self.write_archive(histories)
        n = self.problem.n_islands
        kept = [self.tagged(island, thinned(history, n)) for island, history in enumerate(histories)]
        self.past = np.concatenate([self.past, *kept])
        self.steps_before += int(histories[0][-1, self.column["generation"]]) + 1
        told = ": ".join(text for text in (f"{len(self.set)} structures in the set", note, done) if text)
        self.reporter.say(f"round {self.round}: {told}")
        self.last_reason = done or self.last_reason

    # -- saving ------------------------------------------------------------------------------------------------------

    def save(self, generation: int, states: Sequence[Arrays], decision: Decision, final: bool) -> None:
        self._gather([unpack_of(one, "archive") for one in states])
        self._save(generation, decision, final, list(states), ())
        self.write_archive([one["history"] for one in states])
        self.reporter.note(f"saved generation {generation}")

    def save_shards(self, generation: int, parts: Sequence[Arrays], decision: Decision, final: bool) -> None:
        told = [checkpoint.Told.from_arrays(one) for one in parts]
        self._gather([one.archive for one in told])
        shards = sorted((shard for one in told for shard in one.shards), key=lambda shard: shard.islands)
        self._save(generation, decision, final, [], tuple(shards))
        histories = {island: history for one in told for island, history in one.histories.items()}
        self.write_archive([histories[island] for island in range(self.problem.n_islands)])
        self.reporter.note(f"saved generation {generation}")

    def _save(self, generation: int, decision: Decision, final: bool, states: list[Arrays], shards: Shards) -> None:
        """Write the checkpoint, whose states are given or in shards that are on disk."""
        self.last_reason = self._finished(generation, decision) if final else ""
        finished = "" if self.run.set.rounds else self.last_reason
        if self.balance.seconds is not None:
            self.extra[_SECONDS] = self.balance.seconds.tolist()
        saved = checkpoint.Checkpoint(
            step=self.steps_before + generation,
            round=self.round,
            generation=generation,
            decision=decision.to_array(),
            states=states,
            set=pack(self.set, len(self.problem.term_names)),
            past=self.past,
            seconds=self.seconds(),
            fingerprint=self.fingerprint,
            run_file=to_toml(self.run),
            finished=finished,
            extra=self.extra,
            shards=shards,
        )
        checkpoint.save(saved, self.folder.checkpoints, self.run.checkpoint.keep, self.ownership.check)

    def save_first(self, evaluated: int, individuals: Sequence[Individual]) -> None:
        """Generation 0 was not completed: what was evaluated goes into the archive, without history."""
        if self.round:
            return
        wanted = sum(
            one.population if one.strategy in _POPULATED else one.walk.evaluations for one in self.problem.islands
        )
        kept = ""
        if individuals:
            self.newest = merge([individuals], self.problem.archive, self.problem.term_names)
            self.hash = archive_hash(self.newest)
            self.write_archive([])
            kept = ", the best of them are kept in archive.h5"
        self.reporter.say(
            f"the first generation was not complete: {evaluated} of {wanted} structures were evaluated{kept}; "
            "a session that follows begins it anew"
        )

    def _gather(self, archives: Sequence[Sequence[Individual]]) -> None:
        """The archive of the run from those of its islands."""
        self.newest = merge(archives, self.problem.archive, self.problem.term_names)
        self.hash = archive_hash(self.newest)
        self.beside.look(self.newest)

    def _finished(self, generation: int, decision: Decision) -> str:
        if self.halted == "seconds":
            return "seconds"
        if self.run.stop.generations is not None and generation >= self.run.stop.generations:
            return "generations" if not (decision.stop_at <= generation) else decision.reason
        if decision.stop_at <= generation:
            return decision.reason
        return ""

    def write_archive(self, histories: Sequence[NDArray[np.float64]]) -> None:
        problem = self.problem
        names = problem.archive.objectives or ("value",)
        write_archive(
            self.folder.archive,
            Archive(
                individuals=self.newest,
                elements=problem.elements,
                term_names=problem.term_names,
                objective_names=names,
                objectives=objectives(self.newest, names, problem.term_names, problem.archive.target_atoms),
                set=self.set,
                history=self.history(histories),
                target=self.target_data.target.to_arrays(),
                basis_text=self.target_data.basis.to_text(),
                run_file=to_toml(self.run),
                seed=self.run.seed,
                archive_hash=self.hash,
                attributes={"version": __version__, "created_by": f"grs_evo {__version__}"},
            ),
            self.ownership.check,
        )

    def history(self, histories: Sequence[NDArray[np.float64]]) -> dict[str, NDArray[Any]]:
        """One column per statistic, one row per island and generation, all rounds."""
        n = self.problem.n_islands
        rows = [self.past, *(self.tagged(island, thinned(history, n)) for island, history in enumerate(histories))]
        table = np.concatenate(rows)
        columns: dict[str, NDArray[Any]] = {name: table[:, 2 + k].copy() for k, name in enumerate(self.names)}
        columns["round"] = table[:, 0].astype(np.int64)
        columns["island"] = table[:, 1].astype(np.int64)
        columns["generation"] = columns["generation"].astype(np.int64)
        return columns

    def tagged(self, island: int, history: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rows with round and island in front."""
        n = len(history)
        return np.column_stack([np.full(n, float(self.round)), np.full(n, float(island)), history])

    # -- status ------------------------------------------------------------------------------------------------------

    def seconds(self) -> float:
        """s so far, all sessions together."""
        return self.seconds_before + time.monotonic() - self.begun

    def snapshot(self) -> Snapshot:
        """The state of the run at this moment."""
        now = time.monotonic()
        return Snapshot(
            folder=self.folder.path,
            run=self.run,
            problem=self.problem,
            rows=self._rows,
            round=self.round,
            generation=self._decision.generation,
            first=self._first or (now, evaluations(self._rows, self.names)),
            started=self.extra.get("session_generation", -1),
            set_size=len(self.set),
            archive_size=len(self.newest),
            archive_hash=self.hash,
            seconds=self.seconds(),
            session_seconds=now - self.begun,
            set_up_seconds=self.set_up_seconds,
            deadline=self.deadline,
            ranks=self.n_ranks,
            pace=self.pace,
            times=self.times,
            balance=self.balance,
            state=self.state,
            reason=self.reason,
            structures=self.structures,
            lowest=self.lowest,
            beside=self.beside.told,
        )

    def write_status(self) -> None:
        """status.json, from which `grs-evo status` reads."""
        self._told = time.monotonic()
        try:
            write_status(self.folder.status, status(self.snapshot()))
        except OSError:
            self.ownership.check()  # says so if the folder has gone; a full disk is the next checkpoint's to tell
        # Of ten thousands of islands it takes a while to write; never more than a fiftieth of the time goes into that.
        self._pause = max(self.run.output.status_seconds, 50.0 * (time.monotonic() - self._told))

    def end(self, state: str, reason: str, generation: int) -> None:
        """The session is over: status.json says how."""
        self.state, self.reason = state, reason
        self._decision = Decision(generation, stop_at=NEVER) if generation >= 0 else self._decision
        self.write_status()


# ---------------------------------------------------------------------------------------------------------------------
# what ranks write by themselves


def shorten(problem: Problem, told: Arrays) -> Arrays:
    """What is told of several shards, without individuals that those of another one keep out of the run's archive."""
    archive = all_that_may_stay(unpack_of(told, "archive"), problem.archive, problem.term_names)
    columns = pack(archive, len(problem.term_names))
    return {**told, **{f"archive.{name}": column for name, column in columns.items()}}


def write_shard(
    folder: Folder, token: str, problem: Problem, generation: int, states: Mapping[int, IslandState]
) -> Arrays:
    """Write the islands of a rank beside a checkpoint; returns what `Recorder.save_shards` needs to know of it.

    Raises
    ------
    StorageError
        The file cannot be written, or the folder belongs to another run by now.
    """
    before = time.monotonic()
    packed = {island: state.to_arrays() for island, state in states.items()}
    shard = checkpoint.save_shard(generation, packed, folder.checkpoints, lambda: check_owner(folder, token))
    found = [one for state in states.values() for one in state.archive]
    archive = all_that_may_stay(found, problem.archive, problem.term_names)
    histories = {island: thinned(states[island].history, problem.n_islands) for island in shard.islands}
    told = checkpoint.Told((shard,), archive, histories).to_arrays(len(problem.term_names))
    return {"seconds": np.array([time.monotonic() - before]), **told}


def thinned(history: NDArray[np.float64], n_islands: int) -> NDArray[np.float64]:
    """Every 2^k-th row of an island's history that has grown long, for archive.h5."""
    most, stride = min(_HISTORY_ROWS, _ALL_HISTORY_ROWS // n_islands), 1
    while len(history) // stride > max(most, 1):
        stride *= 2
    return history[::stride]
