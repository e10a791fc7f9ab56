"""Space groups, conventional cells and rotations, by spglib."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.structures.structure import Structure, formula_of

Matrix = NDArray[np.int64]


def ask_spglib(
    name: str, cell: NDArray[np.float64], sites: NDArray[np.float64], kinds: NDArray[np.integer] | None, **options: Any
) -> Any:
    """A call of spglib that returns None when nothing is found, in old versions and in new ones that raise or warn.

    The one place that calls spglib for a structure.

    Parameters
    ----------
    name : of the function of spglib
    cell : (3, 3) Å, rows are the vectors
    sites : (n, 3) fractional
    kinds : (n,) what stands on the sites; None: the same everywhere
    """
    import spglib

    # spglib ends the process, or never ends, on numbers that are not finite
    if not (np.isfinite(cell).all() and np.isfinite(sites).all()):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return getattr(spglib, name)((cell, sites, np.ones(len(sites), int) if kinds is None else kinds), **options)
        except Exception:  # SpglibError has no base class of its own in all versions
            return None


def conventional(
    cell: NDArray[np.float64], sites: NDArray[np.float64], cubic: bool, symprec: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Conventional (or primitive) cell and fractional sites of the lattice under some sites, whoever sits there."""
    found = ask_spglib(
        "standardize_cell", cell, sites, None, to_primitive=not cubic, no_idealize=False, symprec=symprec
    )
    return None if found is None else (np.asarray(found[0], np.float64), np.asarray(found[1], np.float64) % 1.0)


def rotations(cell: NDArray[np.float64], sites: NDArray[np.float64], kinds: NDArray[np.int64] | None = None) -> Matrix:
    """Rotation parts (k, 3, 3) of the parent's space group, acting on ROWS of integer lattice vectors: H → H R."""
    symmetry = ask_spglib("get_symmetry", cell, sites, kinds, symprec=1e-4)
    if symmetry is None:
        raise InputError("parent cell: spglib finds no symmetry operations; check cell and positions [Å]")
    unique = np.unique(np.asarray(symmetry["rotations"], np.int64), axis=0)
    # spglib's rotations act on column vectors of fractional coordinates.
    return np.ascontiguousarray(unique.transpose(0, 2, 1))


# Tolerance of the space group, Å.
SYMPREC = 0.01
# Those counted before; structures do not change.
_displacements: WeakKeyDictionary[Structure, int] = WeakKeyDictionary()


def n_displacements(structure: Structure) -> int:
    """Displacements of single atoms from which symmetry gives all others: the calculations that phonons need.

    For each atom that no operation maps onto an earlier one as many directions, one to three, as its site's operations
    need to fill space. Without symmetry, or a period in all directions, they are 3 for each atom.
    """
    known = _displacements.get(structure)
    if known is None:
        known = _displacements[structure] = _counted(structure)
    return known


def _counted(structure: Structure) -> int:
    all_ = 3 * structure.n_atoms
    if not structure.pbc.all():
        return all_
    scaled = structure.positions @ np.linalg.inv(structure.cell)
    found = ask_spglib("get_symmetry", structure.cell, scaled, structure.species + 1, symprec=SYMPREC)
    if found is None:
        return all_
    turns = np.asarray(found["rotations"], np.float64)
    if len(turns) == 1:
        return all_
    images = np.einsum("oij,kj->oki", turns, scaled) + np.asarray(found["translations"])[:, None]
    gaps = images[:, :, None] - scaled[None, None]
    at = np.linalg.norm((gaps - np.rint(gaps)) @ structure.cell, axis=-1).argmin(-1)  # (n_op, n)
    total = 0
    for atom in np.flatnonzero(at.min(axis=0) == np.arange(structure.n_atoms)).tolist():
        own = turns[at[:, atom] == atom]
        # what a direction without any symmetry of its own becomes, and another one
        ranks = [np.linalg.matrix_rank(np.concatenate(own @ _DIRECTIONS[:, :k], axis=1), tol=1e-6) for k in (1, 2)]
        total += 1 if ranks[0] == 3 else 2 if ranks[1] == 3 else 3
    return total


