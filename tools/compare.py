"""Two sets of structures compared by their moments: mean absolute difference of the first and the second (Fig. 7).

Beside it stands the noise, printed and drawn: how far random halves of the first set are from each other. A set nearer
than that fits the noise of the first.

Examples:
    python tools/compare.py out-ta                                 # what the run found against its target
    python tools/compare.py out-ta best.extxyz                     # its target against other structures
    python tools/compare.py melt=runs/liquid-ta/target.extxyz best.extxyz --basis out-ta -o compare
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import arguments
import numpy as np

from grs_evo.analysis import sources
from grs_evo.analysis.distributions import environments
from grs_evo.analysis.figures.environments import differences


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("first", help="source of the first set; of an archive, the target it was made for")
    parser.add_argument("second", nargs="?", help="source of the second set (default: what the first archive found)")
    arguments.add_basis(parser)
    arguments.add_pick(parser)
    parser.add_argument(
        "--worst", type=arguments.whole(0), default=5, help="functions to name in the output (default: %(default)s)"
    )
    given = parser.parse_args(argv)
    arguments.check_second(given.first, given.second is not None)
    second = given.second or given.first
    basis = sources.basis(given.basis, [given.first, second])
    name, target = sources.target(given.first, basis)
    read = sources.structures(second, given.pick, basis.elements)
    chosen = environments.of_structures(read.structures, basis)
    found = environments.compare_moments(target, chosen, basis)
    labels = environments.function_names(basis)
    wide, wide_chosen = target.wide(basis), chosen.wide(basis)
    print(f"{name}: {target.total} environments, {basis.n_desc} functions")
    print(f"{read.name}: {len(read.structures)} structures, {chosen.total} environments")
    print(f"mean absolute difference of the means      {found.mae_first:.6g}   scaled {found.scaled_first:.6g} σ")
    print(f"mean absolute difference of the variances  {found.mae_second:.6g}   scaled {found.scaled_second:.6g} σ²")
    floor = environments.floor(target, basis) if len(target) > 1 else None
    if floor is not None:
        print(f"halves of {name} to each other: means {floor.mae_first:.6g} ({floor.scaled_first:.6g} σ), "
              f"variances {floor.mae_second:.6g} ({floor.scaled_second:.6g} σ²)")  # fmt: skip
    scaled = found.first / found.scale
    for k in np.argsort(-scaled, kind="stable")[: given.worst]:
        print(f"  {labels[k]}: mean {wide_chosen[:, k].mean():.5g}, {name} {wide[:, k].mean():.5g} ({scaled[k]:.3g} σ)")
    numbers = {
        "function": labels, "mean_first": wide.mean(axis=0), "mean_second": wide_chosen.mean(axis=0),
        "variance_first": wide.var(axis=0), "variance_second": wide_chosen.var(axis=0),
        "difference_of_means": found.first, "difference_of_variances": found.second, "sigma": found.scale,
    }  # fmt: skip
    arguments.write(differences(found, floor), arguments.stem(given.out, "compare"), {"": numbers})


if __name__ == "__main__":
    sys.exit(arguments.run(main))
