"""CIF: sites and symmetry operations into structures, compared with what else the file says of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.structures.files.cif.symmetry import OPERATIONS, possible_symmetries
from grs_evo.structures.files.cif.text import Block, Word, blocks
from grs_evo.structures.files.occupancy import Occupants, check_site
from grs_evo.structures.files.text import Lines, shown

_CELL = (
    "_cell_length_a", "_cell_length_b", "_cell_length_c", "_cell_angle_alpha", "_cell_angle_beta", "_cell_angle_gamma",
)  # fmt: skip
_FRACTIONAL = ("_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z")
_CARTESIAN = ("_atom_site_cartn_x", "_atom_site_cartn_y", "_atom_site_cartn_z")
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(\(\d+\))?")
# Sites nearer than this, in fractions of the cell, are one; as ASE takes them.
_SAME_SITE = 1e-3


class _Sites(NamedTuple):
    """The sites of a block as the file lists them, those of one place together."""

    symbols: list[str]
    labels: list[str]
    coordinates: NDArray[np.float64]  # (n, 3)
    fractional: bool
    cell: list[float] | None  # a b c α β γ, Å and degrees
    occupancies: list[float]


def frames(lines: Lines, named: bool, sites: bool) -> Iterator[Callable[[], Any]]:
    """What makes the ase.Atoms of each block that lists atoms.

    Parameters
    ----------
    sites : the atoms stand for the sites of a lattice, which several elements may share

    Raises
    ------
    InputError
        A mixed or partly occupied site; a space group whose setting is not told and would matter, or that does not fit
        the cell; other atoms than the file's formula and number of formula units give; what is not whole.
    """
    found = blocks(lines)
    for block in found[-1:]:
        _check_cut(lines, block)
    for block in found:
        if any(tag in block.loops or tag in block.items for tag in (*_FRACTIONAL, *_CARTESIAN)):
            yield lambda one=block: _atoms(lines, one, sites)  # type: ignore[misc]


def _atoms(lines: Lines, block: Block, sites: bool) -> Any:
    source = f"{lines.path}: data_{shown(block.name, 30)}"
    found = _sites(lines, block)
    _check_occupations(found, source, sites)
    tags: dict[str, Any] = {"_atom_site_type_symbol": found.symbols}
    names = _FRACTIONAL if found.fractional else _CARTESIAN
    tags |= {name: found.coordinates[:, k].tolist() for k, name in enumerate(names)}
    if found.cell is None:
        from ase.io.cif import CIFBlock

        return CIFBlock(block.name, tags).get_unsymmetrized_structure()
    tags |= dict(zip(_CELL, found.cell, strict=True))
    announced = None if sites else _announced(block, source)
    made = []
    for symmetry in possible_symmetries(lines, block, found.cell, source):
        atoms = _expanded(block, tags | symmetry.tags, symmetry.name, source, sites)
        problem = _differs(atoms, announced)
        if problem is None:
            made.append((symmetry.name, atoms))
        else:
            refused = (symmetry.name, problem)
    if not made:
        raise InputError(f"{source}: {refused[1]}; its symmetry was taken as {refused[0]}, list the operations")
    if len(made) > 1:
        told = " or ".join(name for name, _ in made)
        raise InputError(
            f"{source}: the space group may be {told}: its setting (origin, axes) is not told, and the atoms differ by"
            f" it; list the symmetry operations ({OPERATIONS[0]}), or name the setting"
        )
    return made[0][1]


def _check_cut(lines: Lines, block: Block) -> None:
    """Refuse a file that ends inside a number of its last site."""
    columns = list(block.loops.values())
    last = max((word.line for word in (*block.items.values(), *(column[-1] for column in columns))), default=0)
    ending = [column for column in columns if column[-1].line == last]
    lines.number = last
    if ending and not ending[-1][-1].quoted:
        lines.check_cut([[word.text] for word in ending[-1]])


def _sites(lines: Lines, block: Block) -> _Sites:
    columns = [block.many(tag) for tag in _FRACTIONAL]
    fractional = all(column is not None for column in columns)
    if not fractional:
        columns = [block.many(tag) for tag in _CARTESIAN]
    if any(column is None for column in columns):
        lines.number = block.line
        lines.fail("the block has not all three coordinates of its atoms")
    table = [column for column in columns if column is not None]
    labels = block.many("_atom_site_label", "_atom_site_type_symbol")
    kinds = block.many("_atom_site_type_symbol")
    n = len(table[0])
    if labels is None or any(len(column) != n for column in (*table, labels, kinds or labels)):
        lines.number = table[0][0].line
        lines.fail("the atoms have no _atom_site_label or _atom_site_type_symbol in the loop of their coordinates")
    coordinates = np.array([[_number(lines, column[k], "a coordinate") for column in table] for k in range(n)])
    symbols = [_symbol(lines, word, kinds is not None) for word in (kinds or labels)]
    shares = block.many("_atom_site_occupancy")
    occupancies = [1.0] * n
    if shares is not None:
        if len(shares) != n:
            lines.number = shares[0].line
            lines.fail("occupancies are not in the loop of the atoms")
        occupancies = [1.0 if word.text in (".", "?") else _number(lines, word, "an occupancy") for word in shares]
    given = [block.one(tag) for tag in _CELL]
    cell = None
    if any(given):
        if not all(given):
            lines.number = block.line
            lines.fail("the block has not all six numbers of its cell")
        cell = [_number(lines, word, "a cell length or angle") for word in given if word is not None]
        if min(cell) <= 0.0:
            lines.number = block.line
            lines.fail(f"the cell has {min(cell):g} as a length or angle; all must be above 0")
    return _Sites(symbols, [word.text for word in labels], coordinates, fractional, cell, occupancies)


def _number(lines: Lines, word: Word, what: str) -> float:
    match = _NUMBER.fullmatch(word.text.strip())
    if match is None:
        lines.number = word.line
        lines.fail(f"{shown(word.text, 30)!r} is no number; {what} belongs there")
    return float(match[1])


def _symbol(lines: Lines, word: Word, is_type: bool) -> str:
    """The element of a site, by its type (Cu, CU, Cu2+) or else its label (Cu1)."""
    from ase.data import atomic_numbers

    letters = (re.match(r"[A-Za-z]*", word.text) or [""])[0]
    known = [letters] if letters in atomic_numbers or letters == "D" else []
    if not known and is_type and letters.capitalize() in atomic_numbers:
        known = [letters.capitalize()]
    if not known and not (len(letters) > 1 and letters.isupper()):
        match = re.match(r"[A-Z][a-z]?", letters)
        known = [match[0]] if match and match[0] in atomic_numbers else []
    if not known or known[0] == "X":
        lines.number = word.line
        lines.fail(
            f"{shown(word.text, 20)!r} tells no element; _atom_site_type_symbol must give each site's, such as Cu"
        )
    return "H" if known[0] == "D" else known[0]


def _check_occupations(found: _Sites, source: str, sites: bool) -> None:
    """Refuse sites that several elements share or that are filled in part, also where no occupancy says so."""
    partial = any(abs(share - 1.0) > 1e-3 for share in found.occupancies)
    place = found.coordinates
    if not found.fractional:
        if partial:
            k = next(k for k, share in enumerate(found.occupancies) if abs(share - 1.0) > 1e-3)
            check_site(
                {found.symbols[k]: found.occupancies[k]},
                f"site {found.labels[k]}",
                tuple(place[k].tolist()),
                source,
                sites,
            )
        return
    for group in _same_places(place):
        kinds = {found.symbols[k] for k in group}
        if len(kinds) == 1 and all(abs(found.occupancies[k] - 1.0) <= 1e-3 for k in group):
            continue
        shares: Occupants = {}
        for k in group:
            shares[found.symbols[k]] = shares.get(found.symbols[k], 0.0) + found.occupancies[k]
        name = "site " + " and ".join(found.labels[k] for k in group)
        check_site(shares, name, tuple(place[group[0]].tolist()), source, sites)


def _same_places(fractional: NDArray[np.float64]) -> list[list[int]]:
    """Sites grouped by place, periodic images included."""
    first = _first_at(fractional)
    groups: dict[int, list[int]] = {}
    for k, one in enumerate(first.tolist()):
        groups.setdefault(one, []).append(k)
    return list(groups.values())


def _tree(fractional: NDArray[np.float64]) -> tuple[Any, NDArray[np.float64]]:
    from scipy.spatial import cKDTree

    wrapped = fractional % 1.0
    wrapped[wrapped >= 1.0] = 0.0  # tiny negative numbers
    return cKDTree(wrapped, boxsize=1.0), wrapped


def _first_at(fractional: NDArray[np.float64]) -> NDArray[np.int64]:
    """The first site at the place of each."""
    tree, wrapped = _tree(fractional)
    first = np.arange(len(fractional))
    for a, b in sorted(tree.query_pairs(_SAME_SITE, p=np.inf)):
        difference = wrapped[a] - wrapped[b]
        difference -= np.rint(difference)
        if (np.abs(difference) < _SAME_SITE).all():
            first[b] = min(first[b], first[a])
    return first


def _expanded(block: Block, tags: Mapping[str, Any], symmetry: str, source: str, sites: bool) -> Any:
    """The atoms that the operations make of the sites, in the order and with the bits of ASE, in linear time."""
    from ase import Atoms
    from ase.io.cif import CIFBlock

    one = CIFBlock(block.name, dict(tags))
    listed: Any = one.get_unsymmetrized_structure()
    try:
        group: Any = one.get_spacegroup(True)
        operations = group.get_symop()
    except Exception:
        raise InputError(
            f"{source}: the symmetry {shown(symmetry, 60)} cannot be made out; list the operations ({OPERATIONS[0]})"
        ) from None
    rotations = np.array([rotation for rotation, _ in operations])
    shifts = np.array([shift for _, shift in operations])
    orbits = [_orbit(((rotations @ point) + shifts % 1.0) % 1.0) for point in listed.get_scaled_positions()]
    kept = _distinct(listed.get_scaled_positions(), orbits, [] if sites else listed.get_chemical_symbols(), source)
    symbols = [listed.symbols[k] for k in kept for _ in orbits[k]]
    return Atoms(symbols, scaled_positions=np.concatenate([orbits[k] for k in kept]), cell=listed.cell, pbc=True)


def _orbit(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """The images of a site that differ, in order."""
    orbit = [images[0]]
    for image in images[1:]:
        difference = image - orbit
        difference -= np.rint(difference)
        if not (np.abs(difference) < _SAME_SITE).all(axis=1).any():
            orbit.append(image)
    return np.array(orbit)


def _distinct(
    points: NDArray[np.float64], orbits: Sequence[NDArray[np.float64]], symbols: Sequence[str], source: str
) -> list[int]:
    """The sites that are no image of one before; InputError for an image with another element."""
    owners = np.repeat(np.arange(len(orbits)), [len(orbit) for orbit in orbits])
    images = np.concatenate(orbits)
    tree, wrapped = _tree(images)
    own = points % 1.0
    own[own >= 1.0] = 0.0
    kept = np.ones(len(points), dtype=bool)
    for k, near in enumerate(tree.query_ball_point(own, _SAME_SITE, p=np.inf)):
        difference = own[k] - wrapped[near]
        difference -= np.rint(difference)
        at = owners[near][(np.abs(difference) < _SAME_SITE).all(axis=1)]
        before = [int(j) for j in np.unique(at) if j < k and kept[j]]
        if not before:
            continue
        kept[k] = False
        if symbols and symbols[before[0]] != symbols[k]:
            place = ", ".join(f"{x:.4g}" for x in points[k])
            raise InputError(
                f"{source}: the site at ({place}) is shared by {symbols[before[0]]} and {symbols[k]}: by symmetry they"
                " are at one place; draw an ordered structure, or make a random alloy the target (target.alloy)"
            )
    return [int(k) for k in np.flatnonzero(kept)]


class _Announced(NamedTuple):
    """What a file says about the atoms of its cell."""

    formula: dict[str, float]
    units: int | None


def _announced(block: Block, source: str) -> _Announced | None:
    word = block.one("_chemical_formula_sum")
    if word is None:
        return None
    formula: dict[str, float] = {}
    for part in word.text.replace(",", " ").split():
        match = re.fullmatch(r"([A-Z][a-z]?)(\d*\.?\d*)", part)
        if match is None:
            return None  # free text
        symbol = "H" if match[1] == "D" else match[1]
        formula[symbol] = formula.get(symbol, 0.0) + float(match[2] or 1)
    units = block.one("_cell_formula_units_z")
    if units is None:
        return _Announced(formula, None)
    if not units.text.isdecimal() or int(units.text) == 0:
        raise InputError(f"{source}: _cell_formula_units_Z is {shown(units.text, 20)!r}; it must be a whole number")
    return _Announced(formula, int(units.text))


def _differs(atoms: Any, announced: _Announced | None) -> str | None:
    """How atoms differ from the formula of the file, whether that is the cell's or a formula unit's."""
    if announced is None or not announced.formula:
        return None
    symbols = atoms.get_chemical_symbols()
    counts = {symbol: symbols.count(symbol) for symbol in dict.fromkeys(symbols)}
    formula = announced.formula
    if set(counts) == set(formula) and announced.units is None:
        ratios = {symbol: counts[symbol] / formula[symbol] for symbol in counts}
        if max(ratios.values()) - min(ratios.values()) <= 1e-3 * max(ratios.values()):
            return None
    if announced.units is not None:
        for factor in (announced.units, 1):
            if set(counts) == set(formula) and all(abs(formula[s] * factor - counts[s]) < 0.02 for s in counts):
                return None
    told = " ".join(f"{symbol}{x:g}" for symbol, x in formula.items())
    got = " ".join(f"{symbol}{n}" for symbol, n in counts.items())
    units = "" if announced.units is None else f" with {announced.units} formula units per cell"
    return f"announces {told}{units}, but its sites and symmetry make {got}"
