"""Structure files into checked arrays: everything ASE reads, and FitSNAP's JSON.

A file is named as ASE names it, with an index after ``@``: ``melt.extxyz@0:100:10``, ``run.db@-1``. A slice may also
follow the name directly, as in ``melt.extxyz:::10`` (every tenth) or ``melt.extxyz:-5:``; it needs two colons so that a
name with one colon in it stays a name. Without either, all structures of the file are read. A folder stands for all
its ``.json`` files, at any depth, sorted by path: the layout of a FitSNAP training set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError, nearest
from .structure import Structure, from_atoms

_SLICE = re.compile(r"^(?P<name>.+?)(?P<slice>:-?\d*:-?\d*(?::-?\d*)?)$")
# Keys of ase.Atoms.info that name the group a structure belongs to.
_GROUP_KEYS = ("group", "config_type", "Group")


@dataclass(frozen=True, eq=False)
class Entry:
    """One structure read from a file."""

    structure: Structure
    source: str  # file and position in it, e.g. "melt.extxyz[10]"
    group: str
    weight: float


def read_structures(
    files: Sequence[str | Path] | str | Path,
    elements: Sequence[str],
    weights: Mapping[str, float] | None = None,
    types: Sequence[str] = (),
    format: str | None = None,
    folder: str | Path | None = None,
) -> list[Entry]:
    """Read structure files.

    Parameters
    ----------
    files : names with an optional index (see the module's text)
    elements : the basis's elements, in its order
    weights : weight of each group; a structure's group is its ``info["group"]`` or ``info["config_type"]``, the folder
        of a FitSNAP file, or else the name of its file without suffix
    types : element of each atom type (LAMMPS data and dump files without elements)
    format : ASE's format name, else it is guessed
    folder : where relative names start

    Raises
    ------
    InputError
        Names the file, and the structure in it, that is missing, unreadable, without atoms, without a cell, or holds
        an element outside the basis; a weight that is not > 0 or whose group does not occur.
    """
    names = [files] if isinstance(files, str | Path) else list(files)
    entries: list[Entry] = []
    for name in names:
        path, index = split_name(str(name), Path(folder) if folder is not None else Path())
        for source, group, atoms in _read(path, index, format, types):
            entries.append(Entry(from_atoms(atoms, elements, source), source, group, 1.0))
    if not weights:
        return entries
    groups = sorted({entry.group for entry in entries})
    for group, weight in weights.items():
        if group not in groups:
            raise InputError(
                f"weights: group {group!r} does not occur; groups are {', '.join(groups)}{nearest(group, groups)}"
            )
        if not (np.isfinite(weight) and weight > 0):
            raise InputError(f"weights: {group} has weight {weight}; it must be > 0")
    return [Entry(e.structure, e.source, e.group, float(weights.get(e.group, 1.0))) for e in entries]


def elements_of(
    files: Sequence[str | Path] | str | Path,
    types: Sequence[str] = (),
    format: str | None = None,
    folder: str | Path | None = None,
) -> tuple[str, ...]:
    """All elements that occur in some structure files, by atomic number."""
    from ase.data import atomic_numbers

    names = [files] if isinstance(files, str | Path) else list(files)
    found: set[str] = set()
    for name in names:
        path, index = split_name(str(name), Path(folder) if folder is not None else Path())
        for _, _, atoms in _read(path, index, format, types):
            found.update(atoms.get_chemical_symbols())
    return tuple(sorted(found, key=lambda symbol: int(atomic_numbers[symbol])))


def split_name(name: str, folder: Path) -> tuple[Path, str | None]:
    """A file and the index asked for."""
    path = folder / name
    if path.exists():
        return path, None
    if "@" in name:
        bare, index = name.rsplit("@", 1)
        if not re.fullmatch(r"-?\d*(:-?\d*){0,2}", index) or not index:
            raise InputError(f"{name}: {index!r} is no index; write a number or start:stop:step after '@'")
        return folder / bare, index
    match = _SLICE.match(name)
    if match:
        return folder / match["name"], match["slice"][1:]
    return path, None


def _read(path: Path, index: str | None, format: str | None, types: Sequence[str]) -> list[tuple[str, str, Any]]:
    """(source, group, atoms) of each structure asked for."""
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.is_dir():
        files = sorted(path.rglob("*.json"))
        if not files:
            raise InputError(f"{path}: is a folder without .json files; name a structure file or a FitSNAP folder")
        found = [one for file in files for one in _read_fitsnap(file, group=_group_of(file, path))]
        return _chosen(found, index, path)
    if path.suffix == ".json" and _looks_like_fitsnap(path):
        return _chosen(_read_fitsnap(path, group=path.parent.name or path.stem), index, path)
    return _read_with_ase(path, index, format, types)


def _read_with_ase(
    path: Path, index: str | None, format: str | None, types: Sequence[str]
) -> list[tuple[str, str, Any]]:
    import warnings

    from ase.io import iread

    wanted = index if index is not None else ":"
    stem = path.name.split(".")[0]
    try:
        with warnings.catch_warnings():
            # what a file has besides positions, cell and elements does not concern us
            warnings.simplefilter("ignore")
            frames = list(iread(str(path), index=wanted, format=format))
    except Exception as error:
        raise InputError(f"{path}: cannot be read as a structure file ({_one_line(error)})") from error
    if not frames:
        raise InputError(f"{path}: holds no structure" + (f" at index {index}" if index is not None else ""))
    first, step = _numbering(index)
    found = []
    for k, atoms in enumerate(frames):
        number = first + k * step if first is not None else k
        source = f"{path}[{number}]" if len(frames) > 1 or index is not None else str(path)
        if types:
            _rename_types(atoms, types, source)
        group = next((str(atoms.info[key]) for key in _GROUP_KEYS if key in atoms.info), stem)
        found.append((source, group, atoms))
    return found


def _numbering(index: str | None) -> tuple[int | None, int]:
    """First number and step of an index that counts from the front; (None, 1) where it counts from the back."""
    if index is None:
        return 0, 1
    parts = index.split(":")
    if len(parts) == 1:
        return int(parts[0]), 1
    first = int(parts[0]) if parts[0] else 0
    step = int(parts[2]) if len(parts) == 3 and parts[2] else 1
    return (None, 1) if first < 0 or step < 0 else (first, step)


def _rename_types(atoms: Any, types: Sequence[str], source: str) -> None:
    """Give atoms the elements of their LAMMPS types."""
    if "type" in atoms.arrays:
        kinds = np.asarray(atoms.arrays["type"], dtype=int)
    else:
        # ASE reads unnamed types as the elements with atomic numbers 1, 2, …
        kinds = np.asarray(atoms.numbers, dtype=int)
    if kinds.min() < 1 or kinds.max() > len(types):
        raise InputError(f"{source}: has atom types up to {kinds.max()}, but only {len(types)} elements are given")
    atoms.set_chemical_symbols([types[k - 1] for k in kinds])


def _chosen(found: list[tuple[str, str, Any]], index: str | None, path: Path) -> list[tuple[str, str, Any]]:
    if index is None:
        return found
    if ":" not in index:
        try:
            return [found[int(index)]]
        except IndexError as error:
            raise InputError(f"{path}: has {len(found)} structures, none at index {index}") from error
    picked = found[slice(*(int(part) if part else None for part in index.split(":")))]
    if not picked:
        raise InputError(f"{path}: has {len(found)} structures, none at index {index}")
    return picked


def _group_of(file: Path, root: Path) -> str:
    return file.parent.name if file.parent != root else root.name


def _looks_like_fitsnap(path: Path) -> bool:
    """FitSNAP's files are a comment line and an object `Dataset`; ASE's databases in JSON are not."""
    with open(path, errors="replace") as stream:
        return '"Dataset"' in stream.read(4096)


def _read_fitsnap(path: Path, group: str) -> list[tuple[str, str, Any]]:
    """Structures of one FitSNAP JSON file. Lattice: rows are vectors; positions Cartesian; Å unless it says Bohr."""
    from ase import Atoms

    try:
        text = path.read_text()
        if not text.lstrip().startswith("{"):
            text = text.split("\n", 1)[1]
        data = json.loads(text)["Dataset"]
        configurations = data["Data"]
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise InputError(f"{path}: cannot be read as a FitSNAP file ({_one_line(error)})") from error
    found = []
    for k, one in enumerate(configurations):
        source = str(path) if len(configurations) == 1 else f"{path}[{k}]"
        try:
            atoms = Atoms(
                symbols=[str(symbol) for symbol in one["AtomTypes"]],
                positions=np.asarray(one["Positions"], dtype=float) * _length(data, "PositionsStyle", source),
                cell=np.asarray(one["Lattice"], dtype=float) * _length(data, "LatticeStyle", source),
                pbc=True,
            )
        except InputError:
            raise
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(f"{source}: is no complete FitSNAP configuration ({_one_line(error)})") from error
        found.append((source, group, atoms))
    if not found:
        raise InputError(f"{path}: holds no structure")
    return found


def _length(data: Mapping[str, Any], key: str, source: str) -> float:
    """Å per unit of length."""
    from ase.units import Bohr

    style = str(data.get(key, "angstrom")).lower()
    known = {"angstrom": 1.0, "a": 1.0, "å": 1.0, "bohr": float(Bohr)}
    if style not in known:
        raise InputError(f"{source}: {key} is {style!r}; allowed are angstrom and bohr")
    return known[style]


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__
