"""A pool described by ranks that are threads: every rank takes its part, the rows are those of one rank bit for bit."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from ase.build import bulk
from fleet import ThreadWorld

import grs_evo
from grs_evo.datasets.pool import Task, block_of, make_pool
from grs_evo.driver.sets import sharing
from grs_evo.driver.sets.sharing import Ranks
from grs_evo.errors import RankExit
from grs_evo.parallel.communicator import wait
from grs_evo.parallel.messages import Tag, numbers
from grs_evo.parallel.worker import SignalFlag
from grs_evo.structures.structure import Structure, from_atoms

N_RANKS = 3
BASIS = grs_evo.build_basis(["Cu"], (4, 2), (0, 2), 4.5)


def structures(count: int) -> list[Structure]:
    made = []
    for k in range(count):
        atoms = bulk("Cu", cubic=True) * (1 + k % 3, 1, 1)
        atoms.rattle(0.1, seed=k)
        made.append(from_atoms(atoms, ["Cu"]))
    made[5] = from_atoms(bulk("Cu", a=20.0), ["Cu"])  # nothing within the cutoff
    return made


@pytest.fixture
def ranks(monkeypatch) -> Iterator[tuple[Ranks, list[SignalFlag], dict[str, int]]]:
    """Rank 0's side, the flags of the others, and how many blocks each thread has described."""
    boxes: list[queue.Queue] = [queue.Queue() for _ in range(N_RANKS)]
    barrier, sunk = threading.Barrier(N_RANKS), threading.Event()
    worlds = [ThreadWorld(rank, boxes, barrier, sunk) for rank in range(N_RANKS)]
    flags, done = [SignalFlag() for _ in range(N_RANKS)], dict.fromkeys(map(str, range(N_RANKS)), 0)

    def counted(task: Task):
        name = threading.current_thread().name
        done[name if name in done else "0"] += 1
        return block_of(task)

    def serve(rank: int) -> None:
        with pytest.raises(RankExit):
            sharing._serve(worlds[rank], flags[rank])  # type: ignore[arg-type]

    monkeypatch.setattr(sharing, "block_of", counted)
    threads = [threading.Thread(target=serve, args=(rank,), name=str(rank)) for rank in range(1, N_RANKS)]
    for thread in threads:
        thread.start()
    yield Ranks(worlds[0], flags[0], 1), flags, done  # type: ignore[arg-type]
    worlds[0].post_all(Tag.EXIT, numbers(0))
    worlds[0].settle(lambda *_: None)
    for thread in threads:
        thread.join(timeout=20)
        assert not thread.is_alive()


@pytest.mark.parametrize("most_bytes", [0, 300_000_000])
def test_ranks_describe_what_one_does(ranks, monkeypatch, most_bytes: int) -> None:
    monkeypatch.setattr("grs_evo.datasets.pool._MOST_BYTES", most_bytes)
    side, _, done = ranks
    given = structures(150)
    alone, refused = make_pool(given, len(given), BASIS, seed=3)
    shared, also_refused = make_pool(given, len(given), BASIS, seed=3, describe=side.describe)
    assert refused == also_refused == [(5, "no two atoms are within the cutoff")]
    for name in ("n_atoms", "energy", "sizes", "force_gram", "centre", "scale"):
        assert getattr(alone, name).tobytes() == getattr(shared, name).tobytes(), name
    pairs = zip(alone.force_rows, shared.force_rows, strict=True)
    assert all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)
    assert sum(done.values()) == -(-len(given) // 8)
    assert min(done.values()) > 0


def test_a_signal_to_any_rank_is_one_to_all(ranks) -> None:
    side, flags, _ = ranks
    flags[2].heard = "SIGTERM"
    with pytest.raises(KeyboardInterrupt):
        wait(lambda: False, side.poll)
    assert side.signal_flag.heard == "SIGTERM"


def test_a_pool_of_nothing_is_described(ranks) -> None:
    side, _, _ = ranks
    assert list(side.describe(iter(()))) == []
