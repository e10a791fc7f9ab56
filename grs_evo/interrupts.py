"""Signals and --max-time while a session is set up: whatever it is doing then, it ends within two seconds.

From the first line of the program until the search begins, SIGTERM, SIGUSR1, SIGINT and the end of --max-time raise
`Interrupted` in the main thread of rank 0, which then makes the other ranks leave. Python delivers that between two of
its own instructions only, and compiling one function, describing a large structure or waiting for other ranks can take
longer than a user waits. A thread therefore watches, and ends the process where the main thread has not left in time.
Nothing is lost by that: files are written whole or not at all, and locks end with their process.

Until several ranks are connected a signal is only noted, and passed on to the ranks beside this one: one that left
alone would keep the others waiting for it in the MPI library's start. Later other ranks than the first note it as well,
and give the first one time to end them all.

Only the standard library is needed here, since this is imported before everything else.
"""

from __future__ import annotations

import _thread
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import Any, TextIO

CAUGHT = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
MAX_TIME = "--max-time"
# the file in which a run folder remembers how much time a session had that got nowhere
TOO_SHORT = "too_short"
# Environment variables by which launchers tell a process how many of it they started, and which one it is.
LAUNCHERS = (
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("PMI_SIZE", "PMI_RANK"),
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)
# s that the main thread gets to leave by itself; on other ranks than the first, which ends them
_GRACE = 1.1
_GRACE_OF_OTHERS = 1.4
_AGAIN = 0.1
_SILENCE = 1.5  # s until somebody at a terminal is told that the program is being loaded, and told again
# EXIT_EARLY and EXIT_INPUT of `errors`, which is not imported yet
_EARLY, _INPUT = 75, 2


