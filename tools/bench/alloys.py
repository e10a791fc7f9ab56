"""Random alloys in small cells: what the defaults reach in equal CPU seconds, with icet and sqsgenerator beside.

Cells: 48 sites of a ternary, 60 and 40 of a quinary (CoCrFeMnNi), fcc, and 40 of a bcc quinary, all equiatomic. Judged
by icet's cluster vectors (pairs of five shells, triplets of three; mean |Δ|), by the means of an ACE basis that no side
optimised, and by the root mean square of the Warren–Cowley orders of three shells and of the correlations of triplets
whose first two sides are nearest neighbours (111, 112, 113), each also as a share of that of random occupations. The
other programs are measured where they are installed.

    python tools/bench/alloys.py --seeds 10 --seconds 10 --json alloys.json
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.build import bulk

import grs_evo
from grs_evo.driver.config.from_alloy import AlloyCell, with_alloy_defaults
from grs_evo.driver.config.run_file import parse
from grs_evo.driver.setup import make_problem, make_target_data
from grs_evo.kernels.lattice.lattice import time_swaps
from grs_evo.loss.lattice import LatticeObjective
from grs_evo.search.operators.lattice_moves import make_moves
from grs_evo.search.options import WalkOptions
from grs_evo.search.strategies.lattice_chain import advance_chain, chain_options, evaluations_done, new_chain
from grs_evo.structures.structure import Structure, from_atoms, to_atoms
from grs_evo.targets.clusters import AlloySites, correlations, make_clusters, orbit_report

FIVE = ("Co", "Cr", "Fe", "Mn", "Ni")


class Work(NamedTuple):
    """One row of the table."""

    elements: tuple[str, ...]
    sites: int
    lattice: str = "fcc"

    @property
    def a(self) -> float:
        """Å"""
        return {"fcc": 3.6, "bcc": 3.2}[self.lattice]

    @property
    def parent(self) -> Atoms:
        return bulk("Cu", self.lattice, a=self.a)

    @property
    def cutoffs(self) -> tuple[float, float]:
        """Of pairs (five shells) and of triplets (three), Å."""
        return {"fcc": (6.0, 4.5), "bcc": (5.8, 4.6)}[self.lattice]

    @property
    def triplets(self) -> dict[str, float]:
        """Third side, Å, of triplets with two sides between nearest neighbours."""
        shells = {"fcc": {"111": 0.5**0.5, "112": 1.0, "113": 1.5**0.5}, "bcc": {"112": 1.0, "113": 2**0.5}}
        return {name: side * self.a for name, side in shells[self.lattice].items()}

    @property
    def nearest(self) -> float:
        """Å"""
        return float(self.a * {"fcc": 0.5, "bcc": 0.75}[self.lattice] ** 0.5)


WORK = {
    "ternary 48": Work(("Co", "Fe", "Ni"), 48),
    "quinary 60": Work(FIVE, 60),
    "CoCrFeMnNi 40": Work(FIVE, 40),
    "MoNbTaVW 40": Work(("Mo", "Nb", "Ta", "V", "W"), 40, "bcc"),
}


def problem_of(work: Work) -> Any:
    """What a run file of an alloy and a size alone sets up, and how long that takes."""
    composition = ", ".join(f"{one} = {1 / len(work.elements)!r}" for one in work.elements)
    alloy = f'[target.alloy]\nlattice = "{work.lattice}"\na = {work.a}\ncomposition = {{{composition}}}\n'
    text = f"{alloy}[candidates]\nsizes = [{work.sites}, {work.sites}]\n"
    begun = time.process_time()
    parent = AlloyCell(work.parent.cell[:], np.zeros((1, 3)), "")
    run, _ = with_alloy_defaults(parse(text, "run.toml"), parent)
    problem = make_problem(run, make_target_data(run, Path()), Path())
    return run, problem, time.process_time() - begun


def point_functions(n: int) -> np.ndarray:
    """icet's: cosines and sines of the number of the element."""
    s = np.arange(n)
    rows = [-np.cos(np.pi * (m + 2) * s / n) if m % 2 == 0 else -np.sin(np.pi * (m + 1) * s / n) for m in range(n - 1)]
    return np.array(rows)


