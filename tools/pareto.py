"""The Pareto fronts of archives, and accuracy against cost (n³, Fig. 4).

Left: two objectives, the front filled; left out where the archives were not judged by the same objectives.
Right: the lowest loss of every cell size against the cost of a DFT calculation relative to the smallest cell.

Examples:
    python tools/pareto.py out-ta
    python tools/pareto.py order=out-cu3au melt=out-ta -o pareto
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import arguments
import numpy as np

from grs_evo.analysis import hypervolume, pareto_front, reference_point, sources
from grs_evo.analysis.figures.results import NamedArchive, cost, front, front_table
from grs_evo.errors import InputError


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("archives", nargs="+", help="run folders or archives")
    given = parser.parse_args(argv)
    found = []
    for name, path in (sources.split_name(source) for source in given.archives):
        archive = sources.archive(path)
        if not archive.individuals:
            raise InputError(f"{name}: the archive is empty, so it has no front")
        found.append(NamedArchive(name, archive))
    judged = {tuple(one.archive.objective_names) for one in found}
    stem = arguments.stem(given.out, "pareto")
    figures = [front(found)] if len(judged) == 1 else []
    if not figures:
        print("no front is drawn: the archives were judged by " + " and by ".join(", ".join(one) for one in judged))
    _tell(found, len(judged) == 1)
    arguments.write([*figures, cost(found)], stem, {"": front_table(found)}, size=(4.2, 3.8))


def _tell(found: Sequence[NamedArchive], alike: bool) -> None:
    reference = reference_point(np.concatenate([one.archive.objectives for one in found])) if alike else None
    for one in found:
        values, on_front = one.values, pareto_front(one.archive.objectives)
        line = f"{one.name}: {len(values)} structures, {on_front.sum()} on the front"
        if reference is not None and len(reference) <= 5:
            line += f", hypervolume {hypervolume(one.archive.objectives, reference):.4g}"
        print(line)
        print(f"  lowest loss {values.min():.6g} with {one.atoms[values.argmin()]} atoms")


if __name__ == "__main__":
    sys.exit(arguments.run(main))
