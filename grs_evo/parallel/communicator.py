"""Ranks that exchange messages: the only module that knows mpi4py.

No rank blocks in a receive. A rank that waits looks for messages and sleeps a millisecond in between, so that it hears
signals, answers the others, and leaves the core to them when there are more ranks than cores. No rank sends to itself.

Every wait ends: each look for messages also looks whether the launcher is still there (`World.arrived`), a thread does
so while the process computes or waits inside the MPI library, and the library's own start and end have a time limit.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import stat
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.interrupts import LAUNCHERS

_NAP = 1e-3  # s between two looks for messages
_EAGER_LOOKS = 20  # looks without a nap before the first one
_FORWARDING = (
    1.0  # s for a launcher to pass on what a rank wrote last; MPICH's drops what is still in the pipe at an abort
)
_WATCH = 1.0  # s between two looks of the thread that watches the launcher
# s that the MPI library's start, which lasts until the last rank has come, and its end may take
_LONGEST_START = 900
_LONGEST_END = 60


class Launcher:
    """The process that started this one as one of several ranks, and the wrappers in between, if there are any.

    Open MPI's ranks go on for ever when their launcher is killed, MPICH's as long as they ask nothing of it. A wrapper
    such as ``bash -c`` has the launcher's variables in its environment, just as the rank has.
    """

    def __init__(self) -> None:
        self._parents = {os.getpid(): os.getppid()}
        pid = os.getppid()
        while pid > 1 and _is_wrapper(pid) and (parent := _parent_of(pid)) is not None:
            self._parents[pid] = parent
            pid = parent

    def is_gone(self) -> bool:
        """Whether this process or a wrapper of it has lost its parent."""
        own = os.getpid()
        return any((os.getppid() if pid == own else _parent_of(pid)) != parent for pid, parent in self._parents.items())

    def watch(self, rank: int) -> None:
        """Start a thread that ends this process soon after its launcher has gone, whatever it is doing then."""

        def look() -> None:
            while not self.is_gone():
                time.sleep(_WATCH)
            _leave_orphaned(rank)

        threading.Thread(target=look, daemon=True, name="launcher watch").start()


def _parent_of(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _is_wrapper(pid: int) -> bool:
    """Whether a process was itself started by the launcher as this very rank."""
    own = {f"{rank}={os.environ[rank]}".encode() for _, rank in LAUNCHERS if rank in os.environ}
    try:
        return bool(own) and own.issubset(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    except OSError:
        return False


def _leave_orphaned(rank: int) -> None:
    """End this process: nobody is left to wait for, and perhaps nobody to read what it writes."""
    with suppress(OSError):
        os.set_blocking(2, False)
        os.write(2, f"rank {rank}: the launcher is gone, leaving\n".encode())
    os._exit(1)


class World:
    """All ranks of this run, and the messages between them. One rank alone needs no MPI library."""

    def __init__(
        self, mpi: Any = None, library: str = "none", notice: str = "", launcher: Launcher | None = None
    ) -> None:
        self._mpi = mpi  # the module mpi4py.MPI
        self.rank: int = 0 if mpi is None else int(mpi.COMM_WORLD.Get_rank())
        self.size: int = 1 if mpi is None else int(mpi.COMM_WORLD.Get_size())
        # Two, in turn: while one rank waits for the last messages of a phase, another may send the first of the next.
        self._comms: list[Any] = [] if self.size == 1 else [mpi.COMM_WORLD.Dup(), mpi.COMM_WORLD.Dup()]
        self.library = library
        self.notice = notice  # something the user should be told once
        self._pending: list[tuple[Any, NDArray[np.uint8]]] = []
        self._launcher = None if self.size == 1 else launcher or Launcher()

    def post(self, dest: int, tag: int, block: NDArray[np.uint8]) -> None:
        """Send a block of bytes to another rank; returns at once."""
        if dest == self.rank:
            raise ValueError(f"rank {self.rank} was asked to send to itself (tag {tag})")
        # Synchronous mode completes only when the message was taken, which `settle` relies upon.
        self._pending.append((self._comms[0].Issend([block, block.size, self._mpi.BYTE], dest, tag), block))

    def post_all(self, tag: int, block: NDArray[np.uint8]) -> None:
        """Send the same block to every other rank."""
        for dest in range(self.size):
            if dest != self.rank:
                self.post(dest, tag, block)

    def arrived(self) -> list[tuple[int, int, NDArray[np.uint8]]]:
        """Messages that are here by now, as (source, tag, block); never waits. Ends the process if it is an orphan."""
        if self.size == 1:
            return []
        self.leave_if_orphaned()
        comm = self._comms[0]
        status = self._mpi.Status()
        messages = []
        while comm.Iprobe(source=self._mpi.ANY_SOURCE, tag=self._mpi.ANY_TAG, status=status):
            block = np.empty(status.Get_count(self._mpi.BYTE), dtype=np.uint8)
            source, tag = status.Get_source(), status.Get_tag()
            comm.Recv([block, block.size, self._mpi.BYTE], source, tag)
            messages.append((source, tag, block))
        self._pending = [(request, block) for request, block in self._pending if not request.Test()]
        return messages

    def settle(self, take: Callable[[int, int, NDArray[np.uint8]], None], seconds: float | None = None) -> bool:
        """Return when no message is under way any more between any ranks; every rank calls it.

        Returns False when that did not come about within `seconds`.

        Non-blocking consensus (Hoefler, Siebert, Lumsdaine 2010): once a rank's own sends have all been taken it
        enters a non-blocking barrier, and goes on taking messages until everybody has entered.
        """
        if self.size == 1:
            return True
        barrier = None
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            for message in self.arrived():
                take(*message)
            if barrier is None and not self._pending:
                barrier = self._comms[0].Ibarrier()
            if barrier is not None and barrier.Test():
                self._comms.reverse()
                return True
            if end is not None and time.monotonic() > end:
                return False
            time.sleep(_NAP)

    def leave_if_orphaned(self) -> None:
        """End this process when its launcher has died: what it waits for will never come."""
        if self._launcher is not None and self._launcher.is_gone():
            _leave_orphaned(self.rank)

    def watch(self) -> None:
        """From now on look for the launcher's death also while this process computes or waits within MPI."""
        if self._launcher is not None:
            self._launcher.watch(self.rank)

    def abort(self, code: int) -> None:
        """End all ranks at once, whatever they are doing. Does not return."""
        _flush()
        try:
            if self.size > 1:
                self._mpi.COMM_WORLD.Abort(code)
        finally:
            os._exit(code)


