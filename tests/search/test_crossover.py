"""Crossover keeps the limits, and takes something of both parents."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grs_evo.structures.structure import Structure
from search.operator_cases import (
    ACTS,
    OPTIONS,
    SOURCES,
    assert_children_keep_the_limits,
    assert_nearly_always_succeeds,
    parents_of,
)

KEYS, SEEDS = st.sampled_from(sorted(SOURCES)), st.integers(0, 10_000)


@pytest.mark.parametrize("name", ["slice", "occupation"])
@settings(max_examples=25, deadline=None)
@given(key=KEYS, seed=SEEDS)
def test_children_keep_the_limits(name, key, seed):
    assert_children_keep_the_limits(name, key, seed)


@pytest.mark.parametrize(("kind", "least"), [("lattice", 0.9), ("cells", 0.7), ("size", 0.7)])
@pytest.mark.parametrize("name", ["slice", "occupation"])
def test_it_succeeds_nearly_always(name, kind, least):
    assert_nearly_always_succeeds(name, kind, least)


def test_species_of_a_child_come_from_both_parents():
    source = SOURCES["lattice", "free"]
    mixed = 0
    for seed in range(20):
        one, two = parents_of(source, seed)
        child = ACTS["occupation"](np.random.default_rng(seed), (one, two), source.limits, OPTIONS)
        if child is None:  # the parents, or the mixture and a parent, were equal
            continue
        assert ((child.species == one.species) | (child.species == two.species)).all()
        mixed += bool((child.species != one.species).any() and (child.species != two.species).any())
    assert mixed >= 10


def test_a_slice_keeps_atoms_of_the_first_parent_in_its_cell():
    source, kept = SOURCES["cells", "free"], 0
    for seed in range(10):
        one, two = parents_of(source, seed)
        child = ACTS["slice"](np.random.default_rng(seed), (one, two), source.limits, OPTIONS)
        if child is not None:
            assert np.array_equal(child.cell, one.cell)
            same_place = (child.positions[:, None] == one.positions[None]).all(axis=2)
            kept += int(same_place.any(axis=1).sum())
    assert kept >= 5  # most are pushed apart a little


def test_two_equal_parents_have_no_child_by_occupation():
    pure = Structure(3.0 * np.eye(3), 9 * np.eye(3), np.zeros(3, np.int32), np.ones(3, bool))
    limits = SOURCES["lattice", "free"].limits
    assert ACTS["occupation"](np.random.default_rng(0), (pure, pure), limits, OPTIONS) is None
