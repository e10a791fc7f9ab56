"""`grs-evo report`: a run folder or archive into one HTML page that opens offline."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from grs_evo.analysis.distributions import environments
from grs_evo.analysis.figures.results import acceptance
from grs_evo.analysis.floor import floor_of
from grs_evo.analysis.notation import several, significant, whole
from grs_evo.analysis.sources import target_of
from grs_evo.datasets.growth.taught import Measure
from grs_evo.descriptors.basis import Basis
from grs_evo.errors import InputError
from grs_evo.files import is_there
from grs_evo.loss import quality
from grs_evo.report import page, structure_view
from grs_evo.report.context import context_of
from grs_evo.report.formatting import without_folders
from grs_evo.report.page import Tile
from grs_evo.report.sections import match, observables, overview, search, structures
from grs_evo.report.sections.structures import Found
from grs_evo.storage.archive_file import Archive, read_archive
from grs_evo.storage.target_file import TargetData
from grs_evo.structures import symmetry
from grs_evo.structures.structure import Structure
from grs_evo.targets.target import Target

__all__ = ["compose", "write_report"]

# Atoms of a target's structure that a view can turn.
_MOST_OF_TARGET = 2500


def write_report(run_dir: str | Path, out_path: str | Path | None = None, title: str | None = None) -> Path:
    """Write the report of a run.

    Parameters
    ----------
    run_dir : a run folder, or an archive file
    out_path : the HTML file; default ``report.html`` in the run folder (beside the archive)
    title : heading of the page; default the folder's name

    Returns
    -------
    The path written to.

    Raises
    ------
    InputError
        No archive, an archive of a newer schema, an empty archive, or a place that cannot be written to or that holds
        something else than a page.
    """
    source = Path(run_dir)
    if out_path is not None and Path(out_path).suffix.lower() not in (".html", ".htm") and is_there(Path(out_path)):
        raise InputError(f"{out_path}: is there and no page; give a name that ends in .html")
    archive = read_archive(source)
    folder = source if source.is_dir() else source.parent
    out = Path(out_path) if out_path is not None else folder / "report.html"
    text = compose(archive, title or (source.resolve().name if source.is_dir() else source.stem), folder)
    beside = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(text, encoding="utf-8")
        beside.replace(out)
    except OSError as error:
        raise InputError(f"{out}: the report cannot be written there ({error.strerror})") from None
    return out


def compose(archive: Archive, title: str, folder: Path | None = None) -> str:
    """The report as HTML text, from an archive in memory; `folder` adds what else the run folder tells."""
    if not archive.individuals:
        raise InputError(f"{title}: the archive holds no structures yet, so there is nothing to report on")
    target = target_of(archive, title)
    found = _found(archive, target, folder)
    status = overview.status_of(folder) if folder is not None else {}
    versions = overview.versions_of(folder) if folder is not None else []
    compiled = overview.compile_time(folder) if folder is not None else ""

    first, scenes = structures.structures_section(found)
    scenes += _target_scenes(folder, archive)
    grown = acceptance(found.set_numbers, found.away) if found.set_numbers is not None else None
    if grown is not None:
        first = replace(first, body=first.body + page.figure(grown))
    front, figures = search.front_section(found)
    judged = observables.judged(found, target, folder, status)
    sections = [overview.overview_section(archive, target, found.context, versions), first]
    if judged is not None:
        told, more = observables.observables_section(judged)
        sections.append(told)
        figures += more
    sections.append(front)
    figures += [grown] if grown is not None else []
    tiles = _tiles(found, target)
    if target is not None:
        matched, more, remarks = match.match_section(_pair(found, target, folder))
        sections.append(matched)
        figures += more
        tiles += remarks
    went, more = search.search_section(found, status, compiled)
    if went is not None:
        sections.append(went)
        figures += more
        tiles += search.effort_tiles(archive.history, status)
    return page.render(
        title=title,
        over="grs_evo report",
        lead=_lead(found, target),
        summary=observables.head(judged, status) + page.tiles(tiles) + page.next_box(_next(found, status, title)),
        sections=sections,
        figures=figures,
        scenes=scenes,
        elements=archive.elements,
        radii=structure_view.radii(archive.elements),
        footer=_footer(archive),
    )


def _target_scenes(folder: Path | None, archive: Archive) -> list[dict[str, Any]]:
    """The first structure of the target, where the run folder has it and it is not too large to be turned."""
    if folder is None or not (folder / "target.h5").is_file():
        return []
    try:
        kept = TargetData.read(folder / "target.h5")
    except InputError:
        return []
    if tuple(kept.basis.elements) != tuple(archive.elements):
        return []
    return [
        structures.target_scene(one, archive.elements) for one in kept.structures[:1] if one.n_atoms <= _MOST_OF_TARGET
    ]


def _next(found: Found, status: Mapping[str, Any], title: str) -> list[tuple[str, str]]:
    """Commands that go on from here."""
    name = shlex.quote(title)
    commands = []
    if status.get("state") in ("stopped", "running"):
        commands.append(("the search has not ended: go on", f"grs-evo resume {name}"))
    elif status:
        generations = int(status.get("generations") or 0)
        if generations and not found.archive.set:
            commands.append(("search on", f"grs-evo resume {name} --extend stop.generations={2 * generations}"))
    what = "--set -o set.extxyz" if found.archive.set else "--top 3 --unique -o best.extxyz"
    commands.append(("structures for DFT (.vasp, .cif, .pwi …)", f"grs-evo export {name} {what}"))
    commands.append(("how to read this page", "grs-evo guide verdict"))
    return commands


def _found(archive: Archive, target: Target | None, folder: Path | None) -> Found:
    context = context_of(archive, target, folder)
    numbers = None
    if archive.set:
        numbers = context.distances(archive.set) if context.away else context.set_losses(archive)
    return Found(archive, context, numbers)


def _pair(found: Found, target: Target, folder: Path | None) -> match.Pair:
    basis = found.archive.basis
    full = environments.with_all(target, basis, folder) if folder is not None else target
    chosen = [one.structure for one in found.archive.set] or [found.best().structure]
    name = "best structure"
    if found.archive.set:
        name = "accepted set" if found.away else "representative set"
    elif found.away:
        name = "farthest structure"
    return match.Pair(
        environments.of_target(full),
        environments.of_target(full, drawn=False),
        environments.of_structures(chosen, basis),
        basis,
        name,
        found.away,
        _information(full.structures, chosen, basis) if found.archive.set and not found.away else "",
    )


def _information(target: Sequence[Structure], chosen: Sequence[Structure], basis: Basis) -> str:
    """What a set tells a linear potential about its target; nothing where the target has no structures at hand."""
    if not target:
        return ""
    try:
        return Measure(target, basis.elements).of(chosen).sentence()
    except InputError as error:
        return f"Information: {error}"


def _tiles(found: Found, target: Target | None) -> list[Tile]:
    """What was reached, and how that compares with chance."""
    return _set_tiles(found, target) if found.archive.set else _best_tiles(found, target)


def _set_tiles(found: Found, target: Target | None) -> list[Tile]:
    members, numbers = found.archive.set, found.set_numbers
    n_atoms = sum(one.structure.n_atoms for one in members)
    count = (whole(len(members)), f"structures, {several(n_atoms, 'atom')}")
    if numbers is None:
        return [("In the set", *count)]
    if found.away:
        farthest = significant(float(numbers.max()))
        return [("Distance", farthest, "from the target, the farthest one"), ("Accepted", *count)]
    loss = float(numbers[-1])
    together = f"{several(len(members), 'structure')}, {several(n_atoms, 'atom')}"
    return [("Set loss", significant(loss), together), *_noise_tile(found, target, loss, n_atoms)]


def _best_tiles(found: Found, target: Target | None) -> list[Tile]:
    archive, best = found.archive, found.best()
    size = best.structure.n_atoms
    word, worth = found.worth(best)
    group = symmetry.space_group(best.structure, archive.elements)
    what = [symmetry.formula(best.structure, archive.elements)] if group is None else list(group[:2])
    tiles = [
        (
            "Distance" if word == "distance" else "Best loss",
            significant(worth),
            ", ".join([*what, several(size, "atom")]),
        ),
        ("Structures", whole(len(archive.individuals)), f"{_sizes(archive)} atoms"),
    ]
    if found.context.judges_single and not found.context.moving and "structure" in archive.term_names:
        loss = quality.structure_loss(best.terms, archive.term_names)
        tiles += _noise_tile(found, target, loss, size)
    return tiles


def _noise_tile(found: Found, target: Target | None, loss: float, n_atoms: int) -> list[Tile]:
    objective = found.context.objective
    if objective is None or target is None or not len(target.sample_rows) or found.context.given:
        return []
    judged = quality.over_noise(objective, loss, n_atoms)
    if judged.noise == 0.0:
        return [("Against noise", "no noise", "every sample of a crystal is the crystal")]
    what = "distance" if found.away else "loss"
    remark = f"times the {what} of {several(n_atoms, 'random environment')} of the target"
    tiles = [("Against noise", significant(judged.ratio, 3), remark)]
    floor = None if found.away else floor_of(objective)
    if floor is not None:
        where = "the best is below it" if loss < floor.loss else "the best is above it"
        tiles.append(("Floor", significant(floor.loss, 3), f"loss by which {floor.how} differ; {where}"))
    return tiles


def _sizes(archive: Archive) -> str:
    atoms = [one.structure.n_atoms for one in archive.individuals]
    return str(min(atoms)) if min(atoms) == max(atoms) else f"{min(atoms)}–{max(atoms)}"


def _lead(found: Found, target: Target | None) -> str:
    archive = found.archive
    name = without_folders(target.description) if target is not None else ""
    what = f"“{name}”" if name else "the target"
    size = f" ({several(target.n_environments, 'environment')})" if target is not None else ""
    kind = "depart from" if found.away else "are distributed like"
    begin = f"A search for cells small enough for DFT whose atomic environments {kind} those of {what}{size}."
    if archive.set:
        n_atoms = sum(one.structure.n_atoms for one in archive.set)
        count = f"{several(len(archive.set), 'structure')} with {several(n_atoms, 'atom')} in all"
        if found.away:
            return f"{begin} It accepted {count}."
        reached = ""
        if found.set_numbers is not None:
            reached = f" Their common loss is {significant(float(found.set_numbers[-1]))}."
        return f"{begin} The set holds {count}.{reached}"
    best = found.best()
    word, worth = found.worth(best)
    group = symmetry.space_group(best.structure, archive.elements)
    joined = group[1].replace("-", "-\u2060") if group is not None else ""  # no line break in Pm-3m
    symmetric = f", the symmetry {joined} ({group[0]})," if group is not None else ""
    which = f"The {'farthest' if found.away else 'best'} one has {several(best.structure.n_atoms, 'atom')}"
    return f"{begin} {which}{symmetric} and a {word} of {significant(worth)}."


def _footer(archive: Archive) -> str:
    made = [f"archive {archive.archive_hash}" if archive.archive_hash else "", "written by grs_evo"]
    return (
        ", ".join(part for part in made if part) + ". This page carries all it shows and asks the network for nothing."
    )
