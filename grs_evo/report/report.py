"""`grs-evo report`: a run folder or archive into one HTML page that opens offline.

question.py      what the run asked: direction, loss made again
asked.py         "What was asked"
gallery.py       the structures: set or archive, views, tables
match.py         how what was found lies to the target
course.py        the front, and how the search went
search_plots.py  plots of the search
result_plots.py  plots of what was found
plot.py          one plot as data
words.py         numbers, names and terms as people read them
yardstick.py     a loss beside the sampling noise of the target
solid.py         structures: stills, 3-D scenes, files, symmetry
page.py          HTML, escaping, downloads; page.css and page.js beside it
"""

from __future__ import annotations

from pathlib import Path

from grs_evo.analysis.distributions import environments
from grs_evo.analysis.sources import target_of
from grs_evo.errors import InputError
from grs_evo.loss import quality
from grs_evo.report import page
from grs_evo.report import structure_view as solid
from grs_evo.report.context import context_of
from grs_evo.report.formatting import several, significant, whole, without_folders
from grs_evo.report.plots import results as result_plots
from grs_evo.report.sections import match
from grs_evo.report.sections import overview as asked
from grs_evo.report.sections import search as course
from grs_evo.report.sections import structures as gallery
from grs_evo.report.sections.structures import Found
from grs_evo.storage.archive_file import Archive, read_archive
from grs_evo.structures import symmetry
from grs_evo.targets.target import Target

__all__ = ["compose", "write_report"]


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
        No archive, an archive of a newer schema, an empty archive, or a place that cannot be written to.
    """
    source = Path(run_dir)
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
    structures, scenes = gallery.structures_section(found)
    front, plots = course.front_section(found)
    growth = result_plots.acceptance(found.set_numbers, found.away) if found.set_numbers is not None else None
    if growth is not None:
        structures = page.Section(
            structures.key, structures.title, structures.about, structures.body + page.figure(growth)
        )
        plots.append(growth)
    sections = [structures, front]
    tiles = _tiles(found, target)
    if target is not None:
        section, more, remarks = match.match_section(_pair(found, target, folder))
        sections.append(section)
        plots += more
        tiles += remarks
    status = asked.status_of(folder) if folder is not None else {}
    search, more = course.search_section(found, status, asked.compile_time(folder) if folder is not None else "")
    plots += more
    if search is not None:
        sections.append(search)
        tiles += course.effort_tiles(archive.history, status)
    versions = asked.versions_of(folder) if folder is not None else []
    sections.insert(0, asked.overview_section(archive, target, found.context, versions))
    return page.render(
        title=title,
        over="grs_evo report",
        lead=_lead(found, target),
        summary=page.tiles(tiles),
        sections=sections,
        plots=plots,
        scenes=scenes,
        elements=archive.elements,
        radii=solid.radii(archive.elements),
        footer=_footer(archive),
    )


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
    )


def _tiles(found: Found, target: Target | None) -> list[tuple[str, str, str]]:
    """What was reached, and how that compares with chance."""
    archive, best = found.archive, found.best()
    size = best.structure.n_atoms
    word, worth = found.worth(best)
    tiles = []
    if archive.set:
        n_atoms = sum(one.structure.n_atoms for one in archive.set)
        together = f"{several(len(archive.set), 'structure')}, {several(n_atoms, 'atom')}"
        if found.set_numbers is None:
            tiles.append(("In the set", whole(len(archive.set)), f"structures, {several(n_atoms, 'atom')}"))
        elif found.away:
            tiles.append(("Distance", significant(float(found.set_numbers.max())), "from the target, the farthest one"))
            tiles.append(("Accepted", whole(len(archive.set)), f"structures, {several(n_atoms, 'atom')}"))
        else:
            tiles.append(("Set loss", significant(float(found.set_numbers[-1])), together))
            tiles += _noise_tile(found, target, float(found.set_numbers[-1]), n_atoms)
    else:
        what = f"{symmetry.formula(best.structure, archive.elements)}, {several(size, 'atom')}"
        group = symmetry.space_group(best.structure, archive.elements)
        if group is not None:
            what = f"{group[0]}, {group[1]}, {several(size, 'atom')}"
        tiles.append(("Distance" if word == "distance" else "Best loss", significant(worth), what))
        tiles.append(("Structures", whole(len(archive.individuals)), f"{_sizes(archive)} atoms"))
        if found.context.judges_single and not found.context.moving and "structure" in archive.term_names:
            loss = float(best.terms[archive.term_names.index("structure")])
            tiles += _noise_tile(found, target, loss, size)
    return tiles


def _noise_tile(found: Found, target: Target | None, loss: float, n_atoms: int) -> list[tuple[str, str, str]]:
    objective = found.context.objective
    if objective is None or target is None or not len(target.sample_rows) or found.context.given:
        return []
    judged = quality.over_noise(objective, loss, n_atoms)
    if judged.noise == 0.0:
        return [("Against noise", "no noise", "every sample of a crystal is the crystal")]
    what = "distance" if found.away else "loss"
    remark = f"times the {what} of {several(n_atoms, 'random environment')} of the target"
    return [("Against noise", significant(judged.ratio, 3), remark)]


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
        together = "Together" if len(archive.set) > 1 else "Alone"
        reached = f" {together} they have a loss of {significant(float(found.set_numbers[-1]))}." if (
            found.set_numbers is not None
        ) else ""  # fmt: skip
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
