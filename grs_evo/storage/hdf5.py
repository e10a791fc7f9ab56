"""Arrays as sealed HDF5 images in memory: the only module that knows h5py."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.files import read_file
from grs_evo.storage import schema

Tree = dict[str, Any]  # "group/name" -> array or text


Attributes = dict[str, Any]  # of the root: numbers and text


# In front of a sealed file: what it is, how long the rest is, its checksum. HDF5 leaves room there ("user block").
SEAL_BYTES = 512


_SEAL_WORD = "grs_evo sealed"


# What every HDF5 file without anything in front of it begins with.
SIGNATURE = b"\x89HDF\r\n\x1a\n"

# of arrays: true and false, whole numbers, numbers, bytes
_KINDS = "biufS"


class Damaged(Exception):
    """A file whose content is not what was written; the message says what is wrong with it."""


class ForeignFile(Damaged):
    """A sound HDF5 file of something else; the message says of what."""


def to_image(
    content: Mapping[str, Any] | Iterable[tuple[str, Any]], attributes: Mapping[str, Any], explained: bool = True
) -> bytes:
    """An HDF5 file as bytes, made in memory; where people will read it, each dataset has its unit and description.

    Parameters
    ----------
    content : a tree, or names and values one after the other, of which only one is held at a time
    """
    file = h5py.File("memory", "w", driver="core", backing_store=False)
    try:
        for name, value in attributes.items():
            file.attrs[name] = value
        write = _Writer(file)
        for name, value in content.items() if isinstance(content, Mapping) else content:
            dataset = write.dataset(name, value)
            del value  # before the next one is made
            row = schema.column(name) if explained else None
            if row is not None:
                write.text(dataset, "unit", row.unit)
                write.text(dataset, "description", row.meaning)
        file.flush()
        return bytes(file.id.get_file_image())
    finally:
        file.close()


class _Writer:
    """Datasets and their texts as h5py's own methods make them, in half the time that these take for small arrays."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
        self._links.set_create_intermediate_group(True)
        self._links.set_char_encoding(h5py.h5t.CSET_UTF8)
        self._made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        self._made.set_obj_track_times(False)  # the same content gives the same bytes
        self._scalar = h5py.h5s.create(h5py.h5s.SCALAR)
        self._text = h5py.h5t.py_create(h5py.string_dtype(), logical=True)

    def dataset(self, name: str, value: Any) -> Any:
        """Write an array or a text; its low-level handle."""
        if not isinstance(value, np.ndarray):
            return self._file.create_dataset(name, data=value).id
        array = np.asarray(value, order="C")
        kind = h5py.h5t.py_create(array.dtype, logical=True)
        space = h5py.h5s.create_simple(array.shape) if array.shape else self._scalar
        found = h5py.h5d.create(self._file.id, name.encode(), kind, space, self._made, self._links)
        found.write(h5py.h5s.ALL, h5py.h5s.ALL, array)
        return found

    def text(self, dataset: Any, name: str, text: str) -> None:
        attribute = h5py.h5a.create(dataset, name.encode(), self._text, self._scalar)
        attribute.write(np.array(text, dtype=object))


def from_image(image: bytes, what: str | None = None) -> tuple[Tree, Attributes]:
    """The inverse of `to_image`.

    A file is read only as far as it is of the kind that `to_image` makes: plain arrays and texts, at most one group
    deep, each stored in one piece within the file. Whatever points outside it (external storage, virtual datasets,
    soft and external links) or holds objects is refused before it is followed.

    Parameters
    ----------
    what : kind of file that it must say it is, e.g. ``"grs_evo target"``

    Raises
    ------
    ForeignFile
        It says that it is something else.
    Damaged
        The bytes are no HDF5 file, one that cannot be read to its end, or one with other things in it than arrays.
    """
    try:
        # In memory, and not through a Python file: HDF5 cannot open further files by the latter's driver and crashes.
        with h5py.File(h5py.h5f.open_file_image(image)) as file:
            attributes = {name: _attribute(file, name) for name in file.attrs}
            if what is not None and attributes.get("format") != what:
                raise ForeignFile(str(attributes.get("format", "of another program")))
            tree: Tree = {}
            left = len(image)  # bytes that arrays may take together: no file holds more than it is long
            for name, dataset in _datasets(file.id, ""):
                tree[name], size = _content(name, dataset, left)
                left -= size
    # h5py turns what it finds in a broken file into any of these
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError, OverflowError) as error:
        raise Damaged(f"is no readable HDF5 file ({str(error).splitlines()[0] if str(error) else error!r})") from None
    return tree, attributes


def _attribute(file: h5py.File, name: str) -> Any:
    found = file.attrs.get_id(name)
    is_text = h5py.check_string_dtype(found.dtype) is not None
    if found.shape != () or not (is_text or found.dtype.kind in _KINDS):
        raise Damaged(f"has an attribute {name!r} that is no number and no text")
    return _plain(file.attrs[name])


