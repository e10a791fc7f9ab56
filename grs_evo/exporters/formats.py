"""Formats that ASE's writers alone do not serve: with every digit, with where a structure comes from, ready to compute.

Like every export they keep the cell and the positions as they are: nothing is rotated, reduced or standardised.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from grs_evo.errors import InputError, StorageError
from grs_evo.files import write_whole

# Starting values of a Quantum ESPRESSO input, to be converged by whoever runs it; the file says so.
_CUTOFF_RY = 60.0
_SPACING = 0.04  # of k-points, 1/Å (without 2π)


@dataclass(frozen=True)
class Calculation:
    """What a DFT input needs beside the structure."""

    pseudos: Mapping[str, str] = field(default_factory=dict)  # element -> file name of its pseudopotential
    ecutwfc: float | None = None  # plane-wave cutoff, Ry; None: a starting value to be checked

    def missing(self, atoms: Sequence[Any]) -> list[str]:
        """Elements of the structures whose pseudopotential is not given."""
        found = dict.fromkeys(symbol for one in atoms for symbol in one.get_chemical_symbols())
        return [symbol for symbol in found if symbol not in self.pseudos]


def extended_xyz(atoms: Sequence[Any]) -> bytes:
    """Extended XYZ with every digit of the positions, which ASE's own writer cuts at 1e-8 Å."""
    from ase.io import extxyz

    written: Any = extxyz.key_val_dict_to_str  # ASE gives no types
    lines = []
    for one in atoms:
        lattice = " ".join(repr(float(x)) for x in one.cell[:].ravel())
        known = written({**one.info, "pbc": np.asarray(one.pbc)})
        lines += [str(len(one)), f'Lattice="{lattice}" Properties=species:S:1:pos:R:3 {known}']
        for symbol, position in zip(one.get_chemical_symbols(), one.positions, strict=True):
            lines.append(f"{symbol:<2s} " + " ".join(f"{float(x)!r:>23s}" for x in position))
    return ("\n".join(lines) + "\n").encode()


def cif(atoms: Sequence[Any]) -> bytes:
    """CIF with a block ``data_grs_<uid>`` for each structure, and what is known of it in comments before the block."""
    from ase.io import write

    blocks = []
    for one in atoms:
        stream = io.BytesIO()
        write(stream, [bare(one)], format="cif", wrap=False)
        known = "".join(f"# {key} = {_text(one.info[key])}\n" for key in sorted(one.info))
        body = stream.getvalue().decode().partition("\n")[2]
        blocks.append(f"{known}data_grs_{one.info['grs_uid']}\n{body}")
    return "\n".join(blocks).encode()


def lammps_data(one: Any, elements: Sequence[str]) -> bytes:
    """A LAMMPS data file with a type per element of the run, and what is known of the structure in its first line."""
    from ase.io import write

    stream = io.StringIO()
    write(stream, one, format="lammps-data", masses=True, specorder=list(elements))
    return f"# {label(one)}\n{stream.getvalue().partition(chr(10))[2]}".encode()


def quantum_espresso(path: Path, atoms: Sequence[Any], calculation: Calculation) -> list[Path]:
    """One pw.x input per structure: ``path`` for one, ``name-001.suffix`` and so on for many.

    Cell and positions are complete. A pseudopotential that was not given gets a name that no file has and that tells
    what to do, so that pw.x stops rather than computes with another; cutoff and k-points are starting values that the
    second line of the file tells to check.
    """
    from ase.io.espresso import write_espresso_in

    absent = calculation.missing(atoms)
    check = [*(["pseudopotentials"] if absent else []), *(["ecutwfc"] if calculation.ecutwfc is None else [])]
    files = []
    for k, one in enumerate(atoms, start=1):
        symbols = list(dict.fromkeys(one.get_chemical_symbols()))
        stream = io.StringIO()
        stream.write(f"! {label(one)}\n! starting values, to be checked: {', '.join([*check, 'k-points'])}\n")
        write_espresso_in(
            stream,
            bare(one),
            input_data={
                "control": {
                    "calculation": "scf",
                    "tprnfor": True,
                    "tstress": True,
                    "prefix": path.stem if len(atoms) == 1 else f"{path.stem}-{k}",
                },
                "system": {
                    "ecutwfc": _CUTOFF_RY if calculation.ecutwfc is None else calculation.ecutwfc,
                    "occupations": "smearing",
                    "smearing": "mv",
                    "degauss": 0.02,
                },
            },
            pseudopotentials={
                symbol: calculation.pseudos.get(symbol, f"NO_PSEUDOPOTENTIAL_GIVEN_FOR_{symbol}") for symbol in symbols
            },
            kspacing=_SPACING,
        )
        place = path if len(atoms) == 1 else numbered(path, k, len(atoms))
        write_whole(place, stream.getvalue().encode())
        files.append(place)
    return files


def vasp_folders(path: Path, atoms: Sequence[Any]) -> list[Path]:
    """A folder of folders, ``path/001/POSCAR`` and so on, as VASP wants them; atoms are grouped by element."""
    files = []
    for k, one in enumerate(atoms, start=1):
        place = path / _number(k, len(atoms)) / "POSCAR"
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{place.parent}: cannot be made a folder ({error.strerror})") from None
        write_whole(place, poscar(one))
        files.append(place)
    return files


