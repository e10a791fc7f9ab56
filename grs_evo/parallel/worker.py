"""One rank's part of a round: advance its islands, pass on emigrants, obey verdicts, hand over states.

No rank waits for the others but where it needs their emigrants or a verdict of `delay` generations ago. What a
generation is made of (states, immigrants, seeds) is the same however the islands are shared out, and so is the result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import EXIT_INPUT, EXIT_STORAGE, InputError, Quit, StorageError
from grs_evo.parallel.communicator import World, wait
from grs_evo.parallel.coordinator import Coordinator
from grs_evo.parallel.decisions import NEVER, Decision
from grs_evo.parallel.messages import array_text, decode, encode, text_array
from grs_evo.parallel.signals import SignalFlag
from grs_evo.parallel.timing import Spent
from grs_evo.parallel.topology import Routes, arrange, pack_parcel, unpack_parcel
from grs_evo.search.population.individual import Individual, unpack
from grs_evo.structures.structure import Structure

Arrays = dict[str, NDArray[Any]]
# s between two looks at the post while islands are being advanced
_LOOK = 1e-3
# s that ranks get to leave in good order after trouble
_LEAVE = 5.0


class Tag(IntEnum):
    """Kinds of messages."""

    STATS = 1  # rows of one generation, to rank 0
    DECISION = 2  # from rank 0
    EMIGRANTS = 3
    STATE = 4  # one island at one generation, to rank 0
    HEARD = 5  # a rank heard a signal, to rank 0
    HALT = 6  # stop where you are, from rank 0
    HALTED = 7  # newest complete generation of a rank, to rank 0
    DUMP = 8  # hand over the states of this generation, from rank 0
    END = 9  # the round is over, from rank 0
    TROUBLE = 10  # a rank cannot go on because of the input, to rank 0
    QUIT = 11  # leave with this exit code, from rank 0
    SHARE = 12  # set-up data from rank 0, used before a round
    JOB = 13  # blocks of a large target to be described, from rank 0
    PART = 14  # what is left of such a block, to rank 0
    REFUSED = 15  # what is wrong with the structure, to rank 0


class Halted(Exception):
    """The generation under way is given up; the newest complete one will be saved."""


class Work(Protocol):
    """What evolves: islands of a problem, or a stand-in of the tests. States are opaque here."""

    @property
    def n_terms(self) -> int: ...

    def start(self, island: int, poll: Callable[[], None]) -> Any: ...

    def advance(
        self,
        state: Any,
        immigrants: Sequence[Individual],
        seeds: Sequence[Structure],
        poll: Callable[[], None],
    ) -> Any: ...

    def stats(self, state: Any) -> NDArray[np.float64]: ...

    def emigrants(self, state: Any, generation: int) -> Sequence[Individual]: ...

    def pack(self, state: Any) -> Arrays: ...

    def unpack(self, arrays: Mapping[str, NDArray[Any]]) -> Any: ...


@dataclass(frozen=True)
class RoundPlan:
    """The stretch of a round that is ahead."""

    round: int
    generations: int | None  # last generation by the run file, None: unlimited
    start: int = -1  # generation that the given states belong to; -1: none, islands are yet to be started
    stop_at: int = NEVER  # a verdict that was already spoken
    # seeds that were taken in before a resume and are due again: generation made -> (island, structure)
    seeds: Mapping[int, Sequence[tuple[int, Structure]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Ending:
    """How a rank's part of a round ended."""

    halted: bool  # interrupted, not at its end
    generation: int  # of the last state that all ranks have; -1: none
    states: Mapping[int, Any]  # own islands at that generation
    why: str = ""  # the reason to halt, as rank 0 gave it


