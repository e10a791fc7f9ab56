"""What stands on the page: the archive's numbers put into words, tables and plots."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..analysis import (
    coverage,
    coverage_growth,
    environments,
    pareto_front,
    principal_components,
)
from ..analysis.environments import Environments
from ..errors import InputError
from ..population import NO_PARENT, Individual
from ..storage import Archive
from ..target import Target
from . import page, result_plots, search_plots, solid
from .page import Section
from .plot import Plot

# Structures with a picture and a 3-D view.
SHOWN = 18
_TABLE = 60
_SMALL = 6  # histograms drawn
_OFFERED = 150  # histograms to choose from besides: some hundred kB
# A target with fewer environments (a crystal) has no halves to speak of.
_HALVES = 50


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def significant(value: float, digits: int = 4) -> str:
    """A number as people read it: four digits, no exponent between 1e-3 and 1e5."""
    if not np.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    if 1e-3 <= size < 1e5:
        decimals = max(0, digits - 1 - int(np.floor(np.log10(size))))
        return f"{value:,.{decimals}f}".replace(",", "\u2009")
    mantissa, _, exponent = f"{value:.{max(1, digits - 2)}e}".partition("e")
    return f"{mantissa}·10" + str(int(exponent)).translate(_RAISED)


def whole(count: float) -> str:
    """A count with thin spaces between thousands."""
    return f"{int(count):,}".replace(",", "\u2009")


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def without_folders(text: str) -> str:
    """Text in which file names have lost the folders they lay in on the machine of the run."""
    return re.sub(r"(?:[^\s/<>]*/)+([^\s/<>]+)", r"\1", text)


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


def _cell(cell: NDArray[np.float64]) -> str:
    from ase.geometry import cell_to_cellpar

    a, b, c, alpha, beta, gamma = cell_to_cellpar(cell)
    return f"{a:.3f} × {b:.3f} × {c:.3f} Å; {alpha:.1f}°, {beta:.1f}°, {gamma:.1f}°"


def _shortest(one: Individual) -> float:
    """Shortest distance between two atoms (images included), Å; NaN for an atom alone."""
    from ase.neighborlist import neighbor_list

    from ..structure import to_atoms

    atoms = to_atoms(one.structure, ["X"] * (int(one.structure.species.max()) + 1))
    for cutoff in (3.5, 8.0):
        found = neighbor_list("d", atoms, cutoff)
        if len(found):
            return float(found.min())
    return float("nan")


def structures_section(archive: Archive, title: str = "Best structures") -> tuple[Section, list[dict[str, Any]]]:
    """Pictures, the 3-D stage, and a table of the front."""
    individuals = archive.individuals
    elements = archive.elements
    objectives = np.asarray(archive.objectives, dtype=np.float64)
    chosen = shown_structures(individuals, objectives)
    stills, scenes = [], []
    for rank, k in enumerate(chosen, 1):
        one = individuals[k]
        structure = one.structure
        formula = solid.formula(structure, elements)
        stills.append(
            (
                solid.still(structure, elements, f"structure {rank}: {formula}"),
                significant(one.value),
                formula,
                f"{structure.n_atoms} atoms",
            )
        )
        facts = [
            ("loss", f"{one.value:.8g}"),
            *((name, f"{term:.6g}") for name, term in zip(archive.term_names, one.terms, strict=True)),
            ("cell", _cell(structure.cell)),
            (
                "volume",
                f"{structure.volume / structure.n_atoms:.3f} Å³ per atom" if structure.pbc.all() else "not periodic",
            ),
            ("shortest distance", f"{_shortest(one):.3f} Å"),
            ("made by", _made(one)),
            ("found", f"island {one.island}, generation {one.generation}, after {whole(one.evaluation)} evaluations"),
            ("uid", str(one.uid)),
        ]
        info = {
            "grs_value": one.value,
            "grs_uid": one.uid,
            "grs_operator": one.operator,
            "grs_island": one.island,
            "grs_generation": one.generation,
        }
        scenes.append(
            solid.scene(structure)
            | {
                "title": f"{rank}. {formula}",
                "facts": facts,
                "file": solid.extxyz(structure, elements, info),
                "name": f"structure-{rank}.extxyz",
            }
        )
    body = page.structures(stills, elements) + _front_table(archive, objectives)
    about = (
        f"{len(chosen)} of the {whole(len(individuals))} structures in the archive, lowest loss first; turn the view "
        "with the mouse or a finger. Files hold positions and cells exactly as they were found."
    )
    return Section("structures", title, about, body), scenes


def _made(one: Individual) -> str:
    parents = [str(uid) for uid in dict.fromkeys(one.parents) if uid != NO_PARENT]
    return one.operator.replace("_", " ") + (f" of {' and '.join(parents)}" if parents else "")


def _front_table(archive: Archive, objectives: NDArray[np.float64]) -> str:
    individuals = archive.individuals
    order = sorted(range(len(individuals)), key=lambda k: (individuals[k].value, individuals[k].uid))
    front = pareto_front(objectives)
    columns: dict[str, list[object]] = {
        "uid": [individuals[k].uid for k in order],
        "formula": [solid.formula(individuals[k].structure, archive.elements) for k in order],
        "atoms": [individuals[k].structure.n_atoms for k in order],
        "loss": [individuals[k].value for k in order],
        **{name: [float(individuals[k].terms[j]) for k in order] for j, name in enumerate(archive.term_names)},
        "on front": [int(front[k]) for k in order],
        "made by": [individuals[k].operator for k in order],
        "island": [individuals[k].island for k in order],
        "generation": [individuals[k].generation for k in order],
        "evaluation": [individuals[k].evaluation for k in order],
    }
    brief: dict[str, list[object]] = {
        name: [significant(v) if isinstance(v, float) else v for v in values[:_TABLE]]
        for name, values in columns.items()
    }
    brief["on front"] = ["yes" if on else "" for on in brief["on front"]]
    more = "" if len(order) <= _TABLE else f", the first {_TABLE}"
    return (
        f"<details><summary>Table of the archive{more}</summary>"
        + page.table(brief, ("formula", "made by"))
        + page.download("archive.csv", page.csv_text(columns), f"All {len(order)} rows (CSV)")
        + "</details>"
    )


# ---------------------------------------------------------------------------------------------------------------------


def asked_section(archive: Archive, target: Target | None, basis: Any, extra: Sequence[tuple[str, object]]) -> Section:
    """The question: target, basis, and the run file."""
    entries: list[tuple[str, object]] = []
    if target is not None:
        entries.append(("target", without_folders(target.description) or "not described"))
        count = len(target.n_atoms)
        entries.append(
            (
                "target's size",
                f"{whole(target.n_environments)} environments in {count} structure{'s' if count != 1 else ''}"
                + (f", {target.volume_per_atom:.3f} Å³ per atom" if np.isfinite(target.volume_per_atom) else ""),
            )
        )
        fractions = ", ".join(
            f"{100 * x:.4g} % {symbol}" for symbol, x in zip(archive.elements, target.fractions, strict=True)
        )
        entries.append(("composition", fractions))
    else:
        entries.append(("target", "not stored in this archive"))
    if basis is not None:
        ranks = sorted({len(label.ls) for labels in basis.labels for label in labels})
        functions = ", ".join(f"{symbol} {size}" for symbol, size in zip(basis.elements, basis.sizes, strict=True))
        bodies = f"ranks {ranks[0]} to {ranks[-1]} (bodies {ranks[0] + 1} to {ranks[-1] + 1})"
        entries.append(("descriptors", f"ACE, {bodies}; functions: {functions}"))
        low, high = float(basis.cutoff.min()), float(basis.cutoff.max())
        entries.append(("cutoff", f"{low:.3f} Å" if low == high else f"{low:.3f} to {high:.3f} Å, by pair"))
    entries.append(("loss terms", ", ".join(archive.term_names)))
    entries.append(("Pareto objectives", ", ".join(result_plots.words(name) for name in archive.objective_names)))
    entries += extra
    body = f'<div class="card">{page.facts(entries)}'
    if archive.run_file:
        body += (
            "<details><summary>The run file, with every default filled in</summary>"
            f"<pre>{page.text(archive.run_file)}</pre>"
            + page.download("run.toml", archive.run_file, "run.toml", "text/plain")
            + "</details>"
        )
    return Section("asked", "What was asked", "", body + "</div>")


def search_section(archive: Archive, status: Mapping[str, Any]) -> tuple[Section | None, list[Plot]]:
    """How the search went; `status` is what the run folder tells besides."""
    history: Mapping[str, NDArray] = archive.history
    if not history or not len(history.get("generation", ())):
        return None, []
    wide = search_plots.convergence(history)
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
    body += _timing(status) + "</div>"
    return Section("search", "How the search went", "", body), plots


def front_section(archive: Archive) -> tuple[Section, list[Plot]]:
    """The front, and what cells of each size reached."""
    objectives = np.asarray(archive.objectives, dtype=np.float64)
    front = result_plots.front(archive.individuals, objectives, archive.objective_names)
    others = [result_plots.cost(archive.individuals), result_plots.worth(archive.individuals, objectives)]
    plots = [plot for plot in (front, *others) if plot is not None]
    body = page.figure(front, wide=True)
    if any(others):
        body += '<div class="grid">' + "".join(page.figure(plot) for plot in others) + "</div>"
    return Section(
        "front",
        "Pareto front",
        "What is best depends on what counts: the front holds every answer that nothing beats.",
        body,
    ), plots


def match_section(
    target: Environments, chosen: Environments, basis: Any, name: str
) -> tuple[Section, list[Plot], list[tuple[str, str, str]]]:
    """Distributions and coverage of what was found, against the target."""
    # As many bins as the smaller side can fill.
    bins = int(np.clip(2 * np.sqrt(min(len(target), len(chosen))), 8, 40))
    found, labels = environments.compare_histograms(target, chosen, basis, bins)
    order = np.argsort(-found.wasserstein, kind="stable")
    small = [result_plots.histogram(found, int(k), labels[k], name, rank) for rank, k in enumerate(order[:_SMALL], 1)]
    bars = result_plots.function_distances(found, labels, name)
    rest = order[_SMALL : _SMALL + _OFFERED]
    other = result_plots.chooser(found, rest, labels, name) if len(rest) else None
    moments = environments.compare_moments(target, chosen, basis)
    wide_target, wide_chosen = target.wide(basis), chosen.wide(basis)
    tiles: list[tuple[str, str, str]] = []
    rows: dict[str, list[object]] = {
        "": [f"{name} to target"],
        "mean |Δ mean|": [significant(moments.mae_first)],
        "mean |Δ variance|": [significant(moments.mae_second)],
        "means (σ)": [significant(moments.scaled_first)],
        "variances (σ²)": [significant(moments.scaled_second)],
    }
    if len(target) >= _HALVES:
        floor = environments.floor(target, basis)
        for column, value in zip(
            list(rows)[1:], (floor.mae_first, floor.mae_second, floor.scaled_first, floor.scaled_second), strict=True
        ):
            rows[column].append(significant(float(value)))
        rows[""].append("halves of the target to each other")
        remark = f"σ from the target’s, on average; halves of the target: {significant(floor.scaled_first, 2)}"
        note = (
            "The second row is the floor: how far two halves of the target’s own environments are apart. Below it a "
            "search fits the noise of one target."
        )
    else:
        remark = "σ from the target’s, on average"
        note = "σ is the target’s own spread, or where it has none that of the two together."
    tiles.append(("Means are off by", significant(moments.scaled_first, 3), remark))
    body = f'<div class="card"><h3>Moments</h3>{page.table(rows, ("",))}<p class="note">{note}</p></div>'
    plots: list[Plot] = []
    try:
        components = principal_components(wide_target)
        result = coverage(wide_target, wide_chosen, components=components)
    except InputError as error:
        body += f'<p class="note">Coverage: {page.text(error)}.</p>'
    else:
        bound = " (an upper bound)" if result.method == "widths" else ""
        caption = (
            f"{result.sentence()}. {100 * result.inside:.1f} % of the target’s environments lie inside the hull of the "
            f"{name}{bound}, {100 * result.beyond:.1f} % of the {name}’s lie outside the target’s."
        )
        plane = result_plots.plane(components, wide_target, [(name, wide_chosen)], caption)
        plots.append(plane)
        remark = (
            "hull volume, set to target"
            if result.method == "hull"
            else f"within a factor of {significant(result.factor, 2)}, by widths"
        )
        if len(np.unique(chosen.owner)) > 1:  # one small cell spans next to nothing, and that says nothing about it
            tiles.append(("V_rep", significant(result.v_rep, 3), f"{remark}; {result.dimension} components"))
        steps = None
        parts = chosen.of_structures(basis)
        if len(parts) > 1:
            grown = coverage_growth(wide_target, parts, steps=12)
            steps = result_plots.growth([(n, count, one.v_rep, one.inside) for n, count, one in grown])
        body += '<div class="grid">' + page.figure(plane, wide=steps is None) + page.figure(steps) + "</div>"
        plots += [steps] if steps else []
    body += (
        f'<div class="card"><h3>Distributions of single functions</h3><p class="about">The {len(small)} functions that '
        f'fit worst of {len(labels)}: share of environments over the value of the function.</p><div class="small">'
        + "".join(page.small_figure(plot) for plot in small)
        + "</div></div>"
        + '<div class="grid">'
        + page.figure(bars)
        + page.figure(other)
        + "</div>"
    )
    plots += [*small, bars, *([other] if other else [])]
    thin = (
        ""
        if len(chosen) == chosen.total
        else f" Drawn from {whole(len(chosen))} of its {whole(chosen.total)} environments."
    )
    about = f"The {name} against the target.{thin}"
    return Section("match", "How well it matches", about, body), plots, tiles


def _timing(status: Mapping[str, Any]) -> str:
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
        ("speed", f"{significant(evaluations / seconds)} evaluations per second, all ranks together"),
        ("ranks", status.get("ranks", "unknown")),
        ("checkpoints", f"{whole(_number(saved, 'saved', 0))} in {significant(_number(saved, 'seconds', 0), 3)} s"),
        ("host", status.get("host", "unknown")),
    ]  # fmt: skip
    if not _number(saved, "saved", 0):
        entries = [entry for entry in entries if entry[0] != "checkpoints"]
    return f'<div class="card"><h3>Timing</h3>{page.facts(entries)}</div>'


def _number(status: Mapping[str, Any], name: str, otherwise: float = float("nan")) -> float:
    value = status.get(name, otherwise)
    return float(value) if isinstance(value, int | float) else otherwise


def status_of(run_dir: Path) -> dict[str, Any]:
    """What status.json of a run folder says; empty where there is none."""
    try:
        found = json.loads((run_dir / "status.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def versions_of(run_dir: Path) -> list[tuple[str, object]]:
    """What versions.json of a run folder says, if there is one."""
    try:
        found = json.loads((run_dir / "versions.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    if not isinstance(found, dict):
        return []
    plain = [f"{name} {value}" for name, value in found.items() if isinstance(value, str | int | float)]
    return [("made with", ", ".join(plain))] if plain else []
