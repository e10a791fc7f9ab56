"""Contacts of any cell, against slow and obvious loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search.operator_cases import (
    SOURCES,
    parents_of,
)

from grs_evo.kernels.geometry.contacts import closest_ratio, inverse, overlapping, push_apart, slab_images


def naive_contacts(positions, cell, species, pbc, minimum):
    n = len(species)
    result = []
    spans = [range(-3, 4) if periodic else range(1) for periodic in pbc]
    for i in range(n):
        for j in range(n):
            for a in spans[0]:
                for b in spans[1]:
                    for c in spans[2]:
                        if i == j and a == b == c == 0:
                            continue
                        d = np.linalg.norm(positions[j] - positions[i] + np.array([a, b, c]) @ cell)
                        if d < minimum[species[i], species[j]]:
                            result.append((i, j, d / minimum[species[i], species[j]]))
    return result


cells = st.integers(0, 10_000).map(
    lambda seed: (
        np.random.default_rng(seed).normal(size=(3, 3)) * 0.7 + np.diag(np.random.default_rng(seed).uniform(2.5, 6, 3))
    )
)


@settings(max_examples=30, deadline=None)
@given(cells, st.integers(0, 1000), st.integers(1, 8), st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_contacts_of_any_cell(cell, seed, n, pbc):
    if abs(np.linalg.det(cell)) < 10:
        return
    rng = np.random.default_rng(seed)
    positions = rng.random((n, 3)) @ cell * 1.7 - 2.0
    species = rng.integers(0, 2, n).astype(np.int32)
    minimum = np.array([[1.2, 1.6], [1.6, 2.0]])
    pbc = np.array(pbc)
    contacts = naive_contacts(positions, cell, species, pbc, minimum)
    expected = min((ratio for *_, ratio in contacts), default=np.inf)
    assert closest_ratio(positions, cell, species, pbc, minimum) == pytest.approx(expected)
    drop = overlapping(positions, cell, species, pbc, minimum, rng.permutation(n))
    kept = np.flatnonzero(~drop)
    assert not [1 for i, j, _ in contacts if i != j and i in kept and j in kept]
    for i in np.flatnonzero(drop):
        assert [1 for a, b, _ in contacts if a == i and b in kept]
    out, sweeps = push_apart(positions, cell, species, pbc, minimum, np.ones(n, bool), 200)
    if sweeps >= 0:
        assert not naive_contacts(out, cell, species, pbc, minimum)
    if sweeps == 0:
        assert np.array_equal(out, positions)


def test_slab_of_itself_is_itself():
    one = parents_of(SOURCES["size", "free"], 3)[0]
    index, where = slab_images(one.positions, one.cell, one.pbc, np.zeros(3), inverse(one.cell), 0, 0.2, 1.0)
    assert sorted(index.tolist()) == list(range(one.n_atoms))
    shift = where - one.positions[index] @ np.linalg.inv(one.cell)
    assert np.allclose(shift, np.rint(shift), atol=1e-9)
    half, _ = slab_images(one.positions, one.cell, one.pbc, np.zeros(3), inverse(one.cell), 2, 0.7, 0.5)
    inside = (one.positions @ np.linalg.inv(one.cell))[:, 2] % 1.0
    assert len(half) == (((inside - 0.7) % 1.0) < 0.5).sum()
    # Twice the cell holds everything eight times.
    doubled, _ = slab_images(one.positions, one.cell, one.pbc, np.zeros(3), inverse(2 * one.cell), 0, 0.0, 1.0)
    assert (np.bincount(doubled) == 8).all()
