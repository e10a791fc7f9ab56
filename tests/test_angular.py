"""Couplings against textbook formulas, and the number of invariants against integrals over the rotation group."""

from __future__ import annotations

from itertools import product

import naive
import numpy as np
import pytest

from grs_evo.descriptors.angular import (
    complex_coupling,
    count_invariants,
    coupling_over_vertex,
    couplings,
    independent_couplings,
    real_coupling,
    symmetrise,
    tree,
    tree_tensor,
    vertex,
)

TRIPLES = [(a, b, c) for a, b in product(range(4), repeat=2) for c in range(abs(a - b), a + b + 1)]


def test_complex_coupling_is_the_textbook_formula():
    for l1, l2, L in TRIPLES:
        expected = [
            [[naive.clebsch_gordan(l1, m1, l2, m2, L, M) for M in range(-L, L + 1)] for m2 in range(-l2, l2 + 1)]
            for m1 in range(-l1, l1 + 1)
        ]
        np.testing.assert_allclose(complex_coupling(l1, l2, L), expected, atol=1e-14)


def test_complex_coupling_stays_accurate_at_high_momenta():
    c = complex_coupling(12, 12, 12)
    np.testing.assert_allclose(np.einsum("abc,abd->cd", c, c), np.eye(25), atol=1e-14)


def real_harmonics(l, direction):
    y = [naive.harmonic(l, abs(m), direction) for m in range(-l, l + 1)]
    signs = [(-1) ** m for m in range(-l, l + 1)]
    return np.array(
        [
            np.real(v) if m == 0 else np.sqrt(2) * s * (np.real(v) if m > 0 else np.imag(v))
            for v, s, m in zip(y, signs, range(-l, l + 1), strict=True)
        ]
    )


def test_first_real_harmonics_are_y_z_x():
    v = np.array([0.3, -0.5, 0.8]) / np.linalg.norm([0.3, -0.5, 0.8])
    np.testing.assert_allclose(real_harmonics(1, v), np.sqrt(3) * v[[1, 2, 0]], atol=1e-15)


def test_real_coupling_of_harmonics_of_one_direction_is_a_harmonic():
    rng = np.random.default_rng(3)
    for l1, l2, L in TRIPLES:
        ratios = []
        for direction in rng.standard_normal((3, 3)):
            coupled = np.einsum(
                "abc,a,b->c", real_coupling(l1, l2, L), real_harmonics(l1, direction), real_harmonics(l2, direction)
            )
            harmonic = real_harmonics(L, direction)
            ratio = coupled @ harmonic / (harmonic @ harmonic)
            np.testing.assert_allclose(coupled, ratio * harmonic, atol=1e-13)
            ratios.append(ratio)
        np.testing.assert_allclose(ratios, ratios[0], atol=1e-13)
        assert (abs(ratios[0]) < 1e-13) == bool((l1 + l2 + L) % 2)


def test_vertex_is_cyclic_and_changes_sign_with_odd_sum():
    for a, b, c in TRIPLES:
        v = vertex(a, b, c)
        np.testing.assert_allclose(np.sum(v * v), 1.0, atol=1e-14)
        np.testing.assert_allclose(vertex(b, c, a), v.transpose(1, 2, 0), atol=1e-14)
        np.testing.assert_allclose(vertex(b, a, c), (-1) ** (a + b + c) * v.transpose(1, 0, 2), atol=1e-14)
        np.testing.assert_allclose(real_coupling(a, b, c), coupling_over_vertex(a, b, c) * v, atol=1e-13)


def test_trees_are_balanced():
    assert tree(1) == ()
    assert tree(2) == ((0, 1),)
    assert tree(3) == ((0, 1), (3, 2))
    assert tree(4) == ((0, 1), (2, 3), (4, 5))
    assert tree(5) == ((0, 1), (2, 3), (5, 6), (7, 4))
    assert tree(6) == ((0, 1), (2, 3), (4, 5), (6, 7), (9, 8))


@pytest.mark.parametrize("ls", [(1, 1), (2, 1, 1), (1, 1, 1, 1), (1, 2, 1, 2), (1, 1, 1, 1, 2), (1,) * 6])
def test_trees_are_orthonormal_and_complete(ls):
    tensors = np.array([tree_tensor(ls, Ls).ravel() for Ls in couplings(ls)])
    np.testing.assert_allclose(tensors @ tensors.T, np.eye(len(tensors)), atol=1e-13)
    every = count_all(ls)
    assert len(tensors) == every


# --- the number of invariants, by integrating characters over the angle of rotation ----------------------------------


