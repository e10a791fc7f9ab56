"""`grs-evo plot`: the programs of tools/, which travel with the package, by their names."""

from __future__ import annotations

import ast
import importlib
import sys

import click

from grs_evo.errors import InputError, nearest
from grs_evo.files import shipped
from grs_evo.text import listing_of

_HELPERS = ("arguments",)


def tools() -> dict[str, str]:
    """Each program with what it draws."""
    found = {}
    for path in sorted(shipped("tools").glob("*.py")):
        if path.stem not in _HELPERS:
            text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            found[path.stem] = text.partition("\n")[0]
    return found


@click.command(
    short_help="Draw runs and sets, with the numbers beside.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("what", required=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def plot(what: str | None, arguments: tuple[str, ...]) -> None:
    """Draw runs and sets, with the numbers beside: grs-evo plot pareto OUT; without WHAT a list.

    \b
    grs-evo plot picture out -o picture
    grs-evo plot pareto --help
    """
    known = tools()
    if what is None:
        click.echo(f"grs-evo plot WHAT … draws:\n\n{listing_of(known)}")
        return
    if what not in known:
        raise InputError(
            f"plot {what}: is nothing that can be drawn{nearest(what, known)}; there are {', '.join(known)}"
        )
    sys.path.insert(0, str(shipped("tools")))  # for what they share
    shared = importlib.import_module("arguments")
    sys.exit(shared.run(importlib.import_module(what).main, list(arguments), f"grs-evo: plot {what}"))
