"""The pages of the manual, and how a terminal shows them."""

from __future__ import annotations

import importlib.resources

from grs_evo.errors import InputError, nearest

# In the order in which they are read.
PAGES = (
    "first-run",
    "choosing",
    "verdict",
    "alloys",
    "liquids",
    "sets",
    "clusters",
    "plugging-in",
    "recipes",
    "speed",
    "method",
)
OPTIONS = "options"  # made from the models, see `options`


def text(name: str) -> str:
    """A page as Markdown, its marks for tests left out.

    Raises
    ------
    InputError
        There is no such page.
    """
    known = (*PAGES, OPTIONS)
    if name not in known:
        raise InputError(f"guide {name}: is no page{nearest(name, known)}; there are {', '.join(known)}")
    if name == OPTIONS:
        from grs_evo.guide.options import page

        return page()
    raw = importlib.resources.files("grs_evo.guide").joinpath(f"{name}.md").read_text(encoding="utf-8")
    return "\n".join(line for line in raw.split("\n") if not line.startswith("<!--"))


def contents() -> str:
    """The pages with their headings."""
    wide = max(map(len, (*PAGES, OPTIONS)))
    lines = [f"  {name:<{wide}}  {heading(name)}" for name in PAGES]
    lines.append(f"  {OPTIONS:<{wide}}  Every option of a run file; of one table: options relax")
    return "\n".join(["grs-evo guide PAGE shows a page of the manual:", "", *lines])


def heading(name: str) -> str:
    """The first line of a page."""
    return text(name).partition("\n")[0].removeprefix("# ")


def rendered(markdown: str, width: int) -> str:
    """A page for a terminal, with colours."""
    from io import StringIO

    from rich.console import Console
    from rich.markdown import Markdown

    out = StringIO()
    console = Console(file=out, force_terminal=True, width=width)
    console.print(Markdown(markdown, code_theme="ansi_dark"))
    return out.getvalue()
