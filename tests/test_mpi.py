"""Runs under mpiexec: one answer on any number of ranks, clean ends, no hangs, and kills that lose nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small
from ase.build import bulk
from ase.io import write
from command_line import call

from grs_evo.driver.session import run
from grs_evo.storage.archive_file import read_archive
from grs_evo.storage.target_file import TargetData

pytestmark = [
    pytest.mark.mpi,
    pytest.mark.skipif(shutil.which("mpiexec") is None, reason="no mpiexec: install the extra mpich or openmpi"),
]
# s; a hang is a failure, and a machine that compiles for the first time is slow
_PATIENCE = 240
# Environment variable by which the processes of a run are known: launchers put each into a session of its own.
_MARK = "GRS_EVO_TEST"
LONG = small.LATTICE.replace("generations = 12", "generations = 100000")


def _environment() -> dict[str, str]:
    extra = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "PYTHONWARNINGS": "error"}
    extra["PRTE_MCA_rmaps_default_mapping_policy"] = ":oversubscribe"
    return {**os.environ, **extra}


def _command(n_ranks: int, *arguments: object, program: Sequence[str] = ("-m", "grs_evo")) -> list[str]:
    mpi = [] if n_ranks == 0 else ["mpiexec", "-n", str(n_ranks)]
    return [*mpi, sys.executable, *program, *map(str, arguments)]


def _start(
    n_ranks: int, *arguments: object, cwd: Path, program: Sequence[str] = ("-m", "grs_evo")
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        _command(n_ranks, *arguments, program=program),
        cwd=cwd,
        env={**_environment(), _MARK: str(cwd)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    try:
        out, err = process.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        pytest.fail(f"hangs: {out} {err}")
    return process.returncode, out + err


def _call(n_ranks: int, *arguments: object, cwd: Path) -> tuple[int, str]:
    return _finish(_start(n_ranks, *arguments, cwd=cwd))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Hash of the archive of the undisturbed run on one rank."""
    folder = tmp_path_factory.mktemp("expected")
    code, text = _call(1, "run", small.write(folder), cwd=folder)
    assert code == 0, text
    return read_archive(folder / "case").archive_hash


@pytest.mark.parametrize(
    "n_ranks", [2, pytest.param(3, marks=pytest.mark.long), pytest.param(5, marks=pytest.mark.long)]
)
def test_one_archive_on_any_number_of_ranks(expected: str, tmp_path: Path, n_ranks: int) -> None:
    code, text = _call(n_ranks, "run", small.write(tmp_path), cwd=tmp_path)
    assert code == 0, text
    assert read_archive(tmp_path / "case").archive_hash == expected
    assert text.count("finished (generations)") == 1
    found = json.loads(call("status", "case", "--json", cwd=tmp_path)[1])
    assert (found["state"], found["stop_reason"], found["generation"]) == ("finished", "generations", 12)
    assert found["archive_hash"] == expected
    assert len(found["islands"]) == 5
    assert found["evaluations"] > 5 * 6


def test_one_archive_of_relaxations_in_mixed_precision(tmp_path: Path) -> None:
    case = small.write(tmp_path, small.RELAXED.replace("[relax]", '[relax]\nprecision = "mixed"'))
    expected = run(case, tmp_path / "alone", quiet=True).archive_hash
    code, text = _call(2, "run", case, cwd=tmp_path)
    assert code == 0, text
    assert read_archive(tmp_path / "case").archive_hash == expected


# A program whose islands change ranks whenever none is on its way, wherever to.
RESTLESS = """
import sys
import numpy as np
from grs_evo.parallel.decisions import Balance
def moves(self, generation, effect):
    if self.n_ranks == 1 or generation <= self._effect:
        return np.empty((0, 2), np.int32)
    owner = np.random.default_rng(generation).permutation(np.arange(len(self.owner)) % self.n_ranks).astype(np.int32)
    islands = np.flatnonzero(owner != self.owner)
    self._before, self.owner, self._effect = self.owner, owner, effect
    self.n_moved += len(islands)
    return np.column_stack([islands, owner[islands]]).astype(np.int32)
Balance.moves = moves
from grs_evo.__main__ import main
main()
"""


def _restless(n_ranks: int, *arguments: object, cwd: Path, program: str = RESTLESS) -> subprocess.Popen[str]:
    (cwd / "restless.py").write_text(program)
    return _start(n_ranks, *arguments, cwd=cwd, program=("restless.py",))


