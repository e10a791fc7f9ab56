"""A run file with an alloy and a size is a whole one; what cannot be is said in a line."""

from __future__ import annotations

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.neighborlist import neighbor_list
from click.testing import CliRunner

import grs_evo
from grs_evo.cli.commands import cli
from grs_evo.cli.score import scores
from grs_evo.driver.config.run_file import parse
from grs_evo.driver.setup import by_alloy
from grs_evo.errors import InputError
from grs_evo.loss.terms.table import chosen
from grs_evo.search.candidates.binding import bind
from grs_evo.search.candidates.lattices.parents import parent_cell
from grs_evo.search.candidates.lattices.supercells import most_compact, supercells

CANTOR = """
[target.alloy]
lattice = "fcc"
a = 3.59
composition = {Co = 0.2, Cr = 0.2, Fe = 0.2, Mn = 0.2, Ni = 0.2}
[candidates]
sizes = [40, 40]
"""


def test_an_alloy_and_a_size_say_all() -> None:
    assert len(CANTOR.strip().splitlines()) <= 8
    run, notes = by_alloy(parse(CANTOR, "run.toml"), Path())
    one = run.candidates
    assert (one.kind, one.lattice, one.a, one.sizes, one.compact) == ("supercells", "fcc", 3.59, (40, 40), 1)
    assert one.fractions == pytest.approx(dict.fromkeys(["Co", "Cr", "Fe", "Mn", "Ni"], 0.2))
    assert (run.loss.mean, run.loss.variance, run.loss.terms) == (1.0, 0.0, {"clusters": 4.0})
    # between the third and the fourth shell
    assert 3.59 * np.sqrt(1.5) < run.basis.cutoff < 3.59 * np.sqrt(2)
    assert run.search.strategy == "annealing"
    assert len(notes) == 5


def test_what_is_given_is_left() -> None:
    more = "compact = 3\nfractions = {Co = 0.5, Ni = 0.5}\n[basis]\ncutoff = 6.0\n[loss]\nvariance = 0.5\nterms = {}\n"
    given = parse(CANTOR + more + '[search]\nstrategy = "genetic"\n', "run.toml")
    run, _ = by_alloy(given, Path())
    assert (run.basis, run.loss, run.search) == (given.basis, given.loss, given.search)
    assert (run.candidates.kind, run.candidates.compact) == ("supercells", 3)
    assert run.candidates.fractions == {"Co": 0.5, "Ni": 0.5}
    own = parse(CANTOR.replace("sizes = [40, 40]", 'lattice = "bcc"\na = 2.9'), "run.toml")
    of_it = by_alloy(own, Path())[0].candidates  # of its own parent, in the alloy's composition
    assert of_it.model_dump(exclude={"fractions"}) == own.candidates.model_dump(exclude={"fractions"})


@pytest.mark.parametrize(
    "cell",
    ["sizes = [32, 32]", "repeat = [2, 2, 2]", 'kind = "templates"\nfile = "cell.extxyz"'],
    ids=["size", "repeat", "given"],
)
def test_sites_are_held_in_an_alloys_cell(tmp_path: Path, cell: str) -> None:
    ase.io.write(tmp_path / "cell.extxyz", bulk("Cu", a=3.59, cubic=True) * 2)
    more = f'{cell}\npinned = {{0 = "Ni", 5 = "Co"}}\n[search]\nislands = 1\n[stop]\ngenerations = 1\n'
    (tmp_path / "run.toml").write_text(CANTOR.replace("sizes = [40, 40]\n", more))
    result = grs_evo.run(tmp_path / "run.toml", quiet=True)
    archive = grs_evo.read_archive(result.folder)
    assert "clusters" in archive.term_names
    for one in archive.individuals:
        assert [archive.elements[k] for k in one.structure.species[[0, 5]]] == ["Ni", "Co"]
        assert sorted(one.structure.counts(5)) == [6, 6, 6, 7, 7]


VACANCIES = """
[target.alloy]
lattice = "bcc"
a = 2.88
composition = {Ni = 0.75, Va = 0.25}
order = {Ni-Va = [-0.1]}
[candidates]
sizes = [8, 8]
"""


