"""Formats that need more than a list of atoms: Quantum ESPRESSO inputs, sets of VASP folders, ase.db and chemiscope.

Like every export they keep the cell and the positions as they are: nothing is rotated, reduced or standardised.
"""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError, StorageError
from .storage import write_whole

# Starting values of a Quantum ESPRESSO input, to be converged by whoever runs it; the file says so.
_CUTOFF_RY = 60.0
_SPACING = 0.04  # of k-points, 1/Å (without 2π)


def quantum_espresso(path: Path, atoms: Sequence[Any]) -> list[Path]:
    """One pw.x input per structure: ``path`` for one, ``name-001.suffix`` and so on for many.

    Cell and positions are complete; pseudopotential names, the plane-wave cutoff and the k-points are starting values
    that the first line of the file tells to check.
    """
    from ase.io.espresso import write_espresso_in

    files = []
    for k, one in enumerate(atoms, start=1):
        symbols = list(dict.fromkeys(one.get_chemical_symbols()))
        stream = io.StringIO()
        stream.write(f"! {label(one)}\n! starting values, to be checked: pseudopotentials, ecutwfc, k-points\n")
        write_espresso_in(
            stream,
            bare(one),
            input_data={
                "control": {"calculation": "scf", "prefix": path.stem if len(atoms) == 1 else f"{path.stem}-{k}"},
                "system": {"ecutwfc": _CUTOFF_RY, "occupations": "smearing", "smearing": "mv", "degauss": 0.02},
            },
            pseudopotentials={symbol: f"{symbol}.UPF" for symbol in symbols},
            kspacing=_SPACING,
        )
        place = path if len(atoms) == 1 else numbered(path, k, len(atoms))
        write_whole(place, stream.getvalue().encode())
        files.append(place)
    return files


def vasp_folders(path: Path, atoms: Sequence[Any]) -> list[Path]:
    """A folder of folders, ``path/001/POSCAR`` and so on, as VASP wants them; atoms are grouped by element."""
    files = []
    width = max(3, len(str(len(atoms))))
    for k, one in enumerate(atoms, start=1):
        place = path / f"{k:0{width}d}" / "POSCAR"
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
    from ase.db import connect

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
    return " ".join(f"{key}={one.info[key]}" for key in sorted(one.info))


def bare(one: Any) -> Any:
    """The atoms without what is known of them, which not every format can hold."""
    plain = one.copy()
    plain.info = {}
    return plain


def numbered(path: Path, k: int, total: int) -> Path:
    """``name-001.suffix`` for structure k of many."""
    width = max(3, len(str(total)))
    return path.with_name(f"{path.stem}-{k:0{width}d}{path.suffix}")


def _values(one: Any) -> dict[str, Any]:
    """The info of a structure as plain numbers and text; what is empty is left out, as ase.db refuses it."""
    values: dict[str, Any] = {}
    for key, value in one.info.items():
        if isinstance(value, str):
            if value:
                values[key] = _not_a_number(value)
        elif isinstance(value, int | np.integer):
            # SQLite's integers and chemiscope's numbers hold uids of any island
            values[key] = int(value)
        else:
            values[key] = float(value)
    return values


def _not_a_number(text: str) -> str:
    """ase.db refuses text that reads as a number (the uid of an only parent): it gets a word in front."""
    try:
        float(text)
    except ValueError:
        return text
    return f"uid {text}"


Writer = Callable[[Path, Sequence[Any]], list[Path]]

# our name -> (file suffixes, what writes it)
WRITERS: dict[str, tuple[tuple[str, ...], Writer]] = {
    "espresso": ((".pwi", ".in"), quantum_espresso),
    "vasp": ((), vasp_folders),
    "db": ((".db",), database),
    "chemiscope": ((".json", ".json.gz"), chemiscope),
}
