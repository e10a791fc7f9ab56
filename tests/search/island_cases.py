"""Islands from generation to generation, for the tests of everything that makes them."""

from __future__ import annotations

from grs_evo.search.island import advance, start
from grs_evo.search.problem import Problem
from grs_evo.search.state import IslandState


def run(problem: Problem, generations: int, island: int = 0, seed: int = 1) -> list[IslandState]:
    """The states of an island, generation 0 first."""
    states = [start(problem, island, seed)]
    for _ in range(generations):
        states.append(advance(states[-1], problem))
    return states


def same(a: IslandState, b: IslandState) -> bool:
    """Whether two states are, bit for bit."""
    mine, theirs = a.to_arrays(), b.to_arrays()
    return mine.keys() == theirs.keys() and all(
        mine[name].dtype == theirs[name].dtype and mine[name].tobytes() == theirs[name].tobytes() for name in mine
    )
