"""LAMMPS data files: names, styles, type labels, comments against masses, what is announced."""

from __future__ import annotations

import gzip
from pathlib import Path

import mutated
import pytest

from grs_evo.errors import InputError
from grs_evo.structures.reading import Entry, read_structures

HEAD = "# two atoms\n\n2 atoms\n2 atom types\n0 4 xlo xhi\n0 4 ylo yhi\n0 4 zlo zhi\n"
MASSES = "\nMasses\n\n1 196.97{a}\n2 63.55{b}\n"
ATOMIC = ("1 2 0 0 0", "2 1 2 2 2")


def data(rows: tuple[str, ...] = ATOMIC, style: str = "", a: str = "", b: str = "", head: str = HEAD) -> str:
    return head + MASSES.format(a=a, b=b) + f"\nAtoms{style}\n\n" + "".join(f"{row}\n" for row in rows)


def read(folder: Path, text: str, name: str = "a.data", **options: object) -> list[Entry]:
    packed = gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()
    (folder / name).write_bytes(packed)
    return read_structures(folder / name, mutated.ELEMENTS, **options)


@pytest.mark.parametrize("name", ["x.dat", "X.DAT", "data.AuCu", "DATA.x", "x.LMP", "x.0.dat", "relaxed", "x.data.gz"])
def test_usual_names(tmp_path: Path, name: str) -> None:
    (entry,) = read(tmp_path, data(), name)
    assert entry.structure.species.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("rows", "style"),
    [
        (("1 2 0 0 0 0 0 0", "2 1 2 2 2 0 0 -1"), ""),
        (("1 2 0.0 0 0 0", "2 1 -0.5 2 2 2"), ""),
        (("1 2 0.0 0 0 0", "2 1 1 2 2 2"), " # charge"),
        (("1 7 2 0 0 0", "2 7 1 2 2 2"), ""),
        (("1 1 2 0.5 0 0 0", "2 1 1 0 2 2 2"), ""),
        (("1 1 2 0.5 0 0 0 0 0 0", "2 1 1 0 2 2 2 0 0 0"), ""),
        (("1 2 1.0 5.0 0 0 0", "2 1 1.0 5.0 2 2 2"), " # sphere"),
        (("1 2 0 0 0 0 1 0 0", "2 1 0 2 2 2 1 0 0"), " # dipole"),
    ],
)
def test_styles_by_their_columns_or_by_name(tmp_path: Path, rows: tuple[str, ...], style: str) -> None:
    (entry,) = read(tmp_path, data(rows, style))
    assert entry.structure.species.tolist() == [1, 0]
    assert entry.structure.positions[0].tolist() == [0.0, 0.0, 0.0]


def test_type_labels(tmp_path: Path) -> None:
    text = HEAD + "\nAtom Type Labels\n\n1 Au\n2 Cu\n\nMasses\n\nAu 196.97\nCu 63.55\n\nAtoms # atomic\n\n"
    (entry,) = read(tmp_path, text + "1 Cu 0 0 0\n2 Au 2 2 2\n")
    assert entry.structure.species.tolist() == [1, 0]
    (entry,) = read(tmp_path, text.replace("Au", "host").replace("Cu", "guest") + "1 guest 0 0 0\n2 1 2 2 2\n")
    assert entry.structure.species.tolist() == [1, 0]
    with pytest.raises(InputError, match="'Pt' is neither an atom type nor"):
        read(tmp_path, text + "1 Cu 0 0 0\n2 Pt 2 2 2\n")


@pytest.mark.parametrize(("a", "b"), [(" # Cu", " # Au"), (" # B", " # C"), (" # In fcc gold", ""), (" # Au", " # Au")])
def test_comments_against_masses_are_refused_unless_types_decide(tmp_path: Path, a: str, b: str) -> None:
    with pytest.raises(InputError, match=r"Masses has .* must agree, or give the element of each type"):
        read(tmp_path, data(a=a, b=b))
    (entry,) = read(tmp_path, data(a=a, b=b), types=("Au", "Cu"))
    assert entry.structure.species.tolist() == [1, 0]


@pytest.mark.parametrize(("a", "b"), [(" # gold", " # copper"), (" # Au (host)", " # Cu"), ("", " #Cu")])
def test_comments_that_agree_or_say_nothing(tmp_path: Path, a: str, b: str) -> None:
    (entry,) = read(tmp_path, data(a=a, b=b))
    assert entry.structure.species.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (data(head=HEAD.replace("# two atoms", "write_data, units = lj")), "the unit is lj"),
        (data(head=HEAD.replace("2 atoms", "3 atoms")), "the file ends with 2 of the 3 atoms announced"),
        (data((*ATOMIC, "3 1 1 1 1")), "an atom after the 2 announced"),
        (data()[:-1], "no end of line"),
        (data().replace("zlo zhi", "zlo zh"), "no line 'zlo zhi'"),
        (data().replace("zlo zhi", "zlo zhi\nshear 0 0 0"), "neither a header line"),
        (data(("1 1 2 0 0 0", "2 1 1 2 2 2")), "'Atoms # charge' or 'Atoms # molecular'"),
        (data(style=" # wavepacket"), "'wavepacket' is not read"),
        (data(style=" # full"), "have 5 columns, those of 'Atoms # full' have 7"),
        (data(("1 2 0 0 0", "1 1 2 2 2")), "the same id"),
        (data(("1 2 0 0 0", "2 3 2 2 2"), " # atomic"), "type 3; the file announces 2"),
        (data().replace("2 63.55\n", ""), "announces 2 atom types and has 1 masses"),
        (data(("1 2 0 0 0", "2 1 2 2 two"), " # atomic"), "line 17: 'two' is no number"),
        (data(head=HEAD.replace("2 atoms", "99999999999 atoms")), "announces 99999999999 atoms"),
    ],
)
def test_refused_by_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read(tmp_path, text)


def test_units_of_write_data(tmp_path: Path) -> None:
    (entry,) = read(tmp_path, data(head=HEAD.replace("# two atoms", "LAMMPS, units = electron")))
    assert entry.structure.cell[0, 0] == pytest.approx(4 * 0.529177210903)
