"""Residual against symmetry-distinct displacements, in one run with one front, and the best cell without symmetry.

Equiatomic fcc alloys, defaults of an alloy, twenty shapes. Compared with annealing without symmetry in as many CPU
seconds, by the run's own anneals and by ten times longer ones: the lower residual is the reference.

    python tools/bench/symmetric.py --elements Au,Cu --sites 64 --seconds 60 --seeds 3
"""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
from ase.build import bulk

from grs_evo.driver.config.from_alloy import AlloyCell, with_alloy_defaults
from grs_evo.driver.config.run_file import parse
from grs_evo.driver.setup import make_problem, make_target_data
from grs_evo.search.island import advance, start
from grs_evo.search.operators.lattice_moves import make_moves
from grs_evo.search.population.archive import objectives
from grs_evo.search.strategies.lattice_chain import advance_chain, chain_options, new_chain

A = 3.6
NAMES = ("value", "displacements", "elongation")


def problem_of(elements: list[str], sites: int, shapes: int) -> Any:
    composition = ", ".join(f"{one} = {1 / len(elements)!r}" for one in elements)
    text = f"""
[target.alloy]
lattice = "fcc"
a = {A}
composition = {{{composition}}}
[candidates]
sizes = [{sites}, {sites}]
shapes = {shapes}
[search]
islands = 1
population = 4
strategy = "annealing"
[search.walk]
evaluations = 3000
steps = 10000
symmetric = 0.9
[archive]
objectives = ["value", "displacements", "elongation"]
"""
    parent = AlloyCell(bulk("Cu", "fcc", a=A).cell[:], np.zeros((1, 3)), "")
    run, _ = with_alloy_defaults(parse(text, "run.toml"), parent)
    return run, make_problem(run, make_target_data(run, Path()), Path())


def front(problem: Any, seed: int, seconds: float) -> list[list[float]]:
    """The front of value, displacements and elongation after some CPU seconds."""
    state, end = start(problem, 0, seed), time.process_time() + seconds
    while time.process_time() < end:
        state = advance(state, problem)
    found: list[list[float]] = objectives(state.archive, NAMES, problem.term_names).tolist()
    return sorted(found, key=lambda row: (row[1], row[0]))


def without_symmetry(run: Any, problem: Any, seed: int, seconds: float, steps: int) -> float:
    lattice, rng = problem.lattices[0], np.random.default_rng(seed)
    moves = make_moves(lattice, problem.limits(0).composition)
    options = chain_options("annealing", run.search.walk)._replace(steps=steps)
    chain, end = new_chain(moves, options, 1), time.process_time() + seconds
    while time.process_time() < end:
        chain, _ = advance_chain(chain, lattice, moves, options, rng, 5000)
    return float(chain.elite_values[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--elements", default="Au,Cu")
    parser.add_argument("--sites", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0, help="CPU seconds of each search")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shapes", type=int, default=20)
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    elements, most = given.elements.split(","), 3 * given.sites
    run, problem = problem_of(elements, given.sites, given.shapes)
    advance(start(problem, 0, 99), problem)  # compiles
    for seed in range(given.seeds):
        plain = [without_symmetry(run, problem, seed, given.seconds, steps) for steps in (10_000, 100_000)]
        print(f"{given.elements} {given.sites} sites, seed {seed}: without symmetry {plain[0]:.5f}, {plain[1]:.5f}")
        lowest = np.inf
        for value, displacements, elongation in front(problem, seed, given.seconds):
            if value < lowest:
                lowest = value
                told = f"{displacements:.0f} of {most} displacements ({displacements / most:.3f})"
                print(f"  {told}: {value / min(plain):.3f} of the residual, elongation {elongation:.2f}", flush=True)


if __name__ == "__main__":
    main()