class Interrupted(BaseException):
    """A signal, or the end of --max-time, while a session is set up; `code` is the exit code that goes with it."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class SetUp:
    """The set-up of this process: there is one, as there is one set of signals.

    It hears nothing, and none of its methods does anything, unless `listen` was called, which the program does and a
    script that calls `grs_evo.run` does not.
    """

    def __init__(self) -> None:
        self.place = ""  # the run folder, there or yet to be made
        self.heard = ""  # the first signal, or MAX_TIME
        self.told = False  # the user knows, or another process says it
        self.begun = 0.0  # time.monotonic() at the beginning of the program
        self.before: dict[int, Any] = {}  # handlers of whoever called
        self.compiled: Callable[[], int] = lambda: 0  # functions, in this session
        self._seconds = 0.0  # of --max-time
        self._resumes = False  # whether there was a run folder before
        self._deadline: float | None = None  # time.monotonic() at which --max-time is over
        self._over = threading.Event()
        self._over.set()
        self._raises = self._raised = False
        self._apart = False  # from other ranks, which will be connected
        self._grace = _GRACE
        self._ending: tuple[str, int] | None = None
        self._pipe = (-1, -1)
        self._screen: Callable[[], TextIO | None] = lambda: None
        self._word: float | None = None  # time.monotonic() at which the next word on the start is due
        self._lock = threading.Lock()  # nothing is interrupted any more once `over` has it
        self._deciding = threading.RLock()

    @property
    def active(self) -> bool:
        """Whether signals and the clock end this process now."""
        return not self._over.is_set()

    def listen(self, arguments: Sequence[str] = (), screen: Callable[[], TextIO | None] = lambda: None) -> None:
        """Begin: from now on `CAUGHT` are heard.

        Parameters
        ----------
        arguments : of the program; a run folder among them is the place until one is given
        screen : finds the terminal on which a long start is spoken of
        """
        self._over.clear()
        self.begun = time.monotonic()
        self.place = next(filter(_holds_run, arguments), "")
        self._resumes = bool(self.place)
        self._raises = all(os.environ.get(size, "1") == "1" for size, _ in LAUNCHERS)
        self._apart = not self._raises
        self.told = any(os.environ.get(rank, "0") != "0" for _, rank in LAUNCHERS)  # the first one speaks for all
        self._grace = _GRACE_OF_OTHERS if self.told else _GRACE
        self._screen = screen
        self._word = None if self.told or "--quiet" in arguments else self.begun + _SILENCE
        self._pipe = os.pipe()
        for end in self._pipe:
            os.set_blocking(end, False)
        self.before = {number: signal.signal(number, self.interrupt) for number in CAUGHT}
        # Python writes the number there when a signal comes, however long the main thread is busy
        signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        threading.Thread(target=self._watch, daemon=True, name="signal watch").start()

    def is_about(self, place: str, seconds: float | None) -> None:
        """The run folder, there or yet to be made, and how long the session may take from its beginning on (s)."""
        if self.active:
            self.place, self._resumes = place, _holds_run(place)
            if seconds is None:
                return
            self._seconds, self._deadline = seconds, self.begun + seconds
            os.write(self._pipe[1], b"\0")  # the thread looks anew

    def connected(self, rank: int) -> None:
        """The ranks know each other: a signal ends them together, also one that came before."""
        self._word = None
        if self.active:
            self._raises, self._apart, self.told = rank == 0, False, self.told and rank == 0
            self._grace = _GRACE if rank == 0 else _GRACE_OF_OTHERS
            self._leave()

    def over(self) -> str:
        """The search begins, and hears for itself. Returns the signal that was heard last minute, if any."""
        if self.active:
            with self._lock:
                self._over.set()
            signal.set_wakeup_fd(-1)
            os.write(self._pipe[1], b"\0")
        return "" if self.heard == MAX_TIME else self.heard

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """The handler of signals, in the main thread."""
        if self.active:
            self.heard = self.heard or signal.Signals(number).name
            self._leave(frame)

    def _leave(self, frame: FrameType | None = None) -> None:
        """Raise `Interrupted` if there is cause, once."""
        if not self.heard or not self._raises or self._raised:
            return
        while frame is not None:
            if "llvmlite" in frame.f_code.co_filename:
                return  # perhaps called by LLVM, which would swallow it: the thread interrupts again
            frame = frame.f_back
        self._raised = True
        raise Interrupted(*self._end())

    def _end(self) -> tuple[str, int]:
        """What the user is told, and the exit code; decided once, by the main thread or by the one that watches."""
        with self._deciding:
            if self._ending is None:
                self._ending = self._decide()
            return self._ending

    def _decide(self) -> tuple[str, int]:
        clock = self.heard == MAX_TIME
        what = f"set-up takes longer than {MAX_TIME} allows" if clock else f"stopped by {self.heard} in set-up"
        if not _holds_run(self.place):
            code = _INPUT if clock else 128 + signal.Signals[self.heard]
            more = "begin again with more time" if clock else "nothing is lost"
            return f"{what}, before there is a run folder; {more}, what was compiled is kept", code
        if clock and self._is_in_vain():
            return f"{what}, twice, and left nothing that the next session could build on; give it more time", _INPUT
        return f"{what}; what was compiled is kept, `grs-evo resume {self.place}` goes on", _EARLY

    def _is_in_vain(self) -> bool:
        """Whether this session got no further than the one before, which had as much time: nor would the next one.

        It is noted in the run folder, since one of them may have met a busy machine.
        """
        if not self._resumes or self.compiled():
            return False
        note, before = os.path.join(self.place, TOO_SHORT), 0.0
        with suppress(OSError, ValueError), open(note, encoding="ascii") as file:
            before = float(file.read(30))
        with suppress(OSError), open(note, "w", encoding="ascii") as file:
            file.write(f"{self._seconds!r}\n")
        return self._seconds <= before

    def _watch(self) -> None:
        while self.active:
            moments = [moment for moment in (self._deadline, self._word) if moment is not None]
            left = max(0.0, min(moments) - time.monotonic()) if moments else None
            ready, _, _ = select.select([self._pipe[0]], [], [], left)
            if not ready and (self._deadline is None or time.monotonic() < self._deadline):
                self._say_a_word()
                continue
            numbers = os.read(self._pipe[0], 64) if ready else b""
            heard = [signal.Signals(number).name for number in numbers if number in CAUGHT]
            if not ready:
                heard, self._deadline = [MAX_TIME], None
            if heard and self.active:
                self.heard = self.heard or heard[0]
                self._end_in_time()
                return

    def _say_a_word(self) -> None:
        """On a terminal, that the program is being loaded; the next line there takes its place."""
        if self._word is None:
            return
        screen = self._screen()
        if screen is None:
            self._word = None
            return
        now = time.monotonic()
        with suppress(OSError):
            print(f"\r\x1b[Kgrs_evo is starting, {now - self.begun:.0f} s\r", end="", file=screen, flush=True)
        self._word = now + _SILENCE if self._word is not None else None

    def _end_in_time(self) -> None:
        begun = time.monotonic()
        if self._apart:
            if self.heard != MAX_TIME:
                _pass_on(signal.Signals[self.heard])
            self._tell()  # at once: a launcher kills all ranks as soon as one of them has ended
        while time.monotonic() < begun + self._grace:
            with self._lock:
                if self.active and self._raises and not self._raised:
                    _thread.interrupt_main(signal.SIGUSR1)  # its handler is `interrupt`, or calls it
            if self._over.wait(_AGAIN):
                return
        self._tell()
        os._exit(self._end()[1])

    def _tell(self) -> None:
        if not self.told:
            self.told = True
            message = f"grs-evo: {self._end()[0]}\n".encode(errors="replace")
            with suppress(OSError):
                os.set_blocking(2, False)  # perhaps nobody reads it
                os.write(2, message)
                os.set_blocking(2, True)


def _holds_run(place: str) -> bool:
    return bool(place) and os.path.exists(os.path.join(place, "run.toml"))


def _pass_on(number: signal.Signals) -> None:
    """Send a signal to the other ranks that this one's parent has started: the same program, of another number."""
    if not os.path.isdir("/proc/self"):
        return
    parent, own = os.getppid(), _command(os.getpid())
    for name in os.listdir("/proc"):
        if name.isdecimal() and int(name) != os.getpid():
            with suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    is_beside = int(file.read().rpartition(")")[2].split()[1]) == parent
                if is_beside and _command(int(name)) == own:
                    os.kill(int(name), number)


def _command(process: int) -> bytes:
    with open(f"/proc/{process}/cmdline", "rb") as file:
        return file.read()


SET_UP = SetUp()
