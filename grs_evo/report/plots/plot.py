"""One interactive plot as data: traces and layout for plotly's JavaScript, and the numbers behind it for download.

Colours are names ("@c0", "@ink", …) that the page replaces by those of the light or dark theme it is shown in.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.report.formatting import THIN, power

# As many distinguishable styles as there are; a seventh line shares its colour with the first but not its dash.
N_COLOURS = 6
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star")
PATTERNS = ("", "/", "x", ".", "\\", "-", "|", "+")


@dataclass(frozen=True)
class Plot:
    """What one figure of the report shows."""

    key: str  # names the element and the file for download: letters, digits and hyphens
    title: str
    caption: str  # what to see in it, in a sentence or two
    traces: Sequence[dict[str, Any]]
    layout: Mapping[str, Any]
    columns: Mapping[str, Iterable[object] | NDArray] = field(default_factory=dict)  # the numbers, for the CSV
    height: int = 360  # px
    # Other contents of the same frame, for the reader to choose from: name, caption and traces of each. The first is
    # what is shown at first.
    choices: Sequence[tuple[str, str, Sequence[dict[str, Any]]]] = ()


def plain(text: object) -> str:
    """Text from a file for a label of a plot: plotly reads a few HTML tags there, so markup is escaped."""
    return html.escape(str(text), quote=False)


def rounded(values: Any, digits: int = 6) -> list[Any]:
    """Numbers for the page with so many significant digits, missing ones as None: what a plot shows, in few bytes."""
    array = np.asarray(values, dtype=np.float64).ravel()
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in array]


def axis(title: str, values: Any = None, log: bool | None = None, **options: Any) -> dict[str, Any]:
    """An axis; logarithmic if asked for, or by itself where the values are positive and span a factor of 50."""
    result: dict[str, Any] = {"title": {"text": title}, "automargin": True, "exponentformat": "power", **options}
    finite = np.asarray(values if values is not None else [], dtype=np.float64).ravel()
    finite = finite[np.isfinite(finite)]
    if log is None:
        log = len(finite) > 1 and finite.min() > 0 and finite.max() > 50 * finite.min()
    if log:
        finite = finite[finite > 0] if (finite > 0).any() else np.ones(1)
        ticks = _log_ticks(float(finite.min()), float(finite.max()))
        # Written out: plotly leaves "2" of 20 and sets powers in larger type.
        result |= {"type": "log", "tickvals": ticks, "ticktext": [_tick(value) for value in ticks]}
    return result


def _log_ticks(low: float, high: float) -> list[float]:
    """Where a logarithmic axis from `low` to `high` has its ticks: powers of ten, and 2 and 5 where these are few."""
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    if np.log10(high / low) < 3:
        return [float(f"{m}e{k}") for k in range(first, last + 1) for m in (1, 2, 5)]
    return [float(f"1e{k}") for k in range(first, last + 1, max(1, -(-(last - first) // 8)))]


def _tick(value: float) -> str:
    """A round number at a tick."""
    if 1e-3 <= value < 1e5:
        return f"{value:,.12g}".replace(",", THIN)
    digit, _, exponent = f"{value:.0e}".partition("e")
    return power(int(exponent)) if digit == "1" else f"{digit}·{power(int(exponent))}"


def base_of(values: Any) -> float:
    """A round number to take off values that hardly differ, so that their axis can be read; 0 where they do differ."""
    finite = np.asarray(values, dtype=np.float64).ravel()
    finite = finite[np.isfinite(finite)]
    if len(finite) < 2 or not 0 < np.ptp(finite) < 1e-3 * np.abs(finite).max():
        return 0.0
    step = 10.0 ** np.ceil(np.log10(np.ptp(finite)))
    return float(np.floor(finite.min() / step) * step)


def count_axis(title: str, values: Any = (), from_zero: bool = True) -> dict[str, Any]:
    """An axis of whole numbers written in full; where few are shown each has its tick, and none has two."""
    counts = np.append(np.asarray(values, dtype=np.float64).ravel(), [0.0] if from_zero else [])
    options: dict[str, Any] = {"rangemode": "tozero"} if from_zero else {}
    if len(counts) > from_zero and np.ptp(counts) <= 10:
        options["dtick"] = 1
    return axis(title, tickformat=",d", **options)


def line(k: int, name: str, x: Any, y: Any, **options: Any) -> dict[str, Any]:
    """The k-th line of a plot: colour and dash differ, so that it reads in greyscale."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": plain(name),
        "x": rounded(x, 9),
        "y": rounded(y),
        "line": {"color": f"@c{k % N_COLOURS}", "dash": DASHES[k % len(DASHES)], "width": 2},
        **options,
    }


def points(k: int, name: str, x: Any, y: Any, size: float = 8, **options: Any) -> dict[str, Any]:
    """The k-th cloud of points of a plot: colour and symbol differ."""
    marker = {"color": f"@c{k % N_COLOURS}", "symbol": SYMBOLS[k % len(SYMBOLS)], "size": size}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": plain(name),
        "x": rounded(x),
        "y": rounded(y),
        **options,
        "marker": {**marker, **options.get("marker", {})},
    }


def thinned(count: int, most: int) -> NDArray[np.int64]:
    """At most so many of the indices 0 … count - 1, evenly spread, first and last among them."""
    if count <= most:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, most).round().astype(np.int64))
