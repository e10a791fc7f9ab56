"""Ranks that talk by messages: the only room that knows mpi4py.

Nobody blocks in a receive. A rank that waits looks for messages and sleeps a millisecond in between, so that it hears
signals, answers the others, and leaves the core to them when there are more ranks than cores. Nobody sends to itself.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError

# Environment variables by which launchers tell a process how many of it they started, and which one it is.
_LAUNCHERS = (
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("PMI_SIZE", "PMI_RANK"),
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)
_NAP = 1e-3  # s between two looks for messages
_EAGER_LOOKS = 20  # looks without a nap before the first one
_FORWARDING = (
    1.0  # s for a launcher to pass on what a rank wrote last; MPICH's drops what is still in the pipe at an abort
)


class World:
    """All ranks of this run, and the post between them. One rank alone needs no MPI library."""

    def __init__(self, mpi: Any = None, library: str = "none", notice: str = "") -> None:
        self._mpi = mpi  # the module mpi4py.MPI
        self.rank: int = 0 if mpi is None else int(mpi.COMM_WORLD.Get_rank())
        self.size: int = 1 if mpi is None else int(mpi.COMM_WORLD.Get_size())
        # Two, in turn: while one rank waits for the last messages of a stretch, another may send the first of the next.
        self._comms: list[Any] = [] if self.size == 1 else [mpi.COMM_WORLD.Dup(), mpi.COMM_WORLD.Dup()]
        self.library = library
        self.notice = notice  # something the user should be told once
        self._pending: list[tuple[Any, NDArray[np.uint8]]] = []
        self._parent = os.getppid()

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
        """Messages that are here by now, as (source, tag, block); never waits."""
        if self.size == 1:
            return []
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
        """End this process when its launcher has died: Open MPI's ranks would otherwise go on for ever."""
        if self.size > 1 and os.getppid() != self._parent:
            sys.stderr.write(f"rank {self.rank}: the launcher is gone, leaving\n")
            sys.stderr.flush()
            os._exit(1)

    def abort(self, code: int) -> None:
        """End all ranks at once, whatever they are doing. Does not return."""
        sys.stdout.flush()
        sys.stderr.flush()
        if self.size > 1:
            self._mpi.COMM_WORLD.Abort(code)
        os._exit(code)


def wait(done: Callable[[], bool], serve: Callable[[], None]) -> None:
    """Serve messages until `done()`, napping in between."""
    looks = 0
    while not done():
        serve()
        if looks > _EAGER_LOOKS:
            time.sleep(_NAP)
        looks += 1


def launched() -> tuple[int, int]:
    """(number of processes, which one) as the launcher tells it; (1, 0) without one."""
    for size, rank in _LAUNCHERS:
        if os.environ.get(size, "").isdigit():
            return int(os.environ[size]), int(os.environ.get(rank, "0") or 0)
    return 1, 0


def connect() -> World:
    """The world this process belongs to.

    Raises
    ------
    InputError
        A launcher started several processes but MPI sees only one: its make is not that of the MPI library.
    """
    n_launched, which = launched()
    try:
        import mpi4py

        mpi4py.rc.initialize = False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of a foreign mpiexec: refused below, with advice
            from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        if n_launched > 1:
            raise InputError(
                _mismatch(n_launched, which, f"no MPI library can be loaded ({_first_line(error)})")
            ) from None
        _keep_ase_serial()
        return World(notice=f"no MPI library found ({_first_line(error)}): running on one rank")
    library = _first_line(MPI.Get_library_version())
    if "OMPI_COMM_WORLD_SIZE" in os.environ and "Open MPI" not in library:
        # such a library does not even start under that launcher
        raise InputError(_mismatch(n_launched, which, f"the MPI library in use is another ({library})"))
    if not MPI.Is_initialized():
        MPI.Init_thread(MPI.THREAD_FUNNELED)
        atexit.register(_finalize)
    _keep_ase_serial()
    if n_launched > 1 and MPI.COMM_WORLD.Get_size() == 1:
        raise InputError(_mismatch(n_launched, which, f"the MPI library in use ({library}) sees one rank"))
    return World(MPI, library)


def _finalize() -> None:
    from mpi4py import MPI

    if not MPI.Is_finalized():
        MPI.Finalize()


def _keep_ase_serial() -> None:
    """ASE broadcasts every file that it reads as soon as it sees mpi4py: with one rank reading, that never ends.

    Where mpi4py finds no library to load, ASE would fail of that at the first file.
    """
    import ase.parallel

    ase.parallel.world.comm = ase.parallel.DummyMPI()


def _mismatch(n_launched: int, which: int, found: str) -> str:
    if which > 0:
        return ""  # the first process says it for all
    return (
        f"mpiexec: started {n_launched} processes, but {found}; use the mpiexec of the same MPI as Python's "
        "(`python -m pip install mpich` puts both into this environment)"
    )


def _first_line(text: object) -> str:
    return next((line.strip() for line in str(text).replace("\0", "").splitlines() if line.strip()), "unknown")


def abort_all(code: int) -> None:
    """End every rank, if there are several: for an error that nobody expected. Returns on one rank."""
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is None or not mpi.Is_initialized() or mpi.Is_finalized():
        return
    if mpi.COMM_WORLD.Get_size() > 1:
        sys.stderr.write(f"rank {mpi.COMM_WORLD.Get_rank()} failed: ending all ranks\n")
        sys.stdout.flush()
        sys.stderr.flush()
        time.sleep(_FORWARDING)
        mpi.COMM_WORLD.Abort(code)
        os._exit(code)
