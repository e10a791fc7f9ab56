"""How much of a target's environments sets of structures cover: V_rep (eq. 18) in the target's principal components.

The principal components hold 99 % of the variance of the target's environments. Where they are too many for convex
hulls (more than six), V_rep is estimated from mean widths and printed with the factor within which it is right; the
exact value in the first six components is given beside it, and alone where the factor is above ten.

A run folder gives all environments of its target; an archive alone gives the sample that it keeps, whose hull is
smaller than that of all, so that V_rep comes out too large: the tool says so.

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
from typing import Any

import numpy as np

from grs_evo.analysis import (
    Coverage,
    command,
    coverage,
    coverage_growth,
    figures,
    nearness,
    principal_components,
    project,
    sources,
)
from grs_evo.analysis.distributions import environments


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.parser(__doc__)
    parser.add_argument("target", help="source of the target; of an archive, what it was made for")
    parser.add_argument("sets", nargs="*", help="sources of the sets (default: the target's archive itself)")
    command.add_basis(parser)
    command.add_pick(parser)
    parser.add_argument(
        "--variance", type=float, default=0.99, help="share of the variance to keep (default: %(default)s)"
    )
    parser.add_argument(
        "--scale", choices=("target", "none"), default="target",
        help="divide functions by the target's standard deviation, or keep raw values (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--max-dimension",
        type=command.whole(1, 9),
        default=6,
        help="largest dimension of exact hulls (default: %(default)s)",
    )
    parser.add_argument(
        "--growth",
        type=command.whole(1),
        default=12,
        metavar="N",
        help="sizes at which growing sets are measured (default: %(default)s)",
    )
    parser.add_argument(
        "--near", type=float, nargs="+", default=[], metavar="M",
        help="shares of the target within M times the median distance between neighbours in it",
    )  # fmt: skip
    given = parser.parse_args(arguments)
    named = given.sets or [given.target]
    basis = sources.basis(given.basis, [given.target, *given.sets])
    _, target = sources.target(given.target, basis, drawn=False)
    wide = target.wide(basis)
    components = principal_components(wide, given.variance, given.scale)
    share = f"{components.count} principal components hold {100 * components.share:.2f} % of the variance"
    print(f"target: {target.counted()} environments, {share}")
    if not target.is_whole:
        print("  the hull of all of them is larger: V_rep is an upper estimate")

    rows: list[dict[str, object]] = []
    growing: list[tuple[str, dict[str, Any], list[tuple[int, int, Coverage]]]] = []
    drawing, (left, right) = figures.figure(8.2, 3.8, columns=2)
    points = project(components, wide)
    second = min(1, components.count - 1)
    left.plot(points[:, 0], points[:, second], ".", color="#9a9a9a", markersize=2, label="target", rasterized=True)
    for k, source in enumerate(named):
        found = sources.structures(source, given.pick, basis.elements)
        chosen = environments.of_structures(found.structures, basis)
        result = coverage(wide, chosen.wide(basis), components=components, max_dimension=given.max_dimension)
        print(f"{found.name}: {len(found.structures)} structures, {chosen.counted()} environments: {result.sentence()}")
        if not chosen.is_whole:
            print("  the hull of all its environments is larger: V_rep is a lower estimate")
        print(f"  {100 * result.inside:.1f} % of the target inside, {100 * result.beyond:.1f} % of the set beyond")
        look = figures.style(k)
        cloud = project(components, chosen.wide(basis))
        if given.near:
            near = nearness(points, cloud, given.near)
            shares = ", ".join(
                f"{100 * share:.1f} % within {m:g}" for m, share in zip(given.near, near.shares, strict=True)
            )
            print(f"  near the set: {shares} of {near.unit:.3g}, the distance between neighbours in the target")
        left.plot(cloud[:, 0], cloud[:, second], look["marker"], color=look["color"], markersize=3, label=found.name)
        grown = coverage_growth(
            wide, chosen.of_structures(basis), given.growth,
            variance=given.variance, scale=given.scale, max_dimension=given.max_dimension,
        )  # fmt: skip
        growing.append((found.name, look, grown))
        for count, n_environments, one in grown:
            rows.append({
                "set": found.name, "structures": count, "environments": n_environments, "v_rep": one.v_rep,
                "factor": one.factor, "method": one.method, "dimension": one.dimension, "variance": one.variance,
                "exact_dimension": one.exact_dimension, "v_rep_exact": one.exact,
                "inside": one.inside, "beyond": one.beyond,
            })  # fmt: skip
    left.set(xlabel="principal component 1", ylabel=f"principal component {second + 1}")
    left.legend()
    _draw_growth(right, growing)
    stem = command.stem(given.out, "coverage")
    numbers = figures.write_csv(
        stem.with_name(stem.name + ".csv"), {key: [row[key] for row in rows] for key in rows[0]}
    )
    plane = figures.write_csv(
        stem.with_name(stem.name + "-target.csv"),
        {f"pc{j + 1}": points[:, j] for j in range(components.count)} | {"row": np.arange(len(points))},
    )
    command.tell([*figures.save(drawing, stem), numbers, plane])


def _draw_growth(axes: Any, growing: Sequence[tuple[str, dict[str, Any], list[tuple[int, int, Coverage]]]]) -> None:
    """V_rep against the size of each set, or the same in the leading components where an estimate tells nothing."""
    every = [one for _, _, grown in growing for _, _, one in grown]
    if all(len(grown) < 2 for _, _, grown in growing):
        axes.set_axis_off()
        axes.text(0.5, 0.5, "one structure: no growth to show", ha="center", va="center", color="#6a6a6a")
        return
    told = all(one.is_told for one in every)
    for name, look, grown in growing:
        values = [one.v_rep if told else one.exact for _, _, one in grown]
        axes.plot([count for count, _, _ in grown], values, label=name, **look)
    where = "" if told else f" in the first {every[0].exact_dimension} components"
    axes.set(xlabel="structures in the set", ylabel=f"$V_\\mathrm{{rep}}${where}")
    axes.set_xscale("log" if max(grown[-1][0] for _, _, grown in growing) > 20 else "linear")
    axes.set_ylim(bottom=0)
    axes.legend()


if __name__ == "__main__":
    sys.exit(command.run(main))
