"""Whole molecules: found in a target, placed, moved and relaxed as rigid bodies; and targets that have none."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, graphene, molecule
from ase.io import write

import grs_evo
from grs_evo import InputError
from grs_evo.driver.chosen.decided import decided
from grs_evo.driver.config.run_file import RunFile, parse
from grs_evo.driver.session import resume, run
from grs_evo.driver.setup import make_problem, make_target_data
from grs_evo.kernels.ace.engine import GROW
from grs_evo.kernels.relaxation.minimise import MEMORY
from grs_evo.observables import compare, describe_target
from grs_evo.potential.rigid import relax_bodies
from grs_evo.search.candidates.source import Source, candidate
from grs_evo.search.operators.options import OperatorOptions
from grs_evo.search.operators.table import operators
from grs_evo.search.problem import Problem
from grs_evo.structures.molecules import bodies as rigid
from grs_evo.structures.molecules.bonded import bond_lengths, bonded
from grs_evo.structures.molecules.kinds import find_molecules
from grs_evo.structures.structure import Structure, from_atoms

RUN = """
seed = 3
[target]
files = ["box.xyz"]
[basis]
n_max = [6, 1]
l_max = [0, 1]
cutoff = 4.0
[candidates]
kind = "random"
sizes = [15, 24]
[relax]
max_evaluations = 40
stage_evaluations = 10
[search]
islands = 2
population = 4
[migration]
interval = 1
[stop]
generations = 3
"""


def liquid(names: Sequence[str], spacing: float, seed: int = 0, stretch: float = 0.02) -> Atoms:
    """Molecules and atoms on a displaced cubic grid, turned by chance, with bonds and angles that vary; wrapped."""
    rng = np.random.default_rng(seed)
    n = round(len(names) ** (1 / 3))
    box = Atoms(cell=[spacing * n] * 3, pbc=True)
    for name, place in zip(names, np.ndindex(n, n, n), strict=True):
        one = molecule(name) if name not in ("Ar", "Na") else Atoms(name)
        one.rotate(360 * rng.random(), rng.normal(size=3))
        one.positions += spacing * np.array(place) + rng.normal(0, 0.1, 3) - one.positions.mean(0)
        one.positions += rng.normal(0, stretch, (len(one), 3))
        box += one
    box.wrap()
    return box


WATER = liquid(["H2O"] * 64, 3.1)
ELEMENTS = ("H", "O")
Made = tuple[RunFile, tuple[str, ...], Problem]


def problem_of(atoms: Atoms, folder: Path, text: str = RUN) -> Made:
    write(folder / "box.xyz", atoms)
    given = parse(text, "case.toml")
    target_data = make_target_data(given, folder)
    settled, notes = decided(given, target_data)
    return settled, notes, make_problem(settled, target_data, folder)


@pytest.fixture(scope="module")
def water(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return problem_of(WATER, tmp_path_factory.mktemp("water"))


def shapes(structure: Structure) -> np.ndarray:
    """(n_molecules, 3) Å, the two O-H distances and H-H of each molecule; it has two H and one O."""
    found = bonded(structure, bond_lengths(ELEMENTS))
    rows = []
    for k in range(len(found.endless)):
        own = found.positions[found.group == k]
        species = structure.species[found.group == k]
        assert sorted(species.tolist()) == [0, 0, 1]
        hydrogens, oxygen = own[species == 0], own[species == 1][0]
        to_oxygen = np.sort(np.linalg.norm(hydrogens - oxygen, axis=1))
        rows.append([*to_oxygen, np.linalg.norm(hydrogens[0] - hydrogens[1])])
    return np.array(rows)


TARGET_SHAPES = shapes(from_atoms(WATER, ELEMENTS))


def of_the_target(structure: Structure) -> bool:
    """Whether each molecule has the shape of one in the target."""
    off = np.abs(shapes(structure)[:, None] - TARGET_SHAPES[None]).max(2).min(1)
    return bool(off.max() < 1e-6)


class TestBodies:
    def test_slopes_by_shifts_and_turns_are_differences(self) -> None:
        rng = np.random.default_rng(1)
        group = np.repeat(np.arange(4), [1, 2, 3, 5])
        bodies = rigid.bodies_of(group, rng.normal(size=(11, 3)))
        weights = rng.normal(size=(11, 3))
        for scale in (1e-4, 0.3, 1.5):
            shifts, angles = rng.normal(size=(2, 4, 3)) * scale
            positions, turned = rigid.placed(bodies, shifts, angles)
            by_shift, by_angle = rigid.pulled(bodies, angles, turned, weights * np.cos(weights * positions))

            def value(shifts: np.ndarray, angles: np.ndarray) -> float:
                return float(np.sin(weights * rigid.placed(bodies, shifts, angles)[0]).sum())

            for k, c in np.ndindex(4, 3):
                step = np.zeros((4, 3))
                step[k, c] = 1e-5
                assert (value(shifts + step, angles) - value(shifts - step, angles)) / 2e-5 == pytest.approx(
                    by_shift[k, c], abs=1e-8
                )
                assert (value(shifts, angles + step) - value(shifts, angles - step)) / 2e-5 == pytest.approx(
                    by_angle[k, c], abs=1e-8
                )

    def test_random_rotations_are_rotations_of_all_directions(self) -> None:
        turns = rigid.random_rotations(np.random.default_rng(0), 4000)
        assert np.abs(turns @ np.swapaxes(turns, 1, 2) - np.eye(3)).max() < 1e-12
        assert np.linalg.det(turns) == pytest.approx(np.ones(4000))
        assert np.abs(turns.mean(0)).max() < 0.04


class TestFound:
    def test_molecules_across_the_border_are_in_one_piece(self) -> None:
        found = find_molecules([from_atoms(WATER, ELEMENTS)], ELEMENTS)
        assert [(kind.formula, kind.number) for kind in found.kinds] == [("H2O", 64)]
        spans = np.linalg.norm(found.kinds[0].geometries, axis=2)
        assert spans.max() < 1.0

    def test_contacts_are_those_of_different_molecules(self) -> None:
        found = find_molecules([from_atoms(WATER, ELEMENTS)], ELEMENTS)
        distances = WATER.get_all_distances(mic=True)
        own = np.repeat(np.arange(64), 3)
        hydrogen = WATER.symbols == "H"
        apart = own[:, None] != own[None, :]
        between = np.where(np.outer(hydrogen, ~hydrogen) & apart, distances, np.inf)
        # of a hundred atoms' distances to the nearest, the second is the low quantile that counts
        nearest = sorted([np.sort(between.min(axis))[1] for axis in (0, 1)])
        assert found.contacts[0, 1] == pytest.approx(nearest[0], abs=1e-9)

    @pytest.mark.parametrize(
        ("atoms", "elements", "why"),
        [
            (bulk("Cu", cubic=True) * 3, ("Cu",), "12.0 bonds each, as in a metal"),
            (bulk("NaCl", "rocksalt", a=5.64, cubic=True), ("Cl", "Na"), "bonds each"),
            (graphene(size=(2, 2, 1), vacuum=5.0), ("C",), "bonded without end"),
            (bulk("Si", cubic=True) * 2, ("Si",), "4.0 bonds each"),
            (bulk("Ar", a=5.4, cubic=True) * 2, ("Ar",), "32 of its 32 atoms have no bonds"),
            (molecule("C60", cell=[20] * 3, pbc=True), ("C",), "none of them common"),
        ],
    )
    def test_what_is_no_molecular_target(self, atoms: Atoms, elements: tuple[str, ...], why: str) -> None:
        found = find_molecules([from_atoms(atoms, elements)], elements)
        assert not found.kinds
        assert why in found.why_not

    def test_a_dissolved_atom_is_left_out_and_said(self) -> None:
        box = liquid(["H2O"] * 40 + ["Ar"] + ["H2O"] * 23, 4.0)
        found = find_molecules([from_atoms(box, ("Ar", *ELEMENTS))], ("Ar", *ELEMENTS))
        assert [kind.formula for kind in found.kinds] == ["H2O"]
        assert found.others == "1 Ar"

    def test_frames_with_other_molecules_are_taken_together(self) -> None:
        elements = ("C", *ELEMENTS)
        frames = [from_atoms(liquid(names, 4.5), elements) for names in (["H2O"] * 8, ["CO2"] * 8)]
        found = find_molecules(frames, elements)
        assert sorted((kind.formula, kind.number) for kind in found.kinds) == [("CO2", 8), ("H2O", 8)]


class TestCandidates:
    def test_are_whole_molecules_of_the_target_by_default(self, water: Made) -> None:
        settled, notes, problem = water
        assert settled.candidates.molecules is True
        assert any("the target consists of molecules (H2O)" in note for note in notes)
        source = problem.sources[0]
        assert source.sizes == (15, 18, 21, 24)
        rng = np.random.default_rng(0)
        made = [candidate(rng, source) for _ in range(8)]
        assert len({one.n_atoms for one in made if one is not None}) > 1
        for one in made:
            assert one is not None
            assert of_the_target(one)
            assert source.limits.violation(one) is None

    def test_every_operator_keeps_them_whole(self, water: Made) -> None:
        limits = water[2].sources[0].limits
        rng = np.random.default_rng(1)
        parents = [one for _ in range(6) if (one := candidate(rng, water[2].sources[0])) is not None]
        for operator in operators():
            if operator.kind == "chemical":
                assert operator.exclusion(limits) == "molecules stay whole"
            if operator.act is None or operator.exclusion(limits) is not None:
                continue
            pairs = itertools.pairwise(parents)
            children = [operator.act(rng, pair, limits, OperatorOptions()) for pair in pairs]
            kept = [child for child in children if child is not None]
            assert len(kept) >= 2, operator.name
            assert all(of_the_target(child) for child in kept), operator.name

    def test_a_broken_molecule_and_two_too_near_are_refused(self, water: Made) -> None:
        limits = water[2].sources[0].limits
        one = candidate(np.random.default_rng(2), water[2].sources[0])
        assert one is not None
        assert limits.molecules is not None
        apart = one.positions.copy()
        apart[0] += 0.4 * (apart[0] - apart[2]) / np.linalg.norm(apart[0] - apart[2])
        assert limits.violation(one.replace(positions=apart)) == "overlap"
        assert limits.violation(one.replace(species=one.species[::-1].copy())) is not None

    def test_a_mixture_keeps_its_proportions(self, tmp_path: Path) -> None:
        box = liquid((["H2O", "CO2", "H2O"] * 9), 3.9)
        text = RUN.replace("[15, 24]", "[27, 27]")
        _, _, problem = problem_of(box, tmp_path, text)
        source = problem.sources[0]
        assert source.limits.molecules is not None
        assert source.limits.molecules.numbers[27] == (6, 3)
        rng = np.random.default_rng(0)
        one = candidate(rng, source)
        assert one is not None
        swap = next(operator for operator in operators() if operator.name == "displace_one")
        assert swap.act is not None
        for _ in range(10):
            child = swap.act(rng, (one,), source.limits, OperatorOptions())
            assert child is None or source.limits.violation(child) is None


class TestOptions:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (("[15, 24]", "[16, 17]"), r"candidates.sizes: 16 to 17 atoms cannot .* \(H2O\) .* near are 15 and 18"),
            (("sizes = [15, 24]", "counts = { H = 20, O = 9 }"), r"candidates: H20O9 cannot be had with whole"),
            (("[relax]", "molecules = true\n[relax]\nmethod = 'fire'"), "relax.method is 'fire'"),
            (("[relax]", "molecules = true\ncomposition = 'free'\n[relax]"), "fix the composition"),
            (('kind = "random"', 'kind = "lattice"\nmolecules = true'), 'kind must be "random"'),
        ],
    )
    def test_what_whole_molecules_cannot_have_is_refused(
        self, change: tuple[str, str], message: str, tmp_path: Path
    ) -> None:
        with pytest.raises(InputError, match=message):
            problem_of(WATER, tmp_path, RUN.replace(*change))

    @pytest.mark.parametrize(
        ("change", "note"),
        [
            (("[relax]", "molecules = false\n[relax]"), ""),
            (("[relax]", "[relax]\nmethod = 'cg'"), "but relax.method is 'cg'"),
            (("[relax]", "composition = 'free'\n[relax]"), "but the composition is free"),
        ],
    )
    def test_what_goes_without(self, change: tuple[str, str], note: str, tmp_path: Path) -> None:
        _, notes, problem = problem_of(WATER, tmp_path, RUN.replace(*change))
        assert problem.sources[0].limits.molecules is None
        assert any(note in one for one in notes) if note else not any("molecules" in one for one in notes)

    def test_cells_cut_from_the_target_hold_its_molecules_whole(self, tmp_path: Path) -> None:
        _, notes, problem = problem_of(WATER, tmp_path, RUN.replace("[relax]", "carved = 1.0\n[relax]"))
        assert any("placed and moved whole" in one for one in notes)
        source, rng = problem.sources[0], np.random.default_rng(2)
        made = [one for _ in range(12) if (one := candidate(rng, source)) is not None]
        assert len(made) >= 10
        assert all(of_the_target(one) and source.limits.violation(one) is None for one in made)
        assert {one.n_atoms for one in made} == {15, 18, 21, 24}

    def test_a_target_with_other_groups_is_not_cut(self, tmp_path: Path) -> None:
        odd = WATER.copy()
        del odd[2]  # the second hydrogen of a molecule
        with pytest.raises(InputError, match=r"none of the target's structures .* consists of whole molecules alone"):
            problem_of(odd, tmp_path, RUN.replace("[relax]", "carved = 1.0\n[relax]"))

    def test_a_network_asked_for_molecules_is_refused(self, tmp_path: Path) -> None:
        text = RUN.replace("[relax]", "molecules = true\n[relax]")
        with pytest.raises(InputError, match=r"candidates.molecules: is true, but .* 4.0 bonds each"):
            problem_of(bulk("Si", cubic=True) * 2, tmp_path, text)

    def test_counts_of_whole_molecules_are_taken(self, tmp_path: Path) -> None:
        _, _, problem = problem_of(WATER, tmp_path, RUN.replace("sizes = [15, 24]", "counts = { H = 12, O = 6 }"))
        assert problem.sources[0].sizes == (18,)


def _one_with_bodies(problem: Problem, seed: int) -> tuple[Structure, rigid.Bodies]:
    source: Source = problem.sources[0]
    one = candidate(np.random.default_rng(seed), source)
    assert one is not None
    assert source.limits.molecules is not None
    known = source.limits.molecules.bodies(one)
    assert known is not None
    return one, known[0]


def test_relaxation_lowers_the_loss_and_keeps_the_shapes(water: Made) -> None:
    settled, _, problem = water
    one, bodies = _one_with_bodies(problem, 5)
    assert settled.relax is not None
    options = grs_evo.RelaxOptions(max_evaluations=120, stage_evaluations=40)
    relaxed = relax_bodies(one, bodies, problem.objective, options)
    assert relaxed.value < 0.7 * problem.objective.evaluate(one).value
    assert relaxed.value == pytest.approx(problem.objective.evaluate(relaxed.structure).value, rel=1e-9)
    assert of_the_target(relaxed.structure)
    again = relax_bodies(one, bodies, problem.objective, options)
    assert np.array_equal(again.structure.positions, relaxed.structure.positions)
    with pytest.raises(InputError, match=r"relax.method is 'fire'"):
        relax_bodies(one, bodies, problem.objective, grs_evo.RelaxOptions(method="fire"))


@pytest.mark.parametrize("cell", ["volume", "shape", "full"])
def test_the_cell_moves_with_the_centres_of_molecules(cell: str, water: Made) -> None:
    problem = water[2]
    one, bodies = _one_with_bodies(problem, 6)
    options = grs_evo.RelaxOptions(cell=cell, max_evaluations=60, stage_evaluations=30)
    relaxed = relax_bodies(one, bodies, problem.objective, options)
    still = relax_bodies(one, bodies, problem.objective, options.model_copy(update={"cell": "none"}))
    assert of_the_target(relaxed.structure)
    assert relaxed.value == pytest.approx(problem.objective.evaluate(relaxed.structure).value, rel=1e-9)
    assert relaxed.value < problem.objective.evaluate(one).value
    assert np.array_equal(still.structure.cell, one.cell)
    change = np.linalg.solve(one.cell, relaxed.structure.cell)
    assert np.abs(change - np.eye(3)).max() > 1e-4
    if cell == "shape":
        assert relaxed.structure.volume == pytest.approx(one.volume, rel=1e-9)
    if cell == "volume":
        assert np.abs(change - np.eye(3) * change[0, 0]).max() < 1e-9


@pytest.mark.parametrize("cell", ["none", "volume", "shape", "full"])
def test_slopes_of_bodies_and_cell_are_differences(cell: str, water: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = water[2]
    one, bodies = _one_with_bodies(problem, 7)
    checked: list[float] = []

    def check(on: Any, options: Any, limit: int) -> int:
        rng = np.random.default_rng(0)
        u = 0.05 * rng.standard_normal(on.n)
        if cell == "volume":
            u[-6:] = [0.1, 0.1, 0.1, 0, 0, 0]
        _, slope = on.at(u)
        if on.descent.status[0] == GROW:
            return MEMORY  # it is called again with more
        for _ in range(6):
            way = rng.standard_normal(on.n)
            if cell == "none":
                way[-6:] = 0.0
            if cell == "volume":
                way[-6:] = [1.0, 1.0, 1.0, 0, 0, 0]
            ahead, behind = on.at(u + 1e-5 * way)[0], on.at(u - 1e-5 * way)[0]
            assert (ahead - behind) / 2e-5 == pytest.approx(float(slope @ way), rel=1e-5, abs=1e-7)
            checked.append(ahead)
        on.renew(u)
        return 2

    monkeypatch.setattr("grs_evo.potential.rigid._lbfgs", check)
    options = grs_evo.RelaxOptions(cell=cell, deltas=(0.5,))
    relax_bodies(one, bodies, problem.objective, options)
    assert len(checked) == 6


def test_a_run_gives_whole_molecules_and_goes_on_as_if_never_stopped(tmp_path: Path) -> None:
    write(tmp_path / "box.xyz", WATER)
    (tmp_path / "case.toml").write_text(RUN)
    (tmp_path / "short.toml").write_text(RUN.replace("generations = 3", "generations = 1"))
    whole = run(tmp_path / "case.toml", quiet=True)
    short = run(tmp_path / "short.toml", quiet=True)
    resume(short.folder, extend="stop.generations=3", quiet=True)
    archive = grs_evo.read_archive(whole.folder)
    assert archive.archive_hash == grs_evo.read_archive(short.folder).archive_hash
    reference = describe_target([WATER])
    for k in range(min(3, len(archive))):
        best = from_atoms(archive.atoms(k), ELEMENTS)
        assert of_the_target(best)
        rows = compare([best], reference).rows
        assert all(row.value == 1.0 for row in rows if row.observable == "molecules")
