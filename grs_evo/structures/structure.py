"""`ase.Atoms` into bare arrays and back: the form in which a structure travels through the program."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as _replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError, WrongType, nearest, type_of

# The element of a site without an atom, as ase and icet call it; ATAT and VASP's users write Va.
VACANCY = "X"
# Cells whose volume is below this share of the product of their edges are taken for singular.
_FLAT_CELL = 1e-8
# Å; a periodic cell vector below is a wrong unit, or a wrong file.
_SHORTEST = 0.1
# Å; a cell vector or position beyond is no structure's, and its square or volume may not be a number.
_FARTHEST = 1e15


@dataclass(frozen=True, eq=False)
class Structure:
    """Atoms in a cell, as arrays that are never written to."""

    positions: NDArray[np.float64]  # (n_atoms, 3) Å
    cell: NDArray[np.float64]  # (3, 3) Å, ROWS are the lattice vectors
    species: NDArray[np.int32]  # (n_atoms,) index into the basis's elements
    pbc: NDArray[np.bool_]  # (3,) periodic along each lattice vector

    def __post_init__(self) -> None:
        for name, dtype in (("positions", np.float64), ("cell", np.float64), ("species", np.int32), ("pbc", np.bool_)):
            array = np.ascontiguousarray(getattr(self, name), dtype=dtype)
            if array.flags.writeable:
                array = array.copy()
                array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def n_atoms(self) -> int:
        return len(self.species)

    @property
    def volume(self) -> float:
        """Cell volume in Å³."""
        return float(abs(np.linalg.det(self.cell)))

    def replace(self, **changes: Any) -> Structure:
        """A copy with some arrays exchanged."""
        return _replace(self, **changes)

    def counts(self, n_elements: int) -> NDArray[np.int64]:
        """Number of atoms per element, (n_elements,)."""
        return np.bincount(self.species, minlength=n_elements)


# What code from outside has to give as a structure, in words.
SOUND = "a Structure with finite positions and cell, and species that count in the elements"


def is_sound(given: Any, n_elements: int) -> bool:
    """Whether something is a structure that compiled code can be given."""
    if not isinstance(given, Structure):
        return False
    n = given.n_atoms
    shapes = given.positions.shape == (n, 3) and given.cell.shape == (3, 3) and given.pbc.shape == (3,)
    if not (shapes and n > 0 and given.species.shape == (n,)):
        return False
    finite = np.isfinite(given.positions).all() and np.isfinite(given.cell).all()
    return bool(finite and given.species.min() >= 0 and given.species.max() < n_elements)


def with_species(structure: Structure, species: NDArray[np.int32]) -> Structure:
    """`replace(species=…)` without its checks and copies, for a new array (n_atoms,) that nobody writes to again."""
    species.flags.writeable = False
    made = object.__new__(Structure)
    made.__dict__.update(structure.__dict__, species=species)
    return made


def is_atoms(value: Any) -> bool:
    """Whether a value is, or can stand for, `ase.Atoms`: pymatgen's structures and molecules can."""
    return hasattr(value, "to_ase_atoms") or (
        hasattr(value, "get_chemical_symbols") and hasattr(value, "get_positions")
    )


def ase_of(value: Any, source: str = "structure") -> Any:
    """What can stand for `ase.Atoms` as such; all else as it is.

    Raises
    ------
    InputError
        A structure of pymatgen whose sites several elements share.
    """
    if not hasattr(value, "to_ase_atoms"):
        return value
    try:
        return value.to_ase_atoms()
    except ValueError as error:
        raise InputError(f"{source}: cannot be turned into ase.Atoms ({' '.join(str(error).split())})") from None


def as_structure(given: Any, elements: Sequence[str], call: str, source: str = "structure") -> Structure:
    """A Structure as it is, `ase.Atoms` turned into one; see `from_atoms`.

    For functions that hand it on to others that check it; see `checked_structure`.

    Parameters
    ----------
    call : how messages name the function that needs it

    Raises
    ------
    WrongType
        It is neither.
    """
    if isinstance(given, Structure):
        return given
    if not is_atoms(given):
        raise WrongType(f"{call}: {source} is {type_of(given)}; it must be ase.Atoms or a Structure")
    return from_atoms(given, elements, source)


