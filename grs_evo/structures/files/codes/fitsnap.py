"""FitSNAP's JSON: a comment line and an object `Dataset` with one or more configurations, with their labels."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from grs_evo.errors import InputError
from grs_evo.structures.files.codes.units import BAR
from grs_evo.structures.files.elements import check_symbols
from grs_evo.structures.files.text import opened, shown

# Bytes at the beginning of a file that tell its kind.
_HEAD = 4096


def files_in(folder: Path) -> list[Path]:
    """All .json files of a folder, at any depth, sorted by path.

    Raises
    ------
    InputError
        There are none, or a folder is closed.
    """

    def closed(error: OSError) -> None:
        raise InputError(f"{shown(error.filename)}: cannot be looked into ({(error.strerror or '').lower()})") from None

    names = [Path(place, name) for place, _, found in os.walk(folder, onerror=closed) for name in found]
    files = sorted(name for name in names if name.suffix == ".json")
    if not files:
        raise InputError(f"{folder}: is a folder without .json files; name a structure file or a FitSNAP folder")
    return files


def is_fitsnap(path: Path) -> bool:
    """Whether a JSON file is FitSNAP's; ASE's databases in JSON are not."""
    with opened(path) as stream:
        return b'"Dataset"' in stream.read(_HEAD)


def configurations(path: Path) -> Iterator[Any]:
    """The ase.Atoms of one file. Lattice: rows are vectors; positions Cartesian; Å unless it says Bohr.

    Raises
    ------
    InputError
        No sound file, another number of atoms than announced, a unit that is not known.
    """
    try:
        with opened(path) as stream:
            text = stream.read().decode("utf-8-sig")
        if not text.lstrip().startswith("{"):
            text = text.split("\n", 1)[1]
        data = json.loads(text)["Dataset"]
        found = data["Data"]
        if not isinstance(found, list):
            raise TypeError
    except InputError:
        raise
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: is no JSON from line {error.lineno} on ({shown(error.msg)}); is it cut?") from None
    except Exception:  # packed files have errors of their own
        raise InputError(
            f"{path}: is no FitSNAP file; it must be a comment line and an object Dataset with a list Data"
        ) from None
    if not found:
        raise InputError(f"{path}: holds no structure")
    for k, one in enumerate(found):
        yield _atoms(one, data, str(path) if len(found) == 1 else f"{path}[{k}]")


def _atoms(one: Any, data: Mapping[str, Any], source: str) -> Any:
    from ase import Atoms

    try:
        symbols = [str(symbol) for symbol in one["AtomTypes"]]
        positions = np.asarray(one["Positions"], dtype=float)
        cell = np.asarray(one["Lattice"], dtype=float)
        announced = int(one.get("NumAtoms", len(symbols)))
    except KeyError as error:
        raise InputError(f"{source}: is no complete FitSNAP configuration; {error.args[0]} is missing") from None
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise InputError(
            f"{source}: is no complete FitSNAP configuration; AtomTypes must be chemical symbols, Positions and Lattice"
            " rows of three numbers, NumAtoms a whole number"
        ) from None
    check_symbols(symbols, source)
    if cell.shape != (3, 3):
        raise InputError(f"{source}: Lattice must be three rows of three numbers")
    if positions.shape != (len(symbols), 3) or announced != len(symbols):
        raise InputError(
            f"{source}: announces NumAtoms = {announced}, and has {len(symbols)} AtomTypes and {len(positions)} rows of"
            " Positions, three numbers each; they must be as many"
        )
    atoms = Atoms(
        symbols=symbols,
        positions=positions * _length(data, "PositionsStyle", source),
        cell=cell * _length(data, "LatticeStyle", source),
        pbc=True,
    )
    _add_labels(atoms, one, data, source)
    return atoms


def _add_labels(atoms: Any, one: Mapping[str, Any], data: Mapping[str, Any], source: str) -> None:
    """Energy, forces and stress, where they are there in FitSNAP's usual units; a stress of FitSNAP's is a pressure."""
    for key, style, unit, shape in (
        ("Energy", "EnergyStyle", "electronvolt", ()),
        ("Forces", "ForcesStyle", "electronvoltperangstrom", (len(atoms), 3)),
        ("Stress", "StressStyle", "bar", (3, 3)),
    ):
        if one.get(key) is None or str(data.get(style, unit)).lower() != unit:
            continue
        try:
            value = np.asarray(one[key], dtype=float)
        except (ValueError, TypeError, OverflowError):
            value = np.empty(0)
        if value.shape != shape:
            raise InputError(
                f"{source}: {key} must be {'a number' if not shape else f'{shape[0]} rows of three numbers'}"
            )
        if key == "Energy":
            atoms.info["energy"] = float(value)
        elif key == "Forces":
            atoms.arrays["forces"] = value
        else:
            atoms.info["stress"] = -value * BAR


def _length(data: Mapping[str, Any], key: str, source: str) -> float:
    """Å per unit of length."""
    from ase.units import Bohr

    style = str(data.get(key, "angstrom")).lower()
    known = {"angstrom": 1.0, "a": 1.0, "å": 1.0, "bohr": float(Bohr)}
    if style not in known:
        raise InputError(f"{source}: {key} is {shown(style, 30)!r}; allowed are angstrom and bohr")
    return known[style]
