"""Tiles, facts, plots and structures into one HTML page that needs nothing but itself.

Everything that comes from files passes through `text` (HTML) or `script_json` (inside a script element) on its way in.
The page carries a content security policy under which a browser fetches nothing from anywhere.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from grs_evo.analysis.figures.figure import Figure
from grs_evo.analysis.figures.files import csv_text, svg_text
from grs_evo.report import plot

_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


_LARGE = 100_000  # bytes

Tile = tuple[str, str, str]  # name, value, remark


@dataclass(frozen=True)
class Section:
    """One part of the page: an anchor, a heading, an introduction, and HTML that is ready."""

    key: str
    title: str
    about: str
    body: str


def text(value: object) -> str:
    """Any value as HTML text: markup in it shows as it was written."""
    return html.escape(str(value), quote=True)


def script_json(value: Any) -> str:
    """JSON that may stand inside a script element: no character in it can end the element or begin a comment."""
    encoded = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return encoded.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def download(name: str, content: str, label: str, kind: str = "text/csv") -> str:
    """A link that saves the content, which it carries itself; large ones compressed, so that the page stays small."""
    data, kind = content.encode(), f"{kind};charset=utf-8"
    if len(data) > _LARGE:
        data, kind = gzip.compress(data, mtime=0), "application/gzip"
        name, label = f"{name}.gz", f"{label}, gzip"
    encoded = base64.b64encode(data).decode()
    return f'<a class="take" download="{text(name)}" href="data:{kind};base64,{encoded}">{text(label)}</a>'


def tiles(entries: Sequence[Tile]) -> str:
    """What is told at the head of the page, as a row of tiles."""
    cells = "".join(
        f"<div><dt>{text(name)}</dt><dd>{text(value)}{f'<small>{text(remark)}</small>' if remark else ''}</dd></div>"
        for name, value, remark in entries
    )
    # Rows of like length: seven as 4 and 3, not as 6 and 1.
    rows = -(-len(entries) // 6)
    return f'<dl class="tiles" style="--columns:{-(-len(entries) // max(1, rows))}">{cells}</dl>'


def facts(entries: Sequence[tuple[str, object]]) -> str:
    """(name, value) as a list of definitions."""
    return (
        '<dl class="facts">'
        + "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in entries)
        + "</dl>"
    )


def table(columns: Mapping[str, Sequence[object]], words: Sequence[str] = (), wrap: Sequence[str] = ()) -> str:
    """Columns as a table that scrolls by itself where it is too wide.

    Parameters
    ----------
    words : columns that are set flush left
    wrap : columns whose text may run over several lines
    """
    kinds = {
        name: f' class="text{" wrap" if name in wrap else ""}"' if name in words or name in wrap else ""
        for name in columns
    }
    # A column without a name is no header: a screen reader would announce nothing.
    head = "".join(f"<{tag}{kinds[name]}>{text(name)}</{tag}>" for name in columns for tag in ["th" if name else "td"])
    rows = "".join(
        "<tr>"
        + "".join(f"<td{kinds[name]}>{text(value)}</td>" for name, value in zip(columns, row, strict=True))
        + "</tr>"
        for row in zip(*columns.values(), strict=True)
    )
    return f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def figure(shown: Figure | None, wide: bool = False) -> str:
    """A figure as a card with its title, caption and data; nothing for none."""
    if shown is None:
        return ""
    return (
        f'<figure class="plot card{" wide" if wide else ""}" id="fig-{shown.key}">'
        f"<figcaption><h3>{text(shown.title)}</h3>{_choice(shown)}<p>{text(shown.caption)}</p></figcaption>"
        f"{_canvas(shown, 10.5 if wide else 5.2)}</figure>"
    )


def small_figure(shown: Figure) -> str:
    """A figure without a card of its own, for a row of small ones."""
    return (
        f'<figure class="bare" id="fig-{shown.key}"><figcaption><h4>{text(shown.title)}</h4>'
        f"<p>{text(shown.caption)}</p></figcaption>{_canvas(shown, 3.4)}</figure>"
    )


def _choice(shown: Figure) -> str:
    if not shown.choices:
        return ""
    options = "".join(f"<option>{text(one.title)}</option>" for one in shown.choices)
    return f'<select data-plot="{shown.key}" aria-label="{text(shown.title)}">{options}</select>'


def _canvas(shown: Figure, width: float) -> str:
    """Where the page's script draws, the figure without scripts, so many inches wide, and the numbers behind it."""
    data = download(f"{shown.key}.csv", csv_text(shown.table), "Data (CSV)") if shown.table else ""
    canvas = f'<div class="canvas" data-plot="{shown.key}" style="height:{shown.height}px"></div>'
    return f"{canvas}{_without_scripts(shown, width)}{data}"


