"""Ranks as threads and islands as a few numbers: the machinery of a run without MPI and without physics."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from grs_evo.errors import InputError, RankExit, StorageError
from grs_evo.parallel.coordinator import Coordinator, RoundRules
from grs_evo.parallel.decisions import NEVER, Balance, CheckpointOptions, Decision, Pace, StopOptions, Totals
from grs_evo.parallel.endings import Ending, run_round
from grs_evo.parallel.messages import decode, encode
from grs_evo.parallel.topology import MigrationOptions, Routes, balanced, sources
from grs_evo.parallel.worker import RoundPlan, SignalFlag, Worker
from grs_evo.search.population.individual import Individual, pack, unpack
from grs_evo.structures.structure import Structure

N_STATS = 3  # generation, evaluations, best


class ThreadWorld:
    """A `communicator.World` whose ranks are threads of this process."""

    @staticmethod
    def all(n_ranks: int) -> list[ThreadWorld]:
        boxes: list[queue.Queue] = [queue.Queue() for _ in range(n_ranks)]
        barrier, sunk = threading.Barrier(n_ranks), threading.Event()
        return [ThreadWorld(rank, boxes, barrier, sunk) for rank in range(n_ranks)]

    def __init__(self, rank: int, boxes: list[queue.Queue], barrier: threading.Barrier, sunk: threading.Event) -> None:
        self._sunk = sunk
        self.rank, self.size = rank, len(boxes)
        self.library, self.notice = "threads", ""
        self._boxes, self._barrier = boxes, barrier

    def post(self, dest: int, tag: int, block: Any) -> None:
        assert dest != self.rank
        self._boxes[dest].put((self.rank, int(tag), block.copy()))

    def post_all(self, tag: int, block: Any) -> None:
        for dest in range(self.size):
            if dest != self.rank:
                self.post(dest, tag, block)

    def arrived(self) -> list:
        messages = []
        if self._sunk.is_set():
            raise SystemExit(1)
        while True:
            try:
                messages.append(self._boxes[self.rank].get_nowait())
            except queue.Empty:
                return messages

    def settle(self, take: Callable, seconds: float | None = None) -> bool:
        self._barrier.wait(timeout=20)
        for message in self.arrived():
            take(*message)
        self._barrier.wait(timeout=20)
        return True

    def leave_if_orphaned(self) -> None:
        pass

    def abort(self, code: int) -> None:
        raise SystemExit(code)


@dataclass(frozen=True)
class Toy:
    """An island of the stand-in: numbers that depend on everything that ever reached it."""

    island: int
    generation: int
    rng: np.ndarray  # (2,) uint64
    best: Individual
    outbox: tuple[tuple[int, tuple[Individual, ...]], ...]


@dataclass(frozen=True)
class ToyWork:
    """Islands that walk at random and mix in what they receive."""

    seed: int
    options: MigrationOptions
    jitter: float = 0.0  # s, largest random time a generation takes
    fail_at: tuple[int, int] | None = None  # (island, generation) that raises
    error: type[Exception] = RuntimeError
    n_terms: int = 1
    sharded: bool = False

    @property
    def shard(self) -> Callable[[int, Mapping[int, Toy]], dict] | None:
        return self.write if self.sharded else None

    def shorten(self, told: dict) -> dict:
        return told

    def write(self, generation: int, states: Mapping[int, Toy]) -> dict:
        """As if the states were on disk now; the stand-in of a recorder finds them in what it is told."""
        assert all(state.generation == generation for state in states.values())
        islands = sorted(states)
        packed = [encode(self.pack(states[island])) for island in islands]
        n_bytes = np.array([len(one) for one in packed])
        written = {"bytes": np.concatenate(packed), "n_bytes": n_bytes}
        return {"islands": np.array(islands), "seconds": np.zeros(1), **written}

    def start(self, island: int, poll: Callable[[], None]) -> Toy:
        rng = np.random.default_rng([self.seed, island]).integers(0, 2**62, 2, dtype=np.uint64)
        return Toy(island, 0, rng, self._individual(island, 0, 1000.0 + island, rng), ())

    def advance(self, state: Toy, immigrants: Sequence, seeds: Sequence[Structure], poll: Callable[[], None]) -> Toy:
        made = state.generation + 1
        if self.fail_at == (state.island, made):
            raise self.error(f"island {state.island} cannot make generation {made}")
        if self.jitter:
            end = time.monotonic() + random.uniform(0, self.jitter)
            while time.monotonic() < end:
                poll()
                time.sleep(1e-4)
        rng = np.random.default_rng([*state.rng, made])
        value = state.best.value * (1.0 - 0.1 * rng.random())
        for one in immigrants:
            value = 0.9 * value + 0.1 * one.value + 1e-3 * one.uid % 7
        for k, structure in enumerate(seeds):
            value += structure.positions.sum() * (k + 1)
        words = np.array([rng.integers(0, 2**62), np.float64(value).view(np.uint64) >> np.uint64(2)], np.uint64)
        best = self._individual(state.island, made, value, words)
        outbox = tuple(batch for batch in state.outbox if batch[0] > made - self.options.delay)
        if made % self.options.interval == 0:
            outbox = (*outbox, (made, (best, replace(best, uid=best.uid + 1))))
        return Toy(state.island, made, words, best, outbox)

    def _individual(self, island: int, generation: int, value: float, words: np.ndarray) -> Individual:
        positions = np.random.default_rng(words).random((2, 3))
        structure = Structure(positions, np.eye(3), np.zeros(2, np.int32), np.ones(3, bool))
        return Individual(structure, value, np.array([value]), island * 1000 + 2 * generation, island=island)

    def stats(self, state: Toy) -> np.ndarray:
        return np.array([state.generation, 10.0 * (state.generation + 1), state.best.value])

    def emigrants(self, state: Toy, generation: int) -> Sequence[Individual]:
        return next((batch for emitted, batch in state.outbox if emitted == generation), ())

    def first(self) -> tuple[int, list]:
        return 0, []

    def pack(self, state: Toy) -> dict:
        everybody = [state.best, *(one for _, batch in state.outbox for one in batch)]
        return {
            "head": np.array([state.island, state.generation]),
            "rng": state.rng,
            "emitted": np.array([g for g, _ in state.outbox], np.int64),
            **pack(everybody, 1),
        }

    def unpack(self, arrays: Mapping[str, np.ndarray]) -> Toy:
        best, *gone = unpack({k: v for k, v in arrays.items() if k not in ("head", "rng", "emitted")})
        outbox = tuple((int(g), tuple(gone[2 * k : 2 * k + 2])) for k, g in enumerate(arrays["emitted"]))
        return Toy(int(arrays["head"][0]), int(arrays["head"][1]), np.array(arrays["rng"]), best, outbox)


class ToyRecorder:
    """Keeps what a real one would put on disk."""

    def __init__(self, halt_after: int | None = None, seeds: Mapping[int, list] | None = None) -> None:
        self.saved: dict[int, tuple[list, Decision]] = {}
        self.newest = -1
        self.halt_after = halt_after
        self.seeds = dict(seeds or {})  # generation judged -> structures dropped by then
        self.taken: dict[int, list] = {}  # generation made -> (island, structure)
        self.fail_save = False

    def totals(self, generation: int, rows: np.ndarray) -> Totals:
        return Totals(generation, float(rows[:, 2].min()), float(rows[:, 1].sum()))

    def observe(self, rows: np.ndarray, decision: Decision, pace: Pace) -> None:
        self.newest = decision.generation

    def halt_reason(self, heard: str) -> str:
        halted = self.halt_after is not None and self.newest >= self.halt_after
        return heard or ("test" if halted else "")

    def new_seeds(self, made: int) -> list:
        if made in self.taken:  # a resume repeats it
            return self.taken[made]
        found = self.seeds.pop(made, [])
        if found:
            self.taken[made] = found
        return found

    def save(self, generation: int, states: Sequence, decision: Decision, final: bool) -> None:
        self.saved[generation] = ([{k: v.copy() for k, v in one.items()} for one in states], decision)

    def save_shards(self, generation: int, parts: Sequence, decision: Decision, final: bool) -> None:
        states: dict[int, dict] = {}
        for told in parts:
            blocks = np.split(told["bytes"], np.cumsum(told["n_bytes"])[:-1])
            states |= {int(k): decode(block) for k, block in zip(told["islands"], blocks, strict=True)}
        self.save(generation, [states[island] for island in range(len(states))], decision, final)

    def save_first(self, evaluated: int, individuals: Sequence) -> None:
        self.first = (evaluated, list(individuals))


def run_on_threads(
    n_ranks: int,
    n_islands: int = 5,
    *,
    generations: int | None = 12,
    stop: StopOptions | None = None,
    options: MigrationOptions | None = None,
    seed: int = 3,
    resume: ToyRecorder | None = None,
    at: int | None = None,
    recorder: ToyRecorder | None = None,
    work: ToyWork | None = None,
    every: int = 1,
    interrupt: tuple[int, float] | None = None,
    balance: Callable[[np.ndarray, int, np.ndarray], Balance] = Balance,
) -> tuple[list[Ending | Exception], ToyRecorder]:
    """A round of the stand-in on ranks that are threads; what each rank returned or raised, and rank 0's record."""
    options = options or MigrationOptions(interval=2, emigrants=1)
    work = work or ToyWork(seed, options, jitter=2e-3)
    recorder = recorder or ToyRecorder(seeds=resume.seeds if resume else None)
    boxes: list[queue.Queue] = [queue.Queue() for _ in range(n_ranks)]
    barrier, sunk = threading.Barrier(n_ranks), threading.Event()
    heard = sources(n_islands, options, seed)
    even = np.ones(n_islands)
    owner = balanced(even, n_ranks)
    start, decision, states = -1, None, None
    if resume is not None:
        start = max(resume.saved) if at is None else at
        states, decision = resume.saved[start]
        recorder.taken = dict(resume.taken)
    stop_at = decision.stop_at if decision else NEVER
    again = {
        made: recorder.taken[made] for made in range(start + 1, start + options.delay + 2) if made in recorder.taken
    }
    endings: list[Any] = [None] * n_ranks
    flags = [SignalFlag() for _ in range(n_ranks)]

    def live(rank: int) -> None:
        world = ThreadWorld(rank, boxes, barrier, sunk)
        coordinator = None
        if rank == 0:
            rules = RoundRules(
                n_islands,
                N_STATS,
                generations,
                options.delay,
                stop or StopOptions(generations=generations),
                CheckpointOptions(generations=every, max_cost=1.0),
            )
            coordinator = Coordinator(rules, recorder, balance(owner, n_ranks, even), start, decision)
        round_plan = RoundPlan(0, generations, start, stop_at, again)
        routes = Routes(heard, owner, rank, options.interval, options.delay)
        worker = Worker(world, work, routes, round_plan, flags[rank], coordinator)  # type: ignore[arg-type]
        given = None if states is None else {k: work.unpack(states[k]) for k in routes.mine}
        try:
            endings[rank] = run_round(worker, given)
        except Exception as error:
            endings[rank] = error
            if not isinstance(error, InputError | StorageError | RankExit):
                sunk.set()

    threads = [threading.Thread(target=live, args=(rank,), daemon=True) for rank in range(n_ranks)]
    for thread in threads:
        thread.start()
    if interrupt is not None:
        time.sleep(interrupt[1])
        flags[interrupt[0]].heard = "SIGTERM"
    for thread in threads:
        thread.join(timeout=60)
    for ending in endings:
        if isinstance(ending, Exception) and not isinstance(ending, InputError | StorageError | RankExit):
            raise ending
    assert not any(thread.is_alive() for thread in threads), "a rank hangs"
    return endings, recorder


def digest(recorder: ToyRecorder, generation: int) -> list[tuple]:
    """What is saved at a generation, as something that compares."""
    states, decision = recorder.saved[generation]
    content = [tuple((name, array.dtype.str, array.tobytes()) for name, array in one.items()) for one in states]
    return [*content, (decision.best, decision.improved, decision.stop_at, decision.reason)]
