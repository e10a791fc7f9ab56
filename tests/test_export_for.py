"""Training sets and inputs for other programs, each read back: every label where its program looks for it."""

from __future__ import annotations

import gzip
import json
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from archives import archive
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import read, write

from grs_evo import InputError
from grs_evo.cli import main
from grs_evo.datasets.labels import read_labelled, stress_of
from grs_evo.exporters.export import export
from grs_evo.search.population.individual import short_uid
from grs_evo.storage.archive_file import write_archive


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(one) for one in arguments])
    return int(end.value.code or 0)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    made = []
    for k in range(4):
        atoms = bulk("Cu", cubic=True)
        atoms.symbols[0] = "Au"
        atoms.set_cell(atoms.cell[:] @ (np.eye(3) + 0.05 * rng.normal(size=(3, 3))), scale_atoms=True)
        atoms.rattle(0.1, rng=rng)
        atoms.info["group"] = "hot melt" if k % 2 else "cold"
        atoms.calc = EMT()
        atoms.get_forces()
        atoms.get_stress()
        made.append(atoms)
    path = tmp_path_factory.mktemp("set") / "set.extxyz"
    write(path, made)
    return path


def assert_all_there(back: list[tuple[Atoms, float, np.ndarray, np.ndarray]], path: Path) -> None:
    """Energies, forces and stresses (3, 3) of what was read back are those of the set, structure by structure."""
    given = read(path, ":")
    assert len(back) == len(given)
    for was in given:
        energy = was.get_potential_energy()
        atoms, found, forces, stress = min(back, key=lambda one: abs(one[1] - energy))
        assert found == pytest.approx(energy, abs=1e-8)
        assert atoms.get_chemical_symbols() == was.get_chemical_symbols()
        np.testing.assert_allclose(atoms.positions, was.positions, atol=1e-8)
        np.testing.assert_allclose(atoms.cell[:], was.cell[:], atol=1e-8)
        np.testing.assert_allclose(forces, was.get_forces(), atol=1e-8)
        np.testing.assert_allclose(stress, was.get_stress(voigt=False), atol=1e-8)


@pytest.mark.parametrize("program", ["mace", "nequip", "ace-jax"])
def test_extended_xyz_has_each_program_s_keys(program: str, labelled: Path, tmp_path: Path) -> None:
    assert call("export", labelled, "--for", program, "-o", tmp_path / "train.xyz") == 0
    back = []
    for one in read(tmp_path / "train.xyz", ":"):
        if program == "mace":
            entry = (one.info["REF_energy"], one.arrays["REF_forces"], one.info["REF_stress"].reshape(3, 3))
        elif program == "nequip":
            entry = (one.get_potential_energy(), one.get_forces(), one.get_stress(voigt=False))
        else:
            virial = one.info["virial"] if "virial" in one.info else one.calc.results["virial"]
            entry = (one.get_potential_energy(), one.get_forces(), -virial.reshape(3, 3) / one.get_volume())
        back.append((one, *entry))
    assert_all_there(back, labelled)
    assert {one.info["config_type"] for one, *_ in back} == {"cold", "hot melt"}


def test_fitsnap_gets_a_folder_for_each_group(labelled: Path, tmp_path: Path) -> None:
    assert call("export", labelled, "--for", "fitsnap", "-o", tmp_path / "JSON") == 0
    folders = {path.parent.name for path in tmp_path.glob("JSON/*/*.json")}
    assert folders == {"cold", "hot_melt"}
    section = (tmp_path / "JSON" / "groups.in").read_text()
    assert all(f"\n{group} = 1.0 0.0" in section for group in folders)
    one = json.loads((tmp_path / "JSON" / "cold" / "00001.json").read_text().split("\n", 1)[1])["Dataset"]
    assert one["StressStyle"] == "bar"
    first = read(labelled, 0)
    # a pressure in bar, as LAMMPS has it: 1 eV/Å³ is 1.602 Mbar
    assert np.trace(one["Data"][0]["Stress"]) == pytest.approx(-first.get_stress()[:3].sum() * 1.602176634e6, rel=1e-6)
    back = [(x.atoms, x.energy, x.forces, stress_of(x.atoms)) for x in read_labelled(str(tmp_path / "JSON"))]
    assert_all_there(back, labelled)
    assert {x.group for x in read_labelled(str(tmp_path / "JSON"))} == folders


