"""XYZ files, plain and extended: of each frame the number of atoms, a comment line with keys, and the atoms.

Of the keys `Lattice`, `Properties`, `pbc`, the group and `occupancy` count. Energies, forces and stress are kept where
they have the usual names and forms, and so is what else the comment line says, such as the uid of an export or what a
choice is stratified by; further columns do not concern this program.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.structures.files.elements import check_symbols
from grs_evo.structures.files.text import Lines, shown

# Keys of ase.Atoms.info that name the group a structure belongs to.
GROUP_KEYS = ("group", "config_type", "Group")
# What programs call a structure's energy (key, eV), its forces (columns, eV/Å) and its stress (key, 9 or 6 numbers).
ENERGY_KEYS = ("energy", "REF_energy", "dft_energy", "DFT_energy", "Energy", "free_energy")
FORCE_KEYS = ("forces", "REF_forces", "dft_forces", "DFT_forces", "force")
STRESS_KEYS = ("stress", "virial")
# Keys that are no one's to keep: they make the structure, or are labels that have a form.
_MADE = ("Lattice", "Properties", "pbc", "occupancy", *STRESS_KEYS)
_VOIGT = [0, 5, 4, 5, 1, 3, 4, 3, 2]
_CLOSING = {'"': '"', "'": "'", "{": "}", "[": "]"}
_TRUTH = dict.fromkeys(("T", "true", "True", "TRUE", "1"), True) | dict.fromkeys(
    ("F", "false", "False", "FALSE", "0"), False
)
_PLAIN = "species:S:1:pos:R:3"


class _Columns(NamedTuple):
    """Where the columns of the atoms are."""

    width: int | None  # columns of an atom; None: at least four, the file does not say
    species: int | None
    number: int | None
    position: int
    type: int | None
    forces: tuple[str, int] | None  # name and first of three


def frames(lines: Lines, named: bool) -> Iterator[Callable[[], Any]]:
    """What makes the ase.Atoms of each frame; blank lines between frames are read over.

    Numbers where chemical symbols belong, as LAMMPS's `dump xyz` has them, become the array ``type``, with symbols "X".

    Raises
    ------
    InputError
        Something else than a frame's number of atoms where one belongs, fewer or more atoms than announced, other
        columns than announced, a cell that is not nine numbers, a word that is no chemical symbol.
    """
    while (line := lines.take_text()) is not None:
        words = line.split()
        if len(words) != 1 or not words[0].isdecimal():
            lines.fail(f"{shown(line, 40)!r} is not the number of atoms that a frame of an xyz file begins with")
        n = lines.count(words[0])
        comment = lines.need("the comment line of a frame").strip()
        keys = _keys(lines, comment)
        columns = _columns(lines, keys.get("Properties", _PLAIN), "Properties" not in keys)
        cell, pbc = _cell(lines, keys)
        rows = lines.rows(n, columns.width or 4, "columns of an atom", None if columns.width else 10**6)
        lines.check_cut(rows)
        last = lines.number
        vectors = _vectors(lines)
        if vectors:
            cell = vectors + [[0.0, 0.0, 0.0]] * (3 - len(vectors))
            pbc = [k < len(vectors) for k in range(3)]
            keys = {}
        place = f"{lines.path}: the frame that ends at line {last}"
        yield lambda r=rows, c=columns, b=cell, p=pbc, k=keys, w=place: _atoms(lines, r, c, b, p, k, w)  # type: ignore[misc]


def _keys(lines: Lines, comment: str) -> dict[str, str]:
    """The keys of a comment line with their values as text; "T" without a value.

    Values stand in double or single quotes, braces or brackets, or end at the next space; a backslash keeps the
    character behind it from meaning anything.
    """
    pairs: list[list[list[str]]] = [[[]]]
    closing, escaped = "", False
    for char in comment:
        if escaped:
            pairs[-1][-1].append(char)
            escaped = False
        elif char == "\\":
            escaped = True
        elif closing:
            if char == closing:
                closing = ""
            else:
                pairs[-1][-1].append(char)
        elif char in _CLOSING:
            closing = _CLOSING[char]
        elif char.isspace():
            if pairs[-1][-1]:
                pairs.append([[]])
        elif char == "=":
            if pairs[-1] == [[]] and len(pairs) > 1:
                del pairs[-1]
            pairs[-1].append([])
        else:
            pairs[-1][-1].append(char)
    if closing and "lattice" in comment.lower():
        lines.fail(f"the comment line of the frame lacks a closing {closing}")
    found: dict[str, str] = {}
    for name, *values in pairs:
        key = "".join(name)
        if key in found and key in ("Lattice", "Properties", "pbc"):
            lines.fail(f"gives {key} twice")
        found[key] = "=".join("".join(value) for value in values) if values else "T"
    return found


def _columns(lines: Lines, properties: str, plain: bool) -> _Columns:
    words = properties.split(":")
    at: dict[str, int] = {}
    forces: tuple[str, int] | None = None
    width = 0
    for name, kind, count in zip(words[::3], words[1::3], words[2::3], strict=False):
        n = lines.whole_number(count, f"the number of columns of {shown(name, 20)}")
        if kind not in ("R", "I", "S", "L") or not 1 <= n <= 10**6 or name in at:
            lines.fail(
                f"Properties has {shown(f'{name}:{kind}:{count}', 40)!r}; name:type:columns, each once, belongs there"
            )
        wanted = {"pos": (("R", "I"), 3), "species": (("S", "I"), 1), "Z": (("I",), 1)}.get(name)
        if wanted is not None and (kind not in wanted[0] or n != wanted[1]):
            lines.fail(f"Properties has {name}:{kind}:{count}; {name}:{wanted[0][0]}:{wanted[1]} belongs there")
        if name != "type" or (kind, n) == ("I", 1):
            at[name] = width
        if name in FORCE_KEYS and kind == "R":
            if n != 3:
                lines.fail(f"Properties has {name}:{kind}:{count}; forces are {name}:R:3")
            forces = forces or (name, width)
        width += n
    if len(words) % 3 or "pos" not in at or not ({"species", "Z"} & set(at)):
        lines.fail(
            f"Properties = {shown(properties, 60)!r}; name:type:columns with pos:R:3 and species:S:1 or Z:I:1 is needed"
        )
    return _Columns(None if plain else width, at.get("species"), at.get("Z"), at["pos"], at.get("type"), forces)


def _cell(lines: Lines, keys: dict[str, str]) -> tuple[list[list[float]] | None, list[bool] | None]:
    cell = None
    if "Lattice" in keys:
        words = re.findall(r"[^\s,]+", keys["Lattice"])
        if len(words) != 9:
            lines.fail(f"Lattice has {len(words)} numbers; it must be the nine of three vectors")
        flat = lines.numbers(words, "a component of a cell vector")
        cell = [flat[0:3], flat[3:6], flat[6:9]]
    if "pbc" not in keys:
        return cell, None if cell is None else [True, True, True]
    flags = re.findall(r"[^\s,]+", keys["pbc"])
    if len(flags) not in (1, 3) or any(flag not in _TRUTH for flag in flags):
        lines.fail(f"pbc = {shown(keys['pbc'], 20)!r}; it must be three of T and F, such as 'T T F'")
    return cell, [_TRUTH[flag] for flag in flags] * (3 // len(flags))


def _vectors(lines: Lines) -> list[list[float]]:
    """Cell vectors that some programs put behind the atoms, as lines VEC1, VEC2, VEC3."""
    found: list[list[float]] = []
    while (line := lines.take()) is not None:
        if not line.lstrip().startswith("VEC"):
            lines.back(line)
            break
        words = line.split()
        if words[0] != f"VEC{len(found) + 1}" or len(words) != 4 or len(found) == 3:
            lines.fail(
                f"{shown(line, 40)!r} is no cell vector; VEC1, VEC2 and VEC3 with three numbers each may be there"
            )
        found.append(lines.numbers(words[1:], "a component of a cell vector"))
    return found


def _atoms(
    lines: Lines,
    rows: Sequence[Sequence[str]],
    columns: _Columns,
    cell: list[list[float]] | None,
    pbc: list[bool] | None,
    keys: dict[str, str],
    place: str,
) -> Any:
    from ase import Atoms
    from ase.data import atomic_numbers, chemical_symbols

    positions = lines.table(rows, [columns.position + k for k in range(3)], "a position")
    types: list[int] | None = None
    symbols: list[str] = []
    if columns.species is not None:
        words = [row[columns.species] for row in rows]
        if rows and all(word.isdecimal() for word in words):
            types, symbols = [lines.whole_number(word, "an atom type") for word in words], ["X"] * len(rows)
        else:
            symbols = [word.capitalize() for word in words]
            check_symbols(symbols, place)
    if columns.number is not None:
        numbers = [lines.whole_number(row[columns.number], "an atomic number") for row in rows]
        for number in set(numbers):
            if not 1 <= number < len(chemical_symbols):
                lines.fail_file(f"the frame that ends at line {lines.number} has the atomic number {number}")
        if columns.species is not None and types is None:
            for symbol, number in set(zip(symbols, numbers, strict=True)):
                if atomic_numbers[symbol] != number:
                    lines.fail_file(f"the frame that ends at line {lines.number} has {symbol} with Z = {number}")
        types, symbols = None, [chemical_symbols[number] for number in numbers]
    info: dict[str, Any] = {key: _value(keys[key]) for key in GROUP_KEYS if key in keys}
    info.update((key, _value(keys[key])) for key in ENERGY_KEYS if key in keys)
    info.update((key, stress) for key in STRESS_KEYS if key in keys and (stress := _stress(keys[key])) is not None)
    info.update((key, _value(text)) for key, text in keys.items() if key and key not in info and key not in _MADE)
    if "occupancy" in keys:
        info["occupancy"] = keys["occupancy"]
    atoms = Atoms(symbols=symbols, positions=positions, cell=cell, pbc=pbc, info=info)
    if types is not None:
        atoms.arrays["type"] = np.array(types, dtype=np.int64)
    elif columns.type is not None:
        kinds = [lines.whole_number(row[columns.type], "an atom type") for row in rows]
        atoms.arrays["type"] = np.array(kinds, dtype=np.int64)
    if columns.forces is not None:
        name, first = columns.forces
        atoms.arrays[name] = lines.table(rows, [first + k for k in range(3)], "a force")
    return atoms


def _stress(text: str) -> NDArray[np.float64] | None:
    """(3, 3) from nine numbers or from six in Voigt's order; None for what is neither."""
    try:
        numbers = np.array([float(word) for word in text.replace(",", " ").split()])
    except ValueError:
        return None
    return numbers[_VOIGT].reshape(3, 3) if len(numbers) == 6 else numbers.reshape(3, 3) if len(numbers) == 9 else None


def _value(text: str) -> int | float | bool | str:
    """A value as ASE reads it: groups are called as there."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return _TRUTH.get(text, text)
