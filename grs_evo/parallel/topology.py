"""Which rank owns which islands, which island sends to which, and how emigrants travel.

Which individuals leave, which make place for them, and when, is decided on the islands (`MigrantOptions`).
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from grs_evo.errors import InputError
from grs_evo.search.options import MigrantOptions
from grs_evo.search.population.individual import Individual, pack, unpack

Topology = Literal["ring", "torus", "full", "random", "none"]
# Keeps the stream that draws the map apart from those of the islands, whose keys are small numbers.
_MAP_KEY = 2**32 - 1
# Work that is not worth a move, over the mean of the ranks.
_LEAST = 1e-3


class MigrationOptions(MigrantOptions):
    """How individuals travel between islands."""

    topology: Topology = Field(
        default="ring",
        description="who sends to whom: ring, torus (four neighbours), full, random (a seeded regular map), none",
    )
    degree: int = Field(default=3, ge=1, le=1000, description="islands that each one hears from, topology random [1]")
    delay: int = Field(
        default=2,
        ge=1,
        le=1000,
        description="generations until emigrants arrive and verdicts take effect [generations]",
    )


def shares(n_islands: int, n_ranks: int) -> tuple[range, ...]:
    """The islands of each rank: contiguous, and as even as can be.

    Raises
    ------
    InputError
        More ranks than islands: an island is not divided, so a spare rank would only wait.
    """
    if n_ranks > n_islands:
        raise InputError(
            f"islands: {n_islands} of them cannot be shared by {n_ranks} ranks, a rank needs one at least; "
            f"start at most {n_islands} ranks or set search.islands to {n_ranks} or more"
        )
    edges = [n_islands * rank // n_ranks for rank in range(n_ranks + 1)]
    return tuple(range(start, stop) for start, stop in pairwise(edges))


def balanced(
    work: NDArray[np.float64],
    n_ranks: int,
    owner: NDArray[np.int32] | None = None,
    besides: NDArray[np.float64] | None = None,
) -> NDArray[np.int32]:
    """A rank for each island so that the ranks' work is even, (n_islands,); each rank has one island at least.

    Parameters
    ----------
    work : (n_islands,) of each island, in any unit
    owner : (n_islands,) the ranks they have now, from which as few as may be are moved; None: they have none, and begin
        with the largest first, each to the rank that has least (Graham, SIAM J. Appl. Math. 17, 416 (1969))
    besides : (n_ranks,) work that each rank has anyway; may be negative
    """
    work = np.maximum(work, 1e-9 * max(work.max(), 1e-300))
    if owner is None:
        owner = np.empty(len(work), np.int32)
        loads = [(0.0, rank) for rank in range(n_ranks)]
        for island in np.argsort(-work, kind="stable"):
            so_far, rank = loads[0]
            owner[island] = rank
            heapq.heapreplace(loads, (so_far + float(work[island]), rank))
    owner = owner.copy()
    load = np.bincount(owner, work, n_ranks) + (np.zeros(n_ranks) if besides is None else besides)
    least = _LEAST * float(work.sum()) / n_ranks
    for _ in range(4 * len(work)):
        if not _relieve(work, owner, load, least):
            break
    return owner


def idle_share(work: NDArray[np.float64], owner: NDArray[np.int32], n_ranks: int) -> float:
    """Share of the ranks' time in which they wait for the one with most work."""
    load = np.bincount(owner, work, n_ranks)
    return float(1.0 - load.mean() / load.max()) if load.max() > 0.0 else 0.0


def _relieve(work: NDArray[np.float64], owner: NDArray[np.int32], load: NDArray[np.float64], least: float) -> bool:
    """Move an island from the rank with most work to another, or exchange two; whether that relieved it by `least`.

    Of two ranks whose work differs by d, what is best moved is d / 2.
    """
    high = int(load.argmax())
    ours = np.flatnonzero(owner == high)
    for low in np.argsort(load, kind="stable"):
        wanted = 0.5 * (load[high] - load[low])
        if wanted < least:
            return False
        theirs = np.flatnonzero(owner == low)
        theirs = theirs[np.argsort(work[theirs], kind="stable")]
        # what may come back for an island: nothing, or the island whose work is nearest to the difference
        place = np.searchsorted(work[theirs], work[ours] - wanted).clip(0, len(theirs) - 1)
        back = np.concatenate([theirs[place], theirs[np.maximum(place - 1, 0)], np.full(len(ours), -1)])
        there = np.tile(ours, 3)
        moved = work[there] - np.where(back < 0, 0.0, work[back])
        if len(ours) == 1:
            moved[back < 0] = 0.0
        best = int(np.abs(moved - wanted).argmin())
        if not least < moved[best] < 2.0 * wanted - least:
            continue
        owner[there[best]] = low
        if back[best] >= 0:
            owner[back[best]] = high
        load[high] -= moved[best]
        load[low] += moved[best]
        return True
    return False


@dataclass(frozen=True)
class Others:
    """All islands but one; a map of N islands that all hear each other takes N of these and not N² numbers."""

    n_islands: int
    island: int

    def __len__(self) -> int:
        return self.n_islands - 1

    def __contains__(self, other: object) -> bool:
        return isinstance(other, int) and 0 <= other < self.n_islands and other != self.island

    def __iter__(self) -> Iterator[int]:
        return (k for k in range(self.n_islands) if k != self.island)