# Two directions in general position.
_DIRECTIONS = np.array([[0.619, 0.283], [0.331, -0.571], [0.137, 0.877]])


def formula(structure: Structure, elements: Sequence[str]) -> str:
    """The structure's formula; see `formula_of`."""
    return formula_of(structure.counts(len(elements)), elements)


def symmetry(structure: Structure, elements: Sequence[str]) -> tuple[str, str] | None:
    """Space group and formula unit, e.g. ``("Pm-3m (221)", "Cu3Au")``; None for what is no crystal, or not told."""
    if not structure.pbc.all():
        return None
    scaled = np.asarray(np.linalg.solve(structure.cell.T, structure.positions.T).T, np.float64)
    found = ask_spglib("get_spacegroup", structure.cell, scaled, structure.species + 1, symprec=SYMPREC)
    if found is None:
        return None
    counts = structure.counts(len(elements))
    return str(found), formula_of(counts // np.gcd.reduce(counts), elements)


def space_group(structure: Structure, elements: Sequence[str]) -> tuple[str, str] | None:
    """Formula unit and space group, e.g. ``("Cu3Au", "Pm-3m")``; None without symmetry beyond that of the lattice."""
    found = symmetry(structure, elements)
    if found is None or found[0].startswith("P1 "):
        return None
    return found[1], found[0].partition(" ")[0]


# Names of before 1992, with the glide plane e called by one of its two.
_OLD_NAMES = {
    "abm2": "aem2", "aba2": "aea2", "cmca": "cmce", "ccmb": "ccme", "abma": "aema", "acam": "aeam", "bbcm": "bbem",
    "bmab": "bmeb", "cmma": "cmme", "ccca": "ccce",
}  # fmt: skip


def _look_up(name: str, hall_number: int) -> Any:
    """What spglib knows of a setting."""
    import spglib

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return getattr(spglib, name)(hall_number)


class Setting(NamedTuple):
    """One of the 530 settings of the 230 space groups, after Hall."""

    hall_number: int
    number: int
    name: str  # Hermann-Mauguin, with the choice of origin or axes
    names: frozenset[str]  # under which it is known, without spaces, in lower case
    hall: str
    choice: str  # "1" or "2": origin; "H" or "R": hexagonal or rhombohedral axes; else axes and cell
    standard: bool  # the first of its number: what ASE takes a number for


@lru_cache(maxsize=1)
def all_settings() -> tuple[Setting, ...]:
    """All settings, by Hall number."""
    found: list[Setting] = []
    seen: set[int] = set()
    for hall_number in range(1, 531):
        one = _look_up("get_spacegroup_type", hall_number)
        get: Callable[[str], Any] = one.get if isinstance(one, dict) else partial(getattr, one)  # dict: old versions
        number, choice = int(get("number")), str(get("choice"))
        parts = [str(get("international_full")), *str(get("international")).split("=")]
        if choice in ("", "1", "2", "H", "R") or number not in seen:
            parts.append(str(get("international_short")))
        names = {_compact(part) for part in parts} | {_compact(part, True) for part in parts}
        names |= {old for old, new in _OLD_NAMES.items() if new in names}
        names |= {name[0] + name[1:].replace("-3", "3") for name in names if "-3" in name[2:]}
        full = str(get("international")).split("=")[-1].strip()
        name = f"{full}{f' :{choice}' if choice in ('1', '2', 'H', 'R') else ''}"
        found.append(
            Setting(hall_number, number, name, frozenset(names), str(get("hall_symbol")), choice, number not in seen)
        )
        seen.add(number)
    return tuple(found)


def _compact(name: str, short: bool = False) -> str:
    """A Hermann-Mauguin name without spaces and underscores, in lower case; `short`: without the 1 of bare axes."""
    words = name.replace("_", "").split()
    if short and len(words) == 4:
        words = [words[0], *(word for word in words[1:] if word != "1")]
    return "".join(words).lower()


@lru_cache(maxsize=64)
def operations_of(hall_number: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rotations (k, 3, 3), acting on columns of fractional coordinates, and translations (k, 3) of a setting."""
    found = _look_up("get_symmetry_from_database", hall_number)
    return np.asarray(found["rotations"], np.int64), np.asarray(found["translations"], np.float64)