@pytest.mark.parametrize(
    "n_ranks", [2, pytest.param(3, marks=pytest.mark.long), pytest.param(5, marks=pytest.mark.long)]
)
def test_islands_that_change_ranks_come_to_the_same_archive(expected: str, tmp_path: Path, n_ranks: int) -> None:
    code, text = _finish(_restless(n_ranks, "run", small.write(tmp_path), cwd=tmp_path))
    assert code == 0, text
    assert read_archive(tmp_path / "case").archive_hash == expected
    found = json.loads(call("status", "case", "--json", cwd=tmp_path)[1])
    assert found["islands_moved"] > 5


@pytest.mark.long
@pytest.mark.parametrize("victim", ["rank 0", "last rank", "mpiexec"])
def test_killed_while_islands_change_ranks(tmp_path: Path, victim: str) -> None:
    """The run goes on from its newest checkpoint on other ranks, and changes them again."""
    case = small.write(tmp_path, LONG)
    process = _restless(3, "run", case, cwd=tmp_path)
    _until(lambda: len(_checkpoints(tmp_path / "case")) > 1)
    _kill(process, victim)
    _finish(process)
    end = int(_checkpoints(tmp_path / "case")[-1].stem[5:]) + 20
    code, text = _finish(_restless(2, "resume", "case", "--extend", f"stop.generations={end}", cwd=tmp_path))
    assert code == 0, text
    case.write_text(LONG.replace("generations = 100000", f"generations = {end}"))
    code, text = call("run", case, "--out", "alone", cwd=tmp_path)
    assert code == 0, text
    assert read_archive(tmp_path / "case").archive_hash == read_archive(tmp_path / "alone").archive_hash


MANY = small.LATTICE.replace("islands = 5", "islands = 33").replace("generations = 12", "generations = 6")


def test_many_islands_are_saved_in_shards(tmp_path: Path) -> None:
    """By all ranks; and by rank 0 alone, saying so, where the others do not see the folder. Any number goes on."""
    case = small.write(tmp_path, MANY)
    assert call("run", case, "--out", "alone", cwd=tmp_path)[0] == 0
    code, text = _call(2, "run", case, cwd=tmp_path)
    assert code == 0, text
    assert len(list((tmp_path / "case" / "checkpoints").glob("shard_00000006_*.h5"))) == 2
    assert not list((tmp_path / "alone" / "checkpoints").glob("shard_*"))
    one, other = read_archive(tmp_path / "alone"), read_archive(tmp_path / "case")
    assert one.archive_hash == other.archive_hash
    for name, column in one.history.items():
        np.testing.assert_array_equal(column, other.history[name])
    longer = []
    for folder, start in (("case", call), ("alone", partial(_call, 2))):
        code, text = start("resume", folder, "--extend", "stop.generations=9", cwd=tmp_path)
        assert code == 0, text
        archive = read_archive(tmp_path / folder)
        longer.append((archive.archive_hash, archive.history["evaluations"].tolist()))
    assert longer[0] == longer[1]
    assert max(longer[0][1]) > one.history["evaluations"].max()
    assert len(list((tmp_path / "alone" / "checkpoints").glob("shard_00000009_*.h5"))) == 2


@pytest.mark.long
def test_a_folder_that_others_do_not_see_is_written_by_rank_0(tmp_path: Path) -> None:
    case = small.write(tmp_path, MANY)
    blind = (
        "import sys\nfrom grs_evo.driver.ranks import startup\nfrom grs_evo.__main__ import main\n"
        "startup.can_write = lambda *_: False\nmain()\n"
    )
    code, text = _finish(_restless(2, "run", case, cwd=tmp_path, program=blind))
    assert code == 0, text
    assert " ".join(text.split()).count("not every rank sees this folder") == 1
    assert not list((tmp_path / "case" / "checkpoints").glob("shard_*"))


@pytest.mark.long
def test_a_rank_that_cannot_write_ends_all_with_74(tmp_path: Path) -> None:
    """Its shard is not there, so neither is the checkpoint; the one before is whole."""
    case = small.write(tmp_path, MANY)
    failing = (
        "import sys\nfrom grs_evo.storage import checkpoint\nfrom grs_evo.__main__ import main\n"
        "from grs_evo.errors import StorageError\nreal = checkpoint.save_shard\n"
        "def save(step, states, *rest):\n"
        "    if step > 2 and 0 not in states:\n        raise StorageError('no space left')\n"
        "    return real(step, states, *rest)\n"
        "checkpoint.save_shard = save\nmain()\n"
    )
    code, text = _finish(_restless(2, "run", case, cwd=tmp_path, program=failing))
    assert code == 74, text
    assert " ".join(text.split()).count("no space left") == 1
    assert "Traceback" not in text
    assert int(_checkpoints(tmp_path / "case")[-1].stem[5:]) == 2
    assert _call(2, "resume", "case", cwd=tmp_path)[0] == 0


