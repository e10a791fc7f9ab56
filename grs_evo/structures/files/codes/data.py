"""LAMMPS data files, as `read_data` takes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from grs_evo.structures.files.codes.units import length_of_unit
from grs_evo.structures.files.elements import contradicts, element_of_mass, symbol_of
from grs_evo.structures.files.text import Lines, shown

# What a file has besides atoms: LAMMPS's sections, which are read over.
_OTHERS = frozenset(
    """Velocities;Ellipsoids;Lines;Triangles;Bodies;Bonds;Angles;Dihedrals;Impropers;Pair Coeffs;PairIJ Coeffs;Charges;
    Bond Coeffs;Angle Coeffs;Dihedral Coeffs;Improper Coeffs;BondBond Coeffs;BondAngle Coeffs;Impropers Pair Coeffs;
    MiddleBondTorsion Coeffs;EndBondTorsion Coeffs;AngleTorsion Coeffs;AngleAngleTorsion Coeffs;BondBond13 Coeffs;
    AngleAngle Coeffs;UreyBradley Coeffs;Bond Type Labels;Angle Type Labels;Dihedral Type Labels;Improper Type Labels;
    CMAP;PiTorsion Coeffs;PiTorsions;BiTorsions;StretchTorsion Coeffs""".replace("\n", "").split(";")
)
_OTHER_SECTIONS = frozenset(" ".join(name.split()) for name in _OTHERS)
_MASSES, _LABELS, _ATOMS = "Masses", "Atom Type Labels", "Atoms"
# Header lines that are needed here; the rest are counts of what is read over.
_BOX = ("xlo xhi", "ylo yhi", "zlo zhi")
_GENERAL = ("avec", "bvec", "cvec", "abc origin")


class _Style(NamedTuple):
    """Where the columns of an atom style are."""

    width: int
    type: int
    position: int


# LAMMPS's atom styles with the columns of their atoms; three more may follow, the image flags.
_STYLES = {
    "atomic": _Style(5, 1, 2),
    "charge": _Style(6, 1, 3),
    "molecular": _Style(6, 2, 3),
    "bond": _Style(6, 2, 3),
    "angle": _Style(6, 2, 3),
    "full": _Style(7, 2, 4),
    "sphere": _Style(7, 1, 4),
    "ellipsoid": _Style(7, 1, 4),
    "dipole": _Style(9, 1, 3),
}
# Those that a number of columns can mean where nothing tells the style.
_GUESSED = ("atomic", "charge", "molecular", "full")


@dataclass
class _File:
    """What is in front of the atoms, and what comes with them."""

    n_atoms: int | None = None
    n_types: int | None = None
    unit: float = 1.0  # Å
    box: dict[str, list[float]] = field(default_factory=dict)
    masses: dict[str, tuple[float, str]] = field(default_factory=dict)  # type or label to mass and comment
    labels: dict[str, int] = field(default_factory=dict)
    atoms: list[list[str]] | None = None
    places: list[int] = field(default_factory=list)  # the lines of the atoms
    style: str | None = None


def frames(lines: Lines, named: bool) -> Iterator[Callable[[], Any]]:
    """What makes the ase.Atoms of the file, sorted by id, periodic, with types as the array ``type``.

    Unless `named`, elements come from type labels, from comments after masses, or from masses; "X" where none tells.

    Raises
    ------
    InputError
        More or fewer atoms or masses than announced, no box, an atom style that is not told and could be two, comments
        or labels that contradict the masses, and all that is no number.
    """
    file = _File()
    first = lines.need("the first line, a comment")
    unit = re.search(r"\bunits\s*=\s*(\w+)", first)
    if unit:
        file.unit = length_of_unit(unit[1], lines)
    section: str | None = None
    while (line := lines.take_text()) is not None:
        text, _, comment = line.partition("#")
        name = " ".join(text.split())
        if not name:
            continue
        if name in (_MASSES, _LABELS, _ATOMS) or name in _OTHER_SECTIONS:
            section = name
            if name == _ATOMS:
                file.style = comment.strip() or None
                _read_atoms(lines, file)
        elif section is None:
            _read_header(lines, name, file)
        elif section == _MASSES:
            _read_mass(lines, text.split(), comment, file)
        elif section == _LABELS:
            _read_label(lines, text.split(), file)
        elif section == _ATOMS:
            lines.fail(f"an atom after the {file.n_atoms} announced: {shown(line, 40)!r}")
    lines.check_end_of_line()
    if file.atoms is None:
        lines.fail("the file ends without a section Atoms; it is cut, or no data file of LAMMPS")
    _check_types(lines, file)
    yield lambda: _atoms(lines, file, named)


def _read_header(lines: Lines, text: str, file: _File) -> None:
    words = text.split()
    n_values = next((k for k, word in enumerate(words) if word[0].isalpha()), len(words))
    words, key = words[:n_values], " ".join(words[n_values:])
    if not words or not key:
        lines.fail(f"{shown(text, 40)!r} is neither a header line of a data file nor a section")
    if key in ("atoms", "atom types"):
        if len(words) != 1:
            lines.fail(f"one number of {key} belongs there")
        if key == "atoms":
            file.n_atoms = lines.count(words[0])
        else:
            file.n_types = lines.whole_number(words[0], "a number of types")
    elif key in _BOX or key in _GENERAL or key == "xy xz yz":
        if len(words) != (2 if key in _BOX else 3):
            lines.fail(f"has {len(words)} numbers in front of {key}")
        file.box[key] = lines.numbers(words, "a bound of the box")
    else:
        for word in words:
            lines.whole_number(word, f"a number of {shown(key, 30)}")


def _read_mass(lines: Lines, words: Sequence[str], comment: str, file: _File) -> None:
    if len(words) != 2:
        lines.fail(f"has {len(words)} words where a type and its mass belong")
    if words[0] in file.masses:
        lines.fail(f"gives type {words[0]} a second mass")
    (mass,) = lines.numbers(words[1:], "a mass")
    file.masses[words[0]] = (mass, comment)


def _read_label(lines: Lines, words: Sequence[str], file: _File) -> None:
    if len(words) != 2 or words[1] in file.labels:
        lines.fail("a type and its label belong there, each label once")
    file.labels[words[1]] = lines.whole_number(words[0], "a type")


def _read_atoms(lines: Lines, file: _File) -> None:
    if file.n_atoms is None:
        lines.fail("Atoms without a line 'N atoms' in front of them")
    if file.atoms is not None:
        lines.fail("a second section Atoms; a data file holds one structure")
    rows: list[list[str]] = []
    while len(rows) < file.n_atoms:
        line = lines.take_text()
        if line is None:
            lines.fail(f"the file ends with {len(rows)} of the {file.n_atoms} atoms announced; it is cut")
        words = line.partition("#")[0].split()
        if not words:
            continue
        if not words[0].isdecimal():
            lines.fail(
                f"{shown(line, 40)!r} is no atom, which belongs there: {len(rows)} of the {file.n_atoms} announced are"
                " in front of it"
            )
        if rows and len(words) != len(rows[0]):
            lines.fail(f"has {len(words)} columns, the atoms in front of it {len(rows[0])}")
        rows.append(words)
        file.places.append(lines.number)
    file.atoms = rows


def _check_types(lines: Lines, file: _File) -> None:
    """Masses and labels as many as the types announced."""
    for what, found in (("masses", file.masses), ("type labels", file.labels)):
        if found and file.n_types is not None and len(found) != file.n_types:
            lines.fail_file(f"the file announces {file.n_types} atom types and has {len(found)} {what}")


def _style_of(lines: Lines, file: _File, rows: Sequence[Sequence[str]]) -> _Style:
    """The columns of the atoms: by the comment after Atoms, or where the columns can mean one style only."""
    width = len(rows[0])
    name = (file.style or "").split()[0].lower() if file.style else None
    if name is not None and name in _STYLES:
        style = _STYLES[name]
        if width not in (style.width, style.width + 3):
            lines.fail_file(
                f"the atoms have {width} columns, those of 'Atoms # {name}' have {style.width}, or {style.width + 3}"
                " with image flags"
            )
        return style
    if name is not None:
        lines.fail_file(
            f"the atom style {shown(name, 20)!r} is not read; {', '.join(_STYLES)} are, as in 'Atoms # charge'"
        )
    possible = [name for name in _GUESSED if _fits(_STYLES[name], rows, file)]
    if len({_STYLES[name] for name in possible}) != 1:
        told = " or ".join(f"'Atoms # {name}'" for name in possible or _GUESSED)
        lines.fail_file(
            f"atoms of {width} columns without their atom style; write {told} above them instead of 'Atoms'"
        )
    return _STYLES[possible[0]]


def _fits(style: _Style, rows: Sequence[Sequence[str]], file: _File) -> bool:
    width = len(rows[0])
    if width not in (style.width, style.width + 3):
        return False
    whole = re.compile(r"[+-]?\d+").fullmatch
    if width > style.width and not all(whole(word) for row in rows for word in row[style.width :]):
        return False
    if not all(_is_type(row[style.type], file) for row in rows):
        return False
    return style.type == 1 or all(whole(row[1]) for row in rows)  # a molecule's number in front


def _is_type(word: str, file: _File) -> bool:
    if word in file.labels:
        return True
    return word.isdecimal() and 1 <= int(word) <= (file.n_types or 10**6)


def _atoms(lines: Lines, file: _File, named: bool) -> Any:
    from ase import Atoms

    rows = file.atoms or []
    if not rows:
        lines.fail_file("announces 0 atoms; a structure needs at least one")
    style = _style_of(lines, file, rows)
    ids, types, found, flags = [], [], [], []
    for lines.number, row in zip(file.places, rows, strict=True):
        ids.append(lines.whole_number(row[0], "an atom's id"))
        types.append(_type_of(lines, row[style.type], file))
        found.append(lines.numbers(row[style.position : style.position + 3], "a position"))
        flags.append([lines.whole_number(word, "an image flag") for word in row[style.width :]] or [0, 0, 0])
    if len(set(ids)) != len(ids):
        lines.fail_file("two atoms have the same id; each must have its own")
    order = np.argsort(np.array(ids, dtype=np.int64))
    kinds, positions, images = np.array(types, dtype=np.int64)[order], np.array(found)[order], np.array(flags)[order]
    cell = _cell(lines, file.box)
    if file.unit != 1.0:
        positions, cell = positions * file.unit, cell * file.unit
    atoms: Any = Atoms(numbers=np.zeros(len(rows), dtype=int), positions=positions, cell=cell, pbc=True)
    try:  # as ASE does, with image flags or without
        atoms.set_scaled_positions(atoms.get_scaled_positions(wrap=False) + images)
    except np.linalg.LinAlgError:
        lines.fail_file("the box is flat: its vectors lie in one plane")
    atoms.arrays["type"] = kinds
    elements = None if named else _elements(lines, file, sorted(set(types)))
    if elements is not None:
        atoms.set_chemical_symbols([elements[kind] for kind in kinds.tolist()])
    return atoms


def _type_of(lines: Lines, word: str, file: _File) -> int:
    if word in file.labels:
        return file.labels[word]
    if not word.isdecimal():
        lines.fail(f"{shown(word, 20)!r} is neither an atom type nor one of the file's type labels")
    kind = int(word)
    if not 1 <= kind <= (file.n_types or 10**6):
        lines.fail(f"an atom has type {kind}; the file announces {file.n_types} atom types")
    return kind


def _cell(lines: Lines, box: Mapping[str, list[float]]) -> Any:
    general = [key for key in _GENERAL if key in box]
    if general:
        missing = [key for key in _GENERAL[:3] if key not in box]
        if missing:
            lines.fail_file(f"the file has no line '{missing[0]}' of its box")
        return np.array([box[key] for key in _GENERAL[:3]])
    cell = np.zeros((3, 3))
    for k, key in enumerate(_BOX):
        if key not in box:
            lines.fail_file(f"the file has no line '{key}' of its box")
        low, high = box[key]
        if high <= low:
            lines.fail_file(f"the box is empty: {low:g} {high:g} {key}")
        cell[k, k] = high - low
    cell[1, 0], cell[2, 0], cell[2, 1] = box.get("xy xz yz", [0.0, 0.0, 0.0])
    return cell


def _elements(lines: Lines, file: _File, kinds: Sequence[int]) -> dict[int, str] | None:
    """The element of each type that occurs; None where labels, comments and masses do not tell them all.

    A comment after a mass counts where it begins with a symbol; beside a mass that is no element's, where it is nothing
    but the symbol.
    """
    found: dict[int, str] = {kind: label for label, kind in file.labels.items() if symbol_of(label) == label}
    told = dict(found)
    for name, (mass, comment) in file.masses.items():
        kind = _type_of(lines, name, file)
        heavy = element_of_mass(mass)
        word = symbol_of(comment)
        if word is not None and heavy is None and comment.strip() != word:
            word = None
        symbol = told.get(kind) or word
        other = None if symbol is None else contradicts(symbol, mass)
        if symbol is not None and other is not None:
            lines.fail_file(
                f"Masses has {mass:g}, which is {other}'s, for type {name} called {symbol}; labels or comments and"
                " masses must agree, or give the element of each type (--types)"
            )
        if symbol is not None or heavy is not None:
            found[kind] = str(symbol or heavy)
    return found if all(kind in found for kind in kinds) else None
