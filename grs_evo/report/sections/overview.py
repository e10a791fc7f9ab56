"""Target, basis, loss and run file in words; and what else a run folder tells of the run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from grs_evo.analysis.notation import MINUS, objective, several, whole
from grs_evo.loss.options import LossOptions
from grs_evo.loss.scaling import NORMS, SCALES
from grs_evo.loss.terms.table import facts as term_facts
from grs_evo.report import page
from grs_evo.report.context import Context
from grs_evo.report.formatting import without_folders
from grs_evo.report.page import Section
from grs_evo.storage.archive_file import Archive
from grs_evo.storage.run_folder import json_table
from grs_evo.targets.target import Target


def overview_section(
    archive: Archive, target: Target | None, context: Context, versions: Sequence[tuple[str, object]]
) -> Section:
    """What was searched for: target, basis, loss, and the run file; folded up, what the run was made with."""
    entries: list[tuple[str, object]] = [*_target_facts(archive, target), *_basis_facts(archive.basis)]
    if context.loss is not None:
        entries.append(("loss", _loss_words(context.loss, context.away)))
    entries.append(("Pareto objectives", ", ".join(objective(name) for name in archive.objective_names)))
    entries.append(("seed", archive.seed))
    body = f'<div class="card">{page.facts(entries)}{_terms(archive, context.loss)}'
    if archive.run_file:
        body += (
            "<details><summary>The run file, with every default filled in</summary>"
            f'<pre tabindex="0">{page.text(archive.run_file)}</pre>'
            + page.download("run.toml", archive.run_file, "run.toml", "text/plain")
            + "</details>"
        )
    if versions:
        body += f"<details><summary>What it was made with</summary>{page.facts(versions)}</details>"
    return Section("overview", "What was searched for", "", body + "</div>")


def _target_facts(archive: Archive, target: Target | None) -> list[tuple[str, object]]:
    if target is None:
        return [("target", "not stored in this archive")]
    size = f"{whole(target.n_environments)} environments in {several(len(target.n_atoms), 'structure')}"
    if np.isfinite(target.volume_per_atom):
        size += f", {target.volume_per_atom:.3f} Å³ per atom"
    fractions = zip(archive.elements, target.fractions, strict=True)
    return [
        ("target", without_folders(target.description) or "not described"),
        ("target’s size", size),
        ("composition", ", ".join(f"{100 * share:.4g} % {symbol}" for symbol, share in fractions)),
    ]


def _basis_facts(basis: Any) -> list[tuple[str, object]]:
    if basis is None:
        return []
    ranks = sorted({len(label.ls) for labels in basis.labels for label in labels})
    functions = ", ".join(f"{symbol} {size}" for symbol, size in zip(basis.elements, basis.sizes, strict=True))
    bodies = f"ranks {ranks[0]} to {ranks[-1]} (bodies {ranks[0] + 1} to {ranks[-1] + 1})"
    low, high = float(basis.cutoff.min()), float(basis.cutoff.max())
    return [
        ("descriptors", f"ACE, {bodies}; functions: {functions}"),
        ("cutoff", f"{low:.3f} Å" if low == high else f"{low:.3f} to {high:.3f} Å, by pair"),
    ]


def _loss_words(loss: LossOptions, away: bool) -> str:
    """What is minimised, in a sentence."""
    what = "all cells of the set together" if loss.w_structure == 0 and loss.w_set != 0 else "the cell"
    if loss.w_structure != 0 and loss.w_set != 0:
        what = "the cell, and all cells of the set together,"
    direction = "as far from the target as can be" if away else "as near to the target as can be"
    return f"{what} {direction}; differences {SCALES[loss.scale]}, {NORMS[loss.norm]}"


def _terms(archive: Archive, loss: LossOptions | None) -> str:
    """A table of the loss terms: name, weight, what it is."""
    known = term_facts(archive.term_names, loss)
    names = list(known)
    if not names:
        return ""
    columns: dict[str, list[object]] = {"loss term": list(names)}
    if loss is not None:
        columns["weight"] = ["–" if one.weight is None else _plain(one.weight) for one in known.values()]
    columns["what it is"] = [one.meaning for one in known.values()]
    table = page.table(columns, ("loss term", "weight", "what it is"), wrap=("what it is",))
    return f"<details><summary>The terms of the loss, and what they are</summary>{table}</details>"


def _plain(weight: float) -> str:
    """A weight as it stands in the run file."""
    return f"{weight:g}".replace("-", MINUS)


# ---------------------------------------------------------------------------------------------------------------------
# what the run folder tells


def status_of(run_dir: Path) -> dict[str, Any]:
    """What status.json of a run folder says; empty where there is none."""
    return json_table(run_dir / "status.json")


def versions_of(run_dir: Path) -> list[tuple[str, object]]:
    """What versions.json of a run folder says, if there is one."""
    found = json_table(run_dir / "versions.json")
    return [(name, value) for name, value in found.items() if isinstance(value, str | int | float)]


def compile_time(run_dir: Path) -> str:
    """How long compiling took, as the run's log says; empty where it does not."""
    try:
        log = (run_dir / "log.txt").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = re.findall(r"compiled in ([^,;\n]+)", log)
    return found[0].strip() if found else ""
