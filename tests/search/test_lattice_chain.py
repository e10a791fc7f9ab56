"""Chains on fixed sites: they solve what they should, keep the rules, go on where they stopped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grs_evo.kernels.compiling import probe
from grs_evo.kernels.lattice import chains as kernel
from grs_evo.search.island import advance, start
from grs_evo.search.operators.lattice_moves import make_moves
from grs_evo.search.options import WalkOptions
from grs_evo.search.state import IslandState
from grs_evo.search.strategies.lattice_chain import advance_chain, chain_options, evaluations_done, new_chain
from grs_evo.structures.composition import Composition, free
from search.island_cases import same
from search.lattice_cases import ordering, rules, ternary, walk_problem

EASY = settings(max_examples=15, deadline=None)


FIXED = Composition("counts", np.array([8.0, 24.0]), np.array([8.0, 24.0]))


KINDS = {
    "first": ("descent", WalkOptions()),
    "best": ("descent", WalkOptions(improvement="best")),
    "annealing": ("annealing", WalkOptions()),
    "kicks": ("descent", WalkOptions(kick=4)),
    "several at once": ("annealing", WalkOptions(several=0.3, at_once=3)),
}


@probe
def draw_occupation(rng, moves, occupation):
    kernel.draw_occupation(rng, moves, occupation)


@pytest.mark.parametrize("rule", [free(2), FIXED], ids=["free", "fixed"])
@pytest.mark.parametrize("name", KINDS)
def test_every_strategy_finds_l12(name, rule):
    lattice = ordering()
    kind, options = KINDS[name]
    moves, settings_ = make_moves(lattice, rule), chain_options(kind, options)
    solved = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        chain, found = advance_chain(new_chain(moves, settings_), lattice, moves, settings_, rng, 20_000, 1e-6)
        solved += found
        occupation = chain.elite[0]
        assert evaluations_done(chain) <= 20_000
        assert chain.elite_at[0] == evaluations_done(chain)
        assert np.bincount(occupation, minlength=2).tolist() == [8, 24]
        assert lattice.objective.evaluate(lattice.structure(occupation)).value < 1e-6
    assert solved == 4


@EASY
@given(
    name=st.sampled_from([*KINDS, "random", "greedy"]),
    fixed=st.booleans(),
    seed=st.integers(0, 99),
    cuts=st.lists(st.integers(1, 150), min_size=1, max_size=6),
)
def test_stopped_at_any_evaluation_and_gone_on_is_the_same(name, fixed, seed, cuts):
    lattice = ordering()
    more = {"random": ("random_walk", WalkOptions()), "greedy": ("random_walk", WalkOptions(accept="better"))}
    kind, options = (KINDS | more)[name]
    moves, chosen = make_moves(lattice, FIXED if fixed else free(2)), chain_options(kind, options)
    rng = np.random.default_rng(seed)
    whole, _ = advance_chain(new_chain(moves, chosen), lattice, moves, chosen, rng, sum(cuts))
    rng = np.random.default_rng(seed)
    chain = new_chain(moves, chosen)
    for number in cuts:
        before = [array.copy() for array in chain]
        after, _ = advance_chain(chain, lattice, moves, chosen, rng, number)
        assert evaluations_done(after) == evaluations_done(chain) + number
        assert all((a == b).all() for a, b in zip(before, chain, strict=True))
        chain = after
    assert all(a.tobytes() == b.tobytes() for a, b in zip(whole, chain, strict=True))


def test_losses_kept_are_those_of_the_occupations_and_each_is_there_once():
    lattice = ordering()
    moves, chosen = make_moves(lattice, free(2)), chain_options("annealing", WalkOptions())
    chain, _ = advance_chain(new_chain(moves, chosen, 12), lattice, moves, chosen, np.random.default_rng(1), 3000)
    values = lattice.values(chain.elite)
    assert chain.elite_values == pytest.approx(values, rel=1e-10, abs=1e-12)
    assert (np.diff(chain.elite_values) >= 0).all()
    assert len({row.tobytes() for row in chain.elite}) == 12
    assert chain.floats[kernel.CURRENT] == pytest.approx(lattice.values(chain.current)[0], rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("name", rules())
@pytest.mark.parametrize("kind", ["annealing", "descent", "random_walk"])
def test_rules_are_kept_at_every_evaluation(name, kind):
    lattice, (rule, allowed) = ternary(name), rules()[name]
    moves = make_moves(lattice, rule)
    chosen = chain_options(kind, WalkOptions(several=0.3, steps=15))
    chain, rng, seen = new_chain(moves, chosen), np.random.default_rng(3), set()
    for _ in range(150):
        chain, _ = advance_chain(chain, lattice, moves, chosen, rng, 1)
        for occupation in (chain.current, chain.lowest):
            assert allowed[np.arange(36), occupation].all()
            assert rule.admits(np.bincount(occupation, minlength=3))
        seen.add(chain.current.tobytes())
    assert len(seen) > 5


def test_starts_have_uniformly_random_compositions():
    lattice = ordering()
    moves = make_moves(lattice, free(2))
    rng, occupation = np.random.default_rng(0), np.zeros(32, np.int32)
    counts = []
    for _ in range(3300):
        draw_occupation(rng, moves, occupation)
        counts.append(int(occupation.sum()))
    histogram = np.bincount(counts, minlength=33)
    # 100 expected in each of 33 bins
    assert ((histogram - 100) ** 2 / 100).sum() < 70


def test_an_unbiased_walk_takes_every_move():
    lattice = ordering()
    moves, chosen = make_moves(lattice, FIXED), chain_options("random_walk", WalkOptions())
    chain, _ = advance_chain(new_chain(moves, chosen), lattice, moves, chosen, np.random.default_rng(0), 500)
    assert chain.ints[kernel.ACCEPTED] == chain.ints[kernel.INCREMENTAL] == 499
    assert chain.ints[kernel.RESTARTS] == 0
    greedy = chain_options("random_walk", WalkOptions(accept="better"))
    chain, _ = advance_chain(new_chain(moves, greedy), lattice, moves, greedy, np.random.default_rng(0), 500)
    assert chain.ints[kernel.ACCEPTED] == chain.ints[kernel.IMPROVED] < 100


@pytest.mark.parametrize("kind", ["annealing", "descent", "random_walk"])
def test_islands_on_a_lattice_walk_and_resume(kind):
    problem = walk_problem(kind)
    assert problem.lattices[0] is not None
    state = resumed = start(problem, 0, 1)
    values = []
    for _ in range(4):
        state = advance(state, problem)
        resumed = IslandState.from_arrays(advance(resumed, problem).to_arrays())
        assert same(state, resumed)
        values.append(min(one.value for one in state.population))
    assert sorted(values, reverse=True) == values
    assert state.counter("evaluations") + state.counter("incremental") == 5 * 200
    assert len({one.content for one in state.population}) == 5
    best = min(state.population, key=lambda one: one.value)
    assert best.value == pytest.approx(problem.objective.evaluate(best.structure).value, rel=1e-10, abs=1e-12)
    assert 0 < best.evaluation <= 1000
    if kind != "random_walk":
        assert best.value < 1e-6


def test_a_better_immigrant_becomes_the_next_start():
    problem = walk_problem("descent")
    state = start(problem, 0, 2)
    other = advance(start(walk_problem("descent"), 0, 9), problem).population
    best = min(other, key=lambda one: one.value)
    immigrant = replace(best, island=1, uid=10**13, value=-1.0)
    after = advance(state, problem, immigrants=[immigrant])
    assert after.counter("accepted_migrants") == 1
    assert immigrant.content in {one.content for one in after.population}
