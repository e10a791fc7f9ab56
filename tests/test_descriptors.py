"""Descriptors and their gradients: LAMMPS's numbers, symmetries, finite differences, hard cells, bad input."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import ase.io
import naive
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grs_evo.descriptors.basis import build_basis
from grs_evo.descriptors.describe import (
    EmptyEnvironmentWarning,
    describe,
    describe_compact,
    pullback,
    stream_descriptors,
)
from grs_evo.descriptors.threads.workers import Workers
from grs_evo.descriptors.yace.file import read_yace
from grs_evo.errors import InputError
from grs_evo.kernels.ace.tables import kernel_tables, make_tables
from grs_evo.structures.neighbours import neighbours
from grs_evo.structures.structure import Structure, from_atoms

ORACLE = Path(__file__).parent / "data" / "oracle"
CASES = sorted(p.name for p in ORACLE.iterdir() if p.is_dir())
# bar per eV/Å³
BAR = 1.602176634e6

PAPER = build_basis(["Ta"], cutoff=5.0)
ALLOY = build_basis(["Fe", "Cr"], cutoff={"Fe-Fe": 4.6, "Fe-Cr": 5.1, "Cr-Fe": 4.9, "Cr-Cr": 5.3})
GENERAL = build_basis(
    ["Fe", "Cr"], n_max=(5, 3, 2), l_max=(0, 4, 3), cutoff=4.8, cutoff_in=1.5, taper_in=0.4, taper=0.5
)
# one radial function of l = 1 and none of l = 2: the fused kernels with rows missing
SMALL = build_basis(["Ta"], n_max=(5, 1), l_max=(0, 1), cutoff=5.0)
BASES = {"paper": PAPER, "alloy": ALLOY, "general": GENERAL, "small": SMALL}


def random_structure(rng, n_atoms, n_elements, edge=4.2, skew=0.8, pbc=(True, True, True), apart=1.4):
    """Random atoms in a random cell, no two (with images) nearer than `apart`."""
    while True:
        cell = np.eye(3) * edge + rng.normal(scale=skew, size=(3, 3))
        if abs(np.linalg.det(cell)) < 0.3 * edge**3:
            continue
        for _ in range(50):
            positions = rng.uniform(-0.5, 1.5, size=(n_atoms, 3)) @ cell
            structure = Structure(positions, cell, rng.integers(0, n_elements, n_atoms), np.array(pbc))
            if neighbours(structure, apart).distances.size == 0:
                return structure
        edge *= 1.1


def relative(values, reference):
    """Largest difference, over the largest value of each function."""
    scale = np.maximum(np.abs(reference).max(axis=0), 1e-3 * np.abs(reference).max() + 1e-300)
    return float((np.abs(values - reference) / scale).max())


@pytest.mark.parametrize("case", CASES)
def test_lammps_values_and_derivatives(case):
    basis = read_yace(ORACLE / case / "coupling_coefficients.yace")
    oracle = np.load(ORACLE / case / "oracle.npz", allow_pickle=False)
    structure = from_atoms(ase.io.read(ORACLE / case / "structure.extxyz"), basis.elements)
    rows = describe_compact(structure, basis)
    exact, lammps = oracle["B_analytic"], oracle["B"]
    for element in range(basis.n_elements):
        mine = structure.species == element
        scale = np.abs(exact[mine]).max(axis=0)
        # columns that vanish by symmetry have no scale of their own
        scale = np.maximum(scale, 1e-6 * scale.max())
        assert (np.abs(rows[mine] - exact[mine]) / scale).max() < 1e-12
        assert (np.abs(rows[mine] - lammps[mine]) / scale).max() < 1e-8

    for place, centre in enumerate(oracle["dB_centres"]):
        derivative = oracle["dB"][place]
        scale = np.abs(derivative).max()
        for k in range(0, rows.shape[1], max(1, rows.shape[1] // 46)):
            adjoint = np.zeros_like(rows)
            adjoint[centre, k] = 1.0
            forces, _ = pullback(structure, basis, adjoint)
            assert np.abs(-forces - derivative[:, :, k]).max() < 2e-6 * scale

    coefficients = oracle["coef"][structure.species]
    assert (coefficients * rows).sum() == pytest.approx(float(oracle["E"]), rel=1e-8)
    forces, virial = pullback(structure, basis, coefficients)
    # sums of 226 interpolated derivatives, each good to 2e-6 of the largest
    assert np.abs(forces - oracle["F"]).max() < 1e-5 * max(1.0, np.abs(oracle["F"]).max())
    pressure = virial / structure.volume * BAR
    expected = oracle["P"]
    found = pressure[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    assert np.abs(found - expected).max() < 2e-6 * np.abs(expected).max()


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("pbc", [(1, 1, 1), (0, 1, 0), (1, 0, 1), (0, 0, 0)])
def test_naive_oracle(name, pbc):
    basis = BASES[name]
    structure = random_structure(np.random.default_rng(7), 3, basis.n_elements, pbc=np.array(pbc, bool))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EmptyEnvironmentWarning)
        rows = describe_compact(structure, basis)
    assert relative(rows, naive.descriptors(structure, basis)) < 1e-12


def test_one_atom_in_a_cell_thinner_than_the_cutoff():
    structure = Structure(np.zeros((1, 3)), np.array([[2.1, 0, 0], [0.9, 2.2, 0], [0.3, 0.7, 2.4]]), [0], [True] * 3)
    assert relative(describe_compact(structure, PAPER), naive.descriptors(structure, PAPER)) < 1e-12
    long = read_yace(ORACLE / "d2_tric_Ta_4" / "coupling_coefficients.yace")
    assert np.isfinite(describe(structure, long)).all()


def test_many_elements_share_lanes_without_touching():
    """Seventeen atoms and more of one element: blocks that are full, half full, and nearly empty."""
    rng = np.random.default_rng(3)
    structure = random_structure(rng, 23, 2, edge=7.5)
    rows = describe_compact(structure, ALLOY)
    for i in (0, 9, 22):
        expected = naive.descriptors(structure, ALLOY, atoms=[i])[i]
        assert np.abs(rows[i] - expected).max() < 1e-12 * np.abs(expected).max()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32 - 1), name=st.sampled_from(sorted(BASES)))
def test_invariances(seed, name):
    basis = BASES[name]
    rng = np.random.default_rng(seed)
    structure = random_structure(rng, int(rng.integers(1, 6)), basis.n_elements)
    rows = describe_compact(structure, basis, warn=False)

    # the largest neighbour sum each function is made of sets the scale: a sum of cancelling terms has no digits to keep
    def same(other, expected=rows):
        return relative(describe_compact(other, basis, warn=False), expected) < 1e-12

    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]  # proper or improper
    assert same(structure.replace(positions=structure.positions @ turn.T, cell=structure.cell @ turn.T))
    assert same(structure.replace(positions=structure.positions + rng.normal(scale=5.0, size=3)))
    turns = rng.integers(-3, 4, size=(structure.n_atoms, 3))
    assert same(structure.replace(positions=structure.positions + turns @ structure.cell))
    order = rng.permutation(structure.n_atoms)
    assert same(structure.replace(positions=structure.positions[order], species=structure.species[order]), rows[order])
    other_cell = np.array([[1, 1, 0], [0, 1, -1], [0, 0, 1]]) @ structure.cell
    assert same(structure.replace(cell=other_cell))
    double = Structure(
        np.concatenate([structure.positions, structure.positions + structure.cell[0]]),
        structure.cell * np.array([[2.0], [1.0], [1.0]]),
        np.concatenate([structure.species] * 2),
        structure.pbc,
    )
    assert same(double, np.concatenate([rows, rows]))


def dimer(r, basis, element=(0, 0)):
    return Structure(np.array([[0.0, 0, 0], [0.36 * r, 0.48 * r, 0.8 * r]]), np.eye(3) * 30, element, [False] * 3)


def test_smooth_to_zero_at_the_cutoff():
    lone = dimer(20.0, PAPER)
    with pytest.warns(EmptyEnvironmentWarning, match="2 of 2 atoms"):
        assert not describe(lone, PAPER).any()
    below = np.abs(describe(dimer(5.0 - 1e-4, PAPER), PAPER)).max()
    further = np.abs(describe(dimer(5.0 - 2e-4, PAPER), PAPER)).max()
    # the cosine and the taper (0.01 Å) both vanish quadratically: sixteenfold per doubling
    assert 0.0 < below < further < 1e-8
    assert further / below == pytest.approx(16.0, rel=0.02)
    adjoint = np.ones((2, PAPER.n_desc))
    forces, _ = pullback(dimer(5.0 - 1e-7, PAPER), PAPER, adjoint)
    assert np.abs(forces).max() < 1e-12


def sixth_order(function, step):
    """f'(0) from seven points."""
    weights = {1: 3 / 4, 2: -3 / 20, 3: 1 / 60}
    return sum(w * (function(k * step) - function(-k * step)) for k, w in weights.items()) / step


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("pbc", [(True, True, True), (False, True, False)])
def test_gradient_and_virial(name, pbc):
    basis = BASES[name]
    rng = np.random.default_rng(11)
    structure = random_structure(rng, 4, basis.n_elements, pbc=pbc)
    # no pair may cross the last hundredth of an Å, where the taper bends sharply
    limits = {float(c) for c in basis.cutoff.ravel()}
    while any((np.abs(neighbours(structure, 6.0).distances - c) < 0.02).any() for c in limits):
        structure = random_structure(rng, 4, basis.n_elements, pbc=pbc)
    adjoint = rng.normal(size=(4, max(basis.sizes)))

    def value(other):
        return float((describe_compact(other, basis, warn=False) * adjoint).sum())

    forces, virial = pullback(structure, basis, adjoint)
    assert np.allclose(virial, virial.T, atol=1e-12 * np.abs(virial).max())
    assert np.abs(forces.sum(axis=0)).max() < 1e-12 * np.abs(forces).max()
    gradient = np.zeros((4, 3))
    for i in range(4):
        for a in range(3):
            push = np.zeros((4, 3))
            push[i, a] = 1.0
            gradient[i, a] = sixth_order(
                lambda h, push=push: value(structure.replace(positions=structure.positions + h * push)), 1.5e-3
            )
    assert np.abs(gradient + forces).max() < 1e-8 * np.abs(gradient).max()
    strain = np.zeros((3, 3))
    for a in range(3):
        for b in range(3):
            pull = np.zeros((3, 3))
            pull[a, b] = 1.0

            def strained(h, pull=pull):
                f = np.eye(3) + h * pull
                return value(structure.replace(positions=structure.positions @ f.T, cell=structure.cell @ f.T))

            strain[a, b] = sixth_order(strained, 4e-4)
    assert np.abs(strain + virial).max() < 1e-8 * max(np.abs(strain).max(), np.abs(gradient).max())


