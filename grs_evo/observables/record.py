"""What an observable is: a name with its meaning and unit, how it is measured, and how a deviation reads in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from grs_evo.observables.counting.survey import Survey
from grs_evo.observables.sampling import Comparison
from grs_evo.plugins import Answer

# Above so many limits a deviation is told as that many: where the target has no scatter it would be without bound.
_FAR = 99.0


@dataclass(frozen=True)
class Row:
    """One number of a structure or set beside the target's."""

    observable: str  # name of the observable it belongs to
    subject: str  # what it is told of: a pair such as "Al-Al", an element, or "" for the whole cell
    quantity: str  # what is compared, e.g. "first peak"
    unit: str
    value: float  # of the structure or set; NaN where it has none
    target: float
    scatter: float  # of as many environments drawn from the target, in the same unit
    deviation: float  # in scatters, at most 99 times the limit
    limit: float  # a larger deviation says that the structure differs; infinite for what is only told
    words: str  # how the deviation reads: "Al-Al contacts at 1.9 Å, the target has none below 2.3"

    @property
    def excess(self) -> float:
        """Deviation over its limit: above 1, the structure differs."""
        return self.deviation / self.limit

    def to_dict(self) -> dict[str, Any]:
        """Plain values, NaN and infinities as None."""
        return {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True, eq=False)
class Curve:
    """A distribution of a structure or set beside the target's, to be drawn."""

    observable: str  # name of the observable it belongs to
    subject: str  # what it is told of: a pair such as "Al-Al", or three elements
    x: NDArray[np.float64]  # (n,)
    value: NDArray[np.float64]  # (n,) of the structure or set
    target: NDArray[np.float64]  # (n,)
    scatter: NDArray[np.float64]  # (n,) of as many environments drawn from the target
    x_title: str  # with its unit
    y_title: str


def _are(given: Any, kind: type) -> bool:
    return isinstance(given, list) and all(isinstance(one, kind) for one in given)


@dataclass(frozen=True)
class Observable:
    """A thing that a person checks in a structure.

    A module of `observables.environments` or `observables.cells` whose `OBSERVABLE` is one of these is listed by
    itself; others come from the entry points of the group ``grs_evo.observables``, or as an argument.
    """

    name: str
    meaning: str  # one sentence
    unit: str  # "" for a pure number
    measure: Callable[[Survey], dict[str, Any]]  # plain values by subject, of a structure or set
    compare: Callable[[Survey, Comparison], list[Row]]  # rows against a target
    # distributions to be drawn against a target's; None: it is told by numbers alone
    curves: Callable[[Survey, Comparison], list[Curve]] | None = None

    ANSWERS: ClassVar[Mapping[str, Answer]] = {
        "measure": Answer("a dict of plain values by subject", lambda values, *_: isinstance(values, dict)),
        "compare": Answer("a list of Row", lambda rows, *_: _are(rows, Row)),
        "curves": Answer("a list of Curve", lambda curves, *_: _are(curves, Curve)),
    }

    def row(
        self,
        subject: str,
        quantity: str,
        value: float,
        target: float,
        scatter: float,
        limit: float,
        words: str,
        unit: str | None = None,
        deviation: float | None = None,
    ) -> Row:
        """A row of this observable; the deviation is |value − target| in scatters unless it is given."""
        if deviation is None:
            difference = abs(value - target)
            deviation = difference / scatter if scatter > 0 else (0.0 if difference == 0 else math.inf)
        if math.isfinite(limit):
            deviation = min(deviation, _FAR * limit)
        own = self.unit if unit is None else unit
        return Row(
            self.name, subject, quantity, own, float(value), float(target), float(scatter), float(deviation),
            limit, words,
        )  # fmt: skip
