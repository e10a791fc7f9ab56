"""Whether what was found stands for its target, by the observables: one line for the screen, files and pages.

The target's structures are what is compared with; a target that has none (a random alloy, a stored target without
them) is not judged by. Of many frames, as many are counted as have some ten thousand atoms together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.loss.options import LossOptions
from grs_evo.observables import DIFFERS, SAMPLE, STANDS, Quality, Reference, compare, describe_target
from grs_evo.structures.structure import Structure
from grs_evo.targets.target import Target
from grs_evo.text import counted

# Atoms of a target's frames that are counted: about a second.
_MOST = 20_000
# Frames of unequal weight are drawn as often as these say, all together so many times their number.
_REPEATS = 10
# s to count an atom, on one core, and the share of a run's time that this may take; a second it may always take.
_COUNTING = 5e-5
_SHARE = 0.05
_NOTHING = 1e-6  # what rounding leaves of a difference
# Targets that were counted: a run asks before it begins and at its end.
_KNOWN: WeakKeyDictionary[Target, Reference] = WeakKeyDictionary()
# Deviations are told up to this many limits.
_FAR = 99.0

_WORDS = {STANDS: STANDS, SAMPLE: "as good as a random sample of the target", DIFFERS: "differs from the target"}


@dataclass(frozen=True, eq=False)
class Judgement:
    """How a structure or a set compares with a target, in one line and by its observables."""

    subject: str  # what was judged: "best structure", "representative set", …
    line: str
    away: bool  # whether the search moved away from the target
    quality: Quality | None  # None: it could not be told, the line says why

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found: dict[str, Any] = {"grade": None, "reasons": [], "notes": [], "rows": []}
        if self.quality is not None:
            found = self.quality.to_dict()
        return {**found, "line": self.line, "subject": self.subject, "away": self.away}

    @property
    def notes(self) -> tuple[str, ...]:
        """What is wrong with the target."""
        return self.quality.notes if self.quality is not None else ()


def moves_away(loss: LossOptions) -> bool:
    """Whether a search moves away from the target: the weights' sign."""
    moments = loss.mean + loss.variance + loss.skewness + loss.kurtosis + loss.covariance
    return (loss.w_structure if loss.w_structure != 0 else loss.w_set) * moments < 0


def subject_of(in_set: bool, away: bool) -> str:
    """What is judged, in words: the set where there is one, otherwise one structure."""
    if in_set:
        return "accepted set" if away else "representative set"
    return "farthest structure" if away else "best structure"


def reference_of(target: Target, elements: Sequence[str], seconds: float | None = None) -> Reference | None:
    """What structures are compared with; None where the target has no structures.

    Parameters
    ----------
    elements : symbols in the order of species
    seconds : that the run took, of which this may take a small share; None: it may take what it takes

    Raises
    ------
    InputError
        The observables refuse the target, or counting it would take more than that share.
    """
    if not target.structures:
        return None
    sizes = np.array([one.n_atoms for one in target.structures])
    frames = _frames(sizes, target.weights)
    needed = _COUNTING * float(sizes[frames].sum())
    if seconds is not None and needed > max(1.0, _SHARE * seconds) and sizes[frames].sum() > _MOST:
        raise InputError(
            f"to count the {sizes[frames].max():,} atoms of the target's structure takes about {needed:.0f} s; "
            "`grs-evo report` tells it"
        )
    known = _KNOWN.get(target)
    if known is None or known.elements != tuple(elements):
        centres = [target.centres[k] for k in frames] if target.centres else ()
        _KNOWN[target] = known = describe_target([target.structures[k] for k in frames], elements, centres=centres)
    return known


def _frames(sizes: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which frames are counted: all if there is room, otherwise spread evenly, as often as their weights say."""
    alike = bool(np.all(weights == weights[0]))
    if alike and sizes.sum() <= _MOST:
        return np.arange(len(sizes))
    ends = np.cumsum(weights / weights.sum())
    room = int(_MOST / float(np.average(sizes, weights=weights)))
    count = max(1, min(room, len(sizes) if alike else _REPEATS * len(sizes)))
    places = (np.arange(count) + 0.5) / count
    return np.minimum(np.searchsorted(ends, places), len(sizes) - 1)


def judge(
    structures: Sequence[Structure], reference: Reference, subject: str, away: bool = False, early: str = ""
) -> Judgement:
    """Judge a structure, or several together as a set.

    Parameters
    ----------
    subject : what they are called; "" for a line without it
    early : e.g. "stopped early", which the line then says

    Raises
    ------
    InputError
        The observables refuse them.
    """
    found = compare(structures, reference)
    size = counted(found.n_atoms, "atom")
    several = f"{counted(found.n_structures, 'structure')}, " if found.n_structures > 1 else ""
    before = f"{subject} ({several}{size}{'; ' + early if early else ''}): " if subject else ""
    return Judgement(subject, before + (_away_words(found) if away else words_of(found)), away, found)


def untold(subject: str, why: object) -> Judgement:
    """What is said where nothing can be: a line with the reason."""
    before = f"{subject}: " if subject else ""
    return Judgement(subject, f"{before}not compared with the target: {' '.join(str(why).split())}", False, None)


def words_of(found: Quality) -> str:
    """Grade and reasons."""
    return ": ".join([_WORDS[found.grade], *(["; ".join(found.reasons)] if found.reasons else [])])


def _away_words(found: Quality) -> str:
    """How far a structure got away, by the same observables."""
    if found.good:
        return f"not away from the target by any observable: {_WORDS[found.grade]}"
    most = found.worst(1)[0]
    far = f"{'more than' if most.excess >= _FAR else 'up to'} {most.deviation:.0f} scatters"
    return f"away from the target by {far}: {'; '.join(found.reasons)}"


def most_off(rows: Sequence[Mapping[str, Any]], count: int) -> dict[str, list[str]]:
    """The largest deviations as columns of text.

    Parameters
    ----------
    rows : as in `Judgement.to_dict`
    """

    def excess(row: Mapping[str, Any]) -> float:
        return float(row["deviation"]) / row["limit"] if row["limit"] else 0.0

    shown = sorted(rows, key=excess, reverse=True)[:count]
    return {
        "observable": [row["observable"] for row in shown],
        "of": [row["subject"] or "cell" for row in shown],
        "quantity": [row["quantity"] + (f" ({row['unit']})" if row["unit"] else "") for row in shown],
        "value": [_number(row["value"]) for row in shown],
        "target": [_number(row["target"]) for row in shown],
        "scatter": [_number(row["scatter"]) for row in shown],
        "deviation": [_number(row["deviation"]) for row in shown],
        "limit": [_number(row["limit"]) for row in shown],
    }


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return "0" if abs(value) < _NOTHING else f"{value:.4g}"
