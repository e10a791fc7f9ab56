"""The closing lines of a run."""

from __future__ import annotations

from pathlib import Path

import small

from grs_evo.driver.config.run_file import parse
from grs_evo.driver.monitor.summary import Result, next_commands, summary
from grs_evo.driver.setup import make_problem, make_target_data


def test_the_closing_lines_say_how_it_ended(tmp_path: Path) -> None:
    run = parse(small.write(tmp_path).read_text(), "case")
    problem = make_problem(run, make_target_data(run, tmp_path), tmp_path)
    early = summary(Result(tmp_path, False, "SIGTERM", -1, 3.0), problem, 5, -1, 2.0)
    assert "stopped (SIGTERM) before the first generation was complete" in early
    assert "no generation was completed: set-up took" in early
    assert next_commands(Result(tmp_path, False, "SIGTERM", -1, 3.0), False) == f"go on with  grs-evo resume {tmp_path}"
    done = summary(Result(tmp_path, True, "loss", 8, 3.0), problem, 5, -1, 2.0)
    assert done.startswith("finished (loss) after generation 8")
    assert "resume" not in next_commands(Result(tmp_path, True, "loss", 8, 3.0), True)
    ended = Result(tmp_path, True, "generations", 8, 3.0)
    assert f"to improve  grs-evo resume {tmp_path} --extend stop.generations=16\n" in next_commands(ended, False, True)
    assert "set.count" in next_commands(ended, True, True)
    assert "verdict" in next_commands(Result(tmp_path, True, "loss", 8, 3.0), False, True)
