"""A strategy from outside the package, named in the run file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from grs_evo.plugins import Answer
from grs_evo.search.population.individual import Individual
from grs_evo.search.problem import Step, Strategy


@dataclass(frozen=True)
class SearchStrategy:
    """How an island makes its next generation.

    The answer depends on its arguments alone: random numbers come from `rng`, whatever has to be remembered from one
    generation to the next stands in `Step.walk`, and new structures go through `fresh` or `evaluate`, which count them.
    """

    name: str
    act: Strategy  # (state, problem, rng, ledger) -> Step

    ANSWERS: ClassVar[Mapping[str, Answer]] = {
        "act": Answer(
            "a grs_evo.search.problem.Step with a population of at least one Individual",
            lambda step, *_: _is_step(step),
        )
    }


def _is_step(given: Any) -> bool:
    if not isinstance(given, Step) or not len(given.population):
        return False
    arrays = (given.seen, given.rates, *given.walk.values()) if isinstance(given.walk, Mapping) else (None,)
    return all(isinstance(one, Individual) for one in (*given.population, *given.found)) and all(
        isinstance(one, np.ndarray) for one in arrays
    )
