"""Files that ASE reads and that announce no number of atoms: a damaged record never makes a structure smaller."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import ase
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write
from ase.io.formats import ioformats

from grs_evo.errors import InputError
from grs_evo.structures.files.kinds import _OWN
from grs_evo.structures.files.others import _ANNOUNCED
from grs_evo.structures.files.records import _COUNTERS
from grs_evo.structures.reading import read_structures

_NUMBER = re.compile(r"-?\d+\.\d+(?:[eE][-+]?\d+)?")
# Text formats that ASE writes and reads, and that this program does not read by itself.
FORMATS = sorted(
    name
    for name, one in ioformats.items()
    if one.can_read and one.can_write and name not in _OWN and not one.isbinary and "sql" not in name
)
# What ASE's writers need more for than atoms, and what is a folder or no text.
SPECIAL = {"bundletrajectory", "db", "dftb", "espresso-in", "mustem", "netcdftrajectory", "prismatic", "traj"}
# Formats with an end of each structure, a mark at its beginning, or numbered atoms.
SEVERAL = ("castep-geom", "castep-md", "dmol-arc", "proteindatabank", "runnerdata", "xsf", "xtd")


def _salt(seed: int, cubic: bool) -> Atoms:
    atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=cubic)
    atoms.rattle(0.01, seed=seed)
    return atoms


def _written(path: Path, atoms: Atoms | list[Atoms], format: str) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of writers, which turn cells and shorten names
        write(path, atoms, format=format)
    return path.read_text().split("\n")


def _sizes(path: Path, lines: list[str], format: str) -> list[int] | None:
    """Atoms of each structure of a file with these lines; None where it is refused."""
    path.write_text("\n".join(lines))
    try:
        found = read_structures(path, ("Na", "Cl"), format=format)
    except InputError:
        return None
    return [entry.structure.n_atoms for entry in found]


def _damaged(line: str) -> Iterator[str]:
    """The line cut behind its first number, without its third, with letters for its second, with another symbol."""
    first, second, third = list(_NUMBER.finditer(line))[:3]
    yield line[: first.end()]
    yield line[: third.start()] + line[third.end() :]
    yield line[: second.start()] + "x" * len(second[0]) + line[second.end() :]
    yield re.sub(r"\b(Na|Cl|na|cl)\d*\b", "Qx", line)


@pytest.mark.parametrize("format", [name for name in FORMATS if name not in SPECIAL])
def test_a_damaged_record_is_refused(tmp_path: Path, format: str) -> None:
    path = tmp_path / f"a.{format}"
    lines = _written(path, _salt(1, True), format)
    assert _sizes(path, lines, format) == [8]
    places = [at for at, line in enumerate(lines) if len(_NUMBER.findall(line)) >= 3]
    for at in places[:: max(1, len(places) // 6)]:
        for damaged in _damaged(lines[at]):
            assert _sizes(path, [*lines[:at], damaged, *lines[at + 1 :]], format) in (None, [8]), damaged


@pytest.mark.parametrize("format", SEVERAL)
def test_no_structure_of_several_is_lost(tmp_path: Path, format: str) -> None:
    """Marks removed or damaged, and files cut within a structure."""
    if format not in ioformats or not ioformats[format].can_write:
        pytest.skip(f"ASE {ase.__version__} does not write {format}")
    path = tmp_path / f"a.{format}"
    lines = _written(path, [_salt(seed, False) for seed in range(3)], format)
    assert _sizes(path, lines, format) == [2, 2, 2]
    for at, line in enumerate(lines):
        if not _NUMBER.search(line) and line.strip():
            for damaged in ([], ["X" + line[1:]]):
                assert _sizes(path, [*lines[:at], *damaged, *lines[at + 1 :]], format) in (None, [2, 2, 2]), line
        found = _sizes(path, [*lines[:at], ""], format)
        assert found is None or set(found) == {2}, (at, line)


def test_numbers_and_molecules(tmp_path: Path) -> None:
    """Atoms that are numbered show the one that is lost; molecules of a .car all count."""
    lines = _written(tmp_path / "a.magres", _salt(1, True), "magres")
    at = next(k for k, line in enumerate(lines) if line.split()[:4] == ["atom", "Na", "Na", "2"])
    path = tmp_path / "a.magres"
    path.write_text("\n".join(lines[:at] + lines[at + 1 :]))
    with pytest.raises(InputError, match=r"line \d+: is atom 3 of Na, and 1 came before; one is lost"):
        read_structures(path, ("Na", "Cl"), format="magres")
    path = tmp_path / "a.car"
    lines = _written(path, _salt(1, True), "dmol-car")
    at = next(k for k, line in enumerate(lines) if line.startswith("Cl")) + 1
    path.write_text("\n".join([*lines[:at], "end", *lines[at:]]))
    with pytest.raises(InputError, match=r"structure 0 has records of 8 atoms, of which 2 can be read"):
        read_structures(path, ("Na", "Cl"), format="dmol-car")


def test_a_file_without_its_end_is_refused(tmp_path: Path) -> None:
    lines = _written(tmp_path / "a.res", _salt(1, True), "res")
    at = max(k for k, line in enumerate(lines) if line.startswith("Cl"))
    assert _sizes(tmp_path / "a.res", lines, "res") == [8]
    assert _sizes(tmp_path / "a.res", lines[: at - 1], "res") is None


def test_every_format_tells_how_many_atoms_it_has() -> None:
    """What ASE writes and reads as text announces a number, is counted here, or holds its atoms as one table."""
    tables = {"abinit-in", "cjson", "crystal", "cube", "gpumd", "json", "sdf", "struct", "xsd", "xtd", "xyz"}
    assert set(FORMATS) - SPECIAL - set(_ANNOUNCED) - set(_COUNTERS) <= tables
    # of the newest: earlier ones of ASE lack a few
    assert len(set(_COUNTERS) - set(ioformats)) <= 2
