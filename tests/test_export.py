"""Exported files hold the same structures: every format read back, and cells as they were."""

from __future__ import annotations

import gzip
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small
from archives import archive

from grs_evo.cli.commands import main
from grs_evo.driver.session import run
from grs_evo.errors import InputError
from grs_evo.exporters.export import export
from grs_evo.storage.archive_file import read_archive, write_archive


@pytest.fixture(scope="module")
def made():
    return archive(6, elements=("Cu", "Au"), in_set=2)


def expected(made, which="archive"):
    chosen = made.set if which == "set" else sorted(made.individuals, key=lambda one: (one.value, one.uid))
    return [one.structure for one in chosen]


def assert_same(atoms, structure, elements, grouped=False):
    """Equal to 1e-8 Å: cell as it was, positions up to whole lattice vectors (formats with fractions wrap)."""
    np.testing.assert_allclose(atoms.cell[:], structure.cell, atol=1e-8, rtol=0)
    symbols = [elements[k] for k in structure.species]
    order = np.arange(len(symbols))
    if grouped:
        first = list(dict.fromkeys(symbols))
        order = np.array(sorted(order, key=lambda k: (first.index(symbols[k]), k)))
    assert atoms.get_chemical_symbols() == [symbols[k] for k in order]
    apart = np.linalg.solve(structure.cell.T, (atoms.positions - structure.positions[order]).T).T
    np.testing.assert_allclose((apart - np.round(apart)) @ structure.cell, 0.0, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("all.extxyz", None),
        ("all.poscar", None),
        ("dft", "vasp"),
        ("all.pwi", None),
        ("all.db", None),
        ("all.cif", None),
        ("all.data", None),
    ],
)
def test_what_is_read_back_is_what_was_found(made, tmp_path, name, format):
    from ase.io import read

    files = export(made, tmp_path / name, format=format)
    if name.endswith((".extxyz", ".db", ".cif")):
        assert [file.name for file in files] == [name]
        back = read(files[0], ":")
    else:
        assert len(files) == 6
        kinds = {".poscar": "vasp", ".pwi": "espresso-in", ".data": "lammps-data"}
        back = [read(file, format=kinds.get(file.suffix, "vasp")) for file in files]
    for atoms, structure in zip(back, expected(made), strict=True):
        if name.endswith(".data"):
            # LAMMPS turns the cell; distances stay
            assert len(atoms) == structure.n_atoms
            np.testing.assert_allclose(atoms.cell.cellpar(), np.array(_cellpar(structure.cell)), atol=1e-8, rtol=0)
        elif name.endswith(".cif"):
            # CIF knows lengths and angles, not where the cell points
            np.testing.assert_allclose(atoms.cell.cellpar(), np.array(_cellpar(structure.cell)), atol=1e-8, rtol=0)
            shares = np.linalg.solve(structure.cell.T, structure.positions.T).T
            apart = atoms.get_scaled_positions(wrap=False) - shares
            np.testing.assert_allclose((apart - np.round(apart)) @ structure.cell, 0.0, atol=1e-8)
        else:
            assert_same(atoms, structure, made.elements, grouped=name in ("all.poscar", "dft"))


def _cellpar(cell):
    from ase.geometry import cell_to_cellpar

    return cell_to_cellpar(cell)


def test_vasp_gets_a_folder_for_each(made, tmp_path):
    files = export(made, tmp_path / "dft", format="vasp", top=3)
    assert [file.relative_to(tmp_path).as_posix() for file in files] == [f"dft/00{k}/POSCAR" for k in (1, 2, 3)]
    assert "grs_uid=" in files[0].read_text().splitlines()[0]


def test_espresso_inputs_say_what_is_to_be_checked(made, tmp_path):
    (file,) = export(made, tmp_path / "best.pwi", top=1)
    written = file.read_text()
    assert "grs_value=" in written.splitlines()[0]
    assert written.splitlines()[1] == "! starting values, to be checked: pseudopotentials, ecutwfc, k-points"
    assert "K_POINTS automatic" in written


