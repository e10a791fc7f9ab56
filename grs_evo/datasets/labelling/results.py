"""Outputs of calculators, as ASE reads them: energies, forces, stresses, and which structure they say they are of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.datasets.labels import labelled, stress_of
from grs_evo.errors import InputError
from grs_evo.files import is_folder, is_there
from grs_evo.structures.reading import each_atoms

# Names of outputs that are looked for in folders; of those beside each other the first is read.
OUTPUTS = ("vasprun.xml*", "OUTCAR*", "*.pwo", "*.out", "*.castep", "*.extxyz", "*.xyz", "*.traj")
# Inputs that may stand beside an output and tell, in their first lines, whose it is.
_INPUTS = ("POSCAR", ".pwi", ".in", ".inp", ".cell", ".poscar", ".vasp")
_UID = re.compile(rb"\bgrs_uid=(\d+)")
_HEAD = 2048


@dataclass(frozen=True, eq=False)
class Result:
    """What a calculator found for one configuration."""

    atoms: Any  # ase.Atoms, as the output has them
    source: str
    uid: int | None  # of the structure, where the output or the input beside it says so
    energy: float  # eV, the one whose slopes the forces are
    forces: NDArray[np.float64]  # (n_atoms, 3) eV/Å
    stress: NDArray[np.float64] | None  # (3, 3) eV/Å³, positive under tension


def outputs_in(place: Path) -> list[Path]:
    """The outputs in a folder and in the folders in it, one for each calculation, sorted by path.

    Raises
    ------
    InputError
        There are none.
    """
    found: list[Path] = []
    for folder in sorted({place, *(one for one in place.rglob("*") if is_folder(one))}):
        for pattern in OUTPUTS:
            here = sorted(path for path in folder.glob(pattern) if path.is_file())
            if here:
                found += here if pattern.startswith("*") else here[:1]
                break
    if not found:
        raise InputError(f"{place}: holds no output of a calculator; {', '.join(OUTPUTS)} are looked for")
    return found


def read_results(
    files: Sequence[str | Path], format: str | None = None, types: Sequence[str] = ()
) -> Iterator[list[Result]]:
    """The configurations of one output after the other.

    Parameters
    ----------
    files : outputs, with an optional index, or folders that hold them

    Raises
    ------
    InputError
        A file that cannot be read, or a configuration without energy or forces.
    """
    for name in files:
        path = Path(name)
        for one in outputs_in(path) if is_folder(path) else [name]:
            yield [
                _result(atoms, source, _uid_beside(Path(one)))
                for source, _, atoms in each_atoms(str(one), types, format)
            ]


def _result(atoms: Any, source: str, beside: int | None) -> Result:
    found = labelled(atoms, source, "")
    calculated = getattr(atoms.calc, "results", {}) if atoms.calc is not None else {}
    # with smeared occupations forces are slopes of the free energy, and of no other
    energy = calculated.get("free_energy", found.energy)
    if energy is None or found.forces is None:
        lacking = "energy" if energy is None else "forces"
        raise InputError(f"{source}: has no {lacking}; is the calculation complete, and did it compute them?")
    uid = atoms.info.get("grs_uid", beside)
    return Result(atoms, source, None if uid is None else int(uid), float(energy), found.forces, stress_of(atoms))


def _uid_beside(output: Path) -> int | None:
    """The uid in the first lines of the input that an output was made from: VASP's POSCAR, a file of the same name."""
    for ending in _INPUTS:
        path = output.with_name(ending) if ending == "POSCAR" else output.with_suffix(ending)
        if path != output and is_there(path) and path.is_file():
            with path.open("rb") as stream:
                match = _UID.search(stream.read(_HEAD))
            if match:
                return int(match[1])
    return None
