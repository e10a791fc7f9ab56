"""The islands of a checkpoint, from its files to the ranks that go on with them; each file is read once, by one rank.

While rank 0 prepares, the others read the shards that it asks them for and hold the islands in these. What another rank
cannot read, rank 0 reads in its place, as on a system where not all ranks see the run folder; where it cannot either,
the checkpoint is not whole. When it is known who goes on with which island, all send them there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grs_evo.parallel.communicator import World, wait
from grs_evo.parallel.messages import Gathering, Tag, array_text, decode, encode, numbers, text_array
from grs_evo.search.population.archive import ArchiveOptions, all_that_may_stay
from grs_evo.search.population.individual import Individual, pack, unpack_of
from grs_evo.storage import checkpoint
from grs_evo.storage.checkpoint import Arrays, Checkpoint, Shard

# Individuals of several islands that are put together before those that cannot stay are left out.
_MOST_HELD = 5000


class HeldStates:
    """The states of islands that a rank has read.

    Parameters
    ----------
    world : all ranks, of which the others are in `startup.receive` until rank 0 sends the start
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.states: dict[int, Arrays] = {}
        self._gathering = Gathering(world.rank, world.size)
        self._told: Arrays | None = None  # of all ranks, on rank 0
        self._wanted: tuple[ArchiveOptions, Sequence[str]] = ArchiveOptions(), ()

    # -- rank 0 --------------------------------------------------------------------------------------------------------

    def read(self, point: Checkpoint, folder: Path) -> None:
        """Have every island of a checkpoint read, by this rank or another one, in place of those held before.

        Raises
        ------
        Damaged, OSError
            As `checkpoint.states_of`: a shard is not there, or not the one that the checkpoint was written with.
        """
        self.states.clear()
        if self.world.size == 1 or not point.shards:
            self.states.update(checkpoint.states_of(point, folder))
            return
        shards = [[one.name, one.digest, list(one.islands)] for one in point.shards]
        wanted = {
            "folder": np.frombuffer(os.fsencode(folder), np.uint8),
            "step": np.array([point.step]),
            "shards": text_array(json.dumps(shards)),
        }
        self.world.post_all(Tag.READ, encode(wanted))
        for shard in point.shards[:: self.world.size]:
            self.states.update(checkpoint.read_shard(shard, point.step, folder))
        unread: dict[int, list[int]] = {}

        def serve() -> None:
            for source, _, block in self.world.arrived():
                unread[source] = decode(block)["numbers"].tolist()

        wait(lambda: len(unread) == self.world.size - 1, serve)
        for number in sorted(number for those in unread.values() for number in those):
            self.states.update(checkpoint.read_shard(point.shards[number], point.step, folder))

    def known(
        self, options: ArchiveOptions, term_names: Sequence[str], n_stats: int
    ) -> tuple[NDArray[np.float64], list[Individual]]:
        """What rank 0 shows of all islands: newest statistics, (n_islands, n_stats), and who may be in archive.h5.

        Parameters
        ----------
        options, term_names : of the run's archive, see `archive.merge`
        """
        wanted = {
            "options": text_array(options.model_dump_json()),
            "terms": text_array(json.dumps(list(term_names))),
            "n_stats": np.array([n_stats]),
        }
        if self.world.size > 1:
            self.world.post_all(Tag.TELL, encode(wanted))
        self._tell(wanted)
        wait(lambda: self._told is not None, self._serve_all)
        assert self._told is not None
        rows = np.empty((len(self._told["islands"]), n_stats))
        rows[self._told["islands"]] = self._told["rows"]
        return rows, unpack_of(self._told, "archive")

    # -- other ranks ---------------------------------------------------------------------------------------------------

    def serve(self, tag: int, block: NDArray[np.uint8]) -> None:
        """Do what rank 0 asks for (`READ`, `TELL`), or take what a rank below in the tree tells (`TOLD`)."""
        arrays = decode(block)
        if tag == Tag.READ:
            self._read_share(arrays)
        elif tag == Tag.TELL:
            self._tell(arrays)
        else:
            self._pass_on(arrays)

    def _serve_all(self) -> None:
        for _, tag, block in self.world.arrived():
            self.serve(tag, block)

    def _read_share(self, wanted: Arrays) -> None:
        """Read every n-th shard, from the rank's own number on; tell rank 0 which of them cannot be read here."""
        self.states.clear()
        folder, step = Path(os.fsdecode(wanted["folder"].tobytes())), int(wanted["step"][0])
        shards = [
            Shard(name, digest, tuple(islands)) for name, digest, islands in json.loads(array_text(wanted["shards"]))
        ]
        unread = []
        for number in range(self.world.rank, len(shards), self.world.size):
            try:
                self.states.update(checkpoint.read_shard(shards[number], step, folder))
            except (OSError, *checkpoint.UNREADABLE):
                unread.append(number)
        self.world.post(0, Tag.UNREAD, numbers(*unread))

    def _tell(self, wanted: Arrays) -> None:
        """The newest statistics of the islands held, and their archives put together."""
        options = ArchiveOptions.model_validate_json(array_text(wanted["options"]))
        self._wanted = options, tuple(json.loads(array_text(wanted["terms"])))
        found: list[Individual] = []
        most = _MOST_HELD
        for state in self.states.values():
            found += unpack_of(state, "archive")
            if len(found) > most:
                found = all_that_may_stay(found, *self._wanted)
                most = _MOST_HELD + 2 * len(found)
        rows = [state["history"][-1] for state in self.states.values()]
        self._pass_on(
            {
                "ranks": np.array([self.world.rank], np.int64),
                "islands": np.array(list(self.states), np.int64),
                "rows": np.array(rows).reshape(len(rows), int(wanted["n_stats"][0])),
                **self._packed(found),
            }
        )

    def _pass_on(self, told: Arrays) -> None:
        """What this rank or one below in the tree tells, on its way to rank 0."""
        joined = self._gathering.add(0, told)
        if joined is None:
            return
        joined.update(self._packed(unpack_of(joined, "archive")))
        if self.world.rank == 0:
            self._told = joined
        else:
            self.world.post(self._gathering.parent, Tag.TOLD, encode(joined))

    def _packed(self, individuals: Sequence[Individual]) -> Arrays:
        options, term_names = self._wanted
        kept = all_that_may_stay(individuals, options, term_names)
        return {f"archive.{name}": column for name, column in pack(kept, len(term_names)).items()}

    # -- all ranks -----------------------------------------------------------------------------------------------------

    def hand_out(self, owner: NDArray[np.int32]) -> dict[int, Arrays]:
        """The states of this rank's islands; every rank calls it, and sends what it holds of others.

        Parameters
        ----------
        owner : (n_islands,) the rank that goes on with each
        """
        mine: dict[int, Arrays] = {}
        for island in sorted(self.states):
            state = self.states.pop(island)
            if owner[island] == self.world.rank:
                mine[island] = state
            else:
                self.world.post(int(owner[island]), Tag.ISLAND, encode({"held.island": np.array([island]), **state}))

        def take(_source: int, _tag: int, block: NDArray[np.uint8]) -> None:
            arrays = decode(block)
            mine[int(arrays.pop("held.island")[0])] = arrays

        self.world.settle(take)
        return mine