def judge_of(work: Work) -> Callable[[Structure], dict[str, float]]:
    """All measures of one cell."""
    elements = work.elements
    n = len(elements)
    alloy = AlloySites(work.parent.cell[:], np.zeros((1, 3)), np.full((1, n), 1 / n), np.zeros((0, 4)), 0)
    clusters = make_clusters(alloy, work.cutoffs)
    basis = grs_evo.build_basis(elements, n_max=(6, 2, 1), l_max=(0, 3, 2), cutoff=6.5)
    target = grs_evo.Target.random_alloy(work.parent, basis, dict.fromkeys(elements, 1 / n), samples=2000)
    ace = grs_evo.make_objective(basis, target, grs_evo.LossOptions(variance=0.0))

    def judge(one: Structure) -> dict[str, float]:
        found = correlations(clusters, one, [point_functions(n)])
        by_order = {
            k: np.abs(np.concatenate([v for v, o in zip(found, clusters.orbits, strict=True) if o.order == k]))
            for k in (2, 3)
        }
        measures = {
            "pairs": float(by_order[2].mean()),
            "triplets": float(by_order[3].mean()),
            "pairs + triplets": float(np.concatenate(list(by_order.values())).mean()),
            "ACE": float(ace.evaluate(one).value),
        }
        rows = orbit_report(clusters, one, elements, "")
        pairs = [row for row in rows if row["clusters"] == "pairs"]
        for shell in range(3):
            alphas = [a for pair, a in pairs[shell]["orders"].items() if len(set(pair.split("-"))) == 2]
            measures[f"WC {shell + 1}"] = float(np.sqrt(np.mean(np.square(alphas))))
        for name, side in work.triplets.items():
            measures[name] = next(
                row["deviation"]
                for row, orbit in zip(rows, [o for o in clusters.orbits if o.order > 1], strict=True)
                if orbit.order == 3 and abs(orbit.radius - side) < 1e-3 and _is_near(orbit, work)
            )
        return measures

    return judge


def _is_near(orbit: Any, work: Work) -> bool:
    """Whether two sides of a triplet are nearest neighbours."""
    places = orbit.members[0, :, 1:] @ work.parent.cell[:]
    sides = np.sort([np.linalg.norm(places[i] - places[j]) for i, j in ((0, 1), (0, 2), (1, 2))])
    return bool(abs(sides[1] - work.nearest) < 1e-3)


def ours(lattice: LatticeObjective, problem: Any, walk: WalkOptions, seed: int, seconds: float) -> Structure:
    """Annealing as the defaults have it."""
    moves = make_moves(lattice, problem.limits(0).composition)
    options = chain_options("annealing", walk)
    chain = new_chain(moves, options, 1)
    rng = np.random.default_rng(seed)
    end = time.process_time() + seconds
    while time.process_time() < end:
        chain, _ = advance_chain(chain, lattice, moves, options, rng, 5000)
    ours.evaluations = evaluations_done(chain)  # type: ignore[attr-defined]
    return lattice.structure(chain.elite[0])


def icet(work: Work, template: Atoms, seeds: int, seconds: float) -> list[Atoms]:
    """Its annealing with the steps that fit into the time, pairs and triplets to the cutoffs that judge."""
    from icet import ClusterSpace
    from icet.input_output.logging_tools import set_log_config
    from icet.tools.structure_generation import generate_sqs_from_supercells

    set_log_config(level="ERROR")
    space = ClusterSpace(work.parent, list(work.cutoffs), list(work.elements))
    composition = dict.fromkeys(work.elements, 1 / len(work.elements))

    def make(steps: int, seed: int) -> Atoms:
        return generate_sqs_from_supercells(
            space,
            [template.copy()],
            composition,
            n_steps=steps,
            random_seed=seed,
        )

    begun = time.process_time()
    make(2000, 0)
    steps = int(2000 * seconds / (time.process_time() - begun))
    return [make(steps, seed) for seed in range(seeds)]


