"""status.json, and the line and panel on the screen: what a run has come to, from a snapshot of its numbers."""

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
from grs_evo.parallel.decisions import Balance, Pace
from grs_evo.parallel.timing import COLUMNS
from grs_evo.search.counters import stat_names
from grs_evo.search.problem import Problem

# Statistics whose sums over the islands count as evaluations of the loss.
_EVALUATIONS = ("evaluations", "gradient_evaluations", "incremental")
_ISLAND_COUNTS = (*_EVALUATIONS, "accepted_migrants", "accepted_seeds")


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A run at one moment."""

    folder: Path
    run: RunFile
    problem: Problem
    rows: NDArray[np.float64]  # (n_islands, n_stats) newest statistics; (0, n_stats) before there are any
    round: int
    generation: int  # newest complete one, -1: none
    first: tuple[float, int]  # s on the monotonic clock and evaluations when the session's first statistics came
    started: int  # generation that the session began with, -1: at the beginning
    set_size: int
    archive_size: int
    archive_hash: str
    seconds: float  # s, all sessions
    session_seconds: float  # s, this session
    set_up_seconds: float  # s of this session before its first generation
    deadline: float | None  # of this session, on the monotonic clock
    ranks: int
    pace: Pace
    times: Mapping[int, NDArray[np.float64]]  # rank -> where its time went, see `timing.COLUMNS`
    balance: Balance  # which rank has which island
    state: str
    reason: str
    structures: int = 0  # made on this rank in this session
    lowest: float | None = None  # value among them; None: there are none
    beside: Mapping[str, Any] = field(default_factory=dict)  # the floor, and what was found by frames kept out

    def column(self, name: str) -> NDArray[np.float64]:
        """One statistic of all islands, (n_islands,)."""
        return self.rows[:, stat_names(self.problem.term_names).index(name)]

    def best_terms(self) -> dict[str, float]:
        """The loss terms of the best structure so far."""
        best = int(self.column("best_value").argmin())
        return {name: float(self.column(f"best_{name}")[best]) for name in self.problem.term_names}


@dataclass(frozen=True)
class Progress:
    """How far a run has come, for those that are called after every generation."""

    generation: int  # newest complete one of the round
    round: int  # of a search for a set; 0 where there are none
    evaluations: int  # of the loss, of every kind, all islands
    best_value: float  # the lowest so far
    best_terms: dict[str, float]  # and its parts
    set_size: int
    seconds: float  # of the run, all sessions


def progress_of(now: Snapshot) -> Progress:
    """What is known at a moment at which there are statistics."""
    return Progress(
        now.generation,
        now.round,
        evaluations(now.rows, stat_names(now.problem.term_names)),
        float(now.column("best_value").min()),
        now.best_terms(),
        now.set_size,
        now.seconds,
    )


def evaluations(rows: NDArray[np.float64], names: Sequence[str]) -> int:
    """Loss evaluations of every kind, all islands together; `names` are those of the columns."""
    return int(sum(rows[:, names.index(name)].sum() for name in _EVALUATIONS))


def facts(now: Snapshot) -> dict[str, Any]:
    """What the screen shows."""
    done = evaluations(now.rows, stat_names(now.problem.term_names))
    elapsed = time.monotonic() - now.first[0]
    begun = len(now.rows) > 0
    return {
        "folder": now.folder,
        "round": now.round,
        "rounds": now.run.set.rounds,
        "set_size": now.set_size,
        "generation": now.generation,
        "generations": now.run.stop.generations,
        "evaluations": done,
        "rate": (done - now.first[1]) / elapsed if elapsed > 0 else 0.0,
        "structures": now.structures,
        "best": float(now.column("best_value").min()) if begun else now.lowest,
        "best_terms": now.best_terms() if begun else {},
        "beside": now.beside,
        "diversity": float(now.column("diversity").mean()) if begun else 1.0,
        "accepted_migrants": int(now.column("accepted_migrants").sum()),
        "seconds": now.seconds,
        "seconds_left": _seconds_left(now, elapsed),
    }


def _seconds_left(now: Snapshot, elapsed: float) -> float | None:
    """s until this session ends, by whichever budget is used up first; None: no budget tells."""
    left = []
    budget = now.run.stop.generations
    if budget is not None and now.generation > now.started + 1 and elapsed > 0:
        left.append(elapsed / (now.generation - now.started) * (budget - now.generation))
    if now.deadline is not None:
        left.append(now.deadline - time.monotonic())
    if now.run.stop.seconds is not None:
        left.append(now.run.stop.seconds - now.seconds)
    return max(0.0, min(left)) if left else None


def status(now: Snapshot) -> dict[str, Any]:
    """The content of status.json."""
    begun = len(now.rows) > 0
    best = {"value": float(now.column("best_value").min()), **now.best_terms()} if begun else {}
    saving = now.pace.total_cost / now.session_seconds if now.session_seconds > 0 else 0.0
    return {
        "state": now.state,
        "stop_reason": now.reason,
        "round": now.round,
        "generation": now.generation,
        "generations": now.run.stop.generations,
        "evaluations": evaluations(now.rows, stat_names(now.problem.term_names)),
        "structures": now.structures,
        "seconds": now.seconds,
        "set_up_seconds": now.set_up_seconds,
        "archive_size": now.archive_size,
        "archive_hash": now.archive_hash,
        "best": best,
        "set_size": now.set_size,
        **now.beside,
        "islands": _islands(now),
        "ranks": now.ranks,
        "islands_moved": now.balance.n_moved,
        "checkpoints": {"saved": now.pace.n_saved, "seconds": now.pace.total_cost, "share": saving},
        "spent": [
            {"rank": rank, **dict(zip(COLUMNS, row.tolist(), strict=True))} for rank, row in sorted(now.times.items())
        ],
        "seed": now.run.seed,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "version": __version__,
        "updated": time.time(),
    }


def _islands(now: Snapshot) -> list[dict[str, Any]]:
    counts = {name: now.column(name) for name in ("generation", *_ISLAND_COUNTS)}
    counts["population"] = now.column("population_size")
    causes = [name for name in stat_names(now.problem.term_names) if name.startswith("rejected_")]
    counts["rejected"] = sum((now.column(name) for name in causes), np.zeros(len(now.rows)))
    columns: dict[str, list[Any]] = {name: column.astype(np.int64).tolist() for name, column in counts.items()}
    columns |= {name: now.column(name).tolist() for name in ("best_value", "diversity")}
    columns["island"] = list(range(len(now.rows)))
    columns["rank"] = now.balance.owner[: len(now.rows)].tolist()
    seconds = now.balance.seconds
    columns["seconds_per_generation"] = [None] * len(now.rows) if seconds is None else seconds[: len(now.rows)].tolist()
    columns["strategy"] = [options.strategy for options in now.problem.islands[: len(now.rows)]]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def write_status(path: Path, found: Mapping[str, Any]) -> None:
    """Put status.json in its place in one step; it is not worth a flush to disk.

    Raises
    ------
    OSError
        It cannot be written; the old one is as it was.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    beside.write_text(json.dumps(found, sort_keys=True) + "\n")  # indented it takes ten times as long
    os.replace(beside, path)
