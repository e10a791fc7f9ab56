"""Structures of an archive into files that other programs read."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import exchange
from .archive import dominated
from .errors import InputError, nearest
from .formats import FORMATS
from .population import Individual
from .storage import Archive, annotated, read_archive, write_whole

WHICH = ("archive", "pareto", "set")


def export(
    source: str | Path | Archive,
    out: str | Path,
    *,
    format: str | None = None,
    top: int | None = None,
    unique: bool = False,
    which: str = "archive",
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

    Returns
    -------
    The files written. Atoms keep order and cell, whatever the format; LAMMPS alone turns a cell whose first vector does
    not lie along x.

    Raises
    ------
    InputError
        An unknown format or suffix, no such archive, nothing to write, or a file that cannot be written.
    """
    archive = source if isinstance(source, Archive) else read_archive(source)
    path = Path(out)
    name = _format_of(path, format)
    if which not in WHICH:
        raise InputError(f"which: is {which!r}; must be one of {', '.join(WHICH)}{nearest(which, WHICH)}")
    if top is not None and top < 1:
        raise InputError(f"--top {top}: must be at least 1")
    chosen = _chosen(archive, which)
    if unique:
        chosen = distinct(chosen, archive.elements)
    chosen = chosen[:top]
    if not chosen:
        raise InputError(
            f"{source if not isinstance(source, Archive) else 'the archive'}: holds no structures to export"
        )
    atoms = [annotated(one, archive.elements, archive.term_names, archive.seed) for one in chosen]
    if name in exchange.WRITERS:
        if not path.parent.is_dir():
            raise InputError(f"{path}: cannot be written, {path.parent} is no folder")
        return exchange.WRITERS[name][1](path, atoms)
    ase_name, _, many, arguments = FORMATS[name]
    if name == "lammps":
        arguments = {**arguments, "specorder": list(archive.elements)}
    files: list[Path] = []
    if many or len(atoms) == 1:
        files.append(_write(path, atoms, ase_name, arguments))
    else:
        for k, one in enumerate(atoms, start=1):
            files.append(_write(exchange.numbered(path, k, len(atoms)), [one], ase_name, arguments))
    return files


def _chosen(archive: Archive, which: str) -> list[Individual]:
    if which == "set":
        return archive.set
    individuals = archive.individuals
    if which == "pareto":
        beaten = dominated(archive.objectives)
        individuals = [one for one, out in zip(individuals, beaten, strict=True) if not out]
    return sorted(individuals, key=lambda one: (one.value, one.uid))


def _format_of(path: Path, format: str | None) -> str:
    if format is not None:
        allowed = (*FORMATS, *exchange.WRITERS)
        if format.lower() not in allowed:
            raise InputError(
                f"--format {format}: is unknown; allowed are {', '.join(allowed)}{nearest(format, allowed)}"
            )
        return format.lower()
    if path.name.upper().startswith("POSCAR") or path.name.upper().startswith("CONTCAR"):
        return "poscar"
    table = {name: one.suffixes for name, one in FORMATS.items()}
    table |= {name: suffixes for name, (suffixes, _) in exchange.WRITERS.items()}
    for name, suffixes in table.items():
        if suffixes and path.name.lower().endswith(suffixes):
            return name
    known = ", ".join(suffix for suffixes in table.values() for suffix in suffixes)
    raise InputError(f"{path}: the suffix {path.suffix!r} tells no format; known are {known}, or give --format")


def _write(path: Path, atoms: list[Any], ase_name: str, arguments: dict[str, Any]) -> Path:
    import ase.io

    if not path.parent.is_dir():
        raise InputError(f"{path}: cannot be written, {path.parent} is no folder")
    if ase_name == "vasp":
        write_whole(path, exchange.poscar(atoms[0]))
        return path
    many: Any = atoms if len(atoms) > 1 or ase_name in ("extxyz", "cif") else atoms[0]
    if ase_name == "cif":
        buffer: Any = io.BytesIO()
    else:
        buffer = io.StringIO()
    ase.io.write(buffer, many, format=ase_name, **arguments)
    content = buffer.getvalue()
    data = content if isinstance(content, bytes) else content.encode()
    if ase_name == "lammps-data":
        rest = data.partition(b"\n")[2]
        data = b"# " + exchange.label(atoms[0]).encode() + b"\n" + rest
    write_whole(path, data)
    return path


def distinct(individuals: Sequence[Individual], elements: Sequence[str], tolerance: float = 1e-3) -> list[Individual]:
    """Those that are not the same crystal as an earlier one: primitive cells of equal content and symmetry."""
    kept: list[Individual] = []
    seen: set[tuple[Any, ...]] = set()
    for one in individuals:
        key = crystal_key(one, tolerance)
        if key not in seen:
            seen.add(key)
            kept.append(one)
    return kept


def crystal_key(one: Individual, tolerance: float = 1e-3) -> tuple[Any, ...]:
    """What equal crystals share: losses, composition, space group and size of the primitive cell."""
    import spglib

    structure = one.structure
    terms = tuple(float(f"{term:.6e}") if abs(term) > 1e-10 else 0.0 for term in one.terms)
    if not structure.pbc.all():
        return (structure.n_atoms, tuple(np.bincount(structure.species).tolist()), terms)
    scaled = np.linalg.solve(structure.cell.T, structure.positions.T).T
    cell: Any = (structure.cell, scaled, structure.species + 1)
    primitive = spglib.find_primitive(cell, symprec=tolerance)
    found = spglib.get_spacegroup(cell, symprec=tolerance)
    species = structure.species if primitive is None else np.asarray(primitive[2]) - 1
    return (found, tuple(np.bincount(species).tolist()), terms)