def poscar(one: Any) -> bytes:
    """A POSCAR with the atoms grouped by element, in the order in which elements first occur."""
    from ase.io import write

    symbols = one.get_chemical_symbols()
    first = list(dict.fromkeys(symbols))
    order = sorted(range(len(symbols)), key=lambda k: (first.index(symbols[k]), k))
    stream = io.StringIO()
    write(stream, one[order], format="vasp", direct=True, vasp5=True)
    # The first line is free text since elements have a line of their own; ASE's versions differ in how it is given.
    return (label(one) + "\n" + stream.getvalue().partition("\n")[2]).encode()


def database(path: Path, atoms: Sequence[Any]) -> list[Path]:
    """An ase.db (SQLite) with a row per structure; what is known of each is in keys that begin with ``grs_``."""
    import ase.db

    connect: Any = ase.db.connect  # ASE gives no types
    beside = path.with_name(f".{path.name}.{os.getpid()}.part.db")
    try:
        beside.unlink(missing_ok=True)
        with connect(beside, type="db") as rows:
            for one in atoms:
                rows.write(bare(one), key_value_pairs=_values(one))
        with open(beside, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        for left in path.parent.glob(f"{beside.name}*"):
            left.unlink(missing_ok=True)
    return [path]


def trajectory(path: Path, atoms: Sequence[Any]) -> list[Path]:
    """ASE's own binary file, with what is known of each structure in its info."""
    from ase.io.trajectory import TrajectoryWriter

    opened: Any = TrajectoryWriter  # ASE gives no types
    beside = path.with_name(f".{path.name}.{os.getpid()}.part.traj")
    try:
        with opened(str(beside), "w") as frames:
            for one in atoms:
                frames.write(one)
        write_whole(path, beside.read_bytes())
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        beside.unlink(missing_ok=True)
    return [path]


def chemiscope(path: Path, atoms: Sequence[Any]) -> list[Path]:
    """A chemiscope data set (JSON, compressed where the name ends in .gz) with the structures and their numbers."""
    try:
        from chemiscope import create_input
    except ImportError:
        raise InputError(
            f"{path}: the package chemiscope is not installed; install grs-evo[analysis] to write its files"
        ) from None
    values = [_values(one) for one in atoms]
    shared = [name for name in values[0] if all(name in row for row in values)]
    data = create_input(
        structures=[bare(one) for one in atoms],
        properties={
            name: {"target": "structure", "values": [row[name] for row in values]}
            for name in shared
            if not isinstance(values[0][name], str) or name == "grs_operator"
        },
        metadata={"name": path.name.partition(".")[0], "description": "structures found by grs_evo"},
    )
    text = json.dumps(data, allow_nan=False).encode()
    # No time in the file: the same structures give the same bytes.
    write_whole(path, gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)
    return [path]


def label(one: Any) -> str:
    """What is known of a structure in one line: key=value, sorted."""
    return " ".join(f"{key}={_text(one.info[key])}" for key in sorted(one.info))


def _text(value: Any) -> str:
    """A value of the info without blanks: two parents are joined by a comma."""
    return ",".join(map(str, value.tolist())) if isinstance(value, np.ndarray) else str(value)


def bare(one: Any) -> Any:
    """The atoms without what is known of them, which not every format can hold."""
    plain = one.copy()
    plain.info = {}
    return plain


def numbered(path: Path, k: int, total: int) -> Path:
    """``name-001.suffix`` for structure k of many."""
    return path.with_name(f"{path.stem}-{_number(k, total)}{path.suffix}")


def _number(k: int, total: int) -> str:
    return f"{k:0{max(3, len(str(total)))}d}"


def left_over(path: Path, total: int, folders: bool) -> list[Path]:
    """Numbered files (or folders with a POSCAR) of an earlier export that one of `total` would leave among its own.

    Parameters
    ----------
    path : as given to the export
    folders : ``path/001/POSCAR`` rather than ``name-001.suffix``
    """
    if folders:
        kept = {path / _number(k, total) for k in range(1, total + 1)}
        found = [place for place in path.glob("*") if place.name.isdecimal() and (place / "POSCAR").exists()]
    else:
        kept = {numbered(path, k, total) for k in range(1, total + 1)} if total > 1 else set()
        name = re.compile(re.escape(path.stem) + r"-\d{3,}" + re.escape(path.suffix))
        found = [place for place in path.parent.glob("*") if name.fullmatch(place.name)]
    return sorted(set(found) - kept)


def _values(one: Any) -> dict[str, Any]:
    """The info of a structure as single numbers and text, which is all that ase.db and chemiscope hold."""
    values: dict[str, Any] = {}
    for key, value in one.info.items():
        if isinstance(value, np.ndarray):
            # both parents, -1 for none: SQLite's integers hold uids of any island
            values |= {f"{key.removesuffix('s')}_{k}": int(part) for k, part in enumerate(value, start=1)}
        elif isinstance(value, int | np.integer):
            values[key] = int(value)
        else:
            values[key] = value if isinstance(value, str) else float(value)
    return values
