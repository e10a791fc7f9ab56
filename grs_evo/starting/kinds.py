"""All kinds of runs that a run file can be written for, and the writing."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from grs_evo.errors import InputError, nearest
from grs_evo.files import is_there
from grs_evo.starting import crystals, disordered, sets
from grs_evo.starting.kind import Draft, Kind, Wanted
from grs_evo.starting.look import look
from grs_evo.structures.reading import split_name

_MADE = {one.name: one for module in (crystals, disordered, sets) for one in module.KINDS}
_ORDER = ("order", "sqs", "melt", "glass", "slab", "molecules", "set", "select", "reverse", "augment")
KINDS: dict[str, Kind] = {name: _MADE[name] for name in _ORDER if name in _MADE}


def listing() -> str:
    """The kinds, one a line."""
    wide = max(map(len, KINDS))
    lines = ["grs-evo init KIND [STRUCTURES] writes a run file. Kinds:", ""]
    lines += [f"  {one.name:<{wide}}  {one.meaning}" for one in KINDS.values()]
    return "\n".join(lines)


def draft(
    name: str,
    files: Sequence[str],
    folder: Path,
    *,
    atoms: int | None = None,
    composition: Mapping[str, float] | None = None,
    lattice: str | None = None,
    a: float | None = None,
    given: str | None = None,
    types: Sequence[str] = (),
    format: str | None = None,
) -> Draft:
    """What is to be written for a kind of run.

    Parameters
    ----------
    files : structure files, from where the program was started
    folder : where the run file will lie, and its file names start
    atoms : of a cell
    composition : fraction of each element
    lattice, a : of a random alloy, a in Å
    given : a file of structures that are there already
    types, format : as for every command that reads structure files

    Raises
    ------
    InputError
        No such kind; structures are missing, cannot be read, or are not what the kind is for.
    """
    if name not in KINDS:
        raise InputError(f"init {name}: is no kind of run{nearest(name, KINDS)}; there are {', '.join(KINDS)}")
    kind = KINDS[name]
    for option, value, owner in (
        ("composition", composition, "sqs"),
        ("lattice", lattice, "sqs"),
        ("a", a, "sqs"),
        ("given", given, "augment"),
    ):
        if value and name != owner:
            raise InputError(f"init {name}: --{option} goes with {owner} alone")
    if kind.structures and not files:
        tried = f"; `grs-evo init --example {kind.example}` writes one that ships" if kind.example else ""
        raise InputError(f"init {name}: name a structure file: {kind.structures}{tried}")
    seen = look(files, types, format) if files else None
    names = tuple(_from(folder, one) for one in files)
    if given is not None and not is_there(split_name(given, Path())[0]):
        raise InputError(f"--given {given}: no such file")
    there = None if given is None else _from(folder, given)
    return kind.write(Wanted(seen, names, atoms, dict(composition or {}), lattice, a, there))


def _from(folder: Path, name: str) -> str:
    """A file name that starts in the folder of the run file, its index kept."""
    path, index = split_name(name, Path())
    here = path if path.is_absolute() else Path(os.path.relpath(path, folder))
    return str(here) if index is None else f"{here}@{index}"


def write(made: Draft, path: Path) -> str:
    """Write a run file with what belongs to it; returns what was found, and the commands that go on.

    Raises
    ------
    InputError
        One of the files is there already.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for place in (path, *(path.parent / one for one in made.files)):
        if is_there(place):
            other = "choose another -o" if place == path else "remove it, or choose another folder with -o"
            raise InputError(f"{place}: exists already; {other}")
    path.write_text(made.text, encoding="utf-8")
    for name, content in made.files.items():
        (path.parent / name).write_text(content, encoding="utf-8")
    out = path.with_suffix("")
    commands = [one.format(file=shlex.quote(str(path)), out=shlex.quote(str(out))) for one in made.commands]
    return "\n".join([*made.notes, f"{path}: written. Next:", *(f"  {one}" for one in commands)])
