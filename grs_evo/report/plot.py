"""A figure as traces and layout for plotly's JavaScript.

Colours are names ("@c0", "@ink", …) that the page replaces by those of the light or dark theme it is shown in.
"""

from __future__ import annotations

import html
from typing import Any

import numpy as np

from grs_evo.analysis.figures.figure import COLOURS, TARGET, Axis, Figure, Series

_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star")
_PATTERNS = ("", "/", "x", ".", "\\", "-", "|", "+")


def traces(figure: Figure) -> list[dict[str, Any]]:
    """The series of a figure as plotly's traces."""
    return [trace for series in figure.series for trace in _traces(series, figure.across)]


def layout(figure: Figure) -> dict[str, Any]:
    """The axes and the legend of a figure as plotly's layout."""
    found: dict[str, Any] = {"xaxis": axis(figure.x), "yaxis": axis(figure.y), "showlegend": figure.legend}
    if any(series.draw == "bars" for series in figure.series):
        found |= {"barmode": "stack", "bargap": 0.2}
    return found


def axis(of: Axis) -> dict[str, Any]:
    """One axis."""
    found: dict[str, Any] = {"title": {"text": plain(of.title)}, "automargin": True, "exponentformat": "power"}
    if of.log is not None:
        ticks = of.log_ticks()
        # Written out: plotly leaves "2" of 20 and sets powers in larger type.
        found |= {"type": "log", "tickvals": [one for one, _ in ticks], "ticktext": [text for _, text in ticks]}
    elif of.from_zero:
        found["rangemode"] = "tozero"
    if of.whole and of.log is None:
        found |= {"tickformat": ",d", **({"dtick": 1} if of.few else {})}
    if of.bare:
        found |= {"showticklabels": False, "ticks": "", "zeroline": False}
    return found


def plain(text: object) -> str:
    """Text from a file for a label of a plot: plotly reads a few HTML tags there, so markup is escaped."""
    return html.escape(str(text), quote=False)


def rounded(values: Any, digits: int = 6) -> list[Any]:
    """Numbers for the page with so many significant digits, missing ones as None; names escaped."""
    array = np.asarray(values)
    if array.dtype.kind in "UO":
        return [plain(value) for value in values]
    array = array.astype(np.float64).ravel()
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in array]


def _traces(series: Series, across: bool) -> list[dict[str, Any]]:
    name, k = plain(series.name), series.style
    colour = "@muted" if k == TARGET else f"@c{k % len(COLOURS)}"
    found: dict[str, Any] = {
        "name": name,
        "x": rounded(series.x, 9),
        "y": rounded(series.y),
        "legendgroup": name,
        "showlegend": series.listed,
    }
    if series.notes:
        words = "%{y}: %{x:.3g}" if across else "%{x:.4g}, %{y:.4g}"
        found |= {
            "text": [plain(note) for note in series.notes],
            "hovertemplate": f"%{{text}}<br>{words}<extra></extra>",
        }
    if series.draw == "bars":
        return [found | _bars(series, colour, across)]
    found |= {"type": "scatter", "mode": {"points": "markers", "joined": "lines+markers"}.get(series.draw, "lines")}
    if series.noted:
        found |= {"mode": f"{found['mode']}+text", "textposition": "middle right"}
    if series.draw == "points":
        found["marker"] = _marker(series, colour)
        return [found]
    shape = "hv" if series.draw == "steps" else "linear"
    found["line"] = {"color": colour, "dash": "solid" if k == TARGET else _DASHES[k % len(_DASHES)], "width": 2,
                     "shape": shape}  # fmt: skip
    if series.draw == "joined":
        found["marker"] = _marker(series, colour)
    if series.filled:
        found |= {"fill": "tozeroy", "fillcolor": "@fill"}
    if series.band is None:
        return [found]
    edge = {**found, "showlegend": False, "mode": "lines", "hoverinfo": "skip", "line": {"width": 0, "shape": shape}}
    low, high = ({**edge, "y": rounded(end)} for end in series.band)
    return [low, high | {"fill": "tonexty", "fillcolor": "@fill"}, found]


def _marker(series: Series, colour: str) -> dict[str, Any]:
    symbol = _SYMBOLS[max(series.style, 0) % len(_SYMBOLS)] + ("-open" if series.hollow else "")
    return {"color": colour, "symbol": symbol, "size": series.size, "opacity": series.opacity}


def _bars(series: Series, colour: str, across: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "bar",
        "textposition": "none",
        "marker": {
            "color": colour,
            "pattern": {
                "shape": _PATTERNS[series.style % len(_PATTERNS)], "bgcolor": colour, "fgcolor": "@paper",
                "solidity": 0.25,
            },
        },
    }  # fmt: skip
    if across:
        found["orientation"] = "h"
    if series.noted:
        lengths = np.asarray(series.x if across else series.y, dtype=np.float64)
        # Beside a short bar, within a long one.
        inside = ["inside" if 2 * one > lengths.max() else "outside" for one in lengths]
        found |= {"textposition": inside, "cliponaxis": False}
    return found
