"""What a generation depends on: one entry an island, and the terms of its loss."""

from __future__ import annotations

from systems import IN_CELLS, ON_FCC, toy_problem

from grs_evo.search.options import IslandOptions


def test_islands_have_their_own_limits():
    problem = toy_problem(ON_FCC, [IslandOptions(), IslandOptions(candidates=IN_CELLS)])
    assert problem.n_islands == 2
    assert problem.term_names == problem.objective.term_names == ("mean", "variance")
    assert [problem.limits(k).lattice for k in range(2)] == [True, False]
    assert problem.limits(1) is problem.sources[1].limits
