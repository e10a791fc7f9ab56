"""The structures of a run: pictures, the 3-D stage with its facts, tables and files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.analysis import pareto_front
from grs_evo.analysis.figures.files import csv_text
from grs_evo.analysis.notation import several, significant, whole
from grs_evo.exporters.formats import extended_xyz
from grs_evo.loss.options import LossOptions
from grs_evo.loss.quality import structure_loss
from grs_evo.loss.terms.table import facts as term_facts
from grs_evo.report import page, structure_view
from grs_evo.report.context import Context
from grs_evo.report.page import Section
from grs_evo.search.population.individual import NO_PARENT, Individual, short_uid
from grs_evo.storage.archive_file import Archive
from grs_evo.structures import symmetry
from grs_evo.structures.neighbours import neighbours
from grs_evo.structures.structure import Structure

# Structures with a picture and a 3-D view: of the set or the archive, and of the archive below a set.
SHOWN = 18
_BELOW_A_SET = 6
_TABLE = 60
# Characters that structures without a picture may take on the page: the view offers them by name.
_MOST_TEXT = 1_500_000


@dataclass(frozen=True, eq=False)
class Found:
    """What a run has found, with the numbers that the page tells of it."""

    archive: Archive
    context: Context
    set_numbers: NDArray[np.float64] | None  # (n_set,) set loss after each structure, or each one's distance; if known

    @property
    def away(self) -> bool:
        return self.context.away

    @property
    def set_column(self) -> str:
        """What `set_numbers` are called."""
        return "distance" if self.away else "set loss"

    @cached_property
    def kept(self) -> frozenset[int]:
        """Uids of all structures that there still are."""
        return frozenset(one.uid for one in (*self.archive.individuals, *self.archive.set))

    @property
    def value_column(self) -> str:
        """What the value is called that the search makes small; negative where it moves away."""
        return "value" if self.away else "loss"

    def best(self) -> Individual:
        return ranked(self.archive.individuals)[0]

    def worth(self, one: Individual) -> tuple[str, float]:
        """The number a structure is known by: its loss, or where the search moves away its distance from the target."""
        if self.away and "structure" in self.archive.term_names:
            return "distance", structure_loss(one.terms, self.archive.term_names)
        return "loss", one.value


def ranked(individuals: Sequence[Individual]) -> list[Individual]:
    """Lowest value first; of equal ones the smaller, then the older."""
    return sorted(individuals, key=lambda one: (one.value, one.structure.n_atoms, one.uid))


def shown_structures(individuals: Sequence[Individual], objectives: NDArray[np.float64]) -> list[int]:
    """Which structures get a view: the best, and the best of every cell size on the front."""
    order = sorted(
        range(len(individuals)),
        key=lambda k: (individuals[k].value, individuals[k].structure.n_atoms, individuals[k].uid),
    )
    chosen = order[: SHOWN // 2]
    front = pareto_front(objectives) if objectives.shape[1] else np.zeros(len(individuals), bool)
    sizes: set[int] = {individuals[k].structure.n_atoms for k in chosen}
    for k in order:
        if len(chosen) >= SHOWN:
            break
        if front[k] and individuals[k].structure.n_atoms not in sizes:
            sizes.add(individuals[k].structure.n_atoms)
            chosen.append(k)
    for k in order[SHOWN // 2 :]:
        if len(chosen) >= SHOWN:
            break
        if k not in chosen:
            chosen.append(k)
    place = {k: rank for rank, k in enumerate(order)}
    return sorted(chosen, key=place.__getitem__)


# ---------------------------------------------------------------------------------------------------------------------
# sections


def structures_section(found: Found) -> tuple[Section, list[dict[str, Any]]]:
    """Pictures, the 3-D stage and a table: of the representative set where there is one, else of the archive."""
    return _set_section(found) if found.archive.set else _archive_section(found)


_HOW = "Turn the view by mouse, finger or arrow keys. Files hold positions and cells exactly as they were found."


def _archive_section(found: Found) -> tuple[Section, list[dict[str, Any]]]:
    archive = found.archive
    individuals = archive.individuals
    chosen = [individuals[k] for k in shown_structures(individuals, archive.objectives)]
    views = [_view(found, one, f"{rank}. ", f"structure-{rank}") for rank, one in enumerate(chosen, 1)]
    first = "farthest from the target" if found.away else "lowest loss"
    count = (
        f"All {len(chosen)}" if len(chosen) == len(individuals) else f"{len(chosen)} of the {whole(len(individuals))}"
    )
    about = f"{count} structures of the archive, {first} first. {_HOW}"
    body = page.structures([("", [still for still, _ in views])], archive.elements) + archive_table(found)
    title = "The structures found" if found.away else "Best structures"
    return Section("structures", title, about, body), [scene for _, scene in views]


def _set_section(found: Found) -> tuple[Section, list[dict[str, Any]]]:
    archive = found.archive
    numbers = found.set_numbers if found.set_numbers is not None else [None] * len(archive.set)
    views = [
        _view(found, one, f"Set, no. {k}: ", f"set-{k}", number)
        for k, (one, number) in enumerate(zip(archive.set[:SHOWN], numbers, strict=False), 1)
    ]
    others = [
        _view(found, one, f"Archive, no. {k}: ", f"structure-{k}")
        for k, one in enumerate(ranked(archive.individuals)[:_BELOW_A_SET], 1)
    ]
    unpictured = _unpictured(found, numbers)
    groups = [
        ("In order of acceptance", [still for still, _ in views]),
        (f"The {'farthest' if found.away else 'best'} of the last round’s archive", [still for still, _ in others]),
    ]
    n_atoms = sum(one.structure.n_atoms for one in archive.set)
    number = "its distance from the target as given" if found.away else "the loss of the set so far"
    about = (
        f"{several(len(archive.set), 'structure')} with {whole(n_atoms)} atoms in all"
        + (f", of which the first {SHOWN} are pictured" if len(archive.set) > SHOWN else "")
        + _viewed(len(archive.set), len(unpictured))
        + (f"; under each {number}. " if found.set_numbers is not None else ". ")
        + _HOW
    )
    body = page.structures(groups, archive.elements) + _set_table(found)
    title = "The accepted structures" if found.away else "The representative set"
    return Section("structures", title, about, body), [*(scene for _, scene in [*views, *others]), *unpictured]


def _viewed(n_set: int, n_more: int) -> str:
    if n_set <= SHOWN:
        return ""
    return " and all can be chosen by name" if SHOWN + n_more == n_set else f" and {n_more} more can be chosen by name"


def _unpictured(found: Found, numbers: Any) -> list[dict[str, Any]]:
    """Scenes of the other structures of the set, as many as the page has a place for; files are in the table's."""
    scenes, length = [], 0
    for k, one in enumerate(found.archive.set[SHOWN:], SHOWN + 1):
        length += 40 * one.structure.n_atoms + 1500
        if length > _MOST_TEXT:
            break
        _, scene = _view(found, one, f"Set, no. {k}: ", f"set-{k}", numbers[k - 1])
        scenes.append(scene)
    return scenes


