"""All ranks describe a pool of structures: rank 0 hands out blocks as ranks get free, and takes them in their order.

The other ranks do nothing else, until rank 0 says that it is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from grs_evo.datasets.pool import Block, Row, Task, block_of, by_threads
from grs_evo.descriptors.basis import Basis
from grs_evo.driver.signals import listening
from grs_evo.errors import InputError, RankExit, StorageError, exit_code_of
from grs_evo.parallel.communicator import World, connect, started_by, wait
from grs_evo.parallel.endings import LEAVE, end_other_ranks
from grs_evo.parallel.messages import Tag, array_text, decode, encode, text_array
from grs_evo.parallel.worker import SignalFlag
from grs_evo.structures.structure import pack_structures, unpack_structures
from grs_evo.targets.chunks import cores

# Blocks that a rank has in hand at once, so that it never waits for the next one.
_IN_HAND = 2
INTERRUPTED = 130  # exit code of a process ended by a signal before there was anything to keep


@dataclass(eq=False)
class Ranks:
    """Rank 0's side: describes with all ranks, and hears signals that any of them got."""

    world: World
    signal_flag: SignalFlag
    threads: int
    _got: dict[int, Block] = field(default_factory=dict)
    _in_hand: dict[int, int] = field(default_factory=dict)  # blocks of each other rank that have not come back

    def poll(self) -> None:
        """Take messages.

        Raises
        ------
        KeyboardInterrupt
            This rank, or another one, was told to end.
        """
        for source, tag, message in self.world.arrived():
            if tag == Tag.SIGNAL:
                self.signal_flag.heard = self.signal_flag.heard or array_text(message)
            else:
                number, block = _unpack_block(message)
                self._got[number] = block
                self._in_hand[source] -= 1
        if self.signal_flag.heard:
            raise KeyboardInterrupt

    def describe(self, tasks: Iterator[Task]) -> Iterator[Block]:
        """A `pool.Describer`: blocks in order; a few for each rank are under way at once."""
        if self.world.size == 1:
            for block in by_threads(self.threads)(tasks):
                self.poll()
                yield block
            return
        self._in_hand = dict.fromkeys(range(1, self.world.size), 0)
        self._got = {}
        handed, taken, left = 0, 0, True
        with threadpool_limits(1):
            while left or taken < handed:
                self.poll()
                if taken in self._got:
                    yield self._got.pop(taken)
                    taken += 1
                elif left and handed - taken < 2 * _IN_HAND * self.world.size:  # so that few wait for their turn
                    task = next(tasks, None)
                    left = task is not None
                    if task is not None:
                        self._hand_out(handed, task)
                        handed += 1
                else:
                    self._wait_for(taken)

    def _hand_out(self, number: int, task: Task) -> None:
        """To the rank with least in hand; rank 0 does it where all have enough, and the first, compiling for all."""
        rank = min(self._in_hand, key=lambda one: self._in_hand[one])
        if number == 0 or self._in_hand[rank] >= _IN_HAND:
            self._got[number] = block_of(task)
            return
        self._in_hand[rank] += 1
        self.world.post(rank, Tag.JOB, _pack_task(number, task))

    def _wait_for(self, number: int) -> None:
        wait(lambda: number in self._got, self.poll)


@contextmanager
def all_ranks(threads: int | None = None) -> Iterator[Ranks]:
    """All ranks there are: rank 0 goes on within the block, which the others serve and never enter.

    Parameters
    ----------
    threads : of one process that is alone; default: one per core

    Raises
    ------
    RankExit
        On the other ranks, when rank 0 is done.
    """
    world = connect() if started_by().n_processes > 1 else World()
    with listening() as signal_flag:
        if world.rank != 0:
            _serve(world, signal_flag)
        code: int | None = None
        try:
            yield Ranks(world, signal_flag, cores() if threads is None else threads)
            code = 0
        except (InputError, StorageError) as error:
            code = exit_code_of(error)
            raise
        except KeyboardInterrupt:
            code = INTERRUPTED
            raise
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 1
            raise
        finally:
            if code is not None and world.size > 1:  # an error that nobody expected ends all ranks elsewhere
                end_other_ranks(world, code)


def _serve(world: World, signal_flag: SignalFlag) -> None:
    """Other ranks: describe what comes, pass on signals, leave when rank 0 says so."""
    told = False
    jobs: list[NDArray[np.uint8]] = []

    def look() -> None:
        nonlocal told
        for _, tag, message in world.arrived():
            if tag == Tag.EXIT:
                world.settle(lambda *_: None, seconds=LEAVE)
                raise RankExit(int(decode(message)["numbers"][0]))
            jobs.append(message)
        if signal_flag.heard and not told:
            world.post(0, Tag.SIGNAL, text_array(signal_flag.heard))
            told = True

    with threadpool_limits(1):
        while True:
            wait(lambda: bool(jobs), look)
            number, task = _unpack_task(jobs.pop(0))
            world.post(0, Tag.PART, _pack_block(number, block_of(task)))


# ---------------------------------------------------------------------------------------------------------------------
# messages


def _pack_task(number: int, task: Task) -> NDArray[np.uint8]:
    return encode(
        {
            **pack_structures(task.structures),
            "basis": text_array(task.basis.to_text()),
            "task": np.array([number, task.first, int(task.sketched), task.seed], np.int64),
        }
    )


@lru_cache(maxsize=2)
def _basis_of(text: str) -> Basis:
    """One basis for all blocks, with the tables that were made for the first."""
    return Basis.from_text(text)


def _unpack_task(message: NDArray[np.uint8]) -> tuple[int, Task]:
    arrays = decode(message)
    number, first, sketched, seed = arrays["task"].tolist()
    basis = _basis_of(array_text(arrays["basis"]))
    return number, Task(first, tuple(unpack_structures(arrays)), basis, bool(sketched), seed)


def _pack_block(number: int, block: Block) -> NDArray[np.uint8]:
    rows = block.rows
    return encode(
        {
            "number": np.array([number], np.int64),
            "gram": block.gram,
            "n_atoms": np.array([one.n_atoms for one in rows], np.int64),
            "energy": np.array([one.energy for one in rows]),
            "squares": np.array([one.squares for one in rows]),
            "n_forces": np.array([len(one.forces) for one in rows], np.int64),
            "forces": np.concatenate([one.forces for one in rows]),
            "refused": text_array("\0".join(one.refused for one in rows)),
        }
    )


def _unpack_block(message: NDArray[np.uint8]) -> tuple[int, Block]:
    arrays: dict[str, Any] = decode(message)
    ends = np.cumsum(arrays["n_forces"])
    rows = zip(
        arrays["n_atoms"].tolist(),
        arrays["energy"],
        arrays["squares"],
        # copies, which are scaled in place and let the message go
        [np.array(arrays["forces"][end - n : end]) for n, end in zip(arrays["n_forces"], ends, strict=True)],
        array_text(arrays["refused"]).split("\0"),
        strict=True,
    )
    return int(arrays["number"][0]), Block(tuple(Row(*one) for one in rows), arrays["gram"])
