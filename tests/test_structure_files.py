"""What holds for structure files of every format: names, pipes, packed and endless files, and formats of others."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import time
import warnings
from pathlib import Path

import ase
import mutated
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write
from ase.io.formats import ioformats

from grs_evo.errors import InputError
from grs_evo.structures.reading import each_atoms, read_sites, read_structures, read_with_elements
from grs_evo.structures.structure import content_hash, from_atoms

XYZ = '1\nLattice="3 0 0 0 3 0 0 0 3"\nCu 0 0 0\n'
RANDOM = "3.8 3.8 3.8 90 90 90\n0.5 0.5 0\n0 0.5 0.5\n0.5 0 0.5\n0 0 0 Au=0.25,Cu=0.75\n"
BEST = "3.6 0 0\n0 3.6 0\n0 0 3.6\n1 1 0\n0 1 1\n1 0 1\n0.5 0.5 0 Cu\n1 1 1 Au\n"


def refused(path: Path | str, words: str, **options: object) -> None:
    with pytest.raises(InputError, match=words):
        read_structures(path, mutated.ELEMENTS, **options)


def test_names_that_are_none(tmp_path: Path) -> None:
    refused("a" * 300, "cannot be looked up .file name too long")
    refused("a" * 300 + "@3", "cannot be looked up")
    refused(f"{tmp_path}/x\udcff.xyz", "no such file")
    refused(f"{tmp_path}/x\0.xyz", "cannot be looked up")
    (tmp_path / "a.xyz").write_text(XYZ)
    refused(tmp_path / "a.xyz" / "b.xyz", "no such file")
    raw = os.fsencode(tmp_path) + b"/x\xff.xyz"
    Path(os.fsdecode(raw)).write_text(XYZ)
    assert len(read_structures(os.fsdecode(raw), mutated.ELEMENTS)) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into closed folders")
def test_closed_folders(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "a.json").write_text("{}")
    (tmp_path / "closed").chmod(0)
    refused(tmp_path / "closed" / "a.xyz", "permission denied")
    refused(tmp_path, "permission denied")


@pytest.mark.parametrize("name", ["pipe.xyz", "pipe.cif", "pipe", "pipe.json"])
def test_pipes_and_devices_are_not_opened(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    refused(tmp_path / name, "is no regular file")
    (tmp_path / "zero.xyz").symlink_to("/dev/zero")
    refused(tmp_path / "zero.xyz", "is no regular file")


def test_packed_files_are_bounded(tmp_path: Path) -> None:
    for suffix, pack in ((".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)):
        path = tmp_path / f"a.xyz{suffix}"
        path.write_bytes(pack(XYZ.encode()))
        assert len(read_structures(path, mutated.ELEMENTS)) == 1
        path.write_bytes(pack(3000 * XYZ.encode())[:-9])
        refused(path, "damaged or cut")
        path.write_bytes(pack(b"\0" * 50_000_000))
        begin = time.process_time()
        refused(path, "zero bytes")
        assert time.process_time() - begin < 3.0


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("x.xyz", "", "is empty"),
        ("x.dat", "1 2 3\n", "its format is not known"),
        ("x.unknown", "hello", "its format is not known"),
        ("x.py", "import os", "its format is not known"),
        ("deep.json", "[" * 100_000, "cannot be read as a structure file in the format json"),
        ("deep.json", '{"Dataset": ' + "[" * 100_000, "is no FitSNAP file"),
        ("x.cfg", "garbage\n", "cannot be read as a structure file in the format cfg"),
    ],
)
def test_what_is_no_structure_file(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    refused(tmp_path / name, words)


def test_formats_by_name(tmp_path: Path) -> None:
    (tmp_path / "x.dat").write_text(XYZ)
    assert len(read_structures(tmp_path / "x.dat", mutated.ELEMENTS, format="xyz")) == 1
    refused(tmp_path / "x.dat", "format 'nonsense' is not known", format="nonsense")


def test_atomic_numbers_that_no_element_has(tmp_path: Path) -> None:
    write(tmp_path / "a.json", mutated.atoms(1))
    text = (tmp_path / "a.json").read_text()
    (tmp_path / "a.json").write_text(text.replace("29,", "99999999999,", 1))
    refused(tmp_path / "a.json", "has the atomic number 99999999999; elements have 1 to 118")
    atoms = Atoms("Cu", cell=np.eye(3) * 3, pbc=True)
    atoms.numbers[0] = 500
    with pytest.raises(InputError, match="atomic number 500"):
        from_atoms(atoms, mutated.ELEMENTS)


def test_announced_atoms_of_formats_that_ase_reads(tmp_path: Path) -> None:
    write(tmp_path / "a.gro", mutated.atoms(1), format="gromacs")
    lines = (tmp_path / "a.gro").read_text().splitlines(keepends=True)
    (tmp_path / "a.gro").write_text("".join(lines[:4] + lines[5:]))
    refused(tmp_path / "a.gro", "announces 6 atoms and has 5", format="gromacs")


# Formats that ASE alone reads and that say how many atoms they hold.
ANNOUNCING = ("cfg", "cube", "dlp4", "eon", "gpumd", "gromacs", "jsv", "mol", "rmc6f", "sdf", "struct", "xsf")


@pytest.mark.parametrize("format", ANNOUNCING)
def test_an_atom_less_than_announced_is_refused(tmp_path: Path, format: str) -> None:
    """Every line with three decimal numbers or more: none that an atom's place stands in can go unnoticed."""
    if not ioformats[format].can_write:
        pytest.skip(f"ASE {ase.__version__} does not write {format}")
    salt = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    path = tmp_path / f"a.{format}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of writers, which turn cells and shorten names
        write(path, salt, format=format)
    (whole,) = read_structures(path, ("Na", "Cl"), format=format)
    lines = path.read_text().split("\n")
    for at in (i for i, line in enumerate(lines) if len(re.findall(r"-?\d+\.\d+", line)) >= 3):
        path.write_text("\n".join(lines[:at] + lines[at + 1 :]))
        try:
            (found,) = read_structures(path, ("Na", "Cl"), format=format)
        except InputError:
            continue
        assert found.structure.n_atoms == whole.structure.n_atoms, lines[at]


