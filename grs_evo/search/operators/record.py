"""An operator as a record: what it does, of which kind it is, how often it acts and what stops it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np

from grs_evo.errors import InputError
from grs_evo.plugins import Answer
from grs_evo.search.candidates.limits import Limits
from grs_evo.search.population.individual import STEP
from grs_evo.structures.structure import SOUND, Structure, is_sound

OperatorKind = Literal["chemical", "spatial", "fresh"]

# What files call individuals that no operator made: an operator's name must differ.
_OTHER_ORIGINS = ("random", "seed", "template", "relax", "kick", "annealing", "descent", "random_walk")
# Number of parents that each kind may take.
_PARENTS: dict[OperatorKind, tuple[int, ...]] = {"chemical": (1, 2), "spatial": (1, 2), "fresh": (0,)}


class StepSizes(Protocol):
    """How far operators go; `OperatorOptions` is one."""

    @property
    def displacement(self) -> float:
        """Standard deviation of random displacements, Å."""

    @property
    def some(self) -> float:
        """Share of atoms that displace_some moves."""

    @property
    def strain(self) -> float:
        """Standard deviation of strain components."""

    @property
    def volume_change(self) -> float:
        """Standard deviation of the relative change of volume."""

    @property
    def several(self) -> int:
        """Largest number of swaps or flips in one child."""


# (rng, parents, limits, step sizes) -> a child that keeps the limits, or None; parents are left as they are.
Act = Callable[[np.random.Generator, Sequence[Structure], Limits, StepSizes], Structure | None]
# Why an operator could never act under the limits, in a few words; None when it can.
Obstacle = Callable[[Limits], str | None]


def no_obstacle(limits: Limits) -> str | None:
    """Of an operator that only its kind can exclude."""
    return None


@dataclass(frozen=True)
class Operator:
    """One way to make a child.

    Raises
    ------
    InputError
        A name that does not fit into files or is taken by something else, a weight below 0, a number of parents that
        the kind cannot have, a fresh operator with `act` or another without.
    """

    name: str  # of its columns in the history, its weight in the run file and in `Individual.operator`
    act: Act | None  # None for kind "fresh": the child is a new candidate of the island's source
    kind: OperatorKind  # chemical: only species change; spatial: positions, cell or number of atoms; fresh: no parent
    weight: float = 1.0  # how often it acts unless told otherwise, relative to the others of its class
    obstacle: Obstacle = no_obstacle  # what stops it besides what stops its kind
    parents: int = 1  # 2: a crossover; else a mutation

    ANSWERS: ClassVar[Mapping[str, Answer]] = {
        "act": Answer(
            f"{SOUND}, or None",
            lambda child, rng, parents, limits, steps: child is None or is_sound(child, limits.n_elements),
        ),
        "obstacle": Answer("a str, or None", lambda words, limits: words is None or isinstance(words, str)),
    }

    def __post_init__(self) -> None:
        longest = STEP["operator"].itemsize
        if not (self.name.isascii() and self.name.isidentifier() and len(self.name) <= longest):
            raise InputError(
                f"operator {self.name!r}: the name must be at most {longest} letters, digits and underscores, "
                "and begin with a letter"
            )
        if self.name in _OTHER_ORIGINS:
            raise InputError(f"operator {self.name!r}: the name is taken by individuals that no operator made")
        if self.kind not in _PARENTS:
            raise InputError(f"operator {self.name}: kind is {self.kind!r}; must be one of {', '.join(_PARENTS)}")
        if self.parents not in _PARENTS[self.kind]:
            allowed = " or ".join(map(str, _PARENTS[self.kind]))
            raise InputError(f"operator {self.name}: parents is {self.parents}; a {self.kind} one has {allowed}")
        if (self.act is None) != (self.kind == "fresh"):
            raise InputError(f"operator {self.name}: act must be a function, or None for kind 'fresh' alone")
        if not (np.isfinite(self.weight) and self.weight >= 0.0):
            raise InputError(f"operator {self.name}: weight is {self.weight}; must be a finite number, 0 or more")

    @property
    def is_crossover(self) -> bool:
        return self.parents == 2

    @property
    def is_fresh(self) -> bool:
        """Whether its child has no parent: another beginning, and no move of a structure."""
        return self.kind == "fresh"

    def exclusion(self, limits: Limits) -> str | None:
        """Why it could never act under the limits; None when it can."""
        if self.kind == "chemical" and limits.n_elements == 1:
            return "one element only"
        if self.kind == "spatial" and limits.lattice:
            return "atoms stay on their sites"
        if self.kind == "chemical" and limits.molecules is not None:
            return "molecules stay whole"
        return self.obstacle(limits)
