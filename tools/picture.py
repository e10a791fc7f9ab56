"""What went into a run beside what came out of it, in one picture: both structures, and what they have in common.

The target as the run read it, the best structure found, the distribution of one descriptor over both, and their pair
distribution functions. Structures are drawn to the same scale, seen along the first cell vector.

Examples:
    python tools/picture.py out-ta -o picture
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import arguments
import numpy as np

from grs_evo import read_structures
from grs_evo.analysis import sources
from grs_evo.analysis.distributions import environments
from grs_evo.analysis.figures.environments import distribution, pair_distribution
from grs_evo.analysis.figures.figure import Discs, Figure
from grs_evo.errors import InputError
from grs_evo.report.structure_view import radii
from grs_evo.structures.structure import Structure


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("run", help="run folder; the first file under its inputs/ is drawn as the target")
    parser.add_argument(
        "--reach",
        type=arguments.number(0.0, 50.0, "Å"),
        default=8.0,
        help="end of the pair distribution, Å (default: %(default)s)",
    )
    given = parser.parse_args(argv)
    found = sources.archive(given.run)
    best = sources.pick(found, "best", given.run)[0]
    files = sorted((Path(given.run) / "inputs").glob("target*"))
    if not files:
        raise InputError(f"{given.run}: has no inputs/target*; the run's target was not read from structure files")
    target = read_structures(str(files[0]), found.elements)[0].structure

    basis = found.basis
    kept = sources.target_of(found, given.run)
    assert kept is not None  # the run had structures as its target
    rows = environments.of_target(kept).wide(basis)
    own = environments.of_structures([best.structure], basis).wide(basis)
    function = int(np.argmax(rows.std(axis=0) / np.maximum(np.abs(rows.mean(axis=0)), 1e-12)))
    pairs = pair_distribution({"target": target, "found": best.structure}, given.reach)
    figures = [
        _view(target, f"target: {target.n_atoms} atoms", found.elements, _side(target)),
        _view(best.structure, f"found: {best.structure.n_atoms} atoms", found.elements, _side(target)),
        distribution(
            environments.function_names(basis)[function], {"target": rows[:, function], "found": own[:, function]}
        ),
        pairs,
    ]
    stem = arguments.stem(given.out, "picture")
    arguments.write(figures, stem, {"": pairs.table}, columns=4, size=(2.5, 2.6))


def _side(structure: Structure) -> float:
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) @ structure.cell
    return float(np.ptp(corners[:, 1:], axis=0).max()) * 1.08


def _view(structure: Structure, title: str, elements: Sequence[str], side: float) -> Figure:
    """Atoms wrapped into the cell, seen along x, inside a square of `side` Å."""
    shares = structure.positions @ np.linalg.inv(structure.cell)
    positions = np.where(structure.pbc, shares - np.floor(shares), shares) @ structure.cell
    order = np.argsort(positions[:, 0], kind="stable")
    species = structure.species[order]
    middle = structure.cell.sum(axis=0)[1:] / 2
    size = 0.75 * np.array(radii(elements))[species]
    depth = np.linspace(0.15, 1.0, len(order))
    y, z = positions[order][:, 1:].T
    return Figure("view", title, discs=Discs(y, z, size, species, depth, (middle[0], middle[1], side)))


if __name__ == "__main__":
    sys.exit(arguments.run(main))
