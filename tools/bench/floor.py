"""What more atoms bring against the half of a target that the search did not see.

    python tools/bench/floor.py                                     # liquid tantalum, the basis and loss of Fig. 4
    python tools/bench/floor.py --sizes 20 40 54 72 --starts 20
    python tools/bench/floor.py --along --sizes 54                  # both losses along the descent, over the floor

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
from grs_evo.observables import describe_target
from grs_evo.potential.relaxation import RelaxOptions
from grs_evo.search.candidates.binding import bind
from grs_evo.search.candidates.source import CandidateOptions, candidate
from grs_evo.structures.structure import Structure
from grs_evo.targets.moments import moments_of
from grs_evo.text import table_of

BUDGETS = (10, 20, 40, 80, 160, 400, 1000, 2500)
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


def along(seen: Objective, kept: Objective, starts: list[Structure], floor: float) -> None:
    """Medians of both losses over the floor, after more and more evaluations of the descent."""
    rows = []
    for most in BUDGETS:
        relaxing = RelaxOptions(cell="shape", max_evaluations=most, stage_evaluations=max(most // 5, 5))
        cells = [grs_evo.relax(one, seen, relaxing).structure for one in starts]
        losses = [np.median([structure_loss(side, cell) for cell in cells]) / floor for side in (seen, kept)]
        rows.append([str(most), *(f"{loss:.3f}" for loss in losses)])
    print(table_of(rows, ["evaluations", "seen half / floor", "half kept out / floor"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--target", default=str(TARGET))
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 28, 40, 54, 72])
    parser.add_argument("--starts", type=int, default=10, help="random starts of each size")
    parser.add_argument("--along", action="store_true", help="along the descent of the first size")
    args = parser.parse_args()
    elements = list(describe_target([args.target]).elements)
    basis = grs_evo.build_basis(elements, cutoff=7.0 if elements == ["Ta"] else None)
    target = grs_evo.Target.from_structures(args.target, basis)
    core = CoreOptions(distances={"Ta-Ta": 2.2}, width=0.14) if elements == ["Ta"] else CoreOptions()
    whole = grs_evo.make_objective(basis, target, grs_evo.LossOptions(core=core))
    seen, kept = half_objectives(whole)
    floor = floor_of(whole)
    print(f"floor, {floor.how}: {floor.loss:.3f}" if floor else "no floor")
    relaxing = RelaxOptions(cell="shape", max_evaluations=1000, stage_evaluations=200)
    rows = []
    for size in args.sizes:
        options = CandidateOptions(kind="random", sizes=(size, size), density=(1.0, 1.0), min_distance=2.0)
        source = bind(options, tuple(elements), target.structures)
        rng = np.random.default_rng(size)
        starts = [one for one in (candidate(rng, source) for _ in range(args.starts)) if one is not None]
        if args.along:
            along(seen, kept, starts, floor.loss if floor else 1.0)
            return
        relaxed = [grs_evo.relax(one, seen, relaxing).structure for one in starts]
        best = min(relaxed, key=lambda cell: structure_loss(seen, cell))
        noise = sampling_noise(seen, size, draws=200)
        found = (structure_loss(seen, best), structure_loss(kept, best), noise)
        rows.append([str(size), *(f"{loss:.4f}" for loss in found)])
    print(table_of(rows, ["atoms", "seen half", "half kept out", "random environments"]))


if __name__ == "__main__":
    main()
