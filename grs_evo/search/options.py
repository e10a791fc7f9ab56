"""Options of islands, strategies, selection and migration."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, field_validator
from pydantic_core import PydanticKnownError

from grs_evo.options import Options
from grs_evo.plugins import entry_points
from grs_evo.search.candidates.source import CandidateOptions
from grs_evo.search.operators.options import OperatorOptions


class GeneticOptions(Options):
    """How a generation follows from the one before."""

    elite: int = Field(default=2, ge=0, le=10_000, description="best individuals that live on (generational) [1]")
    survival: Literal["generational", "plus"] = Field(
        default="generational",
        description="generational: children replace all but the elite; plus: the best of parents and children live on "
        "(NSGA-II always does so)",
    )
    children: int | None = Field(
        default=None, ge=1, le=100_000, description="new individuals per generation (plus); default: the population [1]"
    )
    repeats: int = Field(
        default=20, ge=0, le=1000, description="tries to make a child that was not evaluated before [1]"
    )
    memory: int = Field(
        default=100_000, ge=0, le=10_000_000, description="evaluated structures remembered against repeats [1]"
    )
    relaxed: float = Field(
        default=1.0, ge=0, le=1, description="share of new individuals that are relaxed, when relaxation is on [1]"
    )
    passes: int = Field(
        default=0, ge=0, le=100, description="first-improvement passes over each new individual's sites (lattice) [1]"
    )


Shipped = Literal["genetic", "gradient", "annealing", "descent", "random_walk"]
Kind = Literal["annealing", "descent", "random_walk"]


class WalkOptions(Options):
    """How annealing, descent and random walks move."""

    evaluations: int = Field(
        default=500, ge=1, le=1_000_000_000, description="evaluations of one generation [evaluations]"
    )
    enough: float | None = Field(
        default=None, description="a loss at which a chain starts anew, in the loss's own units; default: none [1]"
    )
    steps: int = Field(default=300, ge=1, description="annealing: length of one anneal before a restart [evaluations]")
    t_start: float | None = Field(
        default=None, gt=0, description="annealing: first temperature; default: from the loss differences seen [loss]"
    )
    t_share: float = Field(
        default=0.3, gt=0, description="annealing: first temperature over the median loss difference [1]"
    )
    t_end: float = Field(default=0.03, gt=0, le=1, description="annealing: last temperature over the first [1]")
    calibration: int = Field(
        default=10, ge=1, le=10_000, description="annealing: loss differences seen before the first anneal [1]"
    )
    improvement: Literal["first", "best"] = Field(
        default="first", description="descent: take the first move that improves, or the best of all"
    )
    accept: Literal["always", "better"] = Field(
        default="always", description="random_walk: take every move (unbiased), or those that improve"
    )
    several: float = Field(
        default=0.0, ge=0, le=1, description="probability of several moves at once (annealing, random_walk) [1]"
    )
    at_once: int = Field(default=4, ge=2, le=1000, description="largest number of moves at once [1]")
    symmetric: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of generations that keep a random part of the sites' symmetry, for cells with few "
        "displacements (annealing and descent on sites at fixed composition) [1]",
        json_schema_extra={"written": "when given"},
    )
    kick: int = Field(
        default=0, ge=0, le=1000, description="random moves from the best so far at a restart; 0: a fresh candidate [1]"
    )
    patience: int = Field(
        default=200, ge=1, description="descent off the lattice: failures in a row before a restart [evaluations]"
    )
    sample: int = Field(
        default=30, ge=1, description="best improvement off the lattice: moves of which the best is taken [evaluations]"
    )


class SelectionOptions(Options):
    """How parents are chosen."""

    kind: Literal["tournament", "nsga2"] = Field(
        default="tournament", description="tournament on the loss, or NSGA-II on the archive's objectives"
    )
    tournament: int = Field(default=4, ge=1, le=1000, description="contestants of a tournament [1]")


class MigrantOptions(Options):
    """What an island sends, and which of its individuals immigrants replace."""

    emigrants: int = Field(default=2, ge=0, le=10_000, description="individuals sent each time [1]")
    interval: int = Field(default=5, ge=1, description="generations between emissions [generations]")
    delay: int = Field(default=1, ge=1, le=1000, description="generations until emigrants arrive [generations]")
    choice: Literal["best", "random", "tournament"] = Field(default="best", description="who leaves (as a copy)")
    replace: Literal["worst", "random", "similar"] = Field(
        default="worst", description="who makes room for a guest: similar is the one nearest in its loss terms"
    )


class IslandOptions(Options):
    """How one island searches."""

    strategy: Shipped | str = Field(default="genetic", description="how the next generation is made")
    population: int = Field(default=50, ge=1, le=100_000, description="individuals of the island [1]")
    candidates: CandidateOptions | None = Field(default=None, description="this island's own candidates, or the run's")
    genetic: GeneticOptions = GeneticOptions()
    walk: WalkOptions = WalkOptions()
    operators: OperatorOptions = OperatorOptions()
    selection: SelectionOptions = SelectionOptions()
    carried: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of a population, its best, that goes on into the next round of a set, evaluated anew [1]",
    )
    collapse: float = Field(
        default=0.1, ge=0, le=1, description="diversity below which a population counts as collapsed [1]"
    )
    patience: int = Field(default=5, ge=1, description="generations of collapse before a refresh [generations]")
    refresh: float = Field(
        default=0.0, ge=0, le=1, description="share of a collapsed population replaced by new candidates; 0: never [1]"
    )

    @field_validator("strategy")
    @classmethod
    def _known(cls, name: str) -> str:
        """One that ships, or one from outside: module:variable or the name of an entry point."""
        if name in get_args(Shipped) or ":" in name or name in entry_points("strategies"):
            return name
        *most, last = (repr(one) for one in (*get_args(Shipped), "module:variable"))
        raise PydanticKnownError("literal_error", {"expected": f"{', '.join(most)} or {last}"})

    @property
    def is_plugged(self) -> bool:
        """Whether the strategy is from outside the package."""
        return self.strategy not in get_args(Shipped)

    def moves_by_operators(self, on_sites: bool) -> bool:
        """Whether it makes its structures by the mutations and crossovers of `operators`.

        Fresh candidates need none; compiled walks on fixed sites and strategies from outside have moves of their own.
        """
        return self.strategy == "genetic" or (self.strategy in get_args(Kind) and not on_sites)
