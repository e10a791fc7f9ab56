"""`grs-evo refit`: a linear potential fitted on a set, and its errors on structures it has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from grs_evo.cli.files import check_place, format_option, symbols, types_option
from grs_evo.text import counted, table_of, to_json

if TYPE_CHECKING:
    from grs_evo.datasets.refit import Errors, Refit


@click.command(short_help="Fit a linear potential, and tell its errors.")
@click.argument("training", nargs=-1, required=True)
@click.option("--test", multiple=True, metavar="FILE", help="Structures with labels that the fit does not see.")
@click.option("--cutoff", type=float, help="Cutoff of the linear model in Å. Default: twice the nearest distance.")
@click.option("--energies", type=float, help="Weight of energies against forces. Default: by cross-validation.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Write the potential: a .yace file for LAMMPS.")
@types_option
@format_option
@click.option("--threads", type=click.IntRange(1), help="Threads that describe. Default: one per core.")
@click.option("--json", "json_", is_flag=True, help="For programs.")
def refit(
    training: tuple[str, ...],
    test: tuple[str, ...],
    cutoff: float | None,
    energies: float | None,
    out: Path | None,
    types: str | None,
    format_: str | None,
    threads: int | None,
    json_: bool,
) -> None:
    """Fit a linear potential on labelled structures, and tell its errors on others: what a training set is worth."""
    from grs_evo.datasets.labels import read_labelled
    from grs_evo.datasets.refit import refit as refit_
    from grs_evo.datasets.select import basis_for

    if out is not None:
        check_place(out, (".yace",), "potentials are written as .yace", (*training, *test))
    kinds = symbols(types or "")
    given = list(read_labelled(training, kinds, format_))
    basis = None if cutoff is None else basis_for(given, cutoff)
    unseen = list(read_labelled(test, kinds, format_)) if test else None
    found = refit_(given, unseen, basis=basis, energies=energies, threads=threads)
    if out is not None:
        found.potential.write(out)
    click.echo(to_json(as_dict(found), indent=1) if json_ else text_of(found, energies is None))


def text_of(found: Refit, weighed: bool = True) -> str:
    """Errors by group, on the set and on the test structures; `weighed` if cross-validation found the weight, too."""
    size = f"{counted(found.n_structures, 'structure')}, {found.n_environments} environments"
    one = found.potential
    told = f"ridge {one.ridge:.2g}", f"weight of energies {one.energies:g}"
    by = "cross-validated on the set"
    lines = [
        f"fitted on {size}: {len(one.coefficients)} functions",
        f"{told[0]} and {told[1]} ({by})" if weighed else f"{told[0]} ({by}), {told[1]}",
        "",
        _table("on the set", found.training),
    ]
    if found.test:
        lines += ["", _table("test" if found.seen else "not seen", found.test)]
    if found.notes:
        lines += ["", *(f"note: {note}" for note in found.notes)]
    return "\n".join(lines)


def _table(title: str, errors: dict[str, Errors]) -> str:
    rows = [
        [group or "–", str(one.structures), f"{one.energy:.3g}", f"{one.forces:.3g}"] for group, one in errors.items()
    ]
    return table_of(rows, [title, "structures", "meV/atom", "meV/Å"])


def as_dict(found: Refit) -> dict[str, Any]:
    """For programs: root mean square errors in meV per atom and meV/Å."""
    return {
        "structures": found.n_structures,
        "environments": found.n_environments,
        "ridge": found.potential.ridge,
        "energies": found.potential.energies,
        "training": {group: vars(one) for group, one in found.training.items()},
        "test": {group: vars(one) for group, one in found.test.items()},
        "seen": found.seen,
        "notes": list(found.notes),
    }
