"""A strategy from outside the package, named in the run file."""

from __future__ import annotations

from dataclasses import dataclass

from grs_evo.search.problem import Strategy


@dataclass(frozen=True)
class SearchStrategy:
    """How an island makes its next generation.

    The answer depends on its arguments alone: random numbers come from `rng`, whatever has to be remembered from one
    generation to the next stands in `Step.walk`, and new structures go through `fresh` or `evaluate`, which count them.
    """

    name: str
    act: Strategy  # (state, problem, rng, ledger) -> Step