def target_scene(structure: Structure, elements: Sequence[str]) -> dict[str, Any]:
    """The target beside what was found, with no more than its size told; its file is the user's own."""
    title = f"The target: {symmetry.formula(structure, elements)}"
    facts = [("atoms", whole(structure.n_atoms), ""), ("cell", _cell(structure.cell), "")]
    return structure_view.scene(structure) | {"title": title, "facts": facts, "file": "", "name": "", "target": True}


def _view(
    found: Found, one: Individual, before: str, name: str, number: float | None = None
) -> tuple[tuple[str, str, str, str], dict[str, Any]]:
    """The still of a structure with its lines, and its scene with facts and file."""
    archive, structure = found.archive, one.structure
    formula = symmetry.formula(structure, archive.elements)
    crystal = symmetry.symmetry(structure, archive.elements)
    group = symmetry.space_group(structure, archive.elements)
    word, worth = found.worth(one)
    shown = worth if number is None else number
    still = (
        structure_view.still(structure, archive.elements, f"{before}{formula}"),
        significant(shown),
        formula,
        several(structure.n_atoms, "atom") + (f", {group[1]}" if group is not None else ""),
    )
    facts = [(word, significant(worth, 6), "")]
    if number is not None:
        so_far = "from the target as given" if found.away else "of the set with it, so far"
        facts = [
            (found.set_column, significant(number, 6), so_far),
            ("value when found", significant(one.value, 6), ""),
        ]
    known = term_facts(archive.term_names, found.context.loss)
    facts += [
        (term, significant(float(value), 6), known[term].meaning if term in known else "")
        for term, value in zip(archive.term_names, one.terms, strict=True)
    ]
    facts += [
        ("symmetry", *_symmetry_words(crystal)),
        ("cell", _cell(structure.cell), ""),
        ("volume", _volume(one), ""),
        ("shortest distance", _shortest_words(one), ""),
        ("made by", made_by(one, found.kept), ""),
        ("found", f"island {one.island}, generation {one.generation}", _time_words(archive, one)),
        ("uid", short_uid(one.uid), f"island / number; {one.uid} in files"),
    ]  # fmt: skip
    scene = structure_view.scene(structure) | {
        "title": f"{before}{formula}",
        "facts": facts,
        "file": extended_xyz([_atoms(archive, one)]).decode(),
        "name": f"{name}.extxyz",
    }
    return still, scene


