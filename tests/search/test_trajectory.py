"""Annealing, descent and random walk: on fixed sites inside compiled code, elsewhere by operators, one kind of step."""

from __future__ import annotations

import pytest
from systems import IN_CELLS, toy_problem

from grs_evo.search.options import IslandOptions, WalkOptions
from grs_evo.search.strategies import trajectory
from grs_evo.search.strategies.table import STRATEGIES
from search.island_cases import run
from search.lattice_cases import walk_problem


@pytest.mark.parametrize("kind", ["annealing", "descent", "random_walk"])
def test_each_runs_where_it_can(kind):
    assert STRATEGIES[kind] is getattr(trajectory, kind)
    on_sites = run(walk_problem(kind), 1)[-1]
    assert on_sites.counter("incremental") > 0
    assert "walk.elite" in on_sites.walk
    options = IslandOptions(strategy=kind, population=4, walk=WalkOptions(evaluations=40))
    elsewhere = run(toy_problem(IN_CELLS, [options]), 1)[-1]
    assert elsewhere.counter("incremental") == 0
    assert elsewhere.walk["walk.ints"].shape == (5,)
