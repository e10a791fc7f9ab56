"""Files written whole: beside their place, flushed, read back, renamed."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path

from grs_evo.errors import StorageError


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
