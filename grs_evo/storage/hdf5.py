"""Arrays as sealed HDF5 images in memory: the only module that knows h5py."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.storage import schema

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
