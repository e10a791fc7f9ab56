"""The program: `grs-evo`, and `python -m grs_evo`."""

from __future__ import annotations

import atexit
import gc
import sys
from typing import TextIO

from grs_evo.interrupts import SET_UP, Interrupted


def main() -> None:
    """Entry point: a session hears signals before it imports what takes a second."""
    # What is imported makes a million objects and hardly any garbage. To look through them again and again, and once
    # more at the end, took a fifth of a short run's processor time.
    gc.set_threshold(50_000, 10, 10)
    atexit.register(gc.freeze)
    try:
        if sys.argv[1:2] in (["run"], ["resume"]):
            SET_UP.listen(sys.argv[2:], _screen)
        from grs_evo.cli.commands import main as command_line  # after signals are heard

        command_line()
    except Interrupted as stop:  # while an error was being told
        sys.exit(stop.code)
    except KeyboardInterrupt:  # of another command, while it was imported
        sys.exit(130)


def _screen() -> TextIO | None:
    from grs_evo.driver.monitor.terminal import terminal  # seldom needed

    return terminal()


if __name__ == "__main__":
    main()
