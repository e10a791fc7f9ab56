"""LAMMPS dumps: boundary flags, units, cut frames, elements against masses."""

from __future__ import annotations

from pathlib import Path

import mutated
import numpy as np
import pytest

from grs_evo.errors import InputError
from grs_evo.structures.reading import Entry, read_structures

HEAD = "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS {flags}\n0 4{xy}\n0 4{xz}\n0 4{yz}\n"
ROWS = "ITEM: ATOMS id type element x y z\n2 2 Au 2 2 2\n1 1 Cu 0 0 0\n"


def dump(flags: str = "pp pp pp", tilt: tuple[str, str, str] = ("", "", ""), rows: str = ROWS) -> str:
    return HEAD.format(flags=flags, xy=tilt[0], xz=tilt[1], yz=tilt[2]) + rows


def read(folder: Path, text: str) -> list[Entry]:
    (folder / "a.dump").write_text(text)
    return read_structures(folder / "a.dump", mutated.ELEMENTS)


@pytest.mark.parametrize("tilt", [("", "", ""), (" 0.5", " 0", " 0.25")])
def test_a_box_without_flags_is_periodic(tmp_path: Path, tilt: tuple[str, str, str]) -> None:
    named = "xy xz yz " if tilt[0] else ""
    flagged, bare = read(tmp_path, dump(named + "pp pp pp", tilt)), read(tmp_path, dump(named, tilt))
    for one, other in zip(flagged, bare, strict=True):
        assert other.structure.pbc.all()
        assert np.array_equal(one.structure.cell, other.structure.cell)
    (entry,) = read(tmp_path, dump(named + "pp ff p", tilt))
    assert entry.structure.pbc.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("unit", "length"), [("metal", 4.0), ("real", 4.0), ("electron", 4 * 0.529177210903), ("nano", 40.0), ("si", 4e10)]
)
def test_units_of_the_first_frame_hold_for_all(tmp_path: Path, unit: str, length: float) -> None:
    entries = read(tmp_path, f"ITEM: UNITS\n{unit}\n" + 2 * dump())
    for entry in entries:
        assert entry.structure.cell[0, 0] == pytest.approx(length, rel=1e-12)
        assert entry.structure.positions[1] == pytest.approx([length / 2] * 3, rel=1e-12)


def test_blank_lines_and_one_step_more(tmp_path: Path) -> None:
    assert len(read(tmp_path, dump() + "\n" + dump())) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ITEM: UNITS\nlj\n" + dump(), "the unit is lj"),
        ("ITEM: UNITS\nfurlong\n" + dump(), "the unit 'furlong' is not known"),
        (dump()[:-1], "no end of line"),
        (dump().replace("1 1 Cu 0 0 0\n", ""), "ends after line 10 with 1 of the 2 atoms announced"),
        (dump().replace("1 1 Cu 0 0 0\n", "") + dump(), "line 11: has 2 words where 6"),
        (dump() + "3 1 Cu 1 1 1\n", "line 12: '3 1 Cu 1 1 1' is no 'ITEM:' line"),
        (dump("pp pp"), "are no boundary flags"),
        (dump("xx pp pp"), "are no boundary flags"),
        (dump("xy xz yz pp pp pp"), "has 2 numbers where the bounds of the box need 3"),
        (dump(rows=ROWS.replace("element", "q")), "'Cu' is no number|atom types without|element"),
        (dump(rows=ROWS.replace("y z", "vy vz")), "column x without y and z"),
        (dump(rows=ROWS.replace("Cu", "Qx")), "'Qx' is no chemical symbol"),
        (
            dump(rows="ITEM: ATOMS id element mass x y z\n2 Au 63.55 2 2 2\n1 Cu 196.97 0 0 0\n"),
            "the mass .* must agree",
        ),
        (dump().replace("ATOMS\n2", "ATOMS\n99999999999"), "announces 99999999999 atoms"),
        (dump().replace("ATOMS\n2", "ATOMS\n-2"), "announces -2 atoms"),
        (dump().split("ITEM: ATOMS")[0], "ends before the 2 atoms announced"),
    ],
)
def test_refused_by_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read(tmp_path, text)