def _without_scripts(shown: Figure, width: float) -> str:
    """The figure for a browser that runs no scripts: an image, so that its names and styles are its own."""
    encoded = base64.b64encode(svg_text(shown, (width, shown.height / 96)).encode()).decode()
    return (
        f'<noscript><img class="plotted" style="max-width:{130 * width:.0f}px" alt="{text(shown.title)}" '
        f'src="data:image/svg+xml;base64,{encoded}"></noscript>'
    )


def structures(groups: Sequence[tuple[str, Sequence[tuple[str, str, str, str]]]], elements: Sequence[str]) -> str:
    """The chooser and the stage.

    Parameters
    ----------
    groups : heading (may be empty) and stills of each; a still is (SVG, first line, second line, third line). The
        scenes of the page are in the same order.
    """
    choice, k = "", 0
    for heading, stills in groups:
        buttons = ""
        for svg, first, second, third in stills:
            buttons += (
                f'<button type="button" aria-pressed="{"true" if k == 0 else "false"}">{svg}<b>{text(first)}</b>'
                f"<span>{text(second)}</span><span>{text(third)}</span></button>"
            )
            k += 1
        choice += (f"<h3>{text(heading)}</h3>" if heading else "") + f'<div class="choice">{buttons}</div>'
    legend = "".join(
        f'<span><i style="background:var(--e{k % 8})"></i>{text(symbol)}</span>' for k, symbol in enumerate(elements)
    )
    return (
        f'<div class="structures"><div class="choices">{choice}</div><div class="stage card">'
        '<h3 id="stage-title"></h3>'
        '<label class="pick">Structure <select id="pick"></select></label>'
        '<div id="scene" tabindex="0" role="application" aria-label="The chosen structure; arrow keys turn it, plus '
        'and minus bring it nearer, n and p show the next and the previous one"></div>'
        '<div id="target-scene" hidden></div><div id="still"></div>'
        f'<div class="legend">{legend}<label><input type="checkbox" id="wrap" checked> '
        'atoms wrapped into the cell</label><label><input type="checkbox" id="bonds"> bonds</label>'
        '<label><input type="checkbox" id="images"> periodic images</label>'
        '<label hidden><input type="checkbox" id="beside"> target beside</label></div>'
        '<dl class="facts" id="stage-facts"></dl>'
        '<a class="take" id="stage-file">This structure (extended XYZ)</a></div></div>'
    )


def next_box(commands: Sequence[tuple[str, str]]) -> str:
    """What to do next: commands with what they do."""
    lines = "".join(f"<dt>{text(what)}</dt><dd><code>{text(command)}</code></dd>" for what, command in commands)
    return f'<div class="card next"><h2>Next</h2><dl class="facts">{lines}</dl></div>' if commands else ""


def _library(name: str) -> str:
    """A JavaScript library that comes with the program, so that it may stand inside a script element."""
    script = files(__package__).joinpath("libraries", name).read_text(encoding="utf-8")
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def render(
    *,
    title: str,
    over: str,
    lead: str,
    summary: str,
    sections: Sequence[Section],
    figures: Sequence[Figure],
    scenes: Sequence[Mapping[str, Any]],
    elements: Sequence[str],
    radii: Sequence[float],
    footer: str,
) -> str:
    """The whole page."""
    beside = files(__package__)
    style, script = (beside.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    data = {
        "elements": list(elements),
        "radii": list(radii),
        "structures": list(scenes),
        "plots": {
            one.key: {
                "traces": plot.traces(one),
                "layout": plot.layout(one),
                "choices": [(choice.caption, plot.traces(choice)) for choice in one.choices],
            }
            for one in figures
        },
    }
    links = "".join(f'<li><a href="#{one.key}">{text(one.title)}</a></li>' for one in sections)
    body = "".join(
        f'<section id="{one.key}"><h2>{text(one.title)}</h2>'
        + (f'<p class="about">{text(one.about)}</p>' if one.about else "")
        + f"{one.body}</section>"
        for one in sections
    )
    shades = "".join(
        f'<radialGradient id="g{k}" class="e{k}" cx="38%" cy="32%" r="70%">'
        '<stop offset="0"/><stop offset="0.55"/><stop offset="1"/></radialGradient>'
        for k in range(8)
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{text(title)}: grs_evo report</title>\n<style>\n{style}</style>\n"
        "<noscript><style>.canvas, .stage, figure select { display: none; }</style></noscript>\n</head>\n<body>\n"
        f'<svg class="shades" aria-hidden="true"><defs>{shades}</defs></svg>\n'
        f'<header><p class="over">{text(over)}</p><h1>{text(title)}</h1>'
        f'<p class="lead">{text(lead)}</p>{summary}</header>\n'
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>\n<main>\n'
        '<noscript><p class="note">Without scripts the plots and structures stand still; what they show is all here.'
        "</p></noscript>\n"
        f"{body}\n</main>\n<footer>{text(footer)}</footer>\n"
        f'<script type="application/json" id="data">{script_json(data)}</script>\n'
        f"<script>{_library('plotly-basic.min.js')}</script>\n<script>{_library('3Dmol-min.js')}</script>\n<script>\n{script}</script>\n</body>\n</html>\n"
    )