def test_vacancies_are_a_species_within_and_no_atoms_outside(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(VACANCIES + "[stop]\ngenerations = 1\n")
    result = grs_evo.run(tmp_path / "run.toml", quiet=True)
    judged = json.loads((tmp_path / "run" / "status.json").read_text())["quality"]["line"]
    assert "(8 sites): loss 1.6 times that of 8 environments drawn at random" in judged
    archive = grs_evo.read_archive(result.folder)
    assert archive.elements == ("Ni", "X")
    best = min(archive.individuals, key=lambda one: one.value)
    assert best.structure.counts(2).tolist() == [6, 2]
    (path,) = grs_evo.export(result.folder, tmp_path / "best.vasp", top=1)
    assert ase.io.read(path).symbols.get_chemical_formula() == "Ni6"
    (found,) = scores([str(path)], result.folder)
    assert found["n_atoms"] == 8
    assert found["value"] == pytest.approx(best.value, rel=1e-9)
    assert set(found["by_term"]["clusters"][0]["orders"]) == {"Ni-Ni", "Ni-X", "X-X"}


def test_seeds_are_not_negative() -> None:
    for arguments in (["select", "a.xyz"], ["alloy", "a.toml"]):
        done = CliRunner().invoke(cli, [*arguments, "--seed", "-1", "-o", "one.extxyz"])
        assert done.exit_code == 2
        assert "-1 is not in the range x>=0" in done.output


@pytest.mark.parametrize(
    ("composition", "message"),
    [
        ("{Ni = 0.75, Va = 0.5, X = 0.25}", "target.alloy.composition: X is given twice: X and Va are both vacancies"),
        ("{Ni = 0.75, VA = 0.25}", "target.alloy.composition: .*'VA' is no chemical symbol .did you mean 'Va'"),
        ("[{Ni = 1.0}, {Vac = 1.0}]", "target.alloy.composition: .*'Vac' is no chemical symbol"),
    ],
)
def test_names_of_vacancies_are_checked_where_they_are_written(composition: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(VACANCIES.replace("{Ni = 0.75, Va = 0.25}", composition), "run.toml")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("3", "^loss.terms.clusters: weights: is 3; must be a table"),
        ("{pairs = 1.0}", "^loss.terms.clusters: weights.pairs: is 1.0; must be a list"),
        ("{pairs = [1e308]}", "weights.pairs.0.: is 1e.308; must be less than or equal to 1000000"),
    ],
)
def test_weights_of_clusters_are_refused_by_their_key(weights: str, message: str) -> None:
    run = parse(VACANCIES + f"[loss.terms.clusters]\nweights = {weights}\n", "run.toml")
    with pytest.raises(InputError, match=message):
        chosen(run.loss)


def test_a_large_cell_has_the_wanted_order(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(VACANCIES)
    out = tmp_path / "big.data"
    done = CliRunner().invoke(cli, ["alloy", str(tmp_path / "run.toml"), "-o", str(out), "--sites", "4394"])
    assert done.exit_code == 0, done.output
    assert "4394 sites, Ni3296X1098, orders within" in done.output  # 13³ cubic cells of two sites
    atoms = ase.io.read(out, format="lammps-data")
    assert len(atoms) == 3296
    # a share c (1 − α) of the eight neighbours of an atom are vacancies
    near = len(neighbor_list("i", atoms, 2.6)) / len(atoms)
    assert near == pytest.approx(8 * (1 - 0.25 * 1.1), abs=0.02)
    (tmp_path / "other.toml").write_text("[target]\nfiles = ['a.xyz']\n")
    with pytest.raises(InputError, match=r"target\.alloy: is missing"):
        cli.main(["alloy", str(tmp_path / "other.toml"), "-o", str(out)], standalone_mode=False)


def test_residual_against_displacements_in_one_run(tmp_path: Path) -> None:
    more = 'strategy = "annealing"\n[search.walk]\nevaluations = 300\nsymmetric = 0.7\n'
    text = VACANCIES.replace("order = {Ni-Va = [-0.1]}", "").replace("[8, 8]", "[32, 32]")
    text = text.replace("[candidates]", "[candidates]\nshapes = 6")
    text += f'[search]\nislands = 1\n{more}[archive]\nobjectives = ["value", "displacements", "elongation"]\n'
    (tmp_path / "run.toml").write_text(text + "[stop]\ngenerations = 8\n")
    result = grs_evo.run(tmp_path / "run.toml", quiet=True)
    front = grs_evo.read_archive(result.folder)
    assert front.objective_names == ("value", "displacements", "elongation")
    cells = [one.structure.cell.tobytes() for one in front.individuals]
    assert len(set(cells)) > 1
    # what tables of another shape gave is what the loss gives
    k = next(k for k, one in enumerate(cells) if one != cells[0])
    ase.io.write(tmp_path / "other.extxyz", front.atoms(k))
    (found,) = scores([str(tmp_path / "other.extxyz")], result.folder)
    assert found["value"] == pytest.approx(front.individuals[k].value, rel=1e-9)
    low, high = front.objectives.min(axis=0), front.objectives.max(axis=0)
    assert low[1] < 48 < high[1] == 96
    assert low[2] == pytest.approx(1.0)
    assert front.objectives[front.objectives[:, 1] == low[1], 0].min() > low[0]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            "shapes = [[[2, 0, 0], [0, 2, 0], [0, 0, 3]]]",
            "shapes.0.: has 12 sites .12 parent cells.; the other .*8 .8.$",
        ),
        ("shapes = 0", "candidates.shapes"),
        ("shapes = 3\ncompact = 2", "candidates.shapes: needs one periodic cell of a lattice"),
        ('shapes = 3\npinned = {0 = "Ni"}', "candidates.shapes: pinned and fixed hold sites of one cell"),
        ("shapes = 3\nrattle = 0.1", "candidates.shapes: needs atoms that stay on their sites"),
    ],
)
def test_shapes_that_cannot_be_are_refused(more: str, message: str) -> None:
    text = VACANCIES.replace("Va", "Al").replace("order = {Ni-Al = [-0.1]}", "")

    def bound() -> None:
        bind(by_alloy(parse(f"{text}{more}\n", "run.toml"), Path())[0].candidates, ("Al", "Ni"))

    with pytest.raises(InputError, match=message):
        bound()


