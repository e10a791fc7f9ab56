"""The compiled parts on their own: vectors, polynomials, harmonics, programs, the list, work that grows, the cache."""

from __future__ import annotations

import ast
import json
import math
import os
import platform
import stat
import subprocess
import sys
from pathlib import Path

import naive
import numpy as np
import pytest
from numba import config

from grs_evo.descriptors.basis import build_basis
from grs_evo.descriptors.describe import describe
from grs_evo.descriptors.program import Program
from grs_evo.kernels import simd
from grs_evo.kernels.ace import engine
from grs_evo.kernels.ace.harmonics import harmonics, legendre, weighted_sum
from grs_evo.kernels.ace.interpreter import FEWEST, GATHER, SEGMENTS, SPREAD, lay_out, program_of, run_program
from grs_evo.kernels.ace.tables import (
    BLOCK,
    _exponential,
    _legendre,
    kernel_tables,
    larger_work,
    make_tables,
    make_work,
    polynomial_degree,
)
from grs_evo.kernels.compiling import probe
from grs_evo.kernels.geometry import images, layout
from grs_evo.kernels.geometry.layout import GROW, NOT_FINITE, OK, OVERLAP, SINGULAR
from grs_evo.kernels.simd import LANES, load, pointer, put, store, total, totals, transpose, transpose_rows
from grs_evo.structures.structure import Structure

compiled = pytest.mark.skipif(config.DISABLE_JIT, reason="vectors are NumPy arrays when JIT is off")
PAPER = build_basis(["Ta"], cutoff=5.0)
ALLOY = build_basis(["Fe", "Cr"], cutoff=4.5)
HIGH = build_basis(["Ta"], (2, 2, 2, 1), (0, 4, 4, 4), cutoff=5.0)


@probe
def exercise_singles(a, b, out, rows):
    """The same vectors as singles: `a` and `out` are read as twice as many of them."""
    small, into = simd.numbers(a, simd.SINGLE), simd.numbers(out, simd.SINGLE)
    x, y = load(small, 0), load(small, 8)
    store(into, 0, simd.fma(x, y, 2.0))
    store(into, 8, simd.fms(x, y, x))
    store(into, 16, (x - y) / (y + 3.0) * 2.0)
    store(into, 24, simd.like(small, simd.splat(1.1)))
    store(into, 32, totals(x, y, x, x, y, x, x, y))
    put(into, 40, total(x) + simd.item(small, 1))
    store(into, 48, simd.load_full(small, 0) * simd.filled_full(small, 2.0))
    wide = simd.load_wide(small, 0) + simd.filled_wide(small, 0.5)
    store(into, 128, wide)
    store(into, 144, simd.inverse_root(wide))
    store(into, 160, totals(wide, wide, wide, wide, wide, wide, wide, wide))
    store(into, 208, simd.wide_of(small, b, 0))
    put(out, 96, total(wide))
    transpose(small, 0, LANES, into, 64, LANES)
    transpose_rows(small, rows, 0, 0, pointer(out), rows, 0, 128)
    return simd.single(small), simd.single(a), simd.width(small), simd.any_above(wide, 2.4)


@probe
def exercise(a, b, out, rows):
    x, y = load(a, 0), load(b, 0)
    store(out, 0, simd.fma(x, y, 2.0))
    store(out, 8, simd.fms(x, y, x))
    store(out, 16, (x - y) / (y + 3.0) * 2.0)
    store(out, 24, simd.inverse_root(y))
    store(out, 32, totals(x, y, x, x, y, x, x, y))
    put(out, 40, total(x))
    transpose(pointer(a), 0, LANES, out, 64, LANES)
    transpose_rows(pointer(a), rows, 0, 0, pointer(out), rows, 0, 128)
    return simd.any_below(x, -10.0), simd.any_above(y, 0.5)