def _atoms(archive: Archive, one: Individual) -> Any:
    """The individual as an export of the archive has it."""
    return archive.annotated(one)


# ---------------------------------------------------------------------------------------------------------------------
# facts of one structure


def _symmetry_words(crystal: tuple[str, str] | None) -> tuple[str, str]:
    if crystal is None:
        return "–", "not periodic in all directions"
    if crystal[0].startswith("P1 "):
        return "none (P1)", f"within {symmetry.SYMPREC:g} Å"
    return f"{crystal[0]}, {crystal[1]}", f"space group, formula; within {symmetry.SYMPREC:g} Å"


def _time_words(archive: Archive, one: Individual) -> str:
    return f"after {several(archive.evaluation_of(one), 'evaluation')} of the run"


def _cell(cell: NDArray[np.float64]) -> str:
    from ase import geometry

    parameters_of: Callable[..., NDArray[np.float64]] = geometry.cell_to_cellpar  # ase has no types
    a, b, c, alpha, beta, gamma = parameters_of(cell)
    return f"{a:.3f} × {b:.3f} × {c:.3f} Å; {alpha:.1f}°, {beta:.1f}°, {gamma:.1f}°"


def _volume(one: Individual) -> str:
    structure = one.structure
    return f"{structure.volume / structure.n_atoms:.3f} Å³ per atom" if structure.pbc.all() else "not periodic"


def _shortest_words(one: Individual) -> str:
    distance = _shortest(one)
    return f"{distance:.3f} Å" if np.isfinite(distance) else "– (more than 8 Å)"


def _shortest(one: Individual) -> float:
    """Shortest distance between two atoms (images included), Å; NaN for an atom alone."""
    for cutoff in (3.5, 8.0):
        found = neighbours(one.structure, cutoff).distances
        if len(found):
            return float(found.min())
    return float("nan")


def made_by(one: Individual, kept: Collection[int]) -> str:
    """The operator and the parents, e.g. ``"slice of 3/29 and 0/7 (0/7 no longer kept)"``."""
    parents = [uid for uid in dict.fromkeys(one.parents) if uid != NO_PARENT]
    words = one.operator.replace("_", " ")
    if not parents:
        return words
    gone = [uid for uid in parents if uid not in kept]
    words += f" of {' and '.join(map(short_uid, parents))}"
    if not gone:
        return words
    which = "" if len(gone) == len(parents) else f"{short_uid(gone[0])} "
    return f"{words} ({which}no longer kept)"


# ---------------------------------------------------------------------------------------------------------------------
# tables and files


