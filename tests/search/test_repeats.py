"""Nothing is evaluated twice, as long as it is remembered."""

from __future__ import annotations

import numpy as np
import pytest
from systems import ALLOY, ON_FCC, ToyObjective, toy_problem

from grs_evo.search.candidates.binding import bind
from grs_evo.search.candidates.source import candidate
from grs_evo.search.options import GeneticOptions, IslandOptions
from grs_evo.search.repeats import Repeats, contains, content_key, newest
from search.island_cases import run


def test_nothing_is_evaluated_twice_and_every_evaluation_is_counted():
    objective = ToyObjective()
    problem = toy_problem(ON_FCC, [IslandOptions(population=20)], objective)
    state = run(problem, 20)[-1]
    assert len(objective.seen) == state.counter("evaluations") == 20 + 20 * 18
    assert len(set(objective.seen)) == len(objective.seen)
    assert max(one.evaluation for one in state.population) <= len(objective.seen)
    # Without a memory repeats do occur.
    objective = ToyObjective()
    options = IslandOptions(population=20, genetic=GeneticOptions(memory=0))
    run(toy_problem(ON_FCC, [options], objective), 20)
    assert len(set(objective.seen)) < len(objective.seen)


def test_keys_of_before_and_new_ones_are_refused():
    repeats = Repeats(np.array([3, 7], np.uint64))
    assert 3 in repeats
    assert 5 not in repeats
    repeats.add(5)
    repeats.add_for_later(6)
    assert 5 in repeats
    assert 6 not in repeats
    assert repeats.new_keys.tolist() == [5, 6]
    assert repeats.new_keys.dtype == np.uint64


def test_without_a_memory_nothing_is_refused():
    repeats = Repeats(np.array([3], np.uint64), refuse=False)
    repeats.add(5)
    assert 3 not in repeats
    assert 5 not in repeats


@pytest.mark.parametrize(("most", "kept"), [(0, []), (1, [9]), (2, [1, 9]), (3, [4, 1, 9]), (100, [4, 1, 9])])
def test_the_newest_keys_are_remembered(most, kept):
    assert newest(np.array([4, 1, 9], np.uint64), most).tolist() == kept


def test_keys_are_found_among_sorted_ones():
    keys = np.array([1, 5, 2**64 - 1], np.uint64)
    assert [key for key in (0, 1, 4, 5, 2**64 - 1) if contains(keys, key)] == [1, 5, 2**64 - 1]
    assert not contains(np.empty(0, np.uint64), 0)


def test_keys_tell_what_matters_apart():
    one = candidate(np.random.default_rng(0), bind(ON_FCC, ALLOY))
    other = one.replace(species=(one.species + np.eye(16, dtype=np.int32)[3]) % 2)
    moved = one.replace(positions=one.positions + 0.1)
    assert content_key(one, True) == content_key(moved, True) != content_key(other, True)
    assert len({content_key(each, False) for each in (one, moved, other)}) == 3
