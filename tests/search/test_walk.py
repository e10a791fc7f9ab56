"""Trajectories off the lattice go down, and on where they stopped."""

from __future__ import annotations

import numpy as np
import pytest
from systems import IN_CELLS, ToyObjective, toy_problem

from grs_evo.search.island import advance, start
from grs_evo.search.options import IslandOptions, WalkOptions
from grs_evo.search.state import IslandState
from grs_evo.search.strategies.walk import Walk
from search.island_cases import run, same


@pytest.mark.parametrize(
    ("kind", "better"),
    [("annealing", "first"), ("descent", "first"), ("descent", "best"), ("random_walk", "first")],
)
def test_islands_off_the_lattice_walk_and_resume(kind, better):
    options = IslandOptions(
        strategy=kind, population=4, walk=WalkOptions(evaluations=60, improvement=better, steps=30, patience=20)
    )
    problem = toy_problem(IN_CELLS, [options], objective=ToyObjective(fails=7))
    state = resumed = start(problem, 0, 1)
    first = state.population[0].value
    for _ in range(4):
        state = advance(state, problem)
        resumed = IslandState.from_arrays(advance(resumed, problem).to_arrays())
        assert same(state, resumed)
    assert 5 * 60 <= state.counter("evaluations") <= 5 * 60 + 5
    assert state.counter("rejected_evaluation") > 0
    assert min(one.value for one in state.population) < first
    assert all(np.isfinite(one.value) for one in state.population)


def test_a_walk_is_kept_in_arrays_to_the_last_bit():
    options = WalkOptions(calibration=4)
    one, other = start(toy_problem(IN_CELLS, [IslandOptions(population=2)]), 0, 1).population
    assert Walk.from_arrays({}, options).current is None
    for held in ((None, None), (one, None), (one, other)):
        walk = Walk(np.array([0.5, 0.25, 0.0, 0.0]), 2, *held, step=7, failures=3, restarts=2)
        arrays = walk.to_arrays()
        again = Walk.from_arrays(arrays, options)
        assert (again.step, again.failures, again.restarts, again.n_differences) == (7, 3, 2, 2)
        uids = [None if each is None else each.uid for each in (again.current, again.best_move)]
        assert uids == [None if each is None else each.uid for each in held]
        for name, array in again.to_arrays().items():
            assert array.tobytes() == arrays[name].tobytes(), name


def test_kicks_begin_at_the_best_so_far():
    options = IslandOptions(strategy="descent", population=4, walk=WalkOptions(evaluations=80, kick=2, patience=5))
    states = run(toy_problem(IN_CELLS, [options]), 2)
    kicked = [one for state in states for one in state.population if one.operator == "kick"]
    assert kicked
    assert all(one.parents[0] >= 0 for one in kicked)
