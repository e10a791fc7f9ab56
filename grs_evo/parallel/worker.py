"""One rank's part of a round: advance its islands, send emigrants, apply decisions, hand over states.

A rank waits for the others only where it needs their emigrants or the decision on `delay` generations ago. What a
generation is made of (states, immigrants, seeds) is the same however the islands are shared out, and so is the result.
How a round ends is the business of `endings`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError, RankExit
from grs_evo.parallel.communicator import World, wait
from grs_evo.parallel.coordinator import Coordinator
from grs_evo.parallel.decisions import NEVER, Decision
from grs_evo.parallel.messages import Tag, array_text, decode, encode, text_array
from grs_evo.parallel.timing import PartClock
from grs_evo.parallel.topology import Routes, arrange, pack_emigrants, unpack_emigrants
from grs_evo.search.population.individual import Individual, pack, unpack
from grs_evo.structures.structure import Structure

Arrays = dict[str, NDArray[Any]]
# s between two looks for messages while islands are being advanced
_LOOK = 1e-3


class Halted(Exception):
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
        self.immigrants: dict[int, dict[int, list[tuple[int, Individual]]]] = {}  # generation left -> rank -> emigrants
        self.seeds = dict(plan.seeds)
        self.halting = False
        self.why = ""
        self.dump_at: int | None = None
        self.ended = False
        self._senders = routes.senders()
        self._receivers = routes.receivers()
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
                started[island] = self._timed(lambda k=island: self.islands.start(k, self.poll))  # type: ignore[misc]
            self._complete(0, started)
        while True:
            with self.clock.on("wait"):
                wait(self._may_go_on, self.serve_or_halt)
            if self.generation >= self._last():
                return
            made = self.generation + 1
            arrived = [entry for part in self.immigrants.pop(made - self.routes.delay, {}).values() for entry in part]
            new = {}
            for island in self.routes.mine:
                self.poll(now=True)
                immigrants = arrange(self.routes.heard[island], arrived)
                seeds = [structure for k, structure in self.seeds.get(made, []) if k == island]
                state = self.states[self.generation][island]
                new[island] = self._timed(
                    lambda s=state, i=immigrants, d=seeds: self.islands.advance(s, i, d, self.poll)  # type: ignore[misc]
                )
            self.seeds.pop(made, None)
            self._complete(made, new)

    def _timed(self, task: Callable[[], Any]) -> Any:
        with self.clock.on("advance"):
            return task()

    def _last(self) -> int:
        budget = NEVER if self.plan.generations is None else self.plan.generations
        return min(budget, self.stop_at)

    def _may_go_on(self) -> bool:
        """Whether the next generation can be made, or it is certain that there is none."""
        if self.generation >= self._last():
            return True
        if self.judged < self.generation - self.routes.delay:
            return False
        left = self.generation + 1 - self.routes.delay
        return not self.routes.emits(left) or all(rank in self.immigrants.get(left, {}) for rank in self._senders)

    def _complete(self, generation: int, states: dict[int, Any]) -> None:
        self.states[generation] = states
        self.generation = generation
        for old in [g for g in self.states if g < generation - self.routes.delay - 1]:
            del self.states[old]
        rows = np.array([self.islands.stats(states[island]) for island in self.routes.mine])
        if self.coordinator is None:
            head = np.array([self.plan.round, generation], np.int64)
            self.world.post(0, Tag.STATS, encode({"when": head, "rows": rows, "times": self.clock.to_array()}))
        else:
            self.coordinator.times[self.world.rank] = self.clock.to_array()
            with self.clock.on("post"):
                self.coordinator.take_stats(generation, self.routes.mine, rows)
                self.publish_decisions()
        with self.clock.on("pack"):
            self.send_emigrants(generation)
            if generation in self.to_save:
                self.send_states(generation)

    def send_emigrants(self, generation: int) -> None:
        if not self.routes.emits(generation):
            return
        newest = self.states[self.generation]
        leaving = {island: self.islands.emigrants(newest[island], generation) for island in self.routes.mine}
        for rank, islands in self._receivers.items():
            leaving_there = [(island, leaving[island]) for island in islands]
            self.world.post(
                rank,
                Tag.EMIGRANTS,
                encode(pack_emigrants(self.plan.round, generation, leaving_there, self.islands.n_terms)),
            )
        own = [(island, one) for island, group in leaving.items() for one in group]
        self.immigrants.setdefault(generation, {})[self.world.rank] = own

    def send_states(self, generation: int) -> None:
        self.to_save.discard(generation)
        for island, state in self.states[generation].items():
            arrays = self.islands.pack(state)
            if self.coordinator is None:
                when = np.array([self.plan.round, generation, island], np.int64)
                self.world.post(0, Tag.STATE, encode({"when": when, **arrays}))
            else:
                self.coordinator.take_state(generation, island, arrays)

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

    def _take(self, source: int, tag: int, block: NDArray[np.uint8]) -> None:
        if tag == Tag.STATS:
            arrays = decode(block)
            if int(arrays["when"][0]) == self.plan.round:
                self.rank_0().times[source] = arrays["times"]
                self.rank_0().take_stats(int(arrays["when"][1]), self.routes.owned[source], arrays["rows"])
        elif tag == Tag.DECISION:
            self._apply(decode(block))
        elif tag == Tag.EMIGRANTS:
            _, generation, emigrants = unpack_emigrants(decode(block))
            self.immigrants.setdefault(generation, {})[source] = emigrants
        elif tag == Tag.STATE:
            arrays = decode(block)
            when = arrays.pop("when")
            self.rank_0().take_state(int(when[1]), int(when[2]), arrays)
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
        if decision.checkpoint_at == self.generation:
            self.send_states(self.generation)
        elif decision.checkpoint_at > self.generation:
            self.to_save.add(decision.checkpoint_at)

    def rank_0(self) -> Coordinator:
        """The coordinator, for messages that only rank 0 gets."""
        if self.coordinator is None:
            raise RuntimeError(f"rank {self.world.rank} got a message that is meant for rank 0")
        return self.coordinator