def test_vacancies_need_sites_that_stay(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(VACANCIES + "rattle = 0.1\n")
    with pytest.raises(InputError, match="X are vacancies, which need sites that stay"):
        grs_evo.run(tmp_path / "run.toml", quiet=True)


def test_sublattices_and_the_best_size() -> None:
    text = """
[target.alloy]
lattice = "diamond"
a = 5.6
composition = [{Al = 0.25, Ga = 0.75}, {As = 1.0}]
[candidates]
"""
    run, _ = by_alloy(parse(text + "sizes = [30, 36]", "run.toml"), Path())
    assert run.candidates.sizes == (32, 32)
    assert run.candidates.sites == (("Al", "Ga"), ("As",))
    assert run.candidates.fractions == {"Al": 0.125, "Ga": 0.375, "As": 0.5}
    run, _ = by_alloy(parse(text + "repeat = [2, 2, 2]", "run.toml"), Path())
    assert run.candidates.sites == (*[("Al", "Ga")] * 4, *[("As",)] * 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[40, 40]", "[3, 3]"), "3 sites cannot hold a fraction 0.2 of Mn; the nearest possible composition is"),
        (('"fcc"', '"hcp"'), "40 sites"),
        (("Ni = 0.2}", "Ni = 0.2}\norder = {Co-Fe = [0.1, 0.1], Co-Xx = [0.1]}"), ""),
    ],
)
def test_sizes_without_the_composition(change: tuple[str, str], message: str) -> None:
    text = CANTOR.replace(*change)
    if "cannot" in message:
        with pytest.raises(InputError, match=message):
            by_alloy(parse(text, "run.toml"), Path())
    else:
        assert by_alloy(parse(text, "run.toml"), Path())[0].candidates.sizes == (40, 40)


@pytest.mark.parametrize(
    ("composition", "message"),
    [
        ("[{}]", "composition: of site 0 names no element"),
        ("{Co = 0.5, Ni = 0.3}", "fractions Co 0.5, Ni 0.3 sum to 0.8; they must sum to 1"),
        ("[{Co = 1.0}, {Ni = 1.0}]", "2 tables for the 1 sites of the lattice's cell"),
    ],
)
def test_compositions_that_cannot_be_are_refused(composition: str, message: str) -> None:
    text = CANTOR.replace("{Co = 0.2, Cr = 0.2, Fe = 0.2, Mn = 0.2, Ni = 0.2}", composition)
    with pytest.raises(InputError, match=message):
        by_alloy(parse(text, "run.toml"), Path())


def test_odd_sizes_of_a_cell_of_two_sites_name_the_nearest() -> None:
    text = CANTOR.replace('"fcc"', '"hcp"').replace("[40, 40]", "[41, 41]")
    with pytest.raises(InputError, match="the nearest possible numbers are 40 and 42"):
        by_alloy(parse(text, "run.toml"), Path())


def test_the_most_compact_cell_is_the_best_of_all() -> None:
    cell, sites = parent_cell("fcc", 3.6, cubic=False)

    def own_image(one: np.ndarray) -> float:
        grid = np.array(np.meshgrid(*[range(-3, 4)] * 3)).reshape(3, -1).T @ one
        return float(np.sort(np.linalg.norm(grid, axis=1))[1])

    for volume in (8, 12, 27):
        best = max(own_image(one.cell) for one in supercells(cell, sites, (volume, volume)))
        assert own_image(most_compact(cell, volume, 1)[0] @ cell) == pytest.approx(best, rel=1e-6)