def sqsgenerator(work: Work, template: Atoms, seeds: int, seconds: float) -> list[Atoms]:
    """Its random search of pairs in three shells, in as many iterations as fit into the time on one thread."""
    import sqsgenerator as program

    def make(iterations: int) -> Atoms:
        pack = program.optimize(
            program.parse_config(
                {
                    "structure": {
                        "lattice": template.cell[:].tolist(),
                        "coords": template.get_scaled_positions().tolist(),
                        "species": template.get_chemical_symbols(),
                    },
                    "composition": dict.fromkeys(work.elements, len(template) // len(work.elements)),
                    "iterations": iterations,
                    "shell_weights": {1: 1.0, 2: 0.5, 3: 0.33},
                    "thread_config": 1,
                }
            )
        )
        return program.to_ase(pack.best().structure())

    begun = time.process_time()
    make(100_000)
    iterations = int(100_000 * seconds / (time.process_time() - begun))
    return [make(iterations) for _ in range(seeds)]


OTHERS: dict[str, Callable[..., list[Atoms]]] = {"icet": icet, "sqsgenerator": sqsgenerator}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=10.0, help="CPU seconds of each search")
    parser.add_argument("--only", help="one of " + ", ".join(WORK))
    parser.add_argument("--others", default="icet,sqsgenerator", help="programs beside, where installed")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    out: dict[str, Any] = {}
    for name, work in WORK.items():
        if given.only in (None, name):
            out[name] = measured(name, work, given)
            if given.json:
                given.json.write_text(json.dumps(out, indent=1))


def measured(name: str, work: Work, given: argparse.Namespace) -> dict[str, Any]:
    elements, size = work.elements, work.sites
    problem_of(work)  # compiles
    run, problem, set_up = problem_of(work)
    lattice, judge = problem.lattices[0], judge_of(work)
    rng = np.random.default_rng(0)
    even = np.arange(size, dtype=np.int32) % len(elements)
    drawn = [judge(lattice.structure(rng.permutation(even))) for _ in range(40)]
    random = {key: float(np.median([one[key] for one in drawn])) for key in drawn[0]}
    pairs = np.array([(i, j) for i in range(size) for j in range(i) if even[i] != even[j]])
    time_swaps(lattice.fast, lattice.scratch, even, pairs, lattice.work)
    begun = time.process_time()
    for _ in range(20):
        time_swaps(lattice.fast, lattice.scratch, even, pairs, lattice.work)
    rate = 20 * len(pairs) / (time.process_time() - begun)
    print(f"{name}: set-up {set_up:.2f} s, {lattice.n_functions} functions, {rate:,.0f} swaps/s", flush=True)
    found = {"grs_evo": [ours(lattice, problem, run.search.walk, k, given.seconds) for k in range(given.seeds)]}
    template = to_atoms(lattice.structure(even), problem.elements)
    for program in given.others.split(","):
        if program and importlib.util.find_spec(program):
            made = OTHERS[program](work, template, given.seeds, given.seconds)
            found[program] = [from_atoms(one, problem.elements) for one in made]
    result: dict[str, Any] = {"set_up": set_up, "swaps_per_second": rate, "random": random}
    for program, cells in found.items():
        judged = [judge(one) for one in cells]
        result[program] = {key: float(np.median([one[key] for one in judged])) for key in random}
        told = ", ".join(f"{key} {x:.4f} ({x / random[key]:.2f})" for key, x in result[program].items())
        print(f"  {program}: {told}", flush=True)
    return result


if __name__ == "__main__":
    main()
