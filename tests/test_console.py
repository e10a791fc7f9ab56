"""What the user sees while a run lasts, also when there is no screen or no log any more."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from grs_evo.driver.monitor.console import Reporter


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
