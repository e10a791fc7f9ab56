"""Structures of an archive into files that other programs read."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from grs_evo.errors import InputError, expect, nearest
from grs_evo.exporters import formats as exchange
from grs_evo.exporters.formats import Calculation
from grs_evo.exporters.table import EXPORTERS, Context, Exporter
from grs_evo.plugins import entry_points, load
from grs_evo.search.population.domination import dominated
from grs_evo.search.population.individual import Individual, order_key, read_uid, short_uid
from grs_evo.storage.archive_file import Archive, lacks_seal, read_archive
from grs_evo.structures.structure import VACANCY, Structure, to_atoms
from grs_evo.structures.symmetry import ask_spglib

WHICH = ("archive", "pareto", "set")


def export(
    source: str | Path | Archive,
    out: str | Path,
    *,
    format: str | None = None,
    top: int | None = None,
    unique: bool = False,
    which: str = "archive",
    uids: Sequence[str | int] = (),
    pseudos: Mapping[str, str] | None = None,
    ecutwfc: float | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Write structures of an archive, the lowest value first.

    Parameters
    ----------
    source : run folder, archive file, or an archive that was read
    out : a file; its suffix tells the format. Formats with one structure per file get ``name-001.suffix`` and so on;
        ``"-"`` is standard output, for formats that are text
    format : where the suffix does not tell: one of `table.EXPORTERS`, such as extxyz (the one of standard output),
        poscar, cif, lammps, espresso (pw.x inputs), vasp (a folder with a POSCAR in a folder of its own for each), db
        (ase.db), chemiscope, traj, cp2k, abinit, castep, gpaw
    top : only so many
    unique : leave out structures that are the same crystal as an earlier one (equal up to symmetry and supercell)
    which : ``"archive"``, ``"pareto"`` for its Pareto front alone, or ``"set"`` for the representative set
    uids : only these, as shown on screen (``"3/29"``) or as files hold them
    pseudos : element -> name of its pseudopotential file, for pw.x inputs
    ecutwfc : plane-wave cutoff of pw.x inputs, Ry
    say : told, in one line, what a user should know of what was read, or has to do before what was written is of use

    Returns
    -------
    The files written. Atoms keep order and cell, whatever the format; LAMMPS alone turns a cell whose first vector does
    not lie along x.

    Raises
    ------
    InputError
        An unknown format or suffix, no such archive, nothing to write, a file that cannot be written, or numbered files
        of an earlier, longer export in the way.
    """
    expect(source, (str, Path, Archive), "source", "export(source, out)")
    archive = source if isinstance(source, Archive) else read_archive(source)
    if not isinstance(source, Archive) and (notice := lacks_seal(source)):
        say(notice)
    name_of = "the archive" if isinstance(source, Archive) else str(source)
    path = Path(out)
    to_screen = str(out) == "-"
    exporter = _exporter(path, "extxyz" if to_screen and format is None else format)
    if which not in WHICH:
        raise InputError(f"which: is {which!r}; must be one of {', '.join(WHICH)}{nearest(which, WHICH)}")
    if top is not None and top < 1:
        raise InputError(f"--top {top}: must be at least 1")
    elements = tuple(symbol for symbol in archive.elements if symbol != VACANCY)
    calculation = _calculation(exporter.name, pseudos or {}, ecutwfc, elements)
    found: Iterable[Individual] = _named(_chosen(archive, which, name_of), uids, name_of)
    chosen = list(itertools.islice(distinct(found) if unique else found, top))
    if not chosen:
        raise InputError(f"{name_of}: holds no structures to export")
    if not to_screen:
        _check_place(path, exporter, len(chosen))
    atoms = [archive.annotated(one) for one in chosen]
    absent = calculation.missing(atoms) if exporter.name == "espresso" else []
    if absent:
        say(
            f"no pseudopotential was given for {', '.join(absent)}: pw.x will stop there until these inputs name one; "
            f"--pseudo {absent[0]}=FILE does"
        )
    context = Context(elements, calculation)
    if not to_screen:
        return exporter.write(path, atoms, context)
    sys.stdout.buffer.write(_text(exporter, atoms, context))
    return []


def write_atoms(structure: Structure, elements: Sequence[str], out: Path) -> None:
    """Write one structure, in the format that the suffix tells.

    Raises
    ------
    InputError
        No such format, or a file that cannot be written.
    """
    exporter = _exporter(out, None)
    _check_place(out, exporter, 1)
    present = tuple(symbol for symbol in elements if symbol != VACANCY)
    exporter.write(out, [to_atoms(structure, elements)], Context(present, Calculation({}, None)))


def _check_place(path: Path, exporter: Exporter, count: int) -> None:
    if not path.parent.is_dir():
        raise InputError(f"{path}: cannot be written, {path.parent} is no folder")
    if exporter.is_apart and (old := exchange.left_over(path, count, folders=exporter.folders)):
        raise InputError(
            f"{old[0]}: is left of an earlier export{f', with {len(old) - 1} more,' if old[1:] else ''} and would "
            f"stand among the {count} of this one; remove it or choose another --out"
        )