def test_espresso_inputs_without_pseudopotentials_stop_pw_and_say_so(made, tmp_path, capsys):
    write_archive(tmp_path / "archive.h5", made)
    command = ["export", str(tmp_path), "-o", str(tmp_path / "x.pwi"), "--top", "1"]
    for more, code, words in (
        (["--pseudo", "Cu=Cu.upf"], 0, "no pseudopotential was given for Au: pw.x will stop there"),
        (["--pseudo", "Cu=Cu.upf", "--pseudo", "Au=Au.upf", "--ecutwfc", "45"], 0, ""),
        (["--pseudo", "Xu=Cu.upf"], 2, "Xu is none of the run's elements, Cu, Au"),
        (["--pseudo", "Cu"], 2, "must be ELEMENT=FILE"),
        (["--ecutwfc", "-1"], 2, "must be above 0 Ry"),
        (["--format", "cif", "--ecutwfc", "45"], 2, "--ecutwfc: is for pw.x inputs"),
    ):
        with pytest.raises(SystemExit) as ended:
            main([*command, *more])
        said = capsys.readouterr().err
        assert ended.value.code == code
        assert words in said
        assert said.count("\n") == (1 if words else 0)
        written = (tmp_path / "x.pwi").read_text()
        if more[:1] == ["--pseudo"] and code == 0:
            assert "Cu.upf" in written
            assert ("NO_PSEUDOPOTENTIAL_GIVEN_FOR_Au" in written) == bool(words)
    assert "ecutwfc          = 45.0" in written
    assert written.splitlines()[1] == "! starting values, to be checked: k-points"


def test_the_database_keeps_what_is_known(made, tmp_path):
    from ase.db import connect

    export(made, tmp_path / "all.db")
    rows = list(connect(tmp_path / "all.db").select())
    best = min(made.individuals, key=lambda one: one.value)
    assert rows[0].grs_value == best.value
    assert rows[0].grs_uid == best.uid
    assert {row.grs_operator for row in rows} == {one.operator for one in made.individuals}
    assert {(row.grs_parent_1, row.grs_parent_2) for row in rows} == {one.parents for one in made.individuals}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.db"]
    export(made, tmp_path / "all.db", top=2)
    assert len(list(connect(tmp_path / "all.db").select())) == 2, "an old file is replaced, not added to"


@pytest.mark.parametrize("name", ["all.json", "all.json.gz"])
def test_chemiscope_gets_structures_and_numbers(made, tmp_path, name):
    pytest.importorskip("chemiscope")
    (file,) = export(made, tmp_path / name)
    content = gzip.decompress(file.read_bytes()) if name.endswith("gz") else file.read_bytes()
    data = json.loads(content)
    assert len(data["structures"]) == 6
    first = expected(made)[0]
    np.testing.assert_allclose(data["structures"][0]["x"], first.positions[:, 0], atol=1e-8)
    np.testing.assert_allclose(np.reshape(data["structures"][0]["cell"], (3, 3)), first.cell, atol=1e-8)
    values = data["properties"]["grs_value"]["values"]
    assert values == sorted(one.value for one in made.individuals)
    again = export(made, tmp_path / f"b{name}")[0].read_bytes()
    assert len(again) > 0


@pytest.fixture(scope="module")
def family(made):
    """One individual with no parent, one with one, one with two, of an island whose uids are long."""
    base = 7 << 40
    parents = ((-1, -1), (base + 5, -1), (base + 5, base + 6))
    individuals = [
        replace(one, parents=pair, uid=base + 10 + k, value=float(k), operator=("random", "swap", "slice")[k], island=7)
        for k, (one, pair) in enumerate(zip(made.individuals, parents, strict=False))
    ]
    return replace(made, individuals=individuals, objectives=made.objectives[:3])


