"""`grs-evo export`: structures of a run, or a labelled set, into files of other programs."""

from __future__ import annotations

from pathlib import Path

import click

from grs_evo.errors import InputError


@click.command(short_help="Write what a run found for other programs, best first.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="File to write; - is standard output."
)
@click.option(
    "--format",
    "format_",
    help="Where the suffix does not tell: extxyz, poscar, cif, lammps, espresso, vasp (a folder per structure), db "
    "(ase.db), chemiscope, traj, cp2k, abinit, castep or gpaw.",
)
@click.option(
    "--for",
    "program",
    metavar="PROGRAM",
    help="A training set for fitsnap, pacemaker, ace-jax, mace or nequip; FOLDER is then a labelled file.",
)
@click.option("--uid", "uids", multiple=True, metavar="ISLAND/NUMBER", help="Only these structures.")
@click.option("--top", type=int, help="Only the best so many.")
@click.option("--unique", is_flag=True, help="Leave out structures that are the same crystal as a better one.")
@click.option("--set", "set_", is_flag=True, help="The representative set instead of the archive.")
@click.option("--pareto", is_flag=True, help="Only the Pareto front of the archive.")
@click.option("--pseudo", multiple=True, metavar="EL=FILE", help="Pseudopotential of an element, for pw.x inputs.")
@click.option("--ecutwfc", type=float, help="Plane-wave cutoff of pw.x inputs in Ry.")
def export(
    folder: Path,
    out: Path,
    format_: str | None,
    program: str | None,
    uids: tuple[str, ...],
    top: int | None,
    unique: bool,
    set_: bool,
    pareto: bool,
    pseudo: tuple[str, ...],
    ecutwfc: float | None,
) -> None:
    """Write structures of a run's archive, best first; cells and positions as they are."""
    from grs_evo.exporters.export import export as export_

    if program is not None:
        click.echo("\n".join(str(path) for path in training_set(folder, out, program)))
        return
    if set_ and pareto:
        raise InputError("--set, --pareto: ask for different structures; give one of them")
    pseudos = {}
    for given in pseudo:
        element, equals, file = given.partition("=")
        if not (element and equals and file):
            raise InputError(f"--pseudo {given}: must be ELEMENT=FILE, e.g. Ta=Ta.pbe-spn-kjpaw.UPF")
        pseudos[element] = file
    files = export_(
        folder,
        out,
        format=format_,
        top=top,
        unique=unique,
        uids=uids,
        which="set" if set_ else "pareto" if pareto else "archive",
        pseudos=pseudos,
        ecutwfc=ecutwfc,
        say=lambda text: click.echo(f"grs-evo: {text}", err=True),
    )
    if files:
        click.echo("\n".join(str(path) for path in files))


def training_set(source: Path, out: Path, program: str) -> list[Path]:
    """Labelled structures of a file in the layout of a program that fits potentials; the files that matter to it.

    Raises
    ------
    InputError
        A run folder, or structures without labels.
    """
    from grs_evo.datasets.labels import read_labelled, stress_of
    from grs_evo.exporters.training import Labelled, layout_of

    layout = layout_of(program, out)
    if source.suffix == ".h5" or (source / "run.toml").exists():
        raise InputError(
            f"{source}: what a run found has no energies and forces yet; export it, compute them, join them with "
            "grs-evo label, and give the file that it writes"
        )
    found = []
    for one in read_labelled([str(source)]):
        if one.energy is None or one.forces is None:
            lacking = "energy" if one.energy is None else "forces"
            raise InputError(f"{one.source}: has no {lacking}; {program} fits to energies and forces")
        found.append(Labelled(one.atoms, one.group, one.energy, one.forces, stress_of(one.atoms)))
    files = layout.write(out, found)
    return files[-1:] if program == "fitsnap" else files