def from_atoms(atoms: Any, elements: Sequence[str], source: str = "structure") -> Structure:
    """Check an `ase.Atoms` and turn it into arrays.

    Parameters
    ----------
    atoms : ase.Atoms, or a structure of pymatgen
    elements : element symbols of the basis, in its order
    source : how error messages call the structure, e.g. ``"liquid.extxyz[0]"``

    Raises
    ------
    InputError
        No ase.Atoms, no atoms, NaN positions, a periodic direction without a cell vector, a singular cell, or an
        element that is not in `elements`.
    """
    atoms = ase_of(atoms, source)
    if not hasattr(atoms, "get_chemical_symbols"):
        given = f"{type(atoms).__name__} {str(atoms)[:40]!r}"
        raise InputError(f"{source}: is a {given}; it must be ase.Atoms, such as ase.io.read gives, or a Structure")
    try:
        symbols = atoms.get_chemical_symbols()
    except IndexError:
        raise InputError(f"{source}: has the atomic number {max(atoms.numbers, key=abs)}; no element has it") from None
    if not symbols:
        raise InputError(f"{source}: holds no atoms; a structure needs at least one")
    index = {symbol: k for k, symbol in enumerate(elements)}
    for symbol in symbols:
        if symbol not in index:
            raise InputError(
                f"{source}: element {symbol} is not in the basis; its elements are {', '.join(elements)}"
                + nearest(symbol, elements)
            )
    positions = np.asarray(atoms.get_positions(), dtype=np.float64)
    if not np.isfinite(positions).all():
        atom = int(np.argwhere(~np.isfinite(positions))[0, 0])
        raise InputError(f"{source}: the position of atom {atom} is {positions[atom]} Å; it must be finite")
    if positions.max() > _FARTHEST or positions.min() < -_FARTHEST:
        raise InputError(f"{source}: a position is {np.abs(positions).max():.1e} Å; at most {_FARTHEST:g} Å is allowed")
    pbc = np.asarray(atoms.get_pbc(), dtype=bool)
    cell = checked_cell(np.asarray(atoms.cell[:], dtype=np.float64), pbc, source)
    return Structure(positions, cell, np.array([index[s] for s in symbols], dtype=np.int32), pbc)


def checked_structure(
    structure: Any, elements: Sequence[str], source: str = "structure", *, positions: bool = True
) -> Structure:
    """A `Structure` or `ase.Atoms` as a Structure whose arrays are known to be sound.

    Unlike `as_structure` it looks at a Structure as well: for the border in front of compiled code.

    Parameters
    ----------
    positions : whether to look at those of a Structure, too; what wraps them into the cell does so itself

    Raises
    ------
    InputError
        No atoms, an element the basis does not know, positions that are not finite, or a singular cell.
    """
    if not isinstance(structure, Structure):
        return from_atoms(structure, elements, source)
    if structure.n_atoms == 0:
        raise InputError(f"{source}: holds no atoms; a structure needs at least one")
    if structure.species.view(np.uint32).max() >= len(elements):  # one below 0 is a large one so
        low, high = int(structure.species.min()), int(structure.species.max())
        raise InputError(
            f"{source}: species index {low if low < 0 else high} is not in the basis; "
            f"its {len(elements)} elements are {', '.join(elements)}"
        )
    # one sum tells of any number that is not finite (or of one that overflows), much faster than a look at each
    if positions and not np.isfinite(structure.positions.sum()):
        check_finite(structure.positions, source)
    checked_cell(structure.cell, structure.pbc, source)
    return structure


def check_finite(positions: NDArray[np.float64], source: str) -> None:
    """Raise InputError, naming the first atom whose position is not finite."""
    if not np.isfinite(positions).all():
        atom = int(np.argwhere(~np.isfinite(positions))[0, 0])
        raise InputError(f"{source}: the position of atom {atom} is {positions[atom]} Å; it must be finite")


