"""Files in the formats that ASE reads and this package does not: its errors in words of one line."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from grs_evo.errors import InputError
from grs_evo.structures.files import records
from grs_evo.structures.files.text import check_regular, opened, shown

# Bytes in which they do.
_HEAD = 1 << 16
# How formats announce a number of atoms that ASE does not compare with what it reads.
_ANNOUNCED = {
    "gromacs": re.compile(r"\A[^\n]*\n\s*(\d+)\s*\n"),
    "cfg": re.compile(r"^\s*Number of particles\s*=\s*(\d+)", re.MULTILINE),
    "espresso-in": re.compile(r"\bnat\s*=\s*(\d+)", re.IGNORECASE),
    "rmc6f": re.compile(r"^Number of atoms:\s*(\d+)", re.MULTILINE),
    "abinit-in": re.compile(r"^\s*natom\s+(\d+)", re.MULTILINE | re.IGNORECASE),
    "jsv": re.compile(r"^asymmetric_unit_cell\s+(\d+)", re.MULTILINE),
    "mol": re.compile(r"\A(?:[^\n]*\n){3}([ \d]{3})"),
    "sdf": re.compile(r"\A(?:[^\n]*\n){3}([ \d]{3})"),
}
# What ASE's readers stumble over where a file is damaged; their words tell nothing of the file.
_INNER = (KeyError, IndexError, AttributeError, TypeError, AssertionError, RecursionError, MemoryError, StopIteration)
_INSIDES = re.compile(r"unpack|generator raised|object|NoneType|broadcast|shape|buffer|argument|sequence|array|index")
_WORDS = (
    (re.compile(r"invalid literal for int\(\) with base 10: (.*)"), r"\1 stands where a whole number belongs"),
    (re.compile(r"could not convert string to float: (.*)"), r"\1 stands where a number belongs"),
)


def frames(path: Path, kind: str) -> Iterator[Callable[[], Any]]:
    """What makes the ase.Atoms of each structure.

    Raises
    ------
    InputError
        ASE cannot read the file, or it holds atomic numbers that no element has.
    """
    from ase.io import iread

    check_regular(path)
    try:
        with warnings.catch_warnings():
            # what a file has besides positions, cell and elements does not concern us
            warnings.simplefilter("ignore")
            announced, counted, n = _announced(path, kind), records.counts(path, kind), 0
            for k, atoms in enumerate(iread(str(path), index=":", format=kind, do_not_split_by_at_sign=True)):
                _check_numbers(atoms, f"{path}[{k}]")
                if k == 0 and announced is not None and announced != len(atoms):
                    raise InputError(
                        f"{path}: announces {announced} atoms and has {len(atoms)}; the file is cut or damaged"
                    )
                if counted is not None and k < len(counted) and counted[k] not in (None, len(atoms)):
                    raise InputError(
                        f"{path}: structure {k} has records of {counted[k]} atoms, of which {len(atoms)} can be read; "
                        "the file is damaged"
                    )
                n = k + 1
                yield lambda one=atoms: one  # type: ignore[misc]
            if counted is not None and len(counted) != n:
                raise InputError(
                    f"{path}: has records of {len(counted)} structures, of which {n} can be read; the file is damaged"
                )
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{path}: cannot be read as a structure file in the format {kind}{_told(error)}; the file is cut, damaged"
            " or of another format, which target.format (--format) names, such as lammps-data"
        ) from None


def _announced(path: Path, kind: str) -> int | None:
    """The number of atoms that a file says it has; None where its format does not say it."""
    if kind not in _ANNOUNCED:
        return None
    with opened(path) as stream:
        match = _ANNOUNCED[kind].search(stream.read(_HEAD).decode(errors="replace"))
    return None if match is None or not match[1].strip().isdecimal() else int(match[1])


def _check_numbers(atoms: Any, source: str) -> None:
    from ase.data import chemical_symbols

    numbers = np.asarray(atoms.numbers)
    odd = numbers[(numbers < 0) | (numbers >= len(chemical_symbols))]
    if len(odd):
        raise InputError(f"{source}: has the atomic number {odd[0]}; elements have 1 to {len(chemical_symbols) - 1}")


def _told(error: Exception) -> str:
    """What an error says of the file, in brackets; nothing where it speaks of the reader's insides."""
    if isinstance(error, _INNER):
        return ""
    text = shown(error, 120)
    if _INSIDES.search(text):
        return ""
    for pattern, words in _WORDS:
        text = pattern.sub(words, text)
    text = re.sub(r"\b[A-Z][A-Za-z]*Error\b:? ?", "", text)
    return f" ({text})" if text else ""
