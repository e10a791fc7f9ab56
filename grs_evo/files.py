"""Files written whole (beside their place, flushed, read back, renamed), and read only where they are plain files."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import uuid
from collections.abc import Callable
from pathlib import Path

from grs_evo.errors import StorageError


def open_plain(path: Path, flags: int) -> int:
    """A descriptor of a regular file; never waits for the other end of a pipe, and never opens a device.

    Raises
    ------
    OSError
        As of `os.open`; also when the path is anything else than a regular file.
    """
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder", str(path))
    raise OSError(errno.EINVAL, "is no regular file", str(path))


def shipped(name: str) -> Path:
    """A folder that travels with the program: within the package where it is installed, in a checkout beside it."""
    package = Path(__file__).parent
    installed = package / name
    return installed if installed.is_dir() else package.parent / name


def is_folder(path: Path) -> bool:
    """Whether a path is a folder; no path that cannot be one (a name too long, a closed folder above it) is.

    `Path.is_dir` raises for those, in all but the newest versions of Python.
    """
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def is_there(path: Path) -> bool:
    """Whether something is at a path; nothing is where the name is too long or the way to it is closed."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def read_file(path: Path) -> bytes:
    """The content of a regular file; raises OSError as `open_plain` does."""
    with open(open_plain(path, os.O_RDONLY), "rb") as stream:
        return stream.read()


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
        sync_to_disk(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        if isinstance(error, StorageError) or not isinstance(error, OSError):
            raise
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error


def new_beside(path: Path) -> Path:
    """A name for a folder that is not yet in its place, or no longer."""
    return path.with_name(f".{path.name}.new-{os.getpid()}-{uuid.uuid4().hex[:8]}")


def remove_folder(path: Path) -> None:
    """Remove a folder with all that is in it; out of its place in one step, so that never half of it is there."""
    gone = new_beside(path)
    with contextlib.suppress(OSError):
        os.rename(path, gone)
    shutil.rmtree(gone, ignore_errors=True)


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


def sync_to_disk(path: Path) -> None:
    """Make renames within a folder, or what is in a file that others wrote, last through a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems know no such thing
            raise
    finally:
        os.close(descriptor)
