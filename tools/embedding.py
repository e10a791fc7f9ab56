"""Environments of any number of sets of structures in one plane, by t-SNE (openTSNE; paper, SI 2).

Which environments lie together means something; distances between far groups do not. A seed gives the same picture
again.

Examples:
    python tools/embedding.py out-ta --target --perplexity 50
    python tools/embedding.py SIS=runs/si2-fecr/sis.extxyz.gz MD=runs/si2-fecr/md300.extxyz.gz -o embedding
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import arguments
import numpy as np

from grs_evo.analysis import common_embedding, sources
from grs_evo.analysis.distributions import environments
from grs_evo.analysis.figures.environments import embedding


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("sets", nargs="+", help="sources of the sets")
    parser.add_argument("--target", action="store_true", help="draw the target of the first archive too")
    arguments.add_basis(parser)
    arguments.add_pick(parser)
    parser.add_argument(
        "--most", type=arguments.whole(2), default=3000, help="environments of each set (default: %(default)s)"
    )
    parser.add_argument(
        "--perplexity",
        type=arguments.number(1.0),
        help="neighbours that count, about (default: 30, or a third of the different environments if that is less)",
    )
    parser.add_argument("--iterations", type=arguments.whole(1), default=500, help="(default: %(default)s)")
    parser.add_argument("--seed", type=arguments.whole(0, 2**32 - 1), default=0, help="(default: %(default)s)")
    given = parser.parse_args(argv)
    basis = sources.basis(given.basis, given.sets)
    names, clouds, owners = [], [], []
    if given.target:
        name, target = sources.target(given.sets[0], basis)
        names.append(name)
        clouds.append(target.wide(basis))
        owners.append(target.owner)
    for source in given.sets:
        found = sources.structures(source, given.pick, basis.elements)
        chosen = environments.of_structures(found.structures, basis)
        names.append(found.name)
        clouds.append(chosen.wide(basis))
        owners.append(chosen.owner)
    placed = common_embedding(
        clouds, most=given.most, perplexity=given.perplexity, iterations=given.iterations, seed=given.seed
    )
    columns: dict[str, list[object]] = {"set": [], "structure": [], "x": [], "y": []}
    for name, (plane, which), owner in zip(names, placed, owners, strict=True):
        columns["set"] += [name] * len(plane)
        columns["structure"] += list(np.asarray(owner)[which])
        columns["x"] += list(plane[:, 0])
        columns["y"] += list(plane[:, 1])
        print(f"{name}: {len(plane)} environments")
    figure = embedding([(name, plane) for name, (plane, _) in zip(names, placed, strict=True)])
    arguments.write([figure], arguments.stem(given.out, "embedding"), {"": columns}, size=(5.4, 4.6))


if __name__ == "__main__":
    sys.exit(arguments.run(main))
