"""A run folder: what is in it, who owns it, and requests from other shells."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import socket
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from grs_evo.errors import InputError, StorageError
from grs_evo.files import is_folder, is_there, new_beside, open_plain, read_file, sync_to_disk, write_whole

RUN_FILE = "run.toml"
# digests of target and inputs
CONTENTS = "contents.json"
# s that a resume waits for ranks without a launcher to notice that they are orphans, and for any other owner to leave
_ORPHANS_LEAVE, _SETTLED = 60.0, 2.0
# A folder that another host touched within this many s is taken for alive where locks do not reach; s between touches.
_PULSE, _BEAT = 60.0, 10.0


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
    def contents(self) -> Path:
        return self.path / CONTENTS

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
    if not is_folder(path):
        what = "is a file" if is_there(path) else "does not exist"
        raise InputError(f"{path}: {what}; it must be the folder of a run")
    folder = Folder(path)
    if not folder.run_file.is_file() or not folder.checkpoints.is_dir():
        raise InputError(f"{path}: is no run folder (no {RUN_FILE} and checkpoints/ in it); `grs-evo run` makes one")
    return folder


def check_free(path: Path) -> None:
    """Raise an InputError unless a new run may use this path."""
    if os.path.islink(path):
        raise InputError(f"{path}: is a link; --out must be a new or empty folder, such as {path.resolve()}")
    if not is_there(path):
        parent = next(above for above in path.absolute().parents if is_there(above))
        try:
            os.lstat(path)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise InputError(f"{path}: cannot be made, the name is too long; choose another --out") from None
        if not parent.is_dir():
            raise InputError(f"{path}: cannot be made, {parent} is a file; choose another --out")
        if not os.access(parent, os.W_OK):
            raise InputError(f"{path}: cannot be made, {parent} is not writable; choose another --out")
        return
    if not is_folder(path):
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
    beside = new_beside(path)
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
        for file in (beside / "inputs").rglob("*"):
            sync_to_disk(file)  # of a copied file, what is in it; whoever reads it again must find it after a power cut
        sync_to_disk(beside / "inputs")
        write_whole(beside / CONTENTS, (json.dumps(_contents(beside), indent=1, sort_keys=True) + "\n").encode())
        sync_to_disk(beside)
        os.rename(beside, path)
        sync_to_disk(path.parent)
    except BaseException as error:
        shutil.rmtree(beside, ignore_errors=True)
        if not isinstance(error, OSError):
            raise
        if (path / RUN_FILE).exists():
            raise InputError(f"{path}: holds a run already; go on with `grs-evo resume {path}`") from None
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"{path}: cannot be made: {error.strerror or error}") from error
    return Folder(path)


def _contents(path: Path) -> dict[str, str]:
    """Digests of all that a run reads again when it goes on, by names within its folder."""
    found = {}
    for file in (path / "target.h5", *sorted((path / "inputs").rglob("*"))):
        if not is_folder(file) and is_there(file):
            with open(open_plain(file, os.O_RDONLY), "rb") as stream:
                digest = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16))
            found[str(file.relative_to(path))] = digest.hexdigest()
    return found


def check_contents(folder: Folder) -> None:
    """Raise an InputError where target or inputs of a run are not those that it began with, naming the files.

    Folders of earlier versions hold no digests, so that nothing can be said of them. Files that file systems and
    desktops leave (their names begin with a dot) are no change.
    """
    if not is_there(folder.contents):
        return
    before = json_table(folder.contents)
    try:
        now = _contents(folder.path)
    except OSError as error:
        raise InputError(f"{error.filename or folder.path}: cannot be read: {error.strerror}") from None
    changed = [f"{name} is gone" for name in before if name not in now]
    changed += [f"{name} is another" for name in before if name in now and now[name] != before[name]]
    changed += [f"{name} is new" for name in now if name not in before and not Path(name).name.startswith(".")]
    if not before:
        changed = [f"{CONTENTS} is damaged"]
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise InputError(
            f"{folder.path}: what the run was given was changed since it began ({', '.join(changed[:3])}{more}); "
            "restore it, or begin a new run"
        )


def _remove_leftovers(path: Path) -> None:
    """Half-made folders of processes that were killed while they made this one."""
    for left in path.parent.glob(f".{path.name}.new-*-*"):
        pid = left.name.rpartition(".new-")[2].partition("-")[0]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists() and Path("/proc/self").exists():
            shutil.rmtree(left, ignore_errors=True)


def check_owner(folder: Folder, token: str) -> None:
    """Raise a StorageError when a folder has gone, or belongs to another run than that with this token."""
    try:
        found = json.loads(read_file(folder.owner))
    except FileNotFoundError:
        raise StorageError(f"{folder.path}: the run folder has vanished") from None
    except (OSError, ValueError, RecursionError) as error:
        raise StorageError(f"{folder.owner}: cannot be read: {error}") from None
    if not isinstance(found, dict) or found.get("token") != token:
        raise StorageError(f"{folder.path}: another process has taken this run over; this one writes no more")


def can_write(folder: Folder, token: str) -> bool:
    """Whether this process sees the folder that rank 0 owns, and may put checkpoints into it."""
    try:
        check_owner(folder, token)
    except StorageError:
        return False
    return os.access(folder.checkpoints, os.W_OK | os.X_OK)


class Ownership:
    """The right to write into a run folder: a lock that the kernel drops when its holder dies, and a token in it.

    The token serves where locks do not reach (other hosts, some network file systems): whoever finds that it is not his
    own any more stops writing. There its file is also touched every few seconds, so that other hosts see who lives.
    """

    def __init__(self, folder: Folder, owner: dict[str, Any], handle: IO[bytes] | None) -> None:
        self.folder = folder
        self.token = str(owner["token"])
        self._owner = owner
        self._handle = handle
        self._released = threading.Event()
        if handle is None:
            threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        while not self._released.wait(_BEAT):
            if owner_of(self.folder).get("token") != self.token:
                return
            with contextlib.suppress(OSError):
                os.utime(self.folder.owner)

    def check(self) -> None:
        """Raise a StorageError when the folder has gone, or belongs to somebody else by now."""
        check_owner(self.folder, self.token)

    def release(self) -> None:
        """Give the folder back, and say so in it for those whom no lock tells."""
        if self._released.is_set():
            return
        self._released.set()
        if owner_of(self.folder).get("token") == self.token:
            with contextlib.suppress(OSError):
                write_whole(self.folder.owner, json.dumps({**self._owner, "ended": True}).encode())
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
    handle: IO[bytes] | None = None
    try:
        handle = os.fdopen(open_plain(folder.lock, os.O_RDWR | os.O_CREAT), "r+b")
        began = time.monotonic()
        while True:
            locked = _lock(handle, fcntl.LOCK_EX)
            if locked or (locked is None and not _seems_alive(folder)):
                break
            waited = time.monotonic() - began
            if waited > (_ORPHANS_LEAVE if _orphaned(folder) else _SETTLED):
                handle.close()
                raise InputError(_alive(folder))
            time.sleep(0.05)
        if locked is None:
            handle.close()
            handle = None
        owner = {
            "token": uuid.uuid4().hex,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "process": _process(os.getpid()),
            "ranks": n_ranks,
            "since": time.time(),
        }
        write_whole(folder.owner, json.dumps(owner).encode())
        with contextlib.suppress(FileNotFoundError):
            folder.stop_request.unlink()
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        place = error.filename or folder.path
        raise StorageError(f"{place}: cannot be written: {error.strerror or error}") from error
    return Ownership(folder, owner, handle)


def _lock(handle: IO[bytes], kind: int) -> bool | None:
    """Whether the lock was got; None where the file system has none (ENOLCK, ENOSYS, ENOTSUP, EACCES, EIO, …)."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except OSError:
        return None


