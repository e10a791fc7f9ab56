"""The command line in this process: exit codes, one line for what is wrong, JSON for programs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import small
from ase.build import bulk
from ase.io import write

from grs_evo.cli import commands as cli
from grs_evo.descriptors.basis import build_basis
from grs_evo.descriptors.yace.file import write_yace
from grs_evo.storage.archive_file import read_archive
from grs_evo.storage.target_file import read_target
from grs_evo.targets.target import Target
from grs_evo.text import to_json


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
        "contents.json",
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


def test_thousands_of_warnings_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "far.extxyz", [bulk("Ta", "sc", a=9.0 + 0.01 * k) for k in range(40)])
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        _call("target", tmp_path / "far.extxyz", "--cutoff", "4", "-o", tmp_path / "target.h5")
    lines = [line for line in capsys.readouterr().err.splitlines() if "no neighbour" in line]
    assert len(lines) == 6
    assert lines[-1].startswith("grs-evo: warning: 35 more such as: ")


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
        ([tmp_path / "no.yace"], "no.yace: no such file"),
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


def test_a_target_is_stored_as_the_run_file_and_the_options_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = bulk("Cu", "fcc", a=3.7, cubic=True), bulk("Au", "fcc", a=4.1, cubic=True)
    one.info["group"], two.info["group"] = "cu", "au"
    write(tmp_path / "both.extxyz", [one, two])
    text = small.LATTICE.replace('["target.xyz"]', '["both.extxyz"]\nweights = {cu = 3.0}')
    case = small.write(tmp_path, text)

    def stored(name: str, *arguments: object) -> Target:
        assert _call("target", "-o", tmp_path / name, *arguments) == 0, capsys.readouterr().err
        return read_target(tmp_path / name)

    assert stored("a.h5", "--run-file", case).weights.tolist() == [3, 1]
    given = stored("b.h5", tmp_path / "both.extxyz", "--run-file", case, "--weights", "au=2", "--weights", "cu=1.5")
    assert given.weights.tolist() == [1.5, 2]
    assert stored("c.h5", tmp_path / "both.extxyz", "--cutoff", 4, "--weights", "au=2").weights.tolist() == [1, 2]
    dump = "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS pp pp pp\n0 4\n0 4\n0 4\n"
    (tmp_path / "m.dump").write_text(dump + "ITEM: ATOMS id type x y z\n1 2 0 0 0\n2 2 2 2 2\n")
    typed = stored("d.h5", tmp_path / "m.dump", "--run-file", small.write(tmp_path), "--types", "Au,Cu")
    assert typed.basis is not None
    assert typed.basis.elements == ("Cu",)
    capsys.readouterr()
    scored = ["score", tmp_path / "m.dump", "--target", tmp_path / "d.h5"]
    assert _call(*scored) == 2
    assert "m.dump: atom types without elements" in capsys.readouterr().err
    assert _call(*scored, "--types", "Au,Cu", "--format", "lammps-dump-text") == 0
    alloy = "[target.alloy]\na = 3.8\ncomposition = {Au = 0.25, Cu = 0.75}\nsamples = 400\n"
    case = small.write(tmp_path, small.LATTICE.replace('[target]\nfiles = ["target.xyz"]\n', alloy))
    capsys.readouterr()
    random = stored("e.h5", "--run-file", case)
    assert "random alloy, Au 0.25, Cu 0.75" in capsys.readouterr().out
    assert random.mean_is_exact
    # files count instead of a lattice made from a name
    assert stored("f.h5", tmp_path / "target.xyz", "--run-file", case).n_environments == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["name structure files", "--run-file"]),
        (["target.xyz", "--weights", "cu"], ["--weights cu", "melt=2.5"]),
        (["target.xyz", "--cutoff", "4", "--weights", "cu=2"], ["weights", "group 'cu' does not occur"]),
        (["target.xyz", "--cutoff", "nan"], ["cutoff"]),
        (["--run-file", "stored.toml"], ["old.h5", "is a stored target already"]),
    ],
)
def test_targets_that_cannot_be_stored(
    arguments: list[str],
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    small.write(tmp_path)
    (tmp_path / "stored.toml").write_text(small.LATTICE.replace('files = ["target.xyz"]', 'stored = "old.h5"'))
    assert _call("target", "-o", "new.h5", *arguments) == 2
    told = capsys.readouterr().err.strip()
    assert len(told.splitlines()) == 1
    for word in words:
        assert word in told
    assert not (tmp_path / "new.h5").exists()


def _strict(text: str) -> Any:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_json_has_nulls_where_there_is_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "cu.extxyz", bulk("Cu", "fcc", a=3.7, cubic=True))
    stored = tmp_path / "cu.h5"
    assert _call("target", tmp_path / "cu.extxyz", "-o", stored, "--cutoff", 4.0) == 0
    capsys.readouterr()
    assert _call("score", tmp_path / "cu.extxyz", "--target", stored, "--json") == 0
    [found] = _strict(capsys.readouterr().out)
    assert found["noise"] is None
    assert found["over_noise"] is None
    assert {row["variance_ratio"] for row in found["functions"]} == {None}
    assert _call("score", tmp_path / "cu.extxyz", "--target", stored) == 0
    assert "the target has no sampling noise" in capsys.readouterr().out
    on_top = bulk("Cu", "fcc", a=3.7, cubic=True)
    on_top.positions[1] = on_top.positions[0]
    write(tmp_path / "top.extxyz", on_top)
    assert _call("score", tmp_path / "top.extxyz", "--target", stored, "--json") == 2
    assert "top.extxyz: structure: atoms 0 and 1 are on top of each other" in capsys.readouterr().err


def test_json_never_holds_what_is_no_number() -> None:
    inf = float("inf")
    assert (
        to_json({"a": [inf, -inf, float("nan"), 1.5], "b": (2, "x")}) == '{"a": [null, null, null, 1.5], "b": [2, "x"]}'
    )


@pytest.mark.parametrize("name", ["b.extxyz", "b.cif", "b.vasp", "b.poscar", "b.data", "b.lmp", "b.lammps", "b.pwi"])
def test_what_is_exported_is_read_back(
    name: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _call("export", folder, "-o", tmp_path / name, "--top", 1) == 0
    capsys.readouterr()
    assert _call("score", tmp_path / name, "--target", folder, "--json") == 0
    [found] = json.loads(capsys.readouterr().out)
    archive = read_archive(folder)
    best = min(archive.individuals, key=lambda one: (one.value, one.uid))
    assert found["n_atoms"] == best.structure.n_atoms
    assert abs(found["value"] - best.value) < 1e-6


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
        (["run", "cluster.toml"], ["cluster.toml: target.files: cluster.xyz", "has no cell", "Lattice"]),
        (["run", "tiny.toml"], ["tiny.toml: target.files: tiny.xyz", "0.00375 Å", "at least 0.1 Å"]),
        (["run", "."], [".: is a folder", "run file"]),
        (["run", "nosuffix"], ["nosuffix", "--out"]),
        (["run", "case.toml", "--out", "case.toml/a"], ["case.toml/a", "is a file"]),
        (["run", "weights.toml"], ["weights.toml: target.weights: group 'melt' does not occur"]),
        (["run", "core.toml"], ["core.toml: loss.core.distances: 'Au-Ag' is no pair", "Cu, Au"]),
        (["run", "alloy.toml"], ["alloy.toml: target.alloy.composition: fractions", "1.1"]),
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
    monkeypatch.setattr(
        import_module("grs_evo.driver.monitor.console"), "_SILENCE", 1e6
    )  # on a slow machine set-up is spoken of before it fails
    small.write(tmp_path)
    text = small.LATTICE
    (tmp_path / "nocell.xyz").write_text('1\nProperties=species:S:1:pos:R:3 pbc="T T T"\nCu 0 0 0\n')
    (tmp_path / "cluster.xyz").write_text("2\n\nAu 0 0 0\nCu 0 0 2.5\n")
    (tmp_path / "tiny.xyz").write_text(small.TARGET.replace("3.75", "0.00375"))
    (tmp_path / "nosuffix").write_text(text)
    (tmp_path / "overlap.xyz").write_text(small.TARGET.replace("Cu 0.0 1.875 1.875", "Cu 0.0 0.0 0.1"))
    variants = {
        "wrong": text.replace("islands = 5", "islands = 0"),
        "far": text.replace("target.xyz", "nowhere.xyz"),
        "nocell": text.replace("target.xyz", "nocell.xyz"),
        "cluster": text.replace("target.xyz", "cluster.xyz"),
        "tiny": text.replace("target.xyz", "tiny.xyz"),
        "weights": text.replace("[basis]", "weights = {melt = 2.0}\n[basis]"),
        "core": text.replace("[candidates]", '[loss.core]\ndistances = {"Au-Ag" = 2.0}\n[candidates]'),
        "alloy": text.replace(
            'files = ["target.xyz"]', 'alloy = {lattice = "fcc", a = 3.75, composition = {Au = 0.6, Cu = 0.5}}'
        ),
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
    old: str,
    new: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(import_module("grs_evo.driver.monitor.console"), "_SILENCE", 1e6)
    assert old in small.LATTICE
    case = small.write(tmp_path, small.LATTICE.replace(old, new))
    assert _call("run", case, "--out", tmp_path / "out") == 2
    told = capsys.readouterr().err.strip()
    assert told.startswith(f"grs-evo: {case}: {words}")
    assert "\n" not in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ('[set]\nrounds = 3\ngiven = "nothere.extxyz"\n', ["set.given: ", "nothere.extxyz: no such file"]),
        ('[set]\nrounds = 3\ngiven = "iron.xyz"\n', ["set.given: ", "iron.xyz: element Fe is not in the basis"]),
        ('[set]\ngiven = "close.xyz"\n', ["set.given: ", "close.xyz: atoms 0 (Cu) and 1 (Au) overlap"]),
        ('[search.candidates]\nfile = "nothere.vasp"\n', ["search.candidates.file: ", "nothere.vasp: no such file"]),
        ('[[islands]]\ncandidates.file = "gone.cif"\n', ["islands[0].candidates.file: ", "gone.cif: no such file"]),
    ],
)
@pytest.mark.parametrize("command", ["check", "run"])
def test_every_file_is_looked_at_before_anything_is_written(
    command: str, extra: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, second in (("iron", "Fe 1.9 1.9 1.9"), ("close", "Au 0.0 0.0 0.1")):
        head = '2\nLattice="3.75 0 0 0 3.75 0 0 0 3.75" Properties=species:S:1:pos:R:3 pbc="T T T"\nCu 0.0 0.0 0.0\n'
        (tmp_path / f"{name}.xyz").write_text(head + second + "\n")
    text = small.LATTICE.replace("islands = 5\n", "") if "[[islands]]" in extra else small.LATTICE
    case = small.write(tmp_path, text, extra)
    before = sorted(tmp_path.rglob("*"))
    assert _call(command, case) == 2
    told = capsys.readouterr().err.strip()
    assert told.startswith(f"grs-evo: {case}: ")
    assert len(told.splitlines()) == 1
    for word in words:
        assert word in told
    assert sorted(tmp_path.rglob("*")) == before


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
    assert "..." not in done.stdout.partition("Commands:")[2]  # no summary is cut
    assert max(map(len, done.stdout.splitlines())) <= 80


def _imported_by(*arguments: str) -> set[str]:
    """Modules that a command has imported at its end."""
    code = (
        "import sys\n"
        "from grs_evo.cli.commands import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        "print('imported', *sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return set(done.stdout.partition("imported ")[2].split())


def test_help_imports_nothing_heavy() -> None:
    assert not {"numpy", "numba", "ase", "h5py", "pydantic", "mpi4py", "rich"} & _imported_by("--help")


def test_a_run_imports_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(small.LATTICE.replace("generations = 12", "generations = 1"))
    (tmp_path / "target.xyz").write_text(small.TARGET)
    slow = {f"scipy.{name}" for name in ("special", "stats", "integrate", "optimize", "spatial", "sparse")}
    slow |= {"ase.io", "pandas", "matplotlib", "sklearn", "rich", "deap"}
    assert sorted(slow & _imported_by("run", str(tmp_path / "run.toml"), "--quiet")) == []


def test_the_python_face() -> None:
    code = (
        "import sys, grs_evo\n"
        "assert not {'numpy', 'numba', 'ase', 'h5py'} & set(sys.modules), 'importing is not cheap'\n"
        "names = 'build_basis read_yace write_yace describe Target GRSCalculator relax run read_archive'.split()\n"
        "assert set(names) <= set(dir(grs_evo))\n"
        "import grs_evo.driver.session, grs_evo.potential.relaxation\n"
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
        "from grs_evo.driver.signals import listening\n"
        "with listening() as flag:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(0.1)\n"
        "    assert flag.heard == 'SIGINT'\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(5)\n"
        "print('still here')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 130
    assert "still here" not in done.stdout


def test_long_set_up_is_spoken_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(import_module("grs_evo.driver.monitor.console"), "_SILENCE", 0.0)
    assert _call("run", small.write(tmp_path, small.LATTICE.replace("= 12", "= 0"))) == 0
    told = capsys.readouterr().err
    assert told.count("ready after ") == 1
    assert told.index("ready after ") < told.index("generation 0")
