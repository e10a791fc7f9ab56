"""A large structure, chunk by chunk, into moments: the chunks are the same, whoever works on them.

Threads of one process share them, or all ranks of a run (`driver.ranks`). What a chunk yields depends on
nothing but the chunk, and the parts are merged in their order, so the result is the same bit for bit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.descriptors.basis import Basis
from grs_evo.descriptors.describe import CHUNK, Chunk, map_chunks
from grs_evo.structures.structure import Structure
from grs_evo.targets.moments import Moments, moments_of
from grs_evo.targets.sampling import systematic_sample


@dataclass(frozen=True, eq=False)
class Job:
    """A structure whose moments are wanted, with what else is to be found on the way."""

    structure: Structure
    basis: Basis
    name: str  # how messages call the structure
    weight: float  # of each environment
    covariance: bool
    picks: NDArray[np.int64]  # sorted numbers of the atoms whose descriptors are kept
    reach: float  # Å; shortest distances are looked for below it
    centres: NDArray[np.int64] | None = None  # sorted numbers of the atoms whose environments count; None: all

    @property
    def starts(self) -> range:
        """First atoms of the chunks."""
        return range(0, self.structure.n_atoms, CHUNK)

    def moments(self, first: int, rows: NDArray[np.float64], species: NDArray[np.int32]) -> Moments:
        """Of the rows of atoms from `first` on, as far as they count."""
        if self.centres is not None:
            begin, end = np.searchsorted(self.centres, (first, first + len(rows)))
            own = self.centres[begin:end] - first
            rows, species = rows[own], species[own]
        return moments_of(rows, species, self.basis.sizes, self.weight, self.covariance)


def jobs_of(
    structures: Sequence[Structure],
    weights: NDArray[np.float64],
    names: Sequence[str],
    centres: Sequence[NDArray[np.int64]],
    sample: int,
    basis: Basis,
    covariance: bool,
    reach: float,
) -> list[Job]:
    """A job for each structure, which share a sample of at most so many environments that are kept.

    Parameters
    ----------
    centres : of each structure the sorted numbers of the atoms whose environments count; none: all
    """
    owned = list(centres) or [np.arange(one.n_atoms) for one in structures]
    picks = systematic_sample(np.array([len(own) for own in owned], np.int64), weights, sample)
    jobs, first = [], 0
    for one, weight, name, own in zip(structures, weights, names, owned, strict=True):
        last = first + len(own)
        kept = own[picks[np.searchsorted(picks, first) : np.searchsorted(picks, last)] - first]
        only = own if centres else None
        jobs.append(Job(one, basis, name, float(weight), covariance, kept, reach, only))
        first = last
    return jobs


@dataclass(frozen=True, eq=False)
class Part:
    """What one chunk of a structure yields."""

    moments: Moments
    rows: NDArray[np.float64]  # (n_picked, max_size) descriptors that are kept
    species: NDArray[np.int32]  # (n_picked,)
    squared: NDArray[np.float64]  # (n_el, n_el) least squared distance from an element to another, Å²; inf: none
    owner: NDArray[np.int64]  # (n_el, n_el) the atom that has it; -1: none

    @property
    def nearest(self) -> float:
        """Shortest distance from an atom of the chunk, Å; inf: none below the job's reach."""
        return float(np.sqrt(self.squared.min()))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Named arrays that hold all of it, for messages between ranks."""
        own: dict[str, NDArray[Any]] = {
            "rows": self.rows,
            "species": self.species,
            "squared": self.squared,
            "owner": self.owner,
        }
        return {**own, **{f"moments.{name}": array for name, array in self.moments.to_arrays().items()}}

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> Part:
        """The inverse of `to_arrays`."""
        moments = {name[8:]: array for name, array in arrays.items() if name.startswith("moments.")}
        own = (np.array(arrays[name]) for name in ("rows", "species", "squared", "owner"))
        return Part(Moments.from_arrays(moments), *own)


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# Parts of all chunks of a job, in order.
Worker = Callable[[Job], Iterator[Part]]


def parts_of(job: Job, starts: Sequence[int] | None = None, threads: int = 1) -> Iterator[Part]:
    """Parts of the chunks that begin at `starts` (default: all), in this order.

    Parameters
    ----------
    starts : first atoms, of `job.starts`
    threads : threads that share the chunks; the result does not depend on it

    Raises
    ------
    InputError
        As `describe`.
    """

    def reduce(chunk: Chunk) -> Part:
        first, n = chunk.first, len(chunk.species)
        begin, end = np.searchsorted(job.picks, (first, first + n))
        chosen = job.picks[begin:end] - first
        moments = job.moments(first, chunk.rows, chunk.species)
        return Part(moments, chunk.rows[chosen], chunk.species[chosen], chunk.squared, chunk.owner)

    wanted = job.starts if starts is None else starts
    yield from map_chunks(job.structure, job.basis, reduce, wanted, job.reach, threads=threads, source=job.name)
