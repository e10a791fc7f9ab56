"""Signals into a flag that waiting and working ranks look at."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_CAUGHT = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
_INTERRUPTED = 130  # exit code of a process ended by a second SIGINT, as shells report it


@dataclass
class SignalFlag:
    """What this process was told; handlers set it and do nothing else."""

    heard: str = ""


@contextmanager
def listening() -> Iterator[SignalFlag]:
    """Within it SIGTERM, SIGUSR1 and SIGINT ring the alarm; a second SIGINT ends the process at once."""
    signal_flag = SignalFlag()

    def ring(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and signal_flag.heard == "SIGINT":
            sys.stderr.write("interrupted twice: ending at once\n")
            sys.stderr.flush()
            os._exit(_INTERRUPTED)
        signal_flag.heard = signal.Signals(number).name

    if threading.current_thread() is not threading.main_thread():
        yield signal_flag  # Python hears signals in the main thread alone; its owner decides there
        return
    previous = {number: signal.signal(number, ring) for number in _CAUGHT}
    try:
        yield signal_flag
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
