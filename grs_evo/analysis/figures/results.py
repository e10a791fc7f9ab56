"""Figures of what was found: fronts, the cost of accuracy, and sets as they grow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grs_evo.analysis.figures.figure import Axis, Figure, Series, axis, counts, readable
from grs_evo.analysis.notation import objective, whole
from grs_evo.analysis.runs.hypervolume import hypervolume_over_generations, pareto_front
from grs_evo.search.population.individual import short_uid
from grs_evo.storage.archive_file import Archive

# Points drawn of a front; the table holds all of them.
_FRONT = 1500
# Losses below this are those of an exact match.
_EXACT = 1e-10
_SIZES = ("n_atoms", "cost")


@dataclass(frozen=True, eq=False)
class NamedArchive:
    """An archive with what its individuals are drawn by."""

    name: str  # in the legend
    archive: Archive

    @property
    def atoms(self) -> NDArray[np.int64]:
        return np.array([one.structure.n_atoms for one in self.archive.individuals])

    @property
    def values(self) -> NDArray[np.float64]:
        return np.array([one.value for one in self.archive.individuals])

    def column(self, name: str) -> NDArray[np.float64]:
        """An objective of all individuals; number of atoms and value also where they are none."""
        names = list(self.archive.objective_names)
        if name in names:
            return np.asarray(self.archive.objectives[:, names.index(name)], dtype=np.float64)
        return self.atoms.astype(np.float64) if name == "n_atoms" else self.values


def front(found: Sequence[NamedArchive]) -> Figure:
    """Two objectives against each other, with the front filled: by size of the cell, or of several archives by archive.

    Parameters
    ----------
    found : archives that were judged by the same objectives
    """
    names = found[0].archive.objective_names
    drawn, axes = [], []
    for name in _plane(names):
        values = np.concatenate([one.column(name) for one in found])
        # What rounding leaves of an exact match is a zero, not fourteen decades of axis.
        values = np.where(np.abs(values) < _EXACT, 0.0, values)
        title = objective(name)
        values, laid_off = (values, Axis(title)) if name == "n_atoms" else readable(title, values)
        drawn.append(values)
        axes.append(laid_off)
    on_front = np.concatenate([pareto_front(one.archive.objectives) for one in found])
    shown = np.zeros(len(on_front), dtype=bool)
    shown[np.argsort(~on_front, kind="stable")[:_FRONT]] = True
    members = [one for each in found for one in each.archive.individuals]
    notes = [f"uid {short_uid(one.uid)}, {one.structure.n_atoms} atoms" for one in members]
    series = []
    for k, (label, group) in enumerate(_groups(found)):
        group &= shown
        for filled in (True, False):
            which = np.flatnonzero(group & (on_front == filled))
            which = which[np.argsort(drawn[0][which], kind="stable")]
            if len(which):
                series.append(Series(
                    label, drawn[0][which], drawn[1][which],
                    "joined" if filled and len(found) > 1 and len(names) <= 2 else "points", k, 8.0 if filled else 6.0,
                    hollow=not filled, notes=[notes[i] for i in which], listed=filled or not (group & on_front).any(),
                ))  # fmt: skip
    left = len(on_front) - int(shown.sum())
    return Figure(
        "pareto",
        "Pareto front",
        "Filled symbols: nothing in the archive is lower in all objectives "
        f"({', '.join(objective(name) for name in names)}). Open symbols are kept for their low total loss."
        + (f" {whole(left)} more are in the data." if left else ""),
        series,
        axes[0],
        axes[1],
        front_table(found),
        height=420,
    )


def front_table(found: Sequence[NamedArchive]) -> dict[str, list[object]]:
    """One row per individual of all archives; empty where an archive was not judged by an objective."""
    smallest = min(int(one.atoms.min()) for one in found)
    names = dict.fromkeys(name for one in found for name in one.archive.objective_names)
    columns: dict[str, list[object]] = {
        "uid": [member.uid for one in found for member in one.archive.individuals],
        "n_atoms": [size for one in found for size in one.atoms],
        "on_front": [int(on) for one in found for on in pareto_front(one.archive.objectives)],
    }
    for name in [*(name for name in names if name not in columns), "value"]:
        columns[name] = []
        for one in found:
            known = name in one.archive.objective_names or name == "value"
            columns[name] += list(one.column(name)) if known else [float("nan")] * len(one.atoms)
    columns["relative_cost"] = [(size / smallest) ** 3.0 for one in found for size in one.atoms]
    return columns | {"archive": [one.name for one in found for _ in one.atoms]}


def _plane(names: Sequence[str]) -> tuple[str, str]:
    """Two objectives to draw: two losses where there are, else size and loss."""
    losses = [name for name in names if name not in _SIZES]
    if len(losses) > 1:
        return losses[0], losses[1]
    return next((name for name in names if name in _SIZES), "n_atoms"), losses[0] if losses else "value"


def _groups(found: Sequence[NamedArchive]) -> list[tuple[str, NDArray[np.bool_]]]:
    """Names and members of what gets a symbol of its own: an archive, or of a single one a range of cell sizes."""
    if len(found) > 1:
        owner = np.repeat(np.arange(len(found)), [len(one.archive.individuals) for one in found])
        return [
            (f"{one.name} ({pareto_front(one.archive.objectives).sum()})", owner == k) for k, one in enumerate(found)
        ]
    atoms = found[0].atoms
    kinds = np.unique(atoms)
    # Up to six ranges with about as many structures each.
    edges = kinds[1:] if len(kinds) <= 6 else np.unique(np.quantile(atoms, np.linspace(0, 1, 7)[1:-1]).round())
    group = np.searchsorted(edges, atoms, side="right")
    groups = []
    for k in np.unique(group):
        low, high = atoms[group == k].min(), atoms[group == k].max()
        groups.append((f"{low} atoms" if low == high else f"{low}–{high} atoms", group == k))
    return groups


def cost(found: Sequence[NamedArchive]) -> Figure:
    """The lowest loss of each cell size against the cost of a DFT calculation (Fig. 4)."""
    smallest = min(int(one.atoms.min()) for one in found)
    series, sizes, lowest = [], [], []
    for k, one in enumerate(found):
        atoms = np.unique(one.atoms)
        best = np.array([one.values[one.atoms == size].min() for size in atoms])
        notes = [f"{size} atoms" for size in atoms]
        series.append(Series(one.name, (atoms / smallest) ** 3.0, best, "joined", k, 8.0, notes=notes))
        sizes.append(atoms)
        lowest.append(best)
    n_atoms = np.concatenate(sizes)
    relative = (n_atoms / smallest) ** 3.0
    return Figure(
        "cost",
        "What more atoms buy",
        "Lowest loss of each cell size. The cost of a DFT calculation grows about as the cube of the number of atoms.",
        series,
        axis(f"cost, (number of atoms / {smallest})³", relative, log=True),
        axis("lowest loss", np.concatenate(lowest)),
        {"n_atoms": n_atoms, "relative_cost": relative, "best_value": np.concatenate(lowest)},
        height=300,
    )


def worth(one: NamedArchive) -> Figure | None:
    """Hypervolume of the front over the generations."""
    generations = np.array([member.generation for member in one.archive.individuals])
    # Above four objectives the exact volume takes longer than it is worth.
    if len(np.unique(generations)) < 2 or not 1 <= one.archive.objectives.shape[1] <= 4:
        return None
    when, share = hypervolume_over_generations(generations, one.archive.objectives, steps=60)
    return Figure(
        "hypervolume",
        "Hypervolume over the generations",
        "How much of the final front stood by each generation (1 is the end). Before the last one this is a lower "
        "bound: the archive keeps what nothing beats, and has let go what was on the front once. A line still rising "
        "says: search on.",
        [Series("hypervolume", when, share, "steps")],
        counts("generation", when, from_zero=False),
        Axis("share of the final hypervolume", from_zero=True),
        {"generation": when, "share": share},
        height=300,
    )


def acceptance(losses: Sequence[float] | NDArray[np.float64], away: bool) -> Figure | None:
    """The loss of a set after each of its structures; where a search moves away how far each is from the target."""
    if len(losses) < 2:
        return None
    count = np.arange(1, len(losses) + 1)
    drawn, y = readable("distance from the target" if away else "set loss", losses, from_zero=True)
    caption = (
        "Loss of the whole set after each structure was added. It may rise for a while where the run allows slack."
    )
    if away:
        caption = (
            "Structure loss of each accepted structure against the target as it was given, in order of acceptance."
        )
    return Figure(
        "acceptance",
        "How far each accepted structure lies" if away else "Set loss as the set grew",
        caption,
        [Series("set", count, drawn, "joined" if len(drawn) <= 60 else "line", size=7.0)],
        counts("structure" if away else "structures", count, from_zero=False),
        y,
        {"structure": count, "distance" if away else "set_loss": np.asarray(losses, dtype=np.float64)},
        height=300,
    )
