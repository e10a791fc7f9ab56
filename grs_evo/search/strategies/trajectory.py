"""One structure at a time: annealing, descent, random walk, each generation a number of evaluations.

On fixed sites a generation runs inside compiled code, on flips and swaps with incremental losses (`lattice_chain`);
elsewhere the moves are the mutations of `operators` (`walk`). Both stop and go on at any generation with the same
result. Every candidate loss counts as one evaluation, the calibration of the temperature and all restarts included.
"""

from __future__ import annotations

import numpy as np

from grs_evo.search.counters import Ledger
from grs_evo.search.options import Kind
from grs_evo.search.problem import Problem, Step
from grs_evo.search.state import IslandState
from grs_evo.search.strategies.lattice_chain import advance_on_lattice
from grs_evo.search.strategies.walk import advance_walk


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
    lattice = problem.lattices[state.island]
    if lattice is not None:
        return advance_on_lattice(kind, state, problem, lattice, rng, ledger)
    return advance_walk(kind, state, problem, rng, ledger)
