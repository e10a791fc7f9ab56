"""What the user sees while a run lasts, also when there is no screen or no log any more."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grs_evo import interrupts
from grs_evo.driver.monitor import console
from grs_evo.driver.monitor.console import Reporter
from grs_evo.driver.monitor.display import line_of, tick_of


class _Closed(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_without_a_screen_the_log_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reporter = Reporter(tmp_path / "log.txt")
    monkeypatch.setattr(sys, "stderr", _Closed())
    reporter.say("one")
    reporter.say("two \udcff")
    reporter.close()
    assert [line.partition(" ")[2] for line in (tmp_path / "log.txt").read_text().splitlines()] == [
        "one",
        "two \\udcff",
    ]


def test_without_a_log_the_screen_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(tmp_path / "nowhere" / "log.txt")
    reporter.say("one")
    reporter.say("two")
    assert capsys.readouterr().err == "one\ntwo\n"


FACTS = {
    "folder": "out",
    "round": 0,
    "rounds": 0,
    "generation": -1,
    "generations": 80,
    "evaluations": 123456789,
    "rate": 123456.0,
    "structures": 12345,
    "best": 0.123456789,
    "best_terms": {"mean": 0.1},
    "diversity": 0.5,
    "accepted_migrants": 3,
    "seconds": 4000.0,
    "seconds_left": 5000.0,
}


def test_lines_fit_and_know_no_generation_before_the_first() -> None:
    for line in (line_of({**FACTS, "generation": 79}), tick_of(FACTS), tick_of({**FACTS, "generation": 7})):
        assert len(line) <= 80
        assert "-1" not in line
    assert "first generation: 12345 structures" in tick_of(FACTS)


def test_what_takes_long_is_spoken_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Between generations and while set up, as soon as nothing was said for some seconds, and not before."""
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    reporter = Reporter()
    reporter.stage("describing the target")
    for _ in range(40):
        now[0] += 0.5
        reporter.wait("")
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 8
    assert all(line.endswith("describing the target") for line in said)
    for _ in range(120):
        now[0] += 0.5
        reporter.tick(FACTS)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 15 + 2  # every 2.5 s, and from a minute on every 10 s


def test_one_line_is_written_over(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(progress="line")
    reporter.progress({**FACTS, "generation": 1})
    reporter.say("a note")
    reporter.close()
    told = capsys.readouterr().err
    assert "\n" not in told.partition("a note")[0]
    assert told.endswith("\r\x1b[Ka note\n")


def test_a_panel_asked_for_goes_through_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(progress="panel")
    reporter.tick(FACTS)
    reporter.close()
    told = capsys.readouterr().err
    assert "the first one" in told
    assert "12345 on this rank" in told


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells whose terminal it is")
def test_the_terminal_behind_a_launcher_is_found() -> None:
    """A child whose errors go into a pipe of a parent that has a terminal, as ranks have below mpiexec."""
    code = (
        "import os, subprocess, sys\n"
        "child = 'import os; from grs_evo.driver.monitor.terminal import terminal; print(terminal().name)'\n"
        "done = subprocess.run([sys.executable, '-c', child], stdout=subprocess.PIPE, stderr=subprocess.PIPE, "
        "text=True, env={**os.environ, 'PMI_SIZE': '2', 'PMI_RANK': '0'})\n"
        "print('found', done.stdout.strip(), os.ttyname(2), done.stderr[-300:])\n"
    )
    leader, follower = pty.openpty()
    subprocess.run(
        [sys.executable, "-c", f"import fcntl, termios; fcntl.ioctl(2, termios.TIOCSCTTY, 0)\n{code}"],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        check=True,
        timeout=60,
    )
    os.close(follower)
    told = os.read(leader, 10_000).decode()
    os.close(leader)
    found = re.search(r"found (\S+) (\S+)", told)
    assert found is not None, told
    assert found[1] == found[2], told


def test_a_long_start_is_spoken_of_until_the_ranks_know_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "_SILENCE", 0.05)
    screen, quiet = io.StringIO(), io.StringIO()
    for arguments, where in (([], screen), (["--quiet"], quiet)):
        set_up = interrupts.SetUp()
        set_up.listen(arguments, lambda where=where: where)
        end = time.monotonic() + 10.0
        time.sleep(0.12)
        while screen.getvalue().count("is starting") < 2 and time.monotonic() < end:
            time.sleep(0.01)
        set_up.connected(0)
        set_up.over()
        for number, handler in set_up.before.items():
            signal.signal(number, handler)
    assert screen.getvalue().startswith("\r\x1b[Kgrs_evo is starting, 0 s\r")
    assert not quiet.getvalue()
