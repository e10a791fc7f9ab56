"""Structure files into checked arrays: everything ASE reads, FitSNAP's JSON, and ATAT's files.

A file is named as ASE names it, with an index after ``@``: ``melt.extxyz@0:100:10``, ``run.db@-1``. Two shorthands need
no ``@``: ``melt.extxyz::10`` is every tenth, as ``[::10]`` is in Python (``melt.extxyz:::10`` says the same), and
``melt.extxyz:start:stop:step`` has all three. Other endings with two colons could be read in two ways and are refused;
a name with one colon stays a name. Without an index, all structures of the file are read. A folder stands for all its
``.json`` files, at any depth, sorted by path: the layout of a FitSNAP training set.

Files that hold numbered atom types and nothing that tells their elements are refused unless `types` names them, and so
are sites that several elements share or that are filled in part.
"""

from __future__ import annotations

import contextlib
import re
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from grs_evo.errors import InputError, WrongType, nearest, type_of
from grs_evo.structures.files import others, xyz
from grs_evo.structures.files.cif import reader as cif
from grs_evo.structures.files.codes import atat, data, dump, fitsnap, vasp
from grs_evo.structures.files.elements import rename
from grs_evo.structures.files.kinds import (
    ATAT,
    BINARY,
    CIF,
    DATA,
    DUMP,
    FITSNAP,
    GEN,
    POSCAR,
    XDATCAR,
    XYZ,
    kind_of,
    named_kind,
)  # fmt: skip
from grs_evo.structures.files.occupancy import check_occupancy
from grs_evo.structures.files.text import Lines, check_regular, checked_path, shown
from grs_evo.structures.files.xyz import GROUP_KEYS
from grs_evo.structures.structure import Structure, as_structure, from_atoms, is_atoms
from grs_evo.text import counted

