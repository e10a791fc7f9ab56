"""The pieces of rank 0's work, one by one: seconds and bytes by the program's own functions."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scaling_runs import LIQUID, Case, command, environment

from grs_evo import __version__
from grs_evo.driver.config.run_file import RunFile, parse
from grs_evo.driver.monitor.console import Reporter
from grs_evo.driver.recorder import Recorder, thinned, write_shard
from grs_evo.driver.setup import make_problem, make_target_data
from grs_evo.parallel.communicator import connect
from grs_evo.parallel.coordinator import Coordinator, RoundRules
from grs_evo.parallel.decisions import Balance, Decision
from grs_evo.parallel.messages import Gathering, decode, encode
from grs_evo.parallel.timing import peak_memory
from grs_evo.parallel.topology import Routes, pack_emigrants, shares, sources, unpack_emigrants
from grs_evo.search.counters import stat_names
from grs_evo.search.island import _HISTORY_ROWS, advance, start
from grs_evo.search.population.archive import merge
from grs_evo.search.population.individual import unpack
from grs_evo.search.problem import Problem
from grs_evo.search.state import IslandState
from grs_evo.storage import checkpoint
from grs_evo.storage.run_folder import Folder
from grs_evo.storage.target_file import TargetData

Row = dict[str, Any]


class _Owner:
    def check(self) -> None:
        """This process owns the folder."""


def best_of(task: Callable[[], Any], repeats: int = 5) -> float:
    """The shortest of some tries, s."""
    times = []
    for _ in range(repeats):
        before = time.perf_counter()
        task()
        times.append(time.perf_counter() - before)
    return min(times)


@dataclass(frozen=True)
class Stage:
    """A small run, set up, and one island of it a few generations old."""

    given: RunFile
    target_data: TargetData
    problem: Problem
    state: IslandState
    folder: Folder

    @classmethod
    def at(cls, place: Path) -> Stage:
        given = parse(Case("liquid", LIQUID, 1, 5, 50, 4).write(place).read_text(), "costs")
        target_data = make_target_data(given, place)
        problem = make_problem(given, target_data, place)
        state = start(problem, 0, 4)
        for _ in range(5):
            state = advance(state, problem)
        folder = Folder(place)
        folder.checkpoints.mkdir()
        return cls(given, target_data, problem, state, folder)

    @property
    def names(self) -> tuple[str, ...]:
        return stat_names(self.problem.term_names)

    def recorder(self, n: int) -> Recorder:
        """Rank 0's record of `n` islands."""
        one = self.problem
        many = replace(one, islands=one.islands * n, sources=one.sources * n, lattices=one.lattices * n)
        reporter = Reporter(quiet=True, every=1e9)
        return Recorder(self.folder, _Owner(), self.given, self.target_data, many, {}, reporter, 1)  # type: ignore[arg-type]


def part_costs(quick: bool) -> Row:
    """Seconds and bytes of each piece, by the program's own functions in this process, no messages but the last's."""
    with tempfile.TemporaryDirectory(prefix="costs-") as temporary:
        stage = Stage.at(Path(temporary))
        return {
            "version": __version__,
            "state": _state(stage),
            "emigrants": _emigrants(stage),
            "decisions": _decisions(stage, quick),
            "shards": _shards(stage),  # first, since the peak of memory only grows
            "saves": _saves(stage),
            "maps": _maps(stage, quick),
            "history": _histories(stage),
            "seen": _seen(stage),
            "post": _messages(quick),
        }


def _state(stage: Stage) -> Row:
    """An island's state into a message and back."""
    state = stage.state
    arrays = state.to_arrays()
    block = encode(arrays)
    return {
        "bytes": block.size,
        "bytes without history and keys": block.size - state.history.nbytes - state.seen.nbytes,
        "history bytes/generation": state.history[0].nbytes,
        "most history rows": _HISTORY_ROWS,
        "most keys": stage.given.search.genetic.memory,
        "to_arrays s": best_of(state.to_arrays),
        "encode s": best_of(lambda: encode(arrays)),
        "decode s": best_of(lambda: decode(block)),
        "from_arrays s": best_of(lambda: IslandState.from_arrays(arrays)),
    }


def _emigrants(stage: Stage) -> Row:
    """Two emigrants into a message and out of it."""
    leaving = {0: stage.state.population[:2]}
    n_terms = len(stage.problem.term_names)
    message = encode(pack_emigrants(0, 2, leaving, n_terms))
    return {
        "bytes": message.size,
        "pack s": best_of(lambda: encode(pack_emigrants(0, 2, leaving, n_terms)), 20),
        "unpack s": best_of(lambda: unpack_emigrants(decode(message)), 20),
    }


