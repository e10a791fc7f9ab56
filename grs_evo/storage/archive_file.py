"""archive.h5: the individuals of a run, with all that is needed to analyse and cite them; written whole, and sealed."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError, expect
from grs_evo.files import is_folder, read_file, write_whole
from grs_evo.search.counters import RunCount
from grs_evo.search.population.archive import archive_hash
from grs_evo.search.population.individual import (
    Individual,
    order_key,
    pack,
    read_uid,
    short_uid,
    unpack,
    without_lines,
)
from grs_evo.storage.checks import (
    Unsound,
    check_history,
    check_individuals,
    check_target,
    elements_of,
    json_of,
    names_of,
    numbers_of,
)
from grs_evo.storage.hdf5 import (
    SIGNATURE,
    Attributes,
    Tree,
    below,
    check_schema,
    has_seal,
    read_arrays,
    sealed,
    to_image,
)
from grs_evo.storage.schema import ARCHIVE_SCHEMA
from grs_evo.structures.structure import formula_of, to_atoms, without_vacancies

# ---------------------------------------------------------------------------------------------------------------------
# archives

ARCHIVE_FILE = "grs_evo archive"


def _with_lines(tree: Tree, attributes: Attributes) -> tuple[Tree, Attributes]:
    """Schema 1 kept no lines of descent."""
    added = {
        f"{group}/{name}": column
        for group in ("individuals", "set")
        for name, column in without_lines(below(tree, group)).items()
    }
    return {**tree, **added}, attributes


# schema -> what turns a tree and its attributes of that schema into the next one's
MIGRATIONS: dict[int, Callable[[Tree, Attributes], tuple[Tree, Attributes]]] = {1: _with_lines}


# Rows that a notebook shows of an archive.
_ROWS = 10


@dataclass(frozen=True, eq=False)
class Archive:
    """What a run has found, as read from its folder: a sequence of `ase.Atoms`, in canonical order."""

    individuals: list[Individual]  # canonical order
    elements: tuple[str, ...]
    term_names: tuple[str, ...]
    objective_names: tuple[str, ...]
    objectives: NDArray[np.float64]  # (n_individuals, n_objectives), all minimised
    set: list[Individual]  # representative set so far
    history: dict[str, NDArray[Any]]  # one row per island and generation
    target: dict[str, NDArray[Any]]  # Target.to_arrays
    basis_text: str
    run_file: str
    seed: int
    archive_hash: str
    attributes: Attributes

    def __repr__(self) -> str:
        lowest = min((one.value for one in self.individuals), default=None)
        best = "" if lowest is None else f", lowest value {lowest:.6g}"
        in_set = f", a set of {len(self.set)}" if self.set else ""
        return (
            f"Archive({len(self)} structures of {'-'.join(self.elements)}{best}{in_set}; seed {self.seed}, "
            f"hash {self.archive_hash})"
        )

    def _repr_html_(self) -> str:
        """The lowest values as a table."""
        names = ("value", *self.term_names, "formula", "operator", "island", "generation")
        rows = []
        for one in sorted(self.individuals, key=order_key)[:_ROWS]:
            row = {**row_of(one, self.elements, self.term_names), "uid": short_uid(one.uid)}
            cells = (row[name] for name in ("uid", *names))
            shown = (f"{cell:.6g}" if isinstance(cell, float) else str(cell) for cell in cells)
            rows.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in shown) + "</tr>")
        head = "".join(f"<th>{html.escape(name)}</th>" for name in ("uid", *names))
        return f"<p>{html.escape(repr(self))}</p><table><tr>{head}</tr>{''.join(rows)}</table>"

    def __len__(self) -> int:
        return len(self.individuals)

    def __iter__(self) -> Iterator[Any]:
        return (self.atoms(k) for k in range(len(self)))

    def __getitem__(self, index: int | slice | str) -> Any:
        """A structure as `ase.Atoms`, a list of them for a slice, or that with a uid such as ``"3/29"``."""
        if isinstance(index, str):
            return self._of_uid(index)
        if isinstance(index, slice):
            return [self.atoms(k) for k in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"archive[{index}]: has {len(self)} structures")
        return self.atoms(index % len(self))

    def _of_uid(self, text: str) -> Any:
        uid = read_uid(text)
        for one in (*self.individuals, *self.set):
            if one.uid == uid:
                return self.annotated(one)
        raise InputError(f"archive[{text!r}]: holds no structure with the uid {short_uid(uid)}")

    @property
    def best(self) -> Any:
        """The structure with the lowest value, as `ase.Atoms`."""
        if not self.individuals:
            raise InputError("archive.best: the archive holds no structure")
        return self.annotated(min(self.individuals, key=order_key))

    @property
    def basis(self) -> Any:
        """The basis of the run; made when wanted."""
        from grs_evo.descriptors.basis import Basis

        return Basis.from_text(self.basis_text)

    def atoms(self, k: int) -> Any:
        """Structure k as `ase.Atoms`; what is known of it is in `info` under keys that begin with ``grs_``."""
        return self.annotated(self.individuals[k])

    def annotated(self, one: Individual) -> Any:
        """One of its individuals as `ase.Atoms` with what is known of it in `info`; sites of vacancies are left empty.

        Keys and their types are the same for every individual: parents are two uids, -1 where there is none.
        """
        atoms = to_atoms(without_vacancies(one.structure, self.elements), self.elements)
        row = self._row(one)
        del row["formula"]
        row["n_atoms"] = len(atoms)
        row["parents"] = np.array(one.parents, np.int64)
        atoms.info.update({f"grs_{name}": value for name, value in row.items()})
        atoms.info["grs_seed"] = self.seed
        return atoms

    def evaluation_of(self, one: Individual) -> int:
        """Evaluations of the run until it was found; `one.evaluation` has those of its island."""
        return self._run_count(one.island, one.evaluation)

    @cached_property
    def _run_count(self) -> RunCount:
        return RunCount(self.history)

    def _row(self, one: Individual) -> dict[str, Any]:
        return {**row_of(one, self.elements, self.term_names), "evaluation": self.evaluation_of(one)}

    def table(self) -> Any:
        """One row per structure, as a pandas table.

        Raises
        ------
        InputError
            pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise InputError(
                "archive.table(): the package pandas is not installed; install grs-evo[analysis]"
            ) from None

        columns = [self._row(one) for one in self.individuals]
        return pandas.DataFrame(columns)