# NAME:start:stop:step, then NAME::step, then what is left with two colons
_WHOLE_SLICE = re.compile(r"^(?P<name>.+?):(?P<slice>-?\d*:-?\d*:-?\d*)$")
_STEP = re.compile(r"^(?P<name>.+?)(?P<slice>::-?\d*)$")
_UNCLEAR = re.compile(r"^(?P<name>.+?):(?P<first>-?\d*):(?P<second>-?\d*)$")
_INDEX = re.compile(r"-?\d+|-?\d*:-?\d*(?::(?!-?0+$)-?\d*)?")
# Types that can stand for elements where any will do.
_MOST_TYPES = 118


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
    weights : weight of each group, 0 to leave it out; a structure's group is its ``info["group"]`` or
        ``info["config_type"]``, the folder of a FitSNAP file, or else the name of its file without suffix
    types : element of each atom type (LAMMPS data and dump files without elements)
    format : ASE's format name, else it is guessed
    folder : where relative names start

    Raises
    ------
    InputError
        Names the file, and the structure in it, that is missing, unreadable, without atoms, without a cell, or holds
        an element outside the basis; a weight that is negative or whose group does not occur.
    """
    if isinstance(elements, str) or not isinstance(elements, Sequence):
        raise WrongType(
            f"read_structures(files, elements): elements is {type_of(elements)}; it must be a list of chemical symbols"
            " such as basis.elements"
        )
    groups: set[str] = set()
    entries = [
        Entry(from_atoms(atoms, elements, source), source, group, 1.0)
        for source, group, atoms in _kept(each_atoms(files, types, format, folder), weights, groups)
    ]
    return _weighted(entries, weights, groups)


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
    groups: set[str] = set()
    for source, group, atoms in _kept(each_atoms(files, types, format, folder), weights, groups):
        for symbol in atoms.get_chemical_symbols():
            known.setdefault(symbol, len(known))
        entries.append(Entry(from_atoms(atoms, tuple(known), source), source, group, 1.0))
    elements = by_atomic_number(known)
    place = np.array([elements.index(symbol) for symbol in known], dtype=np.int32)
    if not np.array_equal(place, np.arange(len(place))):
        for k, entry in enumerate(entries):
            structure = entry.structure.replace(species=place[entry.structure.species])
            entries[k] = replace(entry, structure=structure)
    return elements, _weighted(entries, weights, groups)


def read_sites(
    files: Sequence[str | Path] | str | Path,
    elements: Sequence[str] | None,
    occupants: Iterable[str],
    types: Sequence[str] = (),
    format: str | None = None,
    folder: str | Path | None = None,
) -> tuple[tuple[str, ...], list[Entry]]:
    """Elements and structures whose atoms stand for the sites of a lattice, which several elements may share.

    Parameters
    ----------
    elements : of the basis; None: those in the files, and `occupants`
    occupants : the elements that will be put on the sites

    See `read_structures` for the other parameters and errors.
    """
    found = list(each_atoms(files, types, format, folder, nameless=True))
    if elements is None:
        named = {symbol for _, _, atoms in found for symbol in atoms.get_chemical_symbols()}
        elements = by_atomic_number(named if named >= set(occupants) else set(occupants))
    entries = []
    for source, group, atoms in found:
        symbols = [one if one in elements else elements[0] for one in atoms.get_chemical_symbols()]
        atoms.set_chemical_symbols(symbols)
        entries.append(Entry(from_atoms(atoms, elements, source), source, group, 1.0))
    return tuple(elements), entries


def _kept(
    found: Iterable[tuple[str, str, Any]], weights: Mapping[str, float] | None, groups: set[str]
) -> Iterator[tuple[str, str, Any]]:
    """The structures without those of groups of weight 0; `groups` takes all that occur."""
    for source, group, atoms in found:
        groups.add(group)
        if not weights or weights.get(group, 1.0) != 0.0:
            yield source, group, atoms


def _weighted(entries: list[Entry], weights: Mapping[str, float] | None, groups: set[str]) -> list[Entry]:
    """The entries with the weights of their groups."""
    if not weights:
        return entries
    for group, weight in weights.items():
        if group not in groups:
            known = sorted(groups)
            raise InputError(
                f"weights: group {group!r} does not occur; groups are {', '.join(known)}{nearest(group, known)}"
            )
        if not (np.isfinite(weight) and weight >= 0):
            raise InputError(f"weights: {group} has weight {weight}; it must be > 0, or 0 to leave the group out")
    if not entries:
        raise InputError("weights: all groups have weight 0; at least one must be left")
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
    weights: Mapping[str, float] | None = None,
) -> tuple[str, ...]:
    """All elements that occur in some structure files, by atomic number, but for groups of weight 0."""
    found: set[str] = set()
    for _, _, atoms in _kept(each_atoms(files, types, format, folder), weights, set()):
        found.update(atoms.get_chemical_symbols())
    return by_atomic_number(found)


def by_atomic_number(symbols: Iterable[str]) -> tuple[str, ...]:
    """Chemical symbols in the order of the periodic table."""
    from ase.data import atomic_numbers

    return tuple(sorted(symbols, key=lambda symbol: int(atomic_numbers[symbol])))


def split_name(name: str, folder: Path) -> tuple[Path, str | None]:
    """A file and the index wanted."""
    path = folder / name
    if checked_path(path) is not None:
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
    if unclear and checked_path(folder / unclear["name"]) is not None:
        bare, first, second = unclear["name"], unclear["first"], unclear["second"]
        raise InputError(f"{name}: may mean {bare}@{first}:{second} or {bare}@:{first}:{second}; write one of these")
    bare, colon, number = name.rpartition(":")
    if colon and re.fullmatch(r"-?\d+", number) and checked_path(folder / bare) is not None:
        raise InputError(f"{path}: no such file; the structure with that number is {bare}@{number}")
    return path, None


def _read(
    path: Path, index: str | None, format: str | None, types: Sequence[str], nameless: bool
) -> list[tuple[str, str, Any]]:
    """(source, group, atoms) of each structure wanted."""
    found = checked_path(path)
    if found is None:
        raise InputError(f"{shown(path)}: no such file")
    if stat.S_ISDIR(found.st_mode):
        if (path / "archive.h5").is_file():
            raise InputError(
                f"{shown(path)}: is a run folder; grs-evo export {shown(path)} -o cells.extxyz writes its structures"
            )
        files = fitsnap.files_in(path)
        each = ((file.parent.name if file.parent != path else path.name, file) for file in files)
        return _of_fitsnap(each, index, path)
    check_regular(path)
    kind = _kind_of(path, format)
    if kind == FITSNAP:
        return _of_fitsnap([(path.parent.name or path.stem, path)], index, path)
    try:
        with contextlib.ExitStack() as stack, np.errstate(all="ignore"):  # what is not finite is refused later
            made = _frames(path, kind, bool(types), nameless, stack)
            atoms, several = _chosen(made, index, path)
    except InputError:
        raise
    except Exception:  # what ASE makes of numbers that no structure has
        raise InputError(f"{path}: cannot be read as a structure file in the format {kind}; it is damaged") from None
    stem = path.name.split(".")[0]
    found_here = []
    for number, one in atoms:
        source = f"{path}[{number}]" if several else str(path)
        check_occupancy(one, source, nameless)
        _name_elements(one, kind, types, nameless, source)
        group = next((str(one.info[key]) for key in GROUP_KEYS if key in one.info), stem)
        found_here.append((source, group, one))
    return found_here


def _kind_of(path: Path, format: str | None) -> str:
    try:
        kind = kind_of(path) if format is None else named_kind(format)
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(str(path)) else f"{path}: {text}") from None
    return FITSNAP if kind == "json" and fitsnap.is_fitsnap(path) else kind


def _frames(
    path: Path, kind: str, named: bool, sites: bool, stack: contextlib.ExitStack
) -> Iterator[Callable[[], Any]]:
    """What makes the ase.Atoms of each structure of a file."""
    if kind not in _READERS and kind != CIF:
        return others.frames(path, kind)
    lines = stack.enter_context(Lines(path))
    if kind == CIF:
        return cif.frames(lines, named, sites)
    return _READERS[kind](lines, named or sites)


_READERS: dict[str, Callable[[Lines, bool], Iterator[Callable[[], Any]]]] = {
    XYZ: xyz.frames,
    DUMP: dump.frames,
    DATA: data.frames,
    POSCAR: vasp.poscar_frames,
    XDATCAR: vasp.xdatcar_frames,
    GEN: vasp.gen_frames,
    ATAT: atat.frames,
}


def _name_elements(atoms: Any, kind: str, types: Sequence[str], nameless: bool, source: str) -> None:
    """Give atoms the elements of their types where their file does not, or where `types` says them."""
    if kind == BINARY and "type" not in atoms.arrays:
        atoms.arrays["type"] = np.array(atoms.numbers)
    if types and "type" in atoms.arrays:
        rename(atoms, dict(enumerate(types, start=1)), source)
    elif kind != BINARY and (atoms.numbers > 0).all():
        return
    elif "type" not in atoms.arrays:
        if not nameless:
            raise InputError(f"{source}: has atoms of no element (X); each atom needs one")
    elif not nameless:
        raise InputError(
            f"{source}: atom types without elements; give target.types, the element of each type, such as"
            ' ["Au", "Cu"] (--types Au,Cu on the command line), or a file that names elements'
        )
    else:  # any symbols will do, as long as they differ as the types do
        atoms.set_atomic_numbers(np.clip(atoms.arrays["type"], 1, _MOST_TYPES))


def _chosen(made: Iterator[Callable[[], Any]], index: str | None, path: Path) -> tuple[list[tuple[int, Any]], bool]:
    """The structures wanted with their numbers, and whether messages number them.

    Those in front of the first and behind the last one wanted are not made, these not even read.
    """
    if index is None:
        found = [(k, make()) for k, make in enumerate(made)]
        if not found:
            raise InputError(f"{path}: holds no structure")
        return found, len(found) > 1
    if ":" not in index:
        number = int(index)
        n = 0
        last: deque[tuple[int, Any]] = deque(maxlen=max(-number, 1))
        for k, make in enumerate(made):
            n = k + 1
            if number < 0 or k == number:
                last.append((k, make()))
            if k == number:
                break
        if not last or (number < 0 and len(last) < -number):
            raise InputError(f"{path}: has {counted(n, 'structure')}, none at index {index}")
        return [last[0]], True
    wanted = slice(*(int(part) if part else None for part in index.split(":")))
    ahead = (wanted.start or 0) >= 0 and (wanted.step or 1) > 0 and (wanted.stop is None or wanted.stop >= 0)
    kept: list[tuple[int, Any]] = []
    n = 0
    for k, make in enumerate(made):
        if ahead and wanted.stop is not None and k >= wanted.stop:
            break
        n = k + 1
        if not ahead or k in range(wanted.start or 0, k + 1, wanted.step or 1):
            kept.append((k, make()))
    found = kept if ahead else kept[wanted]
    if not found:
        raise InputError(f"{path}: has {counted(n, 'structure')}, none at index {index}")
    return found, True


def _same(one: Any) -> Any:
    return one


def _of_fitsnap(files: Iterable[tuple[str, Path]], index: str | None, path: Path) -> list[tuple[str, str, Any]]:
    """(source, group, atoms) of FitSNAP files, given with their groups."""
    found = []
    for group, file in files:
        each = list(fitsnap.configurations(file))
        found += [(str(file) if len(each) == 1 else f"{file}[{k}]", group, one) for k, one in enumerate(each)]
    chosen, _ = _chosen((partial(_same, one) for one in found), index, path)
    return [one for _, one in chosen]
