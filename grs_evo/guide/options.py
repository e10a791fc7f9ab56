"""All options of a run file, from the models that check it: as a page, and as a JSON Schema for editors."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from grs_evo.driver.config.run_file import RunFile
from grs_evo.driver.config.toml import toml_value
from grs_evo.errors import InputError, nearest
from grs_evo.options import options_in

_BOUNDS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}


def tables() -> dict[str, type[BaseModel]]:
    """Every table of a run file by its name, [[islands]] among them; those that only repeat another left out."""
    found: dict[str, type[BaseModel]] = {}
    for name, model in _walk("", RunFile):
        inherited = name.startswith("islands.") or name == "search.candidates"
        if not inherited:
            found[name] = model
    return found


def _walk(name: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    yield name, model
    for key, field in model.model_fields.items():
        inner = options_in(field.annotation)
        if inner is not None:
            yield from _walk(f"{name}.{key}" if name else key, inner)


def page(only: str = "") -> str:
    """The reference as Markdown.

    Parameters
    ----------
    only : one table, with those within it

    Raises
    ------
    InputError
        There is no such table.
    """
    known = tables()
    if only and only not in known:
        raise InputError(
            f"guide options {only}: is no table{nearest(only, known)}; there are {', '.join(filter(None, known))}"
        )
    lines = ["# Options of a run file", ""]
    if not only:
        lines += [
            "Every table may be left out but `[target]`. Units stand in brackets. `grs-evo check` shows "
            "what a run file makes of them.",
            "",
        ]
    for name, model in known.items():
        if not only or name == only or name.startswith(f"{only}."):
            lines += _table(name, model)
    return "\n".join(lines).rstrip() + "\n"


def _table(name: str, model: type[BaseModel]) -> Iterator[str]:
    title = f"[[{name}]]" if name == "islands" else f"[{name}]" if name else "at the top"
    yield from (f"## {title}", "", " ".join((model.__doc__ or "").split()), "")
    skipped = set(RunFile.model_fields["search"].annotation.model_fields) if name == "islands" else set()  # type: ignore[union-attr]
    for key, field in model.model_fields.items():
        if options_in(field.annotation) is not None or key in skipped:
            continue
        told = " ".join((field.description or "").split())
        yield f"* `{key}` = {_default(field)}{_allowed(field)}: {told}"
    if skipped:
        yield "* and every option of `[search]` but `islands`, for these islands alone"
    yield ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "(needed)"
    value = field.get_default(call_default_factory=True)
    return "(none)" if value is None else f"`{toml_value(value)}`"


def _allowed(field: FieldInfo) -> str:
    words = list(_words(field.annotation))
    if words:
        return f" ({', '.join(words)})"
    bounds = [
        f"{sign} {getattr(one, key):g}" for one in field.metadata for key, sign in _BOUNDS.items() if hasattr(one, key)
    ]
    return f" ({', '.join(bounds)})" if bounds else ""


def _words(annotation: Any) -> Iterator[str]:
    if get_origin(annotation) is Literal:
        yield from (str(one) for one in get_args(annotation))
    elif get_origin(annotation) in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from _words(part)


def schema() -> str:
    """The JSON Schema of run files, by which editors complete and check them (Taplo: `#:schema FILE` in line 1)."""
    made = RunFile.model_json_schema()
    made["$schema"] = "http://json-schema.org/draft-07/schema#"
    made["title"] = "grs_evo run file"
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"
