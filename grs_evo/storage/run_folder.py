"""A run folder: what is in it, who owns it, and requests from other shells."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from grs_evo.errors import InputError, StorageError
from grs_evo.files import sync_folder, write_whole

RUN_FILE = "run.toml"
# s that a resume waits for ranks without a launcher to notice that they are orphans
_ORPHANS_LEAVE = 60.0
# A folder whose status was written within this many s by another host is taken for alive where locks do not reach.
_PULSE = 60.0


@dataclass(frozen=True)
class Folder:
    """Paths within a run folder."""

    path: Path

    @property
    def run_file(self) -> Path:
        return self.path / RUN_FILE

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def archive(self) -> Path:
        return self.path / "archive.h5"

    @property
    def target(self) -> Path:
        return self.path / "target.h5"

    @property
    def seeds(self) -> Path:
        return self.path / "seeds"

    @property
    def status(self) -> Path:
        return self.path / "status.json"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def versions(self) -> Path:
        return self.path / "versions.json"

    @property
    def owner(self) -> Path:
        return self.path / "owner.json"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def stop_request(self) -> Path:
        return self.path / "stop"

    def failure(self, rank: int) -> Path:
        """Where a rank leaves the traceback of an error that nobody expected."""
        return self.path / f"failed_rank_{rank}.txt"

    def failures(self) -> list[Path]:
        return sorted(path for path in self.path.glob("failed_rank_*.txt") if path.is_file())


def existing(path: Path) -> Folder:
    """The folder of a run that was started before.

    Raises
    ------
    InputError
        There is no such folder, or it holds no run.
    """
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise InputError(f"{path}: {what}; it must be the folder of a run")
    folder = Folder(path)
    if not folder.run_file.is_file() or not folder.checkpoints.is_dir():
        raise InputError(f"{path}: is no run folder (no {RUN_FILE} and checkpoints/ in it); `grs-evo run` makes one")
    return folder


def check_free(path: Path) -> None:
    """Raise an InputError unless a new run may use this path."""
    if path.is_symlink():
        raise InputError(f"{path}: is a link; --out must be a new or empty folder, such as {path.resolve()}")
    if not path.exists():
        parent = next(above for above in path.absolute().parents if above.exists())
        if not parent.is_dir():
            raise InputError(f"{path}: cannot be made, {parent} is a file; choose another --out")
        if not os.access(parent, os.W_OK):
            raise InputError(f"{path}: cannot be made, {parent} is not writable; choose another --out")
        return
    if not path.is_dir():
        raise InputError(f"{path}: is a file; --out must be a new or empty folder")
    if (path / RUN_FILE).exists():
        raise InputError(f"{path}: holds a run already; go on with `grs-evo resume {path}` or choose another --out")
    if any(path.iterdir()):
        raise InputError(f"{path}: is not empty; --out must be a new or empty folder")


def create(path: Path, texts: dict[str, str], data: dict[str, bytes], copies: dict[str, Path]) -> Folder:
    """A new run folder, which appears whole or not at all.

    Parameters
    ----------
    texts, data : file names and contents
    copies : file names within the folder, and the files they are copies of
    """
    path = path.absolute()
    beside = path.with_name(f".{path.name}.new-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    _remove_leftovers(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.mkdir()
        for name in ("checkpoints", "seeds", "inputs"):
            (beside / name).mkdir()
        for name, text in texts.items():
            write_whole(beside / name, text.encode())
        for name, content in data.items():
            write_whole(beside / name, content)
        for name, source in copies.items():
            (beside / name).parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if source.is_dir() else shutil.copyfile
            copy(source, beside / name)
        sync_folder(beside)
        os.rename(beside, path)
        sync_folder(path.parent)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        if (path / RUN_FILE).exists():
            raise InputError(f"{path}: holds a run already; go on with `grs-evo resume {path}`") from None
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"{path}: cannot be made: {error.strerror or error}") from error
    return Folder(path)


def _remove_leftovers(path: Path) -> None:
    """Half-made folders of processes that were killed while they made this one."""
    for left in path.parent.glob(f".{path.name}.new-*-*"):
        pid = left.name.rpartition(".new-")[2].partition("-")[0]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists() and Path("/proc/self").exists():
            shutil.rmtree(left, ignore_errors=True)


class Ownership:
    """The right to write into a run folder: a lock that the kernel drops when its holder dies, and a token in it.

    The token serves where locks do not reach (other hosts, some network file systems): whoever finds that it is not his
    own any more stops writing.
    """

    def __init__(self, folder: Folder, token: str, handle: IO[str] | None) -> None:
        self.folder = folder
        self.token = token
        self._handle = handle

    def check(self) -> None:
        """Raise a StorageError when the folder has gone, or belongs to somebody else by now."""
        try:
            found = json.loads(self.folder.owner.read_text())
            found = found.get("token") if isinstance(found, dict) else None
        except FileNotFoundError:
            raise StorageError(f"{self.folder.path}: the run folder has vanished") from None
        except (OSError, ValueError) as error:
            raise StorageError(f"{self.folder.owner}: cannot be read: {error}") from None
        if found != self.token:
            raise StorageError(f"{self.folder.path}: another process has taken this run over; this one writes no more")

    def release(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None


def claim(folder: Folder, n_ranks: int) -> Ownership:
    """Become the owner of a run folder.

    Ranks of a launcher that was killed notice it and leave by themselves; they are waited for.

    Raises
    ------
    InputError
        The run is alive.
    """
    handle: IO[str] | None = None
    try:
        handle = open(folder.lock, "a+")  # noqa: SIM115 (held until the process ends)
        deadline = time.monotonic() + _ORPHANS_LEAVE
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not _orphaned(folder) and time.monotonic() > deadline - _ORPHANS_LEAVE + 2.0:
                    raise InputError(_alive(folder)) from None
                if time.monotonic() > deadline:
                    raise InputError(_alive(folder)) from None
                time.sleep(0.05)
            except OSError:  # this file system has no locks
                handle.close()
                handle = None
                if _pulse(folder) < _PULSE:
                    raise InputError(_alive(folder)) from None
                break
        token = uuid.uuid4().hex
        owner = {
            "token": token,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "ranks": n_ranks,
            "since": time.time(),
        }
        write_whole(folder.owner, json.dumps(owner).encode())
        with contextlib.suppress(FileNotFoundError):
            folder.stop_request.unlink()
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"{folder.path}: cannot be written: {error.strerror or error}") from error
    return Ownership(folder, token, handle)


def is_alive(folder: Folder) -> bool:
    """Whether some process owns the folder now."""
    try:
        with open(folder.lock) as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError:
        return _pulse(folder) < _PULSE


def owner_of(folder: Folder) -> dict[str, Any]:
    """What the last owner wrote of itself; empty when there was none."""
    try:
        found = json.loads(folder.owner.read_text())
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}


def _orphaned(folder: Folder) -> bool:
    """Whether the owner is a rank on this host whose launcher is gone."""
    owner = owner_of(folder)
    if owner.get("host") != socket.gethostname() or owner.get("ranks", 1) < 2:
        return False
    try:
        stat = Path(f"/proc/{int(owner['pid'])}/stat").read_text()
        return int(stat.rpartition(")")[2].split()[1]) == 1
    except (OSError, ValueError, KeyError, IndexError):
        return True


def _pulse(folder: Folder) -> float:
    try:
        return time.time() - folder.status.stat().st_mtime
    except OSError:
        return float("inf")


def _alive(folder: Folder) -> str:
    owner = owner_of(folder)
    return (
        f"{folder.path}: this run is going on now (process {owner.get('pid', '?')} on {owner.get('host', '?')}); "
        f"`grs-evo stop {folder.path}` ends it"
    )


def clear_partial(folder: Folder) -> None:
    """Remove what a killed process left half-written, and what ranks of an earlier session failed of."""
    for place in (folder.path, folder.checkpoints):
        for path in place.glob(".*.part"):
            if not path.is_dir():
                path.unlink(missing_ok=True)
    for path in folder.failures():
        path.unlink(missing_ok=True)
