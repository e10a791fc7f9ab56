"""Structure files of many kinds, indices, groups and weights; and what is said of bad ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from grs_evo.errors import InputError
from grs_evo.structures import reading
from grs_evo.structures.reading import elements_of, read_structures, read_with_elements
from grs_evo.structures.structure import content_hash

ELEMENTS = ("Au", "Cu")


def frames(n: int = 10) -> list[Atoms]:
    """Cells that can be told apart by their lattice constant, 3.5 + k / 10 Å."""
    return [bulk("Cu", "fcc", a=3.5 + 0.1 * k, cubic=True) for k in range(n)]


def edges(entries: list) -> list[float]:
    return [round(float(entry.structure.cell[0, 0]), 6) for entry in entries]


@pytest.fixture
def melt(tmp_path: Path) -> Path:
    path = tmp_path / "melt.extxyz"
    write(path, frames())
    return path


@pytest.mark.parametrize(
    ("index", "wanted"),
    [
        ("", range(10)),
        ("@3", [3]),
        ("@-1", [9]),
        ("@2:8:3", [2, 5]),
        ("@:4", range(4)),
        ("@7:", [7, 8, 9]),
        (":::4", [0, 4, 8]),
        ("::4", [0, 4, 8]),
        ("::", range(10)),
        ("::-3", [9, 6, 3, 0]),
        (":1:8:3", [1, 4, 7]),
        (":5::2", [5, 7, 9]),
        (":-2::", [8, 9]),
    ],
)
def test_indices(melt: Path, index: str, wanted: list[int]) -> None:
    entries = read_structures(f"{melt}{index}", ELEMENTS)
    assert edges(entries) == [round(3.5 + 0.1 * k, 6) for k in wanted]


def test_sources_name_the_place_in_the_file(melt: Path) -> None:
    assert [e.source for e in read_structures(f"{melt}@2:8:3", ELEMENTS)] == [f"{melt}[2]", f"{melt}[5]"]


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("POSCAR", "vasp"),
        ("cell.cif", "cif"),
        ("run.db", "db"),
        ("run.traj", "traj"),
        ("cell.lmp", "lammps-data"),
        ("x.extxyz.gz", None),
    ],
)
def test_formats(tmp_path: Path, name: str, format: str | None) -> None:
    crystal = bulk("Cu", "fcc", a=3.6, cubic=True)
    crystal.symbols[0] = "Au"
    extra = {"specorder": ["Au", "Cu"]} if format == "lammps-data" else {}
    write(tmp_path / name, crystal, format=format, **extra)
    types = ELEMENTS if format == "lammps-data" else ()
    reading = format if format == "lammps-data" else None
    (entry,) = read_structures(name, ELEMENTS, types=types, format=reading, folder=tmp_path)
    assert sorted(entry.structure.species.tolist()) == [0, 1, 1, 1]
    assert entry.structure.volume == pytest.approx(3.6**3, rel=1e-6)
    assert entry.structure.pbc.all()


def test_lammps_dump_with_types(tmp_path: Path) -> None:
    text = (
        "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS pp pp pp\n0 4\n0 4\n0 4\n"
        "ITEM: ATOMS id type x y z\n1 2 0 0 0\n2 1 2 2 2\n"
    )
    (tmp_path / "a.dump").write_text(text)
    (entry,) = read_structures(tmp_path / "a.dump", ELEMENTS, types=ELEMENTS, format="lammps-dump-text")
    assert entry.structure.species.tolist() == [1, 0]
    with pytest.raises(InputError, match="atom types up to 2, but only 1"):
        read_structures(tmp_path / "a.dump", ELEMENTS, types=("Au",), format="lammps-dump-text")


def dump(columns: str, *rows: str) -> str:
    return (
        f"ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n{len(rows)}\nITEM: BOX BOUNDS pp pp pp\n0 4\n0 4\n0 4\n"
        f"ITEM: ATOMS {columns}\n" + "".join(f"{row}\n" for row in rows)
    )


def data(masses: str) -> str:
    head = "# two atoms\n\n2 atoms\n2 atom types\n0 4 xlo xhi\n0 4 ylo yhi\n0 4 zlo zhi\n"
    return f"{head}{masses}\nAtoms # atomic\n\n1 2 0 0 0\n2 1 2 2 2\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.dump", dump("id type x y z", "1 2 0 0 0", "2 1 2 2 2")),
        ("a.lammpstrj", dump("id type mass x y z", "1 2 1.0 0 0 0", "2 1 1.0 2 2 2")),
        ("dump.lammps", dump("id type xs ys zs", "1 2 0 0 0", "2 1 0.5 0.5 0.5")),
        ("a.data", data("")),
        ("a.lmp", data("\nMasses\n\n1 1.0\n2 1.0\n")),
        ("a.lammps", data("\nMasses\n\n1 63.546\n2 5000\n")),
    ],
)
def test_atom_types_without_elements_are_refused_and_not_hydrogen(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    for elements in (ELEMENTS, ("H", "He")):
        with pytest.raises(InputError, match=rf"{name}: atom types without elements; give target\.types.*--types"):
            read_structures(tmp_path / name, elements)
    with pytest.raises(InputError, match="atom types without elements"):
        elements_of(tmp_path / name)
    (entry,) = read_structures(tmp_path / name, ELEMENTS, types=ELEMENTS)
    assert entry.structure.species.tolist() == [1, 0]


def test_the_frame_without_elements_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.dump").write_text(2 * dump("id type x y z", "1 1 0 0 0"))
    with pytest.raises(InputError, match=r"m\.dump\[0\]: atom types without elements"):
        read_structures(tmp_path / "m.dump", ELEMENTS)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.dump", dump("id type element x y z", "1 2 Cu 0 0 0", "2 1 Au 2 2 2")),
        ("b.dump", dump("id type mass x y z", "1 2 63.55 0 0 0", "2 1 196.97 2 2 2")),
        ("a.data", data("\nMasses\n\n1 1.0 # Au\n2 1.0 # Cu\n")),
        ("b.data", data("\nMasses\n\n1 196.97 # gold\n2 63.55\n")),
        ("c.data", data("\nAtom Type Labels\n\n1 Au\n2 Cu\n")),
    ],
)
def test_lammps_files_that_name_their_elements(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    (entry,) = read_structures(tmp_path / name, ELEMENTS)
    assert entry.structure.species.tolist() == [1, 0]


def test_types_leave_files_alone_that_name_elements(tmp_path: Path, melt: Path) -> None:
    (tmp_path / "a.dump").write_text(dump("id type x y z", "1 2 0 0 0"))
    both = read_structures([f"{melt}@0", tmp_path / "a.dump"], ELEMENTS, types=ELEMENTS)
    assert [entry.structure.species[0] for entry in both] == [1, 1]


def fitsnap(symbols: list[str], edge: float, style: str = "angstrom") -> str:
    data = {
        "Dataset": {
            "Data": [
                {
                    "AtomTypes": symbols,
                    "NumAtoms": len(symbols),
                    "Positions": [[0.5 * edge * k] * 3 for k in range(len(symbols))],
                    "Lattice": [[edge, 0, 0], [0.1, edge, 0], [0, 0, edge]],
                    "Energy": -1.0,
                }
            ],
            "LatticeStyle": style,
            "PositionsStyle": style,
        }
    }
    return "# file x\n" + json.dumps(data)


def test_fitsnap_folders_are_groups(tmp_path: Path) -> None:
    for group, edge in (("Liquid", 4.0), ("Surface", 5.0)):
        (tmp_path / group).mkdir()
        (tmp_path / group / "b.json").write_text(fitsnap(["Cu", "Au"], edge))
        (tmp_path / group / "a.json").write_text(fitsnap(["Cu"], edge + 0.5))
    entries = read_structures(tmp_path, ELEMENTS, weights={"Surface": 2.5})
    assert [e.group for e in entries] == ["Liquid", "Liquid", "Surface", "Surface"]
    assert [e.weight for e in entries] == [1.0, 1.0, 2.5, 2.5]
    assert edges(entries) == [4.5, 4.0, 5.5, 5.0]
    assert entries[1].structure.cell[1].tolist() == [0.1, 4.0, 0.0]
    (last,) = read_structures(f"{tmp_path}@-1", ELEMENTS)
    assert edges([last]) == [5.0]
    (tmp_path / "bohr.json").write_text(fitsnap(["Cu"], 10.0, "bohr"))
    (entry,) = read_structures(tmp_path / "bohr.json", ELEMENTS)
    assert entry.structure.cell[0, 0] == pytest.approx(5.29177, rel=1e-5)
    (tmp_path / "odd.json").write_text(fitsnap(["Cu"], 10.0, "furlong"))
    with pytest.raises(InputError, match="furlong"):
        read_structures(tmp_path / "odd.json", ELEMENTS)


def test_groups_of_extxyz(tmp_path: Path) -> None:
    some = frames(3)
    some[0].info["config_type"] = "bulk"
    some[1].info["group"] = "melt"
    write(tmp_path / "mixed.extxyz", some)
    entries = read_structures(tmp_path / "mixed.extxyz", ELEMENTS, weights={"melt": 3.0})
    assert [(e.group, e.weight) for e in entries] == [("bulk", 1.0), ("melt", 3.0), ("mixed", 1.0)]
    with pytest.raises(InputError, match="did you mean 'melt'"):
        read_structures(tmp_path / "mixed.extxyz", ELEMENTS, weights={"melts": 3.0})
    with pytest.raises(InputError, match="must be > 0, or 0"):
        read_structures(tmp_path / "mixed.extxyz", ELEMENTS, weights={"melt": -1.0})


def test_weight_0_leaves_a_group_out(tmp_path: Path) -> None:
    some = [*frames(2), bulk("Fe", cubic=True)]
    some[2].info["config_type"] = "IsolatedAtom"
    write(tmp_path / "a.extxyz", some)
    weights = {"IsolatedAtom": 0.0}
    assert len(read_structures(tmp_path / "a.extxyz", ELEMENTS, weights=weights)) == 2
    elements, entries = read_with_elements(tmp_path / "a.extxyz", weights)
    assert (elements, len(entries)) == (("Cu",), 2)
    assert elements_of(tmp_path / "a.extxyz", weights=weights) == ("Cu",)
    with pytest.raises(InputError, match="all groups have weight 0"):
        read_structures(tmp_path / "a.extxyz", ELEMENTS, weights={"IsolatedAtom": 0.0, "a": 0.0})


def test_elements_of_files(melt: Path) -> None:
    write(melt.parent / "au.extxyz", bulk("Au"))
    assert elements_of([melt, melt.parent / "au.extxyz"]) == ("Cu", "Au")


def test_elements_found_on_the_way_are_those_of_a_look_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files in an order in which elements come up last to first: one reading gives what two did."""
    for name, symbols in (("a", ["Pt", "Au"]), ("b", ["Cu", "Au", "Cu"]), ("c", ["Al", "Pt"])):
        write(tmp_path / f"{name}.extxyz", [bulk(symbol).repeat(2) for symbol in symbols])
    files = ["a.extxyz", "b.extxyz@1:", "c.extxyz"]
    wanted = read_structures(files, elements_of(files, folder=tmp_path), {"b": 2.0}, folder=tmp_path)
    opened = []
    real = reading.Lines
    monkeypatch.setattr(reading, "Lines", lambda path: opened.append(str(path)) or real(path))
    elements, entries = read_with_elements(files, {"b": 2.0}, folder=tmp_path)
    assert elements == ("Al", "Cu", "Pt", "Au")
    assert opened == [str(tmp_path / name.partition("@")[0]) for name in files]
    for one, two in zip(entries, wanted, strict=True):
        assert (one.source, one.group, one.weight) == (two.source, two.group, two.weight)
        assert content_hash(one.structure) == content_hash(two.structure)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        ("", "is empty; it holds no structure"),
        ("not a structure at all\nnor here\n", "line 1: .* is not the number of atoms"),
        ('2\nLattice="3 0 0 0 3 0 0 0 3"\nCu 0 0 0\n', "ends after line 3 with 1 of the 2 atoms"),
        ('1\nLattice="3 0 0 0 3 0 0 0 3"\nFe 0 0 0\n', "element Fe"),
        ('1\npbc="T T T"\nCu 0 0 0\n', "no cell vector|cell"),
        ('1\nLattice="3 0 0 0 3 0 0 0 3"\nCu nan 0 0\n', "must be finite"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "bad.extxyz"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read_structures(path, ELEMENTS)
    assert "bad.extxyz" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_indices(melt: Path) -> None:
    with pytest.raises(InputError, match="no index"):
        read_structures(f"{melt}@first", ELEMENTS)
    with pytest.raises(InputError, match="no index"):
        read_structures(f"{melt}@", ELEMENTS)
    for zero in ("@::0", "::0", ":2:5:-0"):
        with pytest.raises(InputError, match="no index"):
            read_structures(f"{melt}{zero}", ELEMENTS)
    with pytest.raises(InputError, match=r"melt\.extxyz"):
        read_structures(f"{melt}@12", ELEMENTS)
    with pytest.raises(InputError, match="has 10 structures, none at index 20:30"):
        read_structures(f"{melt}@20:30", ELEMENTS)
    (melt.parent / "empty").mkdir()
    with pytest.raises(InputError, match="folder without"):
        read_structures(melt.parent / "empty", ELEMENTS)


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (":7:", ("melt.extxyz@7: or ", "melt.extxyz@:7:;")),
        (":0:5", ("melt.extxyz@0:5 or ", "melt.extxyz@:0:5;")),
        (":-2:", ("melt.extxyz@-2: or ", "melt.extxyz@:-2:;")),
        (":3", ("no such file", "melt.extxyz@3")),
    ],
)
def test_what_could_mean_two_things_is_refused_with_both_spellings(
    melt: Path, ending: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(InputError) as caught:
        read_structures(f"{melt}{ending}", ELEMENTS)
    for word in words:
        assert word in str(caught.value)


def test_a_name_with_an_at_sign_stays_a_name(tmp_path: Path) -> None:
    path = tmp_path / "melt@300.extxyz"
    write(path, frames(3))
    assert len(read_structures(path, ELEMENTS)) == 3
    assert edges(read_structures(f"{path}@-1", ELEMENTS)) == [3.7]


def test_a_name_with_a_colon_stays_a_name(tmp_path: Path) -> None:
    path = tmp_path / "run:1.extxyz"
    write(path, frames(2))
    assert len(read_structures(path, ELEMENTS)) == 2
    assert np.isclose(read_structures(f"{path}@1", ELEMENTS)[0].structure.cell[0, 0], 3.6)
