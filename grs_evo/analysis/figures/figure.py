"""One figure as data: series over two axes, a caption, and the table of the numbers behind it.

Nothing here knows what draws it: `files` writes figures as PNG, SVG and PDF, the report's page draws them in a browser.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from grs_evo.analysis.notation import significant, tick

Values = NDArray[Any] | Sequence[Any]
Table = Mapping[str, Iterable[object]]

# One style in all figures, the k-th series having the k-th of each: colours that the colour-blind tell apart, in an
# order in which neighbours differ in lightness too, and symbols, dashes and patterns that tell them apart in grey.
COLOURS = ("#0072b2", "#d55e00", "#2b2b2b", "#b85f94", "#00805d", "#c98a00")
TARGET = -1  # the style of the target: grey, behind the others

# Values that span a factor of more than this have a logarithmic axis.
_DECADES = 50.0


@dataclass(frozen=True)
class Axis:
    """What is laid off along one side of a figure."""

    title: str = ""
    log: tuple[float, float] | None = None  # lowest and highest value on a logarithmic axis; None: it is linear
    zero: float | None = None  # where a logarithmic axis shows 0, below its lowest value
    from_zero: bool = False
    whole: bool = False  # counts
    few: bool = False  # whole numbers so near to each other that each has its tick
    bare: bool = False  # without ticks: places along it have no meaning of their own

    def log_ticks(self, most: int | None = None) -> list[tuple[float, str]]:
        """Places and texts of the ticks of a logarithmic axis: powers of ten, and 2 and 5 times these where few.

        Parameters
        ----------
        most : that there is room for between the lowest and the highest value
        """
        assert self.log is not None
        low, high = self.log
        first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
        values = [float(f"1e{k}") for k in range(first, last + 1, max(1, -(-(last - first) // ((most or 9) - 1))))]
        if np.log10(high / low) < 3:
            finer = [float(f"{m}e{k}") for k in range(first, last + 1) for m in (1, 2, 5)]
            within = [one for one in finer if low / 1.2 <= one <= high * 1.2]
            if most is None:
                values = finer
            elif len(within) <= most or sum(one in within for one in values) < 2:
                values = within
        if self.zero is None:
            return [(one, tick(one)) for one in values]
        return [(self.zero, "0"), *((one, tick(one)) for one in values if one > 1.5 * self.zero)]


@dataclass(frozen=True, eq=False)
class Series:
    """One line, cloud of points or row of bars."""

    name: str
    x: Values  # numbers, or names of categories under bars
    y: Values
    draw: Literal["line", "steps", "points", "joined", "bars"] = "line"
    style: int = 0  # the how-manieth colour, symbol and dash; or TARGET
    size: float = 6.0  # of the symbols, pt
    hollow: bool = False
    opacity: float = 1.0
    filled: bool = False  # down to zero
    band: tuple[Values, Values] | None = None  # lower and upper end around a line
    notes: Sequence[str] = ()  # what each point or bar is
    noted: bool = False  # whether the notes are written beside the points, not only shown when one is pointed at
    listed: bool = True  # in the legend


@dataclass(frozen=True, eq=False)
class Discs:
    """Atoms seen along a line of sight, the farthest first. For pictures in files; the page has views to turn."""

    x: NDArray[np.float64]  # (n,) Å
    y: NDArray[np.float64]  # (n,) Å
    radii: NDArray[np.float64]  # (n,) Å
    species: NDArray[np.int64]  # (n,)
    depth: NDArray[np.float64]  # (n,) 0 faded … 1 full colour
    frame: tuple[float, float, float]  # centre x and y, and side of the square to show, Å


@dataclass(frozen=True, eq=False)
class Figure:
    """What one pair of axes shows."""

    key: str  # names the element of a page and a file for download: letters, digits and hyphens
    title: str
    caption: str = ""  # what to see in it, in a sentence or two
    series: Sequence[Series] = ()
    x: Axis = Axis()
    y: Axis = Axis()
    table: Table = field(default_factory=dict)
    across: bool = False  # bars run to the right, their categories stand at the y axis
    height: int = 360  # px on a page
    discs: Discs | None = None
    # Other contents of the same frame, for the reader of a page to choose from; the first is what is shown at first.
    choices: Sequence[Figure] = ()

    @property
    def legend(self) -> bool:
        """Whether there is something to tell apart."""
        return len({one.name for one in self.series if one.listed}) > 1


def axis(title: str, values: Values = (), log: bool | None = None, **options: Any) -> Axis:
    """An axis; logarithmic if wanted, or by itself where all values are positive and span decades."""
    finite = _finite(values)
    positive = finite[finite > 0]
    if log is None:
        log = len(positive) == len(finite) > 1 and bool(positive.max() > _DECADES * positive.min())
    if not log:
        return Axis(title, **options)
    low, high = (float(positive.min()), float(positive.max())) if len(positive) else (1.0, 10.0)
    return Axis(title, (low, high), **options)


def readable(title: str, values: Values, **options: Any) -> tuple[NDArray[np.float64], Axis]:
    """Values as they are to be drawn so that they can be told apart, and their axis.

    What all have in common is taken off where it hides the rest. Where they span decades the axis is logarithmic, zeros
    among them having a place of their own below the lowest.
    """
    drawn = np.asarray(values, dtype=np.float64)
    base = base_of(drawn)
    if base:
        return drawn - base, Axis(f"{title} − {significant(base, 7)}", **(options | {"from_zero": False}))
    finite = _finite(drawn)
    positive = finite[finite > 0]
    if not len(positive) or (finite < 0).any() or len(positive) == len(finite):
        return drawn, axis(title, finite, **options)
    found = axis(title, positive, **options)
    if found.log is None:
        return drawn, found
    zero = float(10.0 ** np.floor(np.log10(positive.min()) - 0.5))
    return np.where(drawn == 0.0, zero, drawn), Axis(title, found.log, zero, **options)


def counts(title: str, values: Values = (), from_zero: bool = True) -> Axis:
    """An axis of whole numbers."""
    shown = np.append(_finite(values), [0.0] if from_zero else [])
    few = len(shown) > from_zero and bool(np.ptp(shown) <= 10)
    return Axis(title, from_zero=from_zero, whole=True, few=few)


def base_of(values: Values) -> float:
    """A round number to take off values that hardly differ, so that their axis can be read; 0 where they do differ."""
    finite = _finite(values)
    if len(finite) < 2 or not 0 < np.ptp(finite) < 1e-3 * np.abs(finite).max():
        return 0.0
    step = 10.0 ** np.ceil(np.log10(np.ptp(finite)))
    return float(np.floor(finite.min() / step) * step)


def thinned(count: int, most: int) -> NDArray[np.int64]:
    """At most so many of the indices 0 … count - 1, evenly spread, first and last among them."""
    if count <= most:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, most).round().astype(np.int64))


def _finite(values: Values) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64).ravel()
    return array[np.isfinite(array)]
