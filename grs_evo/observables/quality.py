"""Whether a structure or a set stands for a target, in one line, with the reasons where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from grs_evo.errors import InputError
from grs_evo.observables.catalogue import all_observables, extended
from grs_evo.observables.counting.survey import Survey, survey
from grs_evo.observables.given import structures_of
from grs_evo.observables.record import Curve, Observable, Row
from grs_evo.observables.reference import Reference, describe_target
from grs_evo.observables.sampling import Comparison, draw

STANDS = "stands for the target"
SAMPLE = "as good as a random sample of it"
DIFFERS = "differs"

# Share of every limit up to which a structure stands for the target: about what half of all random samples exceed.
_BETTER = 0.55
_MOST_REASONS = 3
# Limits are set for the rows of two elements; 4 scatters are their usual size.
_USUAL_ROWS, _SCATTERS = 35, 4.0
# Beyond so many limits a deviation is large however large; what reads best is then told first.
_LARGE = 4.0
# The deviation of a contact grows slowly, since it tells how unlikely it is.
_LARGE_AT_ONCE = ("contacts",)
_FIRST_TOLD = (
    "periodicity", "molecules", "composition", "contacts", "coordination", "density", "anisotropy", "first peak",
    "short-range order", "angles", "pair distribution",
)  # fmt: skip


@dataclass(frozen=True)
class Quality:
    """How a structure or set compares with a target, observable by observable."""

    line: str  # one line for the screen, with the reasons
    grade: str  # STANDS, SAMPLE or DIFFERS
    reasons: tuple[str, ...]  # up to three, the largest deviations first; empty unless it differs
    rows: tuple[Row, ...]
    notes: tuple[str, ...]  # what is wrong with the target
    n_structures: int
    n_atoms: int

    @property
    def good(self) -> bool:
        """Whether no observable is further off than a random sample of the target may be."""
        return self.grade != DIFFERS

    def worst(self, count: int = 10) -> list[Row]:
        """The rows with the largest deviations over their limits."""
        return sorted(self.rows, key=lambda row: -row.excess)[:count]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; NaN and infinities are None."""
        return {
            "line": self.line,
            "grade": self.grade,
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "n_structures": self.n_structures,
            "n_atoms": self.n_atoms,
            "rows": [row.to_dict() for row in self.rows],
        }


def compare(structures: Any, reference: Reference, extra: Sequence[Observable] = (), seed: int = 0) -> Quality:
    """Compare a structure, or several taken together as a set, with a target.

    Parameters
    ----------
    structures : as for `observe`, species in the order of the target's elements
    reference : of `describe_target`
    extra : observables beside those of `all_observables`
    seed : of the draws from the target; the same seed gives the same numbers

    Raises
    ------
    InputError
        There is no structure, one that is unsound, or one with an element that the target's elements lack.
    """
    rows: list[Row] = []
    # products of small matrices, which several threads of BLAS make slower, and more so where cores are taken
    with threadpool_limits(1):
        found, comparison = _compared(structures, reference, seed)
        for observable in extended(all_observables(), extra):
            rows += observable.compare(found, comparison)
    return _judged(rows, reference.notes, found.n_structures, found.n_atoms)


def curves(structures: Any, reference: Reference, extra: Sequence[Observable] = (), seed: int = 0) -> list[Curve]:
    """The distributions behind a comparison, to be drawn: g(r) of each pair, angles. As for `compare`."""
    told = [one.curves for one in extended(all_observables(), extra) if one.curves is not None]
    with threadpool_limits(1):
        found, comparison = _compared(structures, reference, seed)
        return [curve for make in told for curve in make(found, comparison)]


def _compared(structures: Any, reference: Reference, seed: int) -> tuple[Survey, Comparison]:
    _, given = structures_of(structures, reference.elements, "structures")
    target = reference.survey
    found = survey(given, reference.elements, target.reach, target.shells, seed)
    return found, draw(target, found.counts, reference.exact, reference.torn, seed)


def quality_of(
    structures: Any,
    target_structures: Any,
    elements: Sequence[str] | None = None,
    extra: Sequence[Observable] = (),
    seed: int = 0,
) -> Quality:
    """The same in one call; see `describe_target` and `compare`."""
    return compare(structures, describe_target(target_structures, elements, seed=seed), extra, seed)


def _judged(rows: list[Row], notes: tuple[str, ...], n_structures: int, n_atoms: int) -> Quality:
    for row in rows:
        if np.isnan(row.deviation):
            raise InputError(f"observables: {row.observable} of {row.subject} has no deviation; it must be a number")
    rows = _widened(rows)
    judged = [row for row in rows if np.isfinite(row.limit)]
    worst = max((row.excess for row in judged), default=0.0)
    reasons: tuple[str, ...] = ()
    if worst > 1.0:
        grade, reasons = DIFFERS, _reasons([row for row in judged if row.excess > 1.0])
    else:
        grade = STANDS if worst <= _BETTER else SAMPLE
    line = f"{grade}: {'; '.join(reasons)}" if reasons else grade
    return Quality(line, grade, reasons, tuple(rows), notes, n_structures, n_atoms)


def _widened(rows: list[Row]) -> list[Row]:
    """Rows with limits that hold for as many as there are: of hundreds, one is further off by chance than of thirty."""
    usual = NormalDist().cdf(-_SCATTERS)
    share = -NormalDist().inv_cdf(usual / max(len(rows) / _USUAL_ROWS, 1.0)) / _SCATTERS
    return [replace(row, limit=row.limit * share) if row.scatter > 0 else row for row in rows]


def _reasons(rows: list[Row]) -> tuple[str, ...]:
    """The largest deviations, first of different observables."""

    def order(row: Row) -> tuple[float, int, float]:
        told = _FIRST_TOLD.index(row.observable) if row.observable in _FIRST_TOLD else 0
        large = _LARGE if row.observable in _LARGE_AT_ONCE else min(row.excess, _LARGE)
        return -large, told, -row.excess

    ranked = sorted(rows, key=order)
    firsts: list[Row] = []
    others: list[Row] = []
    seen: set[str] = set()
    for row in ranked:
        (others if row.observable in seen else firsts).append(row)
        seen.add(row.observable)
    return tuple(row.words for row in (firsts + others)[:_MOST_REASONS])
