"""Composition rules: rounding, random occupations and their repair."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from search.candidate_cases import rng

from grs_evo.structures.composition import (
    Composition,
    assignable,
    clip,
    draw_occupation,
    free,
    largest_remainder,
    repair,
)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=5), st.integers(1, 60))
def test_largest_remainder(parts, n):
    fractions = np.array(parts) + 1e-3
    fractions /= fractions.sum()
    counts = largest_remainder(fractions, n)
    assert counts.sum() == n
    assert (np.abs(counts - fractions * n) < 1 + 1e-6).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=2, max_size=4), st.data())
def test_clipped_counts_keep_sum_and_bounds(entries, data):
    counts = np.array(entries)
    low = np.array([data.draw(st.integers(0, 3)) for _ in entries])
    high = low + np.array([data.draw(st.integers(0, 12)) for _ in entries])
    if not low.sum() <= counts.sum() <= high.sum():
        return
    result = clip(counts, low, high)
    assert result.sum() == counts.sum()
    assert (result >= low).all()
    assert (result <= high).all()


def rules(n_elements):
    low, high = np.full(n_elements, 0.1), np.full(n_elements, 0.7)
    fractions = np.arange(1.0, n_elements + 1)
    fractions /= fractions.sum()
    return st.sampled_from(
        [
            free(n_elements),
            free(n_elements, endpoints=False),
            Composition("limits", low, high),
            Composition("fractions", fractions, fractions),
        ]
    )


@settings(max_examples=50, deadline=None)
@given(rules(3), st.integers(6, 40), st.integers(0, 1000), st.booleans())
def test_occupations_keep_rule_and_mask(rule, n, seed, masked):
    allowed = np.array([[1, 1, 1], [0, 1, 1], [1, 0, 1]], bool) if masked else None
    species = draw_occupation(rng(seed), rule, allowed, n)
    assert species is not None
    assert rule.admits(np.bincount(species, minlength=3))
    if masked:
        assert allowed[np.arange(n) % 3, species].all()


@settings(max_examples=40, deadline=None)
@given(rules(3), st.integers(6, 30), st.integers(0, 1000))
def test_repair_changes_no_more_than_needed(rule, n, seed):
    generator = rng(seed)
    species = generator.integers(0, 3, n).astype(np.int32)
    fixed = repair(generator, species, rule, None)
    before, after = np.bincount(species, minlength=3), np.bincount(fixed, minlength=3)
    assert rule.admits(after)
    assert (fixed != species).sum() == np.maximum(after - before, 0).sum()


def test_repair_goes_through_a_third_element():
    # Site 0 may only exchange 0 for 1, site 1 only 1 for 2: an atom of 0 becomes 2 in two steps.
    allowed = np.array([[1, 1, 0], [0, 1, 1]], bool)
    wanted = np.array([0.0, 0.5, 0.5])
    fixed = repair(rng(), np.array([0, 1], np.int32), Composition("fractions", wanted, wanted), allowed)
    assert fixed.tolist() == [1, 2]
    assert not assignable(np.array([2, 0, 0]), allowed)
    assert assignable(np.array([1, 0, 1]), allowed)


def test_every_composition_has_the_same_chance():
    """Eight sites of two elements: nine compositions, a ninth each, the pure ones among them; limits cut, no more."""
    generator, draws = rng(3), 9000
    seen = np.bincount([free(2).draw(generator, 8)[0] for _ in range(draws)], minlength=9)
    assert np.abs(seen / draws - 1 / 9).max() < 0.015  # 4.5 standard deviations
    limited = Composition("limits", np.array([0.25, 0.0, 0.0]), np.array([1.0, 0.5, 1.0]))
    seen = {}
    for _ in range(draws):
        counts = tuple(limited.draw(generator, 8))
        seen[counts] = seen.get(counts, 0) + 1
    allowed = [(a, b, 8 - a - b) for a in range(2, 9) for b in range(min(4, 8 - a) + 1)]
    assert sorted(seen) == allowed
    assert np.abs(np.array(list(seen.values())) / draws - 1 / len(allowed)).max() < 0.009


def test_each_sublattice_has_every_composition_with_the_same_chance():
    generator, draws = rng(4), 6000
    allowed = np.array([[1, 1, 0], [0, 1, 1]], bool)
    first = [int((draw_occupation(generator, free(3), allowed, 10)[::2] == 0).sum()) for _ in range(draws)]
    assert np.abs(np.bincount(first, minlength=6) / draws - 1 / 6).max() < 0.022
