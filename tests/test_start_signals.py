"""Signals and --max-time from the first line of the program to its first generation: two seconds, and nothing lost.

What comes then is seen by its code and by what it leaves; that it takes two seconds and not as long as what was under
way is seen by work that would never end.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import small
from command_line import call

from grs_evo import interrupts
from grs_evo.cli.status import status
from grs_evo.files import write_whole
from grs_evo.storage.archive_file import read_archive
from grs_evo.storage.run_folder import create

# s; what is tested would go on for ever, and the machine may be busy
_PATIENCE = 60
GONE = ("interrupted", "its processes are gone")

# The program, which at one place of the set-up goes on for ever, in Python or in one call of compiled code that no
# handler of Python's interrupts.
PROGRAM = """
import ctypes, importlib.util, os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell started the tests in the background
place, how, *arguments = {arguments!r}
sys.argv = ["grs-evo", *arguments]

def there():
    with open("there", "a") as file:
        print(os.getpid(), file=file)

def held(*_, **__):
    there()
    if how == "impossible":
        from grs_evo.errors import InputError
        raise InputError("search: no candidate fits")
    while True:
        time.sleep(0.01) if how == "python" else ctypes.CDLL(None).sleep(1000)

if place == "import":
    class Finder:
        def find_spec(self, name, *_):
            if name == "numba":
                held()
    sys.meta_path.insert(0, Finder())
elif place != "nowhere":
    class Finder:
        def find_spec(self, name, *_):
            if name == "grs_evo.driver.session":
                sys.meta_path.remove(self)
                found = importlib.util.find_spec(name)
                real = found.loader.exec_module
                found.loader.exec_module = lambda module: (real(module), setattr(module, place, held))
                return found
    sys.meta_path.insert(0, Finder())
from grs_evo.__main__ import main
main()
"""


def _program(cwd: Path, place: str, how: str, *arguments: str) -> Path:
    path = cwd / "program.py"
    path.write_text(PROGRAM.format(arguments=[place, how, *arguments]))
    return path


def _start(cwd: Path, place: str, how: str, *arguments: str, ranks: int = 0) -> subprocess.Popen[str]:
    mpi = ["mpiexec", "-n", str(ranks)] if ranks else []
    environment = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    environment["PRTE_MCA_rmaps_default_mapping_policy"] = ":oversubscribe"
    return subprocess.Popen(
        [*mpi, sys.executable, _program(cwd, place, how, *arguments)],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _until(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 240  # a machine that compiles for the first time is slow
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.02)


def _end(process: subprocess.Popen[str]) -> tuple[int, str]:
    try:
        told, _ = process.communicate(timeout=_PATIENCE)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return process.returncode, told


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Hash of the archive of the undisturbed run."""
    folder = tmp_path_factory.mktemp("expected")
    code, told = call("run", small.write(folder), "--quiet", cwd=folder)
    assert code == 0, told
    return read_archive(folder / "case").archive_hash


def _goes_on(cwd: Path, expected: str) -> None:
    """The command that the user was told finishes the run, without a hand."""
    there = (cwd / "case" / "run.toml").exists()
    code, told = call(*(["resume", "case"] if there else ["run", "case.toml"]), cwd=cwd)
    assert code == 0, told
    assert read_archive(cwd / "case").archive_hash == expected
    assert not [path.name for path in cwd.rglob(".*")]


