"""`grs-evo report`: a run folder or archive into one HTML page that opens offline.

content.py       what stands on the page
search_plots.py  how the search went
result_plots.py  what was found
plot.py          one plot as data
yardstick.py     how good the best structure is
solid.py         structures: stills, 3-D scenes, files
page.py          HTML, escaping, downloads; page.css and page.js beside it
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..analysis import convergence, environments
from ..analysis.sources import target_of
from ..errors import InputError
from ..storage import Archive, read_archive
from . import content, page, solid, yardstick

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
    basis, target = archive.basis, target_of(archive, title)
    ranked = content.ranked(archive.individuals)
    best = ranked[0]
    structures, scenes = content.structures_section(archive)
    front, plots = content.front_section(archive)
    sections = [structures, front]
    what = f"{solid.formula(best.structure, archive.elements)}, {best.structure.n_atoms} atoms"
    in_set = f"; {len(archive.set)} in the set" if archive.set else ""
    tiles = [
        ("Best loss", content.significant(best.value), what),
        ("Structures", content.whole(len(archive.individuals)), f"{_sizes(archive)} atoms{in_set}"),
    ]
    if target is not None:
        ratio = yardstick.loss_over_noise(archive, basis, target, best)
        if ratio is not None:
            what = f"times the loss of {best.structure.n_atoms} random environments of the target"
            tiles.append(("Against noise", content.significant(ratio, 3), what))
        chosen = [one.structure for one in archive.set] or [best.structure]
        name = "representative set" if archive.set else "best structure"
        match, more, remarks = content.match_section(
            environments.of_target(target), environments.of_structures(chosen, basis), basis, name
        )
        sections.append(match)
        plots += more
        tiles += remarks
    status = content.status_of(folder) if folder is not None else {}
    search, more = content.search_section(archive, status)
    plots += more
    if search is not None:
        sections.append(search)
        tiles += _effort(archive.history, status)
    extra: list[tuple[str, object]] = [("seed", archive.seed)] if getattr(archive, "seed", None) is not None else []
    extra += content.versions_of(folder) if folder is not None else []
    sections.insert(0, content.asked_section(archive, target, basis, extra))
    return page.render(
        title=title,
        over="grs_evo report",
        lead=_lead(archive, target, best),
        summary=page.tiles(tiles),
        sections=sections,
        plots=plots,
        scenes=scenes,
        elements=archive.elements,
        radii=solid.radii(archive.elements),
        footer=_footer(archive),
    )


def _sizes(archive: Any) -> str:
    atoms = [one.structure.n_atoms for one in archive.individuals]
    return str(min(atoms)) if min(atoms) == max(atoms) else f"{min(atoms)}–{max(atoms)}"


def _lead(archive: Any, target: Any, best: Any) -> str:
    name = content.without_folders(target.description) if target is not None else ""
    what = f"“{name}”" if name else "the target"
    size = f" ({content.whole(target.n_environments)} environments)" if target is not None else ""
    return (
        f"A search for cells small enough for DFT whose atomic environments are distributed like those of {what}{size}."
        f" The best one has {best.structure.n_atoms} atoms and a loss of {content.significant(best.value)}."
    )


def _effort(history: Any, status: dict[str, Any]) -> list[tuple[str, str, str]]:
    rows = convergence.island_rows(history)
    spent = convergence.spent(history)
    last = [which[-1] for which in rows.values()]
    generations = len(np.unique(convergence.moments_of(history))) - 1
    tiles = [
        (
            "Evaluations",
            content.whole(float(spent[last].sum())),
            f"{len(rows)} island{'s' if len(rows) != 1 else ''}, {content.whole(generations)} generations",
        )
    ]
    seconds = status.get("seconds")
    if isinstance(seconds, int | float) and seconds > 0:
        speed = f"{content.significant(float(spent[last].sum()) / seconds)} evaluations per second"
        tiles.append(("Time", content.duration(seconds), speed))
    return tiles


def _footer(archive: Any) -> str:
    made = [f"archive {archive.archive_hash}" if getattr(archive, "archive_hash", "") else "", "written by grs_evo"]
    return (
        ", ".join(part for part in made if part) + ". This page carries all it shows and asks the network for nothing."
    )
