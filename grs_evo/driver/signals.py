"""Signals into a flag that ranks look at while they wait and compute; before that, in set-up, `interrupts` has them."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from grs_evo.interrupts import CAUGHT, SET_UP
from grs_evo.parallel.worker import SignalFlag

_INTERRUPTED = 130  # exit code of a process ended by a second SIGINT, as shells report it


@contextmanager
def listening() -> Iterator[SignalFlag]:
    """Within it SIGTERM, SIGUSR1 and SIGINT set the flag; a second SIGINT ends the process at once.

    While a program is set up they go to `interrupts.SET_UP`. Those for which the calling script has a handler of its
    own are left to it.
    """
    signal_flag = SignalFlag()

    def note(number: int, frame: FrameType | None) -> None:
        if SET_UP.active:
            SET_UP.interrupt(number, frame)
            return
        if number == signal.SIGINT and signal_flag.heard == "SIGINT":
            try:
                sys.stderr.write("interrupted twice: ending at once\n")
                sys.stderr.flush()
            finally:
                os._exit(_INTERRUPTED)
        signal_flag.heard = signal.Signals(number).name

    if threading.current_thread() is not threading.main_thread():
        yield signal_flag  # Python hears signals in the main thread alone; its owner decides there
        return
    free = [number for number in CAUGHT if number in SET_UP.before or not _is_taken(signal.getsignal(number))]
    previous = {number: signal.signal(number, note) for number in free}
    try:
        yield signal_flag
    finally:
        if not SET_UP.active:  # otherwise an error or a signal is ending the program
            for number, handler in previous.items():
                signal.signal(number, SET_UP.before.get(number, handler))


def _is_taken(handler: Any) -> bool:
    """Whether a handler is one that somebody has written, and not what Python or the shell begins with."""
    return callable(handler) and handler is not signal.default_int_handler