def sources(n_islands: int, options: MigrationOptions, seed: int) -> tuple[Collection[int], ...]:
    """For each island the islands it hears from, ascending, never itself."""
    every = range(n_islands)
    if options.topology == "none" or n_islands == 1 or options.emigrants == 0:
        return tuple(() for _ in every)
    if options.topology == "full":
        return tuple(Others(n_islands, k) for k in every)
    if options.topology == "ring":
        heard = [{(k - 1) % n_islands} for k in every]
    elif options.topology == "torus":
        heard = _torus(n_islands)
    else:
        heard = _random_regular(n_islands, options.degree, seed)
    return tuple(tuple(sorted(one - {k})) for k, one in enumerate(heard))


def _torus(n_islands: int) -> list[set[int]]:
    n_rows = next(r for r in range(int(np.sqrt(n_islands)), 0, -1) if n_islands % r == 0)
    n_columns = n_islands // n_rows
    heard = []
    for k in range(n_islands):
        row, column = divmod(k, n_columns)
        heard.append(
            {
                (row + down) % n_rows * n_columns + (column + right) % n_columns
                for down, right in ((1, 0), (-1, 0), (0, 1), (0, -1))
            }
        )
    return heard


def _random_regular(n_islands: int, degree: int, seed: int) -> list[set[int]]:
    """Everybody sends to `degree` others and hears from `degree` others; connected, since one of the shifts is 1."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_MAP_KEY,)))
    order = rng.permutation(n_islands)
    far = rng.permutation(np.arange(2, n_islands))[: max(0, min(degree, n_islands - 1) - 1)]
    heard: list[set[int]] = [set() for _ in range(n_islands)]
    for place, island in enumerate(order):
        heard[island] = {int(order[(place - shift) % n_islands]) for shift in (1, *far)}
    return heard


@dataclass(frozen=True, eq=False)
class Routes:
    """Which island sends to which, as one rank sees it."""

    heard: Sequence[Collection[int]]  # per island, the islands it hears from, ascending
    owner: NDArray[np.int32]  # (n_islands,) the rank of each
    rank: int
    interval: int
    delay: int

    def moved(self, owner: NDArray[np.int32]) -> Routes:
        """The same with other ranks."""
        return replace(self, owner=owner)

    @cached_property
    def mine(self) -> tuple[int, ...]:
        return tuple(np.flatnonzero(self.owner == self.rank).tolist())

    def emits(self, generation: int) -> bool:
        """Whether emigrants leave at the end of this generation."""
        return generation > 0 and generation % self.interval == 0

    def receivers(self, islands: Iterable[int] | None = None) -> dict[int, list[int]]:
        """For each rank that hears from some islands: which of them, ascending; of this rank's islands by default."""
        sending = np.zeros(len(self.owner), np.bool_)
        sending[list(self.mine if islands is None else islands)] = True
        found: dict[int, set[int]] = {}
        if self._all_hear_all:
            every = np.flatnonzero(sending).tolist()
            for rank in np.unique(self.owner).tolist():
                hearing = np.flatnonzero(self.owner == rank).tolist()
                found[rank] = set(every) - (set(hearing) if len(hearing) == 1 else set())
        else:
            ears, heard = self._edges
            used = sending[heard]
            for rank, source in zip(self.owner[ears[used]].tolist(), heard[used].tolist(), strict=True):
                found.setdefault(rank, set()).add(source)
        return {rank: sorted(found[rank]) for rank in sorted(found) if found[rank]}

    @property
    def _all_hear_all(self) -> bool:
        return isinstance(self.heard[0], Others)

    @cached_property
    def _edges(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pairs of an island and one that it hears from."""
        ears = np.repeat(np.arange(len(self.heard)), [len(one) for one in self.heard])
        return ears, np.array([source for one in self.heard for source in one], np.int64)


def pack_emigrants(
    round_: int, generation: int, emigrants: Mapping[int, Sequence[Individual]], n_terms: int
) -> dict[str, NDArray[Any]]:
    """Emigrants of several islands, by the island they left, as named columns."""
    everybody = [one for group in emigrants.values() for one in group]
    return {
        "when": np.array([round_, generation], np.int64),
        "from": np.array(list(emigrants), np.int64),
        "counts": np.array([len(group) for group in emigrants.values()], np.int64),
        **pack(everybody, n_terms),
    }


def unpack_emigrants(columns: dict[str, NDArray[Any]]) -> tuple[int, int, dict[int, tuple[Individual, ...]]]:
    """(round, generation, emigrants by the island they left)."""
    everybody = iter(unpack(columns))
    round_, generation = (int(n) for n in columns["when"])
    groups = zip(columns["from"].tolist(), columns["counts"].tolist(), strict=True)
    return round_, generation, {island: tuple(next(everybody) for _ in range(count)) for island, count in groups}


def arrange(heard: Collection[int], arrived: Mapping[int, Sequence[Individual]]) -> tuple[Individual, ...]:
    """What one island receives: from the islands it hears, in their order, whoever's message came first."""
    return tuple(one for source in heard for one in arrived.get(source, ()))
