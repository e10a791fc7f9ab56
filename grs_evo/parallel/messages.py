"""The messages between ranks: their kinds, and named arrays into one block of bytes and back.

The layout is fixed and says nothing a reader would have to execute: a count, one 128-byte entry per array (name, dtype,
shape), then the arrays themselves, each starting at a multiple of eight bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAX_DIMS = 6
_ENTRY = np.dtype([("name", "S56"), ("dtype", "S16"), ("n_dims", "<i8"), ("shape", "<i8", (_MAX_DIMS,))])
_ALIGN = 8
# booleans, integers, floats and byte strings; never objects
_KINDS = "?biufS"
# Ranks whose statistics one rank takes in.
FANOUT = 32


class Tag(IntEnum):
    """Kinds of messages between ranks."""

    STATS = 1  # rows of one generation, towards rank 0
    DECISION = 2  # from rank 0
    EMIGRANTS = 3
    STATE = 4  # one island at one generation, to rank 0
    SIGNAL = 5  # a rank got a signal, to rank 0
    HALT = 6  # give up the generation under way, from rank 0
    HALTED = 7  # newest complete generation of a rank, to rank 0
    DUMP = 8  # hand over the states of this generation, from rank 0
    END = 9  # the round is over, from rank 0
    ERROR = 10  # a rank cannot go on because of the input, to rank 0
    EXIT = 11  # leave with this exit code, from rank 0
    SHARE = 12  # set-up data from rank 0, used before a round
    JOB = 13  # blocks of a large target to be described, from rank 0
    PART = 14  # the moments of such a block, to rank 0
    REFUSED = 15  # what is wrong with the structure, to rank 0
    ISLAND = 16  # one island at one generation, to the rank that goes on with it
    SHARD = 17  # a rank has written the states of its islands at one generation, to rank 0
    UNWRITTEN = 18  # a rank cannot write into the run folder, to rank 0
    READ = 19  # shards of a checkpoint to be read, from rank 0
    UNREAD = 20  # those of them that a rank cannot read, to rank 0
    TELL = 21  # what is in the islands that were read? from rank 0
    TOLD = 22  # that, of a rank and those below it, towards rank 0


def encode(arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
    """The arrays as one block of bytes, (n_bytes,) uint8.

    Raises
    ------
    ValueError
        An array of objects, of more than six dimensions, or with a name over 56 bytes.
    """
    entries = np.zeros(len(arrays), dtype=_ENTRY)
    blocks: list[bytes] = []
    for k, (name, value) in enumerate(arrays.items()):
        array = np.asarray(value)
        if array.dtype.kind not in _KINDS or array.ndim > _MAX_DIMS or len(name.encode()) > _ENTRY["name"].itemsize:
            raise ValueError(f"array {name!r} of dtype {array.dtype} and shape {array.shape} cannot be sent")
        shape = array.shape + (0,) * (_MAX_DIMS - array.ndim)
        entries[k] = (name.encode(), array.dtype.str.encode(), array.ndim, shape)
        raw = array.tobytes()
        blocks.append(raw + bytes(-len(raw) % _ALIGN))
    head = np.array([len(arrays)], dtype="<i8").tobytes() + entries.tobytes()
    return np.frombuffer(head + b"".join(blocks), dtype=np.uint8)


def decode(block: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """The arrays of a block made by `encode`, bit for bit."""
    raw = block.tobytes()
    count = int(np.frombuffer(raw, dtype="<i8", count=1)[0])
    entries = np.frombuffer(raw, dtype=_ENTRY, count=count, offset=8)
    offset = 8 + entries.nbytes
    arrays: dict[str, NDArray[Any]] = {}
    for entry in entries:
        dtype = np.dtype(entry["dtype"].decode())
        if dtype.kind not in _KINDS:
            raise ValueError(f"a message holds an array of dtype {dtype}")
        shape = tuple(int(n) for n in entry["shape"][: entry["n_dims"]])
        n_items = int(np.prod(shape, dtype=np.int64))
        n_bytes = n_items * dtype.itemsize
        array = np.frombuffer(raw[offset : offset + n_bytes], dtype=dtype) if n_bytes else np.empty(n_items, dtype)
        arrays[entry["name"].decode()] = array.reshape(shape)
        offset += n_bytes + (-n_bytes % _ALIGN)
    return arrays


def text_array(text: str) -> NDArray[np.uint8]:
    """Text as an array that `encode` takes."""
    return np.frombuffer(text.encode(), dtype=np.uint8)


def array_text(array: NDArray[np.uint8]) -> str:
    """The inverse of `text_array`."""
    return array.tobytes().decode()


def numbers(*values: int) -> NDArray[np.uint8]:
    """A message that is a few integers."""
    return encode({"numbers": np.array(values, np.int64)})


class Gathering:
    """What many ranks have to tell rank 0, joined on the way up a tree, so that it takes few messages of many ranks.

    Rank r sends to rank (r - 1) // 32 once all below it have been heard; up to 33 ranks that is rank 0 itself.

    Parameters
    ----------
    rank, size : of this process, and of the run
    """

    def __init__(self, rank: int, size: int) -> None:
        self.parent = (rank - 1) // FANOUT
        self._wanted = 0  # ranks from here down
        first = last = rank
        while first < size:
            self._wanted += min(last, size - 1) - first + 1
            first, last = first * FANOUT + 1, (last + 1) * FANOUT
        self._parts: dict[int, list[Mapping[str, NDArray[Any]]]] = {}

    def add(self, key: int, part: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]] | None:
        """A part, own or from below; returns all parts of a key end to end, once there are all.

        Parameters
        ----------
        part : named arrays that are joined along axis 0; "ranks" says whose they are
        """
        parts = self._parts.setdefault(key, [])
        parts.append(part)
        if sum(len(one["ranks"]) for one in parts) < self._wanted:
            return None
        del self._parts[key]
        return {name: np.concatenate([one[name] for one in parts]) for name in part}
