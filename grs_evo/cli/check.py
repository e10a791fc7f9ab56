"""What a run file asks for, before anything starts: functions, neighbours, shells, memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.driver.chosen.decided import decided, with_floor
from grs_evo.driver.config.changes import check_files
from grs_evo.driver.config.plugged import recorded
from grs_evo.driver.config.run_file import RunFile, read
from grs_evo.driver.config.toml import to_toml
from grs_evo.driver.sets.progress import given_structures
from grs_evo.driver.setup import by_alloy, make_problem, make_target_data
from grs_evo.errors import within
from grs_evo.loss.terms.table import facts
from grs_evo.storage.target_file import TargetData
from grs_evo.structures.neighbours import neighbours
from grs_evo.structures.structure import Structure
from grs_evo.text import table_of

# Å: distances closer than this belong to one shell of a crystal
_SHELL = 0.05
_MOST_SHELLS = 12
_MOST_CENTRES = 20_000
# Å: a wider one is no shell but neighbours at all distances, as in a liquid
_WIDEST_SHELL = 0.6


def check(path: str | Path) -> dict[str, Any]:
    """The facts of a run file as plain values; raises InputError as `run` would."""
    file = Path(path)
    given = read(file)
    with within(str(file)):
        check_files(given, file.parent)
        given, by_composition = by_alloy(given, file.parent)
        target_data = make_target_data(given, file.parent)
        given, by_target = decided(given, target_data)
        recorded(given)  # parts from outside that a run would not find
        problem = make_problem(given, target_data, file.parent)
        given, at_floor = with_floor(given, problem.objective)
        given_structures(given, target_data.basis, file.parent)
    elements = target_data.basis.elements
    samples = _samples(target_data, problem)
    return {
        "run_file": str(file),
        "settings": json.loads(given.model_dump_json()),
        "effective": to_toml(given),
        "elements": list(elements),
        "functions": {element: int(n) for element, n in zip(elements, target_data.basis.sizes, strict=True)},
        "functions_by_rank": {element: _by_rank(target_data, k) for k, element in enumerate(elements)},
        "cutoffs": {
            f"{a}-{b}": float(target_data.basis.cutoff[i, j])
            for i, a in enumerate(elements)
            for j, b in enumerate(elements)
        },
        "neighbours_per_atom": {name: _neighbours(one, target_data) for name, one in samples.items()},
        "shells": {name: _by_pair(one, target_data, _grouped) for name, one in samples.items()},
        "coordination": {name: _by_pair(one, target_data, _coordination) for name, one in samples.items()},
        "target": {
            "environments": int(target_data.target.n_environments),
            "structures": len(target_data.structures),
            "description": target_data.target.description,
        },
        "terms": list(problem.term_names),
        "term_facts": {name: asdict(one) for name, one in facts(problem.term_names, given.loss).items()},
        "objectives": list(problem.archive.objectives or ()),
        "notes": [*by_composition, *by_target, *at_floor, *problem.objective.notes, *problem.notes],
        "islands": problem.n_islands,
        "atoms": sorted({n for source in problem.sources for n in source.sizes}),
        "memory_bytes": _memory(given, target_data, problem),
    }


def _samples(target_data: TargetData, problem: Any) -> dict[str, Structure]:
    found: dict[str, Structure] = {}
    if target_data.structures:
        found["target"] = target_data.structures[0]
    if problem.sources[0].templates:
        found["candidate"] = problem.sources[0].templates[0]
    return found


def _by_rank(target_data: TargetData, element: int) -> dict[str, int]:
    ranks = [len(label.mus) for label in target_data.basis.labels[element]]
    return {str(rank): ranks.count(rank) for rank in sorted(set(ranks))}


def _neighbours(structure: Structure, target_data: TargetData) -> float:
    reach = target_data.basis.cutoff
    centres = _centres(structure)
    listed = neighbours(structure, float(reach.max()), centres)
    inside = listed.distances < reach[structure.species[listed.first], structure.species[listed.second]]
    return float(inside.sum() / len(centres))


def _centres(structure: Structure) -> NDArray[np.int64]:
    """Atoms whose neighbours are counted: of a very large structure every second, third, …"""
    return np.arange(0, structure.n_atoms, max(1, -(-structure.n_atoms // _MOST_CENTRES)))


def _by_pair(
    structure: Structure, target_data: TargetData, judge: Callable[[NDArray[np.float64], int], Any]
) -> dict[str, Any]:
    """For each pair of elements what `judge` makes of its sorted distances in the cutoff and the number of atoms."""
    elements, reach = target_data.basis.elements, target_data.basis.cutoff
    centres = _centres(structure)
    listed = neighbours(structure, float(reach.max()), centres)
    centre, other = structure.species[listed.first], structure.species[listed.second]
    found = {}
    for i, a in enumerate(elements):
        for j, b in enumerate(elements):
            distances = np.sort(listed.distances[(centre == i) & (other == j) & (listed.distances < reach[i, j])])
            n_centres = int((structure.species[centres] == i).sum())
            if len(distances):
                found[f"{a}-{b}"] = judge(distances, n_centres)
    return found


def _grouped(distances: NDArray[np.float64], n_centres: int) -> list[list[float]]:
    """Neighbour shells as [distance in Å, neighbours per atom]; none where they cannot be told apart."""
    parts = np.split(distances, np.flatnonzero(np.diff(distances) > _SHELL) + 1)
    if any(part[-1] - part[0] > _WIDEST_SHELL for part in parts):
        return []
    return [[float(part.mean()), len(part) / n_centres] for part in parts][:_MOST_SHELLS]


def _coordination(distances: NDArray[np.float64], n_centres: int) -> dict[str, float]:
    """Neighbours per atom inside the cutoff, and the nearest of them: up to the first minimum of their density."""
    edges = np.arange(0.0, distances[-1] + 0.2, 0.2)
    middle = (edges[1:] + edges[:-1]) / 2
    density = np.histogram(distances, edges)[0] / middle**2
    peak = int(np.argmax(density))
    after = np.flatnonzero((middle > middle[peak]) & (middle < 1.7 * middle[peak]))
    border = float(middle[after[np.argmin(density[after])]]) if len(after) else float(distances[-1])
    return {
        "neighbours": len(distances) / n_centres,
        "nearest": float((distances < border).sum() / n_centres),
        "nearest_to": border,
    }


def _memory(run: RunFile, target_data: TargetData, problem: Any) -> int:
    """Bytes a single rank with all islands would hold: structures of populations and archives, target, descriptors."""
    atoms = max(n for source in problem.sources for n in source.sizes)
    individual = atoms * (3 * 8 + 4) + 9 * 8 + 400 + 8 * len(problem.term_names)
    held = sum(options.population + run.archive.size + run.archive.best for options in problem.islands)
    states = run.migration.delay + 2
    target = sum(array.nbytes for array in target_data.target.to_arrays().values())
    work = atoms * max(target_data.basis.sizes) * 8 * 4
    return int(held * individual * states + target + work + 150e6)


def text_of(found: dict[str, Any], settings: bool = True) -> str:
    """The facts for people."""
    lines = []
    if settings:
        lines += [found["effective"], ""]
    target = found["target"]
    lines += [
        f"{found['run_file']}: good",
        f"target       {target['environments']} environments ({target['description']})",
        f"islands      {found['islands']}",
        f"atoms        {_range(found['atoms'])}",
        f"loss terms   {', '.join(_told(name, found['term_facts'].get(name)) for name in found['terms'])}",
        f"objectives   {', '.join(found['objectives'])}",
        f"memory       about {found['memory_bytes'] / 1e6:.0f} MB with all islands on one rank",
        "",
    ]
    rows = [
        [element, str(n), ", ".join(f"{k}: {v}" for k, v in found["functions_by_rank"][element].items())]
        for element, n in found["functions"].items()
    ]
    lines += [table_of(rows, ["element", "functions", "by rank"]), ""]
    for name, per_atom in found["neighbours_per_atom"].items():
        lines.append(f"{name}: {per_atom:.1f} neighbours per atom inside the cutoffs")
        rows = []
        for pair, shells in found["shells"][name].items():
            text = ", ".join(f"{distance:.3f} ({count:g})" for distance, count in shells)
            if not shells:
                around = found["coordination"][name][pair]
                text = (
                    f"not to be told apart: {around['neighbours']:.1f} neighbours, {around['nearest']:.1f} of them"
                    f" nearest ones, to {around['nearest_to']:.1f} Å"
                )
            rows.append([pair, f"{found['cutoffs'][pair]:.3f}", str(len(shells) or "–"), text])
        lines += [table_of(rows, ["pair", "cutoff [Å]", "shells", "at [Å] (neighbours)"]), ""]
    lines += found["notes"]
    return "\n".join(lines)


def _told(name: str, fact: Mapping[str, Any] | None) -> str:
    """A term with its weight, where that is not 1."""
    weight = fact["weight"] if fact is not None else None
    return name if weight is None or weight == 1 else f"{name} (× {weight:g})"


def _range(sizes: Sequence[int]) -> str:
    return str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
