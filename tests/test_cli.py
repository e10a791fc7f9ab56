"""The command line in this process: exit codes, one line for what is wrong, JSON for programs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import small

from grs_evo import cli
from grs_evo.basis import build_basis
from grs_evo.yace import write_yace


def _call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main([str(one) for one in arguments])
    return int(end.value.code or 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("cli")
    assert _call("run", small.write(place), "--quiet", "--seed", 3) == 0
    return place / "case"


def test_a_run_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = small.write(tmp_path, small.LATTICE.replace("generations = 12", "generations = 2"))
    assert _call("run", case, "--out", tmp_path / "out") == 0
    told = capsys.readouterr().err
    assert "finished (generations) after generation 2" in told
    assert "grs-evo export" in told
    folder = tmp_path / "out"
    assert sorted(path.name for path in folder.iterdir()) == [
        "archive.h5",
        "checkpoints",
        "inputs",
        "lock",
        "log.txt",
        "owner.json",
        "run.toml",
        "seeds",
        "status.json",
        "target.h5",
        "versions.json",
    ]
    assert "finished" in (folder / "log.txt").read_text()
    assert {"grs_evo", "numpy", "numba", "mpi", "python"} <= set(json.loads((folder / "versions.json").read_text()))


def test_status(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _call("status", folder, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    wanted = "state stop_reason generation evaluations seconds archive_size archive_hash best islands checkpoints"
    assert set(wanted.split()) <= set(found)
    assert found["seed"] == 3
    assert {"evaluations", "accepted_migrants", "diversity", "best_value"} <= set(found["islands"][0])
    assert sum(one["accepted_migrants"] for one in found["islands"]) > 0
    assert found["checkpoints"]["saved"] > 0
    assert _call("status", folder) == 0
    assert f"hash {found['archive_hash']}" in capsys.readouterr().out


def test_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = small.write(tmp_path)
    assert _call("check", case, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["functions"]) == {"Au", "Cu"}
    assert found["neighbours_per_atom"]["target"] == 18
    shells = found["shells"]["target"]["Au-Cu"]
    assert [round(count) for _, count in shells] == [12]
    assert abs(shells[0][0] - 3.75 / 2**0.5) < 1e-9
    assert found["memory_bytes"] > 0
    assert _call("check", case) == 0
    assert "population = 6" in capsys.readouterr().out
    assert not (tmp_path / "case").exists()


def test_check_of_a_liquid_counts_neighbours(capsys: pytest.CaptureFixture[str]) -> None:
    case = Path(__file__).parents[1] / "runs" / "liquid-ta" / "run.toml"
    assert _call("check", case, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["shells"]["target"]["Ta-Ta"] == []
    around = found["coordination"]["target"]["Ta-Ta"]
    assert around["neighbours"] == pytest.approx(found["neighbours_per_atom"]["target"])
    # a simple liquid: twelve to fourteen nearest neighbours
    assert 11 < around["nearest"] < 15
    assert 3.4 < around["nearest_to"] < 4.6


def test_warnings_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = small.write(tmp_path, small.LATTICE.replace("cutoff = 4.0", "cutoff = 2.5"))
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        _call("check", case)
    lines = [line for line in capsys.readouterr().err.splitlines() if "no neighbour" in line]
    assert lines
    assert all(line.startswith("grs-evo: warning: ") for line in lines)
    assert not any(".py" in line for line in lines)


def test_basis_from_options_and_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _call("basis", "--elements", "Ta", "--n-max", "3,1", "--l-max", "0 1", "--cutoff", 4.5) == 0
    told = capsys.readouterr().out
    assert told.startswith("central element Ta: 5 functions; cutoff to Ta 4.5 Å")
    write_yace(build_basis(["Ta"], (3, 1), (0, 1), cutoff=4.5), tmp_path / "ta.yace")
    assert _call("basis", tmp_path / "ta.yace") == 0
    assert capsys.readouterr().out == told
    for arguments, words in [
        ([], "give either"),
        ([tmp_path / "ta.yace", "--elements", "Ta"], "give either"),
        ([tmp_path / "ta.yace", "--cutoff", 4.0], "--cutoff goes with --elements"),
        (["--elements", "Ta", "--n-max", "3,x"], "--n-max: is '3,x'"),
        ([tmp_path / "no.yace"], "no.yace: cannot be read"),
    ]:
        assert _call("basis", *arguments) == 2
        told = capsys.readouterr().err
        assert words in told
        assert told.count("\n") == 1


def test_basis_target_and_score(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = small.write(tmp_path)
    assert _call("basis", case) == 0
    assert "central element Au" in capsys.readouterr().out
    stored = tmp_path / "target.h5"
    assert _call("target", tmp_path / "target.xyz", "-o", stored, "--run-file", case) == 0
    assert "4 environments" in capsys.readouterr().out
    assert _call("target", tmp_path / "target.xyz", "-o", stored) == 2
    for target in (stored, folder):
        assert _call("score", tmp_path / "target.xyz", "--target", target, "--json") == 0
        out = capsys.readouterr().out
        [found] = json.loads(out)
        assert abs(found["terms"]["structure"]) < 1e-10
    again = small.write(tmp_path, small.LATTICE.replace('files = ["target.xyz"]', 'stored = "target.h5"'))
    changed = again.read_text().replace("[basis]\nn_max = [3, 1]\nl_max = [0, 1]\ncutoff = 4.0\n", "")
    again.write_text(changed.replace('lattice = "fcc"', 'lattice = "fcc"\na = 3.75').replace("= 12", "= 1"))
    assert _call("run", again, "--quiet") == 0
    wrong = small.write(tmp_path, small.LATTICE.replace('files = ["target.xyz"]', 'stored = "target.h5"'))
    wrong.write_text(wrong.read_text().replace("cutoff = 4.0", "cutoff = 4.5"))
    capsys.readouterr()
    assert _call("check", wrong) == 2
    assert "cutoff" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "none.toml"], ["none.toml", "no such file"]),
        (["resume", "none"], ["none", "does not exist", "folder of a run"]),
        (["status", "."], ["no run folder"]),
        (["export", ".", "-o", "a.xyz"], ["archive.h5"]),
        (["stop", "."], ["no run folder"]),
        (["run", "case.toml", "--max-time", "soon"], ["--max-time soon", "90s, 50m"]),
        (["check", "wrong.toml"], ["wrong.toml", "search.islands", "0"]),
        (["check", "far.toml"], ["nowhere.xyz"]),
        (["check", "nocell.toml"], ["nocell.xyz", "cell"]),
        (["check", "overlap.toml"], ["overlap.xyz", "Å"]),
        (["check", "cutoff.toml"], ["cutoff", "-1"]),
        (["check", "element.toml"], ["Au", "not in the basis"]),
        (["check", "few.toml"], ["candidates"]),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    small.write(tmp_path)
    text = small.LATTICE
    (tmp_path / "nocell.xyz").write_text('1\nProperties=species:S:1:pos:R:3 pbc="T T T"\nCu 0 0 0\n')
    (tmp_path / "overlap.xyz").write_text(small.TARGET.replace("Cu 0.0 1.875 1.875", "Cu 0.0 0.0 0.1"))
    variants = {
        "wrong": text.replace("islands = 5", "islands = 0"),
        "far": text.replace("target.xyz", "nowhere.xyz"),
        "nocell": text.replace("target.xyz", "nocell.xyz"),
        "overlap": text.replace("target.xyz", "overlap.xyz"),
        "cutoff": text.replace("cutoff = 4.0", "cutoff = -1.0"),
        "element": text.replace("[basis]", '[basis]\nelements = ["Cu", "Ag"]'),
        "few": text.replace('composition = "free"', "counts = {Au = 40, Cu = 2}"),
    }
    for name, content in variants.items():
        (tmp_path / f"{name}.toml").write_text(content)
    before = sorted(path.name for path in tmp_path.iterdir())
    assert _call(*arguments) == 2
    told = capsys.readouterr().err.strip()
    assert len(told.splitlines()) == 1
    assert "Traceback" not in told
    for word in words:
        assert word in told
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("cutoff = 4.0", "cutoff = -1.0", "basis.cutoff of Cu-Cu = -1 Å; it must be above 0 Å"),
        ("target.xyz", "nowhere.xyz", "target.files: "),
    ],
)
def test_what_set_up_refuses_names_file_and_key(
    old: str, new: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert old in small.LATTICE
    case = small.write(tmp_path, small.LATTICE.replace(old, new))
    assert _call("run", case, "--out", tmp_path / "out") == 2
    told = capsys.readouterr().err.strip()
    assert told.startswith(f"grs-evo: {case}: {words}")
    assert "\n" not in told
    assert not (tmp_path / "out").exists()


def test_stop_needs_a_live_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _call("stop", folder) == 2
    assert "not going on" in capsys.readouterr().err


def test_a_broken_status_file_is_no_obstacle(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "status.json").write_text("{")
    assert _call("status", copy, "--json") == 0
    assert json.loads(capsys.readouterr().out)["newest_checkpoint"] == "ckpt_00000012.h5"


def test_the_program_runs_as_a_module_and_helps() -> None:
    done = subprocess.run([sys.executable, "-m", "grs_evo", "--help"], capture_output=True, text=True, check=True)
    for word in ("run", "resume", "export", "status", "check", "stop", "basis", "target", "score"):
        assert f"  {word} " in done.stdout


def test_the_python_face() -> None:
    code = (
        "import sys, grs_evo\n"
        "assert not {'numpy', 'numba', 'ase', 'h5py'} & set(sys.modules), 'importing is not cheap'\n"
        "names = 'build_basis read_yace write_yace describe Target GRSCalculator relax run read_archive'.split()\n"
        "assert set(names) <= set(dir(grs_evo))\n"
        "import grs_evo.run, grs_evo.relax\n"
        "assert all(callable(getattr(grs_evo, name)) for name in names)\n"
        "try:\n"
        "    grs_evo.nothing\n"
        "except AttributeError as error:\n"
        "    assert 'nothing' in str(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_second_interrupt_ends_at_once() -> None:
    code = (
        "import os, signal, time\n"
        "from grs_evo.signals import listening\n"
        "with listening() as alarm:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(0.1)\n"
        "    assert alarm.heard == 'SIGINT'\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(5)\n"
        "print('still here')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 130
    assert "still here" not in done.stdout
