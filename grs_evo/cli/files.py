"""Options of all commands that read structure files."""

from __future__ import annotations

import click

types_option = click.option(
    "--types", help="Element of each atom type of LAMMPS files that name none, in order: Au,Cu."
)
format_option = click.option(
    "--format", "format_", help="ASE's name of the structure files' format, if not clear: vasp, …"
)


def symbols(text: str) -> list[str]:
    """Chemical symbols out of a list such as Au,Cu."""
    return [part for part in text.replace(",", " ").replace("-", " ").split() if part]
