"""The Pareto fronts of archives, and accuracy against cost (n³, Fig. 4).

Left: the two first objectives, the front joined by a line. Right: the lowest loss of every cell size against the cost
of a DFT calculation relative to the smallest cell.

Examples:
    python tools/pareto.py runs/liquid-ta/out
    python tools/pareto.py small=runs/ta-20/out large=runs/ta-54/out -o pareto
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from grs_evo.analysis import command, figures, hypervolume, pareto_front, reference_point, sources
from grs_evo.errors import InputError


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.parser(__doc__)
    parser.add_argument("archives", nargs="+", help="run folders or archives")
    given = parser.parse_args(arguments)
    found = [
        (sources.split_name(source)[0], sources.archive(sources.split_name(source)[1])) for source in given.archives
    ]
    names = tuple(found[0][1].objective_names)
    for name, archive in found:
        if tuple(archive.objective_names) != names:
            raise InputError(
                f"{name}: has the objectives {', '.join(archive.objective_names)}, the first archive {', '.join(names)}"
            )
        if not archive.individuals:
            raise InputError(f"{name}: the archive is empty, so it has no front")
    reference = reference_point(np.concatenate([np.asarray(archive.objectives) for _, archive in found]))
    smallest = min(one.structure.n_atoms for _, archive in found for one in archive.individuals)
    drawing, (left, right) = figures.figure(8.2, 3.8, columns=2)
    columns: dict[str, list[object]] = {
        key: [] for key in ("archive", "uid", "n_atoms", "relative_cost", "value", "on_front")
    }
    columns |= {name: [] for name in names if name not in columns}
    positive = [True, True, True]
    for k, (name, archive) in enumerate(found):
        look = figures.style(k)
        objectives = np.asarray(archive.objectives, dtype=np.float64)
        front = pareto_front(objectives)
        atoms = np.array([one.structure.n_atoms for one in archive.individuals])
        values = np.array([one.value for one in archive.individuals])
        x, y = objectives[:, 0], objectives[:, min(1, objectives.shape[1] - 1)]
        positive[0] &= bool((x > 0).all())
        positive[1] &= bool((y > 0).all())
        left.plot(
            x[~front], y[~front], look["marker"], color=look["color"], markerfacecolor="none", markersize=3, alpha=0.6
        )
        order = np.flatnonzero(front)[np.argsort(x[front], kind="stable")]
        left.plot(
            x[order],
            y[order],
            label=f"{name} ({front.sum()})",
            **(look if objectives.shape[1] <= 2 else look | {"linestyle": "none"}),
        )
        sizes = np.unique(atoms)
        lowest = np.array([values[atoms == size].min() for size in sizes])
        positive[2] &= bool((lowest > 0).all())
        right.plot((sizes / smallest) ** 3.0, lowest, label=name, **look)
        volume = (
            f"hypervolume {hypervolume(objectives, reference):.4g}"
            if objectives.shape[1] <= 5
            else "more than 5 objectives"
        )
        print(f"{name}: {len(objectives)} structures, {front.sum()} on the front, {volume}")
        print(f"  lowest loss {values.min():.6g} with {atoms[values.argmin()]} atoms")
        columns["archive"] += [name] * len(objectives)
        columns["uid"] += [one.uid for one in archive.individuals]
        columns["n_atoms"] += list(atoms)
        columns["relative_cost"] += list((atoms / smallest) ** 3.0)
        columns["value"] += list(values)
        columns["on_front"] += list(front.astype(int))
        for j, objective in enumerate(names):
            if objective not in ("n_atoms", "value"):  # which have columns of their own
                columns[objective] += list(objectives[:, j])
    left.set(xlabel=names[0], ylabel=names[min(1, len(names) - 1)])
    right.set(xlabel=f"cost (n/{smallest})³", ylabel="lowest loss", xscale="log")
    for logarithmic, change in zip(positive, (left.set_xscale, left.set_yscale, right.set_yscale), strict=True):
        if logarithmic:
            change("log")
    left.legend()
    right.legend()
    stem = command.stem(given.out, "pareto")
    numbers = figures.write_csv(stem.with_name(stem.name + ".csv"), columns)
    command.tell([*figures.save(drawing, stem), numbers])


if __name__ == "__main__":
    sys.exit(command.run(main))
