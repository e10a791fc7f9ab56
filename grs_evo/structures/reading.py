"""Structure files into checked arrays: everything ASE reads, and FitSNAP's JSON.

A file is named as ASE names it, with an index after ``@``: ``melt.extxyz@0:100:10``, ``run.db@-1``. Two shorthands need
no ``@``: ``melt.extxyz::10`` is every tenth, as ``[::10]`` is in Python (``melt.extxyz:::10`` says the same), and
``melt.extxyz:start:stop:step`` has all three. Other endings with two colons could be read in two ways and are refused;
a name with one colon stays a name. Without an index, all structures of the file are read. A folder stands for all its
``.json`` files, at any depth, sorted by path: the layout of a FitSNAP training set.

LAMMPS files that hold numbered atom types and nothing that tells their elements are refused unless `types` names them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from grs_evo.errors import InputError, WrongType, nearest, type_of
from grs_evo.structures import lammps
from grs_evo.structures.formats import ase_name_of
from grs_evo.structures.structure import Structure, as_structure, from_atoms, is_atoms

# NAME:start:stop:step, then NAME::step, then what is left with two colons
_WHOLE_SLICE = re.compile(r"^(?P<name>.+?):(?P<slice>-?\d*:-?\d*:-?\d*)$")
_STEP = re.compile(r"^(?P<name>.+?)(?P<slice>::-?\d*)$")
_UNCLEAR = re.compile(r"^(?P<name>.+?):(?P<first>-?\d*):(?P<second>-?\d*)$")
_INDEX = re.compile(r"-?\d+|-?\d*:-?\d*(?::(?!-?0+$)-?\d*)?")
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
    if isinstance(elements, str) or not isinstance(elements, Sequence):
        raise WrongType(
            f"read_structures(files, elements): elements is {type_of(elements)}; it must be a list of chemical symbols"
            " such as basis.elements"
        )
    entries = [
        Entry(from_atoms(atoms, elements, source), source, group, 1.0)
        for source, group, atoms in each_atoms(files, types, format, folder)
    ]
    return _weighted(entries, weights)


def read_with_elements(
    files: Sequence[str | Path] | str | Path,
    weights: Mapping[str, float] | None = None,
    types: Sequence[str] = (),
    format: str | None = None,
    folder: str | Path | None = None,
) -> tuple[tuple[str, ...], list[Entry]]:
    """All elements that occur in some structure files, by atomic number, and the structures; each file is read once.

    Each structure becomes bare arrays as it is read, with the elements known so far as its species' order. Once all
    are known, at most the species are renumbered: 4 bytes per atom, one structure at a time. So no more is in memory at
    any time than where the elements are given: the arrays so far, and what is left of the atoms of the file at hand.

    See `read_structures` for parameters and errors.
    """
    known: dict[str, int] = {}
    entries = []
    for source, group, atoms in each_atoms(files, types, format, folder):
        for symbol in atoms.get_chemical_symbols():
            known.setdefault(symbol, len(known))
        entries.append(Entry(from_atoms(atoms, tuple(known), source), source, group, 1.0))
    elements = _by_number(known)
    place = np.array([elements.index(symbol) for symbol in known], dtype=np.int32)
    if not np.array_equal(place, np.arange(len(place))):
        for k, entry in enumerate(entries):
            structure = entry.structure.replace(species=place[entry.structure.species])
            entries[k] = replace(entry, structure=structure)
    return elements, _weighted(entries, weights)


def _weighted(entries: list[Entry], weights: Mapping[str, float] | None) -> list[Entry]:
    """The entries with the weights of their groups."""
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


def each_atoms(
    files: Sequence[str | Path] | str | Path,
    types: Sequence[str] = (),
    format: str | None = None,
    folder: str | Path | None = None,
    nameless: bool = False,
) -> Iterator[tuple[str, str, Any]]:
    """(source, group, ase.Atoms) of all structures in some files, file by file, unchecked; see `read_structures`.

    Parameters
    ----------
    nameless : atom types whose elements are not known will do
    """
    names = [files] if isinstance(files, str | Path) else list(files)
    for name in names:
        path, index = split_name(str(name), Path(folder) if folder is not None else Path())
        found = _read(path, index, format, types, nameless)
        found.reverse()
        while found:  # who takes only arrays from the atoms lets go of each
            yield found.pop()


def as_entries(given: Any, elements: Sequence[str], names: Sequence[str] | None, call: str) -> list[Entry]:
    """All that can stand for structures in Python, one entry each.

    Parameters
    ----------
    given : ase.Atoms, a Structure, the name of a file, an `Entry`, or an iterable of such
    names : how messages call structures that come from no file; default ``structure 0``, …
    call : how messages name the function that needs them

    Raises
    ------
    WrongType
        Something else.
    InputError
        As `read_structures` and `structure.from_atoms`.
    """
    if isinstance(given, Structure | Entry | str | Path) or is_atoms(given):
        given = [given]
    elif not isinstance(given, Iterable):
        raise WrongType(
            f"{call}: structures is {type_of(given)}; it must be ase.Atoms, a Structure, the name of a file, what"
            " read_structures gives, or an iterable of these"
        )
    found: list[Entry] = []
    for one in given:
        if isinstance(one, str | Path):
            found += read_structures(one, elements)
        elif isinstance(one, Entry):
            found.append(one)
        else:
            k = len(found)
            source = names[k] if names is not None and k < len(names) else f"structure {k}"
            found.append(Entry(as_structure(one, elements, call, source), source, "", 1.0))
    return found


def elements_of(
    files: Sequence[str | Path] | str | Path,
    types: Sequence[str] = (),
    format: str | None = None,
    folder: str | Path | None = None,
) -> tuple[str, ...]:
    """All elements that occur in some structure files, by atomic number."""
    found: set[str] = set()
    for _, _, atoms in each_atoms(files, types, format, folder):
        found.update(atoms.get_chemical_symbols())
    return _by_number(found)


def _by_number(symbols: Iterable[str]) -> tuple[str, ...]:
    from ase.data import atomic_numbers

    return tuple(sorted(symbols, key=lambda symbol: int(atomic_numbers[symbol])))


def split_name(name: str, folder: Path) -> tuple[Path, str | None]:
    """A file and the index asked for."""
    path = folder / name
    if path.exists():
        return path, None
    if "@" in name:
        bare, index = name.rsplit("@", 1)
        if not _INDEX.fullmatch(index):
            raise InputError(f"{name}: {index!r} is no index; write a number or start:stop:step after '@'")
        return folder / bare, index
    match = _WHOLE_SLICE.match(name) or _STEP.match(name)
    if match:
        if not _INDEX.fullmatch(match["slice"]):
            raise InputError(f"{name}: {match['slice']!r} is no index; the step must not be 0")
        return folder / match["name"], match["slice"]
    unclear = _UNCLEAR.match(name)
    if unclear and (folder / unclear["name"]).exists():
        bare, first, second = unclear["name"], unclear["first"], unclear["second"]
        raise InputError(f"{name}: may mean {bare}@{first}:{second} or {bare}@:{first}:{second}; write one of these")
    bare, colon, number = name.rpartition(":")
    if colon and re.fullmatch(r"-?\d+", number) and (folder / bare).exists():
        raise InputError(f"{path}: no such file; the structure with that number is {bare}@{number}")
    return path, None


def _read(
    path: Path, index: str | None, format: str | None, types: Sequence[str], nameless: bool
) -> list[tuple[str, str, Any]]:
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
    return _read_with_ase(path, index, format, types, nameless)


def _read_with_ase(
    path: Path, index: str | None, format: str | None, types: Sequence[str], nameless: bool
) -> list[tuple[str, str, Any]]:
    import warnings

    from ase.io import iread

    wanted = index if index is not None else ":"
    stem = path.name.split(".")[0]
    try:
        with warnings.catch_warnings():
            # what a file has besides positions, cell and elements does not concern us
            warnings.simplefilter("ignore")
            kind = format or _format_of(path)
            frames = list(iread(str(path), index=wanted, format=kind, do_not_split_by_at_sign=True))
            known = lammps.elements_in(path, kind) if kind in lammps.KINDS else None
    except Exception as error:
        raise InputError(f"{path}: cannot be read as a structure file ({_one_line(error)})") from error
    if not frames:
        raise InputError(f"{path}: holds no structure" + (f" at index {index}" if index is not None else ""))
    first, step = _numbering(index)
    found = []
    for k, atoms in enumerate(frames):
        number = first + k * step if first is not None else k
        source = f"{path}[{number}]" if len(frames) > 1 or index is not None else str(path)
        if types and (kind in lammps.KINDS or "type" in atoms.arrays):
            _rename_types(atoms, dict(enumerate(types, start=1)), source)
        elif known is not None and set(_types_of(atoms)) <= set(known):
            _rename_types(atoms, known, source)
        elif known is not None and not nameless:
            raise InputError(
                f"{source}: atom types without elements; give target.types, the element of each type, such as"
                ' ["Au", "Cu"] (--types Au,Cu on the command line), or a file that names elements'
            )
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


def _format_of(path: Path) -> str:
    """ASE's name of a file's format, by its content, its suffix, or ASE's guess."""
    from ase.io.formats import filetype

    return lammps.kind_of(path) or ase_name_of(path.name) or str(filetype(str(path)))


def _types_of(atoms: Any) -> list[int]:
    """LAMMPS types of atoms; ASE reads them as atomic numbers 1, 2, … where it does not keep them."""
    return [int(kind) for kind in atoms.arrays.get("type", atoms.numbers)]


def _rename_types(atoms: Any, elements: Mapping[int, str], source: str) -> None:
    """Give atoms the elements of their LAMMPS types."""
    kinds = _types_of(atoms)
    if set(kinds) - set(elements):
        raise InputError(f"{source}: has atom types up to {max(kinds)}, but only {len(elements)} elements are given")
    atoms.set_chemical_symbols([elements[kind] for kind in kinds])


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
