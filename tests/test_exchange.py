"""Exported files hold the same structures: every format read back, and cells as they were."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from archives import archive

from grs_evo.cli import main
from grs_evo.errors import InputError
from grs_evo.export import export
from grs_evo.storage import write_archive


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
        if name.endswith((".cif", ".data")):
            # CIF knows lengths and angles, not where the cell points, and its writer rounds; LAMMPS turns the cell
            np.testing.assert_allclose(atoms.cell.cellpar(), np.array(_cellpar(structure.cell)), atol=1e-4)
            assert len(atoms) == structure.n_atoms
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
    assert "to be checked" in written.splitlines()[1]
    assert "K_POINTS automatic" in written
    assert "Cu.UPF" in written


def test_the_database_keeps_what_is_known(made, tmp_path):
    from ase.db import connect

    export(made, tmp_path / "all.db")
    rows = list(connect(tmp_path / "all.db").select())
    best = min(made.individuals, key=lambda one: one.value)
    assert rows[0].grs_value == best.value
    assert rows[0].grs_uid == best.uid
    assert {row.grs_operator for row in rows} == {one.operator for one in made.individuals}
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
    ):
        with pytest.raises(InputError, match=words):
            export(made, **options)


def test_from_the_command_line(made, tmp_path, capsys):
    write_archive(tmp_path / "archive.h5", made)
    for arguments, code in (
        (["export", str(tmp_path), "-o", str(tmp_path / "x.db"), "--pareto"], 0),
        (["report", str(tmp_path), "-o", str(tmp_path / "r.html"), "--title", "<b>mine"], 0),
        (["report", str(tmp_path / "nothing")], 2),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == code
    assert "&lt;b&gt;mine" in (tmp_path / "r.html").read_text()
    assert capsys.readouterr().err.count("\n") == 1
