"""The space group, by spglib with a tolerance of 0.01 Å; told, not judged: g(r), angles and order say what differs."""

from __future__ import annotations

import math
from typing import Any

from grs_evo.observables.counting.survey import Survey
from grs_evo.observables.record import Observable, Row
from grs_evo.observables.sampling import Comparison
from grs_evo.structures.symmetry import symmetry

# Larger cells have none that a reader looks for, and spglib takes long.
_MOST_ATOMS = 400


def _group(found: Survey) -> str | None:
    """Of the one structure, or the first of several."""
    structure = found.kept[0]
    if structure.n_atoms > _MOST_ATOMS:
        return None
    known = symmetry(structure, found.elements)
    return None if known is None else known[0]


def _measure(found: Survey) -> dict[str, Any]:
    return {"space_group": _group(found)}


def _compare(found: Survey, comparison: Comparison) -> list[Row]:
    ours, theirs = _group(found), _group(comparison.target)
    if ours is None or theirs is None:
        return []
    words = f"space group {ours}, the target's {theirs}"
    first, second = (float(text.rpartition("(")[2].rstrip(")")) for text in (ours, theirs))
    return [OBSERVABLE.row("", "space group", first, second, math.nan, math.inf, words, deviation=0.0)]


OBSERVABLE = Observable("space group", "number of the space group", "", _measure, _compare)
