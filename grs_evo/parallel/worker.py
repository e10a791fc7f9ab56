"""One rank's part of a round: advance its islands, send emigrants, apply decisions, hand over states.

A rank waits for the others only where it needs their emigrants or the decision on `delay` generations ago. What a
generation is made of (states, immigrants, seeds) is the same however the islands are shared out, and so is the result:
between two generations islands may change ranks. How a round ends is the business of `endings`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError, Leaving, RankExit, StorageError
from grs_evo.parallel.communicator import World, wait
from grs_evo.parallel.coordinator import Coordinator
from grs_evo.parallel.decisions import NEVER, Decision
from grs_evo.parallel.messages import Gathering, Tag, array_text, decode, encode, text_array
from grs_evo.parallel.timing import PartClock
from grs_evo.parallel.topology import Routes, arrange, pack_emigrants, unpack_emigrants
from grs_evo.search.population.individual import Individual, pack, unpack
from grs_evo.structures.structure import Structure

Arrays = dict[str, NDArray[Any]]
# s between two looks for messages while islands are being advanced
_LOOK = 1e-3


class Halted(Leaving):
    """The generation under way is given up; the newest complete one will be saved."""


@dataclass
class SignalFlag:
    """The signal that this process got; a handler sets it and does nothing else."""

    heard: str = ""


@dataclass(frozen=True, eq=False)
class IslandFunctions:
    """What a round does with its islands, whose states it never looks into.

    `poll` is to be called every now and then; it may raise `Halted`.
    """

    n_terms: int  # loss terms, as individuals on their way hold them
    start: Callable[[int, Callable[[], None]], Any]  # (island, poll) -> state at generation 0
    # (state, immigrants, seeds, poll) -> state at the next generation
    advance: Callable[[Any, Sequence[Individual], Sequence[Structure], Callable[[], None]], Any]
    stats: Callable[[Any], NDArray[np.float64]]  # state -> (n_stats,)
    emigrants: Callable[[Any, int], Sequence[Individual]]  # (state, generation) -> who left at its end
    pack: Callable[[Any], Arrays]  # state -> named arrays
    unpack: Callable[[Mapping[str, NDArray[Any]]], Any]  # the inverse of pack
    # (generation, states of a rank's islands) -> what rank 0 is told of the file that now holds them, "islands" and
    # "seconds" at least, to be joined along axis 0; None: rank 0 gets the states and writes them
    shard: Callable[[int, Mapping[int, Any]], Arrays] | None = None
    # of what is told of several shards, without what the others make needless
    shorten: Callable[[Arrays], Arrays] = lambda told: told
    # how many individuals were evaluated in generation 0, and those worth keeping should it not be completed
    first: Callable[[], tuple[int, Sequence[Individual]]] = lambda: (0, ())


@dataclass(frozen=True)
class RoundPlan:
    """The part of a round that is ahead."""

    round: int
    generations: int | None  # last generation by the run file, None: unlimited
    start: int = -1  # generation that the given states belong to; -1: none, islands are yet to be started
    stop_at: int = NEVER  # last generation by a decision made before
    # seeds that were taken in before a resume and are due again: generation made -> (island, structure)
    seeds: Mapping[int, Sequence[tuple[int, Structure]]] = field(default_factory=dict)


class Worker:
    """One rank's islands and its messages while a round lasts.

    Parameters
    ----------
    world : all ranks
    islands : what to do with an island
    routes : which island sends to which, and which rank has which
    plan : where to begin and where to end
    signal_flag : set by signal handlers
    coordinator : rank 0's side of the round, None on the others
    """

    def __init__(
        self,
        world: World,
        islands: IslandFunctions,
        routes: Routes,
        plan: RoundPlan,
        signal_flag: SignalFlag,
        coordinator: Coordinator | None,
    ) -> None:
        self.world = world
        self.islands = islands
        self.routes = routes
        self.plan = plan
        self.signal_flag = signal_flag
        self.coordinator = coordinator
        self.generation = plan.start
        self.states: dict[int, dict[int, Any]] = {}  # generation -> island -> state; the last delay + 2 generations
        self.stop_at = plan.stop_at
        self.judged = plan.start  # newest generation on which the decision is known
        self.to_save: set[int] = set()
        self.immigrants: dict[int, dict[int, Sequence[Individual]]] = {}  # generation left -> island -> emigrants
        self.seeds = dict(plan.seeds)
        self.halting = False
        self.why = ""
        self.dump_at: int | None = None
        self.ended = False
        self._receivers = routes.receivers()
        # generation after which islands change ranks, and the rank of each from then on
        self._moves: tuple[int, NDArray[np.int32]] | None = None
        self._arriving: dict[int, Any] = {}  # island -> state with which this rank is to go on
        self._gathering = Gathering(world.rank, world.size)
        self._gathering_shards = Gathering(world.rank, world.size)
        self._written: set[int] = set()  # generations whose states this rank has put into a shard
        self._seconds: dict[int, float] = {}  # island -> s of processor time for the generation being made
        self._looked = 0.0
        self._reported = False
        self.clock = PartClock()

    # -- generations ---------------------------------------------------------------------------------------------------

    def take_up(self, states: Mapping[int, Any]) -> None:
        """Begin with these states of own islands, of generation `plan.start`; send again what was under way then."""
        self.states[self.plan.start] = dict(states)
        for generation in range(max(0, self.plan.start + 1 - self.routes.delay), self.plan.start + 1):
            self.send_emigrants(generation)

    def run_generations(self) -> None:
        """Make one generation after the other, up to the last one that is decided upon."""
        if self.generation < 0:
            started = {}
            for island in self.routes.mine:
                self.poll(now=True)
                started[island] = self._timed(island, lambda k=island: self.islands.start(k, self.poll))  # type: ignore[misc]
            self._complete(0, started)
        while True:
            with self.clock.on("wait"):
                wait(self._may_go_on, self.serve_or_halt)
            if self.generation >= self._last():
                return
            made = self.generation + 1
            new: dict[int, Any] = {}
            left = list(self.routes.mine)
            while left:
                island = self._next(left)
                self.poll(now=True)
                immigrants = arrange(self.routes.heard[island], self.immigrants.get(made - self.routes.delay, {}))
                seeds = [structure for k, structure in self.seeds.get(made, []) if k == island]
                state = self._state_of(island)
                new[island] = self._timed(
                    island,
                    lambda s=state, i=immigrants, d=seeds: self.islands.advance(s, i, d, self.poll),  # type: ignore[misc]
                )
                self._arriving.pop(island, None)
            self.seeds.pop(made, None)
            self.immigrants.pop(made - self.routes.delay, None)
            self._complete(made, new)

    def _timed(self, island: int, task: Callable[[], Any]) -> Any:
        before = self.clock.advance_cpu
        with self.clock.on("advance"):
            state = task()
        self._seconds[island] = self.clock.advance_cpu - before
        return state

    def _last(self) -> int:
        budget = NEVER if self.plan.generations is None else self.plan.generations
        return min(budget, self.stop_at)

    def _may_go_on(self) -> bool:
        """Whether the next generation can be made, or it is certain that there is none."""
        if self.generation >= self._last():
            return True
        if self.judged < self.generation - self.routes.delay:
            return False
        return self._moves is None or self._moves[0] != self.generation

    def _next(self, left: list[int]) -> int:
        """Take an island that can be advanced off the list of those that are left; waits until there is one."""
        if not self._is_ready(left[0]):
            with self.clock.on("wait"):
                wait(lambda: any(map(self._is_ready, left)), self.serve_or_halt)
        return left.pop(next(k for k, island in enumerate(left) if self._is_ready(island)))

    def _is_ready(self, island: int) -> bool:
        """Whether the state of an island is here, and the emigrants of all that it hears from."""
        if self._state_of(island) is None:
            return False
        emitted = self.generation + 1 - self.routes.delay
        if not self.routes.emits(emitted):
            return True
        arrived = self.immigrants.get(emitted, {})
        return len(arrived) == len(self.routes.owner) or all(k in arrived for k in self.routes.heard[island])

    def _state_of(self, island: int) -> Any:
        """The newest state of an island of this rank; None: it is on its way."""
        return self.states[self.generation].get(island, self._arriving.get(island))

    def _complete(self, generation: int, states: dict[int, Any]) -> None:
        self.states[generation] = states
        self.generation = generation
        for old in [g for g in self.states if g < generation - self.routes.delay - 1]:
            del self.states[old]
        told = {
            "ranks": np.array([self.world.rank], np.int64),
            "times": self.clock.to_array()[None],
            "islands": np.array(list(states), np.int64),
            "rows": np.array([self.islands.stats(state) for state in states.values()]),
            "seconds": np.array([self._seconds[island] for island in states]),
        }
        self._report(generation, told)
        if self.coordinator is not None:
            with self.clock.on("post"):
                self.publish_decisions()
        with self.clock.on("pack"):
            self.send_emigrants(generation)
            if generation in self.to_save:
                self.send_states(generation)

    def _report(self, generation: int, told: Arrays) -> None:
        """Statistics of this rank, or of ranks below it, on their way to rank 0."""
        if self.coordinator is not None:
            self.coordinator.take_stats(generation, told)
            return
        joined = self._gathering.add(generation, told)
        if joined is not None:
            when = np.array([self.plan.round, generation], np.int64)
            self.world.post(self._gathering.parent, Tag.STATS, encode({"when": when, **joined}))

    def send_emigrants(self, generation: int) -> None:
        """Those who left own islands at the end of a generation, to all who hear from these."""
        if not self.routes.emits(generation):
            return
        newest = self.states[self.generation]
        leaving = {island: self.islands.emigrants(state, generation) for island, state in newest.items()}
        for rank, islands in self._receivers.items():
            if rank == self.world.rank:
                self._receive_emigrants(generation, leaving)
                continue
            leaving_there = {island: leaving[island] for island in islands}
            packed = pack_emigrants(self.plan.round, generation, leaving_there, self.islands.n_terms)
            self.world.post(rank, Tag.EMIGRANTS, encode(packed))

    def _receive_emigrants(self, generation: int, emigrants: Mapping[int, Sequence[Individual]]) -> None:
        """Keep emigrants until they are due; those sent again after a move may come too late to be of use."""
        if generation > self.generation - self.routes.delay:
            self.immigrants.setdefault(generation, {}).update(emigrants)

    def _change_ranks(self) -> None:
        """Islands change ranks between the generation just made and the next: send those that go, and all their mail.

        The rank that made a generation keeps its states as long as they may have to be saved.
        """
        if self._moves is None or self._moves[0] != self.generation:
            return
        owner, self._moves = self._moves[1], None
        own = self.states[self.generation]
        for island, state in own.items():
            if owner[island] != self.world.rank:
                when = np.array([self.plan.round, self.generation, island], np.int64)
                self.world.post(int(owner[island]), Tag.ISLAND, encode({"when": when, **self.islands.pack(state)}))
        self.routes = self.routes.moved(owner)
        self._receivers = self.routes.receivers(own)
        for generation in range(max(0, self.generation + 1 - self.routes.delay), self.generation + 1):
            self.send_emigrants(generation)
        self._receivers = self.routes.receivers()

    def send_states(self, generation: int) -> None:
        self.to_save.discard(generation)
        if self.islands.shard is not None:
            self._write_shard(generation)
            return
        for island, state in self.states[generation].items():
            arrays = self.islands.pack(state)
            if self.coordinator is None:
                when = np.array([self.plan.round, generation, island], np.int64)
                self.world.post(0, Tag.STATE, encode({"when": when, **arrays}))
            else:
                self.coordinator.take_state(generation, island, arrays)

    def _write_shard(self, generation: int) -> None:
        """Once for a generation: it may be the one that was being saved when all were told to halt."""
        if self.islands.shard is None or generation in self._written:
            return
        self._written.add(generation)
        with self.clock.on("save"):
            told = self.islands.shard(generation, self.states[generation])
        self._report_shards(generation, {"ranks": np.array([self.world.rank], np.int64), **told})

    def _report_shards(self, generation: int, told: Arrays) -> None:
        """What this rank has written, or ranks below it, on its way to rank 0."""
        if self.coordinator is not None:
            self.coordinator.take_shard(generation, told)
            return
        joined = self._gathering_shards.add(generation, told)
        if joined is not None:
            when = np.array([self.plan.round, generation], np.int64)
            told = joined if len(joined["ranks"]) == 1 else self.islands.shorten(joined)
            self.world.post(self._gathering_shards.parent, Tag.SHARD, encode({"when": when, **told}))

    def halted(self) -> Arrays:
        """What rank 0 has to know of this rank when all are halted, such as what there is of generation 0."""
        count, individuals = self.islands.first() if self.generation <= self.routes.delay else (0, ())
        state = np.array([self.plan.round, self.generation, count], np.int64)
        return {"numbers": state, **pack(individuals, self.islands.n_terms)}

    # -- messages ----------------------------------------------------------------------------------------------------

    def poll(self, now: bool = False) -> None:
        """Called while islands are advanced; at most every millisecond it looks for messages.

        Raises
        ------
        Halted
            The generation under way is to be given up.
        """
        clock = time.monotonic()
        if now or clock - self._looked > _LOOK:
            self._looked = clock
            self.serve_or_halt()

    def serve_or_halt(self) -> None:
        self.serve()
        if self.halting:
            raise Halted

    def serve(self) -> None:
        """Take the messages that have arrived, pass on a signal; on rank 0 save or stop when it is time."""
        with self.clock.on("post"):
            self._serve()

    def _serve(self) -> None:
        for message in self.world.arrived():
            self._take(*message)
        if self.coordinator is not None:
            if self.coordinator.tick(self.signal_flag.heard) and not self.halting:
                self.halting = True
                self.why = self.coordinator.halt_reason
                self.world.post_all(Tag.HALT, text_array(self.why))
            self.publish_decisions()
            with self.clock.on("save"):
                self.coordinator.save_due()
        elif self.signal_flag.heard and not self._reported:
            self._reported = True
            self.world.post(0, Tag.SIGNAL, text_array(self.signal_flag.heard))
        self._change_ranks()

    def _take(self, source: int, tag: int, block: NDArray[np.uint8]) -> None:
        if tag == Tag.STATS:
            arrays = decode(block)
            round_, generation = arrays.pop("when").tolist()
            if round_ == self.plan.round:
                self._report(generation, arrays)
        elif tag == Tag.DECISION:
            self._apply(decode(block))
        elif tag == Tag.EMIGRANTS:
            _, generation, emigrants = unpack_emigrants(decode(block))
            self._receive_emigrants(generation, emigrants)
        elif tag == Tag.ISLAND:
            arrays = decode(block)
            island = int(arrays.pop("when")[2])
            self._arriving[island] = self.islands.unpack(arrays)
        elif tag == Tag.STATE:
            arrays = decode(block)
            when = arrays.pop("when")
            self.rank_0().take_state(int(when[1]), int(when[2]), arrays)
        elif tag == Tag.SHARD:
            arrays = decode(block)
            self._report_shards(int(arrays.pop("when")[1]), arrays)
        elif tag == Tag.SIGNAL:
            self.signal_flag.heard = self.signal_flag.heard or array_text(block)
        elif tag == Tag.HALT:
            self.halting, self.why = True, array_text(block)
        elif tag == Tag.HALTED:
            arrays = decode(block)
            self.rank_0().take_halted(source, int(arrays["numbers"][1]), arrays)
        elif tag == Tag.DUMP:
            self.dump_at = int(decode(block)["numbers"][1])
        elif tag == Tag.END:
            self.ended = True
        elif tag == Tag.ERROR:
            raise InputError(array_text(block))
        elif tag == Tag.UNWRITTEN:
            raise StorageError(array_text(block))
        elif tag == Tag.EXIT:
            raise RankExit(int(decode(block)["numbers"][0]))

    def publish_decisions(self) -> None:
        """Rank 0: send the decisions that have become possible, and apply them here too."""
        for decision, columns in self.rank_0().decisions():
            arrays = {"decision": decision.to_array(), **columns}
            if self.world.size > 1:
                self.world.post_all(Tag.DECISION, encode(arrays))
            self._apply(arrays)

    def _apply(self, arrays: Arrays) -> None:
        decision = Decision.from_array(arrays["decision"])
        self.judged = decision.generation
        self.stop_at = decision.stop_at
        if decision.seeds_at >= 0:
            self.seeds[decision.seeds_at] = [(one.island, one.structure) for one in unpack(arrays)]
        if "moves" in arrays:
            owner = self.routes.owner.copy()
            islands, ranks = arrays["moves"].T
            owner[islands] = ranks
            self._moves = (decision.generation + self.routes.delay, owner)
        if decision.checkpoint_at == self.generation:
            self.send_states(self.generation)
        elif decision.checkpoint_at > self.generation:
            self.to_save.add(decision.checkpoint_at)

    def rank_0(self) -> Coordinator:
        """The coordinator, for messages that only rank 0 gets."""
        if self.coordinator is None:
            raise RuntimeError(f"rank {self.world.rank} got a message that is meant for rank 0")
        return self.coordinator
