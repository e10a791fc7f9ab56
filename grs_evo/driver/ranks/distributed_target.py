"""All ranks describe a large target: rank 0 hands out its blocks and merges the parts in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from grs_evo.descriptors.basis import Basis
from grs_evo.errors import InputError
from grs_evo.parallel.communicator import World, wait
from grs_evo.parallel.messages import Tag, array_text, decode, encode, text_array
from grs_evo.parallel.topology import shares
from grs_evo.structures.structure import pack_structures, unpack_structures
from grs_evo.targets.chunks import Job, Part, parts_of

# Bytes of all parts above which rank 0 does the work alone: it could not hold what the others send at once.
_MOST_BYTES = 1 << 30


class DistributedDescriber:
    """Rank 0's side: a `chunks.Worker` that shares a job out over the ranks, which wait for it in `startup.receive`.

    Parameters
    ----------
    threads : of this process, where it works alone
    """

    def __init__(self, world: World, threads: int = 1) -> None:
        self.world = world
        self.threads = threads

    def __call__(self, job: Job) -> Iterator[Part]:
        starts = job.starts
        flat = sum(n * n for n in job.basis.sizes) if job.covariance else 0
        size = 8 * (4 * job.basis.n_desc + flat)
        if self.world.size == 1 or len(starts) < 2 * self.world.size or len(starts) * size > _MOST_BYTES:
            yield from parts_of(job, threads=self.threads)
            return
        # The first block is rank 0's alone: it compiles what the others then load.
        first, *rest = starts
        yield from parts_of(job, [first])
        owned = shares(len(rest), self.world.size)
        for rank, mine in enumerate(owned):
            if rank != self.world.rank:
                self.world.post(rank, Tag.JOB, _pack(job, rest[mine.start : mine.stop]))
        found: dict[int, list[Part]] = {}
        own = owned[self.world.rank]
        found[self.world.rank] = list(parts_of(job, rest[own.start : own.stop]))

        def serve() -> None:
            for source, tag, block in self.world.arrived():
                if tag == Tag.REFUSED:
                    raise InputError(array_text(block))
                found.setdefault(source, []).append(Part.from_arrays(decode(block)))

        wait(lambda: sum(map(len, found.values())) == len(rest), serve)
        for rank in range(self.world.size):
            yield from found[rank]


def work(world: World, block: NDArray[np.uint8], serve: Callable[[], None]) -> None:
    """Other ranks: do a share of a job and post the parts to rank 0, in their order.

    Parameters
    ----------
    serve : looks for messages between two parts, since rank 0 may have found the structure wrong
    """
    job, starts = _unpack(block)
    try:
        for part in parts_of(job, starts):
            world.post(0, Tag.PART, encode(part.to_arrays()))
            serve()
    except InputError as error:
        world.post(0, Tag.REFUSED, text_array(str(error)))


def _pack(job: Job, starts: list[int]) -> NDArray[np.uint8]:
    return encode(
        {
            **pack_structures([job.structure]),
            "basis": text_array(job.basis.to_text()),
            "name": text_array(job.name),
            "numbers": np.array([job.weight, job.reach]),
            "covariance": np.array([job.covariance]),
            "picks": job.picks,
            "starts": np.array(starts, np.int64),
            **({} if job.centres is None else {"centres": job.centres}),
        }
    )


def _unpack(block: NDArray[np.uint8]) -> tuple[Job, list[int]]:
    arrays = decode(block)
    (structure,) = unpack_structures(arrays)
    weight, reach = arrays["numbers"].tolist()
    job = Job(
        structure,
        Basis.from_text(array_text(arrays["basis"])),
        array_text(arrays["name"]),
        weight,
        bool(arrays["covariance"][0]),
        np.array(arrays["picks"]),
        reach,
        np.array(arrays["centres"]) if "centres" in arrays else None,
    )
    return job, arrays["starts"].tolist()
