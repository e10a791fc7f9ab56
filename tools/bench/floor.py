"""What more atoms bring against the half of a target that the search did not see.

    python tools/bench/floor.py                                     # liquid tantalum, the basis and loss of Fig. 4
    python tools/bench/floor.py --sizes 20 40 54 72 --starts 20

One half of the target (cut along its longest vector) is what cells are relaxed towards, from random starts; the other
half is kept out. A column each: the best loss against the half seen, the same cell's loss against the half kept out,
and what as many random environments of the seen half have against it. The floor is what the halves differ by.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

import grs_evo
from grs_evo.analysis.floor import floor_of, halves
from grs_evo.loss.objective import Objective
from grs_evo.loss.options import CoreOptions
from grs_evo.loss.quality import sampling_noise, without_extras
from grs_evo.potential.relaxation import RelaxOptions
from grs_evo.search.candidates.binding import bind
from grs_evo.search.candidates.source import CandidateOptions, candidate
from grs_evo.structures.structure import Structure
from grs_evo.targets.moments import moments_of
from grs_evo.text import table_of

TARGET = Path(__file__).resolve().parents[2] / "runs" / "liquid-ta" / "target.extxyz"


def half_objectives(objective: Objective) -> tuple[Objective, Objective]:
    """The same loss against each half of the target, in the scales of the whole."""
    target = objective.target
    found = halves(target)
    if found is None:
        raise SystemExit("the target has no halves")
    made = []
    for side in (found[0], ~found[0]):
        rows, species = target.sample_rows[side], target.sample_species[side]
        own = replace(
            target,
            moments=moments_of(rows, species, objective.basis.sizes),
            sample_rows=rows,
            sample_species=species,
            sample_weights=target.sample_weights[side],
        )
        made.append(objective.with_target(own, keep_scales=True))
    return made[0], made[1]


def structure_loss(objective: Objective, cell: Structure) -> float:
    bare = without_extras(objective)
    return float(bare.evaluate(cell).terms[bare.term_names.index("structure")])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--target", default=str(TARGET))
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 28, 40, 54, 72])
    parser.add_argument("--starts", type=int, default=10, help="random starts of each size")
    args = parser.parse_args()
    basis = grs_evo.build_basis(["Ta"], (8, 2, 2, 1), (0, 2, 2, 1), 7.0)
    target = grs_evo.Target.from_structures(args.target, basis)
    core = CoreOptions(distances={"Ta-Ta": 2.2}, width=0.14)
    whole = grs_evo.make_objective(basis, target, grs_evo.LossOptions(core=core))
    seen, kept = half_objectives(whole)
    floor = floor_of(whole)
    print(f"floor, {floor.how}: {floor.loss:.3f}" if floor else "no floor")
    relaxing = RelaxOptions(cell="shape", max_evaluations=1000, stage_evaluations=200)
    rows = []
    for size in args.sizes:
        options = CandidateOptions(kind="random", sizes=(size, size), density=(1.0, 1.0), min_distance=2.0)
        source = bind(options, ("Ta",), target.structures)
        rng = np.random.default_rng(size)
        starts = [one for one in (candidate(rng, source) for _ in range(args.starts)) if one is not None]
        relaxed = [grs_evo.relax(one, seen, relaxing).structure for one in starts]
        best = min(relaxed, key=lambda cell: structure_loss(seen, cell))
        noise = sampling_noise(seen, size, draws=200)
        found = (structure_loss(seen, best), structure_loss(kept, best), noise)
        rows.append([str(size), *(f"{loss:.4f}" for loss in found)])
    print(table_of(rows, ["atoms", "seen half", "half kept out", "random environments"]))


if __name__ == "__main__":
    main()
