"""How the search went: what the front came to, convergence, operators, migrations, timing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.analysis.figures.figure import Figure
from grs_evo.analysis.figures.results import NamedArchive, cost, front, worth
from grs_evo.analysis.figures.search import convergence, operators, per_generation, rejections
from grs_evo.analysis.notation import several, significant, whole
from grs_evo.analysis.runs.convergence import island_rows, moments_of
from grs_evo.report import page
from grs_evo.report.page import Section, Tile
from grs_evo.report.sections.structures import Found, archive_table
from grs_evo.search.counters import evaluations_so_far
from grs_evo.text import duration


def front_section(found: Found) -> tuple[Section, list[Figure]]:
    """The front, and what cells of each size reached; the archive's table where the set has taken its place above."""
    archive = found.archive
    named = NamedArchive("archive", archive)
    first = front([named]) if archive.objective_names else None
    others = [
        cost([named]) if not found.away and len(np.unique(named.atoms)) > 1 else None,
        worth(named),
    ]
    figures = [one for one in (first, *others) if one is not None]
    body = page.figure(first, wide=True)
    if any(others):
        body += '<div class="grid">' + "".join(page.figure(one) for one in others) + "</div>"
    about = "What is best depends on what counts: the front holds every answer that nothing beats."
    if archive.set:
        about += " It is that of the last round’s archive, not of the set."
        body += archive_table(found)
    if found.away:
        about += " This search moves away from the target, so what it is after lies far from the origin."
    return Section("front", "Pareto front", about, body), figures


def search_section(found: Found, status: Mapping[str, Any], compiled: str = "") -> tuple[Section | None, list[Figure]]:
    """How the search went; `status` is what the run folder tells besides."""
    history: Mapping[str, NDArray[Any]] = found.archive.history
    if not history or not len(history.get("generation", ())):
        return None, []
    wide = convergence(history, found.away, found.context.moving)
    rest = [
        operators(history),
        rejections(history),
        per_generation(
            history, "migrations", "accepted_migrants", "Migrations", "guests accepted so far",
            "Structures that each island took from others. A flat line is an island that goes its own way.",
        ),
        per_generation(
            history, "diversity", "diversity", "Diversity", "chance that two members differ",
            "Near 0 a population has collapsed onto one structure and crossover does nothing.",
        ),
    ]  # fmt: skip
    figures = [one for one in (wide, *rest) if one is not None]
    if not figures:
        return None, []
    body = page.figure(wide, wide=True) + '<div class="grid">' + "".join(page.figure(one) for one in rest)
    body += _timing(status, compiled) + "</div>"
    return Section("search", "How the search went", "", body), figures


def effort_tiles(history: Mapping[str, NDArray[Any]], status: Mapping[str, Any]) -> list[Tile]:
    """Evaluations and time."""
    rows = island_rows(history)
    total = float(evaluations_so_far(history)[[which[-1] for which in rows.values()]].sum())
    generations = len(np.unique(moments_of(history))) - 1
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
