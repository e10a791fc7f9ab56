"""Structures with the energies, forces and groups that their files carry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.structures.files.xyz import ENERGY_KEYS, FORCE_KEYS, GROUP_KEYS, STRESS_KEYS
from grs_evo.structures.reading import by_atomic_number, each_atoms
from grs_evo.structures.structure import ase_of, is_atoms

_VOIGT = [0, 5, 4, 5, 1, 3, 4, 3, 2]  # of xx, yy, zz, yz, xz, xy, ASE's order


@dataclass(frozen=True, eq=False)
class Labelled:
    """One structure of a pool or a set, as it was read."""

    atoms: Any  # ase.Atoms
    source: str  # file and place in it
    group: str
    energy: float | None  # eV, of the whole cell
    forces: NDArray[np.float64] | None  # (n_atoms, 3) eV/Å


def read_labelled(
    files: Any, types: Sequence[str] = (), format: str | None = None, folder: str | Path | None = None
) -> Iterator[Labelled]:
    """Structures of files, with what they carry; or of an iterable of `ase.Atoms`, as they are.

    Parameters
    ----------
    files : names with an optional index, `ase.Atoms`, or an iterable of either

    Raises
    ------
    InputError
        A file that cannot be read; forces of another number of atoms, labels that are not finite.
    """
    given: Iterable[Any] = [files] if isinstance(files, str | Path) or is_atoms(files) else files
    for k, one in enumerate(given):
        if isinstance(one, str | Path):
            for source, group, atoms in each_atoms(one, types, format, folder):
                yield labelled(atoms, source, group)
        elif isinstance(one, Labelled):
            yield one
        elif is_atoms(one):
            atoms = ase_of(one, f"structure {k}")
            group = next((str(atoms.info[key]) for key in GROUP_KEYS if key in atoms.info), "")
            yield labelled(atoms, f"structure {k}", group)
        else:
            raise InputError(f"structure {k}: is {type(one).__name__}; it must be ase.Atoms or the name of a file")


def elements_of(structures: Iterable[Labelled]) -> tuple[str, ...]:
    """All elements that occur in some structures, by atomic number."""
    return by_atomic_number({symbol for one in structures for symbol in one.atoms.get_chemical_symbols()})


def labelled(atoms: Any, source: str, group: str) -> Labelled:
    """An `ase.Atoms` with its labels, found by the usual keys.

    Raises
    ------
    InputError
        Labels that are not finite, or forces of another shape.
    """
    results = getattr(atoms.calc, "results", {}) if atoms.calc is not None else {}
    energy = next((x for x in (*_found(results, ENERGY_KEYS), *_found(atoms.info, ENERGY_KEYS))), None)
    forces = next((x for x in (*_found(results, FORCE_KEYS), *_found(atoms.arrays, FORCE_KEYS))), None)
    try:
        value = None if energy is None else float(energy)
        field = None if forces is None else np.asarray(forces, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{source}: its energy or forces are no numbers") from None
    if value is not None and not np.isfinite(value):
        raise InputError(f"{source}: its energy is {value} eV; it must be finite")
    if field is not None and field.shape != (len(atoms), 3):
        raise InputError(f"{source}: has {len(atoms)} atoms but forces of shape {field.shape}")
    if field is not None and not np.isfinite(field).all():
        atom = int(np.argwhere(~np.isfinite(field))[0, 0])
        raise InputError(f"{source}: the force on atom {atom} is {field[atom]} eV/Å; it must be finite")
    try:
        stress = stress_of(atoms)
    except (TypeError, ValueError):
        raise InputError(f"{source}: its stress is no six or nine numbers") from None
    if stress is not None and not np.isfinite(stress).all():
        odd = stress[~np.isfinite(stress)][0]
        raise InputError(f"{source}: a component of its stress is {odd} eV/Å³; it must be finite")
    return Labelled(atoms, source, group, value, field)


def stress_of(atoms: Any) -> NDArray[np.float64] | None:
    """(3, 3) eV/Å³, positive under tension, of calculator or info; None where there is none."""
    results = getattr(atoms.calc, "results", {}) if atoms.calc is not None else {}
    holders = ((results, ("stress",)), (atoms.info, STRESS_KEYS))
    for holder, keys in holders:
        for key in keys:
            if holder.get(key) is not None:
                given = np.asarray(holder[key], np.float64)
                full = given[_VOIGT].reshape(3, 3) if given.shape == (6,) else given.reshape(3, 3)
                return -full / atoms.get_volume() if key == "virial" else full
    return None


def _found(holder: Any, keys: Sequence[str]) -> Iterator[Any]:
    return (holder[key] for key in keys if key in holder and holder[key] is not None)


def as_text(atoms: Iterable[Any]) -> str:
    """Extended XYZ of `ase.Atoms` with the energies, forces and stresses of their calculators."""
    from io import StringIO

    from ase.io import write

    text = StringIO()
    write(text, list(atoms), format="extxyz")
    return text.getvalue()