def row_of(one: Individual, elements: Sequence[str], term_names: Sequence[str]) -> dict[str, Any]:
    """An individual without its coordinates, as plain values; evaluations are those of its island."""
    return {
        "value": one.value,
        **{name: float(term) for name, term in zip(term_names, one.terms, strict=True)},
        "n_atoms": one.structure.n_atoms,
        "formula": formula_of(one.structure.counts(len(elements)), elements),
        "uid": one.uid,
        "parents": " ".join(str(uid) for uid in one.parents if uid >= 0),
        "operator": one.operator,
        "island": one.island,
        "generation": one.generation,
        "evaluation": one.evaluation,
    }


def write_archive(path: Path, archive: Archive, check: Callable[[], None] = lambda: None) -> None:
    """Put an archive in its place, sealed, whole or not at all."""
    n_terms = len(archive.term_names)
    tree: Tree = {"run_file": archive.run_file, "basis": archive.basis_text}
    for group, individuals in (("individuals", archive.individuals), ("set", archive.set)):
        tree.update({f"{group}/{name}": column for name, column in pack(individuals, n_terms).items()})
    tree["individuals/objectives"] = archive.objectives
    tree.update({f"history/{name}": column for name, column in archive.history.items()})
    tree.update({f"target/{name}": array for name, array in archive.target.items()})
    attributes = {
        **archive.attributes,
        "format": ARCHIVE_FILE,
        "schema": ARCHIVE_SCHEMA,
        "elements": json.dumps(archive.elements),
        "term_names": json.dumps(archive.term_names),
        "objective_names": json.dumps(archive.objective_names),
        "seed": archive.seed,
        "archive_hash": archive.archive_hash,
    }
    write_whole(path, sealed(to_image(tree, attributes)), check)


