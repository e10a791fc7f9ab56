"""Words, numbers and plain values as text."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Any


class Shown:
    """What notebooks show of an object: its repr, as it is."""

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


def to_json(value: Any, **settings: Any) -> str:
    """JSON text; NaN and infinities, which JSON does not have, become null.

    Parameters
    ----------
    settings : of `json.dumps`
    """
    return json.dumps(_finite(value), allow_nan=False, **settings)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value


def counted(n: int, noun: str, written: str | None = None) -> str:
    """A number with its noun: 1 rank, 2 ranks.

    Parameters
    ----------
    written : the number as it is to stand there, such as with spaces between thousands
    """
    return f"{n if written is None else written} {noun}{'' if n == 1 else 's'}"


def duration(seconds: float) -> str:
    """A time for people."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"


def listing_of(meanings: Mapping[str, str]) -> str:
    """Names with what they mean, one a line of a screen's width."""
    wide = max(map(len, meanings), default=0)
    return "\n".join(
        f"  {name:<{wide}}  {shorten(meaning, 76 - wide, placeholder=' …')}" for name, meaning in meanings.items()
    )


def table_of(rows: Sequence[Sequence[str]], heads: Sequence[str]) -> str:
    """Columns of text, the first left and the others right aligned."""
    widths = [max(len(row[k]) for row in (heads, *rows)) for k in range(len(heads))]

    def line(row: Sequence[str]) -> str:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        return "  ".join(cells).rstrip()

    return "\n".join(line(row) for row in (heads, *rows))
