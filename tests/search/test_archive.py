"""The archive is a pure function of the set of individuals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from grs_evo.driver.monitor.summary import best_table
from grs_evo.errors import InputError
from grs_evo.loss.options import LossOptions
from grs_evo.loss.terms.table import weights
from grs_evo.search.population.archive import (
    ArchiveOptions,
    archive_hash,
    check_objectives,
    default_objectives,
    merge,
    objectives,
    rounded,
)
from grs_evo.search.population.domination import dominated, dominated_by
from grs_evo.search.population.growing import extend, lowest
from grs_evo.search.population.individual import UID_BITS, Individual, order_key
from grs_evo.structures.structure import Structure

NAMES = ("mean", "variance")


OPTIONS = ArchiveOptions(objectives=(*NAMES, "n_atoms"))


def individual(mean: float, variance: float, n_atoms: int = 2, uid: int = 0, at: float = 0.0) -> Individual:
    positions = np.arange(3.0 * n_atoms).reshape(n_atoms, 3) + at
    structure = Structure(positions, 10 * np.eye(3), np.zeros(n_atoms, np.int32), np.ones(3, bool))
    return Individual(structure, mean + variance, np.array([mean, variance]), uid)


pools = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(1, 4), st.integers(0, 3)), min_size=1, max_size=40
).map(lambda rows: [individual(m / 8, v / 8, n, uid=k, at=a) for k, (m, v, n, a) in enumerate(rows)])


def same(a, b) -> bool:
    return [(one.uid, one.content) for one in a] == [(one.uid, one.content) for one in b]


@settings(max_examples=50, deadline=None)
@given(pools, st.randoms(use_true_random=False), st.integers(0, 40))
def test_order_and_partition_play_no_part(pool, shuffle, cut):
    whole = merge([pool], OPTIONS, NAMES)
    mixed = list(pool)
    shuffle.shuffle(mixed)
    assert same(whole, merge([mixed[:cut], mixed[cut:]], OPTIONS, NAMES))
    parts = [merge([part], OPTIONS, NAMES) for part in (mixed[:cut], mixed[cut:])]
    assert same(whole, merge(parts, OPTIONS, NAMES))
    step: tuple[Individual, ...] = ()
    for one in mixed:
        step = extend(step, [one], OPTIONS, NAMES)
    assert same(whole, step)
    assert archive_hash(whole) == archive_hash(whole[::-1])


batches = st.lists(
    st.lists(
        st.tuples(*[st.sampled_from([0.0, 0.25, 0.5, 0.5 + 1e-9, 1.0])] * 3, st.integers(1, 3), st.integers(0, 2))
    ),
    max_size=6,
)
criteria = st.sampled_from(
    [
        NAMES,
        ("mean",),
        ("value", "n_atoms"),
        (*NAMES, "n_atoms", "core"),
        ("displacements", "mean"),
        ("mean", "elongation"),
    ]
)


@settings(max_examples=60, deadline=None)
@given(batches, criteria, st.sampled_from([2, 3, 100]), st.sampled_from([1, 3, 10]))
def test_what_an_archive_knows_of_itself_plays_no_part(drawn, names, size, best):
    """Step by step, as one that was saved in between, and what a search of the whole for the lowest value finds."""
    options, terms = ArchiveOptions(objectives=names, size=size, best=best), (*NAMES, "core")
    grown: tuple[Individual, ...] = ()
    known: list[Individual] = []
    uid = 0
    for batch in drawn:
        found = known[::3]  # some come back, as those do that other islands send
        for *row, n_atoms, at in batch:
            uid += 1
            structure = individual(0.0, 0.0, n_atoms, at=at).structure
            if at == 2:  # another composition
                structure = replace(structure, species=np.ones(n_atoms, np.int32))
            found.append(Individual(structure, row[0] + row[1], np.array(row), uid))
        known += found
        saved = extend(list(grown), found, options, terms)
        grown = extend(grown, found, options, terms)
        assert same(grown, saved)
        if size == 100 and "displacements" not in names and "elongation" not in names:
            assert same(grown, merge([known], options, terms))
        assert not grown or lowest(grown) is min(grown, key=order_key)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=30), st.integers(1, 3))
def test_dominated_is_what_its_definition_says(rows, n_objectives):
    scores = np.array(rows, float)[:, :n_objectives]
    expected = [bool(((scores <= row).all(1) & (scores < row).any(1)).any()) for row in scores]
    assert dominated(scores).tolist() == expected
    ordered = scores[np.lexsort(scores.T[::-1])].T
    assert dominated_by(scores.T, ordered).tolist() == expected


@settings(max_examples=30, deadline=None)
@given(pools)
def test_front_is_complete_and_undominated(pool):
    options = ArchiveOptions(objectives=(*NAMES, "n_atoms"), best=1)
    kept = merge([pool], options, NAMES)
    front = objectives(kept, options.objectives, NAMES)
    everything = objectives(pool, options.objectives, NAMES)
    assert not dominated(front).any()
    for row in everything[~dominated(everything)]:
        assert (front == row).all(1).any()


def test_the_table_at_the_end_has_no_numbers_that_frighten():
    one = individual(0.5, 0.25, uid=(3 << UID_BITS) + 29)
    many = Individual(one.structure, 0.75, np.array([0.5, 0.25, 172.7]), one.uid, generation=7)
    table = best_table([many], ("Ta",), (*NAMES, "raw"), 5)
    assert "172.7" not in table
    assert table.splitlines()[1].split() == ["Ta2", "2", "0.75", "0.5", "0.25", "random", "3/29", "7"]


def test_nan_never_enters():
    good = individual(0.5, 0.5)
    bad = [individual(np.nan, 0.1, uid=1), individual(np.inf, 0.1, uid=2), individual(-np.inf, 0.1, uid=3)]
    assert same(merge([[*bad, good]], OPTIONS, NAMES), [good])
    assert same(extend((), bad, OPTIONS, NAMES), [])
    assert same(extend((good,), bad, OPTIONS, NAMES), [good])


def test_near_duplicates_are_one():
    a, b = individual(0.5, 0.25, uid=1, at=0.0), individual(0.5 * (1 + 1e-9), 0.25, uid=2, at=0.1)
    assert len(merge([[a, b]], OPTIONS, NAMES)) == 1
    c = individual(0.5 * (1 + 1e-3), 0.2499, uid=3, at=0.1)
    assert len(merge([[a, c]], OPTIONS, NAMES)) == 2
    # What rounding leaves of an exact match counts as exact.
    zeros = [individual(1e-16, 2e-15, uid=1), individual(3e-15, 0.0, uid=2, at=0.1)]
    assert len(merge([zeros], OPTIONS, NAMES)) == 1


def test_bounded_and_extremes_stay():
    pool = [individual(x, (1 - x) ** 2, uid=k) for k, x in enumerate(np.linspace(0, 1, 50))]
    options = ArchiveOptions(objectives=NAMES, size=7, best=1)
    kept = merge([pool], options, NAMES)
    assert len(kept) <= 8
    scores = objectives(kept, NAMES, NAMES)
    assert scores[:, 0].min() == 0.0
    assert scores[:, 1].min() == 0.0
    assert same(kept, merge([pool[::-1]], options, NAMES))
    # Spread over the front, not bunched.
    assert np.diff(np.sort(scores[:, 0])).max() < 0.4


def test_best_values_are_kept_even_when_dominated():
    pool = [individual(0.1 * k, 0.1 * k, uid=k) for k in range(20)]
    kept = merge([pool], ArchiveOptions(objectives=NAMES, best=5), NAMES)
    assert sorted(one.uid for one in kept) == [0, 1, 2, 3, 4]


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20), st.sampled_from([1e-2, 1e-6, 1e-9]))
@example([0.0, 1e-10], 1e-9)  # what is cut to less than the least number that counts
def test_rounding_keeps_order_and_is_idempotent(values, tolerance):
    ordered = np.sort(np.array(values))
    cut = rounded(ordered, tolerance)
    assert (np.diff(cut) >= 0).all()
    assert np.array_equal(rounded(cut, tolerance), cut)
    assert (np.abs(cut - ordered) <= tolerance * np.abs(ordered) + 1e-10).all()


def test_objectives_are_named():
    one = individual(0.25, 0.5, n_atoms=4)
    row = objectives([one], ("cost", "value", "variance"), NAMES, target_atoms=2.0)
    assert row.tolist() == [[8.0, 0.75, 0.5]]
    assert default_objectives(NAMES, size_free=True) == ("mean", "variance", "n_atoms")
    assert default_objectives(("raw",), size_free=False) == ("value",)
    with pytest.raises(InputError, match=r"archive.objectives: 'varience'.*did you mean 'variance'"):
        check_objectives(["varience"], NAMES)
    with pytest.raises(InputError, match="each once"):
        check_objectives(["mean", "mean"], NAMES)


def test_objectives_that_the_search_raises_are_none():
    """Away from a target the value is all that falls: a front of mean and variance would be made of the worst."""
    away = weights(LossOptions(w_structure=-0.01))
    assert default_objectives((*NAMES, "core"), size_free=True, weights=away) == ("value", "n_atoms")
    with pytest.raises(InputError, match=r"archive.objectives: 'variance' .* weight -0.01.* name 'value' instead"):
        check_objectives(["value", "variance"], NAMES, away)
    assert check_objectives(["value", "core"], (*NAMES, "core"), away) == ("value", "core")
    one = weights(LossOptions(variance=-1.0))
    assert default_objectives(NAMES, size_free=False, weights=one) == ("value",)
    assert check_objectives(["mean"], NAMES, one) == ("mean",)
    with pytest.raises(InputError, match="'matched' enters the value with the weight -2"):
        check_objectives(["matched"], ("matched",), weights(LossOptions(reward=2.0)))


def test_value_is_the_objective_where_more_than_mean_and_variance_decides():
    names = ("structure", "mean", "variance", "core", "raw")
    parts = ("mean", "variance", "core")
    assert default_objectives(names, False, weights(LossOptions())) == parts
    assert default_objectives(names, True, weights(LossOptions(variance=0.0))) == (*parts, "n_atoms")
    for options in (
        LossOptions(w_set=1.0),
        LossOptions(w_structure=0.0, w_set=1.0),
        LossOptions(w_entropy=0.1),
        LossOptions(reward=0.1),
        LossOptions(skewness=0.5),
    ):
        assert default_objectives((*names, "set"), False, weights(options)) == ("value",)


signed = st.sampled_from([-1.0, 0.0, 0.5, 1.0])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, 6)] * 4, st.integers(1, 3)), min_size=1, max_size=30),
    st.tuples(signed, signed, signed, signed),
)
def test_the_lowest_value_is_always_on_the_default_front(rows, drawn):
    mean, variance, w_structure, w_set = drawn
    options = LossOptions(mean=mean, variance=variance, w_structure=w_structure, w_set=w_set)
    names, weight = ("mean", "variance", "core", "set"), weights(options)
    pool = []
    for k, (*row, n_atoms) in enumerate(rows):
        one = individual(0.0, 0.0, n_atoms, uid=k, at=0.01 * k)
        terms = np.array(row) / 8
        value = float(sum(weight[name] * term for name, term in zip(names, terms, strict=True)))
        pool.append(Individual(one.structure, value, terms, k))
    chosen = default_objectives(names, size_free=True, weights=weight)
    kept = merge([pool], ArchiveOptions(objectives=chosen, best=1), names)
    front = ~dominated(objectives(kept, chosen, names))
    lowest = min(one.value for one in pool)
    assert lowest == min(one.value for one, on in zip(kept, front, strict=True) if on)
