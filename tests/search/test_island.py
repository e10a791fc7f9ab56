"""An island from generation to generation: immigrants, seeds, refreshes, emigrants, interruptions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from systems import ON_FCC, toy_problem

from grs_evo.search.candidates.source import CandidateOptions
from grs_evo.search.counters import stat_names
from grs_evo.search.island import advance, diversity, emigrants, start, stats
from grs_evo.search.options import IslandOptions, MigrantOptions
from grs_evo.search.population.individual import UID_BITS
from grs_evo.search.state import IslandState
from search.island_cases import same


def test_islands_have_their_own_streams_and_uids():
    problem = toy_problem(ON_FCC, [IslandOptions(population=5)] * 3)
    states = [start(problem, k, 7) for k in range(3)]
    uids = [one.uid for state in states for one in state.population]
    assert len(set(uids)) == len(uids)
    assert all(one.uid >> UID_BITS == state.island for state in states for one in state.population)
    contents = {one.content for state in states for one in state.population}
    assert len(contents) == 15
    again = start(problem, 1, 7, round=1, previous=states[1])
    assert again.counter("evaluations") == 10
    assert not {one.uid for one in again.population} & set(uids)


def test_the_best_go_on_into_the_next_round():
    problem = toy_problem(ON_FCC, [IslandOptions(population=5, carried=0.4)])
    before = start(problem, 0, 7)
    best = sorted(before.population, key=lambda one: (one.value, one.uid))
    after = start(problem, 0, 7, round=1, previous=before)
    assert after.counter("accepted_seeds") == 2
    assert best[0].content in {one.content for one in after.population}
    assert len(after.population) == 5
    assert start(problem, 0, 7, round=1).counter("accepted_seeds") == 0


@pytest.mark.parametrize("rule", ["worst", "random", "similar"])
def test_immigrants_take_a_place_and_are_counted(rule):
    problem = toy_problem(ON_FCC, [IslandOptions(population=8)] * 2, migration=MigrantOptions(replace=rule))
    mine, theirs = start(problem, 0, 1), start(problem, 1, 1)
    immigrants = sorted(theirs.population, key=lambda one: one.value)[:2]
    after = advance(mine, problem, immigrants=immigrants)
    assert after.counter("accepted_migrants") == 2
    assert len(after.population) == 8
    # Who is already there, or is not a number, is none of them.
    again = advance(mine, problem, immigrants=[mine.population[0], replace(immigrants[0], value=float("nan"))])
    assert again.counter("accepted_migrants") == 0
    best = min(one.value for one in mine.population)
    assert min(one.value for one in after.population) <= best
    alone = advance(mine, problem)
    assert not same(after, alone)


def test_seeds_are_evaluated_and_enter():
    problem = toy_problem(ON_FCC)
    state = start(problem, 0, 1)
    perfect = state.population[0].structure.replace(species=np.arange(16, dtype=np.int32) % 2)
    after = advance(state, problem, seeds=[perfect])
    assert after.counter("accepted_seeds") == 1
    assert after.counter("evaluations") == state.counter("evaluations") + 1 + 10
    found = min(after.archive, key=lambda one: one.value)
    assert found.operator == "seed"
    assert found.terms[0] == 0.0


def test_what_does_not_fit_is_refused():
    """Islands may differ in size and sites; a seed may be anything."""
    problem = toy_problem(ON_FCC)
    state = start(problem, 0, 1)
    known = state.population[0]
    small = known.structure.replace(positions=known.structure.positions[:4], species=known.structure.species[:4])
    moved = known.structure.replace(positions=known.structure.positions + 0.1)
    after = advance(state, problem, immigrants=[replace(known, structure=small, uid=99)], seeds=[small, moved])
    assert after.counter("accepted_migrants") == after.counter("accepted_seeds") == 0
    assert after.counter("rejected_size") == 3
    assert all(one.structure.n_atoms == 16 for one in after.population)


def test_a_refresh_without_new_candidates_goes_on():
    tiny = CandidateOptions(lattice="sc", a=3.0, repeat=(2, 1, 1), composition="free")
    problem = toy_problem(tiny, [IslandOptions(population=4, refresh=0.5, collapse=1.0, patience=1)])
    first = start(problem, 0, 1)
    assert len({one.content for one in first.population}) == 4  # all occupations of two sites: none is left
    best = min(first.population, key=lambda one: one.value)
    state = replace(first, population=(best,) * 4)
    for _ in range(3):
        state = advance(state, problem)
    assert state.counter("refreshes") == 3
    assert state.counter("rejected_repeat") > first.counter("rejected_repeat")
    assert state.counter("evaluations") == first.counter("evaluations") == 4
    # none makes way for a candidate that there is not
    assert [one.uid for one in state.population] == [best.uid] * 4


def test_emigrants_leave_when_due_and_wait_for_the_delay():
    migration = MigrantOptions(emigrants=3, interval=2, delay=2)
    problem = toy_problem(ON_FCC, migration=migration)
    state = start(problem, 0, 1)
    for generation in range(1, 8):
        state = advance(state, problem)
        due = [g for g in range(2, generation + 1, 2) if g > generation - 2]
        assert [g for g, _ in state.outbox] == due
        gone = emigrants(state, generation)
        assert len(gone) == (3 if generation % 2 == 0 else 0)
        if gone:
            assert gone[0].value == stats(state)[stat_names(problem.term_names).index("best_value")]


def test_interruption_leaves_the_old_state_whole():
    class Stop(Exception):
        pass

    problem = toy_problem(ON_FCC)
    state = start(problem, 0, 1)
    packed = {name: array.copy() for name, array in state.to_arrays().items()}
    calls = 0

    def poll() -> None:
        nonlocal calls
        calls += 1
        if calls == 7:
            raise Stop

    with pytest.raises(Stop):
        advance(state, problem, poll=poll)
    assert all(np.array_equal(array, packed[name]) for name, array in state.to_arrays().items())
    assert same(advance(state, problem), advance(state, problem, poll=lambda: None))
    assert calls == 7


def test_collapse_is_noticed_and_refreshed():
    def grown(refresh: float) -> IslandState:
        options = IslandOptions(population=8, refresh=refresh, patience=2, collapse=1.0)
        problem = toy_problem(ON_FCC, [options])
        state = start(problem, 0, 1)
        one = state.population[0]
        state = replace(state, population=(one,) * 8)
        for _ in range(4):
            state = advance(state, problem)
        return state

    assert grown(0.0).counter("refreshes") == 0
    fresh = grown(0.5)
    assert fresh.counter("refreshes") >= 1
    assert len(fresh.population) == 8


def test_diversity_counts_pairs():
    problem = toy_problem(ON_FCC)
    population = start(problem, 0, 1).population
    one, two = population[0], next(p for p in population if p.terms[0] != population[0].terms[0])
    assert diversity([one]) == 0.0
    assert diversity([one, one, one]) == 0.0
    assert diversity([one, two]) == 1.0
    assert diversity([one, one, two]) == pytest.approx(2 / 3)


def test_islands_may_differ():
    islands = [
        IslandOptions(
            population=5, candidates=CandidateOptions(lattice="bcc", a=3.0, composition="free", repeat=(n, 1, 1))
        )
        for n in (2, 3)
    ]
    problem = toy_problem(ON_FCC, [*islands, IslandOptions(population=4, strategy="gradient")])
    sizes = [{one.structure.n_atoms for one in start(problem, k, 1).population} for k in range(3)]
    assert sizes == [{4}, {6}, {16}]
