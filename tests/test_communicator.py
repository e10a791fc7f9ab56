"""Waiting for other ranks: every wait in the program ends when there is nobody left to wait for."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import small
from fleet import N_STATS, ToyRecorder, ToyWork
from test_checkpoint import STORED

import grs_evo
from grs_evo.cli import commands
from grs_evo.driver import session
from grs_evo.driver.config.run_file import parse
from grs_evo.driver.ranks import startup
from grs_evo.driver.ranks.distributed_target import DistributedDescriber
from grs_evo.driver.ranks.held_states import HeldStates
from grs_evo.driver.sets import sharing
from grs_evo.errors import InputError, RankExit
from grs_evo.parallel import communicator, endings
from grs_evo.parallel.communicator import Launcher, World
from grs_evo.parallel.coordinator import Coordinator, RoundRules
from grs_evo.parallel.decisions import Balance, CheckpointOptions, Decision, StopOptions
from grs_evo.parallel.messages import Tag, encode, text_array
from grs_evo.parallel.topology import MigrationOptions, Routes, sources
from grs_evo.parallel.worker import RoundPlan, SignalFlag, Worker
from grs_evo.search.population.archive import ArchiveOptions
from grs_evo.storage.checkpoint import Checkpoint, save_shard
from grs_evo.structures.structure import Structure
from grs_evo.targets.chunks import Job

Messages = Sequence[tuple[int | None, Any]]


class Left(BaseException):
    """The process would have ended here."""


class Request:
    """A message that nobody takes, a barrier that nobody else enters, or one that is through."""

    def __init__(self, through: bool) -> None:
        self._through = through

    def Test(self) -> bool:
        return self._through


class DeadPeers:
    """What a World needs of mpi4py.MPI, with one other rank: it has sent some messages, and then died.

    Parameters
    ----------
    rank : of this process
    sent : messages as (tag, block); (None, n) instead lets n looks pass before the next one comes
    settled : barriers that the other rank still took part in
    """

    ANY_SOURCE = ANY_TAG = BYTE = None

    def __init__(self, rank: int, sent: Messages, settled: int = 0) -> None:
        self._rank, self._sent, self._settled = rank, list(sent), settled
        self.COMM_WORLD = self

    def Get_rank(self) -> int:
        return self._rank

    def Get_size(self) -> int:
        return 2

    def Dup(self) -> DeadPeers:
        return self

    def Status(self) -> DeadPeers:
        return self

    def Iprobe(self, **_: Any) -> bool:
        if self._sent and self._sent[0][0] is None:
            left = self._sent[0][1] - 1
            self._sent[:1] = [(None, left)] if left else []
            return False
        return bool(self._sent)

    def Get_count(self, _: Any) -> int:
        return len(self._sent[0][1])

    def Get_source(self) -> int:
        return 1 - self._rank

    def Get_tag(self) -> int:
        return self._sent[0][0]

    def Recv(self, into: list, *_: Any) -> None:
        into[0][:] = self._sent.pop(0)[1]

    def Issend(self, *_: Any) -> Request:
        return Request(self._settled > 0)

    def Ibarrier(self) -> Request:
        self._settled -= 1
        return Request(self._settled >= 0)


class DyingLauncher(Launcher):
    """Is gone after some looks."""

    def __init__(self) -> None:
        self.looks = 0

    def is_gone(self) -> bool:
        self.looks += 1
        return self.looks > 40


@pytest.fixture(autouse=True)
def _leaving(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(code: int) -> None:
        raise Left(code)

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(endings, "LEAVE", 60.0)
    monkeypatch.setattr(startup, "LEAVE", 60.0)


def _world(rank: int, sent: Messages = (), settled: int = 0) -> World:
    return World(DeadPeers(rank, sent, settled), launcher=DyingLauncher())


def _numbers(*values: int) -> Any:
    return encode({"numbers": np.array(values, np.int64)})


def _evolution(
    rank: int,
    sent: Messages = (),
    settled: int = 0,
    generations: int = 5,
    halt_after: int | None = None,
    work: ToyWork | None = None,
) -> Callable[[], Any]:
    options = MigrationOptions(interval=2, emigrants=1)
    owner, heard_from = np.array([0, 0, 1, 1], np.int32), sources(4, options, 3)
    rules = (StopOptions(generations=generations), CheckpointOptions(generations=1, max_cost=1.0))
    recorder = ToyRecorder(halt_after)
    balance = Balance(owner, 2, np.ones(4))
    coordinator = (
        Coordinator(RoundRules(4, N_STATS, generations, options.delay, *rules), recorder, balance)
        if rank == 0
        else None
    )
    routes = Routes(heard_from, owner, rank, options.interval, options.delay)
    flag = SignalFlag()
    plan = RoundPlan(0, generations)
    return partial(
        endings.run_round,
        Worker(_world(rank, sent, settled), work or ToyWork(3, options), routes, plan, flag, coordinator),
    )


def _start(folder: Path, world: Any = None) -> startup.Start:
    """From the beginning, or with a world from a checkpoint."""
    run = parse(small.write(folder).read_text(), "case")
    data = session.make_target_data(run, folder)
    point = held = None
    if world is not None:
        states = [{"history": np.zeros((1, 2))} for _ in range(5)]
        decision = Decision(3).to_array()
        point = Checkpoint(3, 0, 3, decision, states, {}, np.empty((0, 4)), 1.0, {}, small.LATTICE)
        held = HeldStates(world)
        held.read(point, folder)
    return startup.Start(run, data, folder, point, np.array([0, 0, 1, 1, 1], np.int32), held=held)


def _told(folder: Path) -> list[tuple[int, Any]]:
    """What rank 0 sends to the other at the start."""
    sent: list[tuple[int, Any]] = []
    world = _world(0, settled=9)
    world.post = lambda dest, tag, block: sent.append((tag, block))  # type: ignore[method-assign]
    startup.send_start(world, _start(folder, world))
    return sent


def _send_states(folder: Path, world: World) -> None:
    startup.send_start(world, _start(folder, world))


def _read_shards(folder: Path, held: HeldStates) -> None:
    point = Checkpoint.from_bytes(STORED.read_bytes())
    shard = save_shard(point.step, {0: point.states[0]}, folder, lambda: None)
    held.read(replace(point, states=[], shards=(shard,)), folder)


def _describe(folder: Path) -> None:
    data = session.make_target_data(parse(small.write(folder).read_text(), "case"), folder)
    (cell,) = data.structures
    steps = np.stack(np.meshgrid(*3 * [np.arange(13)], indexing="ij"), -1).reshape(-1, 1, 3)
    positions = (cell.positions + steps @ cell.cell).reshape(-1, 3)
    many = Structure(positions, 13 * cell.cell, np.tile(cell.species, 13**3), cell.pbc)
    list(DistributedDescriber(_world(0))(Job(many, data.basis, "large", 1.0, False, np.arange(4), 0.0)))


def _states(generation: int) -> list[tuple[int, Any]]:
    """The other rank's islands, as it hands them over."""
    work = ToyWork(3, MigrationOptions(interval=2, emigrants=1))
    return [
        (Tag.STATE, encode({"when": np.array([0, generation, k]), **work.pack(work.start(k, lambda: None))}))
        for k in (2, 3)
    ]


