"""The closing lines of a run: a table of the best structures, and where everything is."""

from __future__ import annotations

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
) -> str:
    """The table at the end, and where everything is.

    Parameters
    ----------
    problem : of the last round
    top : rows of the table
    session_generation : last generation before this session, -1 for none
    set_up_seconds : s of this session before its first generation
    targets : the target's structures, to compare the best with; None: it is not to match alone, as one of a set
    """
    folder = result.folder
    how = "finished" if result.finished else "stopped"
    begun = result.generation >= 0
    when = f"after generation {result.generation}" if begun else "before the first generation was complete"
    lines = [
        f"{how} ({result.reason or 'end'}) {when}, {duration(result.seconds)}",
    ]
    if result.archive:
        lines += [
            "",
            best_table(result.archive, problem.elements, problem.term_names, top),
            _footer(problem.term_names),
            "",
        ]
        best = min(result.archive, key=order_key)
        far = "" if targets is None else why_far(problem.objective, best.structure, best.terms, targets)
        if far:
            lines += [f"no match    of the best structure, {far}", ""]
        size = counted(len(result.archive), "structure")
        lines.append(f"archive     {folder / 'archive.h5'} ({size}, hash {result.archive_hash})")
        lines.append(f"structures  grs-evo export {folder} -o best.extxyz --top 10")
    if not result.finished and result.generation <= session_generation:
        lines.append(f"no generation was completed: set-up took {duration(set_up_seconds)} of this session")
    if not result.finished:
        lines.append(f"go on with  grs-evo resume {folder}")
    return "\n".join(lines)


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
    return table_of(rows, ["structure", "atoms", "value", *shown, "made by", "uid", "generation"])


def _footer(term_names: Sequence[str]) -> str:
    """The columns in one line."""
    shown = ", ".join(name for name in term_names if name not in _LEFT_OUT)
    parts = [
        "value: what was minimised",
        *([f"{shown}: its parts before weights"] if shown else []),
        "uid: island/number",
        *(["the unscaled loss (raw) is in the files"] if "raw" in term_names else []),
    ]
    return "; ".join(parts)