def wait(done: Callable[[], bool], serve: Callable[[], None]) -> None:
    """Serve messages until `done()`, napping in between."""
    looks = 0
    while not done():
        serve()
        if looks > _EAGER_LOOKS:
            time.sleep(_NAP)
        looks += 1


@dataclass(frozen=True)
class Started:
    """What the environment says of the launcher that started this process."""

    n_processes: int = 1
    which: int = 0  # the number of this process
    variable: str = ""  # the environment variable that says so


def started_by(library: str = "") -> Started:
    """What the launcher says; variables of the library's own launcher count before those that an outer one left.

    Parameters
    ----------
    library : the MPI library's name, empty when none is known
    """
    ordered = sorted(LAUNCHERS, key=lambda pair: pair[0].startswith("OMPI_") != ("Open MPI" in library))
    for size, rank in ordered:
        # `srun --pty` opens a shell, whose programs are on their own
        is_shell = size.startswith("SLURM_") and "SLURM_PTY_PORT" in os.environ
        if os.environ.get(size, "").isdecimal() and not is_shell:
            which = os.environ.get(rank, "")
            return Started(int(os.environ[size]), int(which) if which.isdecimal() else 0, size)
    return Started()


def connect() -> World:
    """The world this process belongs to.

    Raises
    ------
    InputError
        A launcher started several processes but MPI sees only one: its make is not that of the MPI library, or it is
        an outer launcher whose variables are still there.
    """
    launcher = Launcher()  # before the library's start, during which the launcher may die
    try:
        import mpi4py

        mpi4py.rc.initialize = False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of a foreign mpiexec: refused below, with advice
            from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        started = started_by()
        if started.n_processes > 1:
            raise InputError(_mismatch(started, f"no MPI library can be loaded ({_first_line(error)})")) from None
        _keep_ase_serial()
        return World(notice=f"no MPI library found ({_first_line(error)}): running on one rank")
    library = _first_line(MPI.Get_library_version())
    _keep_ase_serial()
    if not MPI.Is_initialized():
        if _is_alone(library):
            return World(library=library)
        with _ended_after(_LONGEST_START):
            _start_library(MPI)
        atexit.register(_finalize)
    started = started_by(library)
    if started.n_processes > 1 and MPI.COMM_WORLD.Get_size() == 1:
        raise InputError(_mismatch(started, f"the MPI library in use ({library}) sees one rank"))
    with _ended_after(_LONGEST_START):
        world = World(MPI, library, launcher=launcher)
    world.watch()
    return world


