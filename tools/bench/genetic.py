"""Seeds solved, generations, evaluations and time of the genetic search, plain and memetic: L1_2 AuCu3 on 32 sites.

    python tools/bench/genetic.py                       # 50 seeds, cutoffs 4.6 and 6.0 Å, free and fixed composition
    python tools/bench/genetic.py --seeds 10 --cutoff 4.6

A seed is solved by a candidate whose scaled loss is at most 1e-6. Evaluations count every candidate loss up to that
one, the incremental ones of local passes included. Seconds are processor time of the search alone.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
from ase.build import bulk

from grs_evo.descriptors.basis import build_basis
from grs_evo.loss.lattice import make_lattice_objective, reference_structures
from grs_evo.loss.objective import make_objective
from grs_evo.loss.options import LossOptions
from grs_evo.search.candidates.binding import bind
from grs_evo.search.candidates.source import CandidateOptions
from grs_evo.search.island import advance, start
from grs_evo.search.options import GeneticOptions, IslandOptions, MigrantOptions
from grs_evo.search.population.archive import ArchiveOptions
from grs_evo.search.problem import Problem
from grs_evo.structures.structure import from_atoms
from grs_evo.targets.target import Target

ELEMENTS = ("Au", "Cu")
ENOUGH = 1e-6
VARIANTS = {
    "genetic, 50": IslandOptions(),
    "memetic, 20": IslandOptions(population=20, genetic=GeneticOptions(passes=2)),
}


def problem_of(cutoff: float, composition: str, objectives: tuple[str, ...] = ("mean",)) -> Problem:
    """Au-Cu on 32 sites; with a second objective, the variance, the loss has variances too."""
    crystal = bulk("Cu", a=3.75, cubic=True)
    crystal.symbols[0] = "Au"
    target = from_atoms(crystal, ELEMENTS)
    basis = build_basis(ELEMENTS, cutoff=cutoff)
    source = bind(CandidateOptions(composition=composition), ELEMENTS, [target])
    sites = source.templates[0]
    reference = reference_structures(sites, 2, source.limits.composition)
    loss = LossOptions(variance=float(len(objectives) - 1), scale="whitened")
    objective = make_objective(basis, Target.from_structures([target], basis), loss, reference=reference)
    lattice = make_lattice_objective(objective, sites)
    archive = ArchiveOptions(objectives=objectives)
    return Problem(ELEMENTS, objective, (IslandOptions(),), (source,), (lattice,), archive, MigrantOptions(emigrants=0))


def solve(problem: Problem, seed: int, most: int) -> tuple[int, int] | None:
    """Generations and evaluations until the order was found; None when it was not within `most` generations."""
    state = start(problem, 0, seed)
    while True:
        found = [one.evaluation for one in (*state.population, *state.archive) if one.value <= ENOUGH]
        if found:
            return state.generation, min(found)
        if state.generation >= most:
            return None
        state = advance(state, problem)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--cutoff", type=float, nargs="*", default=[4.6, 6.0])
    parser.add_argument("--generations", type=int, default=80, help="given up after so many")
    options = parser.parse_args()
    print(
        f"{'':16}{'composition':14}{'cutoff':8}{'solved':>10}{'generations':>13}{'median':>9}{'p90':>9}{'ms/seed':>9}"
    )
    for cutoff in options.cutoff:
        for composition in ("free", "target"):
            problem = problem_of(cutoff, composition)
            for name, island in VARIANTS.items():
                case = replace(problem, islands=(island,))
                solve(case, 10**6, 1)  # compiled from here on
                began = time.process_time()
                results = [solve(case, seed, options.generations) for seed in range(options.seeds)]
                seconds = (time.process_time() - began) / options.seeds
                done = np.array([result for result in results if result is not None]).reshape(-1, 2)
                row = f"{name:16}{composition:14}{cutoff:<8}{len(done):>6}/{options.seeds}"
                if len(done):
                    row += (
                        f"{np.median(done[:, 0]):13.1f}{np.median(done[:, 1]):9.1f}{np.quantile(done[:, 1], 0.9):9.1f}"
                    )
                print(f"{row}{1e3 * seconds:9.1f}", flush=True)


if __name__ == "__main__":
    main()