def test_extxyz_keeps_every_bit_and_every_key_with_its_type(family, tmp_path):
    from ase.io import read

    (file,) = export(family, tmp_path / "a.extxyz")
    for k, (atoms, one) in enumerate(zip(read(file, ":"), family.individuals, strict=True)):
        expected = family.atoms(k)
        assert atoms.positions.tobytes() == one.structure.positions.tobytes()
        assert atoms.cell[:].tobytes() == one.structure.cell.tobytes()
        assert atoms.pbc.tolist() == one.structure.pbc.tolist()
        assert atoms.info.keys() == expected.info.keys()
        for key, value in expected.info.items():
            assert np.array_equal(atoms.info[key], value), key
            assert np.asarray(atoms.info[key]).dtype.kind == np.asarray(value).dtype.kind, key
        assert atoms.info["grs_parents"].tolist() == list(one.parents)
        assert atoms.info["grs_operator"] == one.operator


@pytest.mark.parametrize("format", ["cif", "lammps", "poscar", "espresso", "vasp"])
def test_formats_without_keys_carry_them_in_comments(family, tmp_path, format):
    files = export(family, tmp_path / "a", format=format)
    texts = [file.read_text() for file in files]
    if format == "cif":
        texts = ["# grs_evaluation" + part for part in texts[0].split("# grs_evaluation")[1:]]
    for text, one in zip(texts, family.individuals, strict=True):
        equals = " = " if format == "cif" else "="
        for key, value in (
            ("grs_mean", float(one.terms[0])),
            ("grs_value", one.value),
            ("grs_seed", family.seed),
            ("grs_island", one.island),
            ("grs_generation", one.generation),
            ("grs_parents", f"{one.parents[0]},{one.parents[1]}"),
            ("grs_operator", one.operator),
            ("grs_uid", one.uid),
        ):
            assert f"{key}{equals}{value}" in text
        if format == "cif":
            assert f"\ndata_grs_{one.uid}\n" in text
        else:
            assert "grs_uid=" in text.splitlines()[0]


def test_a_shorter_export_leaves_no_numbered_files_behind(made, tmp_path):
    for name, format, old in (
        ("a.poscar", None, "a-003.poscar"),
        ("dft", "vasp", "dft/003"),
        ("a.pwi", None, "a-003.pwi"),
    ):
        export(made, tmp_path / name, format=format, top=4)
        export(made, tmp_path / name, format=format, top=4)
        with pytest.raises(InputError, match=rf"{old}: is left of an earlier export, with 1 more, and") as caught:
            export(made, tmp_path / name, format=format, top=2)
        assert "\n" not in str(caught.value)
    (tmp_path / "dft" / "notes").mkdir()
    export(made, tmp_path / "dft", format="vasp", top=5)
    export(made, tmp_path / "a.extxyz", top=1)


def test_unique_stops_when_it_has_enough(made, tmp_path, monkeypatch):
    """The symmetry of a crystal takes milliseconds; nobody waits for that of structures that are not asked for."""
    module = sys.modules["grs_evo.exporters.export"]  # the package exports a function of the same name
    asked = []
    original = module.crystal_key
    monkeypatch.setattr(module, "crystal_key", lambda one, tolerance: asked.append(one) or original(one, tolerance))
    export(made, tmp_path / "a.extxyz", unique=True, top=2)
    assert len(asked) == 2


def test_front_and_set_alone(made, tmp_path):
    from ase.io import read

    from grs_evo.analysis import pareto_front

    export(made, tmp_path / "front.extxyz", which="pareto")
    on = pareto_front(made.objectives)
    uids = {one.uid for one, front in zip(made.individuals, on, strict=True) if front}
    assert {atoms.info["grs_uid"] for atoms in read(tmp_path / "front.extxyz", ":")} == uids
    export(made, tmp_path / "set.extxyz", which="set")
    assert len(read(tmp_path / "set.extxyz", ":")) == 2


def test_bad_wishes_are_one_line(made, tmp_path):
    for options, words in (
        ({"out": tmp_path / "x.abc"}, "tells no format"),
        ({"out": tmp_path / "x.db", "which": "best"}, "must be one of archive, pareto, set"),
        ({"out": tmp_path / "x", "format": "espreso"}, "did you mean 'espresso'"),
        ({"out": tmp_path / "none" / "x.db"}, "is no folder"),
        ({"out": tmp_path / "x.db", "top": 0}, "at least 1"),
        ({"out": tmp_path / "x.db", "which": "set", "archive": replace(made, set=[])}, "has no representative set"),
    ):
        with pytest.raises(InputError, match=words):
            export(options.pop("archive", made), **options)