@compiled
def test_vectors_are_what_numpy_says():
    rng = np.random.default_rng(0)
    a, b, out = rng.normal(size=64), rng.uniform(0.6, 9.0, size=64), np.zeros(256)
    rows = np.arange(0, 64, 8, dtype=np.int64)[::-1].copy()
    below, above = exercise(a, b, out, rows)
    x, y = a[:8], b[:8]
    assert np.allclose(out[:8], x * y + 2, rtol=1e-15)
    assert np.allclose(out[8:16], x * y - x, rtol=1e-15)
    assert np.array_equal(out[16:24], (x - y) / (y + 3) * 2)
    assert np.abs(out[24:32] * np.sqrt(y) - 1).max() < 4e-16
    assert np.allclose(out[32:40], [v.sum() for v in (x, y, x, x, y, x, x, y)], rtol=1e-13)
    assert out[40] == pytest.approx(x.sum(), rel=1e-13)
    assert np.array_equal(out[64:128].reshape(8, 8), a.reshape(8, 8).T)
    assert np.array_equal(out[128:192].reshape(8, 8)[::-1], a.reshape(8, 8)[::-1].T)
    assert (below, above) == (False, True)


@compiled
def test_vectors_of_singles_are_what_numpy_says():
    small = np.random.default_rng(0).uniform(0.5, 2.0, size=64).astype(np.float32)
    out = np.zeros(256)
    rows = np.arange(0, 64, 8, dtype=np.int64)[::-1].copy()
    a, b = small.view(np.float64), np.random.default_rng(1).normal(size=16)
    *is_single, width, above = exercise_singles(a, b, out, rows)
    into, x, y = out.view(np.float32), small[:8], small[8:16]
    close = {"rtol": 3e-7}
    assert np.allclose(into[:8], x * y + 2, **close)
    assert np.allclose(into[8:16], x * y - x, rtol=1e-5)
    assert np.allclose(into[16:24], (x - y) / (y + 3) * 2, rtol=1e-6)
    assert np.array_equal(into[24:32], np.full(8, np.float32(1.1)))
    assert np.allclose(into[32:40], [v.sum() for v in (x, y, x, x, y, x, x, y)], **close)
    assert into[40] == pytest.approx(float(x.sum()) + float(small[1]), rel=3e-7)
    assert np.array_equal(into[48:64], 2 * small[:16])
    wide = small[:width] + np.float32(0.5)
    assert (is_single, width, above) == ([True, False], simd.WIDE, bool((wide > 2.4).any()))
    assert np.array_equal(into[128 : 128 + width], wide)
    assert np.abs(into[144 : 144 + width] * np.sqrt(wide) - 1).max() < 3e-7
    assert np.allclose(into[160:168], wide.sum(), **close)
    assert np.array_equal(into[208 : 208 + width], b[:width].astype(np.float32))
    assert out[96] == pytest.approx(float(wide.sum()), rel=3e-7)
    assert np.array_equal(into[64:128].reshape(8, 8), small.reshape(8, 8).T)
    assert np.array_equal(out[128:192].reshape(8, 8)[::-1], small.reshape(8, 8)[::-1].T)


@pytest.mark.parametrize("lam", [1e-6, 0.05, 0.35, 3.06, 5.25, 20.0, 60.0])
def test_exponential_as_polynomial(lam):
    coefficients = _exponential(lam, polynomial_degree(lam))
    for s in np.linspace(0, 1, 101):
        exact = 1 - 2 * math.exp(-lam * s) * -math.expm1(-lam * (1 - s)) / -math.expm1(-lam)
        value = 0.0
        for c in coefficients[::-1]:
            value = value * (s - 0.5) + c
        assert abs(value - exact) < 2e-15


