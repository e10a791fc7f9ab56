"""Evaluations are counted, failed ones too, and replaced."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from systems import ON_FCC, ToyObjective, toy_problem

from grs_evo.search.candidates.source import candidate
from grs_evo.search.counters import COUNTERS, Ledger
from grs_evo.search.evaluation import NO_PARENTS, Proposal, evaluate
from grs_evo.search.operators.table import operator_names
from grs_evo.search.options import GeneticOptions, IslandOptions
from search.island_cases import run
from search.lattice_cases import walk_problem


def test_failed_evaluations_are_counted_and_replaced():
    objective = ToyObjective(fails=3)
    state = run(toy_problem(ON_FCC, [IslandOptions(population=15)], objective), 5)[-1]
    assert state.counter("rejected_evaluation") > 10
    assert len(state.population) == 15
    assert np.isfinite([one.value for one in (*state.population, *state.archive)]).all()
    assert len(objective.seen) == state.counter("evaluations")


def ledger() -> Ledger:
    n_operators = len(operator_names())
    return Ledger(*(np.zeros(n, np.int64) for n in (len(COUNTERS), n_operators, n_operators)), next_uid=5, generation=2)


def test_an_individual_says_where_it_comes_from():
    problem, counts = toy_problem(ON_FCC), ledger()
    one = candidate(np.random.default_rng(0), problem.sources[0])
    found = evaluate([Proposal(one, "swap", (3, -1)), Proposal(one, "seed")], 0, problem, counts)
    assert [(each.uid, each.operator, each.parents) for each in found] == [
        (5, "swap", (3, -1)),
        (6, "seed", NO_PARENTS),
    ]
    assert [each.evaluation for each in found] == [1, 2]
    assert {each.generation for each in found} == {2}
    assert found[0].value == problem.objective.evaluate(one).value


def test_local_passes_never_raise_a_loss_and_their_evaluations_count():
    problem = walk_problem("descent")
    rng = np.random.default_rng(0)
    made = [Proposal(candidate(rng, problem.sources[0]), "random") for _ in range(4)]
    plain = evaluate(made, 0, problem, ledger(), rng)
    options = problem.islands[0].model_copy(update={"genetic": GeneticOptions(passes=2)})
    counts = ledger()
    improved = evaluate(made, 0, replace(problem, islands=(options,)), counts, rng)
    assert all(after.value <= before.value for before, after in zip(plain, improved, strict=True))
    assert improved[0].value < plain[0].value
    assert counts.counters[COUNTERS.index("evaluations")] == 4
    assert counts.counters[COUNTERS.index("incremental")] > 4 * 32
    assert [each.evaluation for each in improved] == sorted(each.evaluation for each in improved)
    assert improved[-1].evaluation <= counts.evaluations