def _decisions(stage: Stage, quick: bool) -> list[Row]:
    """What rank 0 does of a generation: take all statistics, judge, answer, and write status.json."""
    rows = []
    for n_islands, n_ranks in ((100, 10), (1000, 10), (1000, 100), (10_000, 100), (10_000, 1000)):
        if quick and n_islands > 1000:
            continue
        recorder = stage.recorder(n_islands)
        seldom = stage.given.output.model_copy(update={"status_seconds": 1e9})  # status is measured by itself
        recorder.run = stage.given.model_copy(update={"output": seldom})
        recorder._told = time.monotonic()
        rows.append(
            {
                "islands": n_islands,
                "ranks": n_ranks,
                "stats and decision s": best_of(_judging(stage, recorder, n_islands, n_ranks)),
                "status.json s": best_of(recorder.write_status, 3),
                "status.json bytes": stage.folder.status.stat().st_size,
            }
        )
    return rows


def _judging(stage: Stage, recorder: Recorder, n_islands: int, n_ranks: int) -> Callable[[], None]:
    """A task that takes one more generation's statistics of all ranks and decides on it."""
    rules = RoundRules(n_islands, len(stage.names), 10**6, 2, stage.given.stop, stage.given.checkpoint)
    owned = shares(n_islands, n_ranks)
    owner = np.repeat(np.arange(n_ranks, dtype=np.int32), [len(mine) for mine in owned])
    coordinator = Coordinator(rules, recorder, Balance(owner, n_ranks, np.ones(n_islands)))
    rows = np.tile(stage.state.history[-1], (n_islands, 1))
    parts = [
        {
            "ranks": np.array([rank]),
            "times": np.zeros((1, 9)),
            "islands": np.array(mine),
            "rows": rows[list(mine)],
            "seconds": np.ones(len(mine)),
        }
        for rank, mine in enumerate(owned)
    ]
    posts = _as_they_come(parts)
    generations = iter(range(10**6))

    def judge() -> None:
        generation = next(generations)
        for post in posts:
            found = decode(post)
            coordinator.take_stats(generation, found)
        for decision, columns in coordinator.decisions():
            encode({"decision": decision.to_array(), **columns})

    return judge


def _as_they_come(parts: list[dict[str, Any]]) -> list[Any]:
    """Messages to rank 0 with what all ranks tell: its own, and what comes up the tree."""
    above = {rank: Gathering(rank, len(parts)) for rank in range(1, len(parts))}
    found = [encode(parts[0])]

    def report(rank: int, part: dict[str, Any]) -> None:
        joined = above[rank].add(0, part)
        if joined is not None and above[rank].parent:
            report(above[rank].parent, joined)
        elif joined is not None:
            found.append(encode(joined))

    for rank in range(1, len(parts)):
        report(rank, parts[rank])
    return found


