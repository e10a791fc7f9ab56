"""Which element an atom type of a LAMMPS file is, where the file tells it.

ASE takes a type without element for the element of that atomic number, and a type's mass for the nearest element's,
however far: then copper and gold would become hydrogen and helium without a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DATA, DUMP, BINARY = "lammps-data", "lammps-dump-text", "lammps-dump-binary"
KINDS = (DATA, DUMP, BINARY)

# How far a mass may be from an element's, as a share of it: not so far that the 1 of reduced units is hydrogen.
_NEAR = 0.005
# The sections of a data file that are read here.
_MASSES, _LABELS = "Masses", "Atom Type Labels"


def kind_of(path: Path) -> str | None:
    """ASE's name of a text dump, whatever the file is called; None for all else."""
    with _opened(path) as stream:
        head = stream.read(64)
    return DUMP if head.startswith(b"ITEM:") else None


def elements_in(path: Path, kind: str) -> dict[int, str] | None:
    """The elements that a file gives its atom types, empty where it gives none; None where each atom has its own."""
    if kind == BINARY:
        return {}
    with _opened(path) as stream:
        lines = (line.decode(errors="replace").rstrip("\n") for line in stream)
        return _of_data(lines) if kind == DATA else _of_dump(lines)


def _of_data(lines: Iterator[str]) -> dict[int, str]:
    """From type labels, from the comments after masses (as this program's own exports have), or from the masses."""
    found: dict[int, str] = {}
    section = ""
    next(lines, None)  # the first line is a comment
    for line in lines:
        text, _, comment = line.partition("#")
        fields = text.split()
        if not fields:
            continue
        if not re.match(r"[-+.\d]", fields[0]):
            section = text.strip()
            continue
        if section not in (_MASSES, _LABELS) or len(fields) != 2 or not fields[0].isdecimal():
            continue
        told = fields[1] if section == _LABELS else comment
        element = _symbol(told)
        if element is None and section == _MASSES:
            element = _of_mass(float(fields[1]))
        if element is not None:
            found.setdefault(int(fields[0]), element)
    return found


def _of_dump(lines: Iterator[str]) -> dict[int, str] | None:
    """From the columns of the first frame."""
    n_atoms, columns = 0, []
    for line in lines:
        if line.startswith("ITEM: NUMBER OF ATOMS"):
            n_atoms = int(next(lines))
        if line.startswith("ITEM: ATOMS"):
            columns = line.split()[2:]
            break
    if "element" in columns:
        return None
    if "mass" not in columns:
        return {}
    column = columns.index("mass")
    masses = {line.split()[column] for _, line in zip(range(n_atoms), lines, strict=False)}
    # ASE finds them as well
    return None if all(_of_mass(float(mass)) for mass in masses) else {}


def _symbol(text: str) -> str | None:
    """The chemical symbol that a text begins with."""
    from ase.data import atomic_numbers

    word = (text.split() or [""])[0]
    return word if atomic_numbers.get(word, 0) > 0 else None


def _of_mass(mass: float) -> str | None:
    """The element of a mass in u."""
    import numpy as np
    from ase.data import atomic_masses, chemical_symbols

    number = int(np.argmin(np.abs(atomic_masses[1:] - mass))) + 1
    return chemical_symbols[number] if abs(atomic_masses[number] - mass) <= _NEAR * atomic_masses[number] else None


def _opened(path: Path) -> Any:
    """The bytes of a file, unpacked."""
    from ase.io.formats import open_with_compression

    return open_with_compression(str(path), "rb")