@pytest.mark.parametrize("suffix", ["traj", "extxyz"])
def test_occupancies_of_ase_are_refused(tmp_path: Path, suffix: str) -> None:
    atoms = mutated.atoms(1)
    atoms.info["occupancy"] = {"0": {"Au": 0.5, "Cu": 0.5}}
    write(tmp_path / f"a.{suffix}", atoms)
    refused(tmp_path / f"a.{suffix}", "site 0 at .* is shared by several elements: Au 0.5, Cu 0.5")


@pytest.mark.parametrize("name", ["bestsqs.out", "bestsqs-1.out", "str.out", "anything"])
def test_structures_of_atat(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(BEST)
    (entry,) = read_structures(tmp_path / name, mutated.ELEMENTS)
    assert entry.structure.species.tolist() == [1, 0]
    assert entry.structure.volume == pytest.approx(2 * 3.6**3)
    assert entry.structure.positions[0].tolist() == [1.8, 1.8, 0.0]


def test_random_structures_of_atat(tmp_path: Path) -> None:
    (tmp_path / "rndstr.in").write_text(RANDOM)
    refused(tmp_path / "rndstr.in", r"shared by several elements: Au 0.25, Cu 0.75; .*target.alloy")
    ((_, _, atoms),) = each_atoms(tmp_path / "rndstr.in", nameless=True)
    assert len(atoms) == 1
    elements, (entry,) = read_sites(tmp_path / "rndstr.in", None, {"Au": 0.25, "Cu": 0.75})
    assert elements == ("Cu", "Au")
    assert entry.structure.volume == pytest.approx(3.8**3 / 4)
    for text, words in (
        (RANDOM.replace("0.75", "0.5"), "do not add up to 1"),
        (RANDOM.replace("Cu=", "Qx="), "'Qx' is no chemical symbol"),
        (RANDOM[:-1], "no end of line"),
        (BEST.replace("1 1 1 Au", "1 1 Au"), "line 8"),
    ):
        (tmp_path / "rndstr.in").write_text(text)
        refused(tmp_path / "rndstr.in", words, format="atat")


def test_fitsnap_compares_what_it_announces(tmp_path: Path) -> None:
    text = mutated.sound()["fit.json"].decode()
    for changed, words in (
        (text.replace('"NumAtoms": 6', '"NumAtoms": 7'), "announces NumAtoms = 7, and has 6 AtomTypes"),
        (text.replace('"AtomTypes": [\n', '"AtomTypes": [\n"Cu",', 1), "announces|has 7 AtomTypes"),
        (text.replace('"Au"', '"Qx"', 1), "'Qx' is no chemical symbol"),
        (text.replace('"Lattice"', '"Latice"'), "Lattice is missing"),
        (text[:-5], "is no JSON from line"),
        (text + "x", "is no JSON from line"),
    ):
        (tmp_path / "fit.json").write_text(changed)
        refused(tmp_path / "fit.json", words)


def test_numbers_of_structures_in_messages_and_slices_from_the_back(tmp_path: Path) -> None:
    path = tmp_path / "a.xyz"
    path.write_text("".join(XYZ.replace("Cu 0", f"Cu {k}") for k in range(4)))
    whole = read_structures(path, mutated.ELEMENTS)
    for index, wanted in (("@-1", [3]), ("@-4", [0]), ("@-2:", [2, 3]), ("@:-1", [0, 1, 2]), ("@::-1", [3, 2, 1, 0])):
        found = read_structures(f"{path}{index}", mutated.ELEMENTS)
        assert [entry.source for entry in found] == [f"{path}[{k}]" for k in wanted]
        assert [content_hash(e.structure) for e in found] == [content_hash(whole[k].structure) for k in wanted]
    refused(f"{path}@-5", "has 4 structures, none at index -5")
    path.write_text(path.read_text() + "garbage\n")
    assert len(read_structures(f"{path}@1:3", mutated.ELEMENTS)) == 2  # what is behind is not read
    refused(f"{path}@1:", "line 13")


@pytest.mark.parametrize(("kind", "name"), [("sdf", "one.sdf"), ("mol", "one.mol"), ("gromos", "one.g96")])
def test_a_list_of_atoms_that_was_cut_is_refused(kind: str, name: str, tmp_path: Path) -> None:
    if not ioformats[kind].can_write:
        pytest.skip(f"ASE {ase.__version__} does not write {kind}")
    path = tmp_path / name
    ase.io.write(path, bulk("NaCl", "rocksalt", 5.6, cubic=True), format=kind)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:9]))
    with pytest.raises(InputError, match="the file is cut"):
        read_with_elements([str(path)])
