"""Texts of what must not change without being meant to: public names, command line, run file, archive table, orders.

``python tests/pinned_texts.py`` writes them anew into tests/data/pinned/; do so only when a change is meant, and say it
in the change log. They hold no module paths: moving modules leaves them as they are.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import click
import places
from pydantic import BaseModel

import grs_evo
import grs_evo.potential_lammps

FOLDER = Path(__file__).parent / "data" / "pinned"
# Members without underscore that are how the search reaches the kernels, and no part of the public face.
_INNER = {
    "Objective": (
        "added", "added_terms", "calls", "loss_work", "n_columns", "norm", "plan", "row_buffers", "scratch", "tables",
        "terms_kept", "with_memory",
    ),
}  # fmt: skip
_BOUNDS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length")

# Run files that name every table, so that `to_toml` writes all there are.
RUN_FILES = {
    "files": """
[target]
files = ["target.xyz"]
[relax]
[search.candidates]
[archive]
[set]
[stop]
[checkpoint]
[output]
""",
    "alloy and groups of islands": """
[target.alloy]
a = 3.75
composition = {Au = 0.25, Cu = 0.75}
[[islands]]
count = 2
[[islands]]
strategy = "annealing"
[islands.candidates]
""",
}


# ---------------------------------------------------------------------------------------------------------------------
# public names


def public_names() -> str:
    """Every public name with its signature; of classes the fields and the public methods as well."""
    lines: list[str] = []
    for name in grs_evo.__all__:
        lines += [*_described(name, getattr(grs_evo, name)), ""]
    lines.append(f"potential_lammps.attach{_signature(grs_evo.potential_lammps.attach)}")
    return "\n".join(lines) + "\n"


def _described(name: str, what: Any) -> Iterator[str]:
    if isinstance(what, str):
        yield f"{name}: text"
    elif not inspect.isclass(what):
        yield f"{name}{_signature(what)}"
    elif issubclass(what, BaseModel):
        yield f"{name}: options"
        yield from (f"    {line}" for line in _options(what))
        yield from (f"    {line}" for line in _members(what))
    else:
        bases = [base.__name__ for base in what.__mro__[1:] if not _ours(base) and base not in (object, Exception)]
        bases = [base for base in bases if base not in ("BaseException", "ABC", "Generic")]
        yield f"{name}: class" + (f", also {', '.join(bases)}" if bases else "")
        if not issubclass(what, Exception):
            yield f"    {name}{_signature(what)}"
        yield from (f"    {line}" for line in _members(what))


def _options(options: type[BaseModel]) -> Iterator[str]:
    written = {key: text for base in reversed(options.__mro__) for key, text in inspect.get_annotations(base).items()}
    for name, field in options.model_fields.items():
        bounds = {key: getattr(one, key) for one in field.metadata for key in _BOUNDS if hasattr(one, key)}
        bounded = "".join(f" {key} {value!r}" for key, value in sorted(bounds.items()))
        default = "required" if field.is_required() else _value(field.get_default(call_default_factory=True))
        yield f"{name}: {written[name]} = {default}{bounded}"
        if field.description:
            yield f"    {' '.join(field.description.split())}"


def _members(what: type) -> Iterator[str]:
    """Fields, properties and methods that are our own, in the order of their names."""
    found: dict[str, str] = {}
    for base in reversed(what.__mro__):
        if not _ours(base):
            continue
        for name, member in vars(base).items():
            if name.startswith("_") or name == "model_config":
                continue
            if isinstance(member, property | cached_property):
                found[name] = f"{name} (property)"
            elif isinstance(member, staticmethod | classmethod):
                found[name] = f"{name}{_signature(getattr(what, name))} ({type(member).__name__})"
            elif inspect.isfunction(member):
                found[name] = f"{name}{_signature(member)}"
    if dataclasses.is_dataclass(what):
        found.update({one.name: f"{one.name} (field)" for one in dataclasses.fields(what)})
    elif hasattr(what, "_fields"):
        found.update({name: f"{name} (field)" for name in what._fields})
    return iter([found[name] for name in sorted(found) if name not in _INNER.get(what.__name__, ())])


def _ours(base: type) -> bool:
    # the parent of all option classes brings nothing of its own but its ways
    return base.__module__.partition(".")[0] == "grs_evo" and base.__name__ != "Options"


def _signature(what: Callable[..., Any]) -> str:
    """As `inspect.signature` has it, without the quotes and module names that Python versions treat differently."""
    marks = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    signature, parts, keywords = inspect.signature(what), [], False
    for one in signature.parameters.values():
        if one.kind is inspect.Parameter.KEYWORD_ONLY and not keywords:
            parts.append("*")
        keywords = keywords or one.kind in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_POSITIONAL)
        text = marks.get(one.kind, "") + one.name
        if one.annotation is not inspect.Parameter.empty:
            text += f": {_type(one.annotation)}"
        if one.default is not inspect.Parameter.empty:
            text += f" = {_value(one.default)}"
        parts.append(text)
    returns = signature.return_annotation
    end = "" if returns is inspect.Signature.empty else f" -> {_type(returns)}"
    return f"({', '.join(parts)}){end}"


def _type(annotation: Any) -> str:
    if hasattr(annotation, "__forward_arg__"):
        annotation = annotation.__forward_arg__
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b[A-Za-z_]\w*(?:\.\w+)*\.(?=[A-Z]\w*)", "", text).strip("'")


def _value(value: Any) -> str:
    if isinstance(value, BaseModel):
        made = type(value)() if not any(f.is_required() for f in type(value).model_fields.values()) else None
        return f"{type(value).__name__}()" if value == made else repr(value)
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


# ---------------------------------------------------------------------------------------------------------------------
# command line


def command_line() -> str:
    """Every command with its help, arguments and options."""
    lines: list[str] = []
    commands = {"": places.cli, **places.cli.commands}
    for name, command in sorted(commands.items()):
        text = inspect.cleandoc(command.help or "")
        lines += [f"grs-evo {name}".rstrip(), *(f"    {line}".rstrip() for line in text.splitlines())]
        lines += [f"    {line}".rstrip() for one in command.params for line in _parameter(one)]
        lines.append("")
    return "\n".join(lines)


def _parameter(one: click.Parameter) -> Iterator[str]:
    marks = [one.type.name]
    if isinstance(one.type, click.Choice):
        marks.append("/".join(map(str, one.type.choices)))
    if one.required:
        marks.append("required")
    if one.nargs != 1:
        marks.append(f"nargs {one.nargs}")
    if one.metavar:
        marks.append(one.metavar)
    if isinstance(one, click.Option):
        marks += [word for word, is_so in (("flag", one.is_flag), ("multiple", one.multiple)) if is_so]
        # click's own marks for "no default" differ from version to version
        if not one.is_flag and isinstance(one.default, str | int | float):
            marks.append(f"default {one.default!r}")
        yield f"{' '.join(one.opts)} ({', '.join(marks)})"
        yield f"    {one.help or ''}"
    else:
        yield f"{one.human_readable_name} ({', '.join(marks)})"


# ---------------------------------------------------------------------------------------------------------------------
# run file, archive, orders


def run_files() -> str:
    """What `to_toml` makes of run files that give little but name every table."""
    texts = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.toml"
        for title, text in RUN_FILES.items():
            path.write_text(text)
            texts.append(f"######## {title}\n{places.to_toml(places.read_run_file(path))}")
    return "\n".join(texts)


def archive_table() -> str:
    """The table of the archive's datasets and the attributes of its root."""
    lines = [f"schema {places.ARCHIVE_SCHEMA}", ""]
    lines += [f"{name}: {what}" for name, what in places.ARCHIVE_ATTRIBUTES.items()]
    lines += ["", *(" | ".join(column) for column in places.ARCHIVE_COLUMNS)]
    return "\n".join(lines) + "\n"


def archive_columns() -> dict[str, tuple[str, str, str]]:
    """The pinned table: dataset, or pattern -> shape, unit, meaning."""
    rows = (FOLDER / "archive_table.txt").read_text().rpartition("\n\n")[2].splitlines()
    found = {}
    for row in rows:
        name, shape, unit, meaning = row.split(" | ")
        found[name] = (shape, unit, meaning)
    return found


def orders() -> str:
    """Names whose order is that of columns and words in files."""
    return "".join(f"{title}: {' '.join(map(repr, names))}\n" for title, names in places.ORDERS.items())


TEXTS: dict[str, Callable[[], str]] = {
    "public_names": public_names,
    "command_line": command_line,
    "run_files": run_files,
    "archive_table": archive_table,
    "orders": orders,
}


def main() -> None:
    """Write every text anew."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, make in TEXTS.items():
        path, text = FOLDER / f"{name}.txt", make()
        changed = not path.exists() or path.read_text() != text
        path.write_text(text)
        print(f"{path}: {'written' if changed else 'as it was'}")


if __name__ == "__main__":
    sys.exit(main())
