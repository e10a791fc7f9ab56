"""Best loss against evaluations, for many runs or strategies: medians with bands (paper, Fig. 3).

Runs of the same name are one strategy: a line for their median, a band from the lower to the upper quartile.
Evaluations of all islands count together, with or without gradient.

Examples:
    python tools/convergence.py out-cu3au --reach 1e-8 --log-x
    python tools/convergence.py GA=out-cu3au GA=out-cu3au-13 melt=out-ta    # two runs of one strategy, one of another
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import numpy as np

from grs_evo.analysis import bands, best_against_evaluations, command, evaluations_to_reach, figures, sources


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.parser(__doc__)
    parser.add_argument("runs", nargs="+", help="run folders or archives; NAME=RUN puts it into a strategy")
    parser.add_argument(
        "--reach",
        type=command.number(-math.inf),
        metavar="LOSS",
        help="also tell after how many evaluations LOSS was reached",
    )
    parser.add_argument("--log-x", action="store_true", help="evaluations on a logarithmic axis")
    given = parser.parse_args(arguments)
    groups: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for source in given.runs:
        name, path = sources.split_name(source)
        groups.setdefault(name, []).append(best_against_evaluations(sources.archive(path).history))
    drawing, axis = figures.figure(5.6, 3.8)
    columns: dict[str, list[object]] = {key: [] for key in ("strategy", "evaluations", "median", "low", "high", "runs")}
    positive = True
    for k, (name, curves) in enumerate(groups.items()):
        found = bands(curves)
        look = figures.style(k)
        positive &= bool((found["low"] > 0).all())
        label = name if len(curves) == 1 else f"{name} ({len(curves)} runs)"
        axis.plot(
            found["evaluations"],
            found["median"],
            label=label,
            markevery=(k % 5 * 5, 25),
            drawstyle="steps-post",
            **look,
        )
        if len(curves) > 1:
            axis.fill_between(
                found["evaluations"], found["low"], found["high"], step="post", color=look["color"], alpha=0.18,
                hatch=figures.HATCHES[k % len(figures.HATCHES)], edgecolor=look["color"], linewidth=0,
            )  # fmt: skip
        last = [float(best[-1]) for _, best in curves]
        runs = f"{len(curves)} run{'s' if len(curves) != 1 else ''}"
        print(f"{name}: {runs}, best loss at the end {np.median(last):.6g} (median), {min(last):.6g} (lowest)")
        if given.reach is not None:
            needed = np.array([evaluations_to_reach(curve, given.reach) for curve in curves])
            reached = np.isfinite(needed)
            after = f" after {np.median(needed[reached]):.0f} evaluations (median of those)" if reached.any() else ""
            print(f"  {reached.sum()} of {len(curves)} reached {given.reach:g}{after}")
        columns["strategy"] += [name] * len(found["median"])
        for key, values in found.items():
            columns[key] += list(values)
    axis.set(xlabel="loss evaluations", ylabel="best loss", xscale="log" if given.log_x else "linear")
    if positive:
        axis.set_yscale("log")
    if given.reach is not None:
        axis.axhline(given.reach, color="#6e6e6e", linewidth=0.8, linestyle=":")
    axis.legend()
    stem = command.stem(given.out, "convergence")
    numbers = figures.write_csv(stem.with_name(stem.name + ".csv"), columns)
    command.tell([*figures.save(drawing, stem), numbers])


if __name__ == "__main__":
    sys.exit(command.run(main))