@pytest.mark.parametrize(
    ("place", "how", "way"),
    [
        ("import", "compiled", "SIGTERM"),
        ("make_problem", "python", "SIGUSR1"),
        ("rehearse", "compiled", "SIGINT"),
        pytest.param("import", "python", "SIGINT", marks=pytest.mark.long),
        pytest.param("make_target_data", "compiled", "SIGUSR1", marks=pytest.mark.long),
        pytest.param("rehearse", "python", "SIGUSR1", marks=pytest.mark.long),
        pytest.param("Recorder", "python", "SIGTERM", marks=pytest.mark.long),
    ],
)
def test_a_signal_ends_set_up_wherever_it_is(expected: str, tmp_path: Path, place: str, how: str, way: str) -> None:
    small.write(tmp_path)
    process = _start(tmp_path, place, how, "run", "case.toml")
    _until(process, lambda: (tmp_path / "there").exists())
    process.send_signal(getattr(signal, way))
    code, told = _end(process)
    has_folder = place in ("rehearse", "Recorder")
    assert (tmp_path / "case").exists() == has_folder
    assert code == (75 if has_folder else 128 + getattr(signal, way)), told
    assert told.count(f"grs-evo: stopped by {way} in set-up") == 1
    assert told.count("`grs-evo resume case` goes on") == has_folder
    assert "Traceback" not in told
    if has_folder:
        found = status(tmp_path / "case")
        # where the program was in compiled code, its thread ended it without another word
        assert (found["state"], found["stop_reason"]) in (("stopped", "in set-up"), GONE)
        assert how == "compiled" or found["state"] == "stopped"
        _goes_on(tmp_path, expected)


def test_the_clock_ends_set_up(expected: str, tmp_path: Path) -> None:
    small.write(tmp_path)
    code, told = _end(_start(tmp_path, "make_problem", "compiled", "run", "case.toml", "--max-time", "1s"))
    (tmp_path / "there").unlink(missing_ok=True)
    assert code == 2, told
    assert "set-up takes longer than --max-time allows, before there is a run folder" in told
    assert not (tmp_path / "case").exists()
    process = _start(tmp_path, "rehearse", "python", "run", "case.toml")
    _until(process, lambda: (tmp_path / "there").exists())
    process.terminate()
    assert _end(process)[0] == 75
    # a session that compiled nothing may have met a busy machine; a second one would be no better than the first
    for limit, wanted in (("0.9s", 75), ("0.9s", 2), ("1.2s", 75), ("1s", 2)):
        code, told = _end(_start(tmp_path, "make_problem", "compiled", "resume", "case", "--max-time", limit))
        assert code == wanted, told
        assert told.count("grs-evo: set-up takes longer than --max-time allows") == 1
    assert (tmp_path / "case" / "too_short").exists()
    _goes_on(tmp_path, expected)
    assert not (tmp_path / "case" / "too_short").exists()


def test_compiled_functions_are_progress(tmp_path: Path) -> None:
    (tmp_path / "run.toml").touch()
    ends = []
    for compiled in (0, 1, 0, 0):
        program = (
            "import sys, time\n"
            "from grs_evo.interrupts import SET_UP, Interrupted\n"
            "try:\n"
            "    SET_UP.listen()\n"
            f"    SET_UP.compiled = lambda: {compiled}\n"
            f"    SET_UP.is_about({str(tmp_path)!r}, 1e-3)\n"
            "    time.sleep(60)\n"
            "except Interrupted as stop:\n"  # where the clock was faster than the way to the sleep
            "    sys.exit(stop.code)\n"
        )
        done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, timeout=_PATIENCE)
        ends.append(done.returncode)
    assert ends == [75, 75, 2, 2]


