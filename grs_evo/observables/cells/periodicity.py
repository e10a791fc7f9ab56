"""Along how many directions matter goes on, and how wide the vacuum is where it does not."""

from __future__ import annotations

from typing import Any

import numpy as np

from grs_evo.observables.counting.extent import VACUUM, filled, gaps
from grs_evo.observables.counting.survey import Survey
from grs_evo.observables.record import Observable, Row
from grs_evo.observables.sampling import Comparison

LIMIT = 1.0
_NAMES = {0: "a cluster", 1: "a wire", 2: "a slab", 3: "bulk"}


def _dimensions(found: Survey) -> set[int]:
    return {int(filled(s).sum()) for s in found.kept}


def _measure(found: Survey) -> dict[str, Any]:
    structure = found.kept[0]
    widths = gaps(structure)
    vacuum = [None if not np.isfinite(w) else float(w) if w >= VACUUM else 0.0 for w in widths]
    kinds = [_NAMES[d] for d in sorted(_dimensions(found))]
    return {"pbc": structure.pbc.tolist(), "vacuum": vacuum, "kind": kinds}


def _compare(found: Survey, comparison: Comparison) -> list[Row]:
    """Judged for one structure; a set of bulk cells may stand for the environments of a wire."""
    ours, theirs = _dimensions(found), _dimensions(comparison.target)
    judged = len(ours) == 1 and len(theirs) == 1 and found.n_structures == 1
    value, target = min(ours), min(theirs)
    words = f"the structure is {_NAMES[value]}, the target {_NAMES[target]}"
    limit = LIMIT if judged else float("inf")
    return [OBSERVABLE.row("", "directions along which matter goes on", value, target, 0.1, limit, words)]


OBSERVABLE = Observable(
    "periodicity",
    "cell vectors along which matter goes on: periodic, without a slab of 6 Å that has no atoms",
    "",
    _measure,
    _compare,
)