def _file_of(path: Path) -> Path:
    """The archive file of a path that may be that of a run folder."""
    if not is_folder(path):
        return path
    file = path / "archive.h5"
    if not file.exists() and (path / "checkpoints").is_dir():
        raise InputError(f"{path}: this run has no archive yet; it is written with the first checkpoint")
    return file


def read_archive(path: str | Path) -> Archive:
    """The archive of a run.

    Parameters
    ----------
    path : an ``archive.h5``, or the run folder it is in

    Raises
    ------
    InputError
        There is none (yet), it is not readable, no archive, of a newer schema, or not as it was written: another
        checksum than its seal says, or without a seal (earlier versions) another content than its archive_hash says.
    """
    expect(path, (str, Path), "path", "read_archive(path)")
    file = _file_of(Path(path))
    tree, attributes, is_sealed = read_arrays(file, ARCHIVE_FILE)
    found = check_schema(
        file, ARCHIVE_FILE, attributes.get("schema"), ARCHIVE_SCHEMA, str(attributes.get("version", "?"))
    )
    try:
        for old in range(found, ARCHIVE_SCHEMA):
            tree, attributes = MIGRATIONS[old](tree, attributes)
        archive = _archive(tree, attributes)
    except (KeyError, ValueError, IndexError, TypeError, RecursionError, OverflowError) as error:
        what = f"no {error.args[0]}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{file}: is no whole {ARCHIVE_FILE} file ({what})") from None
    if not is_sealed and archive_hash(archive.individuals) != archive.archive_hash:
        raise InputError(
            f"{file}: was changed since it was written: its structures and losses are not those of its archive_hash, "
            f"{archive.archive_hash}"
        )
    return archive


def _archive(tree: Tree, attributes: Attributes) -> Archive:
    """What a file of this schema holds, all of it checked; raises Unsound (a ValueError) or KeyError."""
    elements = elements_of(attributes["elements"], "elements")
    term_names = names_of(attributes["term_names"], "term_names")
    objective_names = names_of(attributes["objective_names"], "objective_names")
    individuals, accepted = below(tree, "individuals"), below(tree, "set")
    history, target = below(tree, "history"), below(tree, "target")
    n = check_individuals(individuals, len(elements), len(term_names))
    check_individuals(accepted, len(elements), len(term_names))
    objectives = numbers_of(individuals, "objectives", (n, len(objective_names)))
    check_history(history)
    if target:
        check_target(target, len(elements))
    for name in ("basis", "run_file"):
        if not isinstance(tree[name], str):
            raise Unsound(f"{name} is no text")
    json_of(tree["basis"], "basis")
    if not isinstance(attributes["seed"], int):
        raise Unsound(f"seed is {attributes['seed']!r}; must be a whole number")
    del individuals["objectives"]
    return Archive(
        objectives=objectives,
        individuals=unpack(individuals),
        elements=elements,
        term_names=term_names,
        objective_names=objective_names,
        set=unpack(accepted),
        history=history,
        target=target,
        basis_text=tree["basis"],
        run_file=tree["run_file"],
        seed=attributes["seed"],
        archive_hash=str(attributes["archive_hash"]),
        attributes=attributes,
    )


def lacks_seal(path: str | Path) -> str:
    """A line for people about an archive that carries no seal, so that little of it can be verified; else empty."""
    file = _file_of(Path(path))
    try:
        head = read_file(file)[: len(SIGNATURE)]
    except OSError:
        return ""
    if has_seal(head):
        return ""
    return (
        f"{file}: carries no seal (an earlier version wrote it): of its content only structures, losses and terms "
        "could be compared with a checksum"
    )
