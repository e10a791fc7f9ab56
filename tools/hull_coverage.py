"""How much of a target's environments sets of structures cover: V_rep (eq. 18) in the target's principal components.

The principal components hold 99 % of the variance of the target's environments. Where they are too many for convex
hulls (more than six), V_rep is estimated from mean widths and printed with the factor within which it is right; the
exact value in the first six components is given beside it, and alone where the factor is above ten.

A run folder gives all environments of its target; an archive alone gives the sample that it keeps, whose hull is
smaller than that of all, so that V_rep comes out too large: the tool says so.

V_rep compares sizes of hulls wherever they lie; beside it stands what cannot be large for a set that lies elsewhere:
the volume that both hulls share over the target's, the share of the target with an environment of the set as near as
its own are to each other, the share of the set that has none of the target so near, entropy and diversity; and how much
a linear potential fitted on the set would know of the target: predicted variance (I-optimality), ln det (D-optimality).

--near tells besides which share of the target has an environment of the set nearby: a hull may span the target without
coming near any of it.

Examples:
    python tools/hull_coverage.py runs/liquid-ta/out                       # the run's set against its target
    python tools/hull_coverage.py training.extxyz small=cells4.extxyz large=cells54.extxyz -o coverage
    python tools/hull_coverage.py runs/liquid-ta/out --scale none --growth 20
    python tools/hull_coverage.py md.extxyz runs/si2/out --basis runs/si2/out --near 1 2 3
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import arguments
import numpy as np

from grs_evo.analysis import (
    Coverage,
    coverage,
    coverage_growth,
    nearness,
    principal_components,
    project,
    shared,
    sources,
)
from grs_evo.analysis.distributions import environments
from grs_evo.analysis.figures.environments import growth, growth_table, plane
from grs_evo.datasets.growth.taught import Measure


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("target", help="source of the target; of an archive, what it was made for")
    parser.add_argument("sets", nargs="*", help="sources of the sets (default: the target's archive itself)")
    arguments.add_basis(parser)
    arguments.add_pick(parser)
    parser.add_argument(
        "--variance", type=float, default=0.99, help="share of the variance to keep (default: %(default)s)"
    )
    parser.add_argument(
        "--scale", choices=("target", "none"), default="target",
        help="divide functions by the target's standard deviation, or keep raw values (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--max-dimension",
        type=arguments.whole(1, 9),
        default=6,
        help="largest dimension of exact hulls (default: %(default)s)",
    )
    parser.add_argument(
        "--growth",
        type=arguments.whole(1),
        default=12,
        metavar="N",
        help="sizes at which growing sets are measured (default: %(default)s)",
    )
    parser.add_argument(
        "--near", type=float, nargs="+", default=[], metavar="M",
        help="shares of the target within M times the median distance between neighbours in it",
    )  # fmt: skip
    given = parser.parse_args(argv)
    named = given.sets or [given.target]
    basis = sources.basis(given.basis, [given.target, *given.sets])
    _, target = sources.target(given.target, basis, drawn=False)
    wide = target.wide(basis)
    components = principal_components(wide, given.variance, given.scale)
    share = f"{components.count} principal components hold {100 * components.share:.2f} % of the variance"
    print(f"target: {target.counted()} environments, {share}")
    if not target.is_whole:
        print("  the hull of all of them is larger: V_rep is an upper estimate")

    growing: list[tuple[str, list[tuple[int, int, Coverage]]]] = []
    clouds = []
    wanted = sources.target_structures(given.target, basis)
    measure = Measure(wanted, basis.elements) if wanted else None
    points = project(components, wide)
    for source in named:
        found = sources.structures(source, given.pick, basis.elements)
        chosen = environments.of_structures(found.structures, basis)
        result = coverage(wide, chosen.wide(basis), components=components, max_dimension=given.max_dimension)
        print(f"{found.name}: {len(found.structures)} structures, {chosen.counted()} environments: {result.sentence()}")
        if not chosen.is_whole:
            print("  the hull of all its environments is larger: V_rep is a lower estimate")
        print(f"  {100 * result.inside:.1f} % of the target inside, {100 * result.beyond:.1f} % of the set beyond")
        print(f"  {shared(wide, chosen.wide(basis), components).sentence()}")
        if measure is not None:
            print(f"  {measure.of(found.structures).sentence()}")
        clouds.append((found.name, chosen.wide(basis)))
        if given.near:
            near = nearness(points, project(components, clouds[-1][1]), given.near)
            shares = ", ".join(
                f"{100 * share:.1f} % within {m:g}" for m, share in zip(given.near, near.shares, strict=True)
            )
            print(f"  near the set: {shares} of {near.unit:.3g}, the distance between neighbours in the target")
        grown = coverage_growth(
            wide, chosen.of_structures(basis), given.growth,
            variance=given.variance, scale=given.scale, max_dimension=given.max_dimension,
        )  # fmt: skip
        growing.append((found.name, grown))
    figures = [plane(components, wide, clouds), growth(growing)]
    places = {f"pc{j + 1}": points[:, j] for j in range(components.count)} | {"row": np.arange(len(points))}
    stem = arguments.stem(given.out, "coverage")
    arguments.write([one for one in figures if one is not None], stem, {"": growth_table(growing), "-target": places})


if __name__ == "__main__":
    sys.exit(arguments.run(main))
