"""How a structure came to be: its ancestors with operators, islands and generations.

The archive holds the structures that were never beaten. Of other ancestors it knows what their descendants remember:
the last twenty along first parents, with value, size and what made them.

Examples:
    python tools/genealogy.py out-ta                       # of the best structure
    python tools/genealogy.py out-cu3au --uid 0/12 -o family
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import arguments
import numpy as np

from grs_evo.analysis import ancestry, origins, sources
from grs_evo.analysis.figures.search import family
from grs_evo.analysis.runs.genealogy import lines
from grs_evo.errors import InputError
from grs_evo.search.population.individual import read_uid


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("archive", help="run folder or archive")
    parser.add_argument("--uid", help="of the structure, 3/29 or the number in files (default: the lowest loss)")
    parser.add_argument(
        "--most", type=arguments.whole(1), default=200, help="ancestors to follow (default: %(default)s)"
    )
    given = parser.parse_args(argv)
    archive = sources.archive(sources.split_name(given.archive)[1])
    everyone = [*archive.individuals, *archive.set]
    if not everyone:
        raise InputError(f"{given.archive}: the archive is empty")
    uid = read_uid(given.uid) if given.uid is not None else min(everyone, key=lambda one: (one.value, one.uid)).uid
    found = ancestry(everyone, uid, given.most)
    stem = arguments.stem(given.out, "genealogy")
    print("\n".join(lines(found)))
    kept, known = sum(one.kept for one in found), sum(one.known for one in found)
    print(f"of {len(found)} individuals {kept} are in the archive, {known - kept} are remembered by descendants")
    made = ", ".join(f"{name} {count}" for name, count in origins(everyone).items())
    print(f"all structures in the archive were made by: {made}")
    figure = family(found)
    places = np.concatenate([np.column_stack([one.x, one.y]) for one in figure.series[1:]])
    across, down = np.ptp(places, axis=0)
    arguments.write([figure], stem, {"": figure.table}, size=(min(14.0, 2.4 + 1.2 * across), 1.0 + 0.62 * (down + 1)))


if __name__ == "__main__":
    sys.exit(arguments.run(main))
