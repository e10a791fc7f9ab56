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

# µs on a usual core, as far as it decides who gets which islands at first (they are measured soon): what an individual
# takes besides its evaluations; an atom in an evaluation, and what each descriptor function adds; a flip on a lattice
# for each function; a gradient over a value.
_INDIVIDUAL = 150.0
_ATOM, _ATOM_FUNCTION = 1.0, 0.002
_FLIP_FUNCTION = 0.02
_GRADIENT = 1.3


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

    def expected_work(self) -> NDArray[np.float64]:
        """(n_islands,) µs of a generation of each island, roughly; before anything was measured."""
        known: dict[tuple[int, int], float] = {}
        return np.array(
            [
                known.setdefault((id(options), id(source)), self._expected_work(island))
                for island, (options, source) in enumerate(zip(self.islands, self.sources, strict=True))
            ]
        )

    def _expected_work(self, island: int) -> float:
        options, functions = self.islands[island], self.objective.basis.n_desc
        walks = options.strategy in ("annealing", "descent", "random_walk")
        count = options.genetic.children or options.population
        if self.lattices[island] is not None:
            evaluation = _FLIP_FUNCTION * functions
            return options.walk.evaluations * evaluation if walks else count * (_INDIVIDUAL + evaluation)
        evaluation = float(np.mean(self.limits(island).sizes)) * (_ATOM + _ATOM_FUNCTION * functions)
        relaxed = 0.0 if self.relax is None else options.genetic.relaxed
        most = 1 if self.relax is None else self.relax.max_evaluations
        each = 1.0 - relaxed + relaxed * most  # evaluations of an individual
        slowed = 1.0 + relaxed * (_GRADIENT - 1.0)
        if walks:
            count = max(1, round(options.walk.evaluations / each))
        return count * (_INDIVIDUAL + each * slowed * evaluation)


class Step(NamedTuple):
    """What a strategy makes of an island in one generation."""

    population: list[Individual]
    found: list[Individual]  # newly evaluated; offered to the archive (the population may hold others besides)
    seen: NDArray[np.uint64]  # content keys evaluated so far, oldest first
    walk: Mapping[str, NDArray[Any]]  # whatever arrays the strategy needs to go on
    rates: NDArray[np.float64]  # (n_operators,) adaptive operator weights


# A strategy: (state, problem, rng, ledger) -> Step. `state.population` already holds the immigrants.
Strategy = Callable[[IslandState, Problem, np.random.Generator, Ledger], Step]
