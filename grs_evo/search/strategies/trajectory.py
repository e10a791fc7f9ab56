"""One structure at a time: annealing, descent, random walk, on fixed sites or off them."""

from __future__ import annotations

import numpy as np

from grs_evo.search.counters import Ledger
from grs_evo.search.options import Kind
from grs_evo.search.problem import Problem, Step
from grs_evo.search.state import IslandState
from grs_evo.search.strategies.lattice_chain import _on_lattice
from grs_evo.search.strategies.walk import _off_lattice


def annealing(state: IslandState, problem: Problem, rng: np.random.Generator, ledger: Ledger) -> Step:
    """One generation of simulated annealing (eq. 17) with restarts."""
    return _step("annealing", state, problem, rng, ledger)


def descent(state: IslandState, problem: Problem, rng: np.random.Generator, ledger: Ledger) -> Step:
    """One generation of first or best improvement with restarts."""
    return _step("descent", state, problem, rng, ledger)


def random_walk(state: IslandState, problem: Problem, rng: np.random.Generator, ledger: Ledger) -> Step:
    """One generation of a random walk that never restarts; the best seen are kept."""
    return _step("random_walk", state, problem, rng, ledger)


def _step(kind: Kind, state: IslandState, problem: Problem, rng: np.random.Generator, ledger: Ledger) -> Step:
    ledger.check()
    if problem.lattices[state.island] is not None:
        return _on_lattice(kind, state, problem, rng, ledger)
    return _off_lattice(kind, state, problem, rng, ledger)
