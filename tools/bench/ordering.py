"""Seeds solved, evaluations and seconds of every way to search for an ordered structure on fixed sites.

    python tools/bench/ordering.py                      # the whole table, 50 seeds
    python tools/bench/ordering.py --seeds 10 --cutoff 4.6 --json ordering.json
    python tools/bench/ordering.py --icet .venv-icet/bin/python   # icet beside it, from its own environment

A seed counts as solved when a candidate's scaled loss is at most 1e-6, which here means that the raw loss (the paper's)
is 0 to rounding: the last column is the largest raw loss of the solutions. Evaluations count every candidate loss, the
calibration of temperatures and all restarts included. Seconds are those of the search; the tables of pair functions,
the reference spread and compilation are shared by all seeds and reported apart.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from grs_evo.descriptors.basis import build_basis
from grs_evo.loss.lattice import LatticeObjective, make_lattice_objective, reference_structures
from grs_evo.loss.objective import make_objective
from grs_evo.loss.options import LossOptions
from grs_evo.search.operators.lattice_moves import make_moves
from grs_evo.search.options import WalkOptions
from grs_evo.search.strategies.lattice_chain import advance_chain, chain_options, evaluations_done, new_chain
from grs_evo.structures.composition import Composition, free
from grs_evo.structures.structure import Structure
from grs_evo.targets.target import Target

ENOUGH = 1e-6
BUDGET = 100_000


@dataclass(frozen=True)
class Order:
    """An ordered structure and the sites on which it is looked for."""

    name: str
    elements: tuple[str, ...]
    target: Structure
    sites: Structure

    @property
    def counts(self) -> np.ndarray:
        share = self.target.counts(len(self.elements)) / self.target.n_atoms
        return np.rint(share * self.sites.n_atoms)


def repeated(cell: np.ndarray, fractional: list, species: list[int], repeat: tuple[int, int, int]) -> Structure:
    grid = np.stack(np.meshgrid(*(np.arange(k) for k in repeat), indexing="ij"), -1).reshape(-1, 3)
    positions = ((grid[:, None, :] + np.array(fractional, float)[None]) @ cell).reshape(-1, 3)
    return Structure(positions, np.array(repeat)[:, None] * cell, np.tile(species, len(grid)), np.ones(3, bool))


FCC = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
BCC = [[0, 0, 0], [0.5, 0.5, 0.5]]


def orders() -> list[Order]:
    """The paper's target and five that nobody tuned for, each in a supercell of 24 to 36 sites."""

    def fcc(a: float, repeat: tuple[int, int, int]) -> Structure:
        return repeated(a * np.eye(3), FCC, [0] * 4, repeat)

    def bcc(a: float, repeat: tuple[int, int, int]) -> Structure:
        return repeated(a * np.eye(3), BCC, [0] * 2, repeat)

    l12 = repeated(3.75 * np.eye(3), FCC, [0, 1, 1, 1], (1, 1, 1))
    # D0_22 Al3Ti: two fcc cells along z, Ti at the corner of the first and at the centre of the second
    tall = np.diag([3.9, 3.9, 7.8])
    tall_sites = [[x, y, z / 2 + k / 2] for k in (0, 1) for x, y, z in FCC]
    d022 = repeated(tall, tall_sites, [1, 0, 0, 0, 0, 0, 0, 1], (1, 1, 1))
    b2 = repeated(2.88 * np.eye(3), BCC, [0, 1], (1, 1, 1))
    # D0_3 Fe3Al: of eight bcc cells' centres every other one, as in rock salt
    cubes = [[i / 2, j / 2, k / 2] for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    d03_sites = cubes + [[x + 0.25, y + 0.25, z + 0.25] for x, y, z in cubes]
    d03_species = [0] * 8 + [int(sum(round(2 * c) for c in site) % 2) for site in cubes]
    d03 = repeated(5.79 * np.eye(3), d03_sites, d03_species, (1, 1, 1))
    # L1_1 CuPt: close-packed planes in turn
    rhombic = 3.8 * np.array([[1, 0.5, 0.5], [0.5, 1, 0.5], [0.5, 0.5, 1]])
    l11 = repeated(rhombic, [[0, 0, 0], [0.5, 0.5, 0.5]], [0, 1], (1, 1, 1))
    # six atoms, three elements: fcc (111) planes Al Ti Ni Al Al Ti along one stacking direction, no higher symmetry
    primitive = 3.8 * np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    long = np.diag([1, 1, 6]) @ primitive
    planes = [[0, 0, k / 6] for k in range(6)]
    six = repeated(long, planes, [0, 1, 2, 0, 0, 1], (1, 1, 1))
    return [
        Order("L1_2 AuCu3", ("Au", "Cu"), l12, fcc(3.75, (2, 2, 2))),
        Order("D0_22 Al3Ti", ("Al", "Ti"), d022, fcc(3.9, (2, 2, 2))),
        Order("B2 FeAl", ("Fe", "Al"), b2, bcc(2.88, (3, 3, 2))),
        Order("D0_3 Fe3Al", ("Fe", "Al"), d03, bcc(2.895, (2, 2, 4))),
        Order("L1_1 CuPt", ("Cu", "Pt"), l11, fcc(3.8, (2, 2, 2))),
        Order("six-atom Al3Ti2Ni", ("Al", "Ti", "Ni"), six, repeated(long, planes, [0] * 6, (2, 2, 1))),
    ]


def loss_on(
    order: Order, cutoff: float, fixed: bool, scale: str
) -> tuple[LatticeObjective, Composition, dict[str, float]]:
    """The paper's basis to five-body, the loss of the means, and what making them took."""
    begin = time.perf_counter()
    n = len(order.elements)
    basis = build_basis(order.elements, cutoff=cutoff)
    rule = Composition("counts", order.counts, order.counts) if fixed else free(n)
    number = 512 if n == 2 else 2048
    reference = reference_structures(order.sites, n, rule, number=number) if scale in ("whitened", "reference") else ()
    target = Target.from_structures([order.target], basis)
    middle = time.perf_counter()
    judge = make_objective(basis, target, LossOptions(variance=0.0, scale=scale), reference=reference)
    lattice = make_lattice_objective(judge, order.sites)
    end = time.perf_counter()
    return lattice, rule, {"basis_and_target": middle - begin, "spread_and_tables": end - middle}


STRATEGIES: dict[str, tuple[str, WalkOptions]] = {
    "first improvement, restarts": ("descent", WalkOptions()),
    "best improvement, restarts": ("descent", WalkOptions(improvement="best")),
    "annealing, restarts": ("annealing", WalkOptions()),
    "random walk, unbiased": ("random_walk", WalkOptions()),
    "random walk, if better": ("random_walk", WalkOptions(accept="better")),
}


def chains(lattice: LatticeObjective, rule: Composition, name: str, seeds: int) -> dict[str, object]:
    """One strategy over all seeds."""
    kind, options = STRATEGIES[name]
    budget = 5_000 if kind == "random_walk" else BUDGET
    moves, chosen = make_moves(lattice, rule), chain_options(kind, options)  # type: ignore[arg-type]
    # compiled from here on
    advance_chain(new_chain(moves, chosen), lattice, moves, chosen, np.random.default_rng(0), 10)
    evaluations, seconds, raw, best = [], [], [], []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        start = time.perf_counter()
        chain, found = advance_chain(new_chain(moves, chosen), lattice, moves, chosen, rng, budget, ENOUGH)
        elapsed = time.perf_counter() - start
        best.append(float(chain.elite_values[0]))
        if found:
            evaluations.append(evaluations_done(chain))
            seconds.append(elapsed)
            raw.append(float(lattice.evaluate(chain.elite[:1])[1][0, lattice.term_names.index("raw")]))
    return summary(seeds, evaluations, seconds, raw) | {"median_best_loss": float(np.median(best)), "budget": budget}


def evolution(lattice: LatticeObjective, order: Order, rule: Composition, passes: int, seeds: int) -> dict[str, object]:
    """The genetic strategy as an island: population 50, or 20 with local passes on each new individual."""
    from grs_evo.search.candidates.binding import bind
    from grs_evo.search.candidates.source import CandidateOptions
    from grs_evo.search.island import advance, start
    from grs_evo.search.options import GeneticOptions, IslandOptions, MigrantOptions
    from grs_evo.search.population.archive import ArchiveOptions
    from grs_evo.search.problem import Problem

    a = order.sites.volume ** (1 / 3)
    source = bind(CandidateOptions(lattice="sc", a=a, composition="free", repeat=(1, 1, 1)), order.elements)
    limits = replace(source.limits, sizes=(order.sites.n_atoms,) * 2, composition=rule)
    source = replace(source, templates=(order.sites,), limits=limits, sizes=(order.sites.n_atoms,))
    island = IslandOptions(population=20 if passes else 50, genetic=GeneticOptions(passes=passes))
    problem = Problem(
        order.elements, lattice.objective, (island,), (source,), (lattice,),
        ArchiveOptions(objectives=("mean", "variance")), MigrantOptions(),
    )  # fmt: skip
    start(problem, 0, 0)
    evaluations, seconds, raw, generations = [], [], [], []
    for seed in range(seeds):
        begin = time.perf_counter()
        state = start(problem, 0, seed)
        while min(one.value for one in state.archive) > ENOUGH and state.generation < 80:
            state = advance(state, problem)
        elapsed = time.perf_counter() - begin
        # of several the first found: the archive keeps the one that rounding favours
        solved = [one for one in (*state.population, *state.archive) if one.value <= ENOUGH]
        if solved:
            best = min(solved, key=lambda one: one.evaluation)
            evaluations.append(best.evaluation)
            seconds.append(elapsed)
            generations.append(state.generation)
            raw.append(float(best.terms[lattice.term_names.index("raw")]))
    more = {"median_generations": float(np.median(generations)) if generations else float("nan")}
    return summary(seeds, evaluations, seconds, raw) | more


def summary(seeds: int, evaluations: list[int], seconds: list[float], raw: list[float]) -> dict[str, object]:
    none = float("nan")
    return {
        "seeds": seeds,
        "solved": len(evaluations),
        "median_evaluations": float(np.median(evaluations)) if evaluations else none,
        "p90_evaluations": float(np.percentile(evaluations, 90)) if evaluations else none,
        "median_milliseconds": 1e3 * float(np.median(seconds)) if seconds else none,
        "largest_raw": max(raw, default=none),
    }


# Runs in icet's own environment: steps until the target's cluster vector is met, for fixed composition (swaps).
_ICET = """
import json, sys, time
import numpy as np
from ase.build import bulk
from ase import Atoms
from icet import ClusterSpace
from mchammer.calculators import TargetVectorCalculator
from mchammer.ensembles import TargetClusterVectorAnnealing
seeds, t_start, t_stop, n_steps = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
primitive = bulk('Cu', 'fcc', a=3.75)
space = ClusterSpace(primitive, [6.0, 4.0], ['Au', 'Cu'])
l12 = Atoms('AuCu3', positions=3.75 * np.array([[0,0,0],[0,.5,.5],[.5,0,.5],[.5,.5,0]]), cell=[3.75] * 3, pbc=True)
aim = space.get_cluster_vector(l12)
cell = bulk('Cu', 'fcc', a=3.75, cubic=True).repeat(2)
out = []
for seed in range(seeds):
    rng = np.random.default_rng(seed)
    atoms = cell.copy()
    atoms.symbols = rng.permutation(['Au'] * 8 + ['Cu'] * 24)
    calculator = TargetVectorCalculator(atoms, space, aim, optimality_weight=0.0)
    ensemble = TargetClusterVectorAnnealing(
        structure=[atoms], calculators=[calculator], T_start=t_start, T_stop=t_stop, random_seed=seed)
    ensemble._n_steps = n_steps
    solved = False
    begin = time.perf_counter()
    while ensemble.total_trials < n_steps and not solved:
        ensemble._do_trial_step()
        solved = ensemble.current_score < 1e-9
    steps = ensemble.total_trials
    out.append((bool(solved), int(steps), time.perf_counter() - begin))
print(json.dumps(out))
"""


def icet(python: str, seeds: int) -> dict[str, dict[str, object]]:
    """icet's annealing to the same structure, fixed composition, its own cluster vector (cutoffs 6 and 4 Å)."""
    rows = {}
    for name, t_start, t_stop, steps in (
        ("icet, default temperatures", 5.0, 0.001, 10_000),
        ("icet, T 0.5", 0.5, 0.001, 5_000),
        ("icet, greedy swaps", 1e-6, 1e-7, 5_000),
    ):
        done = subprocess.run(
            [python, "-c", _ICET, str(seeds), str(t_start), str(t_stop), str(steps)], capture_output=True, text=True
        )
        if done.returncode:
            print(f"  {name}: not run ({done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'no output'})")
            continue
        result = json.loads(done.stdout.strip().splitlines()[-1])
        evaluations = [k for ok, k, _ in result if ok]
        rows[name] = summary(seeds, evaluations, [t for ok, _, t in result if ok], []) | {"budget": steps}
    return rows


def show(title: str, rows: dict[str, dict[str, object]]) -> None:
    print(f"\n{title}")
    print(f"  {'strategy':34s} {'solved':>8s} {'median':>8s} {'p90':>8s} {'ms':>8s} {'raw':>9s}")
    for name, row in rows.items():
        gen = f"  {row['median_generations']:.1f} generations" if "median_generations" in row else ""
        print(
            f"  {name:34s} {row['solved']:>4d}/{row['seeds']:<3d} {row['median_evaluations']:8.0f}"
            f" {row['p90_evaluations']:8.0f} {row['median_milliseconds']:8.2f} {row['largest_raw']:9.1e}{gen}"
        )
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--cutoff", type=float, action="append", help="Å; default 6.0, for L1_2 also 4.6")
    parser.add_argument("--only", help="part of a structure's name")
    parser.add_argument("--scale", default="whitened", choices=["none", "target", "reference", "whitened"])
    parser.add_argument("--no-genetic", action="store_true")
    parser.add_argument("--icet", help="python of an environment with icet")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results: dict[str, object] = {
        "machine": platform.processor() or platform.machine(), "seeds": options.seeds, "scale": options.scale,
        "enough": ENOUGH, "argv": sys.argv[1:],
    }  # fmt: skip
    for order in orders():
        if options.only and options.only.lower() not in order.name.lower():
            continue
        first = order.name.startswith("L1_2")
        for cutoff in options.cutoff or ([6.0, 4.6] if first else [6.0]):
            for fixed in (False, True):
                lattice, rule, took = loss_on(order, cutoff, fixed, options.scale)
                names = STRATEGIES if first else ("first improvement, restarts", "annealing, restarts")
                rows = {name: chains(lattice, rule, name, options.seeds) for name in names}
                if not options.no_genetic:
                    rows["genetic, population 50"] = evolution(lattice, order, rule, 0, options.seeds)
                    if first:
                        rows["genetic, 20, two local passes"] = evolution(lattice, order, rule, 2, options.seeds)
                kind = "fixed composition, swaps" if fixed else "free composition, flips"
                title = f"{order.name}, {order.sites.n_atoms} sites, {kind}, cutoff {cutoff} Å"
                show(f"{title} (spread and tables {took['spread_and_tables']:.2f} s)", rows)
                results[title] = {"rows": rows, "set_up_seconds": took}
    if options.icet:
        rows = icet(options.icet, options.seeds)
        show("L1_2 AuCu3, 32 sites, fixed composition: icet", rows)
        results["icet"] = rows
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
