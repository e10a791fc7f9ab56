"""The closing lines of a run: a table of the best structures, and where everything is."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grs_evo.errors import EXIT_EARLY, EXIT_SHORT
from grs_evo.loss.quality import why_far
from grs_evo.search.population.individual import Individual, order_key, short_uid
from grs_evo.search.problem import Problem
from grs_evo.storage.archive_file import row_of
from grs_evo.structures.structure import Structure
from grs_evo.text import Shown, counted, duration, table_of

# Terms that the table leaves out.
_LEFT_OUT = ("raw",)
_WIDTH = 80


@dataclass(frozen=True, eq=False)
class Result(Shown):
    """How a run, or a session of it, ended."""

    folder: Path
    finished: bool
    reason: str
    generation: int
    seconds: float
    archive: tuple[Individual, ...] = ()  # on rank 0
    archive_hash: str = ""  # on rank 0
    short: bool = False  # its representative set has not the size that was asked for

    def __repr__(self) -> str:
        how = "finished" if self.finished else "stopped"
        lowest = min((one.value for one in self.archive), default=None)
        best = "" if lowest is None else f", lowest value {lowest:.6g}, hash {self.archive_hash}"
        return (
            f"Result({how} ({self.reason or 'end'}) after generation {self.generation}, {duration(self.seconds)}; "
            f"{counted(len(self.archive), 'structure')}{best}; {self.folder})"
        )

    @property
    def exit_code(self) -> int:
        if not self.finished:
            return EXIT_EARLY
        return EXIT_SHORT if self.short else 0


def summary(
    result: Result,
    problem: Problem,
    top: int,
    session_generation: int,
    set_up_seconds: float,
    targets: Sequence[Structure] | None = None,
    shown: Sequence[Individual] | None = None,
) -> str:
    """How it ended, and a table of what was found.

    Parameters
    ----------
    problem : of the last round
    top : rows of the table
    session_generation : last generation before this session, -1 for none
    set_up_seconds : s of this session before its first generation
    targets : the target's structures, to compare the best with; None: it is not to match alone, as one of a set
    shown : what the table shows; default: the archive
    """
    folder = shorter(result.folder)
    how = "finished" if result.finished else "stopped"
    begun = result.generation >= 0
    when = f"after generation {result.generation}" if begun else "before the first generation was complete"
    lines = [
        f"{how} ({result.reason or 'end'}) {when}, {duration(result.seconds)}",
    ]
    listed = result.archive if shown is None else shown
    if listed:
        whole = "" if shown is None or shown is result.archive else f"the set of {counted(len(shown), 'structure')}, "
        more = f"the best {top} of {len(listed)}" if len(listed) > top else "best first"
        lines += [
            "",
            f"{whole}{more}:",
            best_table(listed, problem.elements, problem.term_names, top),
            _footer(problem.term_names),
            "",
        ]
    if result.archive:
        best = min(result.archive, key=order_key)
        far = "" if targets is None else why_far(problem.objective, best.structure, best.terms, targets)
        if far:
            lines += [f"no match    of the best structure, {far}", ""]
        size = counted(len(result.archive), "structure")
        lines.append(f"archive     {folder / 'archive.h5'} ({size}, hash {result.archive_hash})")
    if not result.finished and result.generation <= session_generation:
        lines.append(f"no generation was completed: set-up took {duration(set_up_seconds)} of this session")
    return "\n".join(lines)


def next_commands(result: Result, in_set: bool, differs: bool = False) -> str:
    """The commands that go on from here, one a line; where the target is not met, what may help."""
    folder = shlex.quote(str(shorter(result.folder)))
    lines = []
    if in_set:
        lines.append(f"structures  grs-evo export {folder} --set -o set.extxyz")
    elif result.archive:
        lines.append(f"structures  grs-evo export {folder} -o best.extxyz --top 10")
    if result.archive:
        lines.append(f"look at it  grs-evo report {folder}")
    if not result.finished:
        lines.append(f"go on with  grs-evo resume {folder}")
    elif differs and in_set:
        lines.append("to improve  a larger set.count, with more set.rounds; see grs-evo guide sets")
    elif differs and result.reason == "generations":
        lines.append(f"to improve  grs-evo resume {folder} --extend stop.generations={2 * result.generation}")
        lines.append("            or more atoms, or what grs-evo guide verdict tells for each reason")
    elif differs:
        lines.append("to improve  more atoms, or what grs-evo guide verdict tells for each reason")
    return "\n".join(lines)


def shorter(path: Path) -> Path:
    """A path from the working folder, where it lies below that; else as it is, without `..`."""
    whole = Path(os.path.abspath(path))
    try:
        return whole.relative_to(Path.cwd())
    except (ValueError, OSError):
        return whole


def best_table(archive: Sequence[Individual], elements: Sequence[str], term_names: Sequence[str], top: int) -> str:
    """The lowest values of an archive as text.

    The unscaled loss is left out: in the units of the descriptors it is of no size that a reader could judge.
    """
    shown = [name for name in term_names if name not in _LEFT_OUT]
    best = sorted(archive, key=order_key)[:top]
    rows = []
    for one in best:
        row = row_of(one, elements, term_names)
        terms = [f"{row[name]:.4g}" for name in shown]
        rows.append(
            [
                row["formula"],
                str(row["n_atoms"]),
                f"{one.value:.6g}",
                *terms,
                one.operator,
                short_uid(one.uid),
                str(one.generation),
            ]
        )
    heads = ["structure", "atoms", "value", *shown, "made by", "uid", "generation"]
    # what the files tell as well goes first where the screen is too narrow
    for left_out in ("generation", "atoms", *reversed(shown), "made by"):
        text = table_of(rows, heads)
        if max(map(len, text.splitlines())) <= _WIDTH:
            return text
        k = heads.index(left_out)
        heads, rows = heads[:k] + heads[k + 1 :], [row[:k] + row[k + 1 :] for row in rows]
    return table_of(rows, heads)


def _footer(term_names: Sequence[str]) -> str:
    """The columns in a line."""
    shown = ", ".join(name for name in term_names if name not in _LEFT_OUT)
    parts = f"; {shown}: its parts before weights" if shown else ""
    return f"value: what was minimised{parts}; uid: island/number"
