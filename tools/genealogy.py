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
from typing import Any

from grs_evo.analysis import Ancestor, ancestry, command, figures, origins, sources
from grs_evo.analysis.runs.genealogy import lines
from grs_evo.errors import InputError
from grs_evo.search.population.individual import read_uid, short_uid

# How an ancestor is drawn: its structure is kept, it is remembered, no more than its uid is known.
_KEPT, _REMEMBERED, _NAMED = ("o", "#56B4E9"), ("o", "white"), ("s", "white")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.parser(__doc__)
    parser.add_argument("archive", help="run folder or archive")
    parser.add_argument("--uid", help="of the structure, 3/29 or the number in files (default: the lowest loss)")
    parser.add_argument("--most", type=command.whole(1), default=200, help="ancestors to follow (default: %(default)s)")
    given = parser.parse_args(arguments)
    archive = sources.archive(sources.split_name(given.archive)[1])
    everyone = [*archive.individuals, *archive.set]
    if not everyone:
        raise InputError(f"{given.archive}: the archive is empty")
    uid = read_uid(given.uid) if given.uid is not None else min(everyone, key=lambda one: (one.value, one.uid)).uid
    found = ancestry(everyone, uid, given.most)
    stem = command.stem(given.out, "genealogy")
    print("\n".join(lines(found)))
    kept, known = sum(one.kept for one in found), sum(one.known for one in found)
    print(f"of {len(found)} individuals {kept} are in the archive, {known - kept} are remembered by descendants")
    made = ", ".join(f"{name} {count}" for name, count in origins(everyone).items())
    print(f"all structures in the archive were made by: {made}")
    numbers = figures.write_csv(
        stem.with_name(stem.name + ".csv"),
        {
            "uid": [one.uid for one in found], "depth": [one.depth for one in found],
            "kept": [int(one.kept) for one in found], "known": [int(one.known) for one in found],
            "parents": [" ".join(map(str, one.parents)) for one in found], "operator": [one.operator for one in found],
            "island": [one.island for one in found], "generation": [one.generation for one in found],
            "value": [one.value for one in found], "n_atoms": [one.n_atoms or "" for one in found],
        },
    )  # fmt: skip
    command.tell([*figures.save(_drawn(found), stem), numbers])


def _drawn(found: Sequence[Ancestor]) -> Any:
    """The family as a tree, the youngest at the top."""
    deepest = max(one.depth for one in found)
    places: dict[int, tuple[float, float]] = {}
    for depth in range(deepest + 1):
        row = [one for one in found if one.depth == depth]
        for k, one in enumerate(row):
            places[one.uid] = (k - (len(row) - 1) / 2, -float(depth))
    widest = max(abs(x) for x, _ in places.values())
    drawing, axis = figures.figure(min(14.0, 3.0 + 2.2 * widest), 1.2 + 0.7 * (deepest + 1))
    for one in found:
        x, y = places[one.uid]
        for parent in one.parents:
            if parent in places:
                axis.plot([x, places[parent][0]], [y, places[parent][1]], color="#8c8c8c", linewidth=0.9, zorder=1)
        marker, fill = _KEPT if one.kept else _REMEMBERED if one.known else _NAMED
        axis.plot([x], [y], marker, color="black", markerfacecolor=fill, markersize=9, zorder=2)
        text = short_uid(one.uid)
        if one.known:
            text += f" {one.operator}\ngeneration {one.generation}\n{one.value:.4g}"
        axis.annotate(text, (x, y), xytext=(7, -3), textcoords="offset points", fontsize=6, va="center")
    axis.set_axis_off()
    axis.margins(x=0.25, y=0.12)
    return drawing


if __name__ == "__main__":
    sys.exit(command.run(main))
