"""What the target decides where a run file leaves it open."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import small
from ase import Atoms
from ase.build import bulk
from ase.io import write

import grs_evo
from grs_evo.cli.check import check
from grs_evo.driver.config.from_target import shortest_contacts, with_target_defaults
from grs_evo.driver.config.run_file import parse
from grs_evo.errors import InputError
from grs_evo.structures.structure import Structure, from_atoms

ELEMENTS = ("Cu", "Au")
RUN = """
[target]
files = ["target.xyz"]
[basis]
n_max = [3, 1]
l_max = [0, 1]
cutoff = 4.0
[candidates]
kind = "random"
sizes = [4, 4]
[stop]
generations = 1
"""


@pytest.fixture(scope="module")
def basis() -> grs_evo.Basis:
    return grs_evo.build_basis(ELEMENTS, (3, 1), (0, 1), 4.0)


def structures(n: int = 3, seed: int = 0) -> list[Structure]:
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        atoms = bulk("Cu", cubic=True, a=3.8) * (3, 3, 3)
        atoms.symbols[:] = rng.choice(ELEMENTS, len(atoms))
        atoms.rattle(0.1, rng=rng)
        made.append(from_atoms(atoms, ELEMENTS))
    return made


def test_contacts_are_those_of_each_pair(basis) -> None:
    found = shortest_contacts(structures(), basis)
    assert set(found) == {"Cu-Cu", "Cu-Au", "Au-Au"}
    assert all(2.0 < contact < 2.69 for contact in found.values())


def test_one_odd_contact_does_not_rule(basis) -> None:
    given = structures(40)
    moved = given[0].positions.copy()
    moved[0] = moved[1] + (0.0, 0.0, 1.45)
    odd = [given[0].replace(positions=moved), *given[1:]]
    usual, with_odd = shortest_contacts(given, basis), shortest_contacts(odd, basis)
    assert max(abs(with_odd[pair] - usual[pair]) for pair in usual) < 0.05


def test_atoms_that_never_meet_have_no_contact(basis) -> None:
    alone = from_atoms(Atoms("CuCu", [[0, 0, 0], [0, 0, 2.5]], cell=[30, 30, 30], pbc=True), ELEMENTS)
    assert set(shortest_contacts([alone], basis)) == {"Cu-Cu"}


def test_contacts_across_a_torn_seam_do_not_rule(tmp_path: Path) -> None:
    """A file whose cell is too short: the line says how many contacts cannot be and where, the defaults ignore them."""
    rng = np.random.default_rng(1)
    atoms = bulk("Cu", cubic=True, a=3.8) * (4, 4, 16)
    atoms.positions += rng.normal(0, 0.08, (len(atoms), 3))
    atoms.cell[2, 2] -= 1.7
    write(tmp_path / "target.xyz", atoms, format="extxyz")
    (tmp_path / "case.toml").write_text(RUN)
    notes = check(tmp_path / "case.toml")["notes"]
    assert any("where the cell is joined along c: it is torn there" in note for note in notes)
    (told,) = (note for note in notes if note.startswith("shortest contacts"))
    found = float(told.split("Cu-Cu ")[1].split()[0])
    assert found > 1.9
    basis = grs_evo.build_basis(ELEMENTS, (3, 1), (0, 1), 4.0)
    assert shortest_contacts([from_atoms(atoms, ELEMENTS)], basis)["Cu-Cu"] < found - 0.1


def test_a_contact_beyond_the_pair_s_own_cutoff_is_none() -> None:
    """The repulsion of a default must not reach beyond the cutoff that the run file gives the pair."""
    short = grs_evo.build_basis(ELEMENTS, (3, 1), (0, 1), {"Cu-Cu": 4.0, "Cu-Au": 2.0, "Au-Au": 4.0})
    assert set(shortest_contacts(structures(), short)) == {"Cu-Cu", "Au-Au"}


def test_random_cells_take_contacts_pairs_and_relaxation_from_the_target(basis) -> None:
    run, notes = with_target_defaults(parse(RUN, "run.toml"), structures(), basis)
    contacts = shortest_contacts(structures(), basis)
    for pair, contact in contacts.items():
        assert run.loss.core.distances[pair] * (1 + run.loss.core.width) == pytest.approx(contact, abs=2e-3)
        assert isinstance(run.candidates.min_distance, dict)
        assert 1.5 < run.candidates.min_distance[pair] <= 0.9 * contact + 1e-3
    assert run.loss.terms == {"pair_distances": 0.5}
    assert run.relax is not None
    assert run.search.population == 50  # of four atoms each
    assert len(notes) == 4
    assert "Cu-Au" in notes[0]


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ("[loss]\nterms = {}", lambda run: run.loss.terms == {}),
        ("[loss.core]\ndistances = {}", lambda run: run.loss.core.distances == {}),
        ("[loss.core]\nfraction = 0.5", lambda run: run.loss.core.distances == {}),
        ("[relax]\nmax_evaluations = 7", lambda run: run.relax.max_evaluations == 7),
    ],
)
def test_what_is_given_stays(change: str, kept, basis) -> None:
    run, _ = with_target_defaults(parse(RUN + change, "run.toml"), structures(), basis)
    assert kept(run)


@pytest.mark.parametrize(
    "change",
    [
        "[loss]\nw_structure = -0.01",
        "[loss]\nw_set = 0.5",
        "[set]\nrounds = 3",
        "[loss]\nmean = -1.0",
    ],
)
def test_other_questions_are_left_alone(change: str, basis) -> None:
    given = parse(RUN + change, "run.toml")
    assert with_target_defaults(given, structures(), basis) == (given, ())


def test_relaxed_cells_are_as_many_as_their_size_allows(basis) -> None:
    """A minute holds several generations; who gives a population, or how many are relaxed, has it."""
    large = RUN.replace("[4, 4]", "[54, 54]")
    run, notes = with_target_defaults(parse(large, "run.toml"), structures(), basis)
    assert run.search.population == 6
    assert any("search.population = 6" in note for note in notes)
    for given in ("[search]\npopulation = 30", "[search.genetic]\nrelaxed = 0.5", "[[islands]]\ncount = 2"):
        kept, _ = with_target_defaults(parse(large + given, "run.toml"), structures(), basis)
        assert kept.each_island()[0].population == (30 if "30" in given else 50)


def test_sites_are_left_alone(basis) -> None:
    given = parse(
        RUN.replace('kind = "random"\nsizes = [4, 4]', 'kind = "lattice"\nlattice = "fcc"\na = 3.8'), "run.toml"
    )
    assert with_target_defaults(given, structures(), basis) == (given, ())
    assert with_target_defaults(parse(RUN, "run.toml"), [], basis)[1] == ()


def test_a_resume_reads_what_was_decided(tmp_path: Path) -> None:
    (tmp_path / "target.xyz").write_text(small.TARGET)
    (tmp_path / "case.toml").write_text(RUN + "[relax]\nmax_evaluations = 20\n[search]\nislands = 1\npopulation = 3\n")
    result = grs_evo.run(tmp_path / "case.toml", quiet=True)
    text = (Path(result.folder) / "run.toml").read_text()
    assert "pair_distances = 0.5" in text
    archive = grs_evo.read_archive(result.folder)
    assert "pair_distances" in archive.term_names
    again = grs_evo.resume(result.folder, extend="stop.generations=2", quiet=True)
    assert again.finished
    assert "pair_distances" in grs_evo.read_archive(result.folder).term_names


def test_check_tells_what_the_target_decides(tmp_path: Path) -> None:
    (tmp_path / "target.xyz").write_text(small.TARGET)
    (tmp_path / "case.toml").write_text(RUN)
    found = check(tmp_path / "case.toml")
    assert any("shortest contacts of the target" in note for note in found["notes"])
    assert json.loads(json.dumps(found["settings"]))["loss"]["terms"] == {"pair_distances": 0.5}


def test_distances_of_pairs_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "target.xyz").write_text(small.TARGET)
    for pair, words in (("Cu-Xx", "is no pair of the elements"), ("Cu-Cu", "must be > 0")):
        distance = -1.0 if pair == "Cu-Cu" else 2.0
        text = RUN.replace("sizes = [4, 4]", f'sizes = [4, 4]\nmin_distance = {{"{pair}" = {distance}}}')
        (tmp_path / "case.toml").write_text(text)
        with pytest.raises(InputError, match=words):
            check(tmp_path / "case.toml")


def test_a_glass_of_two_elements_keeps_its_contacts(tmp_path: Path) -> None:
    """Without a word about distances, no atoms of the best cell are nearer than the target's but by 0.1 Å."""
    rng = np.random.default_rng(3)
    atoms = bulk("Cu", cubic=True, a=3.8) * (3, 3, 3)
    atoms.symbols[:] = rng.choice(ELEMENTS, len(atoms))
    atoms.rattle(0.25, rng=rng)
    write(tmp_path / "target.xyz", atoms, format="extxyz")
    text = RUN.replace("sizes = [4, 4]", "sizes = [16, 16]").replace("cutoff = 4.0", "cutoff = 5.0")
    (tmp_path / "case.toml").write_text(text + "[search]\nislands = 1\npopulation = 4\n")
    result = grs_evo.run(tmp_path / "case.toml", quiet=True)
    basis = grs_evo.build_basis(ELEMENTS, (3, 1), (0, 1), 5.0)
    wanted = shortest_contacts([from_atoms(atoms, ELEMENTS)], basis)
    found = shortest_contacts([from_atoms(grs_evo.read_archive(result.folder).atoms(0), ELEMENTS)], basis)
    assert all(found[pair] > wanted[pair] - 0.1 for pair in found)
