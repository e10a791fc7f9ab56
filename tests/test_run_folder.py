"""Who owns a run folder, with locks and without, what it was given, and what others leave in it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small

from grs_evo.cli.commands import main
from grs_evo.driver.session import resume, run
from grs_evo.errors import InputError, StorageError
from grs_evo.storage import run_folder
from grs_evo.storage.archive_file import read_archive
from grs_evo.storage.run_folder import Folder, check_contents, check_free, claim, existing, is_alive, owner_of

_TWO = small.LATTICE.replace("generations = 12", "generations = 2")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(small.write(tmp_path_factory.mktemp("run"), _TWO), quiet=True).folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "case"))


def _call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(map(str, arguments)))
    assert isinstance(left.value.code, int)
    return left.value.code


# ---------------------------------------------------------------------------------------------------------------------
# owners


def _no_locks(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", flock)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, 524, errno.EACCES, errno.EIO])
def test_without_locks_a_run_that_ended_goes_on_at_once(
    folder: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _no_locks(monkeypatch, number)
    place = Folder(folder)
    assert not is_alive(place)
    began = time.monotonic()
    for generations in (3, 4):
        result = resume(folder, extend=f"stop.generations={generations}", quiet=True)
        assert result.generation == generations
        assert owner_of(place)["ended"] is True
        assert not is_alive(place)
    assert time.monotonic() - began < 30.0


def test_without_locks_a_living_owner_is_seen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _no_locks(monkeypatch, errno.ENOLCK)
    place = Folder(folder)
    first = claim(place, 1)
    assert is_alive(place)
    with pytest.raises(InputError, match="going on now"):
        claim(place, 1)
    first.check()
    first.release()
    assert not is_alive(place)
    second = claim(place, 1)
    with pytest.raises(StorageError, match="taken this run over"):
        first.check()
    first.release()  # says nothing of an owner that is another
    assert is_alive(place)
    second.release()


def _owner(folder: Path, **changes: object) -> None:
    """An owner that was killed: as a living one wrote it, with something else in it."""
    found = claim(Folder(folder), 1)
    owner = json.loads((folder / "owner.json").read_text())
    found._released.set()
    (folder / "owner.json").write_text(json.dumps({**owner, **changes}))


def test_without_locks_a_killed_owner_of_this_host_is_known_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _no_locks(monkeypatch, errno.ENOLCK)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    boot = run_folder._process(os.getpid()).rpartition(" ")[0]
    _owner(folder, pid=gone.pid, process=f"{boot} 12345")
    assert not is_alive(Folder(folder))
    # the same number, but another process
    (folder / "owner.json").unlink()
    _owner(folder, process=f"{boot} 12345")
    assert not is_alive(Folder(folder))


def test_without_locks_an_owner_on_another_host_lives_as_long_as_it_touches_the_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _no_locks(monkeypatch, errno.ENOLCK)
    _owner(folder, host="elsewhere", process="another-boot pid:[1] 5")
    assert is_alive(Folder(folder))
    old = time.time() - 100.0
    os.utime(folder / "owner.json", (old, old))
    os.utime(folder / "status.json", (old, old))
    assert not is_alive(Folder(folder))


def test_without_locks_the_owner_touches_its_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _no_locks(monkeypatch, errno.ENOLCK)
    monkeypatch.setattr(run_folder, "_BEAT", 0.02)
    owner = claim(Folder(folder), 1)
    os.utime(folder / "owner.json", (1.0, 1.0))
    end = time.monotonic() + 10.0
    while (folder / "owner.json").stat().st_mtime < 2.0 and time.monotonic() < end:
        time.sleep(0.02)
    assert (folder / "owner.json").stat().st_mtime > 2.0
    owner.release()


@pytest.mark.parametrize("text", ["", "[]", "{", "3", '{"token": []}', '{"pid": "x", "process": 3}', "[" * 100_000])
def test_garbage_in_owner_json_is_harmless(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "owner.json").write_text(text)
    assert _call("status", folder) == 0
    owner = claim(Folder(folder), 1)
    owner.check()
    (folder / "owner.json").write_text(text)
    with pytest.raises(StorageError) as error:
        owner.check()
    assert "\n" not in str(error.value)
    assert _call("status", folder) == 0
    owner.release()
    _no_locks(monkeypatch, errno.ENOLCK)
    assert isinstance(is_alive(Folder(folder)), bool)


def test_a_lock_that_is_a_pipe_holds_nobody_up(folder: Path) -> None:
    (folder / "lock").unlink()
    os.mkfifo(folder / "lock")
    began = time.monotonic()
    assert _call("status", folder) == 0
    assert _call("stop", folder) == 2
    with pytest.raises(StorageError, match=r"lock: cannot be written: is no regular file"):
        claim(Folder(folder), 1)
    assert time.monotonic() - began < 10.0


@pytest.mark.parametrize("name", ["status.json", "owner.json"])
def test_pipes_in_place_of_other_files_hold_nobody_up(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert _call("status", folder) == 0


# ---------------------------------------------------------------------------------------------------------------------
# what was given


def test_exchanged_inputs_and_targets_are_refused_by_name(folder: Path, tmp_path: Path) -> None:
    check_contents(Folder(folder))
    source = next((folder / "inputs").iterdir())
    text = source.read_text()
    source.write_text(text.replace("3.75 0 0 0", "3.85 0 0 0"))
    with pytest.raises(InputError, match=rf"inputs/{source.name} is another.*restore it"):
        resume(folder, quiet=True)
    source.unlink()
    with pytest.raises(InputError, match=rf"inputs/{source.name} is gone"):
        resume(folder, quiet=True)
    source.write_text(text)
    (folder / "inputs" / "more.xyz").write_text(text)
    with pytest.raises(InputError, match=r"inputs/more.xyz is new"):
        resume(folder, quiet=True)
    (folder / "inputs" / "more.xyz").rename(folder / "inputs" / ".DS_Store")
    assert resume(folder, quiet=True).finished
    (tmp_path / "other").mkdir()
    other = run(small.write(tmp_path / "other", _TWO.replace("cutoff = 4.0", "cutoff = 4.1")), quiet=True).folder
    shutil.copy(other / "target.h5", folder / "target.h5")
    for path in (folder / "checkpoints").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"target.h5 is another"):
        resume(folder, quiet=True)


def test_folders_without_digests_go_on_as_before(folder: Path) -> None:
    (folder / "contents.json").unlink()
    assert resume(folder, extend="stop.generations=3", quiet=True).generation == 3


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", "[" * 100_000])
def test_damaged_digests_are_told(folder: Path, text: str) -> None:
    (folder / "contents.json").write_text(text)
    with pytest.raises(InputError, match=r"contents.json is damaged"):
        resume(folder, quiet=True)


def test_a_pipe_among_the_inputs_is_refused_at_once(folder: Path) -> None:
    os.mkfifo(folder / "inputs" / "pipe")
    with pytest.raises(InputError, match="is no regular file"):
        resume(folder, quiet=True)


# ---------------------------------------------------------------------------------------------------------------------
# names and garbage


@pytest.mark.parametrize("text", ["", "[]", "{", "3", '{"state": 3}', '{"islands": [1]}', "[" * 100_000, "\udcff"])
def test_garbage_in_status_json_is_harmless(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if text != '{"islands": [1]}':  # drawing takes most of a report's time, and draws nothing of the status
        monkeypatch.setattr("grs_evo.report.page._without_scripts", lambda *_: "")
    (folder / "status.json").write_bytes(text.encode(errors="surrogateescape"))
    for options in ((), ("--json",)):
        assert _call("status", folder, *options) == 0
    assert _call("report", folder) == 0


def test_each_value_of_status_json_may_be_garbage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = json.loads((folder / "status.json").read_text())
    for name in whole:
        for value in (None, "x", [], [3], {"a": "b"}, -1, "<b>", True):
            (folder / "status.json").write_text(json.dumps({**whole, name: value}))
            assert _call("status", folder) == 0, (name, value)
    for name in ("islands", "best", "checkpoints"):
        for key in whole[name][0] if name == "islands" else whole[name]:
            inner = {**(whole[name][0] if name == "islands" else whole[name]), key: "x"}
            (folder / "status.json").write_text(json.dumps({**whole, name: [inner] if name == "islands" else inner}))
            assert _call("status", folder) == 0, (name, key)
    assert "Traceback" not in capsys.readouterr().err


def test_names_too_long_for_the_file_system(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 300)
    with pytest.raises(InputError, match="does not exist"):
        existing(path)
    with pytest.raises(InputError, match="name is too long"):
        check_free(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_archive(path)


def test_folders_with_the_names_of_our_files_stay(folder: Path) -> None:
    for name in (".x.part", "failed_rank_0.txt"):
        (folder / name).mkdir()
    assert resume(folder, extend="stop.generations=3", quiet=True).generation == 3
    assert (folder / ".x.part").is_dir()
