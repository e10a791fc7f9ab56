"""How generations follow from each other: elitism, crossover or mutation, survival, adaptive rates."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from systems import IN_CELLS, ON_FCC, toy_problem

from grs_evo.search.candidates.source import CandidateOptions
from grs_evo.search.counters import stat_names
from grs_evo.search.operators.options import OperatorOptions
from grs_evo.search.operators.table import operator_names
from grs_evo.search.options import GeneticOptions, IslandOptions, SelectionOptions
from grs_evo.search.population.archive import ArchiveOptions
from search.island_cases import run


def row(problem, state):
    return dict(zip(stat_names(problem.term_names), state.history[-1], strict=True))


@pytest.mark.parametrize("candidates", [ON_FCC, IN_CELLS])
def test_it_learns_and_the_elite_lives_on(candidates):
    problem = toy_problem(candidates, [IslandOptions(population=20)])
    states = run(problem, 25)
    best = [min(one.value for one in state.population) for state in states]
    assert (np.diff(best) <= 0).all()
    assert best[-1] < 0.5 * best[0]
    for before, after in pairwise(states):
        elite = sorted(before.population, key=lambda one: (one.value, one.uid))[:2]
        assert {one.uid for one in elite} <= {one.uid for one in after.population}
        assert len(after.population) == 20


def test_a_child_has_crossover_or_mutation_never_both():
    problem = toy_problem(ON_FCC, [IslandOptions(population=20)])
    states = run(problem, 10)
    newest = [one for one in states[-1].population if one.generation == 10]
    assert newest
    for one in newest:
        assert (one.parents[1] >= 0) == (one.operator in ("occupation", "slice"))
        known = {other.uid for other in states[-2].population} | {-1}
        assert set(one.parents) <= known
    share = row(problem, states[-1])
    tries = np.array([share[f"tries_{name}"] for name in operator_names()])
    assert 0.25 < tries[operator_names().index("occupation")] / tries.sum() < 0.55


def test_an_operator_that_always_fails_is_counted_and_does_not_hang():
    # Two atoms of one element: nothing can be swapped, and nothing else is allowed.
    options = IslandOptions(population=4, operators=OperatorOptions(weights={"replace": 0.0}, crossover=0.0))
    tiny = CandidateOptions(lattice="sc", a=3.0, repeat=(2, 1, 1), counts={"Au": 2})
    state = run(toy_problem(tiny, [options]), 3)[-1]
    assert state.counter("rejected_operator") > 100
    assert state.generation == 3
    assert len(state.population) >= 1


def test_plus_survival_keeps_the_best_of_all():
    options = IslandOptions(population=10, genetic=GeneticOptions(survival="plus", children=5))
    problem = toy_problem(ON_FCC, [options])
    states = run(problem, 6)
    for before, after in pairwise(states):
        assert len(after.population) == 10
        worst = sorted(one.value for one in before.population)
        assert (np.sort([one.value for one in after.population]) <= worst).all()
    assert states[-1].counter("evaluations") == 10 + 6 * 5


def test_nsga2_keeps_small_and_good():
    options = IslandOptions(population=20, selection=SelectionOptions(kind="nsga2"))
    archive = ArchiveOptions(objectives=("value", "n_atoms"))
    problem = toy_problem(IN_CELLS, [options], archive=archive)
    state = run(problem, 15)[-1]
    sizes = [one.structure.n_atoms for one in state.population]
    assert min(sizes) == 6
    assert len(set(sizes)) > 1
    front = sorted((one.structure.n_atoms, one.value) for one in state.archive if one.value < 0.3)
    assert front


def test_gradient_strategy_takes_fresh_candidates_only():
    options = IslandOptions(population=6, strategy="gradient")
    problem = toy_problem(IN_CELLS, [options])
    states = run(problem, 4)
    assert states[-1].counter("evaluations") == 5 * 6
    assert states[-1].tries.sum() == 0
    everything = [one.value for state in states for one in state.population]
    assert min(one.value for one in states[-1].population) == min(everything)
    assert {one.operator for one in states[-1].population} == {"random"}


def test_success_is_counted_and_rates_adapt():
    options = IslandOptions(population=20, operators=OperatorOptions(adaptive=True))
    problem = toy_problem(ON_FCC, [options])
    state = run(problem, 15)[-1]
    assert (state.successes <= state.tries).all()
    assert state.successes.sum() > 5
    assert not np.allclose(state.rates, 1.0)
    assert row(problem, state)["successes_flip"] == state.successes[operator_names().index("flip")]