def is_alive(folder: Folder) -> bool:
    """Whether some process owns the folder now."""
    try:
        with os.fdopen(open_plain(folder.lock, os.O_RDONLY), "rb") as handle:
            got = _lock(handle, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False
    except OSError:
        got = None
    return _seems_alive(folder) if got is None else not got


def owner_of(folder: Folder) -> dict[str, Any]:
    """What the last owner wrote of itself; empty when there was none."""
    return json_table(folder.owner)


def json_table(path: Path) -> dict[str, Any]:
    """A JSON object out of a file; empty when there is none, or something else."""
    try:
        found = json.loads(read_file(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _seems_alive(folder: Folder) -> bool:
    """Whether the owner lives, as far as can be told without locks.

    An owner that ended in good order said so; one on this host is a process that can be looked up; of one on another
    host it is known when the folder was last touched.
    """
    owner = owner_of(folder)
    if not owner or owner.get("ended"):
        return False
    process = owner.get("process")
    if isinstance(process, str) and not process.endswith(" ") and isinstance(owner.get("pid"), int):
        here, then = _process(owner["pid"]), process
        if here == then:
            return True
        # the same machine and the same table of processes
        if then.rpartition(" ")[0] == _process(os.getpid()).rpartition(" ")[0]:
            return False
    return _pulse(folder) < _PULSE


def _process(pid: int) -> str:
    """What tells a process from all others: boot of the machine, its table of processes, when the process began.

    The last part is empty for a process that does not exist or has ended.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        table = os.readlink("/proc/self/ns/pid")
    except OSError:
        boot, table = socket.gethostname(), ""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        began = "" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        began = ""
    return f"{boot} {table} {began}"


def _orphaned(folder: Folder) -> bool:
    """Whether the owner is a rank on this host whose launcher is gone."""
    owner = owner_of(folder)
    ranks = owner.get("ranks", 1)
    if owner.get("host") != socket.gethostname() or not isinstance(ranks, int) or ranks < 2:
        return False
    try:
        stat = Path(f"/proc/{int(owner['pid'])}/stat").read_text()
        return int(stat.rpartition(")")[2].split()[1]) == 1
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return True


def _pulse(folder: Folder) -> float:
    """s since the owner last touched the folder; infinite when it never did."""
    touched = []
    for path in (folder.status, folder.owner):
        with contextlib.suppress(OSError):
            touched.append(path.stat().st_mtime)
    return time.time() - max(touched) if touched else float("inf")


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
            _remove(path)
    for path in folder.failures():
        _remove(path)


def _remove(path: Path) -> None:
    """Remove a file; a folder of that name is somebody else's and stays."""
    with contextlib.suppress(FileNotFoundError, IsADirectoryError):
        path.unlink()