def term_notes(archive: Archive, loss: LossOptions | None) -> list[str]:
    """What the columns of a table mean, a line each, for the head of its CSV."""
    notes = [f"{name}: {one.meaning}" for name, one in term_facts(archive.term_names, loss).items()]
    return [*notes, "uid: island * 2^40 + number, shown as island/number on the page"]


def _columns(found: Found, individuals: Sequence[Individual]) -> dict[str, list[object]]:
    archive = found.archive
    return {
        "uid": [one.uid for one in individuals],
        "formula": [symmetry.formula(one.structure, archive.elements) for one in individuals],
        "atoms": [one.structure.n_atoms for one in individuals],
        found.value_column: [one.value for one in individuals],
        **{name: [float(one.terms[j]) for one in individuals] for j, name in enumerate(archive.term_names)},
        "made by": [one.operator for one in individuals],
        "island": [one.island for one in individuals],
        "generation": [one.generation for one in individuals],
        "evaluation": [archive.evaluation_of(one) for one in individuals],
    }


def _brief(columns: dict[str, list[object]], archive: Archive, individuals: Sequence[Individual]) -> str:
    """The first rows for reading, with the space group, which takes too long to find for all."""
    shown: dict[str, list[object]] = {}
    for name, values in columns.items():
        if name in ("island", "evaluation"):  # the uid names the island; the rest is in the file
            continue
        shown[name] = [significant(v) if isinstance(v, float) else v for v in values[:_TABLE]]
        if name == "formula":
            crystals = [symmetry.symmetry(one.structure, archive.elements) for one in individuals[:_TABLE]]
            shown["symmetry"] = ["–" if c is None else c[0].partition(" ")[0] for c in crystals]
    shown["uid"] = [short_uid(one.uid) for one in individuals[:_TABLE]]
    shown["made by"] = [one.operator.replace("_", " ") for one in individuals[:_TABLE]]
    if "on front" in shown:
        shown["on front"] = ["yes" if on else "" for on in shown["on front"]]
    return page.table(shown, ("formula", "symmetry", "made by"))


def archive_table(found: Found) -> str:
    """The archive, folded; its first rows, and all of them as a file."""
    archive = found.archive
    front = pareto_front(archive.objectives)
    order = sorted(range(len(front)), key=lambda k: (archive.individuals[k].value, archive.individuals[k].uid))
    individuals = [archive.individuals[k] for k in order]
    columns = _columns(found, individuals)
    columns = _after(columns, found.value_column, "on front", [int(front[k]) for k in order])
    more = "" if len(order) <= _TABLE else f", the first {_TABLE}"
    label = f"All {several(len(order), 'row')} (CSV)"
    return (
        f"<details><summary>Table of the archive{more}</summary>"
        + _brief(columns, archive, individuals)
        + page.download("archive.csv", csv_text(columns, term_notes(archive, found.context.loss)), label)
        + "</details>"
    )


def _set_table(found: Found) -> str:
    archive = found.archive
    columns = _columns(found, archive.set)
    if found.set_numbers is not None:
        columns = _after(columns, "atoms", found.set_column, [float(x) for x in found.set_numbers])
    columns = {"no.": list(range(1, len(archive.set) + 1)), **columns}
    more = "" if len(archive.set) <= _TABLE else f", the first {_TABLE}"
    every = [_atoms(archive, one) for one in archive.set]
    for k, atoms in enumerate(every, 1):
        atoms.info["grs_set"] = k
    file = extended_xyz(every).decode()
    return (
        f"<details open><summary>Table of the set{more}</summary>"
        + _brief(columns, archive, archive.set)
        + page.download("set.csv", csv_text(columns, term_notes(archive, found.context.loss)), "The table (CSV)")
        + page.download("set.extxyz", file, "All structures of the set (extended XYZ)", "chemical/x-xyz")
        + "</details>"
    )


def _after(columns: dict[str, list[object]], name: str, new: str, values: Sequence[object]) -> dict[str, list[object]]:
    """The columns with a new one behind the one named."""
    result: dict[str, list[object]] = {}
    for key, column in columns.items():
        result[key] = column
        if key == name:
            result[new] = list(values)
    return result
