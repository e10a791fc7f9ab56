"""What a generation depends on besides its island's state, and what a strategy returns: data only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.loss.lattice import LatticeObjective
from grs_evo.loss.objective import Objective
from grs_evo.potential.relaxation import RelaxOptions
from grs_evo.search.candidates.limits import Limits
from grs_evo.search.candidates.source import Source
from grs_evo.search.counters import Ledger
from grs_evo.search.options import IslandOptions, MigrantOptions
from grs_evo.search.population.archive import ArchiveOptions
from grs_evo.search.population.individual import Individual
from grs_evo.search.state import IslandState


@dataclass(frozen=True, eq=False)
class Problem:
    """Everything a generation depends on besides the island's own state. Never changed while a round lasts."""

    elements: tuple[str, ...]
    objective: Objective
    islands: tuple[IslandOptions, ...]  # one per island of the run
    sources: tuple[Source, ...]  # one per island; islands with equal candidates share one object
    lattices: tuple[LatticeObjective | None, ...]  # one per island; None where atoms move or sites are too many
    archive: ArchiveOptions
    migration: MigrantOptions
    relax: RelaxOptions | None = None
    notes: tuple[str, ...] = ()  # what cannot come about as asked for, for the log

    @property
    def n_islands(self) -> int:
        return len(self.islands)

    @property
    def term_names(self) -> tuple[str, ...]:
        return self.objective.term_names

    def limits(self, island: int) -> Limits:
        return self.sources[island].limits


class Step(NamedTuple):
    """What a strategy makes of an island in one generation."""

    population: list[Individual]
    found: list[Individual]  # newly evaluated; offered to the archive (the population may hold others besides)
    seen: NDArray[np.uint64]  # content keys evaluated so far, oldest first
    walk: Mapping[str, NDArray[Any]]  # whatever arrays the strategy needs to go on
    rates: NDArray[np.float64]  # (n_operators,) adaptive operator weights


# A strategy: (state, problem, rng, ledger) -> Step. `state.population` already holds the immigrants.
Strategy = Callable[[IslandState, Problem, np.random.Generator, Ledger], Step]
