"""Which format a structure file has: by its content, its name, or ASE's guess."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

from grs_evo.errors import InputError
from grs_evo.structures.files.text import opened, shown
from grs_evo.structures.formats import PACKED, ase_name_of

DATA, DUMP, BINARY = "lammps-data", "lammps-dump-text", "lammps-dump-binary"
ATAT, FITSNAP = "atat", "fitsnap"
XYZ, CIF, POSCAR, XDATCAR, GEN = "extxyz", "cif", "vasp", "vasp-xdatcar", "gen"
# What this program's readers read.
_OWN = (DATA, DUMP, ATAT, FITSNAP, XYZ, CIF, POSCAR, XDATCAR, GEN)

# Bytes at the beginning of a file that tell its kind.
_HEAD = 1 << 16
# What is known under other names; those that ASE does not know either are LAMMPS's and ATAT's own.
_SYNONYMS = {
    "xyz": XYZ, "poscar": POSCAR, "contcar": POSCAR, "xdatcar": XDATCAR, "lammps-dump": DUMP, "dump": DUMP,
    "lammpstrj": DUMP, "data": DATA, "lammps": DATA, "mcsqs": ATAT,
}  # fmt: skip
# Files of VASP and DFTB+, by the ends of their names or by themselves, in any case.
_BY_NAME = (("*poscar*", POSCAR), ("*contcar*", POSCAR), ("*centcar*", POSCAR), ("*xdatcar*", XDATCAR), ("*.gen", GEN))
_NUMBER = r"[-+]?[\d.]+(?:[eE][-+]?\d+)?"
_THREE = rf"[ \t]*{_NUMBER}[ \t]+{_NUMBER}[ \t]+{_NUMBER}"
_END = r"[ \t]*\r?\n"
# How HDF5 files begin, here or behind a block of the user's.
_HDF5, _BLOCKS = b"\x89HDF\r\n\x1a\n", (0, 512, 1024, 2048)
# A coordinate system, three cell vectors, and a site with its elements.
_ATAT = re.compile(
    rf"\s*(?:{_THREE}[ \t]+{_THREE}{_END}|(?:{_THREE}{_END}){{3}})(?:{_THREE}{_END}){{3}}{_THREE}[ \t]+[A-Z]"
)
_ATOMS = re.compile(r"^[ \t]*\d+[ \t]+atoms\b[ \t]*(?:#.*)?\r?$", re.MULTILINE)
_BOX = re.compile(r"[ \t]xlo[ \t]+xhi\b|[ \t]avec\b")


def named_kind(format: str) -> str:
    """A format that the user named."""
    kind = _SYNONYMS.get(format.lower(), format)
    if kind in _OWN:
        return kind
    from ase.io.formats import ioformats  # takes a while, and most files are of a kind that is read without it

    if kind in ioformats and ioformats[kind].can_read:
        return kind
    raise InputError(f"format {shown(format, 30)!r} is not known; ASE's names are, such as extxyz, vasp or {DATA}")


def kind_of(path: Path) -> str:
    """ASE's name of a file's format, or this program's; LAMMPS's and ATAT's files may have any name.

    Raises
    ------
    InputError
        Neither name nor content tell a format.
    """
    try:
        with opened(path) as stream:
            head = stream.read(_HEAD)
    except InputError:
        raise
    except Exception as error:  # each packer has errors of its own
        raise InputError(f"{path}: cannot be unpacked ({shown(error)}); the file is damaged or cut") from None
    if not head.strip():
        raise InputError(f"{path}: is empty; it holds no structure")
    text = head.decode("utf-8-sig", errors="replace")
    if text.lstrip().startswith("ITEM:"):
        return DUMP
    name = path.name.lower()
    for packed in PACKED:
        name = name.removesuffix(packed)
    by_name = ase_name_of(name)
    if by_name is None:
        by_name = next((kind for pattern, kind in _BY_NAME if fnmatch.fnmatchcase(name, pattern)), None)
    if by_name in (None, DATA) or by_name == POSCAR:
        if _ATOMS.search(text) and _BOX.search(text):
            return DATA
        if _ATAT.match(text):
            return ATAT
    if by_name is not None:
        return by_name
    if any(head.startswith(_HDF5, place) for place in _BLOCKS):
        raise InputError(
            f"{path}: is an HDF5 file, as archives and targets are; grs-evo export FOLDER -o cells.extxyz writes the "
            "structures of a run"
        )
    if name.endswith(".json"):
        return FITSNAP if '"Dataset"' in text[:4096] else "json"
    return _guess(path, name)


def _guess(path: Path, name: str) -> str:
    """ASE's guess."""
    from ase.io.formats import filetype, ioformats

    try:
        kind = str(filetype(str(path.absolute())))
    except Exception:  # of many kinds
        kind = ""
    if name.endswith(".dat") and kind == str(filetype("x.dat", read=False)):
        kind = ""  # many programs' files end so
    if kind in ioformats and ioformats[kind].can_read and not kind.endswith("sql"):
        return kind
    raise InputError(
        f"{path}: its format is not known: neither its name {shown(name, 40)!r} nor its content tell one; name it by"
        f" target.format (--format), such as extxyz, vasp or {DATA}"
    )
