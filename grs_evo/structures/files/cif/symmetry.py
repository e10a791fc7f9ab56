"""Which symmetry operations a CIF means, where it lists them, and where it only names its space group."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from grs_evo.errors import InputError
from grs_evo.structures.files.cif.text import Block, Word
from grs_evo.structures.files.text import Lines, shown
from grs_evo.structures.symmetry import Setting, all_settings, operations_of

OPERATIONS = ("_space_group_symop_operation_xyz", "_space_group_symop.operation_xyz", "_symmetry_equiv_pos_as_xyz")
_NUMBER = ("_space_group_it_number", "_space_group.it_number", "_symmetry_int_tables_number")
_NAME = (
    "_space_group_name_h-m_alt", "_symmetry_space_group_name_h-m", "_space_group.name_h-m_full",
    "_space_group.name_h-m_alt", "_space_group.patterson_name_h-m",
)  # fmt: skip
_HALL = ("_space_group_name_hall", "_symmetry_space_group_name_hall", "_space_group.name_hall")
_AXES = ("_space_group_crystal_system", "_symmetry_cell_setting")
_SETTING = ("_symmetry_space_group_setting",)
# An operation as a word: signs, letters, fractions.
_OPERATION = re.compile(r"[-+*/.\dxyzXYZ\s]+,[-+*/.\dxyzXYZ\s]+,[-+*/.\dxyzXYZ\s]+")
# How choices begin that the name of a group does not tell: of the origin (1, 2) and of axes (H, R).
_UNTOLD = ("1", "2", "H", "R")
# By how much the metric of a cell may differ from what its space group needs.
_METRIC = 5e-3


class Symmetry(NamedTuple):
    """A reading of what a file says."""

    name: str
    tags: dict[str, Any]  # for ase.io.cif


def possible_symmetries(lines: Lines, block: Block, cell: Sequence[float], source: str) -> list[Symmetry]:
    """What the symmetry of a block may be: one reading where the file tells it, several where it does not.

    Raises
    ------
    InputError
        A space group that does not exist, contradicts itself, or does not fit the cell.
    """
    number = _whole(lines, block.one(*_NUMBER))
    name, hall = block.one(*_NAME), block.one(*_HALL)
    listed = block.many(*OPERATIONS)
    if listed and not all(word.text in (".", "?") for word in listed):
        for word in listed:
            if not _OPERATION.fullmatch(word.text.strip()):
                lines.number = word.line
                lines.fail(f"{shown(word.text, 40)!r} is no symmetry operation, such as '-x, y+1/2, z'")
        return [Symmetry(f"its {len(listed)} operations", _tags([word.text for word in listed]))]
    if number is None and name is None and hall is None:
        return [Symmetry("P 1", {"_symmetry_int_tables_number": 1})]
    meant = _settings(number, name, hall, _whole(lines, block.one(*_SETTING)), source)
    fitting = [one for one in meant if _fits(one.hall_number, tuple(cell))]
    if not fitting:
        told = " or ".join(one.name for one in meant[:4])
        raise InputError(f"{source}: the cell does not have the symmetry of its space group {told}")
    axes = block.one(*_AXES)
    if axes is not None and axes.text.lower() in ("hexagonal", "rhombohedral"):
        wanted = "R" if axes.text.lower() == "rhombohedral" else "H"
        fitting = [one for one in fitting if one.choice == wanted] or fitting
    if fitting[0].choice[:1] not in _UNTOLD:
        fitting = fitting[:1]
    return [_symmetry_of(one) for one in fitting]


def _tags(operations: list[str]) -> dict[str, Any]:
    """For ase.io.cif: these operations and no more, whatever group the file names besides."""
    return {OPERATIONS[2]: operations, _NUMBER[2]: 1}


def _whole(lines: Lines, word: Word | None) -> int | None:
    if word is None:
        return None
    if not word.text.strip().isdecimal():
        lines.number = word.line
        lines.fail(f"{shown(word.text, 20)!r} is no whole number; a number of a space group or setting belongs there")
    return int(word.text)


def _settings(
    number: int | None, name: Word | None, hall: Word | None, choice: int | None, source: str
) -> list[Setting]:
    """The settings of a space group that a number, a name and a Hall symbol leave."""
    found = list(all_settings())
    if number is not None:
        found = [one for one in found if one.number == number]
        if not found:
            raise InputError(f"{source}: there is no space group {number}; they are numbered from 1 to 230")
    if hall is not None:
        wanted = _plain(hall.text)
        exact = [one for one in found if _plain(one.hall) == wanted]
        if exact:
            return exact[:1]
    if name is not None:
        named = _by_name(found, name.text)
        if not named:
            other = "" if number is None else f" of space group {number}"
            raise InputError(
                f"{source}: {shown(name.text, 30)!r} is no known name{other}; list the symmetry operations"
                f" ({OPERATIONS[0]})"
            )
        found = named
    else:  # by its number alone a group is meant with its standard axes
        found = [one for one in found if one.standard or one.choice in _UNTOLD]
    if choice is not None:
        found = [one for one in found if one.choice[:1] == str(choice)] or found
    return found


def _by_name(settings: Sequence[Setting], text: str) -> list[Setting]:
    """Settings of a Hermann-Mauguin name, such as 'F d -3 m :2', 'P 1 21/n 1', 'P21/n', 'R -3 m H'."""
    bare, _, suffix = text.partition(":")
    suffix = suffix.strip().upper()
    words = bare.split()
    if not suffix and len(words) > 1 and words[-1] in ("H", "R", "S", "Z"):
        suffix, words = words[-1], words[:-1]
    choice = {"S": "1", "Z": "2"}.get(suffix, suffix)
    wanted = _plain("".join(words))
    named = [one for one in settings if wanted in one.names]
    chosen = [one for one in named if one.choice[:1] == choice]
    if chosen or (choice in _UNTOLD and any(one.choice[:1] in _UNTOLD for one in named)):
        return chosen
    return named


def _plain(text: str) -> str:
    return re.sub(r"[\s_()]", "", text).lower()


@lru_cache(maxsize=256)
def _fits(hall_number: int, cell: tuple[float, ...]) -> bool:
    """Whether all operations leave the metric of a cell as it is."""
    import ase.geometry

    to_cell: Any = ase.geometry.cellpar_to_cell
    try:
        vectors = np.array(to_cell(list(cell)))
    except (AssertionError, ValueError, ZeroDivisionError):
        return False
    metric = vectors @ vectors.T
    scale = np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
    rotations, _ = operations_of(hall_number)
    return all(bool((np.abs(r.T @ metric @ r - metric) <= _METRIC * scale).all()) for r in rotations)


def _symmetry_of(setting: Setting) -> Symmetry:
    """The tags that make ASE use a setting: its number where that means it, else its operations."""
    if setting.standard:
        return Symmetry(setting.name, {"_symmetry_int_tables_number": setting.number})
    rotations, shifts = operations_of(setting.hall_number)
    return Symmetry(setting.name, _tags([_as_text(r, t) for r, t in zip(rotations, shifts, strict=True)]))


def _as_text(rotation: Any, shift: Any) -> str:
    """An operation as ``-x+1/2,y,z``."""
    parts = []
    for row, t in zip(rotation, shift, strict=True):
        text = "".join(f"{'+' if x > 0 else '-'}{letter}" for x, letter in zip(row, "xyz", strict=True) if x)
        twelfths = round(float(t) * 12) % 12
        parts.append(text.removeprefix("+") + (f"+{twelfths}/12" if twelfths else ""))
    return ",".join(parts)
