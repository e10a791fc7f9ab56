"""Structures of an archive into files that other programs read."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from grs_evo.errors import InputError, nearest
from grs_evo.exporters import formats as exchange
from grs_evo.exporters.formats import Calculation
from grs_evo.files import write_whole
from grs_evo.search.population.archive import dominated
from grs_evo.search.population.individual import Individual, order_key
from grs_evo.storage.archive_file import Archive, annotated, lacks_seal, read_archive
from grs_evo.structures.formats import FORMATS
from grs_evo.structures.symmetry import ask_spglib

# our name -> file suffixes that tell it
_SUFFIXES: dict[str, tuple[str, ...]] = {
    **{name: one.suffixes for name, one in FORMATS.items()},
    "espresso": (".pwi", ".in"),
    "vasp": (),
    "db": (".db",),
    "chemiscope": (".json", ".json.gz"),
}
# Of these every structure has a file of its own.
_APART = ("poscar", "lammps", "espresso", "vasp")

WHICH = ("archive", "pareto", "set")


def export(
    source: str | Path | Archive,
    out: str | Path,
    *,
    format: str | None = None,
    top: int | None = None,
    unique: bool = False,
    which: str = "archive",
    pseudos: Mapping[str, str] | None = None,
    ecutwfc: float | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Write structures of an archive, the lowest value first.

    Parameters
    ----------
    source : run folder, archive file, or an archive that was read
    out : a file; its suffix tells the format. Formats with one structure per file get ``name-001.suffix`` and so on
    format : where the suffix does not tell: extxyz, poscar, cif, lammps, espresso (pw.x inputs), vasp (a folder with
        a POSCAR in a folder of its own for each), db (ase.db) or chemiscope
    top : only so many
    unique : leave out structures that are the same crystal as an earlier one (equal up to symmetry and supercell)
    which : ``"archive"``, ``"pareto"`` for its Pareto front alone, or ``"set"`` for the representative set
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
    archive = source if isinstance(source, Archive) else read_archive(source)
    if not isinstance(source, Archive) and (notice := lacks_seal(source)):
        say(notice)
    name_of = "the archive" if isinstance(source, Archive) else str(source)
    path = Path(out)
    name = _format_of(path, format)
    if which not in WHICH:
        raise InputError(f"which: is {which!r}; must be one of {', '.join(WHICH)}{nearest(which, WHICH)}")
    if top is not None and top < 1:
        raise InputError(f"--top {top}: must be at least 1")
    calculation = _calculation(name, pseudos or {}, ecutwfc, archive.elements)
    found: Iterable[Individual] = _chosen(archive, which, name_of)
    chosen = list(itertools.islice(distinct(found) if unique else found, top))
    if not chosen:
        raise InputError(f"{name_of}: holds no structures to export")
    if not path.parent.is_dir():
        raise InputError(f"{path}: cannot be written, {path.parent} is no folder")
    if name in _APART and (old := exchange.left_over(path, len(chosen), folders=name == "vasp")):
        raise InputError(
            f"{old[0]}: is left of an earlier export{f', with {len(old) - 1} more,' if old[1:] else ''} and would "
            f"stand among the {len(chosen)} of this one; remove it or choose another --out"
        )
    atoms = [annotated(one, archive.elements, archive.term_names, archive.seed) for one in chosen]
    absent = calculation.missing(atoms) if name == "espresso" else []
    if absent:
        say(
            f"no pseudopotential was given for {', '.join(absent)}: pw.x will stop there until these inputs name one; "
            f"--pseudo {absent[0]}=FILE does"
        )
    return _write(path, name, atoms, archive.elements, calculation)


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


def _format_of(path: Path, format: str | None) -> str:
    if format is not None:
        if format.lower() not in _SUFFIXES:
            raise InputError(
                f"--format {format}: is unknown; allowed are {', '.join(_SUFFIXES)}{nearest(format, tuple(_SUFFIXES))}"
            )
        return format.lower()
    if path.name.upper().startswith("POSCAR") or path.name.upper().startswith("CONTCAR"):
        return "poscar"
    for name, suffixes in _SUFFIXES.items():
        if suffixes and path.name.lower().endswith(suffixes):
            return name
    known = ", ".join(suffix for suffixes in _SUFFIXES.values() for suffix in suffixes)
    raise InputError(f"{path}: the suffix {path.suffix!r} tells no format; known are {known}, or give --format")


def _write(path: Path, name: str, atoms: list[Any], elements: Sequence[str], calculation: Calculation) -> list[Path]:
    if name == "espresso":
        return exchange.quantum_espresso(path, atoms, calculation)
    if name == "vasp":
        return exchange.vasp_folders(path, atoms)
    if name == "db":
        return exchange.database(path, atoms)
    if name == "chemiscope":
        return exchange.chemiscope(path, atoms)
    if name in ("extxyz", "cif"):
        write_whole(path, exchange.extended_xyz(atoms) if name == "extxyz" else exchange.cif(atoms))
        return [path]
    files = []
    for k, one in enumerate(atoms, start=1):
        place = path if len(atoms) == 1 else exchange.numbered(path, k, len(atoms))
        write_whole(place, exchange.poscar(one) if name == "poscar" else exchange.lammps_data(one, elements))
        files.append(place)
    return files


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
