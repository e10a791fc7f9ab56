"""Swaps and flips change species, as many as they say, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grs_evo.structures.structure import Structure
from search.operator_cases import ACTS, OPTIONS, SOURCES, assert_children_keep_the_limits, assert_nearly_always_succeeds

KEYS, SEEDS = st.sampled_from(sorted(SOURCES)), st.integers(0, 10_000)
NAMES = ["swap", "swaps", "flip", "flips"]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(key=KEYS, seed=SEEDS)
def test_children_keep_the_limits_and_change_as_many_sites_as_they_say(name, key, seed):
    made = assert_children_keep_the_limits(name, key, seed)
    if made is None:
        return
    child, parent = made
    changed = int((child.species != parent.species).sum())
    if name in ("swap", "swaps"):
        assert np.array_equal(child.counts(3), parent.counts(3))
        assert changed == 2 if name == "swap" else 2 <= changed <= 2 * OPTIONS.several
    if name == "flip":
        assert changed == 1
    if name == "flips":
        assert 1 <= changed <= OPTIONS.several


@pytest.mark.parametrize(("kind", "least"), [("lattice", 0.9), ("cells", 0.7), ("size", 0.7)])
@pytest.mark.parametrize("name", NAMES)
def test_they_succeed_nearly_always(name, kind, least):
    assert_nearly_always_succeeds(name, kind, least)


def test_a_pure_structure_has_nothing_to_swap():
    pure = Structure(3.0 * np.eye(3), 9 * np.eye(3), np.zeros(3, np.int32), np.ones(3, bool))
    limits = SOURCES["lattice", "free"].limits
    assert ACTS["swap"](np.random.default_rng(0), (pure,), limits, OPTIONS) is None