def test_the_end_is_decided_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the watching thread loses patience while the main one decides: it waits for the answer."""
    set_up, inside, asked = interrupts.SetUp(), threading.Event(), []

    def decide() -> tuple[str, int]:
        asked.append(threading.current_thread())
        inside.set()
        time.sleep(0.1)
        return "too long", 75

    monkeypatch.setattr(set_up, "_decide", decide)
    first = threading.Thread(target=set_up._end)
    first.start()
    assert inside.wait(_PATIENCE)
    assert set_up._end() == ("too long", 75)
    first.join()
    assert asked == [first]


def test_what_set_up_finds_impossible_leaves_no_folder(tmp_path: Path) -> None:
    small.write(tmp_path)
    code, told = _end(_start(tmp_path, "rehearse", "impossible", "run", "case.toml"))
    assert code == 2, told
    assert "grs-evo: case.toml: search: no candidate fits" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["case.toml", "program.py", "target.xyz", "there"]


def test_what_is_interrupted_while_it_is_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "file", b"content")
    with pytest.raises(KeyboardInterrupt):
        create(tmp_path / "run", {"run.toml": ""}, {}, {})
    assert not list(tmp_path.iterdir())


def test_other_commands_end_as_shells_expect(tmp_path: Path) -> None:
    small.write(tmp_path)
    for way in ("SIGINT", "SIGTERM"):
        process = _start(tmp_path, "import", "python", "check", "case.toml")
        _until(process, lambda: (tmp_path / "there").exists())
        process.send_signal(getattr(signal, way))
        code, told = _end(process)
        assert code in (128 + getattr(signal, way), -getattr(signal, way))
        assert told.strip() == ""
        (tmp_path / "there").unlink()


def test_without_proc_nothing_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that watches would die of it, and nobody end the process."""
    real = os.path.isdir
    monkeypatch.setattr(os.path, "isdir", lambda path: not str(path).startswith("/proc") and real(path))
    monkeypatch.setattr(interrupts, "_command", lambda _: pytest.fail("there is no /proc"))
    interrupts._pass_on(signal.SIGTERM)


def test_a_script_keeps_its_handlers_in_set_up(tmp_path: Path) -> None:
    """Only the program ends in set-up: a script's handlers are called, other signals let the run end as it begins."""
    small.write(tmp_path)
    (tmp_path / "script.py").write_text(
        "import os, signal, grs_evo\n"
        "from grs_evo.driver import session\n"
        "heard, real = [], session.rehearse\n"
        "def rehearse(problem):\n"
        "    for way in (signal.SIGUSR1, signal.SIGTERM):\n"
        "        os.kill(os.getpid(), way)\n"
        "    real(problem)\n"
        "session.rehearse = rehearse\n"
        "signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))\n"
        "done = grs_evo.run('case.toml', quiet=True)\n"
        "assert (done.finished, done.reason, heard) == (False, 'SIGTERM', [1]), (done, heard)\n"
        "assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL\n"
    )
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------------------------------------------------------------
# several ranks


def _ranks(process: subprocess.Popen[str], cwd: Path) -> list[int]:
    """Process numbers of the ranks that run the program of a folder, in the order in which they were started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != process.pid:
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if command[1:2] == [os.fsencode(cwd / "program.py")]:
                found.append(int(entry.name))
    return sorted(found)


@pytest.mark.mpi
@pytest.mark.long
@pytest.mark.skipif(shutil.which("mpiexec") is None, reason="no mpiexec: install the extra mpich or openmpi")
@pytest.mark.parametrize(
    ("place", "how", "way", "to"),
    [
        ("import", "python", "SIGTERM", "one"),  # launchers end all as soon as one has ended: the first must have told
        ("import", "python", "SIGTERM", "other"),
        ("make_problem", "compiled", "SIGUSR1", "all"),
        ("rehearse", "compiled", "SIGTERM", "all"),
        ("rehearse", "python", "SIGINT", "all"),
        ("rehearse", "python", "SIGTERM", "other"),
    ],
)
def test_all_ranks_end(expected: str, tmp_path: Path, place: str, how: str, way: str, to: str) -> None:
    small.write(tmp_path)
    process = _start(tmp_path, place, how, "run", "case.toml", ranks=2)
    waiting = 2 if place == "import" else 1  # one that is not as far as its first line hears nothing yet
    there = tmp_path / "there"
    _until(process, lambda: there.exists() and len(there.read_text().splitlines()) == waiting)
    first, *others = _ranks(process, tmp_path)
    for rank in {"one": [first], "all": [first, *others], "other": others}[to]:
        os.kill(rank, getattr(signal, way))
    code, told = _end(process)
    assert code == (75 if place == "rehearse" else 128 + getattr(signal, way)), told
    assert "Traceback" not in told
    assert f"stopped by {way} in set-up" in told
    assert not _ranks(process, tmp_path)
    if place == "rehearse":
        _goes_on(tmp_path, expected)
