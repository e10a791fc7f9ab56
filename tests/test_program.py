"""Bilinear programs against functions evaluated from their definition, and their adjoint against a complex step."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grs_evo.descriptors import program as room
from grs_evo.descriptors.basis import build_basis
from grs_evo.descriptors.program import Mixing, cached_program, compile_program
from grs_evo.kernels.ace.interpreter import lay_out

SETTINGS = [
    (1, (8, 2, 2, 1), (0, 2, 2, 1)),
    (2, (8, 2, 2, 1), (0, 2, 2, 1)),
    (1, (2, 2, 2, 2), (0, 2, 3, 2)),
    (1, (3, 2, 1, 1), (0, 4, 4, 3)),
    (4, (1, 1, 1, 1), (0, 0, 0, 1)),
    (2, (1, 1, 1, 1, 1), (0, 1, 1, 1, 1)),
    (1, (1, 1, 1, 1, 2), (0, 1, 1, 1, 2)),
    (1, (1, 1, 1, 1, 1, 1), (0, 1, 1, 1, 1, 2)),
]
ELEMENTS = ("Fe", "Cr", "Si", "V")


def build(n_elements, n_max, l_max):
    return build_basis(ELEMENTS[:n_elements], n_max, l_max, cutoff=5.0)


def compiled(basis):
    return compile_program(basis.labels[0], basis.mixing[0], basis.n_of_l, basis.n_elements)


@pytest.mark.parametrize(("n_elements", "n_max", "l_max"), SETTINGS)
def test_program_gives_the_functions_by_definition(n_elements, n_max, l_max):
    basis = build(n_elements, n_max, l_max)
    rows = np.random.default_rng(1).standard_normal((basis.n_a, 2))
    values, _ = naive.run_program(compiled(basis), rows)
    for lane in range(2):
        A = naive.complex_base(rows[:, lane], basis.n_of_l, basis.n_elements)
        expected = np.array([naive.function(label, A) for label in basis.labels[0]])
        np.testing.assert_allclose(values[:, lane], expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(
    n_elements=st.integers(1, 3),
    limits=st.lists(st.tuples(st.integers(1, 2), st.integers(0, 4)), min_size=1, max_size=4),
    seed=st.integers(0, 2**32 - 1),
)
def test_strips_do_what_their_steps_did(n_elements, limits, seed):
    """Ranks 1 to 5, any number of elements; the lowest rank has two radial functions, rank 5 one with l to 1."""
    n_max = (2, *(1 if rank > 2 or n_elements > 1 else n for rank, (n, _) in enumerate(limits, 2)))
    l_max = (0, *(min(l, {2: 4, 3: 3, 4: 2, 5: 1}[rank]) for rank, (_, l) in enumerate(limits, 2)))
    program = compiled(build(n_elements, n_max, l_max))
    rng = np.random.default_rng(seed)
    rows, weights = rng.standard_normal((program.n_a, 2)), rng.standard_normal((len(program.b_rows), 2))
    values, gradient = naive.run_program(program, rows, weights)
    forward, backward = lay_out(program, fewest=1)
    buffer = np.full((2 * program.n_rows, 2), np.nan)
    buffer[: program.n_a], buffer[program.n_a] = rows, 1.0
    naive.run_layout(forward, buffer)
    np.testing.assert_allclose(buffer[program.b_rows], values, rtol=1e-12, atol=1e-12)
    buffer[program.n_rows + program.b_rows] = weights
    naive.run_layout(backward, buffer)
    found = buffer[program.n_rows : program.n_rows + program.n_a]
    np.testing.assert_allclose(found, gradient, rtol=1e-12, atol=1e-12 * np.abs(gradient).max())


@pytest.mark.parametrize(("n_elements", "n_max", "l_max"), SETTINGS)
def test_backward_program_is_the_adjoint_of_the_forward_one(n_elements, n_max, l_max):
    basis = build(n_elements, n_max, l_max)
    rng = np.random.default_rng(2)
    program = compiled(basis)
    rows, direction = rng.standard_normal((2, program.n_a, 3))
    weights = rng.standard_normal((len(program.b_rows), 3))
    stepped, _ = naive.run_program(program, rows + 1e-30j * direction)
    _, gradient = naive.run_program(program, rows, weights)
    expected = np.sum(weights * stepped.imag / 1e-30, axis=0)
    np.testing.assert_allclose(np.sum(gradient * direction, axis=0), expected, rtol=1e-12)


def test_combinations_of_trees():
    basis = build(2, (2, 1, 1, 1), (0, 1, 2, 1))
    rng = np.random.default_rng(4)
    n = len(basis.labels[0])
    # a multiple, a repetition, a sum over blocks, and a function that is zero
    function = [0, 1, 2, 2, 2, 4, 5]
    tree = [n - 1, n - 1, 0, n - 2, 5, 0, 3]
    weight = [0.3, 0.3, 1.5, -2.0, 0.25, 1.0, -1.0]
    mixing = Mixing(6, np.array(function, np.int32), np.array(tree, np.int32), np.array(weight))
    program = compile_program(basis.labels[0], mixing, basis.n_of_l, 2)
    rows, direction = rng.standard_normal((2, program.n_a, 1))
    A = naive.complex_base(rows[:, 0], basis.n_of_l, 2)
    trees = np.array([naive.function(label, A) for label in basis.labels[0]])
    expected = np.zeros(6)
    np.add.at(expected, function, np.array(weight) * trees[tree])
    adjoint = rng.standard_normal((6, 1))
    values, gradient = naive.run_program(program, rows, adjoint)
    np.testing.assert_allclose(values[:, 0], expected, rtol=1e-12, atol=1e-13)
    assert values[3, 0] == 0.0
    stepped, _ = naive.run_program(program, rows + 1e-30j * direction)
    np.testing.assert_allclose(np.sum(gradient * direction), np.sum(adjoint * stepped.imag) / 1e-30, rtol=1e-12)


@pytest.mark.parametrize(
    ("n_elements", "forward", "backward"), [(1, 158, 278), (2, 745, 1426), (3, 2011, 3944), (4, 4162, 8244)]
)
def test_steps_stay_as_few_as_they_were(n_elements, forward, backward):
    program = compiled(build(n_elements, (8, 2, 2, 1), (0, 2, 2, 1)))
    assert len(program.fwd_c) <= forward
    assert len(program.bwd_c) <= backward


@pytest.mark.parametrize(("n_elements", "n_max", "l_max"), SETTINGS[:6])
def test_layout_is_what_kernels_rely_on(n_elements, n_max, l_max):
    program = compiled(build(n_elements, n_max, l_max))
    rows = set(program.b_rows.tolist())
    assert len(rows) == len(program.b_rows)
    assert min(rows) > program.n_a
    written = set(range(program.n_a + 1))
    for s, dst in enumerate(program.fwd_dst):
        for t in range(program.fwd_start[s], program.fwd_start[s + 1]):
            assert {program.fwd_x[t], program.fwd_y[t]} <= written
        assert dst not in written
        written.add(int(dst))
    assert written == set(range(program.n_rows))
    written |= {program.n_rows + r for r in rows}
    for s, dst in enumerate(program.bwd_dst):
        for t in range(program.bwd_start[s], program.bwd_start[s + 1]):
            assert {program.bwd_x[t], program.bwd_y[t]} <= written
        written.add(int(dst))
    assert {program.n_rows + r for r in range(program.n_a)} <= written
    for array in program[2:]:
        assert array.flags.c_contiguous
        assert array.dtype in (np.int32, np.float64)


def test_unused_rows_get_a_zero_adjoint():
    basis = build(1, (2, 1), (0, 1))
    program = compile_program(basis.labels[0][:1], None, basis.n_of_l, 1)
    _, gradient = naive.run_program(program, np.ones((program.n_a, 1)), np.ones((1, 1)))
    np.testing.assert_array_equal(gradient[:, 0], [1.0] + [0.0] * (program.n_a - 1))


def test_elements_with_the_same_functions_share_a_program():
    programs = build(3, (2, 1), (0, 1)).programs
    assert programs[0] is programs[1] is programs[2]


# --- the cache on disk -----------------------------------------------------------------------------------------------


def equal(a, b):
    return all(np.array_equal(x, y) and np.asarray(x).dtype == np.asarray(y).dtype for x, y in zip(a, b, strict=True))


@pytest.fixture
def cached(tmp_path, monkeypatch):
    monkeypatch.setenv("GRS_EVO_CACHE_DIR", str(tmp_path / "cache"))
    basis = build(2, (2, 1, 1), (0, 1, 1))
    return lambda: cached_program(basis.labels[0], None, basis.n_of_l, 2)


def stored(tmp_path):
    return sorted((tmp_path / "cache" / "programs").iterdir())


def test_cache_gives_back_what_was_compiled(cached, tmp_path, monkeypatch):
    first = cached()
    (path,) = stored(tmp_path)
    assert path.suffix == ".npz"
    monkeypatch.setattr(room, "compile_program", None)  # a second compilation would fail
    assert equal(first, cached())


def test_broken_cache_files_are_made_again(cached, tmp_path):
    first = cached()
    (path,) = stored(tmp_path)
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    for content in (b"", b"no archive", whole[:middle], flipped):
        path.write_bytes(content)
        assert equal(first, cached())
        assert path.read_bytes() == whole


def test_cached_program_of_other_shape_is_not_believed(cached, tmp_path):
    first = cached()
    (path,) = stored(tmp_path)
    wrong = first._replace(fwd_x=first.fwd_x + np.int32(10 * first.n_rows))
    np.savez(path, **{k: np.asarray(v) for k, v in wrong._asdict().items()})
    assert equal(first, cached())


def test_many_at_once_leave_one_whole_file(cached, tmp_path):
    with ThreadPoolExecutor(16) as pool:
        programs = list(pool.map(lambda _: cached(), range(16)))
    assert all(equal(programs[0], p) for p in programs)
    assert len(stored(tmp_path)) == 1


def test_folder_that_cannot_be_written_only_costs_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GRS_EVO_CACHE_DIR", str(tmp_path / "file"))
    assert len(build(1, (2, 1), (0, 1)).programs[0].b_rows) == 4
    assert os.listdir(tmp_path) == ["file"]
