"""Relaxers compared on liquid tantalum (arXiv:2409.13871, Fig. 4), and the default one over sizes and seeds.

    python tools/bench/relax.py [--target liquid.extxyz] [--json out.json] [--seeds 10] [--sizes 20 32 40 54 72]

Three tables: evaluations of loss and gradient until the loss is a tenth of the starting loss, and the loss after the
whole budget, for FIRE, L-BFGS, CG and the default recipe from the same random cells; loss over sampling noise of the
recipe for each size; and the share of the relaxer itself in the time of a relaxation. Counts do not depend on the
machine. Times are CPU times.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from grs_evo.descriptors.basis import build_basis
from grs_evo.kernels.calls import call_value
from grs_evo.kernels.compiling import probe
from grs_evo.kernels.loss.norms import HUBER
from grs_evo.kernels.relaxation import surface
from grs_evo.loss.objective import Objective, make_objective
from grs_evo.loss.quality import sampling_noise
from grs_evo.potential.relaxation import RelaxOptions, relax
from grs_evo.structures.neighbours import neighbours
from grs_evo.structures.reading import read_structures
from grs_evo.structures.structure import Structure
from grs_evo.targets.target import Target

METHODS = ("fire", "cg", "lbfgs", "recipe")
_HERE = Path(__file__).resolve().parents[2]
_SNAPSHOT = _HERE / "runs" / "liquid-ta" / "target.extxyz"

Rows = list[dict[str, Any]]


def random_cell(n: int, seed: int, volume_per_atom: float, apart: float = 2.0) -> Structure:
    """Random positions in a cube at a density, `apart` Å from each other where that fits."""
    rng = np.random.default_rng([seed, n])
    edge = (n * volume_per_atom) ** (1 / 3)
    positions: list[np.ndarray] = []
    while len(positions) < n:
        for _ in range(200):
            new = rng.random(3) * edge
            gaps = np.array(positions).reshape(-1, 3) - new
            if not (np.linalg.norm(gaps - edge * np.round(gaps / edge), axis=1) < apart).any():
                positions.append(new)
                break
        else:
            apart *= 0.97
    return Structure(np.array(positions), np.eye(3) * edge, np.zeros(n, np.int32), np.ones(3, bool))


def compare(objective: Objective, n: int, seeds: int, budget: int) -> Rows:
    """Evaluations to a tenth of the starting loss, and loss after the whole budget, for each method."""
    noise = sampling_noise(objective, n)
    starts = [random_cell(n, seed, objective.target.volume_per_atom) for seed in range(seeds)]
    rows = []
    for method, precision in (*((one, "double") for one in METHODS), ("recipe", "mixed")):
        given: dict[str, Any] = {"method": method, "precision": precision, "max_evaluations": budget}
        needed, final, seconds, used = [], [], [], []
        for start in starts:
            first = objective.evaluate(start)
            goal = 0.1 * first.value
            short = relax(start, objective, RelaxOptions(**given, use_goal=True, goal=goal))
            needed.append(short.evaluations if short.reason == "reached" else np.inf)
            before = time.process_time()
            whole = relax(start, objective, RelaxOptions(**given))
            seconds.append(time.process_time() - before)
            used.append(whole.evaluations)
            final.append(float(whole.terms[0]) / noise)
        rows.append(
            {
                "method": method if precision == "double" else f"{method}, {precision}",
                "evaluations to a tenth, median": float(np.median(needed)),
                "worst": float(np.max(needed)),
                "loss / noise, median": float(np.median(final)),
                "loss / noise, worst": float(np.max(final)),
                "evaluations, median": float(np.median(used)),
                "CPU s, median": float(np.median(seconds)),
            }
        )
    return rows


def by_size(objective: Objective, sizes: list[int], seeds: int, budget: int) -> Rows:
    """Loss over sampling noise of the default relaxer."""
    rows = []
    for n in sizes:
        noise = sampling_noise(objective, n)
        ratios, seconds, used, nearest = [], [], [], []
        for seed in range(seeds):
            start = random_cell(n, seed, objective.target.volume_per_atom)
            before = time.process_time()
            done = relax(start, objective, RelaxOptions(max_evaluations=budget))
            seconds.append(time.process_time() - before)
            ratios.append(float(done.terms[0]) / noise)
            used.append(done.evaluations)
            nearest.append(float(neighbours(done.structure, 5.0).distances.min()))
        rows.append(
            {
                "atoms": n,
                "noise": noise,
                "loss / noise, median": float(np.median(ratios)),
                "best": float(np.min(ratios)),
                "worst": float(np.max(ratios)),
                "evaluations, median": float(np.median(used)),
                "CPU s, median": float(np.median(seconds)),
                "shortest distance, Å": float(np.min(nearest)),
            }
        )
    return rows


@probe
def evaluate_again(times, geometry, potential, descent):
    """The evaluation a relaxer makes, many times over, and nothing else."""
    total = 0.0
    for _ in range(times):
        _, value, _ = call_value(
            potential.calls.evaluate,
            (
                descent.positions, descent.cell, geometry.species, geometry.pbc, potential.calls, potential.tables,
                potential.engine, potential.plan, potential.work, potential.norm, potential.delta, True, descent.rows,
                descent.slopes, descent.terms, descent.dpositions, descent.dstrain,
            ),
        )  # fmt: skip
        total += value
    return total


def overhead(objective: Objective, n: int, repeats: int = 5) -> Rows:
    """CPU time of a relaxation beside that of as many bare evaluations of its final structure."""
    start = random_cell(n, 0, objective.target.volume_per_atom)
    options = RelaxOptions(progress=0.0, gradient=0.0)
    done = relax(start, objective, options)
    assert objective.scratch.engine is not None
    engine = objective.scratch.engine
    descent = surface.make_descent(n, max(objective.basis.sizes), objective.n_columns)
    descent.positions[:], descent.cell[:] = done.structure.positions, done.structure.cell
    geometry = surface.Geometry(
        np.array(done.structure.cell),
        np.array(start.species),
        np.array(start.pbc),
        np.ones(n),
        True,
        0,
        1.0,
        2.0,
        False,
    )
    potential = surface.Potential(
        objective.calls(engine), objective.tables, engine, objective.plan, objective.loss_work(), HUBER, 0.02
    )
    evaluate_again(1, geometry, potential, descent)
    whole, bare = [], []
    for _ in range(repeats):
        before = time.process_time()
        relax(start, objective, options)
        middle = time.process_time()
        evaluate_again(done.evaluations, geometry, potential, descent)
        whole.append((middle - before) / done.evaluations)
        bare.append((time.process_time() - middle) / done.evaluations)
    return [
        {
            "atoms": n,
            "evaluations": done.evaluations,
            "relaxation, µs per evaluation": 1e6 * min(whole),
            "evaluation alone, µs": 1e6 * min(bare),
            "overhead, %": 100 * (min(whole) / min(bare) - 1),
        }
    ]


def show(title: str, rows: Rows, console: Console) -> None:
    table = Table(title=title)
    for name in rows[0]:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", type=Path, default=_SNAPSHOT)
    parser.add_argument("--json", type=Path, help="write the tables to this file too")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 32, 40, 54, 72])
    parser.add_argument("--atoms", type=int, default=54, help="size at which relaxers are compared")
    parser.add_argument("--budget", type=int, default=2500, help="evaluations of loss and gradient")
    arguments = parser.parse_args()
    basis = build_basis(["Ta"], cutoff=7.0)
    entries = read_structures(str(arguments.target), basis.elements)
    target = Target.from_structures([e.structure for e in entries], basis, names=[e.source for e in entries])
    objective = make_objective(basis, target)
    for method in METHODS:  # compile
        relax(random_cell(20, 0, target.volume_per_atom), objective, RelaxOptions(method=method, max_evaluations=5))
    relax(random_cell(20, 0, target.volume_per_atom), objective, RelaxOptions(precision="mixed", max_evaluations=9))
    console = Console()
    results = {
        "relaxers": compare(objective, arguments.atoms, arguments.seeds, arguments.budget),
        "sizes": by_size(objective, arguments.sizes, arguments.seeds, arguments.budget),
        "overhead": overhead(objective, arguments.atoms),
    }
    show(f"Relaxers, liquid Ta, {arguments.atoms} atoms, {arguments.seeds} random cells", results["relaxers"], console)
    show("Default relaxer by size", results["sizes"], console)
    show("What the relaxer adds to its evaluations", results["overhead"], console)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
