"""The strategies by name: those that ship, and those that a run file names as module:variable or entry point."""

from __future__ import annotations

from functools import cache

from grs_evo.plugins import Plugin, load
from grs_evo.search.problem import Strategy
from grs_evo.search.strategies.genetic import evolve, gradient
from grs_evo.search.strategies.record import SearchStrategy
from grs_evo.search.strategies.trajectory import annealing, descent, random_walk

STRATEGIES: dict[str, Strategy] = {
    "genetic": evolve,
    "gradient": gradient,
    "annealing": annealing,
    "descent": descent,
    "random_walk": random_walk,
}


def plugged(name: str) -> Plugin | None:
    """A strategy from outside the package; None for one that ships.

    Raises
    ------
    InputError
        It cannot be imported, or is something else.
    """
    return None if name in STRATEGIES else load("strategies", name, SearchStrategy, "search.strategy")


@cache
def strategy_of(name: str) -> Strategy:
    """What makes the next generation."""
    part = plugged(name)
    return STRATEGIES[name] if part is None else part.value.act