@probe
def all_harmonics(direction, l_max, climb, slope, values, gradients):
    """Y_lm of a direction, and their gradients by sums with the weight of one of them."""
    wide = l_max + 1
    size = wide * wide
    space = np.zeros(3 * size * LANES)
    at, out, one = pointer(space), np.zeros(size * LANES), size * LANES
    x, y, z = simd.splat(direction[0]), simd.splat(direction[1]), simd.splat(direction[2])
    harmonics(x, y, z, l_max, pointer(climb), pointer(out), np.int64(0))
    legendre(z, l_max, pointer(climb), at)
    worst = 0.0
    for row in range(size):
        values[row] = out[row * LANES]
        store(at, one + row * LANES, simd.splat(1.0))
        store(at, 2 * one + row * LANES, simd.splat(2.0))
        s, d, gx, gy, gz = weighted_sum(x, y, z, l_max, pointer(slope), at, one, 2 * one)
        store(at, one + row * LANES, simd.splat(0.0))
        store(at, 2 * one + row * LANES, simd.splat(0.0))
        gradients[row, 0], gradients[row, 1], gradients[row, 2] = (
            total(gx) / LANES,
            total(gy) / LANES,
            total(gz) / LANES,
        )
        worst = max(worst, abs(total(s) / LANES - values[row]), abs(total(d) / LANES - 2.0 * values[row]))
    return worst


@compiled
def test_real_harmonics_and_gradients_to_l_8():
    l_max, rng = 8, np.random.default_rng(1)
    climb, slope = _legendre(l_max)
    size = (l_max + 1) ** 2

    def at(direction):
        values, gradients = np.zeros(size), np.zeros((size, 3))
        assert all_harmonics(direction, l_max, np.ascontiguousarray(climb), slope, values, gradients) < 1e-13
        return values, gradients

    for direction in [*rng.normal(size=(6, 3)), np.array([0.0, 0, 1]), np.array([0.0, 0, -1])]:
        unit = direction / np.linalg.norm(direction)
        values, gradients = at(unit)
        for l in range(l_max + 1):
            own = values[l * l : (l + 1) ** 2]
            # Σ_m Y_lm² = 2l + 1 with Y_00 = 1
            assert (own**2).sum() == pytest.approx(2 * l + 1, rel=1e-13)
            for m in range(l + 1):
                complex_y = complex(naive.harmonic(l, m, unit))
                factor = math.sqrt(2) * (-1) ** m if m else 1.0
                assert own[l + m] == pytest.approx(factor * complex_y.real, abs=1e-12)
                if m:
                    assert own[l - m] == pytest.approx(factor * complex_y.imag, abs=1e-12)
        # along a tangent, the gradient is the derivative on the sphere
        tangent = np.cross(unit, rng.normal(size=3))
        tangent /= np.linalg.norm(tangent)
        h = 1e-3
        points = {k: at(np.cos(k * h) * unit + np.sin(k * h) * tangent)[0] for k in (-3, -2, -1, 1, 2, 3)}
        slope_ = sum(w * (points[k] - points[-k]) for k, w in {1: 0.75, 2: -0.15, 3: 1 / 60}.items()) / h
        assert np.abs(gradients @ tangent - slope_).max() < 1e-9


@pytest.mark.parametrize("basis", [PAPER, ALLOY, HIGH], ids=["one", "two", "l to 4"])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("fewest", [FEWEST, 1], ids=["segments", "strips"])
def test_programs_and_their_other_order(basis, wide, fewest):
    program = basis.programs[0]
    tables = make_tables(basis, fewest)
    kinds = {(kind, width) for kind, width in tables.phases.reshape(-1, 4)[:, :2].tolist() if kind != SEGMENTS}
    if fewest == FEWEST:
        assert not kinds
    elif basis is HIGH:
        assert kinds == {(kind, w) for kind in (SPREAD, GATHER) for w in (1, 3, 5, 7, 9)} - {(GATHER, 1)}
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(program.n_a, BLOCK))
    values = np.zeros((2 * program.n_rows, BLOCK))
    values[: program.n_a], values[program.n_a] = rows, 1.0
    flat = values.reshape(-1)
    begin, end, back, last = tables.segments[0]
    lanes = BLOCK if wide else LANES
    run_program_on(flat, begin, end, tables, wide)
    expected, _ = naive.run_program(program, rows)
    found = values[program.b_rows][:, :lanes]
    assert np.abs(found - expected[:, :lanes]).max() < 1e-12 * np.abs(expected).max()

    # the adjoint against a directional derivative
    weight = rng.normal(size=(len(program.b_rows), BLOCK))
    values[program.n_rows + program.b_rows] = weight
    run_program_on(flat, back, last, tables, wide)
    adjoint = values[program.n_rows : program.n_rows + program.n_a, :lanes].copy()
    direction = rng.normal(size=rows.shape)

    def total_of(step):
        values[: program.n_a] = rows + step * direction
        run_program_on(flat, begin, end, tables, wide)
        return (values[program.b_rows] * weight)[:, :lanes].sum(axis=0)

    slope = (
        sum(w * (total_of(k * 1e-2) - total_of(-k * 1e-2)) for k, w in {1: 0.75, 2: -0.15, 3: 1 / 60}.items()) / 1e-2
    )
    exact = (adjoint * direction[:, :lanes]).sum(axis=0)
    assert np.abs(slope - exact).max() < 1e-8 * np.abs(exact).max()