HALTED = [(Tag.HALTED, _numbers(0, 0))]
HALT = [(Tag.HALT, text_array("SIGTERM"))]
TROUBLED = ToyWork(3, MigrationOptions(interval=2, emigrants=1), fail_at=(2, 1), error=InputError)
ROWS = {"islands": np.array([2, 3]), "rows": np.zeros((2, N_STATS)), "seconds": np.ones(2)}
STATS = [(Tag.STATS, encode({"when": np.array([0, 0]), "ranks": np.ones(1, int), "times": np.zeros((1, 9)), **ROWS}))]
# up to a generation that takes in emigrants
DECIDED = [(Tag.DECISION, encode({"decision": Decision(generation).to_array()})) for generation in (0, 1)]

QUIT = (Tag.EXIT, _numbers(2))
LATER = (None, 12)

# What a rank does when everybody else dies, by name.
WALKS: dict[str, Callable[[Path], Any]] = {
    "settling": lambda _: _world(0).settle(lambda *_: None),
    "sharing": lambda _: startup.broadcast(_world(0), {"done": text_array("")}),
    "telling": lambda folder: startup.send_start(_world(0), _start(folder)),
    "telling states": lambda folder: _send_states(folder, _world(0, settled=1)),
    "receiving": lambda _: startup.receive(_world(1)),
    "having received": lambda _: startup.receive(_world(1, [(Tag.SHARE, encode({}))])),
    "reading shards": lambda folder: _read_shards(folder, HeldStates(_world(0))),
    "asking what was read": lambda _: HeldStates(_world(0)).known(ArchiveOptions(), ("mean",), 3),
    "hearing": lambda folder: startup.receive_start(_world(1, _told(folder)[:1], settled=1)),
    "telling who sees the folder": lambda folder: startup.folder_is_shared(_world(1), _start(folder)),
    "sent away at set-up": lambda _: startup.receive(_world(1, [QUIT])),
    "describing": _describe,
    "waiting for a block of a pool": lambda _: sharing.Ranks(_world(0), SignalFlag(), 1)._wait_for(0),
    "waiting for a task": lambda _: sharing._serve(_world(1), SignalFlag()),
    "sent away from a pool": lambda _: sharing._serve(_world(1, [QUIT]), SignalFlag()),
    "rank 0 in a round": lambda _: _evolution(0)(),
    "rank 1 in a round": lambda _: _evolution(1)(),
    "rank 1 without emigrants": lambda _: _evolution(1, [LATER, *DECIDED])(),
    "rank 0 at the last generation": lambda _: _evolution(0, generations=0)(),
    "rank 1 at the last generation": lambda _: _evolution(1, generations=0)(),
    "rank 0 at the end": lambda _: _evolution(0, [*STATS, *_states(0)], generations=0)(),
    "rank 1 at the end": lambda _: _evolution(1, [(Tag.END, _numbers(0, 0))], generations=0)(),
    "rank 0 stopping": lambda _: _evolution(0, halt_after=-1)(),
    "rank 0 gathering": lambda _: _evolution(0, [*STATS, *HALTED], halt_after=0)(),
    "rank 1 stopping": lambda _: _evolution(1, HALT)(),
    "rank 1 having handed over": lambda _: _evolution(1, [*HALT, (Tag.DUMP, _numbers(0, -1))])(),
    "rank 1 in trouble": lambda _: _evolution(1, work=TROUBLED)(),
    "rank 1 sent away after trouble": lambda _: _evolution(1, [LATER, QUIT], work=TROUBLED)(),
    "rank 1 sent away": lambda _: _evolution(1, [QUIT])(),
    "rank 0 sending away": lambda _: endings.end_other_ranks(_world(0), 2),
}


