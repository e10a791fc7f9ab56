"""LAMMPS text dumps: `dump atom` and `dump custom`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.structures.files.codes.units import length_of_unit
from grs_evo.structures.files.elements import check_symbols, contradicts, element_of_mass
from grs_evo.structures.files.text import Lines, shown

Table = list[list[str]]

# Columns of positions that are looked for, in this order, and whether they are fractions of the cell.
_POSITIONS = (
    (("x", "y", "z"), False),
    (("xs", "ys", "zs"), True),
    (("xu", "yu", "zu"), False),
    (("xsu", "ysu", "zsu"), True),
)
_TILTS = ("xy", "xz", "yz")
# Sections of one line that say nothing about atoms.
_ONE_LINE = ("TIME", "LABEL")


@dataclass
class _Frame:
    """What a frame says in front of its atoms."""

    n_atoms: int | None = None
    cell: NDArray[np.float64] | None = None  # (3, 3) in the dump's unit, rows are vectors
    pbc: tuple[bool, ...] = (True, True, True)


def frames(lines: Lines, named: bool) -> Iterator[Callable[[], Any]]:
    """What makes the ase.Atoms of each frame, sorted by id, with types as the array ``type`` where there are some.

    Elements are "X" where the file does not tell them, or where they are `named` by type.

    A box without boundary flags (`BOX BOUNDS` alone, of old versions of LAMMPS and other programs) is periodic.

    Raises
    ------
    InputError
        More or fewer atoms than announced, a line without its end, units without a length, columns without positions
        or elements, and all that is no number.
    """
    unit = 1.0  # Å; LAMMPS names the unit in the first frame only
    frame = _Frame()
    while (line := lines.take_text()) is not None:
        words = line.split()
        if words[0] != "ITEM:":
            announced = "" if frame.n_atoms is None else f" after the {frame.n_atoms} atoms announced"
            lines.fail(f"{shown(line, 40)!r} is no 'ITEM:' line, which belongs there{announced}")
        section = " ".join(words[1:])
        if section == "TIMESTEP":
            frame = _Frame()
            lines.whole_number(_only_word(lines, "the time step"), "a time step")
        elif section == "UNITS":
            unit = length_of_unit(_only_word(lines, "the unit"), lines)
        elif section in _ONE_LINE:
            lines.need(f"the line of ITEM: {section}")
        elif section == "NUMBER OF ATOMS":
            frame.n_atoms = lines.count(_only_word(lines, "the number of atoms"))
        elif section.startswith("BOX BOUNDS"):
            _read_box(lines, words[3:], frame)
        elif section.startswith("ATOMS"):
            if frame.n_atoms is None or frame.cell is None:
                missing = "NUMBER OF ATOMS" if frame.n_atoms is None else "BOX BOUNDS"
                lines.fail(f"atoms without 'ITEM: {missing}' in front of them")
            columns = words[2:]
            positions, scaled = _position_columns(lines, columns)
            rows = lines.rows(frame.n_atoms, len(columns), "columns of an atom")
            lines.check_end_of_line()
            place = f"{lines.path}: the frame that ends at line {lines.number}"
            yield lambda f=frame, u=unit, r=rows, c=columns, p=positions, s=scaled, w=place: _atoms(  # type: ignore[misc]
                lines, f, u, r, c, p, s, w, named
            )
            frame = _Frame()
        else:
            lines.fail(f"'ITEM: {shown(section, 40)}' is not known")
    lines.check_end_of_line()
    if frame.n_atoms is not None:
        lines.fail(f"the file ends before the {frame.n_atoms} atoms announced; it is cut")


def _only_word(lines: Lines, what: str) -> str:
    words = lines.need(what).split()
    if len(words) != 1:
        lines.fail(f"{what} belongs there, alone")
    return words[0]


def _read_box(lines: Lines, labels: Sequence[str], frame: _Frame) -> None:
    """The cell as ASE makes it of the bounds, which enclose a tilted box."""
    general = labels[:2] == ["abc", "origin"]
    tilted = not general and len(labels) >= 3 and set(labels[:3]) == set(_TILTS)
    flags = labels[2:] if general else labels[3:] if tilted else labels
    if flags and (len(flags) != 3 or any(set(flag) - set("pfsm") or len(flag) > 2 for flag in flags)):
        lines.fail(
            f"{shown(' '.join(labels), 40)!r} are no boundary flags; three such as 'pp pp pp' belong there (p periodic,"
            " f fixed, s shrink-wrapped, m the same with a minimum)"
        )
    rows: list[list[float]] = []
    for _ in range(3):
        words = lines.need("a line of the box").split()
        wanted = (4,) if general else (3,) if tilted else (2, 3)
        if len(words) not in wanted or (rows and len(words) != len(rows[0])):
            lines.fail(f"has {len(words)} numbers where the bounds of the box need {wanted[0]}")
        rows.append(lines.numbers(words, "a bound of the box"))
    data = np.array(rows)
    frame.pbc = tuple("p" in flag for flag in flags) if flags else (True, True, True)
    if general:
        frame.cell = data[:, :3].copy()  # ASE leaves the origin out, too
        return
    (xlo, xhi), (ylo, yhi), (zlo, zhi) = data[:, :2]
    if min(xhi - xlo, yhi - ylo, zhi - zlo) <= 0.0:
        lines.fail("the box is empty: an upper bound is not above the lower one")
    xy = xz = yz = np.float64(0.0)
    if data.shape[1] == 3:
        tilt = dict(zip(labels[:3] if tilted else _TILTS, data[:, 2], strict=True))
        xy, xz, yz = (tilt[name] for name in _TILTS)
    frame.cell = np.array(
        [[(xhi - xlo) - abs(xy) - abs(xz), 0, 0], [xy, (yhi - ylo) - abs(yz), 0], [xz, yz, zhi - zlo]]
    )


def _position_columns(lines: Lines, columns: Sequence[str]) -> tuple[list[int], bool]:  # noqa: RET503
    """Where the positions stand, and whether they are fractions of the cell."""
    twice = [name for name in columns if columns.count(name) > 1]
    if twice:
        lines.fail(f"names the column {twice[0]} twice")
    for names, scaled in _POSITIONS:
        present = [name in columns for name in names]
        if all(present):
            return [columns.index(name) for name in names], scaled
        if present[0]:
            lines.fail(f"has the column {names[0]} without {' and '.join(names[1:])}")
    lines.fail("has no columns of positions; x y z, xs ys zs, xu yu zu or xsu ysu zsu must be there")


def _atoms(
    lines: Lines,
    frame: _Frame,
    unit: float,
    rows: Table,
    columns: Sequence[str],
    positions: Sequence[int],
    scaled: bool,
    place: str,
    named: bool,
) -> Any:
    from ase import Atoms

    found = lines.table(rows, positions, "a position")
    if "id" in columns:
        order = np.argsort(_whole(lines, rows, columns.index("id"), "an atom's id"))
        rows, found = [rows[k] for k in order], found[order]
    symbols, types = _species(lines, rows, columns, place, named)
    where = {"scaled_positions": found} if scaled else {"positions": found * unit}
    atoms = Atoms(symbols=symbols, cell=np.asarray(frame.cell) * unit, pbc=frame.pbc, **where)
    if types is not None:
        atoms.arrays["type"] = types
    return atoms


def _species(
    lines: Lines, rows: Table, columns: Sequence[str], place: str, named: bool
) -> tuple[list[str], NDArray[np.int64] | None]:
    """Chemical symbols, "X" where only types are known, and the types."""
    types = None
    label = next((columns.index(name) for name in ("element", "typelabel") if name in columns), None)
    if "type" in columns:
        column = columns.index("type")
        if all(row[column].lstrip("+-").isdecimal() for row in rows):
            types = _whole(lines, rows, column, "an atom's type")
        elif label is None:
            label = column
    if named and types is not None:
        return ["X"] * len(rows), types
    symbols = None if label is None else [row[label] for row in rows]
    if symbols is not None and types is not None and columns[label or 0] == "typelabel":
        symbols = None if _are_no_symbols(symbols) else symbols
    if symbols is not None:
        check_symbols(symbols, place)
    if "mass" in columns:
        masses = lines.table(rows, [columns.index("mass")], "a mass")[:, 0].tolist()
        if symbols is None:
            heavy = [element_of_mass(mass) for mass in masses]
            symbols = None if None in heavy else [str(symbol) for symbol in heavy]
        else:
            for symbol, mass in dict.fromkeys(zip(symbols, masses, strict=True)):
                other = contradicts(symbol, mass)
                if other is not None:
                    lines.fail(
                        f"the frame that ends here has {symbol} with the mass {mass:g} of {other}; elements and masses"
                        " must agree, or give the element of each type (--types)"
                    )
    if symbols is None and types is None:
        lines.fail("the frame that ends here has no column element, mass or type that tells what its atoms are")
    return symbols or ["X"] * len(rows), types


def _are_no_symbols(words: Sequence[str]) -> bool:
    from ase.data import atomic_numbers

    return any(atomic_numbers.get(word, 0) == 0 for word in set(words))


def _whole(lines: Lines, rows: Table, column: int, what: str) -> NDArray[np.int64]:
    for word in {row[column] for row in rows}:
        lines.whole_number(word, what)
    return np.array([int(row[column]) for row in rows], dtype=np.int64)
