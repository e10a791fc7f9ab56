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

import numpy as np

from grs_evo.analysis import command, common_embedding, figures, sources
from grs_evo.analysis.distributions import environments


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.parser(__doc__)
    parser.add_argument("sets", nargs="+", help="sources of the sets")
    parser.add_argument("--target", action="store_true", help="draw the target of the first archive too")
    command.add_basis(parser)
    command.add_pick(parser)
    parser.add_argument(
        "--most", type=command.whole(2), default=3000, help="environments of each set (default: %(default)s)"
    )
    parser.add_argument(
        "--perplexity",
        type=command.number(1.0),
        help="neighbours that count, about (default: 30, or a third of the different environments if that is less)",
    )
    parser.add_argument("--iterations", type=command.whole(1), default=500, help="(default: %(default)s)")
    parser.add_argument("--seed", type=command.whole(0, 2**32 - 1), default=0, help="(default: %(default)s)")
    given = parser.parse_args(arguments)
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
    drawing, axis = figures.figure(5.4, 4.6)
    columns: dict[str, list[object]] = {"set": [], "structure": [], "x": [], "y": []}
    for k, (name, (plane, which), owner) in enumerate(zip(names, placed, owners, strict=True)):
        look = figures.style(k)
        axis.plot(
            plane[:, 0], plane[:, 1], look["marker"], color=look["color"], markersize=2.2 if len(plane) > 300 else 4,
            alpha=0.6, markeredgewidth=0, label=f"{name} ({len(plane)})",
        )  # fmt: skip
        columns["set"] += [name] * len(plane)
        columns["structure"] += list(np.asarray(owner)[which])
        columns["x"] += list(plane[:, 0])
        columns["y"] += list(plane[:, 1])
        print(f"{name}: {len(plane)} environments")
    axis.set(xlabel="t-SNE 1", ylabel="t-SNE 2", xticks=[], yticks=[])
    axis.legend(markerscale=2)
    stem = command.stem(given.out, "embedding")
    numbers = figures.write_csv(stem.with_name(stem.name + ".csv"), columns)
    command.tell([*figures.save(drawing, stem), numbers])


if __name__ == "__main__":
    sys.exit(command.run(main))