@probe
def run_program_on(values, first, last, tables, wide):
    run_program(pointer(values), first, last, program_of(tables, simd.DOUBLE), wide)


def test_segments_in_another_order_give_the_same():
    """A segment that reads its own old value, one that must wait for it, and one that must come before it."""
    dst, start = np.array([3, 4, 3, 5]), np.array([0, 1, 3, 4, 4])
    x, y, c = np.array([0, 3, 1, 3]), np.array([1, 2, 1, 2]), np.array([1.0, 2.0, 3.0, 4.0])
    empty = (np.zeros(0, int), np.zeros(1, int), np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    program = Program(2, 6, np.array([5], np.int32), dst, start, x, y, c, *empty)
    new, _ = lay_out(program)

    def run(dst, start, x, y, c):
        rows = np.array([1.5, 2.5, 3.5, 9.0, 9.0, 9.0])
        for s, row in enumerate(dst):
            rows[row] = sum(c[t] * rows[x[t]] * rows[y[t]] for t in range(start[s], start[s + 1]))
        return rows

    assert np.array_equal(run(dst, start, x, y, c), run(new.dst, new.start, new.x, new.y, new.c))
    assert sorted(new.dst) == sorted(dst)


def evaluate(positions, cell, basis=PAPER, species=None, pbc=(True, True, True), work=None):
    positions = np.array(positions, float)
    species = np.zeros(len(positions), np.int32) if species is None else np.array(species, np.int32)
    tables = kernel_tables(basis)
    work = work or make_work(len(positions), tables)
    out = np.full((len(positions), tables.max_size), np.nan)
    arrays = (positions, np.array(cell, float), species, np.array(pbc))
    return engine.describe_into(*arrays, tables, work, out), out, work, arrays, tables


@np.errstate(invalid="ignore")  # plain NumPy warns of inf times 0 where compiled code does not
def test_status_says_what_is_wrong():
    cell = np.eye(3) * 8
    assert evaluate([[0, 0, 0], [2, 0, 0]], cell)[0] == OK
    assert evaluate([[0, 0, 0], [0, 0, 5e-4]], cell)[0] == OVERLAP
    assert evaluate([[0, 0, 0], [0, 0, np.inf]], cell)[0] == NOT_FINITE
    assert evaluate([[0, 0, 0]], np.zeros((3, 3)))[0] == SINGULAR
    assert evaluate([[0, 0, 0]], np.full((3, 3), np.nan))[0] == SINGULAR


def test_work_grows_until_it_fits():
    rng = np.random.default_rng(5)
    cell = np.diag([1.0, 1.2, 30.0])
    positions = np.stack([np.zeros(40), np.zeros(40), np.linspace(0, 29, 40)], axis=1) + rng.normal(
        scale=0.1, size=(40, 3)
    )
    status, out, work, arrays, tables = evaluate(positions, cell, work=make_work(1, kernel_tables(PAPER)))
    rounds = 0
    while status == GROW:
        rounds += 1
        assert rounds < 10
        work = larger_work(work, tables)
        status = engine.describe_into(*arrays, tables, work, out)
    assert status == OK
    assert rounds > 0
    assert np.isfinite(out).all()


@pytest.mark.parametrize("shares", [1, 2, 5])
def test_images_sorted_in_shares_are_the_same_to_the_last_bit(shares):
    """What several threads do to a large structure, one share after the other, and what one call does."""
    rng = np.random.default_rng(12)
    n, tables = 300, kernel_tables(ALLOY)
    cell = np.array([[14.0, 0.5, 0], [3.0, 15.0, 0], [0, -2.0, 16.0]])
    positions, species = rng.uniform(-20, 30, (n, 3)), rng.integers(0, 2, n).astype(np.int32)
    pbc = np.array([True, True, False])
    whole, parts = make_work(n, tables, images=9000), make_work(n, tables, images=9000)
    assert engine.sort_images(positions, cell, species, pbc, tables.reach, tables.n_el, whole) == OK
    ends = [n * k // shares for k in range(shares + 1)]
    assert images.frame_images(n, cell, pbc, tables.reach, parts) == OK
    for k in range(shares):
        assert images.wrap_atoms(positions, cell, pbc, parts, k, ends[k], ends[k + 1]) == OK
    images.span_atoms(parts, shares)
    for k in range(shares):
        images.count_atoms(parts, k, ends[k], ends[k + 1])
    assert images.lay_grid(parts, shares, tables.reach, tables.n_el) == OK
    for k in reversed(range(shares)):
        images.make_images(cell, species, tables.reach, parts, k, ends[k], ends[k + 1])
    for k in reversed(range(shares)):
        images.sort_bins(parts, shares, tables.n_el, k, shares)
    count, bins = whole.shape[3], int(np.prod(whole.shape[:3])) * tables.n_el
    assert parts.shape[:4].tolist() == whole.shape[:4].tolist()
    assert count > n
    assert np.array_equal(parts.grid[:9], whole.grid[:9])
    assert np.array_equal(parts.bins[: bins + 1], whole.bins[: bins + 1])
    for name in ("gx", "gy", "gz", "gid"):
        assert np.array_equal(getattr(parts, name)[:count], getattr(whole, name)[:count])
    for k in range(shares):
        images.count_home(parts, k, shares)
    assert all(images.order_by_place(parts, k, shares, n) for k in range(shares))
    assert sorted(parts.atoms) == list(range(n))
    assert not images.order_by_place(parts, 0, shares, n + 1)


def test_kept_lists_give_what_lists_made_at_every_step_give():
    """Atoms wander out of the cell and the cell changes: the same bits, and those of a list in the order of a grid but
    for the order of sums. What a jump brings in from beyond the skin is not missed."""
    rng = np.random.default_rng(7)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * 2.6
    tables, n = kernel_tables(ALLOY), len(grid)
    positions, cell = grid - 4.0, np.array([[7.8, 0.1, 0], [0, 7.8, 0], [0.3, 0, 7.9]])
    species, pbc = rng.integers(0, 2, n).astype(np.int32), np.array([True, True, False])
    images = 4096
    kept, fresh = (make_work(n, tables, images=images, listed=60 * n) for _ in range(2))
    plain = make_work(n, tables, images=images)
    engine.keep_lists(kept, n)
    engine.keep_lists(fresh, n)
    for step in range(40):
        positions += rng.normal(scale=0.02, size=positions.shape)
        if step == 20:
            positions[3] += 1.5
        if step > 10:
            change = np.eye(3) + rng.normal(scale=2e-3, size=(3, 3))
            positions, cell = np.ascontiguousarray(positions @ change), np.ascontiguousarray(cell @ change)
        fresh.kept[layout.VALID] = 0
        results = []
        for work in (kept, fresh, plain):
            out, gradient, strain = np.zeros((n, tables.max_size)), np.zeros((n, 3)), np.zeros((3, 3))
            arrays = (positions, cell, species, pbc)
            assert engine.describe_into(*arrays, tables, work, out) == OK
            assert engine.pull_into(*arrays, tables, np.cos(out), work, gradient, strain) == OK
            results.append(np.concatenate([out.ravel(), gradient.ravel(), strain.ravel()]))
        assert np.array_equal(results[0], results[1])
        np.testing.assert_allclose(results[0], results[2], rtol=1e-10, atol=1e-10 * np.abs(results[2]).max())
    assert 2 < kept.kept[layout.BUILDS] < 20 < fresh.kept[layout.BUILDS]
    positions[5] = positions[4]
    assert engine.describe_into(positions, cell, species, pbc, tables, kept, out) == OVERLAP
    positions[5] = np.nan
    assert engine.describe_into(positions, cell, species, pbc, tables, kept, out) == NOT_FINITE


def test_gradient_may_be_asked_for_twice():
    """The first time from kept value buffers, the second time they are made again: the same bits."""
    rng = np.random.default_rng(6)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * 2.6
    status, out, work, arrays, tables = evaluate(
        grid + rng.normal(scale=0.2, size=grid.shape), np.eye(3) * 7.8, ALLOY, rng.integers(0, 2, len(grid))
    )
    assert status == OK
    assert work.shape[6] == 1
    results = []
    for _ in range(2):
        gradient, strain = np.zeros((len(grid), 3)), np.zeros((3, 3))
        assert engine.pull_into(*arrays, tables, np.sin(out), work, gradient, strain) == OK
        results.append((gradient, strain))
    assert np.array_equal(results[0][0], results[1][0])
    assert np.array_equal(results[0][1], results[1][1])


@pytest.mark.parametrize("basis", [PAPER, ALLOY, HIGH], ids=["one", "two", "l to 4"])
def test_single_precision_beside_double(basis):
    """Rows to 1e-5 of a function's largest value; the gradient that of the rows in double precision, by differences."""
    rng = np.random.default_rng(8)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * 2.6
    positions, cell = grid + rng.normal(scale=0.2, size=grid.shape), np.eye(3) * 7.8
    species = rng.integers(0, basis.n_elements, len(grid))
    status, rows, work, arrays, tables = evaluate(positions, cell, basis, species)
    slopes = np.sin(np.arange(rows.size)).reshape(rows.shape) / np.abs(rows).max(axis=0)
    found, pulled = [rows], []
    for values, pull in (
        (engine.describe_into, engine.pull_into),
        (engine.describe_single, engine.pull_single),
        (engine.describe_into, engine.pull_into),
    ):
        out, gradient, strain = np.zeros_like(rows), np.zeros_like(positions), np.zeros((3, 3))
        assert (status, values(*arrays, tables, work, out)) == (OK, OK)
        assert pull(*arrays, tables, slopes, work, gradient, strain) == OK
        found.append(out)
        pulled.append((gradient, strain))
    # the same scratch serves both, and what the other left in it has no effect
    assert np.array_equal(found[1], rows)
    assert np.array_equal(found[3], rows)
    assert all(np.array_equal(a, b) for a, b in zip(pulled[0], pulled[2], strict=True))
    assert (np.abs(found[2] - rows).max(axis=0) <= 1e-5 * np.abs(rows).max(axis=0)).all()
    assert not np.array_equal(found[2], rows)
    for a, b in zip(pulled[0], pulled[1], strict=True):
        assert np.abs(a - b).max() <= 1e-5 * np.abs(a).max()
    step = 1e-5 * rng.normal(size=positions.shape)
    up, down = (evaluate(positions + sign * step, cell, basis, species)[1] for sign in (1, -1))
    change = float((slopes * (up - down)).sum() / 2)
    assert float((pulled[1][0] * step).sum()) == pytest.approx(change, rel=1e-4)


def test_one_set_of_compiled_kernels_for_every_basis():
    if config.DISABLE_JIT:
        pytest.skip("nothing is compiled")
    evaluate([[0, 0, 0]], np.eye(3) * 3, ALLOY)
    evaluate([[0, 0, 0]], np.eye(3) * 3, build_basis(["C"], n_max=(4, 3), l_max=(0, 4), cutoff=3.5))
    assert len(engine.describe_into.signatures) == 1
    # called from Python only for large structures
    assert len(engine.sort_images.signatures) <= 1


def test_tables_are_kept_on_the_basis():
    assert kernel_tables(PAPER) is kernel_tables(PAPER)
    assert kernel_tables(build_basis(["Ta"], cutoff=5.0)) is not kernel_tables(PAPER)
    assert kernel_tables(PAPER).degree % 4 == 0


# Imports Numba once; each line that comes in is an environment, in which a fork goes on as a new process would.
PLACES = """
import json, os, sys, tempfile
import numba
for line in sys.stdin:
    if not os.fork():
        os.environ.update(json.loads(line))
        tempfile.tempdir = None
        numba.config.reload_config()
        from grs_evo.kernels import CACHE_FOLDER
        print(json.dumps([str(CACHE_FOLDER), numba.config.CACHE_DIR]), flush=True)
        sys.exit()
    os.wait()
    print(flush=True)
"""


@pytest.fixture(scope="module")
def cache_folder_of():
    """Ours and the one that Numba uses, in a process with variables of its environment changed."""
    command = [sys.executable, "-c", PLACES]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def ask(environment):
            process.stdin.write(json.dumps(environment) + "\n")
            process.stdin.flush()
            found = json.loads(process.stdout.readline())
            assert process.stdout.readline() == "\n"  # that process has ended
            return found

        yield ask
        process.stdin.close()


def test_cache_folder_follows_the_sources_and_the_user(tmp_path, cache_folder_of):
    ours, used = cache_folder_of({"XDG_CACHE_HOME": str(tmp_path), "NUMBA_CACHE_DIR": ""})
    assert ours == used
    if sys.platform.startswith("linux"):
        assert ours.startswith(str(tmp_path))
    given = tmp_path / "given"
    below, used = cache_folder_of({"NUMBA_CACHE_DIR": str(given)})
    assert below == used == str(given / f"grs_evo-{Path(ours).name}")
    assert Path(below).stat().st_mode & 0o777 == 0o700


def _prepare(kind, place):
    """A place for a cache that others could write to, or made before us."""
    place.mkdir(mode=0o700)
    if kind == "group may write":
        place.chmod(0o770)
    elif kind == "all may write":
        place.chmod(0o777)
    elif kind == "a link":
        place.rmdir()
        (place.parent / "theirs").mkdir(mode=0o700)
        place.symlink_to(place.parent / "theirs")
    elif kind == "another owner":
        if os.getuid() != 0:
            pytest.skip("only root can give folders away")
        os.chown(place, 12345, 12345)
    elif kind == "all may rename it":
        place.parent.chmod(0o777)


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners of files here")
@pytest.mark.parametrize(
    "kind", ["group may write", "all may write", "a link", "another owner", "all may rename it", "a file"]
)
@pytest.mark.parametrize("variable", ["NUMBA_CACHE_DIR", "TMPDIR"])
def test_no_pickle_is_read_where_others_can_write(kind, variable, tmp_path, cache_folder_of):
    name = Path(cache_folder_of({"NUMBA_CACHE_DIR": str(tmp_path / "name")})[0]).name
    bad = tmp_path / "bad"
    bad.mkdir(mode=0o700)
    if variable == "TMPDIR":
        name = f"grs_evo-{os.getuid()}-{name.partition('-')[2]}"
    if kind == "a file":
        (bad / name).touch()
    else:
        _prepare(kind, bad / name)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "no folder").touch()
    if variable == "NUMBA_CACHE_DIR":
        environment = {"NUMBA_CACHE_DIR": str(bad), "TMPDIR": str(elsewhere)}
    else:
        environment = {"NUMBA_CACHE_DIR": "", "XDG_CACHE_HOME": str(tmp_path / "no folder"), "TMPDIR": str(bad)}
    ours, used = cache_folder_of(environment)
    assert ours == used
    assert Path(ours).name != name or Path(ours).parent != bad
    if variable == "NUMBA_CACHE_DIR":
        assert Path(ours).parent == elsewhere
    else:
        assert not Path(ours).exists()  # it lasted as long as the process


@pytest.mark.skipif(hasattr(os, "getuid") and os.getuid() == 0, reason="nothing is read-only for root")
def test_read_only_home_falls_back_to_a_private_folder(tmp_path, cache_folder_of):
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(stat.S_IRUSR | stat.S_IXUSR)
    ours, used = cache_folder_of(
        {"XDG_CACHE_HOME": str(home / "cache"), "TMPDIR": str(tmp_path), "NUMBA_CACHE_DIR": ""}
    )
    assert ours == used
    assert ours.startswith(str(tmp_path / "grs_evo-"))


PORTABLE = """
import numpy as np, sys
from grs_evo.descriptors.basis import build_basis
from grs_evo.descriptors.describe import describe
from grs_evo.kernels import simd
from grs_evo.kernels.ace import engine
from grs_evo.structures.structure import Structure
assert not simd.COMPRESS
sites = np.array([[0.1, 0, 0], [2.1, 2.0, 0.2], [2, 0.1, 2.2], [0, 2, 2.1]])
structure = Structure(sites, np.diag([4.0, 4.2, 4.4]), [0, 1, 1, 0], [True, True, False])
basis = build_basis(["Au", "Cu"], cutoff=4.5)
rows = describe(structure, basis)
tables = engine.kernel_tables(basis)
single = np.zeros((4, tables.max_size))
arrays = [np.array(one) for one in (structure.positions, structure.cell, structure.species, structure.pbc)]
assert engine.describe_single(*arrays, tables, engine.make_work(4, tables), single) == 0
for k in range(4):
    own = rows[k][rows[k] != 0]
    assert np.abs(single[k, : len(own)] - own).max() < 1e-6 * np.abs(rows).max()
np.save(sys.argv[1], rows)
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names processors of this family")
def test_values_are_the_same_on_a_processor_without_wide_registers(tmp_path):
    if config.DISABLE_JIT:
        pytest.skip("nothing is compiled")
    older = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+popcnt,+sse4.2"}
    path = tmp_path / "rows.npy"
    subprocess.run([sys.executable, "-c", PORTABLE, str(path)], env={**os.environ, **older}, check=True)
    sites = np.array([[0.1, 0, 0], [2.1, 2.0, 0.2], [2, 0.1, 2.2], [0, 2, 2.1]])
    structure = Structure(sites, np.diag([4.0, 4.2, 4.4]), [0, 1, 1, 0], [True, True, False])
    here, there = describe(structure, build_basis(["Au", "Cu"], cutoff=4.5)), np.load(path)
    assert np.abs(here - there).max() <= 1e-13 * np.abs(here).max()


def test_parts_of_kernels_are_called_by_kernels_only() -> None:
    """A part has no code that Python could call: a call from Python ends the process."""
    package = Path(simd.__file__).parents[2]
    trees = {}
    for path in package.rglob("*.py"):
        text = path.read_text("utf-8")
        if package / "kernels" in path.parents or "grs_evo.kernels" in text:
            trees[path] = ast.parse(text)
    kernels = {path: tree for path, tree in trees.items() if package / "kernels" in path.parents}
    parts = {
        node.name
        for tree in kernels.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and any(isinstance(one, ast.Name) and one.id in ("inner", "inner_allocating") for one in node.decorator_list)
    }
    assert len(parts) > 100
    imported = [
        f"{path.relative_to(package)}:{node.lineno} imports {alias.name}"
        for path, tree in trees.items()
        if path not in kernels
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("grs_evo.kernels")
        for alias in node.names
        if alias.name in parts
    ]
    assert imported == []
