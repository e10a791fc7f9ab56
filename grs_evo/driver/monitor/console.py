"""What the user sees while a run lasts: a live display on a terminal, plain lines elsewhere, and the log file."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from grs_evo.text import duration

# s of set-up after which it is said what takes so long
_LONG = 3.0


class Reporter:
    """Speaks for the run; only rank 0 has one.

    Parameters
    ----------
    log : file that all lines go to as well, None before there is a folder
    every : s between two plain progress lines
    quiet : nothing on the screen but warnings
    """

    def __init__(self, log: Path | None = None, every: float = 10.0, quiet: bool = False) -> None:
        self.log = log
        self.every = every
        self.quiet = quiet
        self._live: Any = None
        self._last_line = 0.0
        self._terminal = sys.stderr.isatty() and not quiet

    def say(self, text: str) -> None:
        """One line, to screen and log."""
        try:
            if self._live is not None:
                self._live.console.print(text, markup=False, highlight=False)
            elif not self.quiet:
                print(text, file=sys.stderr, flush=True)
        except OSError:
            self._lose_screen()
        self.note(text)

    def _lose_screen(self) -> None:
        """The terminal was closed, or nobody reads the output any more: the run goes on, and its log tells of it."""
        self.quiet, self._terminal, self._live = True, False, None

    def note(self, text: str) -> None:
        """One line to the log alone."""
        if self.log is None:
            return
        try:
            with self.log.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"{datetime.now().isoformat(timespec='seconds')} {text}\n")
        except OSError:
            self.log = None  # what cannot be written any more is found out, and said, by the next checkpoint

    def progress(self, facts: dict[str, Any]) -> None:
        """The state of the run; redrawn on a terminal, a line now and then elsewhere."""
        if self._terminal:
            try:
                self._draw(facts)
            except OSError:
                self._lose_screen()
            return
        now = time.monotonic()
        if now - self._last_line >= self.every:
            self._last_line = now
            self.say(line_of(facts))

    def _draw(self, facts: dict[str, Any]) -> None:
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), refresh_per_second=4, transient=True)
            self._live.start()
        self._live.update(panel_of(facts))

    def close(self) -> None:
        if self._live is not None:
            with suppress(OSError):
                self._live.stop()
            self._live = None


def line_of(facts: dict[str, Any]) -> str:
    """One line about the state of a run."""
    round_ = f"round {facts['round']}, " if facts.get("rounds", 0) else ""
    left = facts.get("seconds_left")
    rest = f", about {duration(left)} left" if left is not None else ""
    speed = f" ({facts['rate']:.0f}/s)" if facts["rate"] > 0 else ""  # unknown before the second look
    return (
        f"{round_}generation {facts['generation']}{of(facts.get('generations'))}: best {facts['best']:.6g}, "
        f"{facts['evaluations']} evaluations{speed}, diversity {facts['diversity']:.2f}{rest}"
    )


def of(total: int | None) -> str:
    return "" if total is None else f"/{total}"


def panel_of(facts: dict[str, Any]) -> Any:
    """The live display."""
    from rich.panel import Panel
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="dim")
    table.add_column()
    rows = [
        ("generation", f"{facts['generation']}{of(facts.get('generations'))}"),
        ("evaluations", f"{facts['evaluations']} ({facts['rate']:.0f} per second)"),
        ("best", f"{facts['best']:.6g}"),
        *((name, f"{value:.6g}") for name, value in facts.get("best_terms", {}).items()),
        ("diversity", f"{facts['diversity']:.2f}"),
        ("migrants", f"{facts['accepted_migrants']} accepted"),
        ("time", duration(facts["seconds"])),
    ]
    if facts.get("rounds", 0):
        rows.insert(
            0, ("round", f"{facts['round']} of {facts['rounds']}, {facts.get('set_size', 0)} structures in the set")
        )
    if facts.get("seconds_left") is not None:
        rows.append(("left", f"about {duration(facts['seconds_left'])}"))
    for name, value in rows:
        table.add_row(name, value)
    return Panel(table, title=str(facts["folder"]), title_align="left", expand=False)


@contextmanager
def announcing_long_setup(reporter: Reporter) -> Iterator[None]:
    """Say what takes so long when set-up lasts more than a few seconds, and at its end how long it took."""
    begun = time.monotonic()
    notice = threading.Timer(
        _LONG, reporter.say, ["setting up: the first run of its kind on a machine compiles for a minute or two"]
    )
    notice.daemon = True
    notice.start()
    try:
        yield
    finally:
        notice.cancel()
    if time.monotonic() - begun > _LONG:
        reporter.say(f"ready after {duration(time.monotonic() - begun)}")