@pytest.mark.parametrize("elements", [["Ta"], ["Fe", "Cr"]])
def test_wide_bases_in_strips(elements):
    """Ranks to 5 with products in strips: values and forces of the single steps, turned cells, and differences."""
    limits = ((3, 2, 2, 2, 1), (0, 4, 4, 3, 1)) if len(elements) == 1 else ((2, 2, 2, 1, 1), (0, 3, 3, 2, 1))
    basis, plain = (build_basis(elements, *limits, cutoff=4.6) for _ in range(2))
    for one, fewest, strips in ((basis, 1, True), (plain, 10**9, False)):
        object.__setattr__(one, "_kernel_tables", make_tables(one, fewest))
        assert (kernel_tables(one).base.size > 100) == strips
    rng = np.random.default_rng(12)
    structure = random_structure(rng, 19, len(elements), edge=7.0)
    rows, expected = (describe_compact(structure, one) for one in (basis, plain))
    assert relative(rows, expected) < 1e-12
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turned = structure.replace(positions=structure.positions @ turn.T, cell=structure.cell @ turn.T)
    assert relative(describe_compact(turned, basis), rows) < 1e-11
    adjoint = rng.normal(size=rows.shape) / np.abs(rows).max(axis=0)
    found, wanted = (pullback(structure, one, adjoint) for one in (basis, plain))
    for a, b in zip(found, wanted, strict=True):
        assert np.abs(a - b).max() < 1e-12 * np.abs(b).max()
    push = rng.normal(size=(19, 3))
    slope = sixth_order(
        lambda h: (
            describe_compact(structure.replace(positions=structure.positions + h * push), basis) * adjoint
        ).sum(),
        1e-4,
    )
    assert slope == pytest.approx(-(found[0] * push).sum(), rel=1e-7)


