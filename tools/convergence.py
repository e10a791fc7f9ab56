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

import arguments
import numpy as np

from grs_evo.analysis import best_against_evaluations, evaluations_to_reach, sources
from grs_evo.analysis.figures.search import strategies


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("runs", nargs="+", help="run folders or archives; NAME=RUN puts it into a strategy")
    parser.add_argument(
        "--reach",
        type=arguments.number(-math.inf),
        metavar="LOSS",
        help="also tell after how many evaluations LOSS was reached",
    )
    parser.add_argument(
        "--log-x", action="store_true", help="evaluations on a logarithmic axis also where they span little"
    )
    given = parser.parse_args(argv)
    groups: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for source in given.runs:
        name, path = sources.split_name(source)
        groups.setdefault(name, []).append(best_against_evaluations(sources.archive(path).history))
    for name, curves in groups.items():
        last = [float(best[-1]) for _, best in curves]
        runs = f"{len(curves)} run{'s' if len(curves) != 1 else ''}"
        print(f"{name}: {runs}, best loss at the end {np.median(last):.6g} (median), {min(last):.6g} (lowest)")
        if given.reach is not None:
            needed = np.array([evaluations_to_reach(curve, given.reach) for curve in curves])
            reached = np.isfinite(needed)
            after = f" after {np.median(needed[reached]):.0f} evaluations (median of those)" if reached.any() else ""
            print(f"  {reached.sum()} of {len(curves)} reached {given.reach:g}{after}")
    figure = strategies(groups, True if given.log_x else None, given.reach)
    arguments.write([figure], arguments.stem(given.out, "convergence"), {"": figure.table}, size=(5.6, 3.8))


if __name__ == "__main__":
    sys.exit(arguments.run(main))
