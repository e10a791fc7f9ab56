"""What the user sees while a run lasts: a live display on a terminal, lines elsewhere, and the log file.

Nothing is silent for long: whoever waits, for a set-up or for a first generation whose structures are being relaxed, is
told every few seconds what is under way.
"""

from __future__ import annotations

import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TextIO

from grs_evo.driver.monitor.display import line_of, panel_of, tick_of
from grs_evo.driver.monitor.terminal import terminal
from grs_evo.text import counted, duration

Display = Literal["auto", "panel", "line", "lines"]
_SILENCE = 2.5  # s without a word before the next one is due
_EARLY = 60.0  # s in which lines come as often as that; later as often as the run file says
_WIDTH = 80


class Reporter:
    """Speaks for the run; only rank 0 has one.

    Parameters
    ----------
    log : file that all lines go to as well, None before there is a folder
    every : s between two plain progress lines, once a run has gone on for a minute
    quiet : nothing on the screen but warnings
    progress : panel: redrawn on the terminal; line: one line, written over; lines: one after the other; auto: a panel
        where there is a terminal, its own or that of `mpiexec`, otherwise lines
    """

    def __init__(
        self, log: Path | None = None, every: float = 10.0, quiet: bool = False, progress: Display = "auto"
    ) -> None:
        self.log = log
        self.every = every
        self.quiet = quiet
        self._live: Any = None
        self._last = self._begun = time.monotonic()
        self._over = False  # whether the screen's last line is one to be written over
        self._stage = ""
        self._lock = threading.RLock()  # the thread that speaks of a long set-up, and the run
        self._screen: TextIO | None = None
        self._mode = "lines"
        if not quiet:
            self._screen = terminal() if progress in ("auto", "panel") else None
            self._mode = {"auto": "panel" if self._screen else "lines", "panel": "panel"}.get(progress, progress)

    def say(self, text: str) -> None:
        """One line, to screen and log; longer ones are wrapped on the screen."""
        with self._lock:
            self._print(_wrapped(text))
        self.note(text)

    def _print(self, text: str) -> None:
        self._last = time.monotonic()
        try:
            if self._live is not None:
                self._live.console.print(text, markup=False, highlight=False)
            elif not self.quiet:
                self._clear()
                print(text, file=sys.stderr, flush=True)
        except OSError:
            self._lose_screen()

    def _lose_screen(self) -> None:
        """The terminal was closed, or nobody reads the output any more: the run goes on, and its log tells of it."""
        self.quiet, self._mode, self._live = True, "lines", None

    def note(self, text: str) -> None:
        """One line to the log alone."""
        if self.log is None:
            return
        try:
            with self.log.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"{datetime.now().isoformat(timespec='seconds')} {text}\n")
        except OSError:
            self.log = None  # what cannot be written any more is found out, and said, by the next checkpoint

    # -- set-up ------------------------------------------------------------------------------------------------------

    def stage(self, text: str) -> None:
        """What set-up does from now on; said when it takes long."""
        self._stage = text

    def wait(self, instead: str) -> None:
        """Another look at a set-up that lasts: the stage and for how long, where nothing was said for some seconds.

        Parameters
        ----------
        instead : what else it does at this moment, such as that functions are being compiled; empty: the stage
        """
        now = time.monotonic()
        with self._lock:
            if self._stage and now - self._last >= self._pause():
                self._tick(f"setting up, {duration(now - self._begun)}: {instead or self._stage}")

    def _pause(self) -> float:
        return _SILENCE if time.monotonic() - self._begun < _EARLY or self._mode != "lines" else self.every

    # -- the run -----------------------------------------------------------------------------------------------------

    def progress(self, facts: dict[str, Any]) -> None:
        """The state of the run after a generation; redrawn on a terminal, a line now and then elsewhere."""
        with self._lock:
            if self._mode == "panel":
                self._draw(facts)
            elif time.monotonic() - self._last >= (0.0 if self._mode == "line" else self._pause()):
                self._tick(line_of(facts))

    def tick(self, facts: dict[str, Any]) -> None:
        """The state of the run between generations, for those that take long."""
        with self._lock:
            if self._mode == "panel":
                self._draw(facts)
            elif time.monotonic() - self._last >= self._pause():
                self._tick(tick_of(facts))

    def _tick(self, text: str) -> None:
        """A line that the next one may take the place of."""
        if self._mode == "line" or (self._mode == "panel" and self._live is None and self._screen is not None):
            self._last = time.monotonic()
            try:
                print(f"\r\x1b[K{text[: _WIDTH - 1]}", end="", file=self._in_place, flush=True)
                self._over = True
            except OSError:
                self._lose_screen()
        else:
            self._print(_wrapped(text))
            self.note(text)

    @property
    def _in_place(self) -> TextIO:
        """Where lines are written over: the terminal itself, since what goes through a launcher's pipe comes late."""
        return self._screen or sys.stderr

    def _clear(self) -> None:
        """Take away the line that was to be written over."""
        if self._over:
            self._over = False
            print("\r\x1b[K", end="", file=self._in_place, flush=True)

    def _draw(self, facts: dict[str, Any]) -> None:
        try:
            if self._live is None:
                from rich.console import Console
                from rich.live import Live

                self._clear()
                # asked for, it is drawn through a pipe as well
                console = Console(
                    file=self._screen or sys.stderr, force_terminal=True, width=None if self._screen else _WIDTH
                )
                self._live = Live(console=console, refresh_per_second=4, transient=True)
                self._live.start()
            self._live.update(panel_of(facts))
            self._last = time.monotonic()
        except OSError:
            self._lose_screen()

    def close(self) -> None:
        with self._lock:
            if self._live is not None:
                with suppress(OSError):
                    self._live.stop()
                self._live = None
            with suppress(OSError):
                self._clear()


def _wrapped(text: str) -> str:
    """Lines of at most eighty characters; tables are as wide as they are made."""
    lines = []
    for line in text.split("\n"):
        prose = "  " not in line.strip()
        lines += (
            textwrap.wrap(line, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
            if (prose and len(line) > _WIDTH)
            else [line]
        )
    return "\n".join(lines)


@contextmanager
def announcing_long_setup(reporter: Reporter) -> Iterator[None]:
    """While set-up lasts, say every few seconds what it does, and at its end how long it took."""
    from grs_evo.kernels import CACHE_FOLDER
    from grs_evo.kernels.compiling import METER

    begun = time.monotonic()
    functions, seconds = METER.functions, METER.seconds
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.5):
            reporter.wait(_compiling(METER.functions - functions) if METER.since else "")

    watcher = threading.Thread(target=watch, daemon=True, name="set-up watch")
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
    if time.monotonic() - begun > _SILENCE:
        text = f"ready after {duration(time.monotonic() - begun)}"
        if made := METER.functions - functions:
            text += (
                f", of which {counted(made, 'function')} compiled in {duration(METER.seconds - seconds)}, "
                f"kept in {CACHE_FOLDER} for later runs"
            )
        reporter.say(text)


# Functions that the first run of a kind compiles: 16 to 24, measured with an empty cache.
_USUAL = 20


def _compiling(made: int) -> str:
    """What is being compiled, for people who wait for the first time."""
    of = f" of about {_USUAL}" if made < _USUAL else ""
    return f"compiling for this processor, once (function {made + 1}{of})"