def _waits() -> set[tuple[str, int, int]]:
    """Where the program waits for other ranks: file, first and last line of the calls of `wait` and `settle`."""
    found = set()
    for path in Path(grs_evo.__file__).parent.rglob("*.py"):
        if "kernels" in path.parts:  # compiled code waits for nobody
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if name == "settle" or (name == "wait" and len(node.args) == 2):
                    found.add((str(path), node.lineno, node.end_lineno or node.lineno))
    return found


def _ended_at(walk: Callable[[Path], Any], folder: Path) -> list[tuple[str, int]]:
    """The lines of the program that a walk was in when the process would have ended."""
    small.write(folder)
    with pytest.raises(Left) as caught:
        walk(folder)
    lines, error = [], caught.value
    while error is not None:  # what tidies up on its way out would end a second time here
        frames = traceback.extract_tb(error.__traceback__)
        lines += [(frame.filename, frame.lineno or 0) for frame in frames] if isinstance(error, Left) else []
        error = error.__context__  # type: ignore[assignment]
    return lines


@pytest.mark.parametrize("name", WALKS)
def test_a_rank_whose_launcher_is_gone_leaves(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lines = _ended_at(WALKS[name], tmp_path)
    assert any(path.endswith("communicator.py") for path, _ in lines)
    assert "the launcher is gone, leaving" in capfd.readouterr().err


def test_the_walks_go_through_each_wait_of_the_program(tmp_path: Path) -> None:
    lines = {line for walk in WALKS.values() for line in _ended_at(walk, tmp_path)}
    missed = {
        (Path(path).name, first)
        for path, first, last in _waits()
        if not any(path == at and first <= line <= last for at, line in lines)
    }
    assert missed == set()


def test_sleeping_is_done_where_every_look_asks_for_the_launcher() -> None:
    """Only these functions sleep; all are bounded, or look for messages in between."""
    sleeping = set()
    for path in Path(grs_evo.__file__).parent.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                calls = (ast.unparse(node.func) for node in ast.walk(function) if isinstance(node, ast.Call))
                if "time.sleep" in calls:
                    sleeping.add(function.name)
    assert sleeping == {"settle", "wait", "watch", "look", "abort_all", "claim", "stop", "_wait"}


def test_a_settling_with_a_time_ends_by_itself() -> None:
    world = World(DeadPeers(0, []), launcher=Launcher())
    assert world.settle(lambda *_: None, seconds=0.02) is False


def test_an_error_in_trouble_is_still_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rank 0 that cannot go on and cannot reach the others ends them, whatever the library says of it."""
    monkeypatch.setattr(endings, "LEAVE", 0.02)
    world = World(DeadPeers(0, []), launcher=Launcher())
    with pytest.raises(Left) as caught:
        endings.end_other_ranks(world, 74)  # Abort is missing here, as if the library were broken
    assert caught.value.args == (74,)


def test_a_message_that_breaks_off_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(Exception):
        """What mpi4py raises."""

    library = SimpleNamespace(Exception=Broken, Is_initialized=lambda: False)
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", library)
    monkeypatch.setitem(sys.modules, "mpi4py", SimpleNamespace(MPI=library))
    error = Broken("Other MPI error, error stack:\nRecv(339): failed\ncopy_iovs(224): process_vm_readv failed\n")
    assert commands._crash(error) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "process_vm_readv" in told
    assert "grs-evo resume" in told
    assert commands._crash(ValueError("of our own")) == 1
    assert capsys.readouterr().err == "ValueError: of our own\n"


def test_sent_away_is_sent_away() -> None:
    with pytest.raises(RankExit) as caught:
        startup.receive(_world(1, [QUIT], settled=1))
    assert caught.value.code == 2


_CHILD = """
import os, sys, time
sys.path[:0] = {path!r}
from grs_evo.parallel.communicator import Launcher
launcher = Launcher()
print(os.getpid(), len(launcher._parents), flush=True)
launcher.watch(1)
while True:
    time.sleep(60)
"""


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("closed", [False, True])
def test_the_launchers_death_ends_a_rank_that_is_busy(tmp_path: Path, wrapped: bool, closed: bool) -> None:
    """Also behind a wrapper that stays, and when nobody reads what the rank writes; no false traceback then."""
    child = tmp_path / "child.py"
    child.write_text(_CHILD.format(path=sys.path))
    run = f"PMI_RANK=1 {sys.executable} {child}"
    errors = tmp_path / "errors"
    with errors.open("w") as file:
        launcher = subprocess.Popen(
            ["bash", "-c", (f"PMI_RANK=1 bash -c '{run}; true'" if wrapped else run) + " & wait"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if closed else file,
            text=True,
        )
    with launcher:
        assert launcher.stdout is not None
        pid, links = map(int, launcher.stdout.readline().split())
        assert links == 1 + wrapped
        if launcher.stderr is not None:
            launcher.stderr.close()
        launcher.kill()
    end = time.monotonic() + 20
    while _is_running(pid):
        assert time.monotonic() < end, "it goes on for ever"
        time.sleep(0.05)
    assert errors.read_text() == ("" if closed else "rank 1: the launcher is gone, leaving\n")


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


OPEN_MPI, MPICH = "Open MPI v5.0.11", "MPICH Version: 5.0.2"


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets what launchers set, and nothing else of that kind."""
    for name in list(os.environ):
        if name.startswith(("OMPI_", "PMI_", "PMIX_", "SLURM_")):
            monkeypatch.delenv(name)

    def give(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return give


@pytest.mark.parametrize(
    ("values", "library", "expected"),
    [
        ({}, MPICH, (1, 0, "")),
        ({"PMI_SIZE": "3", "PMI_RANK": "2"}, MPICH, (3, 2, "PMI_SIZE")),
        ({"PMI_SIZE": "2", "PMI_RANK": "1", "OMPI_COMM_WORLD_SIZE": "1"}, MPICH, (2, 1, "PMI_SIZE")),
        (
            {"PMI_SIZE": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"},
            OPEN_MPI,
            (2, 1, "OMPI_COMM_WORLD_SIZE"),
        ),
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3"}, MPICH, (4, 3, "SLURM_STEP_NUM_TASKS")),
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PTY_PORT": "7"}, MPICH, (1, 0, "")),
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PTY_PORT": "7", "PMI_SIZE": "2"}, MPICH, (2, 0, "PMI_SIZE")),
        ({"PMI_SIZE": "two", "OMPI_COMM_WORLD_SIZE": ""}, MPICH, (1, 0, "")),
    ],
)
def test_the_library_s_own_launcher_counts(
    variables: Callable[..., None], values: dict[str, str], library: str, expected: tuple[int, int, str]
) -> None:
    variables(**values)
    found = communicator.started_by(library)
    assert (found.n_processes, found.which, found.variable) == expected


@pytest.mark.parametrize(
    ("values", "alone"),
    [
        ({}, False),
        ({"PMI_SIZE": "2"}, False),
        ({"OMPI_COMM_WORLD_SIZE": "1", "PMIX_RANK": "0"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "1", "PMI_SIZE": "2"}, False),
        ({"PMI_FD": "999", "PMI_SIZE": "1"}, True),
        ({"PMI_FD": "99999999999999999999"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, "OMPI_COMM_WORLD_SIZE=4.*env -u OMPI_COMM_WORLD_SIZE grs-evo"),
        ({"PMI_FD": "999", "PMI_SIZE": "2"}, "PMI_SIZE=2.*PMI_FD is closed.*env -u PMI_SIZE"),
    ],
)
def test_what_an_outer_launcher_left(variables: Callable[..., None], values: dict[str, str], alone: bool | str) -> None:
    variables(**values)
    if isinstance(alone, bool):
        assert communicator._is_alone(MPICH) is alone
    else:
        with pytest.raises(InputError, match=alone):
            communicator._is_alone(MPICH)


def test_pmix_of_an_outer_launcher_is_not_that_of_this_one(variables: Callable[..., None]) -> None:
    variables(OMPI_COMM_WORLD_SIZE="1", PMIX_RANK="0", PMIX_NAMESPACE="outer", PMI_SIZE="2")
    assert communicator._is_alone(MPICH) is False
    assert not any(name.startswith("PMIX_") for name in os.environ)
