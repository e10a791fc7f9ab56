"""How often each operator acts, and how far it goes."""

from __future__ import annotations

from pydantic import Field, field_validator

from grs_evo.errors import nearest
from grs_evo.options import Options
from grs_evo.search.operators.table import operator_names


class OperatorOptions(Options):
    """How children are made."""

    crossover: float = Field(
        default=0.4, ge=0, le=1, description="probability of crossover; else mutation, never both [1]"
    )
    spatial: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="probability that an operator is spatial and not chemical; default: 0 on a lattice, 1 with one "
        "element, else 0.5 [1]",
    )
    weights: dict[str, float] = Field(
        default={}, description="operator -> weight within its class (chemical or spatial); 0 switches it off [1]"
    )
    adaptive: bool = Field(default=False, description="let the weights follow the success of the operators")
    floor: float = Field(
        default=0.1, gt=0, le=1, description="smallest weight an operator keeps when adaptive, relative to the mean [1]"
    )
    memory: float = Field(
        default=0.9, ge=0, lt=1, description="share of the past in an adaptive weight per generation [1]"
    )
    displacement: float = Field(default=0.4, gt=0, description="standard deviation of random displacements [Å]")
    some: float = Field(default=0.25, gt=0, le=1, description="share of atoms that displace_some moves [1]")
    strain: float = Field(default=0.05, gt=0, lt=0.5, description="standard deviation of strain components [1]")
    volume_change: float = Field(default=0.04, gt=0, lt=1, description="standard deviation of the change of volume [1]")
    several: int = Field(default=4, ge=2, le=1000, description="largest number of swaps or flips in one child [1]")

    @field_validator("weights")
    @classmethod
    def _known(cls, weights: dict[str, float]) -> dict[str, float]:
        names = operator_names()
        for name, weight in weights.items():
            if name not in names:
                raise ValueError(f"{name!r} is not an operator; allowed are {', '.join(names)}" + nearest(name, names))
            if weight < 0:
                raise ValueError(f"the weight of {name} is {weight}; must be 0 or more")
        return weights
