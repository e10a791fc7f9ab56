"""Distributions of single descriptor functions over a target and sets of structures, with a distance for each (SI 1).

The distance is the earth mover's in standard deviations of the target; Kolmogorov and Smirnov's stands beside it.

Examples:
    python tools/histograms.py out-ta
    python tools/histograms.py out-ta --columns 0,7,8,20
    python tools/histograms.py melt=runs/liquid-ta/target.extxyz best.extxyz --functions 12 --bins 30 -o histograms
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Sequence

import arguments
import numpy as np

from grs_evo.analysis import sources
from grs_evo.analysis.distributions import environments
from grs_evo.analysis.figures.environments import histogram
from grs_evo.errors import InputError


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("target", help="source of the target; of an archive, what it was made for")
    parser.add_argument("sets", nargs="*", help="sources of the sets (default: the target's archive itself)")
    arguments.add_basis(parser)
    arguments.add_pick(parser)
    parser.add_argument(
        "--functions",
        type=arguments.whole(1),
        default=9,
        help="how many functions to draw, worst first (default: %(default)s)",
    )
    parser.add_argument("--columns", help="functions to draw by number instead, e.g. 0,7,8")
    parser.add_argument("--bins", type=arguments.whole(1, 10_000), default=40, help="(default: %(default)s)")
    given = parser.parse_args(argv)
    arguments.check_second(given.target, bool(given.sets))
    named = given.sets or [given.target]
    basis = sources.basis(given.basis, [given.target, *given.sets])
    _, target = sources.target(given.target, basis)
    results = []
    for source in named:
        read = sources.structures(source, given.pick, basis.elements)
        chosen = environments.of_structures(read.structures, basis)
        found, labels = environments.compare_histograms(target, chosen, basis, given.bins)
        results.append((read.name, found, labels))
        print(f"{read.name}: earth mover's distance {found.wasserstein.mean():.4g} σ on average, "
              f"{found.wasserstein.max():.4g} σ at worst ({labels[int(found.wasserstein.argmax())]}); "
              f"KS {found.ks.mean():.4g} on average")  # fmt: skip
    _, first, labels = results[0]
    if any(other != labels for _, _, other in results):
        raise InputError(
            "histograms: the sets hold different elements, so their functions differ; draw them one by one"
        )
    worst = np.argsort(-np.max([found.wasserstein for _, found, _ in results], axis=0), kind="stable")
    shown = worst[: given.functions]
    if given.columns:
        try:
            shown = np.array([int(part) for part in given.columns.split(",")])
        except ValueError:
            raise InputError(f"--columns {given.columns}: must be numbers with commas between, e.g. 0,7,8") from None
        if shown.min() < 0 or shown.max() >= len(labels):
            raise InputError(f"--columns {given.columns}: there are functions 0 to {len(labels) - 1}")
    sets = [(name, found) for name, found, _ in results]
    figures = [histogram(sets, int(k), labels[k], rank) for rank, k in enumerate(shown, 1)]
    stem = arguments.stem(given.out, "histograms")
    numbers: dict[str, Iterable[object]] = {"function": labels, "sigma_target": first.scale}
    for set_name, found, _ in results:
        numbers |= {f"wasserstein_sigma {set_name}": found.wasserstein, f"ks {set_name}": found.ks}
    bars: dict[str, list[object]] = {key: [] for key in ("set", "function", "low", "high", "target", "share")}
    for (set_name, found), k in itertools.product(sets, shown):
        edges = found.edges[k]
        columns = ([set_name] * given.bins, [labels[k]] * given.bins, edges[:-1], edges[1:], found.target[k])
        for key, values in zip(bars, (*columns, found.chosen[k]), strict=True):
            bars[key] += list(values)
    arguments.write(figures, stem, {"": numbers, "-bins": bars}, columns=3, size=(2.7, 2.0))


if __name__ == "__main__":
    sys.exit(arguments.run(main))
