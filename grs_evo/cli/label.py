"""`grs-evo label`: energies and forces of calculators' outputs, joined to the structures they were computed for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from grs_evo.cli.files import check_place, format_option, symbols, types_option
from grs_evo.errors import InputError
from grs_evo.text import counted, to_json

if TYPE_CHECKING:
    from grs_evo.datasets.labelling.join import Joined

# Structures without a result that are named one by one.
_NAMED = 5


@click.command(short_help="Join computed energies and forces to their structures.")
@click.argument("results", nargs=-1, required=True)
@click.option(
    "--structures",
    multiple=True,
    required=True,
    metavar="FILE",
    help="What they were computed for: the exported file, or the run folder.",
)
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="File to write, .extxyz.")
@click.option("--tolerance", type=float, help="Cells and atoms may differ by so many Å.  [default: 0.01]")
@types_option
@format_option
@click.option("--json", "json_", is_flag=True, help="For programs.")
def label(
    results: tuple[str, ...],
    structures: tuple[str, ...],
    out: Path,
    tolerance: float | None,
    types: str | None,
    format_: str | None,
    json_: bool,
) -> None:
    """Join energies, forces and stress of RESULTS (vasprun.xml, OUTCAR, extxyz, …, or folders) to their structures.

    The labelled structures are what `grs-evo refit` and `grs-evo select --given` take.
    """
    from grs_evo.datasets.labelling.join import TOLERANCE
    from grs_evo.datasets.labelling.join import label as label_

    check_place(out, (".extxyz", ".xyz"), "labelled structures are written as extended XYZ", (*results, *structures))
    if tolerance is not None and not 0 < tolerance < 1:
        raise InputError(f"--tolerance {tolerance:g}: must be above 0 and below 1 Å")
    found = label_(
        list(results),
        list(structures),
        out,
        tolerance=TOLERANCE if tolerance is None else tolerance,
        format=format_,
        types=symbols(types or ""),
    )
    if json_:
        click.echo(
            to_json(
                {
                    "labelled": len(found.atoms),
                    "by_uid": found.by_uid,
                    "passed_over": found.passed_over,
                    "missing": list(found.missing),
                },
                indent=1,
            )
        )
    else:
        click.echo(text_of(found, out))


def text_of(found: Joined, out: Path) -> str:
    """What was joined, and what is missing."""
    alike = len(found.atoms) - found.by_uid
    stressed = sum("stress" in one.calc.results for one in found.atoms)
    lines = [
        f"{counted(len(found.atoms), 'structure')} labelled ({found.by_uid} by uid, {alike} by cell and positions; "
        f"{stressed} with stress): {out}"
    ]
    if found.passed_over:
        lines.append(f"passed over: {counted(found.passed_over, 'further configuration')}, as of relaxations")
    if found.missing:
        lines.append(f"without result: {counted(len(found.missing), 'structure')}")
        lines += [f"  {source}" for source in found.missing[:_NAMED]]
        if len(found.missing) > _NAMED:
            lines.append(f"  and {len(found.missing) - _NAMED} more")
    return "\n".join(lines)
