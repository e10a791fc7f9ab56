"""The shipped runs of alloys with a sublattice and with short-range order, and icet beside where it is installed.

Each has ten CPU seconds for a cell of the run's size: this program with the run file's own options, icet by annealing
against the cluster vector of the same target, with the orbits that the run compares. Judged by the root mean squares,
over orbits of pairs, triplets and quadruplets, of how far an orbit's correlations (orthonormal point functions) are
from the target's, also as shares of that of random occupations.

    python tools/bench/alloy_runs.py --seeds 10 --seconds 10
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from alloys import ours
from ase import Atoms

from grs_evo.driver.config.run_file import parse
from grs_evo.driver.setup import by_alloy, make_problem, make_target_data
from grs_evo.structures.composition import draw_occupation
from grs_evo.structures.structure import Structure, from_atoms, to_atoms
from grs_evo.targets.clusters import Clusters, orbit_report
from grs_evo.targets.short_range_order import ordered_cell

RUNS = Path(__file__).parents[2] / "runs"
NAMES = ("sqs-tialn", "sqs-cupd")
ORDERS = ("pairs", "triplets", "quadruplets")


def prepared(name: str) -> tuple[Any, Any, Clusters]:
    folder = RUNS / name
    run, _ = by_alloy(parse((folder / "run.toml").read_text(), "run.toml"), folder)
    problem = make_problem(run, make_target_data(run, folder), folder)
    clusters = next(one.state[0] for one in problem.objective.added if one.term.name == "clusters")
    return run, problem, clusters


def judge_of(clusters: Clusters, elements: tuple[str, ...]) -> Callable[[Structure], dict[str, float]]:
    def judge(one: Structure) -> dict[str, float]:
        rows = orbit_report(clusters, one, elements, "")
        return {
            order: float(np.sqrt(np.mean([row["deviation"] ** 2 for row in rows if row["clusters"] == order])))
            for order in ORDERS
            if any(row["clusters"] == order for row in rows)
        }

    return judge


def icet(
    clusters: Clusters, elements: tuple[str, ...], template: Atoms, counts: dict[str, int], seeds: int, seconds: float
) -> list[Atoms]:
    """Its annealing with the steps that fit into the time."""
    from icet import ClusterSpace
    from icet.input_output.logging_tools import set_log_config
    from icet.tools.structure_generation import (
        generate_sqs_from_supercells,
        generate_target_structure_from_supercells,
    )

    set_log_config(level="ERROR")
    alloy = clusters.alloy
    symbols = [[elements[e] for e in np.flatnonzero(row > 0)] for row in alloy.fractions]
    parent = Atoms([one[0] for one in symbols], scaled_positions=alloy.sites, cell=alloy.cell, pbc=True)
    reach = [max((one.radius for one in clusters.orbits if one.order == k), default=0.0) for k in (2, 3, 4)]
    cutoffs = [radius + 1e-3 for radius in reach if radius]
    space = ClusterSpace(parent, cutoffs, symbols)
    mixed = sorted({symbol for one in symbols if len(one) > 1 for symbol in one})
    total = sum(counts[symbol] for symbol in mixed)
    shares = {symbol: counts[symbol] / total for symbol in mixed}
    options: dict[str, Any] = {"target_concentrations": {"A": shares} if len(set(map(tuple, symbols))) > 1 else shares}
    make = generate_sqs_from_supercells
    if len(alloy.orders):
        make = generate_target_structure_from_supercells
        options["target_cluster_vector"] = space.get_cluster_vector(to_atoms(ordered_cell(alloy)[0], elements))
    begun = time.process_time()
    make(space, [template.copy()], n_steps=1000, random_seed=0, **options)
    steps = int(1000 * seconds / (time.process_time() - begun))
    return [make(space, [template.copy()], n_steps=steps, random_seed=k, **options) for k in range(seeds)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=10.0, help="CPU seconds of each search")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    for name in NAMES:
        prepared(name)  # compiles
        begun = time.process_time()
        run, problem, clusters = prepared(name)
        print(f"{name}: set-up {time.process_time() - begun:.2f} s", flush=True)
        lattice, limits, elements = problem.lattices[0], problem.limits(0), problem.elements
        judge, rng = judge_of(clusters, elements), np.random.default_rng(0)
        drawn = [
            lattice.structure(draw_occupation(rng, limits.composition, limits.allowed, lattice.n_sites))  # type: ignore[arg-type]
            for _ in range(20)
        ]
        found = {"grs_evo": [ours(lattice, problem, run.search.walk, k, given.seconds) for k in range(given.seeds)]}
        if importlib.util.find_spec("icet"):
            counts = dict(zip(elements, drawn[0].counts(len(elements)).tolist(), strict=True))
            made = icet(clusters, elements, to_atoms(drawn[0], elements), counts, given.seeds, given.seconds)
            found["icet"] = [from_atoms(one, elements) for one in made]
        random = [judge(one) for one in drawn]
        for program, cells in found.items():
            judged = [judge(one) for one in cells]
            medians = {order: float(np.median([one[order] for one in judged])) for order in judged[0]}
            shares = {order: x / float(np.median([one[order] for one in random])) for order, x in medians.items()}
            print(
                f"  {program}: " + ", ".join(f"{k} {x:.4f} ({shares[k]:.2f})" for k, x in medians.items()), flush=True
            )


if __name__ == "__main__":
    main()
