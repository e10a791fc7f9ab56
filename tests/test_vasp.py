"""POSCAR, XDATCAR and GEN: several structures in one file, what comes behind the atoms, cut files."""

from __future__ import annotations

import gzip
from pathlib import Path

import ase
import mutated
import pytest

from grs_evo.errors import InputError
from grs_evo.structures.reading import Entry, read_structures

ASE = tuple(int(part) for part in ase.__version__.split(".")[:2])
POSCAR = "comment\n1.0\n3 0 0\n0 3 0\n0 0 3\nCu Au\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n"
VELOCITIES = "\n0.1 0.2 0.3\n0.1 0.2 0.3\n"
PREDICTOR = "\n1\n0.5\n0 0 0 0\n" + 6 * "0.1 0.2 0.3\n"
GEN = "2 S\nCu Au\n1 1 0 0 0\n2 2 1.5 1.5 1.5\n0 0 0\n3 0 0\n0 3 0\n0 0 3\n"
XDATCAR = "x\n1.0\n3 0 0\n0 3 0\n0 0 3\nCu Au\n1 1\n" + 2 * "Direct configuration=     1\n0 0 0\n0.5 0.5 0.5\n"


def read(folder: Path, text: str, name: str = "POSCAR") -> list[Entry]:
    (folder / name).write_text(text)
    return read_structures(folder / name, mutated.ELEMENTS)


@pytest.mark.parametrize("between", ["", "\n", "\n \n", VELOCITIES, VELOCITIES + PREDICTOR, "\n\n\n"])
def test_all_structures_of_a_file(tmp_path: Path, between: str) -> None:
    assert len(read(tmp_path, POSCAR + between + POSCAR + between)) == 2
    assert len(read(tmp_path, POSCAR + between + POSCAR.removeprefix("comment"))) == 2
    assert len(read(tmp_path, GEN + "\n" + GEN, "a.gen")) == 2
    assert len(read(tmp_path, XDATCAR + XDATCAR, "XDATCAR")) == 4


@pytest.mark.parametrize(
    "text",
    [
        POSCAR[:-1],
        POSCAR + VELOCITIES,
        POSCAR.replace("Direct\n0 0 0\n0.5 0.5 0.5", "Selective dynamics\nDirect\n0 0 0 T T F\n0.5 0.5 0.5 F F F"),
        POSCAR.replace("0 0 0\n0.5 0.5 0.5", "0 0 0 Cu\n0.5 0.5 0.5 Au"),
        POSCAR.replace("Cu Au\n", "").replace("comment", "Cu Au"),
        pytest.param(
            POSCAR.replace("Cu Au", "Cu_pv/abc Au"),
            marks=pytest.mark.skipif(ASE < (3, 29), reason="ASE 3.29 is the first that reads names of POTCAR files"),
        ),
    ],
)  # fmt: skip
def test_spellings_of_one_structure(tmp_path: Path, text: str) -> None:
    (entry,) = read(tmp_path, text)
    assert entry.structure.species.tolist() == [1, 0]
    assert entry.structure.positions[1].tolist() == [1.5, 1.5, 1.5]


@pytest.mark.parametrize("name", ["poscar", "CONTCAR", "x.POSCAR", "x.vasp", "POSCAR.gz"])
def test_names(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(POSCAR.encode()) if name.endswith("gz") else POSCAR.encode())
    assert len(read_structures(tmp_path / name, mutated.ELEMENTS)) == 1


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("POSCAR", POSCAR + "0.25 0.25 0.25\n", "line 11: .* does not belong behind the 2 atoms"),
        ("POSCAR", POSCAR + "\njunk\n", "line 12: 'junk' does not belong"),
        ("POSCAR", POSCAR + "\n0.1 0.2 0.3\n", "line 12: .* does not belong"),
        ("POSCAR", POSCAR.replace("0.5 0.5 0.5\n", ""), "ends after line 9, where an atom .1 of the 2"),
        ("POSCAR", POSCAR.replace("0.5 0.5 0.5\n", "") + POSCAR, "line 10: 'comment' is no atom"),
        ("POSCAR", POSCAR.replace("0.5 0.5 0.5", "0.5 0.5 0.5 Cu"), "the atom is called Cu, but .* it is Au"),
        ("POSCAR", POSCAR.replace("Cu Au", "Cu"), "has 2 numbers of atoms for 1 elements"),
        ("POSCAR", POSCAR.replace("Cu Au\n", ""), "does not tell its elements"),
        ("POSCAR", POSCAR.replace("1 1\n", "1 99999999999\n"), "announces 99999999999 atoms"),
        ("POSCAR", POSCAR.replace("1.0\n", "one\n"), "is no scaling factor"),
        ("a.gen", GEN.replace("2 S", "3 S"), "line 5: has 3 words where 5"),
        ("a.gen", GEN.replace("2 2 1.5", "2 3 1.5"), "species 3, but 2 are listed"),
        ("a.gen", GEN + "junk\n", "line 9: 'junk' is no number of atoms"),
        ("XDATCAR", XDATCAR + "junk\n", "ends after line 14"),
        ("XDATCAR", XDATCAR.replace("0.5 0.5 0.5\nDirect", "Direct"), "line 10: 'Direct' is no number"),
    ],
)
def test_refused_by_line(tmp_path: Path, name: str, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read(tmp_path, text, name)
