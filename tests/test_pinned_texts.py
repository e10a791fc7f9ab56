"""What users and other programs hold on to: names, signatures, command line, run file, archive table, words, codes."""

from __future__ import annotations

import difflib
import inspect
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pinned_runs
import pinned_texts
import places
import pytest
from click.testing import CliRunner

import grs_evo


@pytest.mark.parametrize("name", pinned_texts.TEXTS)
def test_a_text_is_as_it_was(name: str) -> None:
    pinned = (pinned_texts.FOLDER / f"{name}.txt").read_text().splitlines()
    changed = list(difflib.unified_diff(pinned, pinned_texts.TEXTS[name]().splitlines(), "pinned", "now", lineterm=""))
    assert not changed, "\n".join([*changed, "if this is meant: python tests/pinned_texts.py"])


def test_there_are_so_many_public_names() -> None:
    assert len(grs_evo.__all__) == len(set(grs_evo.__all__)) == 33
    assert set(grs_evo.__all__) <= set(dir(grs_evo))


def test_functions_stay_functions_when_modules_of_their_names_are_imported() -> None:
    code = "import grs_evo, grs_evo.cli\nfrom grs_evo import *\nprint(*(type(one).__name__ for one in (relax, run)))"
    for first in ("", "import importlib, pkgutil\n"):
        done = subprocess.run([sys.executable, "-c", first + code], capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["function", "function"]
    assert all(inspect.isfunction(getattr(grs_evo, name)) for name in ("relax", "run", "export"))


def test_importing_the_package_imports_nothing_heavy() -> None:
    """Public names come when they are asked for; the package alone brings none of the heavy modules."""
    code = "import sys, grs_evo\nprint(*({'numpy', 'numba', 'ase', 'h5py', 'mpi4py', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_run_file_with_all_defaults_is_read_back_as_the_same(tmp_path: Path) -> None:
    for k, text in enumerate(pinned_texts.RUN_FILES.values()):
        path, again = tmp_path / f"{k}.toml", tmp_path / f"{k}-again.toml"
        path.write_text(text)
        again.write_text(places.to_toml(places.read_run_file(path)))
        assert places.read_run_file(again) == places.read_run_file(path)


# ---------------------------------------------------------------------------------------------------------------------
# command line


@pytest.mark.parametrize("command", ["", *sorted(places.cli.commands)])
def test_help_names_every_option(command: str) -> None:
    shown = CliRunner().invoke(places.cli, [*command.split(), "--help"], terminal_width=120)
    assert shown.exit_code == 0
    pinned = (pinned_texts.FOLDER / "command_line.txt").read_text().split("\n\ngrs-evo ")
    (own,) = [text for text in pinned if text.removeprefix("grs-evo").splitlines()[0].strip() == command]
    options = [line.split(" (")[0].split() for line in own.splitlines() if line.startswith("    -")]
    assert options or command in ("plot", "stop")  # those of plot are its programs' own
    for word in (word for option in options for word in option):
        assert word in shown.output
    assert CliRunner().invoke(places.cli, [*command.split(), "-h"], terminal_width=120).output == shown.output


def _code(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        places.main([str(one) for one in arguments])
    return int(end.value.code or 0)


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run file in the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.toml").write_text("seed = \n")
    (tmp_path / "a-file").write_text("")
    return pinned_runs.write(tmp_path, "lattice")


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (0, ["--version"]),
        (0, ["--help"]),
        (0, ["basis", "--elements", "Cu", "--n-max", "2", "--l-max", "0", "--cutoff", "4"]),
        (0, ["check", "lattice.toml"]),
        (0, ["target", "target.xyz", "-o", "t.h5", "--cutoff", "4"]),
        (2, ["nothing-of-the-kind"]),
        (2, ["run"]),
        (2, ["run", "lattice.toml", "--no-such-option"]),
        (2, ["run", "lattice.toml", "--seed", "x"]),
        (2, ["run", "none.toml"]),
        (2, ["run", "broken.toml"]),
        (2, ["run", "lattice.toml", "--max-time", "soon"]),
        (2, ["check", "broken.toml"]),
        (2, ["resume", "none"]),
        (2, ["status", "."]),
        (2, ["stop", "."]),
        (2, ["export", ".", "-o", "a.xyz"]),
        (2, ["report", "."]),
        (2, ["basis"]),
        (2, ["score", "target.xyz", "--target", "none.h5"]),
        (2, ["target", "none.xyz", "-o", "t.h5", "--cutoff", "4"]),
        (74, ["target", "target.xyz", "-o", "no/such/folder/t.h5", "--cutoff", "4"]),
        (74, ["target", "target.xyz", "-o", "a-file/t.h5", "--cutoff", "4"]),
        (75, ["run", "lattice.toml", "--max-time", "0.001s", "--quiet"]),
    ],
)
def test_exit_codes(case: Path, code: int, arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert _code(*arguments) == code, capfd.readouterr().err


def test_a_run_ends_early_with_75_and_resumes_to_0(case: Path) -> None:
    assert _code("run", case, "--max-time", "0.001s", "--quiet") == 75
    assert _code("resume", case.with_suffix(""), "--max-time", "0.001s", "--quiet") == 75
    assert _code("resume", case.with_suffix(""), "--quiet") == 0
    assert _code("resume", case.with_suffix(""), "--quiet") == 0
    assert _code("run", case, "--quiet") == 2


def test_the_package_runs_as_a_module(case: Path) -> None:
    for arguments, code in [(["--version"], 0), (["status", "."], 2), (["target", "target.xyz", "-o", "no/t.h5"], 74)]:
        command = [sys.executable, "-m", "grs_evo", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
    version = subprocess.run([sys.executable, "-m", "grs_evo", "--version"], capture_output=True, text=True, check=True)
    assert version.stdout == f"grs-evo, version {grs_evo.__version__}\n"


# ---------------------------------------------------------------------------------------------------------------------
# why a run ended


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("generations = 2", "generations"),
        ("evaluations = 700", "evaluations"),
        ("loss = 1e3", "loss"),
        ("stagnation = 1", "stagnation"),
        ("seconds = 1e-6", "seconds"),
    ],
)
def test_reasons_of_stop_rules(tmp_path: Path, rule: str, reason: str) -> None:
    path = pinned_runs.write(tmp_path, "lattice")
    path.write_text(path.read_text().replace("generations = 14", rule))
    result = grs_evo.run(path, quiet=True)
    assert (result.reason, result.finished, result.exit_code) == (reason, True, 0)


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ("rounds = 1", "1 rounds done"),
        ("rounds = 3\ncount = 1", "1 structures found"),
        ("rounds = 3\nenvironments = 2", r"\d+ environments found"),
        ("rounds = 3\ntolerance = 1e3", r"set loss \S+ is at or below the tolerance 1000"),
        ("rounds = 9\ncoverage = 0.001", r"coverage \S+ reached"),
        ("rounds = 9\n# of the two structures of one atom", "no candidate lowered the set loss in 1 round"),
    ],
)
def test_reasons_of_sets(tmp_path: Path, rules: str, reason: str) -> None:
    path = pinned_runs.write(tmp_path, "set")
    text = path.read_text().replace("rounds = 3\naccept = 2\npatience = 3", rules)
    if "one atom" in rules:
        text = text.replace("sizes = [2, 6]", "sizes = [1, 1]").replace("rattle = 0.05", "rattle = 0.0")
    path.write_text(text.replace("generations = 5", "generations = 1"))
    result = grs_evo.run(path, quiet=True)
    assert result.finished
    assert re.fullmatch(reason, result.reason), result.reason


def test_the_reason_of_a_time_limit(tmp_path: Path) -> None:
    result = grs_evo.run(pinned_runs.write(tmp_path, "lattice"), quiet=True, max_time=1e-3)
    assert (result.reason, result.finished, result.exit_code) == ("max_time", False, 75)


@pytest.mark.parametrize("way", ["stop", "SIGTERM", "SIGUSR1", "SIGINT"])
def test_reasons_of_stops_from_outside(way: str, tmp_path: Path) -> None:
    path = pinned_runs.write(tmp_path, "lattice")
    path.write_text(path.read_text().replace("generations = 14", "generations = 1000000"))
    folder, command = path.with_suffix(""), [sys.executable, "-m", "grs_evo"]
    process = subprocess.Popen([*command, "run", path, "--quiet"], cwd=tmp_path, stdin=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 240  # a machine that compiles for the first time is slow
        while not list(folder.glob("checkpoints/*.h5")):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        if way == "stop":
            assert _code("stop", folder) == 0
        else:
            process.send_signal(getattr(signal, way))
        assert process.wait(timeout=60) == 75
    finally:
        process.kill()
        process.wait()
    found = json.loads((folder / "status.json").read_text())
    assert (found["state"], found["stop_reason"]) == ("stopped", way)
