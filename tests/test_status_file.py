"""status.json and the facts on the screen, from made-up numbers."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import small

from grs_evo.driver.config.run_file import parse
from grs_evo.driver.monitor import console, status_file
from grs_evo.driver.monitor.status_file import Snapshot
from grs_evo.driver.setup import make_problem, make_target_data
from grs_evo.parallel.decisions import Balance, Pace
from grs_evo.parallel.timing import COLUMNS
from grs_evo.search.counters import stat_names
from grs_evo.search.problem import Problem


@pytest.fixture(scope="module")
def problem(tmp_path_factory: pytest.TempPathFactory) -> Problem:
    folder = tmp_path_factory.mktemp("monitor")
    run = parse(small.write(folder).read_text(), "case")
    return make_problem(run, make_target_data(run, folder), folder)


def _balance() -> Balance:
    balance = Balance(np.array([1, 0], np.int32), 2, np.ones(2))
    balance.take(1, np.array([0.5, 0.25]))
    return balance


def _snapshot(problem: Problem, n_rows: int = 2, **changes: object) -> Snapshot:
    names = stat_names(problem.term_names)
    rows = np.zeros((n_rows, len(names)))
    for name, values in {
        "generation": (4, 4),
        "evaluations": (30, 20),
        "gradient_evaluations": (2, 0),
        "best_value": (0.5, 0.25),
        "best_mean": (7.0, 9.0),
        "diversity": (0.2, 0.4),
    }.items():
        rows[:, names.index(name)] = values[:n_rows]
    given: dict[str, object] = {
        "folder": Path("out"),
        "run": parse(small.LATTICE, "case"),
        "problem": problem,
        "rows": rows,
        "round": 0,
        "generation": 4,
        "first": (time.monotonic() - 10.0, 2),
        "started": -1,
        "set_size": 0,
        "archive_size": 3,
        "archive_hash": "abc",
        "seconds": 12.0,
        "session_seconds": 10.0,
        "set_up_seconds": 1.0,
        "deadline": None,
        "ranks": 2,
        "pace": Pace(4, 0.0, 0.1, 0.5, 5),
        "balance": _balance(),
        "times": {1: np.arange(len(COLUMNS), dtype=float)},
        "state": "running",
        "reason": "",
    }
    return Snapshot(**{**given, **changes})  # type: ignore[arg-type]


def test_status_holds_sums_and_the_best_island(problem: Problem) -> None:
    found = status_file.status(_snapshot(problem))
    assert (found["evaluations"], found["archive_hash"], found["ranks"]) == (52, "abc", 2)
    assert (found["best"]["value"], found["best"]["mean"]) == (0.25, 9.0)
    assert found["checkpoints"] == {"saved": 5, "seconds": 0.5, "share": 0.05}
    assert found["spent"] == [{"rank": 1, **{name: float(k) for k, name in enumerate(COLUMNS)}}]
    assert [one["island"] for one in found["islands"]] == [0, 1]
    assert found["islands"][0]["gradient_evaluations"] == 2
    assert [(one["rank"], one["seconds_per_generation"]) for one in found["islands"]] == [(1, 0.5), (0, 0.25)]
    assert found["islands_moved"] == 0


def test_status_before_the_first_generation(problem: Problem) -> None:
    found = status_file.status(_snapshot(problem, n_rows=0, generation=-1))
    assert (found["evaluations"], found["best"], found["islands"]) == (0, {}, [])


def test_status_is_replaced_in_one_step(problem: Problem, tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_text("old")
    status_file.write_status(path, status_file.status(_snapshot(problem)))
    assert json.loads(path.read_text())["generation"] == 4
    assert [entry.name for entry in tmp_path.iterdir()] == ["status.json"]


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({}, 16.0),  # five generations in 10 s, eight to go
        ({"deadline": 1.0}, 0.0),
        ({"generation": -1}, None),
    ],
)
def test_the_time_left_is_that_of_the_budget_used_up_first(
    problem: Problem, changes: dict[str, object], left: float | None
) -> None:
    found = status_file.facts(_snapshot(problem, **changes))
    assert found["seconds_left"] == (None if left is None else pytest.approx(left, abs=0.1))
    assert found["rate"] == pytest.approx(5.0, rel=0.05)
    line = console.line_of(found)
    assert ("best 0.25" in line, "52 evaluations" in line, "left" in line) == (True, True, left is not None)