def _datasets(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Names and low-level handles of all datasets of a file, or of a group in it."""
    for key in list(group):
        name = prefix + key.decode()
        if group.links.get_info(key).type != h5py.h5l.TYPE_HARD:
            raise Damaged(f"has a link to another place ({name}) where data should be")
        found = h5py.h5o.open(group, key)
        if isinstance(found, h5py.h5d.DatasetID):
            yield name, found
        elif isinstance(found, h5py.h5g.GroupID) and not prefix:
            yield from _datasets(found, f"{name}/")
        else:
            raise Damaged(f"has something else than an array of numbers or a text in {name}")


def _content(name: str, found: Any, left: int) -> tuple[Any, int]:
    """What a dataset holds, and how many bytes that are; `left` at most."""
    # Before anything else is asked of it: the shape of a virtual dataset is found by opening other files.
    layout, external = _storage(found)
    if layout == h5py.h5d.VIRTUAL or external > 0:
        raise Damaged(f"keeps {name} in another file; data of other files are not read")
    if layout not in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT):
        raise Damaged(f"keeps {name} in chunks; data must be in one piece, as they were written")
    kind = found.dtype
    is_text = h5py.check_string_dtype(kind) is not None and kind.kind == "O"
    if kind.kind not in _KINDS and not (is_text and found.shape == ()):
        raise Damaged(f"has something else than an array of numbers or a text in {name}")
    # a text is kept by reference, as long as it is
    size = 0 if is_text else math.prod(found.shape) * found.get_type().get_size()
    if size > left or (size and found.get_storage_size() != size):
        raise Damaged(f"has no room for {name}, which should have the shape {found.shape}")
    value = _plain(h5py.Dataset(found)[()])
    if kind == np.bool_ and np.any(np.asarray(value).view(np.uint8) > 1):
        raise Damaged(f"has other values than true and false in {name}")
    return value, size


def _storage(found: Any) -> tuple[int, int]:
    """Layout of a dataset, and how many other files it names.

    The property list ends here and is not kept by an error's frames: HDF5 crashes where the process ends with one of
    a virtual dataset still open.
    """
    made = found.get_create_plist()
    return made.get_layout(), made.get_external_count()


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
    return head.ljust(SEAL_BYTES, b"\0") + image


def unsealed(data: bytes) -> bytes:
    """The image of a sealed file.

    Raises
    ------
    Damaged
        Too short, no seal, or another checksum than the seal says.
    """
    if not data:
        raise Damaged("is empty")
    words = data[:SEAL_BYTES].partition(b"\n")[0].decode("ascii", "replace").split()
    if len(words) != 4 or " ".join(words[:2]) != _SEAL_WORD or not words[2].isdecimal():
        raise Damaged("is no readable HDF5 file, or its seal is damaged")
    image = data[SEAL_BYTES:]
    if len(image) != int(words[2]):
        raise Damaged(f"has {len(image)} bytes of {words[2]}")
    if (
        hashlib.blake2b(image, digest_size=16).hexdigest() != words[3]
        or data[:SEAL_BYTES] != sealed(image)[:SEAL_BYTES]
    ):
        raise Damaged("has another checksum than it was written with")
    return image


def stacked(states: list[dict[str, NDArray[Any]]], prefix: str) -> Iterator[tuple[str, NDArray[Any]]]:
    """Arrays of many islands under the same names, end to end along axis 0, with where each begins in one table."""
    names = sorted(states[0])
    for name in names:
        yield f"{prefix}/{name}", np.concatenate([state[name] for state in states])
    yield f"{prefix}.offsets", np.cumsum([[0, *(len(state[name]) for state in states)] for name in names], axis=1)


def unstack(tree: Mapping[str, Any], prefix: str) -> list[dict[str, NDArray[Any]]]:
    """The inverse of `stacked`."""
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


def has_seal(data: bytes) -> bool:
    """Whether a file should carry a seal: all do but those that begin as HDF5 itself does.

    One damaged bit of a seal does not make it look like a file without one.
    """
    return not data.startswith(SIGNATURE)


def read_arrays(path: Path, what: str) -> tuple[Tree, Attributes, bool]:
    """The arrays and attributes of a file of what `to_image` gives, and whether a seal vouches for them.

    Files of earlier versions and of other programs have no seal.

    Parameters
    ----------
    what : kind of file that it must say it is, e.g. ``"grs_evo target"``

    Raises
    ------
    InputError
        Missing, unreadable, damaged, or a file of something else.
    """
    try:
        data = read_file(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; it must be a {what} file") from None
    is_sealed = has_seal(data)
    try:
        tree, attributes = from_image(unsealed(data) if is_sealed else data, what)
    except ForeignFile as error:
        raise InputError(f"{path}: is an HDF5 file ({error}), but no {what} file") from None
    except Damaged as error:
        raise InputError(f"{path}: {error}; it must be a {what} file") from None
    return tree, attributes, is_sealed


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
