"""Counters, and the rows and columns of an island's history."""

from __future__ import annotations

import numpy as np
import pytest
from systems import ON_FCC, toy_problem

from grs_evo.search.counters import CAUSES, COUNTERS, Ledger, stat_names
from grs_evo.search.island import advance, start, stats
from grs_evo.search.operators.table import operator_names


def test_row_names_fit_and_values_are_right():
    problem = toy_problem(ON_FCC)
    state = advance(start(problem, 0, 1), problem)
    row = dict(zip(stat_names(problem.term_names), stats(state), strict=True))
    assert row["generation"] == 1
    assert row["evaluations"] == state.counter("evaluations") == len(problem.objective.seen)
    values = [one.value for one in state.population]
    assert (row["population_best"], row["population_worst"]) == (min(values), max(values))
    assert row["best_value"] == min(one.value for one in state.archive)
    assert row["best_mean"] + row["best_variance"] == pytest.approx(row["best_value"])
    assert row["archive_size"] == len(state.archive)


def ledger() -> Ledger:
    n_operators = len(operator_names())
    return Ledger(*(np.zeros(n, np.int64) for n in (len(COUNTERS), n_operators, n_operators)), next_uid=5, generation=2)


def test_every_cause_operator_and_kind_of_evaluation_has_its_counter():
    counts = ledger()
    for cause in CAUSES:
        counts.reject(cause)
    counts.count("evaluations", 3)
    counts.count("gradient_evaluations", 4)
    counts.count("incremental", 5)
    assert counts.evaluations == 12
    assert dict(zip(COUNTERS, counts.counters.tolist(), strict=True)) == {
        "evaluations": 3, "gradient_evaluations": 4, "incremental": 5,
        "accepted_migrants": 0, "accepted_seeds": 0, "refreshes": 0,
        **{f"rejected_{cause}": 1 for cause in CAUSES},
    }  # fmt: skip
    for name in operator_names():
        counts.attempt(name, 2)
        counts.success(name)
    counts.success("random")  # made by no operator
    assert counts.tries.tolist() == [2] * len(operator_names())
    assert counts.successes.tolist() == [1] * len(operator_names())


def test_uids_run_on_and_the_caller_is_asked_now_and_then():
    counts, calls = ledger(), []
    assert [counts.new_uid() for _ in range(3)] == [5, 6, 7]
    counts.check()
    counts.poll = lambda: calls.append(1)
    counts.check()
    assert calls == [1]


def test_columns_are_each_there_once():
    names = stat_names(("mean", "variance"))
    assert len(set(names)) == len(names)
    assert names[:2] == ("generation", "evaluations")
    assert names[-1] == f"successes_{operator_names()[-1]}"