def _text(exporter: Exporter, atoms: Sequence[Any], context: Context) -> bytes:
    """What goes to standard output."""
    if exporter.together is not None:
        return exporter.together(atoms, context)
    if exporter.each is None:
        raise InputError(f"-o -: {exporter.name} is no text for standard output; give a name")
    if len(atoms) > 1:
        raise InputError(f"-o -: {exporter.name} holds one structure, and these are {len(atoms)}; give --top 1")
    return exporter.each(atoms[0], context)


def _named(individuals: list[Individual], uids: Sequence[str | int], name: str) -> list[Individual]:
    """Those with one of some uids, all where none is given."""
    wanted = [read_uid(str(uid)) for uid in uids]
    found = {one.uid for one in individuals}
    for uid in wanted:
        if uid not in found:
            raise InputError(f"{name}: holds no structure with the uid {short_uid(uid)}")
    return [one for one in individuals if not uids or one.uid in wanted]


def _calculation(name: str, pseudos: Mapping[str, str], ecutwfc: float | None, elements: Sequence[str]) -> Calculation:
    if name != "espresso" and (pseudos or ecutwfc is not None):
        raise InputError(
            f"{'--pseudo' if pseudos else '--ecutwfc'}: is for pw.x inputs (--format espresso), not {name}"
        )
    for element in pseudos:
        if element not in elements:
            raise InputError(
                f"--pseudo {element}={pseudos[element]}: {element} is none of the run's elements, {', '.join(elements)}"
                + nearest(element, elements)
            )
    if ecutwfc is not None and not 0 < ecutwfc < np.inf:
        raise InputError(f"--ecutwfc {ecutwfc:g}: must be above 0 Ry")
    return Calculation(pseudos, ecutwfc)


def _chosen(archive: Archive, which: str, name: str) -> list[Individual]:
    if which == "set":
        if not archive.set:
            raise InputError(f"{name}: has no representative set; it is one search, without rounds (set.rounds)")
        return archive.set
    individuals = archive.individuals
    if which == "pareto":
        beaten = dominated(archive.objectives)
        individuals = [one for one, out in zip(individuals, beaten, strict=True) if not out]
    return sorted(individuals, key=order_key)


def _exporter(path: Path, format: str | None) -> Exporter:
    """A format of ours, or one from outside by module:variable or the name of its entry point."""
    if format is not None and (":" in format or format in entry_points("exporters")):
        found: Exporter = load("exporters", format, Exporter, "--format").value
        return found
    return EXPORTERS[_format_of(path, format)]


def _format_of(path: Path, format: str | None) -> str:
    if format is not None:
        if format.lower() not in EXPORTERS:
            raise InputError(
                f"--format {format}: is unknown; allowed are {', '.join(EXPORTERS)}{nearest(format, tuple(EXPORTERS))}"
            )
        return format.lower()
    if path.name.upper().startswith("POSCAR") or path.name.upper().startswith("CONTCAR"):
        return "poscar"
    for exporter in EXPORTERS.values():
        if exporter.suffixes and path.name.lower().endswith(exporter.suffixes):
            return exporter.name
    known = ", ".join(suffix for exporter in EXPORTERS.values() for suffix in exporter.suffixes)
    raise InputError(f"{path}: the suffix {path.suffix!r} tells no format; known are {known}, or give --format")


def distinct(individuals: Iterable[Individual], tolerance: float = 1e-3) -> Iterator[Individual]:
    """Those that are not the same crystal as an earlier one: primitive cells of equal content and symmetry.

    One after another, so that whoever wants a few does not wait for the symmetry of all.
    """
    seen: set[tuple[Any, ...]] = set()
    for one in individuals:
        key = crystal_key(one, tolerance)
        if key not in seen:
            seen.add(key)
            yield one


def crystal_key(one: Individual, tolerance: float = 1e-3) -> tuple[Any, ...]:
    """What equal crystals share: losses, composition, space group and size of the primitive cell."""
    structure = one.structure
    terms = tuple(float(f"{term:.6e}") if abs(term) > 1e-10 else 0.0 for term in one.terms)
    if not structure.pbc.all():
        return (structure.n_atoms, tuple(np.bincount(structure.species).tolist()), terms)
    scaled = np.asarray(np.linalg.solve(structure.cell.T, structure.positions.T).T, np.float64)
    kinds = structure.species.astype(np.int64) + 1
    primitive = ask_spglib("find_primitive", structure.cell, scaled, kinds, symprec=tolerance)
    found = ask_spglib("get_spacegroup", structure.cell, scaled, kinds, symprec=tolerance)
    species = structure.species if primitive is None else np.asarray(primitive[2]) - 1
    return (found, tuple(np.bincount(species).tolist()), terms)
