"""Rank 0's desk: clock, files and screen of a run. It answers the conductor's questions and keeps what is decided."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo import __version__
from grs_evo.driver.config.run_file import RunFile
from grs_evo.driver.config.toml import to_toml
from grs_evo.driver.monitor.console import Reporter
from grs_evo.driver.monitor.status_file import _ISLAND_FACTS
from grs_evo.errors import InputError
from grs_evo.parallel.decisions import NEVER, Decision, Pace, Totals
from grs_evo.parallel.timing import COLUMNS
from grs_evo.search.counters import stat_names
from grs_evo.search.island import violation
from grs_evo.search.population.archive import archive_hash, merge, objectives
from grs_evo.search.population.individual import Individual, pack, unpack
from grs_evo.search.problem import Problem
from grs_evo.storage import checkpoint
from grs_evo.storage.archive_file import Archive, write_archive
from grs_evo.storage.run_folder import Folder, Ownership
from grs_evo.storage.seed_folder import _TAKEN
from grs_evo.storage.target_file import TargetData
from grs_evo.structures.reading import read_structures
from grs_evo.structures.structure import Structure
from grs_evo.text import counted

Arrays = dict[str, NDArray[Any]]

_COUNTED = ("evaluations", "gradient_evaluations", "incremental")
# s between two looks for a stop request, new seeds, and whether the folder is still ours
_LOOK = 0.5
# Rows of history kept per island; of longer runs every second, fourth, … generation is.
_HISTORY_ROWS = 20_000


@dataclass
class Recorder:
    """Mutable, since it is where things are kept; only rank 0 has one."""

    folder: Folder
    ownership: Ownership
    run: RunFile
    target_data: TargetData
    problem: Problem
    fingerprint: dict[str, str]
    reporter: Reporter
    n_ranks: int
    seconds_before: float = 0.0  # spent in earlier sessions
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
    spent: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)  # rank -> its time, see `spent.COLUMNS`
    last_reason: str = ""  # why the newest generation saved was the last of its round

    def __post_init__(self) -> None:
        self.names = stat_names(self.problem.term_names)
        self.column = {name: k for k, name in enumerate(self.names)}
        if not len(self.past):
            self.past = np.empty((0, 2 + len(self.names)))
        self.begun = time.monotonic()
        self.pace = Pace(-1, self.begun)
        self._looked = 0.0
        self._sought = 0.0
        self._told = 0.0
        self._pause = self.run.output.status_seconds  # until the next status.json
        self._rows = np.empty((0, len(self.names)))
        self._first: tuple[float, float] | None = None  # clock and evaluations when the session's first rows came
        self._seen: dict[str, tuple[int, int]] = {}  # seed files: size and time when last looked at
        self._decision = Decision(-1)

    def take_over(self, point: checkpoint.Checkpoint) -> None:
        """Stand where a checkpoint stands: what it knows is told even if this session adds nothing."""
        self.seconds_before, self.round, self.past = point.seconds, point.round, point.past
        self.steps_before = point.step - point.generation
        self._rows = np.array([one["history"][-1] for one in point.states])
        self._decision = Decision.from_array(point.decision)
        self._gather(point.states)

    # -- what the conductor asks -------------------------------------------------------------------------------------

    def totals(self, generation: int, rows: NDArray[np.float64]) -> Totals:
        best = float(rows[:, self.column["best_value"]].min())
        return Totals(generation, best, float(self._evaluations(rows)))

    def _evaluations(self, rows: NDArray[np.float64]) -> int:
        return int(sum(rows[:, self.column[name]].sum() for name in _COUNTED))

    def observe(self, rows: NDArray[np.float64], decision: Decision, pace: Pace) -> None:
        self._rows, self._decision = rows, decision
        self.pace = pace
        now = time.monotonic()
        if self._first is None:
            self._first = (now, self._evaluations(rows))
        self.reporter.progress(self.facts())
        if now - self._told >= self._pause:
            self.write_status()

    def halt_reason(self, heard: str) -> str:
        if heard:
            self.halted = heard
            return heard
        now = time.monotonic()
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
        again = self.taken(made)
        if again:
            return again
        if time.monotonic() - self._sought < _LOOK:
            return []
        self._sought = time.monotonic()
        for path in self._dropped():
            self._take(path, made)
        return self.taken(made)

    def _dropped(self) -> list[Path]:
        """Files in seeds/ that nobody has touched since the last look."""
        try:
            files = sorted(path for path in self.folder.seeds.iterdir() if path.is_file() and path.name[0] != ".")
        except OSError:
            return []
        before, self._seen = self._seen, {}
        settled = []
        for path in files:
            try:
                facts = path.stat()
            except OSError:
                continue
            mark = self._seen[path.name] = (facts.st_size, facts.st_mtime_ns)
            if before.get(path.name) == mark:
                settled.append(path)
        return settled

    def _take(self, path: Path, made: int) -> None:
        """Move a seed file to where a resume finds it again, its name saying when it entered; that is its record."""
        place = self.folder.seeds / "taken"
        try:
            found = self._read_seeds(path)
        except InputError as error:
            place = self.folder.seeds / "refused"
            place.mkdir(exist_ok=True)
            os.replace(path, place / path.name)
            self.reporter.say(f"seed refused: {error}")
            return
        place.mkdir(exist_ok=True)
        number = 1 + max((int(match[1]) for name in os.listdir(place) if (match := _TAKEN.fullmatch(name))), default=0)
        self.ownership.check()
        os.replace(path, place / f"{number:06d}_r{self.round}_g{made}_{path.name}")
        self.reporter.say(self._welcome(path.name, found, number, made))

    def _welcome(self, name: str, found: Sequence[Structure], number: int, made: int) -> str:
        """What becomes of the structures of a seed file, in a line."""
        causes = [violation(one, self._host(number, k), self.problem) for k, one in enumerate(found)]
        refused = [cause for cause in causes if cause is not None]
        line = f"seeds: {len(found) - len(refused)} of {counted(len(found), 'structure')} of {name} enter"
        line += f" at generation {made}"
        if refused:
            line += f"; the limits of their islands refuse the others for {', '.join(sorted(set(refused)))}"
        return line

    def _host(self, number: int, k: int) -> int:
        """The island that structure `k` of seed file `number` goes to: each in turn."""
        return (number - 1 + k) % self.problem.n_islands

    def taken(self, made: int) -> list[tuple[int, Structure]]:
        """Seeds that enter when a generation of this round is made, island by island in turn."""
        place = self.folder.seeds / "taken"
        if not place.is_dir():
            return []
        seeds = []
        for name in sorted(os.listdir(place)):
            match = _TAKEN.fullmatch(name)
            if match and (int(match[2]), int(match[3])) == (self.round, made):
                for k, structure in enumerate(self._read_seeds(place / name)):
                    seeds.append((self._host(int(match[1]), k), structure))
        return seeds

    def _read_seeds(self, path: Path) -> list[Structure]:
        return [entry.structure for entry in read_structures(path, self.problem.elements)]

    # -- rounds ------------------------------------------------------------------------------------------------------

    def begin_round(self, problem: Problem, round_: int, accepted: Sequence[Individual], counts: Sequence[int]) -> None:
        """A round begins, or goes on after a resume."""
        self.problem, self.round = problem, round_
        self.set = list(accepted)
        self.extra["accepted"] = list(counts)

    def end_round(self, final: Sequence[Arrays], accepted: Sequence[Individual], done: str) -> None:
        """A round is over: its history is kept, and the set shown to readers of the archive."""
        self.set = list(accepted)
        histories = [one["history"] for one in final]
        self.write_archive(histories)
        kept = [self.tagged(island, history) for island, history in enumerate(histories)]
        self.past = np.concatenate([self.past, *kept])
        self.steps_before += int(histories[0][-1, self.column["generation"]]) + 1
        self.reporter.say(f"round {self.round}: {len(self.set)} structures in the set{': ' + done if done else ''}")
        self.last_reason = done or self.last_reason

    # -- saving ------------------------------------------------------------------------------------------------------

    def save(self, generation: int, states: Sequence[Arrays], decision: Decision, final: bool) -> None:
        self._gather(states)
        self.last_reason = self._finished(generation, decision) if final else ""
        finished = "" if self.run.set.rounds else self.last_reason
        saved = checkpoint.Checkpoint(
            step=self.steps_before + generation,
            round=self.round,
            generation=generation,
            decision=decision.to_array(),
            states=list(states),
            set=pack(self.set, len(self.problem.term_names)),
            past=self.past,
            seconds=self.seconds(),
            fingerprint=self.fingerprint,
            run_file=to_toml(self.run),
            finished=finished,
            extra=self.extra,
        )
        checkpoint.save(saved, self.folder.checkpoints, self.run.checkpoint.keep, self.ownership.check)
        self.write_archive([one["history"] for one in states])
        self.reporter.note(f"saved generation {generation}")

    def _gather(self, states: Sequence[Arrays]) -> None:
        """The archive of the run from those of its islands."""
        archives = [
            unpack({name[8:]: column for name, column in one.items() if name.startswith("archive.")}) for one in states
        ]
        self.newest = merge(archives, self.problem.archive, self.problem.term_names)
        self.hash = archive_hash(self.newest)

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
        rows = [self.past, *(self.tagged(island, history) for island, history in enumerate(histories))]
        table = np.concatenate(rows)
        columns: dict[str, NDArray[Any]] = {name: table[:, 2 + k].copy() for k, name in enumerate(self.names)}
        columns["round"] = table[:, 0].astype(np.int64)
        columns["island"] = table[:, 1].astype(np.int64)
        columns["generation"] = columns["generation"].astype(np.int64)
        return columns

    def tagged(self, island: int, history: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rows with round and island in front; every 2^k-th of a history that has grown long."""
        stride = 1
        while len(history) // stride > _HISTORY_ROWS:
            stride *= 2
        kept = history[::stride]
        return np.column_stack([np.full(len(kept), float(self.round)), np.full(len(kept), float(island)), kept])

    # -- telling -----------------------------------------------------------------------------------------------------

    def seconds(self) -> float:
        """Spent so far, all sessions together."""
        return self.seconds_before + time.monotonic() - self.begun

    def facts(self) -> dict[str, Any]:
        """The state of the run for people."""
        rows, now = self._rows, time.monotonic()
        best = rows[int(rows[:, self.column["best_value"]].argmin())]
        evaluations = self._evaluations(rows)
        first = self._first or (now, evaluations)
        spent = now - first[0]
        return {
            "folder": self.folder.path,
            "round": self.round,
            "rounds": self.run.set.rounds,
            "set_size": len(self.set),
            "generation": self._decision.generation,
            "generations": self.run.stop.generations,
            "evaluations": evaluations,
            "rate": (evaluations - first[1]) / spent if spent > 0 else 0.0,
            "best": float(best[self.column["best_value"]]),
            "best_terms": self._best_terms(best),
            "diversity": float(rows[:, self.column["diversity"]].mean()),
            "accepted_migrants": int(rows[:, self.column["accepted_migrants"]].sum()),
            "seconds": self.seconds(),
            "seconds_left": self._left(spent),
        }

    def _best_terms(self, row: NDArray[np.float64]) -> dict[str, float]:
        return {name: float(row[self.column[f"best_{name}"]]) for name in self.problem.term_names}

    def _left(self, spent: float) -> float | None:
        """s until the budget of this session is spent, whichever part of it goes first."""
        left = []
        done, budget = self._decision.generation, self.run.stop.generations
        started = self.extra.get("session_generation", -1)
        if budget is not None and done > started + 1 and spent > 0:
            left.append(spent / (done - started) * (budget - done))
        if self.deadline is not None:
            left.append(self.deadline - time.monotonic())
        if self.run.stop.seconds is not None:
            left.append(self.run.stop.seconds - self.seconds())
        return max(0.0, min(left)) if left else None

    def write_status(self) -> None:
        """status.json, from which `grs-evo status` reads; not worth a flush to disk."""
        self._told = time.monotonic()
        path = self.folder.status
        beside = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            beside.write_text(json.dumps(self.status(), sort_keys=True) + "\n")  # indented it takes ten times as long
            os.replace(beside, path)
        except OSError:
            self.ownership.check()  # says so if the folder has gone; a full disk is the next checkpoint's to tell
        # Of ten thousands of islands it takes a while to tell; never more than a fiftieth of the time goes into that.
        self._pause = max(self.run.output.status_seconds, 50.0 * (time.monotonic() - self._told))

    def status(self) -> dict[str, Any]:
        rows = self._rows
        whole = {name: rows[:, self.column[name]].astype(np.int64) for name in ("generation", *_ISLAND_FACTS)}
        whole["population"] = rows[:, self.column["population_size"]].astype(np.int64)
        causes = [k for name, k in self.column.items() if name.startswith("rejected_")]
        whole["rejected"] = rows[:, causes].sum(axis=1).astype(np.int64)
        columns: dict[str, list[Any]] = {name: column.tolist() for name, column in whole.items()}
        columns |= {name: rows[:, self.column[name]].tolist() for name in ("best_value", "diversity")}
        columns["island"] = list(range(len(rows)))
        columns["strategy"] = [options.strategy for options in self.problem.islands[: len(rows)]]
        islands = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        best: dict[str, float] = {}
        if len(rows):
            lowest = rows[int(rows[:, self.column["best_value"]].argmin())]
            best = {"value": float(lowest[self.column["best_value"]]), **self._best_terms(lowest)}
        session = time.monotonic() - self.begun
        return {
            "state": self.state,
            "stop_reason": self.reason,
            "round": self.round,
            "generation": self._decision.generation,
            "generations": self.run.stop.generations,
            "evaluations": self._evaluations(rows) if len(rows) else 0,
            "seconds": self.seconds(),
            "set_up_seconds": self.set_up_seconds,
            "archive_size": len(self.newest),
            "archive_hash": self.hash,
            "best": best,
            "set_size": len(self.set),
            "islands": islands,
            "ranks": self.n_ranks,
            "checkpoints": {
                "saved": self.pace.n_saved,
                "seconds": self.pace.total_cost,
                "share": self.pace.total_cost / session if session > 0 else 0.0,
            },
            "spent": [
                {"rank": rank, **dict(zip(COLUMNS, row.tolist(), strict=True))}
                for rank, row in sorted(self.spent.items())
            ],
            "seed": self.run.seed,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": __version__,
            "updated": time.time(),
        }

    def end(self, state: str, reason: str, generation: int) -> None:
        """The last words about the run."""
        self.state, self.reason = state, reason
        self._decision = Decision(generation, stop_at=NEVER) if generation >= 0 else self._decision
        self.write_status()