def checked_cell(cell: NDArray[np.float64], pbc: NDArray[np.bool_], source: str) -> NDArray[np.float64]:
    """The cell, with missing vectors of non-periodic directions filled in by unit vectors normal to the others."""
    if _is_roomy(cell):
        return cell
    if not np.isfinite(cell).all():
        raise InputError(f"{source}: the cell holds {cell[~np.isfinite(cell)][0]} Å; its entries must be finite")
    if np.abs(cell).max() > _FARTHEST:
        raise InputError(f"{source}: the cell holds {np.abs(cell).max():.1e} Å; at most {_FARTHEST:g} Å is allowed")
    lengths = np.linalg.norm(cell, axis=1)
    for axis in range(3):
        if pbc[axis] and lengths[axis] == 0.0:
            raise InputError(f"{source}: is periodic along axis {'abc'[axis]} but has no cell vector there (0 Å)")
    if (lengths == 0.0).any():
        import ase.geometry

        complete: Any = ase.geometry.complete_cell
        cell = np.asarray(complete(cell), dtype=np.float64)
        lengths = np.linalg.norm(cell, axis=1)
    flatness = abs(np.linalg.det(cell)) / np.prod(lengths)
    for axis in range(3):
        if pbc[axis] and lengths[axis] < _SHORTEST:
            raise InputError(
                f"{source}: cell vector {'abc'[axis]} is {lengths[axis]:.3g} Å long, so that atoms would lie on their "
                f"own images; at least {_SHORTEST:g} Å is needed (positions and cells are in Å)"
            )
    if flatness < _FLAT_CELL:
        raise InputError(
            f"{source}: the cell is singular (volume over product of edges {flatness:.1e});"
            " its vectors must not lie in one plane"
        )
    return cell


def _is_roomy(cell: NDArray[np.float64]) -> bool:
    """Whether a cell is far from all limits of `checked_cell`, without NumPy: a tenth of its time."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = cell.tolist()
    volume = ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)
    a, b, c = math.hypot(ax, ay, az), math.hypot(bx, by, bz), math.hypot(cx, cy, cz)
    # comparisons with NaN are false
    return (
        min(a, b, c) > 2.0 * _SHORTEST and max(a, b, c) < 0.5 * _FARTHEST and abs(volume) > 2.0 * _FLAT_CELL * a * b * c
    )


def formula_of(counts: NDArray[np.integer], elements: Sequence[str]) -> str:
    """Counts of atoms per element in the basis's order, as everywhere in grs_evo: ``"Au8Cu24"``, ``"Fe5Cr"``."""
    return "".join(f"{e}{n if n > 1 else ''}" for e, n in zip(elements, counts, strict=True) if n)


def lacks_cell(structure: Structure) -> bool:
    """Whether nothing was known of a structure's cell: what `checked_cell` then fills in bounds nothing."""
    return not structure.pbc.any() and bool((structure.cell == np.eye(3)).all())


def to_atoms(structure: Structure, elements: Sequence[str]) -> Any:
    """The structure as `ase.Atoms`; positions and cell are passed on as they are, never wrapped or standardised."""
    from ase import Atoms

    return Atoms(
        symbols=[elements[k] for k in structure.species],
        positions=structure.positions,
        cell=structure.cell,
        pbc=structure.pbc,
    )


def pack_structures(structures: Sequence[Structure]) -> dict[str, NDArray[Any]]:
    """Structures as named arrays of fixed dtype, the same in messages and files; the inverse of `unpack_structures`."""
    return {
        "n_atoms": np.array([s.n_atoms for s in structures], dtype=np.int64),
        "positions": np.concatenate([s.positions for s in structures] or [np.empty((0, 3))]),
        "species": np.concatenate([s.species for s in structures] or [np.empty(0, np.int32)]),
        "cells": np.array([s.cell for s in structures], dtype=np.float64).reshape(-1, 3, 3),
        "pbc": np.array([s.pbc for s in structures], dtype=np.bool_).reshape(-1, 3),
    }


def unpack_structures(columns: Mapping[str, NDArray[Any]]) -> list[Structure]:
    """Named arrays, as `pack_structures` makes them, back into structures, bit for bit."""
    ends = np.cumsum(columns["n_atoms"])
    return [
        Structure(
            columns["positions"][end - count : end],
            columns["cells"][k],
            columns["species"][end - count : end],
            columns["pbc"][k],
        )
        for k, (end, count) in enumerate(zip(ends, columns["n_atoms"], strict=True))
    ]


def without_vacancies(structure: Structure, elements: Sequence[str]) -> Structure:
    """Its atoms alone."""
    if VACANCY not in elements:
        return structure
    atoms = structure.species != list(elements).index(VACANCY)
    if atoms.all():
        return structure
    return structure.replace(positions=structure.positions[atoms], species=structure.species[atoms])


def content_hash(structure: Structure) -> str:
    """16 hex digits that depend on the exact bits of the structure and nothing else."""
    digest = hashlib.blake2b(digest_size=8)
    for array in (structure.species, structure.pbc, structure.cell, structure.positions):
        digest.update(array.tobytes())
    return digest.hexdigest()
