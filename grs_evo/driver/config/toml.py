"""Run files as TOML text, every option with its meaning."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from grs_evo.options import options_in


def to_toml(run: BaseModel) -> str:
    """The run file with every default written out, each key with its meaning; `parse` gives the same run back."""
    lines = ["# Effective run file: every option, defaults filled in.", ""]
    _table(run, "", lines)
    return "\n".join(lines) + "\n"


def _table(options: BaseModel, path: str, lines: list[str]) -> None:
    nested: list[tuple[str, Any]] = []
    for name, field in type(options).model_fields.items():
        value = getattr(options, name)
        described = field.description
        late = isinstance(field.json_schema_extra, dict) and "written" in field.json_schema_extra
        if late and not value and name not in options.model_fields_set:
            continue  # came after files without it, whose text and checksum stay as they are
        if isinstance(value, BaseModel) or (isinstance(value, tuple) and value and isinstance(value[0], BaseModel)):
            nested.append((name, value))
            continue
        if described:
            lines.append(f"# {' '.join(described.split())}")
        if value is None or (value == () and options_in(field.annotation)):
            lines.append(f"# {name} = (none)")
        else:
            lines.append(f"{_key(name)} = {toml_value(value)}")
    for name, value in nested:
        inner = f"{path}.{_key(name)}" if path else _key(name)
        if isinstance(value, tuple):
            for one in value:
                lines += ["", f"[[{inner}]]"]
                _table(one, inner, lines)
        else:
            lines += ["", f"[{inner}]"]
            _table(value, inner, lines)


def toml_value(value: Any) -> str:
    """A value in TOML; numbers keep every bit."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)} = {toml_value(v)}" for k, v in value.items()) + "}"
    return "[" + ", ".join(toml_value(one) for one in value) + "]"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # TOML wants that one escaped too
