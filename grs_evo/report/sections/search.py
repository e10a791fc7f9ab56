"""How the search went: what the front came to, convergence, operators, migrations, timing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.analysis.runs import convergence
from grs_evo.report import page
from grs_evo.report.formatting import several, significant, whole
from grs_evo.report.page import Section
from grs_evo.report.plots import results as result_plots
from grs_evo.report.plots import search as search_plots
from grs_evo.report.plots.plot import Plot
from grs_evo.report.sections.structures import Found, archive_table
from grs_evo.text import duration


def front_section(found: Found) -> tuple[Section, list[Plot]]:
    """The front, and what cells of each size reached; the archive's table where the set has taken its place above."""
    archive = found.archive
    front = result_plots.front(archive.individuals, archive.objectives, archive.objective_names)
    others = [
        result_plots.cost(archive.individuals) if not found.away else None,
        result_plots.worth(archive.individuals, archive.objectives),
    ]
    plots = [plot for plot in (front, *others) if plot is not None]
    body = page.figure(front, wide=True)
    if any(others):
        body += '<div class="grid">' + "".join(page.figure(plot) for plot in others) + "</div>"
    about = "What is best depends on what counts: the front holds every answer that nothing beats."
    if archive.set:
        about += " It is that of the last round’s archive, not of the set."
        body += archive_table(found)
    if found.away:
        about += " This search moves away from the target, so what it is after lies far from the origin."
    return Section("front", "Pareto front", about, body), plots


def search_section(found: Found, status: Mapping[str, Any], compiled: str = "") -> tuple[Section | None, list[Plot]]:
    """How the search went; `status` is what the run folder tells besides."""
    history: Mapping[str, NDArray] = found.archive.history
    if not history or not len(history.get("generation", ())):
        return None, []
    wide = search_plots.convergence(history, found.away, found.context.moving)
    rest = [
        search_plots.operators(history),
        search_plots.rejections(history),
        search_plots.per_generation(
            history, "migrations", "accepted_migrants", "Migrations", "guests accepted so far",
            "Structures that each island took from others. A flat line is an island that goes its own way.",
        ),
        search_plots.per_generation(
            history, "diversity", "diversity", "Diversity", "chance that two members differ",
            "Near 0 a population has collapsed onto one structure and crossover does nothing.",
        ),
    ]  # fmt: skip
    plots = [plot for plot in (wide, *rest) if plot is not None]
    if not plots:
        return None, []
    body = page.figure(wide, wide=True) + '<div class="grid">' + "".join(page.figure(plot) for plot in rest)
    body += _timing(status, compiled) + "</div>"
    return Section("search", "How the search went", "", body), plots


def effort_tiles(history: Mapping[str, NDArray], status: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Evaluations and time."""
    rows = convergence.island_rows(history)
    spent = convergence.spent(history)
    total = float(spent[[which[-1] for which in rows.values()]].sum())
    generations = len(np.unique(convergence.moments_of(history))) - 1
    tiles = [("Evaluations", whole(total), f"{several(len(rows), 'island')}, {several(generations, 'generation')}")]
    seconds = _number(status, "seconds")
    if seconds > 0:
        tiles.append(("Time", duration(seconds), f"{significant(total / seconds, 3)} evaluations per second"))
    return tiles


def _timing(status: Mapping[str, Any], compiled: str) -> str:
    """Where the time went, as a card; nothing where the folder does not tell."""
    seconds, evaluations = _number(status, "seconds"), _number(status, "evaluations")
    if not seconds > 0:
        return ""
    saved = status.get("checkpoints")
    saved = saved if isinstance(saved, dict) else {}
    reason = status.get("stop_reason")
    entries: list[tuple[str, object]] = [
        ("state", f"{status.get('state', 'unknown')}{f' ({reason})' if reason else ''}"),
        ("time", duration(seconds)),
    ]
    if compiled:
        entries.append(("of it compiling", compiled))
    entries += [
        ("speed", f"{significant(evaluations / seconds)} evaluations per second, all ranks together"),
        ("ranks", status.get("ranks", "unknown")),
    ]
    if _number(saved, "saved", 0):
        cost = significant(_number(saved, "seconds", 0), 3)
        entries.append(("checkpoints", f"{whole(_number(saved, 'saved', 0))} in {cost} s"))
    entries.append(("host", status.get("host", "unknown")))
    return f'<div class="card"><h3>Timing</h3>{page.facts(entries)}</div>'


def _number(status: Mapping[str, Any], name: str, otherwise: float = float("nan")) -> float:
    value = status.get(name, otherwise)
    return float(value) if isinstance(value, int | float) else otherwise