def test_a_set_that_teaches_is_one_on_any_number_of_ranks(tmp_path: Path) -> None:
    rule = '[set]\nobjective = "information"\nrounds = 3\naccept = 2\ncount = 4\n'
    text = small.LATTICE.replace("generations = 12", "generations = 2").replace("variance = 0.5", "w_set = 0.5")
    found = []
    for start in (call, partial(_call, 2)):
        folder = tmp_path / str(len(found))
        folder.mkdir()
        code, told = start("run", small.write(folder, text, rule), cwd=folder)
        assert code == 0, told
        archive = read_archive(folder / "case")
        found.append(([one.content for one in archive.set], archive.archive_hash))
    assert len(found[0][0]) == 4
    assert found[0] == found[1]


@pytest.mark.parametrize("n_ranks", [1, 3])
def test_a_wrong_run_file_is_told_once(tmp_path: Path, n_ranks: int) -> None:
    case = small.write(tmp_path, small.LATTICE.replace("population", "popluation"))
    code, text = _call(n_ranks, "run", case, cwd=tmp_path)
    assert code == 2, text
    assert text.count("did you mean 'population'") == 1
    assert "Traceback" not in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["case.toml", "target.xyz"]


def test_a_plugged_part_that_raises_on_one_rank_is_named_once(tmp_path: Path) -> None:
    (tmp_path / "slipping.py").write_text(
        "from grs_evo.search.operators.record import Operator\n"
        "from mpi4py import MPI\n"
        "def act(rng, parents, limits, steps):\n"
        "    assert MPI.COMM_WORLD.Get_rank() == 0\n"
        "PART = Operator('slips', act, 'chemical', weight=9.0)\n"
    )
    case = small.write(tmp_path, small.LATTICE, '[plugins]\noperators = ["slipping:PART"]\n')
    environment = {**_environment(), "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(
        _command(2, "run", case), cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=_PATIENCE
    )
    said = [line for line in (done.stdout + done.stderr).splitlines() if "slipping" in line]
    assert done.returncode == 2, done.stderr
    assert len(said) == 1
    assert "slipping.py, line 4): act raised AssertionError" in said[0]
    assert "Traceback" not in done.stderr


def test_more_ranks_than_islands_are_refused(tmp_path: Path) -> None:
    case = small.write(tmp_path, small.LATTICE.replace("islands = 5", "islands = 2"))
    code, text = _call(3, "run", case, cwd=tmp_path)
    assert code == 2
    assert "2 of them cannot be shared by 3 ranks" in text
    assert not (tmp_path / "case").exists()


@pytest.mark.long
def test_max_time_ends_early_and_resume_finishes(expected: str, tmp_path: Path) -> None:
    # the limit has passed before there is a folder
    code, text = _call(2, "run", small.write(tmp_path), "--max-time", "0.01s", cwd=tmp_path)
    assert code == 2, text
    assert text.count("set-up takes longer than --max-time allows, before there is a run folder") == 1
    assert not (tmp_path / "case").exists()
    # and when the set-up is done: no generation is made
    (tmp_path / "stopping.py").write_text(
        "from grs_evo.driver.session import run\nimport sys\nsys.exit(run('case.toml', max_time=0.01).exit_code)\n"
    )
    done = subprocess.run(
        [sys.executable, "stopping.py"], cwd=tmp_path, capture_output=True, text=True, timeout=_PATIENCE
    )
    assert done.returncode == 75, done.stderr
    assert "stopped (max_time)" in done.stderr
    code, text = _call(3, "resume", "case", cwd=tmp_path)
    assert code == 0, text
    assert read_archive(tmp_path / "case").archive_hash == expected


