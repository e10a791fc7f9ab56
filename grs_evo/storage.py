"""Named arrays into HDF5 files and back, so that a reader finds either the old file or the new one, never half of one.

The only room that knows h5py. Files are made in memory, written beside their place, flushed, read back, and renamed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from . import schema
from .errors import InputError, StorageError
from .population import Individual, pack, unpack, without_lines
from .schema import ARCHIVE_SCHEMA
from .structure import formula_of, to_atoms

Tree = dict[str, Any]  # "group/name" -> array or text
Attributes = dict[str, Any]  # of the root: numbers and text

# In front of a sealed file: what it is, how long the rest is, its checksum. HDF5 leaves room there ("user block").
_SEAL_BYTES = 512
_SEAL_WORD = "grs_evo sealed"


class Damaged(Exception):
    """A sealed file whose content is not what was written; the message says what is wrong with it."""


def to_image(tree: Mapping[str, Any], attributes: Mapping[str, Any], explained: bool = True) -> bytes:
    """An HDF5 file as bytes, made in memory; where people will read it, each dataset has its unit and description."""
    file = h5py.File("memory", "w", driver="core", backing_store=False)
    try:
        for name, value in attributes.items():
            file.attrs[name] = value
        for name, value in tree.items():
            dataset = file.create_dataset(name, data=value)
            row = schema.column(name) if explained else None
            if row is not None:
                dataset.attrs["unit"] = row.unit
                dataset.attrs["description"] = row.meaning
        file.flush()
        return bytes(file.id.get_file_image())
    finally:
        file.close()


def from_image(image: bytes) -> tuple[Tree, Attributes]:
    """The inverse of `to_image`.

    Raises
    ------
    Damaged
        The bytes are no HDF5 file, or one that cannot be read to its end.
    """
    tree: Tree = {}
    try:
        with h5py.File(io.BytesIO(image), "r") as file:
            attributes = {name: _plain(value) for name, value in file.attrs.items()}

            def visit(name: str, item: Any) -> None:
                if isinstance(item, h5py.Dataset):
                    tree[name] = _plain(item[()])

            file.visititems(visit)
    # h5py turns what it finds in a broken file into any of these
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        raise Damaged(f"is no readable HDF5 file ({str(error).splitlines()[0] if str(error) else error!r})") from None
    return tree, attributes


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.generic) and not isinstance(value, np.bytes_):
        return value.item()
    return value


def sealed(image: bytes) -> bytes:
    """The image with its length and checksum in front; any HDF5 reader skips them."""
    digest = hashlib.blake2b(image, digest_size=16).hexdigest()
    head = f"{_SEAL_WORD} {len(image)} {digest}\n".encode()
    return head.ljust(_SEAL_BYTES, b"\0") + image


def unsealed(data: bytes) -> bytes:
    """The image of a sealed file.

    Raises
    ------
    Damaged
        Too short, no seal, or another checksum than the seal says.
    """
    if not data:
        raise Damaged("is empty")
    words = data[:_SEAL_BYTES].partition(b"\n")[0].decode("ascii", "replace").split()
    if len(words) != 4 or " ".join(words[:2]) != _SEAL_WORD or not words[2].isdecimal():
        raise Damaged("does not begin as a sealed file should")
    image = data[_SEAL_BYTES:]
    if len(image) != int(words[2]):
        raise Damaged(f"has {len(image)} bytes of {words[2]}")
    if (
        hashlib.blake2b(image, digest_size=16).hexdigest() != words[3]
        or data[:_SEAL_BYTES] != sealed(image)[:_SEAL_BYTES]
    ):
        raise Damaged("has another checksum than it was written with")
    return image


def write_whole(path: Path, data: bytes, check: Callable[[], None] = lambda: None) -> None:
    """Put a file in its place in one step, on disk when this returns.

    Parameters
    ----------
    check : called before the file is begun and before it takes its place; what it raises leaves the old file as it was

    Raises
    ------
    StorageError
        The disk is full, read-only or gone, or gives back other bytes than were written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        check()
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            _write_all(descriptor, data)
            os.fsync(descriptor)
            os.lseek(descriptor, 0, os.SEEK_SET)
            if not _holds(descriptor, data):
                raise OSError(errno.EIO, "reads back other bytes than were written")
        finally:
            os.close(descriptor)
        check()
        os.replace(beside, path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _holds(descriptor: int, data: bytes) -> bool:
    """Whether a file reads back, from where it stands to its end, as these bytes."""
    whole, at = memoryview(data), 0
    while block := os.read(descriptor, 1 << 20):
        if block != whole[at : at + len(block)]:
            return False
        at += len(block)
    return at == len(data)


def sync_folder(folder: Path) -> None:
    """Make renames within a folder last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems know no such thing
            raise
    finally:
        os.close(descriptor)


def stack(states: list[dict[str, NDArray[Any]]], prefix: str) -> Tree:
    """Arrays of many islands under the same names, end to end along axis 0, with where each begins in one table."""
    names = sorted(states[0])
    tree: Tree = {f"{prefix}/{name}": np.concatenate([state[name] for state in states]) for name in names}
    tree[f"{prefix}.offsets"] = np.cumsum([[0, *(len(state[name]) for state in states)] for name in names], axis=1)
    return tree


def unstack(tree: Mapping[str, Any], prefix: str) -> list[dict[str, NDArray[Any]]]:
    """The inverse of `stack`."""
    table = tree[f"{prefix}.offsets"]
    stacked = below(tree, prefix)
    states: list[dict[str, NDArray[Any]]] = [{} for _ in range(table.shape[1] - 1)]
    for name, offsets in zip(sorted(stacked), table, strict=True):
        for state, begin, end in zip(states, offsets[:-1], offsets[1:], strict=True):
            state[name] = stacked[name][begin:end]
    return states


def below(tree: Mapping[str, Any], group: str) -> Tree:
    """The part of a tree below a group, under shorter names."""
    return {name[len(group) + 1 :]: value for name, value in tree.items() if name.startswith(group + "/")}


def read_arrays(path: Path, what: str) -> tuple[Tree, Attributes]:
    """The arrays and attributes of a file of what `to_image` gives, sealed or not.

    Parameters
    ----------
    what : kind of file that it must say it is, e.g. ``"grs_evo target"``

    Raises
    ------
    InputError
        Missing, unreadable, damaged, or a file of something else.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; it must be a {what} file") from None
    try:
        # files of earlier versions and of other programs have no seal
        tree, attributes = from_image(unsealed(data) if data.startswith(_SEAL_WORD.encode()) else data)
    except Damaged as error:
        raise InputError(f"{path}: {error}; it must be a {what} file") from None
    if attributes.get("format") != what:
        found = attributes.get("format", "of another program")
        raise InputError(f"{path}: is an HDF5 file ({found}), but no {what} file")
    return tree, attributes


def check_schema(path: Path, what: str, found: Any, newest: int, version: str) -> int:
    """The schema version of a file, which must not be newer than this program knows."""
    if not isinstance(found, int) or found < 1:
        raise InputError(f"{path}: schema is {found!r}; a {what} file has a schema version from 1 to {newest}")
    if found > newest:
        raise InputError(
            f"{path}: schema {found} was written by grs_evo {version}, newer than this one, which reads {what} "
            f"files up to schema {newest}; upgrade grs_evo"
        )
    return found


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


@dataclass(frozen=True, eq=False)
class Archive:
    """What a run has found, as read from its folder."""

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

    @property
    def basis(self) -> Any:
        """The basis of the run; made when asked for."""
        from .basis import Basis

        return Basis.from_text(self.basis_text)

    def atoms(self, k: int) -> Any:
        """Structure k as `ase.Atoms`; what is known of it is in `info` under keys that begin with ``grs_``."""
        return annotated(self.individuals[k], self.elements, self.term_names, self.seed)

    def table(self) -> Any:
        """One row per structure, as a pandas table."""
        import pandas

        columns = [row_of(one, self.elements, self.term_names) for one in self.individuals]
        return pandas.DataFrame(columns)


def row_of(one: Individual, elements: Sequence[str], term_names: Sequence[str]) -> dict[str, Any]:
    """An individual without its coordinates, as plain values."""
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


def annotated(one: Individual, elements: Sequence[str], term_names: Sequence[str], seed: int) -> Any:
    """An individual as `ase.Atoms` with what is known of it in `info`.

    Keys and their types are the same for every individual: parents are two uids, -1 where there is none.
    """
    atoms = to_atoms(one.structure, elements)
    row = row_of(one, elements, term_names)
    del row["formula"]
    row["parents"] = np.array(one.parents, np.int64)
    atoms.info.update({f"grs_{name}": value for name, value in row.items()})
    atoms.info["grs_seed"] = seed
    return atoms


def write_archive(path: Path, archive: Archive, check: Callable[[], None] = lambda: None) -> None:
    """Put an archive in its place, whole or not at all."""
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
    write_whole(path, to_image(tree, attributes), check)


def read_archive(path: str | Path) -> Archive:
    """The archive of a run.

    Parameters
    ----------
    path : an ``archive.h5``, or the run folder it is in

    Raises
    ------
    InputError
        There is none (yet), it is not readable, no archive, or of a newer schema.
    """
    file = Path(path)
    if file.is_dir():
        if not (file / "archive.h5").exists() and (file / "checkpoints").is_dir():
            raise InputError(f"{file}: this run has no archive yet; it is written with the first checkpoint")
        file = file / "archive.h5"
    tree, attributes = read_arrays(file, ARCHIVE_FILE)
    found = check_schema(
        file, ARCHIVE_FILE, attributes.get("schema"), ARCHIVE_SCHEMA, str(attributes.get("version", "?"))
    )
    try:
        for old in range(found, ARCHIVE_SCHEMA):
            tree, attributes = MIGRATIONS[old](tree, attributes)
        individuals = below(tree, "individuals")
        return Archive(
            objectives=np.asarray(individuals.pop("objectives")),
            individuals=unpack(individuals),
            elements=tuple(json.loads(attributes["elements"])),
            term_names=tuple(json.loads(attributes["term_names"])),
            objective_names=tuple(json.loads(attributes["objective_names"])),
            set=unpack(below(tree, "set")),
            history=below(tree, "history"),
            target=below(tree, "target"),
            basis_text=tree["basis"],
            run_file=tree["run_file"],
            seed=int(attributes["seed"]),
            archive_hash=str(attributes["archive_hash"]),
            attributes=attributes,
        )
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise InputError(f"{file}: is no whole {ARCHIVE_FILE} file ({error!r})") from None
