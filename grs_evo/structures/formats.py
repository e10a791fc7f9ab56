"""File formats by the suffixes of their names: one table for what is read and what is written."""

from __future__ import annotations

from typing import Any, NamedTuple

# What programs put behind a name they have compressed.
PACKED = (".gz", ".bz2", ".xz")


class Format(NamedTuple):
    """How a format is called, and what a file of it holds."""

    ase: str  # ASE's name
    suffixes: tuple[str, ...]
    many: bool  # one file holds many structures
    arguments: dict[str, Any]  # for ASE's writer


FORMATS: dict[str, Format] = {
    "extxyz": Format("extxyz", (".extxyz", ".xyz"), True, {}),
    "poscar": Format("vasp", (".poscar", ".vasp"), False, {}),
    "cif": Format("cif", (".cif",), True, {}),
    "lammps": Format("lammps-data", (".data", ".lmp", ".lammps"), False, {"masses": True}),
}


def ase_name_of(name: str) -> str | None:
    """ASE's name of the format that a file's suffix tells, compressed or not; None where it tells none of `FORMATS`."""
    bare = name.lower()
    for packed in PACKED:
        bare = bare.removesuffix(packed)
    return next((one.ase for one in FORMATS.values() if bare.endswith(one.suffixes)), None)