def _until(condition: object, seconds: float = _PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def _checkpoints(folder: Path) -> list[Path]:
    return sorted((folder / "checkpoints").glob("ckpt_*.h5")) if folder.exists() else []


def _left(cwd: Path) -> dict[str, Any]:
    """Status of a run whose launcher is gone, once its last rank is gone too."""
    _until(lambda: json.loads(call("status", "case", "--json", cwd=cwd)[1])["state"] != "running")
    return dict(json.loads(call("status", "case", "--json", cwd=cwd)[1]))


def _ranks_of(process: subprocess.Popen[str]) -> list[int]:
    """Process numbers of the Python processes that a launcher started."""
    mark = next(
        entry
        for entry in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
        if entry.startswith(_MARK.encode())
    )
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
                environment = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if mark in environment and {b"grs_evo", b"restless.py"} & {*command} and b"mpiexec" not in command[0]:
                found.append(int(entry.name))
    return sorted(found)


def _kill(process: subprocess.Popen[str], how: str) -> None:
    ranks = _ranks_of(process)
    victims = {"mpiexec": [process.pid], "rank 0": ranks[:1], "last rank": ranks[-1:], "all": [process.pid, *ranks]}
    for pid in victims[how]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


@pytest.mark.long
@pytest.mark.parametrize("way", ["SIGTERM", "SIGUSR1", "SIGINT", "stop"])
def test_a_clean_end_has_a_checkpoint_and_code_75(tmp_path: Path, way: str) -> None:
    process = _start(2, "run", small.write(tmp_path, LONG), cwd=tmp_path)
    folder = tmp_path / "case"
    _until(lambda: len(_checkpoints(folder)) > 1)
    if way == "stop":
        assert call("stop", "case", cwd=tmp_path)[0] == 0
    elif "Open MPI" in (folder / "versions.json").read_text():
        # its mpiexec kills a quarter of a second after a signal: ask a rank, as a batch system would
        os.kill(_ranks_of(process)[-1], getattr(signal, way))
    else:
        process.send_signal(getattr(signal, way))
    stopped_in = int(_checkpoints(folder)[-1].stem[5:])
    code, text = _finish(process)
    assert code == 75, text
    assert text.count("go on with  grs-evo resume") == 1
    found = json.loads(call("status", "case", "--json", cwd=tmp_path)[1])
    assert found["state"] == "stopped"
    newest = int(_checkpoints(folder)[-1].stem[5:])
    assert found["generation"] == newest
    # it was heard within a few of 100,000 generations, however slow the machine
    assert newest - stopped_in < 1000


@pytest.mark.long
def test_a_live_run_is_not_resumed_beside(tmp_path: Path) -> None:
    process = _start(2, "run", small.write(tmp_path, LONG), cwd=tmp_path)
    _until(lambda: len(_checkpoints(tmp_path / "case")) > 0)
    code, text = _call(2, "resume", "case", cwd=tmp_path)
    assert code == 2, text
    assert "is going on now" in text
    assert json.loads(call("status", "case", "--json", cwd=tmp_path)[1])["state"] == "running"
    _kill(process, "all")
    _finish(process)
    assert _left(tmp_path)["state"] == "interrupted"


@pytest.mark.long
@pytest.mark.parametrize("island", [0, 4])
def test_one_rank_raising_ends_all(expected: str, tmp_path: Path, island: int) -> None:
    small.write(tmp_path)
    (tmp_path / "failing.py").write_text(
        "import sys\n"
        "from grs_evo.search import island\n"
        "real = island.advance\n"
        "def advance(state, *rest, **more):\n"
        f"    if state.island == {island} and state.generation == 3 and more.get('poll') is None and len(rest) > 2:\n"
        "        raise RuntimeError('a programmer made a mistake')\n"
        "    return real(state, *rest, **more)\n"
        "island.advance = advance\n"
        "sys.argv[1:] = ['run', 'case.toml']\n"
        "from grs_evo.__main__ import main\n"
        "main()\n"
    )
    process = subprocess.Popen(
        ["mpiexec", "-n", "3", sys.executable, "failing.py"],
        cwd=tmp_path,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    code, text = _finish(process)
    assert code not in (0, 2, 75)
    assert "a programmer made a mistake" in text
    (record,) = (tmp_path / "case").glob("failed_rank_*.txt")
    assert "a programmer made a mistake" in record.read_text()
    found = _left(tmp_path)
    assert (found["state"], record.name in found["stop_reason"]) == ("interrupted", True)
    code, text = call("resume", "case", cwd=tmp_path)
    assert code == 0, text
    assert not record.exists()
    assert read_archive(tmp_path / "case").archive_hash == expected


def test_without_an_mpi_library_it_runs_serially_and_says_so(expected: str, tmp_path: Path) -> None:
    """mpi4py is there, the library that it wants is not."""
    environment = {**os.environ, "MPI4PY_LIBMPI": "/nonexistent/libmpi.so"}
    process = subprocess.run(
        _command(0, "run", small.write(tmp_path)), cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    assert process.stderr.count("no MPI library found") == 1
    assert read_archive(tmp_path / "case").archive_hash == expected


def _write_large(path: Path, overlap: bool = False) -> None:
    """8,788 atoms, five blocks of a target."""
    rng = np.random.default_rng(1)
    sites = np.stack(np.meshgrid(*3 * [np.arange(26)], indexing="ij"), -1).reshape(-1, 3)
    positions = 1.9 * sites[sites.sum(1) % 2 == 0] + 0.1 * rng.standard_normal((8788, 3))
    if overlap:
        positions[8000] = positions[17] + (0.0, 0.0, 0.3)
    edge = 1.9 * 26
    head = f'Lattice="{edge} 0 0 0 {edge} 0 0 0 {edge}" Properties=species:S:1:pos:R:3 pbc="T T T"'
    lines = [
        f"{'Cu' if u < 0.7 else 'Au'} {x!r} {y!r} {z!r}"
        for u, (x, y, z) in zip(rng.random(8788), positions.tolist(), strict=True)
    ]
    path.write_text("\n".join(["8788", head, *lines]) + "\n")


@pytest.mark.long
def test_a_large_target_is_described_by_all_ranks(tmp_path: Path) -> None:
    case = small.write(tmp_path, small.LATTICE.replace("generations = 12", "generations = 1"))
    _write_large(tmp_path / "target.xyz")
    targets = []
    for n_ranks, start in ((1, call), (2, partial(_call, 2))):
        code, text = start("run", case, "--out", f"out{n_ranks}", cwd=tmp_path)
        assert code == 0, text
        targets.append(TargetData.read(tmp_path / f"out{n_ranks}" / "target.h5").target.to_arrays())
    for name, array in targets[0].items():
        assert np.array_equal(array, targets[1][name]), name
    assert len({read_archive(tmp_path / f"out{n}").archive_hash for n in (1, 2)}) == 1
    _write_large(tmp_path / "target.xyz", overlap=True)
    code, text = _call(2, "run", case, "--out", "refused", cwd=tmp_path)
    assert code == 2, text
    assert text.count("overlap: 0.3000 Å apart") == 1
    assert "Traceback" not in text
    assert not (tmp_path / "refused").exists()


def test_a_target_is_stored_once_by_all_ranks(tmp_path: Path) -> None:
    small.write(tmp_path)
    code, text = _call(2, "target", "target.xyz", "-o", "t.h5", "--cutoff", "4.0", cwd=tmp_path)
    assert code == 0, text
    assert text.count("4 environments of 1 structure") == 1
    code, text = _call(2, "target", "target.xyz", "-o", "t.h5", "--cutoff", "4.0", cwd=tmp_path)
    assert code == 2, text
    assert text.count("exists already") == 1
    code, text = call("target", "target.xyz", "-o", "u.h5", "--cutoff", "4.0", cwd=tmp_path)
    assert (tmp_path / "t.h5").read_bytes() == (tmp_path / "u.h5").read_bytes()


def test_a_selection_is_made_once_by_all_ranks(tmp_path: Path) -> None:
    pool = [bulk("Cu", cubic=True) * (1 + k % 2, 1, 1) for k in range(40)]
    for k, one in enumerate(pool):
        one.rattle(0.1, seed=k)
    write(tmp_path / "pool.xyz", pool, format="extxyz")
    found = []
    for n_ranks, start in ((0, call), (2, partial(_call, 2))):
        code, text = start(
            "select", "pool.xyz", "--environments", "40", "--json", "-o", f"{n_ranks}.extxyz", cwd=tmp_path
        )
        assert code == 0, text
        assert text.count('"rule"') == 1
        found.append((json.loads(text)["sizes"], (tmp_path / f"{n_ranks}.extxyz").read_bytes()))
    assert found[0] == found[1]
    code, text = _call(2, "select", "pool.xyz", "--count", "9999", "-o", "none.extxyz", cwd=tmp_path)
    assert code == 2, text
    assert text.count("count is 9999") == 1
    assert not (tmp_path / "none.extxyz").exists()


def test_a_foreign_mpiexec_is_noticed(tmp_path: Path) -> None:
    """A launcher that says three, an MPI library that sees one."""
    case = small.write(tmp_path)
    for rank, said in ((0, 1), (1, 0)):
        environment = {**_environment(), "OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_RANK": str(rank)}
        process = subprocess.run(
            _command(0, "run", case), cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=_PATIENCE
        )
        assert process.returncode == 2, process.stderr
        assert process.stderr.count("mpiexec: started 3 processes") == said
    assert not (tmp_path / "case").exists()
