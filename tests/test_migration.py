"""Maps of islands: who owns, who hears whom."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grs_evo.errors import InputError
from grs_evo.parallel.topology import MigrationOptions, Routes, shares, sources


@given(st.integers(1, 40), st.integers(1, 40))
def test_shares_are_even_and_complete(n_islands: int, n_ranks: int) -> None:
    if n_ranks > n_islands:
        with pytest.raises(InputError, match=f"at most {n_islands} ranks"):
            shares(n_islands, n_ranks)
        return
    owned = shares(n_islands, n_ranks)
    assert [k for islands in owned for k in islands] == list(range(n_islands))
    assert max(map(len, owned)) - min(map(len, owned)) <= 1


def _reached(heard: tuple[tuple[int, ...], ...]) -> int:
    """Islands whose individuals come to island 0 sooner or later."""
    seen, front = {0}, {0}
    while front:
        front = {source for k in front for source in heard[k]} - seen
        seen |= front
    return len(seen)


@given(st.integers(1, 30), st.sampled_from(["ring", "torus", "full", "random", "none"]), st.integers(1, 6))
def test_maps(n: int, topology: str, degree: int) -> None:
    options = MigrationOptions(topology=topology, degree=degree)
    heard = sources(n, options, seed=4)
    assert heard == sources(n, options, seed=4)
    assert all(k not in one and list(one) == sorted(set(one)) for k, one in enumerate(heard))
    assert all(len(one) == len(list(one)) and all(k in one for k in one) for one in heard)
    if topology == "none" or n == 1:
        assert heard == ((),) * n
        return
    assert _reached(heard) == n
    # everybody is heard by as many as it hears
    heard_by = [sum(k in one for one in heard) for k in range(n)]
    assert heard_by == [len(one) for one in heard]
    expected = {"ring": 1, "full": n - 1, "random": min(degree, n - 1)}
    if topology in expected:
        assert set(heard_by) == {expected[topology]}
    else:
        assert max(heard_by) <= 4


def test_random_maps_differ_between_seeds() -> None:
    options = MigrationOptions(topology="random", degree=2)
    assert sources(20, options, seed=1) != sources(20, options, seed=2)


@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from(["ring", "torus", "full", "random"]))
def test_every_message_is_expected_and_every_expected_one_sent(n_islands: int, n_ranks: int, topology: str) -> None:
    n_ranks = min(n_ranks, n_islands)
    options = MigrationOptions(topology=topology)
    heard = sources(n_islands, options, 0)
    owner = np.random.default_rng(n_islands).permutation(np.arange(n_islands, dtype=np.int32) % n_ranks)
    routes = [Routes(heard, owner, rank, 1, 1) for rank in range(n_ranks)]
    for rank, one in enumerate(routes):
        assert all(set(islands) <= set(one.mine) for islands in one.receivers().values())
        wanted = {source for k in one.mine for source in heard[k]}
        got = [k for other in routes for k in other.receivers().get(rank, [])]
        assert wanted == set(got)
        assert len(got) == len(wanted)
