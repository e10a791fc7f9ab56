"""Plots for paper: one look, readable in greyscale and by the colour-blind, with the numbers written beside them.

The only room that knows matplotlib.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError

FORMATS = ("png", "svg", "pdf")
# Okabe and Ito's colours, ordered so that neighbours differ in lightness too; each comes with its own marker and dash.
COLOURS = ("#0072B2", "#E69F00", "#000000", "#CC79A7", "#009E73", "#56B4E9", "#D55E00", "#8C8C8C")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))
HATCHES = ("", "///", "\\\\\\", "...", "xxx", "---")

_STYLE: Any = {
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "grid.color": "#d9d9d9",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "lines.linewidth": 1.5,
    "lines.markersize": 4,
    "legend.frameon": False,
    "svg.hashsalt": "grs_evo",  # without it the ids in an SVG differ from run to run
    "svg.fonttype": "none",  # text stays text
    "pdf.fonttype": 42,
}


def figure(width: float = 5.0, height: float = 3.4, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Any, Any]:
    """A matplotlib figure without a window, and its axes (an array of them when there are several)."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # For the whole process: matplotlib looks settings up again for whatever is added to a figure later.
    mpl.rcParams.update(_STYLE)
    drawing = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(drawing)
    axes = drawing.subplots(rows, columns, **options)
    return drawing, axes


def style(k: int) -> dict[str, Any]:
    """Colour, marker and dash of the k-th line of a plot."""
    return {
        "color": COLOURS[k % len(COLOURS)],
        "marker": MARKERS[k % len(MARKERS)],
        "linestyle": DASHES[k % len(DASHES)],
    }


def logarithmic(axis: Any, values: Iterable[float] | NDArray) -> None:
    """Make an axis (``axes.xaxis`` or ``axes.yaxis``) logarithmic where that helps: values above 0 over a decade.

    Below three decades the ticks are 1, 2, 5, 10, …, written out; the axis's own would be printed over each other.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    shown = np.asarray(list(values), dtype=np.float64)
    if not len(shown) or shown.min() <= 0.0 or shown.max() < 10.0 * shown.min():
        return
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    if shown.max() < 1e3 * shown.min():
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def save(drawing: Any, stem: str | Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write the figure as stem.png, stem.svg and stem.pdf; the same figure gives the same bytes."""
    stem = output_stem(stem)
    written = []
    for kind in formats:
        path = stem.with_name(f"{stem.name}.{kind}")
        # Dates and versions in the files would make every run's bytes differ.
        metadata: Any = {
            "png": {"Software": None},
            "svg": {"Date": None, "Creator": "grs_evo"},
            "pdf": {"CreationDate": None, "Producer": None, "Creator": "grs_evo"},
        }[kind]
        drawing.savefig(path, metadata=metadata)
        written.append(path)
    return written


def output_stem(stem: str | Path) -> Path:
    """Where output goes: into a folder that is there; a suffix the user gave out of habit (out.png) is dropped."""
    stem = Path(stem)
    if stem.suffix.lower() in (".png", ".svg", ".pdf", ".csv"):
        stem = stem.with_suffix("")
    if not stem.parent.is_dir():
        raise InputError(f"{stem}: cannot be written, {stem.parent} is no folder")
    return stem


def number(value: object) -> str:
    """A value as it stands in a CSV: floats with all their digits, nothing for a missing one."""
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else repr(float(value))
    if isinstance(value, np.integer):
        return str(int(value))
    return str(value)


def write_csv(path: str | Path, columns: Mapping[str, Iterable[object] | NDArray]) -> Path:
    """Named columns of one length as a CSV file with a header."""
    path = Path(path)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        for row in zip(*columns.values(), strict=True):
            writer.writerow([number(value) for value in row])
    return path
