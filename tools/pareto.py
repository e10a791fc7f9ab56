"""The Pareto fronts of archives, and accuracy against cost (n³, Fig. 4).

Left: two objectives, the front joined by a line; left out where the archives were not judged by the same objectives.
Right: the lowest loss of every cell size against the cost of a DFT calculation relative to the smallest cell.

Examples:
    python tools/pareto.py out-ta
    python tools/pareto.py order=out-cu3au melt=out-ta -o pareto
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.analysis import command, figures, hypervolume, pareto_front, reference_point, sources
from grs_evo.errors import InputError
from grs_evo.report.formatting import objective
from grs_evo.storage.archive_file import Archive

Found = list[tuple[str, Archive]]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.parser(__doc__)
    parser.add_argument("archives", nargs="+", help="run folders or archives")
    given = parser.parse_args(arguments)
    split = [sources.split_name(source) for source in given.archives]
    found = [(name, sources.archive(path)) for name, path in split]
    for name, archive in found:
        if not archive.individuals:
            raise InputError(f"{name}: the archive is empty, so it has no front")
    judged = {tuple(archive.objective_names) for _, archive in found}
    alike = len(judged) == 1
    stem = command.stem(given.out, "pareto")
    drawing, axes = figures.figure(8.2 if alike else 4.4, 3.8, columns=2 if alike else 1, squeeze=False)
    if alike:
        _draw_fronts(axes[0, 0], found)
    else:
        print("no front is drawn: the archives were judged by " + " and by ".join(", ".join(one) for one in judged))
    _draw_cost(axes[0, -1], found)
    _tell(found, alike)
    numbers = figures.write_csv(stem.with_name(stem.name + ".csv"), _columns(found))
    command.tell([*figures.save(drawing, stem), numbers])


def _draw_fronts(axis: Any, found: Found) -> None:
    """All individuals in the plane of two objectives, those on the front filled and joined."""
    names = found[0][1].objective_names
    drawn: dict[str, list[float]] = {"x": [], "y": []}
    x_name, y_name = _plane(names)
    for k, (name, archive) in enumerate(found):
        look = figures.style(k)
        front = pareto_front(archive.objectives)
        x, y = _objective(archive, x_name), _objective(archive, y_name)
        axis.plot(
            x[~front], y[~front], look["marker"], color=look["color"], markerfacecolor="none", markersize=3, alpha=0.6
        )
        order = np.flatnonzero(front)[np.argsort(x[front], kind="stable")]
        joined = look if len(names) <= 2 else look | {"linestyle": "none"}
        axis.plot(x[order], y[order], label=f"{name} ({front.sum()})", **joined)
        drawn["x"] += list(x)
        drawn["y"] += list(y)
    axis.set(xlabel=objective(x_name), ylabel=objective(y_name))
    if x_name != "n_atoms":
        figures.logarithmic(axis.xaxis, drawn["x"])
    figures.logarithmic(axis.yaxis, drawn["y"])
    axis.legend()


def _plane(names: Sequence[str]) -> tuple[str, str]:
    """Two objectives to draw: two losses where there are, else size and loss."""
    losses = [name for name in names if name not in ("n_atoms", "cost")]
    if len(losses) > 1:
        return losses[0], losses[1]
    return ("cost" if "cost" in names else "n_atoms"), (losses[0] if losses else "value")


def _objective(archive: Archive, name: str) -> NDArray[np.float64]:
    if name in archive.objective_names:
        return np.asarray(archive.objectives[:, list(archive.objective_names).index(name)], dtype=np.float64)
    return _atoms(archive).astype(np.float64) if name == "n_atoms" else _values(archive)


def _draw_cost(axis: Any, found: Found) -> None:
    """Lowest loss of every size against n³."""
    smallest, lowest_of_all, costs = _smallest(found), [], []
    for k, (name, archive) in enumerate(found):
        atoms, values = _atoms(archive), _values(archive)
        sizes = np.unique(atoms)
        lowest = np.array([values[atoms == size].min() for size in sizes])
        axis.plot((sizes / smallest) ** 3.0, lowest, label=name, **figures.style(k))
        lowest_of_all += list(lowest)
        costs += list((sizes / smallest) ** 3.0)
    axis.set(xlabel=f"cost, (number of atoms / {smallest})³", ylabel="lowest loss")
    figures.logarithmic(axis.xaxis, costs)
    figures.logarithmic(axis.yaxis, lowest_of_all)
    axis.legend()


def _tell(found: Found, alike: bool) -> None:
    reference = reference_point(np.concatenate([archive.objectives for _, archive in found])) if alike else None
    for name, archive in found:
        atoms, values, front = _atoms(archive), _values(archive), pareto_front(archive.objectives)
        line = f"{name}: {len(values)} structures, {front.sum()} on the front"
        if reference is not None and len(reference) <= 5:
            line += f", hypervolume {hypervolume(archive.objectives, reference):.4g}"
        print(line)
        print(f"  lowest loss {values.min():.6g} with {atoms[values.argmin()]} atoms")


def _columns(found: Found) -> dict[str, list[object]]:
    """What is drawn, one row per individual; empty where an archive was not judged by an objective."""
    smallest = _smallest(found)
    objectives = dict.fromkeys(name for _, archive in found for name in archive.objective_names)
    extra = [name for name in objectives if name not in ("n_atoms", "value")]  # which have columns of their own
    columns: dict[str, list[object]] = {
        key: [] for key in ("archive", "uid", "n_atoms", "relative_cost", "value", "on_front", *extra)
    }
    for name, archive in found:
        atoms = _atoms(archive)
        columns["archive"] += [name] * len(atoms)
        columns["uid"] += [one.uid for one in archive.individuals]
        columns["n_atoms"] += list(atoms)
        columns["relative_cost"] += list((atoms / smallest) ** 3.0)
        columns["value"] += list(_values(archive))
        columns["on_front"] += list(pareto_front(archive.objectives).astype(int))
        for one in extra:
            known = one in archive.objective_names
            columns[one] += list(_objective(archive, one)) if known else [float("nan")] * len(atoms)
    return columns


def _atoms(archive: Archive) -> NDArray[np.int64]:
    return np.array([one.structure.n_atoms for one in archive.individuals])


def _values(archive: Archive) -> NDArray[np.float64]:
    return np.array([one.value for one in archive.individuals])


def _smallest(found: Found) -> int:
    return min(int(_atoms(archive).min()) for _, archive in found)


if __name__ == "__main__":
    sys.exit(command.run(main))
