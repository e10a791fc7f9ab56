"""Displacements, strain, changes of volume and size: what each changes, and what it leaves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grs_evo.search.candidates.binding import bind
from grs_evo.search.candidates.source import CandidateOptions
from grs_evo.search.operators import spatial
from search.operator_cases import (
    ACTS,
    OPTIONS,
    SOURCES,
    assert_children_keep_the_limits,
    assert_nearly_always_succeeds,
    parents_of,
)

KEYS, SEEDS = st.sampled_from(sorted(SOURCES)), st.integers(0, 10_000)
NAMES = ["displace_one", "displace_some", "displace_all", "strain", "volume", "add", "remove"]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(key=KEYS, seed=SEEDS)
def test_children_keep_the_limits_and_what_they_do_not_change(name, key, seed):
    made = assert_children_keep_the_limits(name, key, seed)
    if made is None:
        return
    child, parent = made
    if name.startswith("displace"):
        assert np.array_equal(child.cell, parent.cell)
        assert np.array_equal(child.species, parent.species)
    if name == "strain":
        assert child.volume == pytest.approx(parent.volume)
    if name in ("strain", "volume"):
        assert child.n_atoms == parent.n_atoms
    if name in ("add", "remove"):
        assert child.n_atoms == parent.n_atoms + (1 if name == "add" else -1)
        assert child.n_atoms / child.volume == pytest.approx(parent.n_atoms / parent.volume)


@pytest.mark.parametrize(("kind", "least"), [("cells", 0.7), ("size", 0.7)])
@pytest.mark.parametrize("name", NAMES)
def test_they_succeed_nearly_always(name, kind, least):
    assert_nearly_always_succeeds(name, kind, least)


def test_nothing_is_added_at_the_largest_size():
    source = SOURCES["size", "free"]
    assert ACTS["add"](np.random.default_rng(0), (parents_of(source, 0)[0],), source.limits, OPTIONS) is None


def test_children_are_cheap(monkeypatch):
    """At 54 atoms contacts are pushed apart once a child, within a few sweeps: far less than its relaxation."""
    sweeps: list[int] = []
    push_apart = spatial.push_apart

    def counted(*arguments):
        result = push_apart(*arguments)
        sweeps.append(result[1])
        return result

    monkeypatch.setattr(spatial, "push_apart", counted)
    source = bind(CandidateOptions(kind="random", sizes=(54, 54), number_density=0.05, min_distance=2.2), ("Ta",))
    parents = parents_of(source, 0)
    for name in ("slice", "displace_all", "strain"):
        sweeps.clear()
        made = [ACTS[name](np.random.default_rng(k), parents, source.limits, OPTIONS) for k in range(50)]
        assert all(child is not None for child in made), name
        assert len(sweeps) == 50, name
        assert np.mean(sweeps) < 25, name