def _saves(stage: Stage) -> list[Row]:
    """Checkpoint and archive of states early in a run, and of states that have come to their full length."""
    early = stage.state.to_arrays()
    full = {
        **early,
        "history": np.tile(early["history"], (1 + _HISTORY_ROWS // 6, 1))[:_HISTORY_ROWS],
        "seen": np.arange(stage.given.search.genetic.memory, dtype=np.uint64),
    }
    cases = ((16, "early", early), (128, "early", early), (8, "full", full), (64, "full", full))
    return [_save(stage, n_islands, name, one) for n_islands, name, one in cases]


def _save(stage: Stage, n_islands: int, name: str, one: Row) -> Row:
    recorder, problem = stage.recorder(n_islands), stage.problem
    states = [dict(one) for _ in range(n_islands)]
    archives = [unpack({k[8:]: v for k, v in each.items() if k.startswith("archive.")}) for each in states]
    before = peak_memory()
    seconds = best_of(lambda: recorder.save(5, states, Decision(5), False), 3)
    path = checkpoint.files(stage.folder.checkpoints)[0]
    return {
        "islands": n_islands,
        "state": name,
        "save s": seconds,
        "of it merging archives s": best_of(lambda: merge(archives, problem.archive, problem.term_names), 3),
        "checkpoint bytes": path.stat().st_size,
        "archive bytes": stage.folder.archive.stat().st_size,
        "more memory, bytes": 1e6 * (peak_memory() - before),
    }


def _shards(stage: Stage) -> list[Row]:
    """A save of 1,024 islands of 50 after 1,000 generations by 16 ranks: what one writes, and what rank 0 does then."""
    n_islands, n_ranks, generations = 1024, 16, 1000
    state = stage.state

    def grown(island: int) -> IslandState:
        """With arrays of its own, as in a run."""
        history = np.tile(state.history, (1 + generations // len(state.history), 1))[:generations]
        return replace(state, island=island, history=history, seen=np.arange(50 * generations, dtype=np.uint64))

    recorder = stage.recorder(n_islands)
    mine = {k: grown(k) for k in range(0, n_islands, n_ranks)}
    (stage.folder.path / "owner.json").write_text(json.dumps({"token": "own"}))
    before = peak_memory()
    cpu = time.process_time()
    told = write_shard(stage.folder, "own", recorder.problem, 5, mine)
    cpu, after = time.process_time() - cpu, peak_memory()
    (path,) = stage.folder.checkpoints.glob("shard_*.h5")
    # whose states the other shards hold does not matter to rank 0
    parts = [{**told, "islands": np.arange(rank, n_islands, n_ranks)} for rank in range(n_ranks)]
    whole, begun = time.process_time(), time.perf_counter()
    recorder.save_shards(5, parts, Decision(5), False)
    return [
        {
            "islands": n_islands,
            "ranks": n_ranks,
            "shard bytes": path.stat().st_size,
            "shard s": float(told["seconds"][0]),
            "shard cpu s": cpu,
            "rank 0 then s": time.perf_counter() - begun,
            "rank 0 then cpu s": time.process_time() - whole,
            "history s/island": best_of(lambda: recorder.tagged(0, thinned(mine[0].history, n_islands)), 20),
            "archive bytes": stage.folder.archive.stat().st_size,
            "told bytes": encode(told).nbytes,
            "told bytes without history": encode(told).nbytes - told["rows"].nbytes,
            "memory before, MB": before,
            "after the shard, MB": after,
            "rank 0 in all, MB": peak_memory(),
        }
    ]


def _maps(stage: Stage, quick: bool) -> list[Row]:
    """Who hears whom, and which rank sends to which."""
    rows = []
    for n_islands in (1000, 4000) if quick else (1000, 4000, 16_000):
        row: Row = {"islands": n_islands}
        for topology in ("ring", "torus", "random", "full"):
            options = stage.given.migration.model_copy(update={"topology": topology})
            row[f"{topology} s"] = best_of(lambda o=options, n=n_islands: sources(n, o, 1), 1)  # type: ignore[misc]
            routes = Routes(sources(n_islands, options, 1), np.arange(n_islands, dtype=np.int32) % 100, 0, 2, 2)
            row[f"{topology} routes s"] = best_of(routes.receivers, 1)  # type: ignore[misc]
        rows.append(row)
    return rows


def _histories(stage: Stage) -> list[Row]:
    """One more row of a history."""
    rows = []
    for length in (100, 1000, 10_000):
        history = np.zeros((length, len(stage.names)))
        seconds = best_of(lambda h=history: np.concatenate([h, h[:1]]))  # type: ignore[misc]
        rows.append({"generations": length, "bytes": history.nbytes, "append s": seconds})
    return rows


def _seen(stage: Stage) -> Row:
    """One more generation's keys of what was evaluated."""
    keys = stage.given.search.genetic.memory
    seen = np.random.default_rng(0).integers(0, 2**63, keys).astype(np.uint64)
    return {
        "keys": keys,
        "append s": best_of(lambda: np.concatenate([seen, seen[:50]])[-len(seen) :]),
        "sort s": best_of(lambda: np.sort(seen)),
    }


def _messages(quick: bool) -> list[dict[str, float]]:
    """There and back between two ranks, by the program's own post."""
    own = command(2, __file__, "5" if quick else "50")  # `ping`
    done = subprocess.run(own, env=environment(), stdout=subprocess.PIPE, text=True, check=True)
    found: list[dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def ping(repeats: int) -> None:
    world = connect()
    rows = []
    for size in (1_000, 10_000, 100_000, 1_000_000, 10_000_000):
        block = np.zeros(size, np.uint8)
        times = []
        for _ in range(repeats):
            before = time.perf_counter()
            if world.rank == 0:
                world.post(1, 1, block)
            while not world.arrived():
                pass
            if world.rank == 1:
                world.post(0, 1, block)
            while world._pending:
                world.arrived()
            times.append(time.perf_counter() - before)
        rows.append({"bytes": size, "one way s": min(times) / 2})
    world.settle(lambda *_: None)
    if world.rank == 0:
        print(json.dumps(rows))


if __name__ == "__main__":
    ping(int(sys.argv[1]))
