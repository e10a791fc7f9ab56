"""Selection against slow, obvious definitions."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from grs_evo.search.population.domination import dominated
from grs_evo.search.population.selection import fronts, pick, preference, survivors

points = hnp.arrays(np.float64, st.tuples(st.integers(1, 25), st.integers(1, 3)), elements=st.sampled_from(range(6)))


def naive_ranks(objectives):
    left = list(range(len(objectives)))
    ranks = np.zeros(len(objectives), int)
    rank = 0
    while left:
        front = [
            i
            for i in left
            if not any((objectives[j] <= objectives[i]).all() and (objectives[j] < objectives[i]).any() for j in left)
        ]
        for i in front:
            ranks[i] = rank
            left.remove(i)
        rank += 1
    return ranks


@settings(max_examples=40, deadline=None)
@given(points)
def test_fronts_are_the_naive_ones(objectives):
    ranks, _ = fronts(objectives)
    assert np.array_equal(ranks, naive_ranks(objectives))
    assert np.array_equal(ranks > 0, dominated(objectives))


@settings(max_examples=20, deadline=None)
@given(points, st.integers(1, 25))
def test_survivors_come_from_the_first_fronts(objectives, count):
    kept = survivors(objectives, count)
    ranks = naive_ranks(objectives)
    assert len(set(kept.tolist())) == len(kept) == min(count, len(objectives))
    assert np.array_equal(np.sort(ranks[kept]), np.sort(ranks)[: len(kept)])
    order = np.argsort(preference(objectives))
    assert np.array_equal(order[: len(kept)], kept)


def test_crowding_prefers_the_lonely():
    line = np.array([[0.0, 4.0], [1.0, 3.0], [1.1, 2.9], [1.2, 2.8], [4.0, 0.0]])
    assert set(survivors(line, 2).tolist()) == {0, 4}
    assert 2 not in survivors(line, 4)


def test_no_global_randomness():
    random.seed(1)
    before = random.getstate()
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    survivors(np.random.default_rng(0).random((20, 2)), 10)
    pick(np.random.default_rng(0), np.arange(5.0), 3)
    assert random.getstate() == before
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_tournament_favours_the_best():
    rng = np.random.default_rng(3)
    scores = np.arange(10.0)[::-1].copy()
    wins = np.bincount([pick(rng, scores, 3) for _ in range(4000)], minlength=10)
    # The best of 10 wins unless it is missed three times.
    assert abs(wins[9] / 4000 - (1 - 0.9**3)) < 0.03
    assert wins[0] / 4000 < 0.01
    assert np.bincount([pick(rng, scores, 1) for _ in range(4000)], minlength=10).min() > 300
