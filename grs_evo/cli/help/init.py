"""`grs-evo init`: a run file for what is at hand, a run that ships, a script for a batch system."""

from __future__ import annotations

from pathlib import Path

import click

from grs_evo.cli.files import format_option, symbols, types_option
from grs_evo.errors import InputError

_SYSTEMS = ("slurm", "pbs", "lsf")


@click.command(short_help="Write a run file for the structures at hand.")
@click.argument("kind", required=False)
@click.argument("structures", nargs=-1)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="File to write; of an example, a folder. Default: the kind's or example's name, here.",
)
@click.option("--atoms", type=click.IntRange(1, 10_000), help="Atoms of a cell, about.")
@click.option("--composition", help="Of a random alloy (sqs): Fe=0.5,Cr=0.5.")
@click.option("--lattice", help="Of a random alloy: sc, bcc, fcc, diamond. Default: that of its elements.")
@click.option("--a", type=click.FloatRange(0, min_open=True), help="Of a random alloy: lattice constant in Å.")
@click.option("--given", help="Structures that are there already (augment).")
@types_option
@format_option
@click.option("--example", metavar="NAME", help="Copy a run that ships, with its target, instead.")
@click.option(
    "--launch",
    type=click.Choice(_SYSTEMS),
    help="Write a script for this batch system, too; with a run file for KIND, that alone.",
)
@click.option("--ranks", default=4, show_default=True, type=click.IntRange(1), help="MPI ranks, for --launch.")
@click.option("--hours", default=12, show_default=True, type=click.IntRange(1, 999), help="Time, for --launch.")
def init(
    kind: str | None,
    structures: tuple[str, ...],
    out: Path | None,
    atoms: int | None,
    composition: str | None,
    lattice: str | None,
    a: float | None,
    given: str | None,
    types: str | None,
    format_: str | None,
    example: str | None,
    launch: str | None,
    ranks: int,
    hours: int,
) -> None:
    """Look at structures and write a short, commented run file that runs as it is.

    Without KIND the kinds are listed.

    \b
    grs-evo init melt md.extxyz::10
    grs-evo init sqs --composition Fe=0.5,Cr=0.5
    grs-evo init --example cu3au-l12
    grs-evo init --launch slurm melt.toml
    """
    if example is not None:
        if kind is not None:
            raise InputError(f"--example: goes without {kind}; it copies a whole run")
        click.echo(_example(example, out))
        return
    if kind is None:
        if launch is not None:
            raise InputError(f"--launch {launch}: needs a run file, such as grs-evo init --launch {launch} melt.toml")
        click.echo(_listing())
        return
    if launch is not None and kind.endswith(".toml"):
        click.echo(_launch(launch, Path(kind), ranks, hours))
        return
    from grs_evo.starting.kinds import draft, write

    path = out if out is not None else Path(kind)
    made = draft(
        kind,
        structures,
        path.parent,
        atoms=atoms,
        composition=_fractions(composition),
        lattice=lattice,
        a=a,
        given=given,
        types=symbols(types or ""),
        format=format_,
    )
    place = path if out is not None else path.with_suffix(made.suffix)
    click.echo(write(made, place))
    if launch is not None:
        click.echo(_launch(launch, place, ranks, hours))


def _listing() -> str:
    from grs_evo.starting import examples, kinds

    return (
        f"{kinds.listing()}\n\ngrs-evo init --example NAME copies a run that ships, with its target:\n\n"
        f"{examples.listing()}"
    )


def _example(name: str, out: Path | None) -> str:
    from grs_evo.starting.examples import copy_example

    place = out if out is not None else Path(name)
    files = copy_example(name, place)
    lines = [f"{path}" for path in files]
    if not (place / "run.toml").exists():  # not all examples are searches
        return "\n".join([*lines, f"{place / 'README.md'} has its commands"])
    return "\n".join(
        [
            *lines,
            f"Read {place / 'README.md'}, then",
            f"  mpiexec -n 2 grs-evo run {place / 'run.toml'} --out out-{place.name}",
        ]
    )


def _launch(system: str, run_file: Path, ranks: int, hours: int) -> str:
    from grs_evo.starting.launch import Job, write_script

    return write_script(system, Job(run_file, ranks, hours))


def _fractions(text: str | None) -> dict[str, float]:
    """Fractions that add up to 1, out of Fe=0.5,Cr=0.5 or parts such as Fe=1,Cr=3."""
    found: dict[str, float] = {}
    for part in (text or "").replace(",", " ").split():
        symbol, _, number = part.partition("=")
        try:
            found[symbol] = float(number)
        except ValueError:
            raise InputError(f"--composition {text}: must be elements with fractions, such as Fe=0.5,Cr=0.5") from None
        if not found[symbol] > 0:
            raise InputError(f"--composition {text}: the fraction of {symbol} must be above 0")
    total = sum(found.values())
    return {symbol: part / total for symbol, part in found.items()}
