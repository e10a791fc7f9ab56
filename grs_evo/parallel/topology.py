"""Which rank owns which islands, which island sends to which, and how emigrants travel.

Which individuals leave, which make place for them, and when, is decided on the islands (`MigrantOptions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


def sources(n_islands: int, options: MigrationOptions, seed: int) -> tuple[tuple[int, ...], ...]:
    """For each island the islands it hears from, ascending, never itself."""
    every = range(n_islands)
    if options.topology == "none" or n_islands == 1 or options.emigrants == 0:
        heard: list[set[int]] = [set() for _ in every]
    elif options.topology == "ring":
        heard = [{(k - 1) % n_islands} for k in every]
    elif options.topology == "full":
        heard = [set(every) for _ in every]
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


@dataclass(frozen=True)
class Routes:
    """Which island sends to which, as one rank sees it."""

    heard: tuple[tuple[int, ...], ...]  # per island, the islands it hears from
    owned: tuple[range, ...]  # per rank
    rank: int
    interval: int
    delay: int

    @property
    def mine(self) -> range:
        return self.owned[self.rank]

    def emits(self, generation: int) -> bool:
        """Whether emigrants leave at the end of this generation."""
        return generation > 0 and generation % self.interval == 0

    def heard_by(self, rank: int) -> set[int]:
        """Islands that some island of this rank hears from."""
        return {source for island in self.owned[rank] for source in self.heard[island]}

    def senders(self) -> tuple[int, ...]:
        """Other ranks that this one hears from."""
        wanted = self.heard_by(self.rank)
        return tuple(r for r, islands in enumerate(self.owned) if r != self.rank and not wanted.isdisjoint(islands))

    def receivers(self) -> dict[int, list[int]]:
        """For each other rank that hears from this one: which of my islands it hears, ascending."""
        lists = {r: sorted(self.heard_by(r).intersection(self.mine)) for r in range(len(self.owned)) if r != self.rank}
        return {rank: islands for rank, islands in lists.items() if islands}


def pack_emigrants(
    round_: int, generation: int, emigrants: Sequence[tuple[int, Sequence[Individual]]], n_terms: int
) -> dict[str, NDArray[Any]]:
    """Emigrants of several islands, as (island they left, individuals), as named columns."""
    everybody = [one for _, group in emigrants for one in group]
    return {
        "when": np.array([round_, generation], np.int64),
        "from": np.array([island for island, group in emigrants for _ in group], np.int64),
        **pack(everybody, n_terms),
    }


def unpack_emigrants(columns: dict[str, NDArray[Any]]) -> tuple[int, int, list[tuple[int, Individual]]]:
    """(round, generation, [(island it left, individual), …])."""
    everybody = unpack(columns)
    round_, generation = (int(n) for n in columns["when"])
    return round_, generation, [(int(k), one) for k, one in zip(columns["from"], everybody, strict=True)]


def arrange(heard: Sequence[int], arrived: Sequence[tuple[int, Individual]]) -> tuple[Individual, ...]:
    """What one island receives: from the islands it hears, in their order, whoever's message came first."""
    wanted = set(heard)
    chosen = [(island, k, one) for k, (island, one) in enumerate(arrived) if island in wanted]
    return tuple(one for _, _, one in sorted(chosen, key=lambda entry: entry[:2]))
