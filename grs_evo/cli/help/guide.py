"""`grs-evo guide`: the manual in the terminal, as a site, and the options of run files."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from grs_evo.errors import InputError

_WIDEST = 100


@click.command()
@click.argument("page", required=False)
@click.argument("table", required=False)
@click.option("--site", type=click.Path(path_type=Path), help="Write the manual as a static site into this folder.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of run files, for editors.")
def guide(page: str | None, table: str | None, site: Path | None, schema: bool) -> None:
    """Read the manual, offline: without PAGE its contents.

    \b
    grs-evo guide first-run
    grs-evo guide options relax
    grs-evo guide --schema > run-file.schema.json
    """
    if (page is not None) + (site is not None) + schema > 1:
        raise InputError("guide: takes a page, --site or --schema; give one of them")
    if site is not None:
        from grs_evo.guide.site import build

        click.echo(str(build(site)))
    elif schema:
        from grs_evo.guide import options

        click.echo(options.schema(), nl=False)
    elif page is None:
        from grs_evo.guide.pages import contents

        click.echo(contents())
    else:
        _show(_text(page, table))


def _text(page: str, table: str | None) -> str:
    from grs_evo.guide import pages

    if table is None:
        return pages.text(page)
    if page != pages.OPTIONS:
        raise InputError(f"guide {page} {table}: a table goes with the page {pages.OPTIONS} alone")
    from grs_evo.guide.options import page as reference

    return reference(table.strip("[]"))


def _show(text: str) -> None:
    if not sys.stdout.isatty():
        click.echo(text, nl=False)
        return
    from grs_evo.guide.pages import rendered

    click.echo_via_pager(rendered(text, min(_WIDEST, shutil.get_terminal_size().columns)), color=True)
