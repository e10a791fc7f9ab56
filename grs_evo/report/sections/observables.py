"""What a person checks in a structure, against the target: the line at the head, a table, g(r) and bond angles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grs_evo.analysis.figures.figure import Figure
from grs_evo.analysis.figures.files import csv_text
from grs_evo.analysis.figures.observables import curve_figures
from grs_evo.analysis.kept_out import kept_out_of
from grs_evo.analysis.notation import several
from grs_evo.analysis.quality import Judgement, judge, most_off, reference_of, subject_of, untold
from grs_evo.errors import InputError
from grs_evo.loss.quality import structure_loss
from grs_evo.observables import Curve, curves, listing
from grs_evo.report import page
from grs_evo.report.page import Section
from grs_evo.report.sections.structures import Found
from grs_evo.storage.target_file import TargetData
from grs_evo.targets.target import Target

# Rows of the table, and figures of one observable, at most.
_ROWS = 24
_SMALL = 6


@dataclass(frozen=True, eq=False)
class Judged:
    """How the best structure, or the set, compares with the target, and the curves that show it."""

    judgement: Judgement
    curves: Sequence[Curve]
    kept_out: str = ""  # what frames that the search did not see say, in a line


def judged(found: Found, target: Target | None, folder: Path | None, status: Mapping[str, Any]) -> Judged | None:
    """Compare with the structures of the target, which the run folder holds; None where there are none."""
    data = _stored(target, folder)
    if data is None:
        return None
    in_set = bool(found.archive.set)
    subject = subject_of(in_set, found.away)
    chosen = [one.structure for one in found.archive.set] or [found.best().structure]
    if in_set and not found.away:
        chosen = [*(found.context.given or ()), *chosen]
    early = {"stopped": "stopped early", "running": "the search has not ended"}.get(str(status.get("state")), "")
    try:
        reference = reference_of(data.target, found.archive.elements)
        if reference is None:
            return None
        return Judged(
            judge(chosen, reference, subject, found.away, early), curves(chosen, reference), _kept_out(found, data)
        )
    except InputError as error:
        return Judged(untold(subject, error), ())


def _kept_out(found: Found, data: TargetData) -> str:
    objective = found.context.objective
    if objective is None or found.archive.set or found.away:
        return ""
    kept_out = kept_out_of(objective, data.kept_out)
    if kept_out is None:
        return ""
    best = found.best()
    seen = structure_loss(best.terms, found.archive.term_names)
    return str(kept_out.found(best.structure, seen)["line"])


def _stored(target: Target | None, folder: Path | None) -> TargetData | None:
    if target is None or folder is None or not (folder / "target.h5").is_file():
        return None
    try:
        kept = TargetData.read(folder / "target.h5")
    except InputError:  # the report tells what the archive tells
        return None
    return kept if kept.target.basis_hash == target.basis_hash else None


def head(one: Judged | None, status: Mapping[str, Any]) -> str:
    """The line at the head of the page; where there is nothing to compare with, what the run said at its end."""
    if one is None:
        said = status.get("quality")
        line = said.get("line") if isinstance(said, dict) else None
        return f'<p class="quality">{page.text(_upper(line))}</p>' if isinstance(line, str) else ""
    lines = [one.judgement.line, *([one.kept_out] if one.kept_out else [])]
    return "".join(f'<p class="quality">{page.text(_upper(line))}</p>' for line in lines)


def observables_section(one: Judged) -> tuple[Section, list[Figure]]:
    """The table, and the curves against the target's."""
    judgement = one.judgement
    notes = "".join(f'<p class="note">{page.text(note)}</p>' for note in judgement.notes)
    title = "Observables against the target"
    if judgement.quality is None:
        return Section("observables", title, judgement.line, notes), []
    groups = curve_figures(
        sorted(one.curves, key=lambda curve: curve.observable, reverse=True),
        judgement.quality,
        judgement.subject,
        _SMALL,
    )
    body = notes + _table(judgement)
    meanings = {known["name"]: known["meaning"] for known in listing()}
    for name, figures in groups:
        cards = "".join(page.small_figure(figure) for figure in figures if not figure.choices)
        body += (
            f'<div class="card"><h3>{page.text(_upper(name))}</h3>'
            f'<p class="about">{page.text(_upper(meanings.get(name, name)))}. The band is one scatter of the target to '
            f'either side.</p><div class="small">{cards}</div></div>'
        )
        body += "".join(page.figure(figure) for figure in figures if figure.choices)
    about = (
        "What a person checks before trusting a cell. A scatter is that of as many environments drawn from the target; "
        "what is further off than its limit differs."
    )
    return Section("observables", title, about, body), [figure for _, figures in groups for figure in figures]


def _upper(words: str) -> str:
    """With a capital letter in front, unless it begins with a symbol such as g(r)."""
    return words if words[1:2] == "(" else words[:1].upper() + words[1:]


def _table(judgement: Judgement) -> str:
    rows = judgement.to_dict()["rows"]
    shown = most_off(rows, _ROWS)
    count = len(shown["of"])
    which = f"All {count}" if count == len(rows) else f"The {count} most off of {several(len(rows), 'number')}"
    every = {name: [row[name] for row in rows] for name in rows[0]} if rows else {}
    data = page.download("observables.csv", csv_text(every), "Data (CSV)") if every else ""
    return (
        f'<div class="card"><h3>Numbers</h3><p class="about">{which} of the {page.text(judgement.subject)}, the '
        f"largest deviation over its limit first; deviation and limit in scatters.</p>"
        f"{page.table(shown, ('observable', 'of', 'quantity'))}{data}</div>"
    )