def test_from_the_command_line(made, tmp_path, capsys):
    write_archive(tmp_path / "archive.h5", made)
    for arguments, code in (
        (["export", str(tmp_path), "-o", str(tmp_path / "x.db"), "--pareto"], 0),
        (["report", str(tmp_path), "-o", str(tmp_path / "r.html"), "--title", "<b>mine"], 0),
        (["report", str(tmp_path / "nothing")], 2),
        (["export", str(tmp_path), "-o", str(tmp_path / "x.db"), "--pareto", "--set"], 2),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == code
    assert "&lt;b&gt;mine" in (tmp_path / "r.html").read_text()
    said = capsys.readouterr().err
    assert said.count("\n") == 2
    assert "--set, --pareto: ask for different structures" in said


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("run")
    return run(small.write(place), quiet=True).folder


@pytest.mark.parametrize("name", ["a.extxyz", "a.poscar", "a.cif", "a.data", "POSCAR"])
def test_exports_read_back_the_same(folder: Path, tmp_path: Path, name: str) -> None:
    import ase.io

    archive = read_archive(folder)
    best = min(archive.individuals, key=lambda one: (one.value, one.uid))
    [path] = export(archive, tmp_path / name, top=1)
    formats = {"a.data": "lammps-data", "a.poscar": "vasp", "POSCAR": "vasp"}
    atoms = ase.io.read(path, format=formats.get(name))
    expected = archive.atoms(archive.individuals.index(best))
    if name == "a.data":
        numbers = np.array([29, 79])
        atoms.numbers = numbers[atoms.arrays["type"] - 1] if "type" in atoms.arrays else atoms.numbers
    assert sorted(atoms.symbols) == sorted(expected.symbols)
    np.testing.assert_allclose(atoms.cell.cellpar(), expected.cell.cellpar(), atol=1e-8)
    order, other = np.lexsort(expected.positions.T.round(6)), np.lexsort(atoms.positions.T.round(6))
    np.testing.assert_allclose(atoms.positions[other], expected.positions[order], atol=1e-8)
    if name == "a.extxyz":
        assert atoms.info["grs_value"] == best.value
        assert {"grs_island", "grs_generation", "grs_parents", "grs_operator", "grs_seed"} <= set(atoms.info)


def test_exports_that_cannot_be(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="suffix"):
        export(folder, tmp_path / "a.docx")
    with pytest.raises(InputError, match=r"extxyz.*did you mean 'cif'"):
        export(folder, tmp_path / "a.xyz", format="ciff")
    with pytest.raises(InputError, match="has no representative set"):
        export(folder, tmp_path / "a.xyz", which="set")
    with pytest.raises(InputError, match="--top 0"):
        export(folder, tmp_path / "a.xyz", top=0)


def test_a_reversed_search_goes_away_from_the_target(tmp_path: Path) -> None:
    """NSGA-II on the default objectives raises the mismatch, and the front is where it got farthest."""
    text = small.LATTICE.replace("variance = 0.5", "variance = 0.5\nw_structure = -1.0")
    for old, new in (("[migration]", 'selection = {kind = "nsga2"}\n[migration]'), ('"none"', '"reference"')):
        text = text.replace(old, new)
    folder = run(small.write(tmp_path, text), quiet=True).folder
    archive = read_archive(folder)
    assert archive.objective_names == ("value",)
    best = min(archive.individuals, key=lambda one: one.value)
    [path] = export(archive, tmp_path / "front.extxyz", which="pareto")
    import ase.io

    assert ase.io.read(path, 0).info["grs_uid"] == best.uid
    lowest = archive.history["population_best"].reshape(5, 13)
    assert (lowest[:, -1] < lowest[:, 0]).all()
    assert best.value == lowest.min()
