"""Options of all commands that read structure files, and the place of the file that they write."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import click

from grs_evo.errors import InputError
from grs_evo.files import is_folder

types_option = click.option(
    "--types", help="Element of each atom type of LAMMPS files that name none, in order: Au,Cu."
)
format_option = click.option(
    "--format", "format_", help="ASE's name of the structure files' format, if not clear: vasp, …"
)


def symbols(text: str) -> list[str]:
    """Chemical symbols out of a list such as Au,Cu."""
    return [part for part in text.replace(",", " ").replace("-", " ").split() if part]


def numbers(option: str, pairs: tuple[str, ...]) -> dict[str, float]:
    """NAME=NUMBER pairs of a command line."""
    found = {}
    for pair in pairs:
        name, _, number = pair.rpartition("=")
        try:
            found[name] = float(number)
        except ValueError:
            name = ""
        if not name:
            raise InputError(f"{option} {pair}: must be a name and a number, such as melt=2.5")
    return found


def check_place(out: Path, suffixes: tuple[str, ...], what: str, read: Iterable[str] = ()) -> None:
    """Refuse a file to be written before anything is computed for it.

    Parameters
    ----------
    suffixes : those of the format
    what : what is written, and how: "selections are written as extended XYZ"
    read : names of the structure files that the command reads, with their index; none of them is written over

    Raises
    ------
    InputError
        Another suffix, a folder, no folder to write in, or one of the files that are read.
    """
    from grs_evo.structures.reading import split_name  # half a second of imports, which --help does not need

    if out.suffix not in suffixes:
        raise InputError(f"{out}: {what}; give a name that ends in {suffixes[0]}")
    if is_folder(out):
        raise InputError(f"{out}: is a folder; give the name of a file")
    if not is_folder(out.parent):
        raise InputError(f"{out}: cannot be written, {out.parent} is no folder")
    if not os.access(out.parent, os.W_OK):
        raise InputError(f"{out}: cannot be written, {out.parent} is closed to you")
    for name in read:
        path, _ = split_name(name, Path())
        if path.exists() and out.exists() and path.samefile(out):
            raise InputError(f"{out}: is read here, too ({name}), and would be written over; choose another --out")
