"""What islands search, and what an island is between two generations: data only, no behaviour beyond packing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from grs_evo.search.counters import Ledger
from grs_evo.search.population.individual import Individual
from grs_evo.search.state import IslandState
from grs_evo.structures.structure import Structure

if TYPE_CHECKING:
    from grs_evo.search.candidates.limits import Limits
    from grs_evo.search.candidates.source import Source
    from grs_evo.search.options import IslandOptions, MigrantOptions
    from grs_evo.search.population.archive import ArchiveOptions


class ObjectiveLike(Protocol):
    """What the search needs of a loss; `loss.Objective` is one."""

    @property
    def term_names(self) -> tuple[str, ...]: ...

    def evaluate(self, structure: Structure) -> Any:
        """An object with `value`, `terms` (n_terms,) and `ok`."""


class LatticeLike(Protocol):
    """What the search needs of a loss on fixed sites; `lattice.LatticeObjective` is one."""

    def evaluate(self, occupations: NDArray[np.int32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(k, n_sites) species -> values (k,), terms (k, n_terms)."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Everything a generation depends on besides the island's own state. Never changed while a round lasts."""

    elements: tuple[str, ...]
    objective: Any  # ObjectiveLike
    islands: tuple[IslandOptions, ...]  # one per island of the run
    sources: tuple[Source, ...]  # one per island; islands with equal candidates share one object
    lattices: tuple[Any | None, ...]  # LatticeLike or None, one per island
    archive: ArchiveOptions
    migration: MigrantOptions
    relax: Any | None = None  # relax.RelaxOptions
    notes: tuple[str, ...] = ()  # what cannot come about as asked for, for the log

    @property
    def n_islands(self) -> int:
        return len(self.islands)

    @property
    def term_names(self) -> tuple[str, ...]:
        return tuple(self.objective.term_names)

    def limits(self, island: int) -> Limits:
        return self.sources[island].limits


class Step(NamedTuple):
    """What a strategy makes of an island in one generation."""

    population: list[Individual]
    found: list[Individual]  # newly evaluated; offered to the archive (the population may hold others besides)
    seen: NDArray[np.uint64]  # content keys evaluated so far, oldest first
    walk: Mapping[str, NDArray]  # whatever arrays the strategy needs to go on
    rates: NDArray[np.float64]  # (n_operators,) adaptive operator weights


# A strategy: (state, problem, rng, ledger) -> Step. `state.population` already holds the immigrants.
Strategy = Callable[["IslandState", Problem, np.random.Generator, Ledger], Step]
