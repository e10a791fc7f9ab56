"""Moments against the plain formulas on wide matrices, and the algebra of merging them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from grs_evo.errors import InputError
from grs_evo.kernels.compiling import probe
from grs_evo.kernels.loss import moments as compiled
from grs_evo.targets import moments
from grs_evo.targets.moments import moments_of

SIZES = (5, 3)


@probe
def central_into(rows, species, sizes, offsets, counts, places, central, higher):
    compiled.central_into(rows, species, sizes, offsets, counts, places, central, higher)


@probe
def blend(share, mean_a, a2, a3, a4, mean_b, b2, b3, b4):
    return compiled.blend(share, mean_a, a2, a3, a4, mean_b, b2, b3, b4)


@probe
def blend_adjoint(share, mean_a, a2, a3, mean_b, b2, b3, g1, g2, g3, g4):
    return compiled.blend_adjoint(share, mean_a, a2, a3, mean_b, b2, b3, g1, g2, g3, g4)


def rows(seed: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compact rows whose columns span five decades, their elements, and the wide matrix."""
    rng = np.random.default_rng(seed)
    compact = (rng.gamma(2.0, size=(n, 5)) + 3.0) * 10.0 ** np.array([-1.0, 0.0, 1.5, 3.0, 4.0])
    species = rng.integers(0, 2, n).astype(np.int32)
    species[:2] = [0, 1]
    wide = np.zeros((n, 8))
    wide[species == 0, :5] = compact[species == 0]
    wide[species == 1, 5:] = compact[species == 1, :3]
    compact[species == 1, 3:] = np.nan  # never to be looked at
    return compact, species, wide


def plain(wide: np.ndarray) -> np.ndarray:
    return np.array([wide.mean(0), wide.var(0), stats.skew(wide), stats.kurtosis(wide, fisher=False)])


def test_pooled_moments_are_those_of_the_wide_matrix() -> None:
    compact, species, wide = rows(0, 40)
    made = moments_of(compact, species, SIZES, covariance=True)
    np.testing.assert_allclose(made.standardised("pooled"), plain(wide), rtol=1e-11)
    np.testing.assert_allclose(made.covariance("pooled"), np.cov(wide.T, bias=True), rtol=1e-10)


def test_per_element_moments_are_those_of_each_block() -> None:
    compact, species, _ = rows(1, 40)
    made = moments_of(compact, species, SIZES, covariance=True)
    blocks = [plain(compact[species == 0]), plain(compact[species == 1, :3])]
    np.testing.assert_allclose(made.standardised("per_element"), np.hstack(blocks), rtol=1e-11)
    np.testing.assert_allclose(
        made.covariance("per_element")[:5, :5], np.cov(compact[species == 0].T, bias=True), rtol=1e-10
    )
    assert not made.covariance("per_element")[:5, 5:].any()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 30), max_size=6))
def test_merging_any_partition_gives_the_whole(seed: int, cuts: list[int]) -> None:
    compact, species, _ = rows(seed, 30)
    whole = moments_of(compact, species, SIZES, covariance=True)
    edges = [0, *sorted(cuts), 30]
    parts = [moments_of(compact[a:b], species[a:b], SIZES, covariance=True) for a, b in itertools.pairwise(edges)]
    merged = moments.merge_all(parts, SIZES, covariance=True)
    np.testing.assert_allclose(merged.standardised(), whole.standardised(), rtol=1e-10)
    np.testing.assert_allclose(merged.covariance(), whole.covariance(), rtol=1e-9, atol=1e-9)
    again = moments.merge_all(parts, SIZES, covariance=True)
    assert merged.sums.tobytes() == again.sums.tobytes()


def test_whole_weights_are_repetitions() -> None:
    compact, species, _ = rows(2, 20)
    weights = np.random.default_rng(2).integers(1, 4, 20)
    weighted = moments_of(compact, species, SIZES, weights.astype(float))
    repeated = moments_of(np.repeat(compact, weights, axis=0), np.repeat(species, weights), SIZES)
    np.testing.assert_allclose(weighted.counts, repeated.counts)
    np.testing.assert_allclose(weighted.standardised(), repeated.standardised(), rtol=1e-11)


def test_far_from_zero_the_variance_keeps_its_digits() -> None:
    """A nearly perfect crystal: spread 1e-7 of the value. E[x²] − E[x]² would hold two digits of it."""
    rng = np.random.default_rng(3)
    spread = rng.normal(size=(50, 1)) * 1e-7
    made = moments_of(1.0 + spread, np.zeros(50, np.int32), (1,))
    np.testing.assert_allclose(made.central()[1], spread.var(), rtol=1e-6)


def test_without_variance_skewness_and_kurtosis_are_zero() -> None:
    same = np.full((7, 2), 3.7)
    same[:, 1] = 1e-16 * np.arange(7)  # a function that vanishes by symmetry, up to rounding
    made = moments_of(same, np.zeros(7, np.int32), (2,))
    np.testing.assert_allclose(made.standardised()[2:], 0.0, atol=1e-6)
    assert np.isfinite(made.standardised()).all()


def test_absent_elements_and_no_environments_at_all() -> None:
    compact, species, _ = rows(4, 10)
    only = moments_of(compact[species == 0], species[species == 0], SIZES)
    assert not only.standardised()[:, 5:].any()
    nothing = moments.empty(SIZES)
    np.testing.assert_array_equal(moments.merge(nothing, only).central(), only.central())
    assert np.isfinite(nothing.standardised()).all()


def test_arrays_hold_all_of_it() -> None:
    compact, species, _ = rows(5, 10)
    made = moments_of(compact, species, SIZES, covariance=True)
    back = moments.Moments.from_arrays(made.to_arrays())
    assert back.sums.tobytes() == made.sums.tobytes()
    assert back.covariance_sums is not None
    assert made.covariance_sums is not None
    assert back.covariance_sums.tobytes() == made.covariance_sums.tobytes()


def test_different_bases_do_not_merge_and_missing_covariance_is_said() -> None:
    with pytest.raises(InputError, match="different bases"):
        moments.merge(moments.empty((2,)), moments.empty((3,)))
    with pytest.raises(InputError, match="covariance=True"):
        moments.empty((2,)).covariance()


def test_compiled_moments_are_the_same_and_blend_is_the_merge() -> None:
    compact, species, _ = rows(6, 25)
    sizes = np.array(SIZES)
    counts, central = np.zeros(2), np.zeros((4, 8))
    places = np.empty(len(species), np.int64)
    central_into(compact, species, sizes, np.array([0, 5, 8]), counts, places, central, True)
    np.testing.assert_allclose(central, moments_of(compact, species, SIZES).central(), rtol=1e-11)
    a, b = np.array([1.0, 2.0, 0.3, 9.0]), np.array([-1.0, 0.5, -0.1, 1.0])
    mixed = blend(0.3, *a, *b)
    np.testing.assert_allclose(mixed, np.array(moments._blend(np.array(0.3), a, b)), rtol=1e-14)


def test_blend_adjoint_against_differences() -> None:
    a, b, weights = np.array([1.0, 2.0, 0.3, 9.0]), np.array([-1.0, 0.5, -0.1, 1.0]), np.array([0.7, -0.2, 0.5, 0.1])
    slope = blend_adjoint(0.3, *a[:3], *b[:3], *weights)
    for k in range(4):
        step = np.eye(4)[k] * 1e-6
        up, down = blend(0.3, *(a + step), *b), blend(0.3, *(a - step), *b)
        assert slope[k] == pytest.approx(np.dot(weights, np.subtract(up, down)) / 2e-6, rel=1e-8)