def integral(values):
    """∫ over SO(3) of a class function given at N equidistant angles: exact for N above twice its degree."""
    n = len(values)
    angles = 2 * np.pi * np.arange(n) / n
    return np.sum(values * (1 - np.cos(angles))) / n


def character(l, angle):
    return sum(np.cos(m * angle) for m in range(-l, l + 1))


def symmetric_power(l, k, angles):
    """Character of Sym^k of l by Newton's recursion over power sums."""
    h = [np.ones_like(angles)]
    for j in range(1, k + 1):
        h.append(sum(character(l, i * angles) * h[j - i] for i in range(1, j + 1)) / j)
    return h[k]


def count_all(ls):
    angles = 2 * np.pi * np.arange(4 * sum(ls) + 8) / (4 * sum(ls) + 8)
    return round(integral(np.prod([character(l, angles) for l in ls], axis=0)))


BLOCKS = [
    ((0,), (0,)),
    ((1,), (0,)),
    ((2, 2), (0, 0)),
    ((1, 1, 2), (0, 0, 1)),
    ((1, 1, 1), (0, 1, 2)),
    ((2, 2, 2), (0, 0, 0)),
    ((3, 3, 2), (0, 0, 1)),
    ((1, 1, 1, 1), (0, 0, 0, 0)),
    ((1, 1, 1, 1), (0, 0, 1, 1)),
    ((1, 1, 1, 1), (0, 1, 2, 3)),
    ((1, 1, 1, 1), (0, 1, 0, 1)),
    ((2, 2, 2, 2), (0, 0, 0, 0)),
    ((2, 2, 2, 2), (0, 0, 0, 1)),
    ((2, 2, 2, 2), (0, 0, 1, 1)),
    ((3, 3, 3, 3), (0, 0, 0, 0)),
    ((3, 3, 3, 3), (0, 0, 1, 1)),
    ((4, 4, 4, 4), (0, 0, 0, 0)),
    ((0, 2, 2, 2), (0, 1, 1, 1)),
    ((1, 1, 2, 3), (0, 0, 1, 2)),
    ((1, 1, 1, 1, 2), (0, 0, 0, 0, 1)),
    ((1, 1, 2, 2, 2), (0, 0, 1, 1, 1)),
    ((2, 2, 2, 2, 2), (0, 0, 0, 0, 0)),
    ((2, 2, 2, 2, 2), (0, 0, 1, 1, 1)),
    ((1, 1, 1, 1, 1, 1), (0, 0, 0, 1, 1, 1)),
    ((1, 1, 1, 1, 1, 1), (0, 0, 1, 1, 2, 2)),
    ((2, 2, 2, 2, 2, 2), (0, 0, 0, 0, 0, 0)),
]


@pytest.mark.parametrize(("ls", "groups"), BLOCKS)
def test_number_of_invariants_is_that_of_the_characters(ls, groups):
    angles = 2 * np.pi * np.arange(4 * sum(ls) + 8) / (4 * sum(ls) + 8)
    powers = []
    for group in sorted(set(groups)):
        (l, *_), k = [l for l, g in zip(ls, groups, strict=True) if g == group], groups.count(group)
        powers.append(symmetric_power(l, k, angles))
    value = integral(np.prod(powers, axis=0))
    assert abs(value - round(value)) < 1e-9
    assert count_invariants(ls, groups) == (round(value) if sum(ls) % 2 == 0 else 0)


@pytest.mark.parametrize(("ls", "groups"), BLOCKS)
def test_chosen_trees_span_all_symmetrised_trees(ls, groups):
    chosen = independent_couplings(ls, groups)
    assert len(chosen) == count_invariants(ls, groups)
    if not chosen:
        return
    every = np.array([symmetrise(tree_tensor(ls, Ls), groups).ravel() for Ls in couplings(ls)])
    kept = np.array([symmetrise(tree_tensor(ls, Ls), groups).ravel() for Ls in chosen])
    assert np.linalg.matrix_rank(kept, tol=1e-6) == len(chosen)
    assert np.linalg.matrix_rank(every, tol=1e-6) == len(chosen)


def test_chosen_trees_are_the_first_ones():
    # of four equal labels l = 2 the trees L = 0, 2, 4 survive exchange, all of them multiples of the first
    assert independent_couplings((2, 2, 2, 2), (0, 0, 0, 0)) == ((0, 0),)
    assert independent_couplings((2, 2, 2, 2), (0, 0, 1, 1)) == ((0, 0), (2, 2), (4, 4))