def _start_library(mpi: Any) -> None:
    """MPI_Init_thread, and then what mpi4py does after its own call, which would hold Python's lock.

    While the library waits for ranks that have not come yet, `interrupts` can end the process all the same.
    """
    provided = ctypes.c_int()
    start = ctypes.CDLL(mpi.__file__).MPI_Init_thread
    if code := start(None, None, int(mpi.THREAD_FUNNELED), ctypes.byref(provided)):
        raise mpi.Exception(code)
    for comm in (mpi.COMM_SELF, mpi.COMM_WORLD):
        comm.Set_errhandler(mpi.ERRORS_RETURN)  # of which mpi4py makes exceptions


def _is_alone(library: str) -> bool:
    """Whether an outer launcher left variables, with which the library would not start, to a process of its own.

    Raises
    ------
    InputError
        They say that this is one process of several.
    """
    started = started_by(library)
    if started.variable.startswith("OMPI_") and "Open MPI" not in library:
        found = f"the MPI library in use is another ({library})"
    elif _has_lost_its_launcher():
        found = "this process has no connection to that launcher (PMI_FD is closed)"
    else:
        if started.variable == "PMI_SIZE" and "OMPI_COMM_WORLD_SIZE" in os.environ:
            # PMIx is the outer launcher's; MPICH would try to use it in place of the PMI of its own
            for name in [name for name in os.environ if name.startswith("PMIX_")]:
                del os.environ[name]
        return False
    if started.n_processes > 1:
        raise InputError(_mismatch(started, found))
    return True


def _has_lost_its_launcher() -> bool:
    """Whether PMI_FD names a connection that this process was not given, as in a subprocess of a rank."""
    number = os.environ.get("PMI_FD", "")
    if not number.isdecimal():
        return False
    try:
        return not stat.S_ISSOCK(os.fstat(int(number)).st_mode)
    except (OSError, OverflowError):
        return True


def _finalize() -> None:
    from mpi4py import MPI

    if not MPI.Is_finalized():
        with _ended_after(_LONGEST_END):
            MPI.Finalize()


@contextmanager
def _ended_after(seconds: int) -> Iterator[None]:
    """Let the system end this process when the block lasts longer.

    While the MPI library starts and ends, it waits for the other ranks without letting any Python code run.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python sets signal handlers in the main thread alone
        return
    before = signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _keep_ase_serial() -> None:
    """ASE broadcasts every file that it reads as soon as it sees mpi4py: with one rank reading, that never ends.

    Where mpi4py finds no library to load, ASE would fail of that at the first file.
    """
    import ase.parallel

    ase.parallel.world.comm = ase.parallel.DummyMPI()


def _mismatch(started: Started, found: str) -> str:
    if started.which > 0:
        return ""  # the first process says it for all
    return (
        f"mpiexec: started {started.n_processes} processes ({started.variable}={started.n_processes}), but {found}; "
        "use the mpiexec of the same MPI as Python's (`python -m pip install mpich` puts both into this environment), "
        f"or, where an outer launcher or shell left that variable, begin with `env -u {started.variable} grs-evo`"
    )


def _first_line(text: object) -> str:
    return next((line.strip() for line in str(text).replace("\0", "").splitlines() if line.strip()), "unknown")


def broken_off(error: BaseException) -> str:
    """One line for what the MPI library raises when another rank is killed in the middle of a message; else empty."""
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is None or not isinstance(error, mpi.Exception):
        return ""
    said = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = said[-1] if said else "unknown"
    return (
        f"grs-evo: a message between ranks broke off, as when a rank or its node is gone ({last}): "
        "grs-evo resume goes on from the newest checkpoint, if there is one"
    )


def abort_all(code: int, why: str = "failed") -> None:
    """End every rank, if there are several: for an error that nobody expected. Returns on one rank."""
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is None or not mpi.Is_initialized() or mpi.Is_finalized():
        return
    if mpi.COMM_WORLD.Get_size() > 1:
        with suppress(OSError, ValueError):
            sys.stderr.write(f"rank {mpi.COMM_WORLD.Get_rank()} {why}: ending all ranks\n")
        _flush()
        time.sleep(_FORWARDING)
        try:
            mpi.COMM_WORLD.Abort(code)
        finally:
            os._exit(code)


def _flush() -> None:
    """Hand on what was written, unless nobody reads it any more."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
