"""Figures as files: PNG, SVG and PDF for paper, and the numbers behind them as CSV.

The only module that knows matplotlib. It draws any `Figure`; what is drawn is decided where figures are made.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.analysis.figures.figure import COLOURS, TARGET, Axis, Discs, Figure, Series, Table
from grs_evo.analysis.notation import whole
from grs_evo.errors import InputError

FORMATS = ("png", "svg", "pdf")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_DASHES: tuple[Any, ...] = (
    "-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2)), (0, (8, 2, 1, 2)),
)  # fmt: skip
_HATCHES = ("", "///", "xxx", "...", "\\\\\\", "---", "|||", "+++")
_STEPS = (1, 2, 5, 10)  # between ticks, and ten times these
_TARGET_COLOUR = "#8c8c8c"
_MANY = 200  # points; more of them are a picture within an SVG for a page
_ELEMENTS = ("#3f7fc4", "#eda73c", "#6f7680", "#c26aa0", "#2f9c78", "#a9c9ec", "#8d5a3a", "#d9d34a")

_STYLE: Any = {
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "grid.color": "#d9d9d9",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "lines.linewidth": 1.5,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "hatch.linewidth": 0.5,
    "svg.hashsalt": "grs_evo",  # without it the ids in an SVG differ from run to run
    "svg.fonttype": "none",  # text stays text
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "pdf.fonttype": 42,
}


def draw(figures: Sequence[Figure], columns: int = 2, size: tuple[float, float] = (4.2, 3.6)) -> Any:
    """Figures side by side as one matplotlib figure without a window.

    Parameters
    ----------
    columns : figures in a row, at most
    size : width and height of each, inches
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise InputError("figures: the package matplotlib is not installed; install grs-evo[analysis]") from None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing

    # For the whole process: matplotlib looks settings up again for whatever is added to a figure later.
    mpl.rcParams.update(_STYLE)
    columns = min(columns, len(figures))
    rows = -(-len(figures) // columns)
    drawing = Drawing(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    FigureCanvasAgg(drawing)
    grid = drawing.subplots(rows, columns, squeeze=False)
    for place, axes in enumerate(grid.flat):
        if place < len(figures):
            _draw(axes, figures[place], size)
        else:
            axes.remove()
        if len(figures) > 1 and place < len(figures):
            axes.set_title(figures[place].title, loc="left", fontsize=9 if size[0] > 3 else 7)
    # What all have in common stands at the outermost alone.
    for key in ("x", "y"):
        if rows > 1 and len({getattr(one, key).title for one in figures}) == 1:
            for place in range(len(figures)):
                if place + columns < len(figures) if key == "x" else place % columns:
                    grid.flat[place].set(**{f"{key}label": ""})
    return drawing


def _draw(axes: Any, figure: Figure, size: tuple[float, float]) -> None:
    if figure.discs is not None:
        _draw_discs(axes, figure.discs)
        return
    below: NDArray[np.float64] | float = 0.0  # upper ends of the bars so far
    for series in figure.series:
        if series.draw == "bars":
            below = below + _draw_bars(axes, series, below, figure.across)
        else:
            _draw_points(axes, series)
    # Long numbers lie along the x axis, one above the other at the y axis.
    for axis, of, most in ((axes.xaxis, figure.x, int(1.6 * size[0])), (axes.yaxis, figure.y, int(2.6 * size[1]))):
        _lay_off(axis, of, most)
    if figure.x.bare and figure.y.bare and not figure.x.title:
        axes.set_axis_off()
        axes.set_xlim(right=axes.get_xlim()[1] + 1.0)  # for the notes beside the last points
    if figure.legend:
        axes.legend(fontsize=8 if size[0] > 3 else 7)


def _look(k: int) -> dict[str, Any]:
    """Colour and dash of the k-th series."""
    if k == TARGET:
        return {"color": _TARGET_COLOUR, "linestyle": "-"}
    return {"color": COLOURS[k % len(COLOURS)], "linestyle": _DASHES[k % len(_DASHES)]}


def _draw_points(axes: Any, series: Series) -> None:
    """A line, steps or points, with its band, area and notes."""
    look, x, y = _look(series.style), np.asarray(series.x, float), np.asarray(series.y, float)
    step = "post" if series.draw == "steps" else None
    if series.band is not None:
        low, high = (np.asarray(end, float) for end in series.band)
        axes.fill_between(x, low, high, step=step, color=look["color"], alpha=0.18, linewidth=0)
    if series.filled:
        axes.fill_between(x, 0.0, y, step=step, color=look["color"], alpha=0.35, linewidth=0)
    if series.draw == "points":
        look["linestyle"] = "none"
    if series.draw in ("points", "joined"):
        look |= {"marker": _MARKERS[series.style % len(_MARKERS)], "markersize": 0.75 * series.size}
        look |= {"markerfacecolor": "white", "markeredgewidth": 0.8} if series.hollow else {"markeredgewidth": 0.0}
    look |= {"zorder": 1.5, "linewidth": 1.0} if series.style == TARGET else {}
    axes.plot(
        x, y, alpha=series.opacity, label=series.name if series.listed else None,
        drawstyle="steps-post" if step else "default", rasterized=len(x) > 5000, **look,
    )  # fmt: skip
    if series.noted:
        for a, b, note in zip(x, y, series.notes, strict=True):
            axes.annotate(note, (a, b), (7, 0), textcoords="offset points", fontsize=6, va="center", linespacing=1.1)


def _draw_bars(axes: Any, series: Series, below: NDArray[np.float64] | float, across: bool) -> NDArray[np.float64]:
    """Bars on those that are there already; returns their lengths."""
    places, lengths = (series.y, series.x) if across else (series.x, series.y)
    lengths = np.asarray(lengths, float)
    look = {
        "color": _look(series.style)["color"],
        "hatch": _HATCHES[series.style % len(_HATCHES)],
        "edgecolor": "white",
    }
    draw, start = (axes.barh, "left") if across else (axes.bar, "bottom")
    bars = draw(
        places, lengths, 0.8, label=series.name if series.listed else None, linewidth=0, **{start: below}, **look
    )
    if series.noted:
        axes.bar_label(bars, series.notes, padding=3, fontsize=7)
        axes.margins(**{"x" if across else "y": 0.2})
    return lengths


def _draw_discs(axes: Any, discs: Discs) -> None:
    """Atoms as discs in a square, the nearer the darker."""
    from matplotlib.collections import EllipseCollection
    from matplotlib.colors import to_rgb

    colours = np.array([to_rgb(_ELEMENTS[k % len(_ELEMENTS)]) for k in discs.species])
    width, (x, y, side) = 2 * discs.radii, discs.frame
    axes.add_collection(
        EllipseCollection(
            width, width, np.zeros_like(width), units="xy", offsets=np.column_stack([discs.x, discs.y]),
            offset_transform=axes.transData, facecolors=1.0 - discs.depth[:, None] * (1.0 - colours),
            edgecolors="white", linewidths=0.3,
        )
    )  # fmt: skip
    axes.set(xlim=(x - side / 2, x + side / 2), ylim=(y - side / 2, y + side / 2), aspect="equal")
    axes.axis("off")


def _lay_off(axis: Any, of: Axis, most: int) -> None:
    """Title, scale and ticks of a matplotlib axis; at most so many ticks."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    axis.set_label_text(of.title)
    if of.bare:
        axis.set_major_locator(NullLocator())
    elif of.log is not None:
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})
        ticks = of.log_ticks(most)
        axis.set_major_locator(FixedLocator([value for value, _ in ticks]))
        texts = dict(ticks)
        axis.set_major_formatter(FuncFormatter(lambda value, _: texts.get(value, "")))
        axis.set_minor_locator(NullLocator())
    elif of.whole:
        axis.set_major_locator(MaxNLocator(nbins=most, steps=_STEPS, integer=True))
        axis.set_major_formatter(FuncFormatter(lambda value, _: whole(value)))
    elif of.title:  # names of categories stay as they are
        axis.set_major_locator(MaxNLocator(nbins=most, steps=_STEPS))
    if of.from_zero and of.log is None:
        axis.axes.set(**{f"{axis.axis_name}lim": (0, None)})


def save(drawing: Any, stem: str | Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write a drawing as stem.png, stem.svg and stem.pdf; the same figure gives the same bytes."""
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


def svg_text(figure: Figure, size: tuple[float, float]) -> str:
    """One figure as SVG for a page, width and height in inches; the same figure gives the same text.

    Clouds and lines of many points are one picture in it: each point by itself would take up to a hundred characters.
    """
    drawing = draw([figure], size=size)
    for line in drawing.axes[0].lines:
        if len(line.get_xdata()) > (_MANY if line.get_linestyle() == "None" else 5 * _MANY):
            line.set_rasterized(True)
    stream = io.StringIO()
    drawing.savefig(
        stream, format="svg", dpi=96, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    text = stream.getvalue()
    # Hundredths of a point are enough; words between the tags stay.
    return re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\.\d\d)\d+", r"\1", tag[0]), text[text.index("<svg") :])


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


def csv_text(columns: Table, notes: Sequence[str] = ()) -> str:
    """Columns of one length as CSV, with notes in lines that begin with # in front of the header."""
    stream = io.StringIO()
    stream.writelines(f"# {note}\n" for note in notes)
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow([number(value) for value in row])
    return stream.getvalue()


def write_csv(path: str | Path, columns: Table) -> Path:
    """Named columns of one length as a CSV file with a header."""
    Path(path).write_text(csv_text(columns), encoding="utf-8")
    return Path(path)
