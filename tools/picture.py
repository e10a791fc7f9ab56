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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo import read_structures
from grs_evo.analysis import command, figures, sources
from grs_evo.analysis.distributions import environments
from grs_evo.errors import InputError
from grs_evo.report.structure_view import radii
from grs_evo.structures.neighbours import neighbours
from grs_evo.structures.structure import Structure


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.parser(__doc__)
    parser.add_argument("run", help="run folder; the first file under its inputs/ is drawn as the target")
    parser.add_argument(
        "--reach",
        type=command.number(0.0, 50.0, "Å"),
        default=8.0,
        help="end of the pair distribution, Å (default: %(default)s)",
    )
    given = parser.parse_args(arguments)
    found = sources.archive(given.run)
    best = sources.pick(found, "best", given.run)[0]
    files = sorted((Path(given.run) / "inputs").glob("target*"))
    if not files:
        raise InputError(f"{given.run}: has no inputs/target*; the run's target was not read from structure files")
    target = read_structures(str(files[0]), found.elements)[0].structure

    drawing, axes = figures.figure(10.0, 2.9, columns=4, width_ratios=(1.15, 1.15, 1.0, 1.0))
    side = _side(target)
    for axis, structure, title in (
        (axes[0], target, f"target: {target.n_atoms} atoms"),
        (axes[1], best.structure, f"found: {best.structure.n_atoms} atoms"),
    ):
        _draw(axis, structure, found.elements, side)
        axis.set_title(title)

    basis = found.basis
    kept = sources.target_of(found, given.run)
    assert kept is not None  # the run had structures as its target
    rows = environments.of_target(kept).wide(basis)
    own = environments.of_structures([best.structure], basis).wide(basis)
    function = int(np.argmax(rows.std(axis=0) / np.maximum(np.abs(rows.mean(axis=0)), 1e-12)))
    edges = np.histogram_bin_edges(np.concatenate([rows[:, function], own[:, function]]), 24)
    for values, k, label in ((rows, 0, "target"), (own, 1, "found")):
        shares = np.histogram(values[:, function], edges)[0] / len(values)
        axes[2].stairs(shares, edges, fill=k == 0, alpha=0.45 if k == 0 else 1.0, color=figures.COLOURS[k], label=label,
                       linewidth=1.5)  # fmt: skip
    axes[2].set(xlabel=environments.function_names(basis)[function], ylabel="share of environments")
    axes[2].legend()

    columns: dict[str, NDArray] = {}
    for structure, k, label in ((target, 0, "target"), (best.structure, 1, "found")):
        distance, density = _pair_distribution(structure, given.reach)
        axes[3].plot(distance, density, color=figures.COLOURS[k], linestyle=figures.DASHES[k], label=label)
        columns |= {"distance": distance, label: density}
    axes[3].set(xlabel="distance (Å)", ylabel="pair distribution g(r)")
    axes[3].legend()
    stem = command.stem(given.out, "picture")
    command.tell([*figures.save(drawing, stem), figures.write_csv(stem.with_suffix(".csv"), columns)])


def _side(structure: Structure) -> float:
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) @ structure.cell
    return float(np.ptp(corners[:, 1:], axis=0).max()) * 1.08


def _draw(axis: Any, structure: Structure, elements: Sequence[str], side: float) -> None:
    """Atoms wrapped into the cell as discs, the nearer the darker, inside a square of `side` Å."""
    from matplotlib.collections import EllipseCollection

    shares = structure.positions @ np.linalg.inv(structure.cell)
    positions = np.where(structure.pbc, shares - np.floor(shares), shares) @ structure.cell
    order = np.argsort(positions[:, 0], kind="stable")
    depth = np.linspace(0.15, 1.0, len(order))
    size = 2 * np.array(radii(elements))[structure.species[order]] * 0.75
    colours = [
        _shade(figures.COLOURS[k % len(figures.COLOURS)], d)
        for k, d in zip(structure.species[order], depth, strict=True)
    ]
    axis.add_collection(
        EllipseCollection(
            size,
            size,
            np.zeros_like(size),
            units="xy",
            offsets=positions[order][:, 1:],
            offset_transform=axis.transData,
            facecolors=colours,
            edgecolors="white",
            linewidths=0.3,
        )
    )
    middle = structure.cell.sum(axis=0)[1:] / 2
    axis.set(
        xlim=(middle[0] - side / 2, middle[0] + side / 2),
        ylim=(middle[1] - side / 2, middle[1] + side / 2),
        aspect="equal",
    )
    axis.axis("off")


def _shade(colour: str, depth: float) -> tuple[float, ...]:
    """A colour, faded towards white with distance from the eye."""
    rgb = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    return tuple(1.0 - depth * (1.0 - rgb))


def _pair_distribution(structure: Structure, reach: float, bins: int = 80) -> tuple[NDArray, NDArray]:
    """g(r) up to `reach` Å: pairs per shell over those of an ideal gas of the same density."""
    distances = np.linalg.norm(neighbours(structure, reach).vectors, axis=1)
    counts, edges = np.histogram(distances, bins, (0.0, reach))
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    density = structure.n_atoms / structure.volume
    return (edges[1:] + edges[:-1]) / 2, counts / (structure.n_atoms * density * shells)


if __name__ == "__main__":
    sys.exit(command.run(main))
