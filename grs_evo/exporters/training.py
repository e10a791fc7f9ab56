"""Labelled structures in the layouts that programs fit potentials from: keys, groups and units as each reads them.

| program | what is written | energy, forces, stress | group |
|---|---|---|---|
| fitsnap | a folder of groups, a JSON file for each structure, `groups.in` | eV, eV/Å, bar (pressure) | folder |
| pacemaker | a pandas table, pickled (.pckl.gzip) | energy_corrected, forces, stress | config_type |
| mace | extended XYZ (.xyz) | REF_energy, REF_forces, REF_stress | config_type |
| ace-jax | extended XYZ | energy, forces, virial | config_type |
| nequip | extended XYZ | energy, forces, stress, by ASE | config_type |
"""

from __future__ import annotations

import io
import json
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError, nearest
from grs_evo.exporters.formats import bare
from grs_evo.files import write_whole
from grs_evo.structures.files.codes.units import BAR


class Labelled(NamedTuple):
    """One structure of a training set."""

    atoms: Any  # ase.Atoms without calculator
    group: str
    energy: float  # eV, of the whole cell
    forces: NDArray[np.float64]  # (n_atoms, 3) eV/Å
    stress: NDArray[np.float64] | None  # (3, 3) eV/Å³, positive under tension


def fitsnap(path: Path, structures: Sequence[Labelled]) -> list[Path]:
    """FitSNAP's JSON: ``path/GROUP/00001.json``, and ``path/groups.in`` with the section for its input."""
    files = []
    counts: dict[str, int] = defaultdict(int)
    for one in structures:
        group = re.sub(r"[^\w.+-]", "_", one.group) or "all"
        counts[group] += 1
        place = path / group / f"{counts[group]:05d}.json"
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{place.parent}: cannot be made a folder ({error.strerror})") from None
        configuration = {
            "AtomTypes": one.atoms.get_chemical_symbols(),
            "NumAtoms": len(one.atoms),
            "Positions": one.atoms.positions.tolist(),
            "Lattice": one.atoms.cell[:].tolist(),
            "Energy": one.energy,
            "Forces": one.forces.tolist(),
            "Stress": (np.zeros((3, 3)) if one.stress is None else -one.stress / BAR).tolist(),
        }
        content = {
            "Dataset": {
                "Label": group,
                "Data": [configuration],
                "PositionsStyle": "angstrom",
                "LatticeStyle": "angstrom",
                "AtomTypeStyle": "chemicalsymbol",
                "EnergyStyle": "electronvolt",
                "ForcesStyle": "electronvoltperangstrom",
                "StressStyle": "bar",
            }
        }
        write_whole(place, f"# written by grs_evo\n{json.dumps(content)}\n".encode())
        files.append(place)
    stressed = any(one.stress is not None for one in structures)
    lines = ["[GROUPS]", "group_sections = name training_size testing_size eweight fweight vweight"]
    lines += ["group_types = str float float float float float"]
    lines += [f"{group} = 1.0 0.0 100.0 1.0 {'1.0e-8' if stressed else '0.0'}" for group in counts]
    write_whole(path / "groups.in", ("\n".join(lines) + "\n").encode())
    return [*files, path / "groups.in"]


def pacemaker(path: Path, structures: Sequence[Labelled]) -> list[Path]:
    """pacemaker's data set: a pickled pandas table, compressed.

    energy_corrected is the energy as it is: subtract what free atoms have where the fit shall not find it.
    """
    try:
        import pandas
    except ImportError:
        raise InputError(f"{path}: pacemaker's table needs pandas; install grs-evo[analysis]") from None
    rows: dict[str, list[Any]] = {
        "ase_atoms": [bare(one.atoms) for one in structures],
        "energy": [one.energy for one in structures],
        "energy_corrected": [one.energy for one in structures],
        "forces": [one.forces for one in structures],
        "config_type": [one.group for one in structures],
    }
    if all(one.stress is not None for one in structures):
        rows["stress"] = [one.stress.ravel()[[0, 4, 8, 5, 2, 1]] for one in structures if one.stress is not None]
    stream = io.BytesIO()
    pandas.DataFrame(rows).to_pickle(stream, compression={"method": "gzip", "mtime": 0}, protocol=4)
    write_whole(path, stream.getvalue())
    return [path]


def mace(path: Path, structures: Sequence[Labelled]) -> list[Path]:
    """Extended XYZ with the keys that MACE takes by default."""
    return _extended_xyz(path, structures, ("REF_energy", "REF_forces", "REF_stress"))


def nequip(path: Path, structures: Sequence[Labelled]) -> list[Path]:
    """Extended XYZ with ASE's own keys."""
    return _extended_xyz(path, structures, ("energy", "forces", "stress"))


def ace_jax(path: Path, structures: Sequence[Labelled]) -> list[Path]:
    """Extended XYZ with ASE's own keys; the stress as virial, -stress times volume."""
    return _extended_xyz(path, structures, ("energy", "forces", "virial"))


def _extended_xyz(path: Path, structures: Sequence[Labelled], keys: tuple[str, str, str]) -> list[Path]:
    """Every digit, which ASE's own writer cuts."""
    lines = []
    for one in structures:
        known = {"pbc": " ".join("FT"[int(flag)] for flag in one.atoms.pbc), keys[0]: repr(one.energy)}
        if one.stress is not None:
            tensor = -one.stress * one.atoms.get_volume() if keys[2] == "virial" else one.stress
            known[keys[2]] = _row(tensor.ravel())
        known["config_type"] = one.group or "all"
        known |= {key: str(one.atoms.info[key]) for key in ("grs_uid", "grs_seed") if key in one.atoms.info}
        text = " ".join(
            f'{key}="{value}"' if re.search(r"[^\w.+-]", value) else f"{key}={value}" for key, value in known.items()
        )
        lattice = _row(one.atoms.cell[:].ravel())
        lines += [str(len(one.atoms)), f'Lattice="{lattice}" Properties=species:S:1:pos:R:3:{keys[1]}:R:3 {text}']
        rows = zip(one.atoms.get_chemical_symbols(), one.atoms.positions, one.forces, strict=True)
        lines += [f"{symbol:<2s} {_row(position)} {_row(force)}" for symbol, position, force in rows]
    write_whole(path, ("\n".join(lines) + "\n").encode())
    return [path]


def _row(values: Any) -> str:
    return " ".join(repr(float(value)) for value in values)


class Layout(NamedTuple):
    """How a program's training sets are written."""

    write: Callable[[Path, Sequence[Labelled]], list[Path]]
    suffixes: tuple[str, ...]  # that its program takes; none: a folder


LAYOUTS: dict[str, Layout] = {
    "fitsnap": Layout(fitsnap, ()),
    "pacemaker": Layout(pacemaker, (".pckl.gzip", ".pkl.gz", ".pckl.gz")),
    "ace-jax": Layout(ace_jax, (".xyz", ".extxyz")),
    "mace": Layout(mace, (".xyz",)),
    "nequip": Layout(nequip, (".xyz", ".extxyz")),
}


def layout_of(program: str, path: Path) -> Layout:
    """The layout of a program, and whether a name fits it.

    Raises
    ------
    InputError
        An unknown program, or a suffix that it does not read.
    """
    if program not in LAYOUTS:
        raise InputError(f"--for {program}: must be one of {', '.join(LAYOUTS)}{nearest(program, tuple(LAYOUTS))}")
    layout = LAYOUTS[program]
    if layout.suffixes and not path.name.endswith(layout.suffixes):
        raise InputError(f"{path}: {program} reads files that end in {' or '.join(layout.suffixes)}")
    return layout