def test_pacemaker_gets_a_table(labelled: Path, tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    path = tmp_path / "train.pckl.gzip"
    assert call("export", labelled, "--for", "pacemaker", "-o", path) == 0
    table = pickle.loads(gzip.decompress(path.read_bytes()))
    voigt = [0, 5, 4, 5, 1, 3, 4, 3, 2]
    back = [
        (row.ase_atoms, row.energy_corrected, row.forces, row.stress[voigt].reshape(3, 3)) for row in table.itertuples()
    ]
    assert_all_there(back, labelled)
    assert all(one.calc is None for one, *_ in back)
    assert set(table.config_type) == {"cold", "hot melt"}


def test_training_sets_that_cannot_be(labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_archive(tmp_path / "archive.h5", archive(2, elements=("Cu", "Au"), in_set=0))
    bare = read(labelled, 0)
    bare.calc = None
    write(tmp_path / "bare.extxyz", bare)
    for source, program, name, words in (
        (labelled, "mac", "a.xyz", "did you mean 'mace'"),
        (labelled, "mace", "a.extxyz", "mace reads files that end in .xyz"),
        (tmp_path / "archive.h5", "mace", "a.xyz", "join them with grs-evo label"),
        (tmp_path / "bare.extxyz", "nequip", "a.xyz", "has no energy; nequip fits to energies and forces"),
    ):
        assert call("export", source, "--for", program, "-o", tmp_path / name) == 2
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1


# -- inputs


@pytest.fixture(scope="module")
def made():
    return archive(3, elements=("Cu", "Au"), in_set=1)


def same(atoms: Atoms, expected: Atoms, places: float = 1e-8) -> None:
    assert atoms.get_chemical_symbols() == expected.get_chemical_symbols()
    np.testing.assert_allclose(atoms.cell[:], expected.cell[:], atol=places)
    apart = np.linalg.solve(expected.cell[:].T, (atoms.positions - expected.positions).T).T
    np.testing.assert_allclose((apart - np.round(apart)) @ expected.cell[:], 0.0, atol=places)


def best(made) -> Atoms:
    return made.atoms(min(range(3), key=lambda k: made.individuals[k].value))


def test_abinit_reads_back(made, tmp_path: Path) -> None:
    (path,) = export(made, tmp_path / "a.abi", top=1)
    same(read(path, format="abinit-in"), best(made), 1e-7)
    text = path.read_text()
    assert f"grs_uid={best(made).info['grs_uid']}" in text.splitlines()[0]
    assert "starting values, to be checked" in text.splitlines()[1]


def test_castep_cells_hold_every_digit(made, tmp_path: Path) -> None:
    """ASE reads .cell files only where a CASTEP program is installed: blocks of the format, by hand."""
    (path,) = export(made, tmp_path / "a.cell", top=1)
    blocks = {}
    for part in path.read_text().split("%BLOCK ")[1:]:
        name, *rows = part.split("%ENDBLOCK")[0].strip().split("\n")
        blocks[name] = [row.split() for row in rows]
    cell = np.array(blocks["LATTICE_CART"], float)
    positions = np.array([row[1:] for row in blocks["POSITIONS_ABS"]], float)
    back = Atoms([row[0] for row in blocks["POSITIONS_ABS"]], positions, cell=cell, pbc=True)
    same(back, best(made), 0)


def test_cp2k_reads_back(made, tmp_path: Path) -> None:
    from ase.calculators.cp2k import parse_input

    (path,) = export(made, tmp_path / "a.inp", top=1)
    tree = parse_input(path.read_text())
    subsys = next(s for s in tree.get_subsection("FORCE_EVAL").subsections if s.name == "SUBSYS")
    cell = [line.split() for line in subsys.get_subsection("CELL").keywords if line[0] in "ABC"]
    coordinates = [line.split() for line in subsys.get_subsection("COORD").keywords]
    numbers = np.array([row[1:] for row in coordinates], float)
    back = Atoms([row[0] for row in coordinates], numbers, cell=np.array([row[1:] for row in cell], float), pbc=True)
    same(back, best(made), 1e-12)
    assert "BASIS_SET NO_BASIS_SET_GIVEN_FOR_Au" in path.read_text()


def test_gpaw_scripts_build_the_structure(made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run with EMT in GPAW's place, a script leaves labels that find their structure again."""
    import grs_evo

    fake = types.ModuleType("gpaw")
    fake.GPAW = lambda **_: EMT()
    fake.PW = fake.FermiDirac = float
    monkeypatch.setitem(sys.modules, "gpaw", fake)
    (path,) = export(made, tmp_path / "a.py", top=1)
    exec(compile(path.read_text(), str(path), "exec"), {"__file__": str(path)})
    back = grs_evo.label(tmp_path / "a.extxyz", [best(made)])
    assert back.by_uid == 1
    same(back.atoms[0], best(made))
    assert "stress" in back.atoms[0].calc.results


def test_trajectories_keep_what_is_known(made, tmp_path: Path) -> None:
    (path,) = export(made, tmp_path / "a.traj")
    back = read(path, ":")
    assert len(back) == 3
    assert back[0].info["grs_uid"] == best(made).info["grs_uid"]
    same(back[0], best(made), 0)


# -- to the screen, and by uid


def test_standard_output_and_uids(made, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    write_archive(tmp_path / "archive.h5", made)
    one = made.individuals[1]
    assert call("export", tmp_path, "-o", "-", "--uid", short_uid(one.uid)) == 0
    out = capfdbinary.readouterr().out
    assert out.count(b"Lattice=") == 1
    assert f"grs_uid={one.uid}".encode() in out
    assert call("export", tmp_path, "-o", "-", "--format", "poscar", "--top", 1) == 0
    assert b"Direct" in capfdbinary.readouterr().out
    for more, words in (
        (["--format", "poscar"], b"poscar holds one structure, and these are 3; give --top 1"),
        (["--format", "db"], b"db is no text for standard output"),
        (["--uid", "9/9"], b"holds no structure with the uid 9/9"),
        (["--uid", "x"], b"must be island/number"),
    ):
        assert call("export", tmp_path, "-o", "-", *more) == 2
        assert words in capfdbinary.readouterr().err
    assert not (tmp_path / "-").exists()
    with pytest.raises(InputError, match="holds no structure with the uid"):
        export(made, tmp_path / "a.extxyz", uids=[12345])
