"""XYZ files: frames, keys, columns, cut files, numbers for elements."""

from __future__ import annotations

from pathlib import Path

import mutated
import numpy as np
import pytest

from grs_evo.errors import InputError
from grs_evo.structures.reading import Entry, read_structures

LATTICE = 'Lattice="3 0 0 0 3 0 0 0 3"'
TWO = f"2\n{LATTICE} Properties=species:S:1:pos:R:3\nCu 0 0 0\nAu 1.5 1.5 1.5\n"


def read(folder: Path, text: str | bytes, **options: object) -> list[Entry]:
    path = folder / "a.xyz"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_structures(path, mutated.ELEMENTS, **options)


@pytest.mark.parametrize("between", ["", "\n", "  \n", "\n\n\t\n"])
def test_blank_lines_between_frames_lose_nothing(tmp_path: Path, between: str) -> None:
    assert len(read(tmp_path, TWO + between + TWO + between)) == 2


@pytest.mark.parametrize(
    "keys",
    ['stress="1 2 3 4 5 6"', "stress=None", 'virial="1 2"', 'virials="_JSON {{"', "stress", "energy=nan", 'x="a=b c"'],
)
def test_what_is_no_structure_does_not_matter(tmp_path: Path, keys: str) -> None:
    (entry,) = read(tmp_path, TWO.replace("Properties", f"{keys} Properties"))
    assert entry.structure.species.tolist() == [1, 0]


@pytest.mark.parametrize("text", [TWO.replace("\n", "\r\n"), TWO[:-1], "\ufeff" + TWO, TWO.replace("Cu", "CU")])
def test_the_same_in_other_spellings(tmp_path: Path, text: str) -> None:
    (entry,) = read(tmp_path, text)
    assert entry.structure.species.tolist() == [1, 0]
    assert np.array_equal(entry.structure.cell, 3 * np.eye(3))


def test_periodicity_and_vectors_behind_the_atoms(tmp_path: Path) -> None:
    (entry,) = read(tmp_path, TWO.replace("Properties", 'pbc="T F T" Properties'))
    assert entry.structure.pbc.tolist() == [True, False, True]
    (entry,) = read(tmp_path, "1\nadf\nCu 0 0 0\nVEC1 3 0 0\nVEC2 0 3 0\nVEC3 0 0 4\n")
    assert entry.structure.cell.diagonal().tolist() == [3.0, 3.0, 4.0]
    assert entry.structure.pbc.all()


def test_numbers_for_elements_are_types(tmp_path: Path) -> None:
    text = "2\nAtoms. Timestep: 0\n1 0 0 0\n2 1.5 1.5 1.5\n"
    (entry,) = read(tmp_path, text, types=("Cu", "Au"))
    assert entry.structure.species.tolist() == [1, 0]
    with pytest.raises(InputError, match=r"atom types without elements; .*--types"):
        read(tmp_path, text)
    with pytest.raises(InputError, match="up to 2, but only 1"):
        read(tmp_path, text, types=("Cu",))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TWO + "garbage\n", "line 5: 'garbage' is not the number of atoms"),
        (TWO.replace("Au 1.5 1.5 1.5\n", ""), "ends after line 3 with 1 of the 2 atoms announced"),
        (TWO.replace("Au 1.5 1.5 1.5\n", "") + TWO, "line 4: has 1 words where 4 columns"),
        (TWO.replace("1.5 1.5\n", "1.5"), "line 4: has 3 words"),
        (TWO.replace("Cu 0", "Cu zero"), "line 3: 'zero' is no number"),
        (TWO.replace("Cu 0", "Cu 1_0"), "line 3: '1_0' is no number"),
        (TWO.replace("Cu", "Qx"), "'Qx' is no chemical symbol"),
        (TWO.replace("0 0 3\"", "0 0\""), "Lattice has 8 numbers"),
        (TWO.replace("0 3\" P", "0 3 P"), "lacks a closing"),
        (TWO.replace("pos:R:3", "pos:R:2"), "Properties has pos:R:2"),
        (TWO.replace("pos:R:3", "pos:R:3:forces:R:3"), "has 4 words where 7"),
        (TWO.replace("pos:R:3", "pos:R:3:forces:R:2"), "Properties has forces:R:2; forces are forces:R:3"),
        (TWO.replace("Properties", 'pbc="T maybe" Properties'), "pbc = 'T maybe'"),
        ("99999999999\n\nCu 0 0 0\n", "announces 99999999999 atoms, for which the file is too short"),
        (TWO.encode("utf-16"), "zero bytes"),
    ],
)  # fmt: skip
def test_refused_by_line(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read(tmp_path, text)


def test_a_mixed_site_is_refused(tmp_path: Path) -> None:
    occupancy = r'occupancy="_JSON {\"0\": {\"Cu\": 0.5, \"Au\": 0.5}}"'
    with pytest.raises(InputError, match=r"site 0 at \(0, 0, 0\) is shared by several elements: Cu 0.5, Au 0.5"):
        read(tmp_path, TWO.replace("Properties", f"{occupancy} Properties"))