# Neighbours of one centre as (step on a circle, height above its plane), by what it takes to tell two of them apart.
ALIKE = {
    # Patterson's homometric sets (1944), the CH4 pair of Pozdnyakov et al. (Phys. Rev. Lett. 125, 166001, 2020): equal
    # distances from the centre and equal angles between pairs of neighbours
    "power spectrum": (8, 2, [(0, 0), (1, 0), (3, 0), (4, 0)], [(0, 0), (1, 0), (2, 0), (5, 0)]),
    "power spectrum, off the plane": (8, 2, [(0, 1), (1, 1), (3, 1), (4, 1)], [(0, 1), (1, 1), (2, 1), (5, 1)]),
    # as the bispectrum pair of the same paper: two neighbours in the plane, two above it and two below, with equal
    # triangles of neighbours throughout. Found by going through all sets of six on a quarter-turn lattice
    "bispectrum": (
        4, 3, [(0, 0), (1, 0), (0, 1), (1, 1), (2, -1), (3, -1)], [(0, 0), (1, 0), (0, 1), (3, 1), (1, -1), (2, -1)]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ALIKE)
def test_environments_that_fool_low_body_orders(name):
    """Two environments no rotation or reflection joins: alike up to rank `blind`, told apart above and at rank 4."""
    n_steps, blind, *sets = ALIKE[name]
    clusters = []
    for points in sets:
        turns = 2 * np.pi * np.array([step for step, _ in points]) / n_steps
        heights = 0.7 * np.array([height for _, height in points])
        shell = np.stack([1.1 * np.cos(turns), 1.1 * np.sin(turns), heights], axis=1)
        positions = np.concatenate([np.zeros((1, 3)), shell])
        clusters.append(Structure(positions, np.eye(3) * 20, [0] * len(positions), [False] * 3))
    basis = build_basis(["C"], n_max=(3, 3, 3, 2), l_max=(0, 4, 4, 3), cutoff=3.0)
    ranks = np.array([len(label.ls) for label in basis.labels[0]])
    one, other = (describe_compact(cluster, basis)[0] for cluster in clusters)
    for rank in (1, 2, 3, 4):
        mine = ranks == rank
        difference = np.abs(one - other)[mine].max() / np.abs(one[mine]).max()
        if rank <= blind:
            assert difference < 1e-12
        else:
            assert difference > 1e-2


def big_structure(rng, n_side=12):
    grid = np.stack(np.meshgrid(*[np.arange(n_side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * 2.7
    positions = rng.permutation(grid + rng.uniform(-0.4, 0.4, grid.shape))
    return Structure(
        positions, np.eye(3) * n_side * 2.7, rng.integers(0, 2, len(positions)), np.array([True, True, False])
    )


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_give_results_in_order_and_the_first_error(threads):
    begun: list[int] = []

    def square(k: int) -> int:
        begun.append(k)
        if k == 30:
            raise ValueError(f"{k}")
        return k * k

    with Workers(threads) as workers:
        assert workers.all(square, threads) == [k * k for k in range(threads)]
        begun.clear()
        some = workers.in_order(square, range(100))
        assert [next(some) for _ in range(30)] == [k * k for k in range(30)]
        with pytest.raises(ValueError, match="30"):
            next(some)
    # nothing is begun far ahead of what was taken, and nothing after the end
    assert sorted(begun) == list(range(len(begun)))
    assert 31 <= len(begun) <= 31 + threads


def test_an_interruption_of_the_caller_does_not_wait_for_its_turn():
    main, release, held = threading.get_ident(), threading.Event(), threading.Event()

    def task(k: int) -> int:
        if threading.get_ident() == main:
            release.set()
            raise KeyboardInterrupt
        held.set()
        release.wait()
        return k

    def items():
        yield 0
        held.wait()  # the other thread has the first task
        yield from range(1, 5)

    with pytest.raises(KeyboardInterrupt), Workers(2) as workers:
        list(workers.in_order(task, items()))


def test_chunks_and_threads_change_no_bit():
    structure = big_structure(np.random.default_rng(5), 13)
    assert structure.n_atoms > 2048
    whole = describe_compact(structure, ALLOY, warn=False)
    assert np.array_equal(describe_compact(structure, ALLOY, threads=2, warn=False), whole)
    for chunk, threads in ((100, 1), (333, 3)):
        blocks = list(stream_descriptors(structure, ALLOY, chunk, threads=threads))
        assert [len(block) for block in blocks[:-1]] == [chunk] * (len(blocks) - 1)
        assert np.array_equal(np.concatenate(blocks), whole)
    few = structure.replace(positions=structure.positions[:400], species=structure.species[:400])
    # one call that keeps all pairs, and chunks that do not
    chunks = list(stream_descriptors(few, ALLOY, 37))
    assert np.array_equal(describe_compact(few, ALLOY, warn=False), np.concatenate(chunks))


def test_wide_matrix_is_zero_outside_own_block():
    structure = random_structure(np.random.default_rng(2), 5, 2)
    wide, rows = describe(structure, ALLOY), describe_compact(structure, ALLOY)
    assert wide.shape == (5, ALLOY.n_desc)
    for i, element in enumerate(structure.species):
        own = ALLOY.columns(int(element))
        assert np.array_equal(wide[i, own], rows[i, : ALLOY.sizes[element]])
        assert not np.delete(wide[i], np.arange(own.start, own.stop)).any()


def test_atoms_and_structures_give_the_same():
    atoms = ase.io.read(ORACLE / "b_Ta54_paper" / "structure.extxyz")
    assert np.array_equal(describe(atoms, PAPER), describe(from_atoms(atoms, ["Ta"]), PAPER))


def test_neighbours_against_vesin():
    vesin = pytest.importorskip("vesin")
    rng = np.random.default_rng(8)
    for pbc in ((True, True, True), (True, False, True), (False, False, False)):
        structure = random_structure(rng, 7, 1, pbc=pbc)
        mine = neighbours(structure, 5.7)
        i, j, distances = vesin.NeighborList(cutoff=5.7, full_list=True).compute(
            structure.positions, structure.cell, structure.pbc, "ijd"
        )
        theirs = sorted(zip(i.tolist(), j.tolist(), np.round(distances, 9).tolist(), strict=True))
        found = zip(mine.first.tolist(), mine.second.tolist(), np.round(mine.distances, 9).tolist(), strict=True)
        assert sorted(found) == theirs


def test_bad_input_is_named():
    cell = np.eye(3) * 6
    good = Structure(np.array([[0.0, 0, 0], [2.5, 0, 0]]), cell, [0, 0], [True] * 3)
    with pytest.raises(InputError, match=r"melt: the position of atom 1 is .*nan"):
        describe(good.replace(positions=np.array([[0.0, 0, 0], [np.nan, 0, 0]])), PAPER, source="melt")
    with pytest.raises(InputError, match="cell is singular"):
        describe(good.replace(cell=np.array([[6.0, 0, 0], [0, 6, 0], [6, 6, 0]])), PAPER)
    with pytest.raises(InputError, match=r"atoms 0 and 1 are on top of each other \(0\.00e\+00 Å"):
        describe(good.replace(positions=np.zeros((2, 3))), PAPER)
    with pytest.raises(InputError, match=r"atoms 0 and 1 .*5\.00e-04 Å"):
        describe(good.replace(positions=np.array([[0.0, 0, 0], [6.0005, 0, 0]])), PAPER)
    large = big_structure(np.random.default_rng(5), 13)
    for value, message in ((np.inf, f"the position of atom {large.n_atoms - 1} is .*inf"), (1e12, "1e9 cells away")):
        moved = large.positions.copy()
        moved[-1, 1] = value
        with pytest.raises(InputError, match=f"melt: .*{message}"):
            describe_compact(large.replace(positions=moved), ALLOY, threads=2, source="melt")
    for wrong in (3, -1):
        with pytest.raises(InputError, match=f"species index {wrong} is not in the basis"):
            describe(good.replace(species=np.array([0, wrong])), PAPER)
    with pytest.raises(InputError, match="holds no atoms"):
        describe(Structure(np.zeros((0, 3)), cell, np.zeros(0, np.int32), [True] * 3), PAPER)
    with pytest.raises(InputError, match=r"dq_db has shape \(2, 3\)"):
        pullback(good, PAPER, np.zeros((2, 3)))
    with pytest.raises(InputError, match=r"structure: is a str 'abc'; it must be ase\.Atoms"):
        describe("abc", PAPER)
    with pytest.raises(InputError, match="element Zr is not in the basis"):
        describe(ase.Atoms("Zr", cell=cell, pbc=True), PAPER)
    with pytest.warns(EmptyEnvironmentWarning, match="cubic: 2 of 2 atoms have no neighbour within the cutoff"):
        describe(good.replace(cell=cell * 10, positions=good.positions * 5), PAPER, source="cubic")
    # and the scratch arrays are as good as new afterwards
    assert relative(describe(good, PAPER), naive.descriptors(good, PAPER)) < 1e-12


def test_a_thousand_images_per_atom_are_made_room_for():
    thin = Structure(np.zeros((1, 3)), np.diag([0.9, 0.9, 9.0]), [0], [True] * 3)
    rows = describe_compact(thin, PAPER)
    assert relative(rows, naive.descriptors(thin, PAPER)) < 1e-11


WITHOUT_JIT = """
import numpy as np, sys
sys.path.insert(0, {tests!r})
import naive
from test_descriptors import ALLOY, GENERAL, SMALL, random_structure, relative
from grs_evo.descriptors.describe import describe_compact, pullback
from grs_evo.kernels.ace import engine
import numba
assert numba.config.DISABLE_JIT
out = []
for basis in (ALLOY, GENERAL, SMALL):
    structure = random_structure(np.random.default_rng(4), 3, basis.n_elements, apart=1.8, edge=4.6)
    rows = describe_compact(structure, basis)
    assert relative(rows, naive.descriptors(structure, basis)) < 1e-12
    out += [rows, *pullback(structure, basis, np.sin(np.arange(rows.size)).reshape(rows.shape))]
    tables = engine.kernel_tables(basis)
    arrays = [np.array(one) for one in (structure.positions, structure.cell, structure.species, structure.pbc)]
    work, single = engine.make_work(3, tables), np.zeros((3, tables.max_size))
    while engine.describe_single(*arrays, tables, work, single) == engine.GROW:
        work = engine.larger_work(work, tables)
    assert relative(single, rows) < 1e-5
    gradient, strain = np.zeros((3, 3)), np.zeros((3, 3))
    slopes = np.sin(np.arange(rows.size)).reshape(rows.shape)
    engine.pull_single(*arrays, tables, slopes, work, gradient, strain)
    assert relative(-gradient, out[-2]) < 1e-5  # `pullback` gives forces
np.savez({target!r}, *out)
"""


@pytest.mark.long
def test_right_without_jit(tmp_path):
    target = tmp_path / "plain.npz"
    code = WITHOUT_JIT.format(tests=str(Path(__file__).parent), target=str(target))
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    plain = np.load(target, allow_pickle=False)
    compiled = []
    for basis in (ALLOY, GENERAL, SMALL):
        structure = random_structure(np.random.default_rng(4), 3, basis.n_elements, apart=1.8, edge=4.6)
        rows = describe_compact(structure, basis)
        compiled += [rows, *pullback(structure, basis, np.sin(np.arange(rows.size)).reshape(rows.shape))]
    for name, expected in zip(plain.files, compiled, strict=True):
        assert np.abs(plain[name] - expected).max() < 1e-12 * np.abs(expected).max()
