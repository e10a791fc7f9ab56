"""The terminal that a run is watched at: its own standard error, or, below `mpiexec`, that of the launcher.

Imports nothing that takes time, since a long start is spoken of before the program is loaded.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TextIO

from grs_evo.interrupts import LAUNCHERS

_HIGHEST = 8  # processes between a rank and the shell
_TERMINAL = re.compile(r"/dev/(pts/\d+|tty\w*)")


def terminal() -> TextIO | None:
    """A stream to draw on, or None where nobody watches.

    Ranks write into a pipe of their launcher. What the launcher writes to is where the user looks: a terminal, unless
    its output was sent elsewhere or it runs in the background.
    """
    if sys.stderr.isatty():
        return sys.stderr
    if all(os.environ.get(size, "1") == "1" for size, _ in LAUNCHERS):
        return None
    place = _of_launcher(os.getppid())
    if place is None:
        return None
    try:
        return open(place, "w", encoding="utf-8", errors="backslashreplace")  # for as long as it runs
    except OSError:
        return None


def _of_launcher(pid: int) -> str | None:
    """The terminal that the first ancestor with one writes its errors to, if it runs in the foreground."""
    for _ in range(_HIGHEST):
        facts = _facts(pid)
        if facts is None:
            return None
        parent, group, foreground = facts
        try:
            place = os.readlink(f"/proc/{pid}/fd/2")
        except OSError:
            return None
        if _TERMINAL.fullmatch(place):
            return place if group == foreground else None
        if not place.startswith("pipe:"):
            return None
        pid = parent
    return None


def _facts(pid: int) -> tuple[int, int, int] | None:
    """Parent, process group, and the group in the foreground of its terminal; Linux alone tells them so."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[1]), int(fields[2]), int(fields[5])
    except (OSError, ValueError, IndexError):
        return None