class Evolution:
    """One rank's islands and its post while a round lasts.

    Parameters
    ----------
    world : all ranks
    work : what to do with an island
    routes : the map of islands and ranks
    leg : where to begin and where to end
    alarm : set by signal handlers
    conductor : rank 0's side of things, None on the others
    """

    def __init__(
        self,
        world: World,
        work: Work,
        routes: Routes,
        round_plan: RoundPlan,
        signal_flag: SignalFlag,
        coordinator: Coordinator | None,
    ) -> None:
        self.world = world
        self.work = work
        self.routes = routes
        self.round_plan = round_plan
        self.signal_flag = signal_flag
        self.coordinator = coordinator
        self.generation = round_plan.start
        self.states: dict[int, dict[int, Any]] = {}  # generation -> island -> state; the last delay + 2 generations
        self.stop_at = round_plan.stop_at
        self.judged = round_plan.start  # newest generation whose verdict is known
        self.to_save: set[int] = set()
        self.mail: dict[int, dict[int, list[tuple[int, Individual]]]] = {}  # generation left -> rank -> emigrants
        self.seeds = dict(round_plan.seeds)
        self.halting = False
        self.why = ""
        self.dump_at: int | None = None
        self.ended = False
        self._writers = routes.writers()
        self._parcels = routes.parcels()
        self._looked = 0.0
        self._rang = False
        self.spent = Spent()

    # -- the round ---------------------------------------------------------------------------------------------------

    def run(self, states: Mapping[int, Any] | None = None) -> Ending:
        """Live through the leg.

        Parameters
        ----------
        states : own islands at generation `leg.start`, when resuming

        Raises
        ------
        InputError
            On rank 0 alone: the run file asks for something that cannot be done (other ranks raise `Quit`).
        """
        try:
            try:
                if states is not None:
                    self.states[self.round_plan.start] = dict(states)
                    for generation in range(
                        max(0, self.round_plan.start + 1 - self.routes.delay), self.round_plan.start + 1
                    ):
                        self._send_emigrants(generation)
                self._live()
                self._close()
                halted = False
            except Halted:
                self._halt()
                halted = True
        except (InputError, StorageError) as error:
            self._trouble(error)
            raise
        except Quit:
            self.world.settle(lambda *_: None, seconds=_LEAVE)
            raise
        self.world.settle(lambda *_: None)
        if self.coordinator is not None:
            self.coordinator.spent[self.world.rank] = self.spent.to_array()
        generation = self.generation if not halted else self._dumped()
        return Ending(halted, generation, self.states.get(generation, {}), self.why)

    def _live(self) -> None:
        if self.generation < 0:
            started = {}
            for island in self.routes.mine:
                self.poll(now=True)
                started[island] = self._timed(lambda k=island: self.work.start(k, self.poll))  # type: ignore[misc]
            self._complete(0, started)
        while True:
            with self.spent.on("wait"):
                wait(self._may_go_on, self.serve_or_halt)
            if self.generation >= self._last():
                return
            made = self.generation + 1
            arrived = [entry for part in self.mail.pop(made - self.routes.delay, {}).values() for entry in part]
            new = {}
            for island in self.routes.mine:
                self.poll(now=True)
                immigrants = arrange(self.routes.heard[island], arrived)
                seeds = [structure for k, structure in self.seeds.get(made, []) if k == island]
                state = self.states[self.generation][island]
                new[island] = self._timed(
                    lambda s=state, i=immigrants, d=seeds: self.work.advance(s, i, d, self.poll)  # type: ignore[misc]
                )
            self.seeds.pop(made, None)
            self._complete(made, new)

    def _timed(self, task: Callable[[], Any]) -> Any:
        with self.spent.on("advance"):
            return task()

    def _last(self) -> int:
        budget = NEVER if self.round_plan.generations is None else self.round_plan.generations
        return min(budget, self.stop_at)

    def _may_go_on(self) -> bool:
        """Whether the next generation can be made, or it is certain that there is none."""
        if self.generation >= self._last():
            return True
        if self.judged < self.generation - self.routes.delay:
            return False
        left = self.generation + 1 - self.routes.delay
        return not self.routes.emits(left) or all(rank in self.mail.get(left, {}) for rank in self._writers)

    def _complete(self, generation: int, states: dict[int, Any]) -> None:
        self.states[generation] = states
        self.generation = generation
        for old in [g for g in self.states if g < generation - self.routes.delay - 1]:
            del self.states[old]
        rows = np.array([self.work.stats(states[island]) for island in self.routes.mine])
        if self.coordinator is None:
            head = np.array([self.round_plan.round, generation], np.int64)
            self.world.post(0, Tag.STATS, encode({"when": head, "rows": rows, "spent": self.spent.to_array()}))
        else:
            self.coordinator.spent[self.world.rank] = self.spent.to_array()
            with self.spent.on("post"):
                self.coordinator.take_stats(generation, self.routes.mine, rows)
                self._obey()
        with self.spent.on("pack"):
            self._send_emigrants(generation)
            if generation in self.to_save:
                self._send_states(generation)

    def _send_emigrants(self, generation: int) -> None:
        if not self.routes.emits(generation):
            return
        newest = self.states[self.generation]
        leaving = {island: self.work.emigrants(newest[island], generation) for island in self.routes.mine}
        for rank, islands in self._parcels.items():
            parcel = [(island, leaving[island]) for island in islands]
            self.world.post(
                rank,
                Tag.EMIGRANTS,
                encode(pack_parcel(self.round_plan.round, generation, parcel, self.work.n_terms)),
            )
        own = [(island, one) for island, group in leaving.items() for one in group]
        self.mail.setdefault(generation, {})[self.world.rank] = own

    def _send_states(self, generation: int) -> None:
        self.to_save.discard(generation)
        for island, state in self.states[generation].items():
            arrays = self.work.pack(state)
            if self.coordinator is None:
                when = np.array([self.round_plan.round, generation, island], np.int64)
                self.world.post(0, Tag.STATE, encode({"when": when, **arrays}))
            else:
                self.coordinator.take_state(generation, island, arrays)

    # -- endings -----------------------------------------------------------------------------------------------------

    def _close(self) -> None:
        """The last generation is made: hand it over, and leave together."""
        with self.spent.on("pack"):
            self._send_states(self.generation)
        if self.coordinator is None:
            with self.spent.on("wait"):
                wait(lambda: self.ended, self.serve_or_halt)
            return
        with self.spent.on("wait"):
            wait(lambda: self._coordinator().can_save(self.generation), self.serve_or_halt)
        with self.spent.on("save"):
            self._coordinator().save_final(self.generation)
        self.world.post_all(Tag.END, _numbers(self.round_plan.round, self.generation))

    def _halt(self) -> None:
        """Everybody stops where they are; the newest generation that all have is saved."""
        if self.coordinator is None:
            self.world.post(0, Tag.HALTED, _numbers(self.round_plan.round, self.generation))
            wait(lambda: self.dump_at is not None or self.ended, self.serve)
            if self.dump_at is not None and self.dump_at >= 0:
                self._send_states(self.dump_at)
            wait(lambda: self.ended, self.serve)
            return
        coordinator = self.coordinator
        coordinator.take_halted(self.world.rank, self.generation)
        wait(lambda: len(coordinator.halted) == self.world.size, self.serve)
        common = self.dump_at = min(coordinator.halted.values())
        self.world.post_all(Tag.DUMP, _numbers(self.round_plan.round, common))
        if common >= 0:
            self._send_states(common)
            wait(lambda: coordinator.can_save(common), self.serve)
            coordinator.save_final(common)
        self.world.post_all(Tag.END, _numbers(self.round_plan.round, common))

    def _dumped(self) -> int:
        return -1 if self.dump_at is None else self.dump_at

    def _trouble(self, error: Exception) -> None:
        """This rank cannot go on. Rank 0 says why and sends everybody home; the others tell rank 0."""
        if self.coordinator is None:
            self.world.post(0, Tag.TROUBLE, text_array(str(error)))
            try:
                wait(lambda: False, self.serve)
            finally:  # by the Quit that rank 0 sends
                self.world.settle(lambda *_: None, seconds=_LEAVE)
        send_home(self.world, EXIT_INPUT if isinstance(error, InputError) else EXIT_STORAGE)

    # -- messages ----------------------------------------------------------------------------------------------------

    def poll(self, now: bool = False) -> None:
        """Called while islands are advanced; at most every millisecond it looks at the post.

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
        """Take what has arrived, hear signals, and let rank 0 look at its clock."""
        with self.spent.on("post"):
            self._serve()

    def _serve(self) -> None:
        for message in self.world.arrived():
            self._take(*message)
        if self.coordinator is not None:
            if self.coordinator.tick(self.signal_flag.heard) and not self.halting:
                self.halting = True
                self.why = self.coordinator.halt_reason
                self.world.post_all(Tag.HALT, text_array(self.why))
            self._obey()
            with self.spent.on("save"):
                self.coordinator.save_due()
        elif self.signal_flag.heard and not self._rang:
            self._rang = True
            self.world.post(0, Tag.HEARD, text_array(self.signal_flag.heard))

    def _take(self, source: int, tag: int, block: NDArray[np.uint8]) -> None:
        if tag == Tag.STATS:
            arrays = decode(block)
            if int(arrays["when"][0]) == self.round_plan.round:
                self._coordinator().spent[source] = arrays["spent"]
                self._coordinator().take_stats(int(arrays["when"][1]), self.routes.owned[source], arrays["rows"])
        elif tag == Tag.DECISION:
            self._hear(decode(block))
        elif tag == Tag.EMIGRANTS:
            _, generation, emigrants = unpack_parcel(decode(block))
            self.mail.setdefault(generation, {})[source] = emigrants
        elif tag == Tag.STATE:
            arrays = decode(block)
            when = arrays.pop("when")
            self._coordinator().take_state(int(when[1]), int(when[2]), arrays)
        elif tag == Tag.HEARD:
            self.signal_flag.heard = self.signal_flag.heard or array_text(block)
        elif tag == Tag.HALT:
            self.halting, self.why = True, array_text(block)
        elif tag == Tag.HALTED:
            self._coordinator().take_halted(source, int(decode(block)["numbers"][1]))
        elif tag == Tag.DUMP:
            self.dump_at = int(decode(block)["numbers"][1])
        elif tag == Tag.END:
            self.ended = True
        elif tag == Tag.TROUBLE:
            raise InputError(array_text(block))
        elif tag == Tag.QUIT:
            raise Quit(int(decode(block)["numbers"][0]))

    def _obey(self) -> None:
        """Rank 0: pass on the verdicts that have become possible, to itself too."""
        for decision, columns in self._coordinator().decisions():
            arrays = {"verdict": decision.to_array(), **columns}
            if self.world.size > 1:
                self.world.post_all(Tag.DECISION, encode(arrays))
            self._hear(arrays)

    def _hear(self, arrays: Arrays) -> None:
        decision = Decision.from_array(arrays["verdict"])
        self.judged = decision.generation
        self.stop_at = decision.stop_at
        if decision.seeds_at >= 0:
            self.seeds[decision.seeds_at] = [(one.island, one.structure) for one in unpack(arrays)]
        if decision.checkpoint_at == self.generation:
            self._send_states(self.generation)
        elif decision.checkpoint_at > self.generation:
            self.to_save.add(decision.checkpoint_at)

    def _coordinator(self) -> Coordinator:
        if self.coordinator is None:
            raise RuntimeError(f"rank {self.world.rank} got a message that is meant for rank 0")
        return self.coordinator


def send_home(world: World, code: int) -> None:
    """Rank 0: make every other rank leave with this exit code; abort them when they do not come."""
    world.post_all(Tag.QUIT, _numbers(code))
    if not world.settle(lambda *_: None, seconds=_LEAVE):
        world.abort(code)


def _numbers(*values: int) -> NDArray[np.uint8]:
    return encode({"numbers": np.array(values, np.int64)})
