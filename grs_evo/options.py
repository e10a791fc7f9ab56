"""The common parent of all option classes: frozen, strict, and closed to unknown keys."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date, time
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from grs_evo.errors import InputError, nearest

_LONGEST = 864e6  # s


class Options(BaseModel):
    """A group of settings of the run file. Each package defines its own, beside the functions they serve."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    if not TYPE_CHECKING:  # type checkers know the arguments from the fields

        def __init__(self, **values: Any) -> None:
            """Raises InputError, one line that names key, value and what is allowed."""
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise InputError(f"{type(self).__name__}: {line_of(error, values, type(self))}") from None

        # pydantic calls an __init__ of one's own for tables within tables too, unless it is told that this is like its
        # own; then messages would lose the place.
        __init__.__pydantic_base_init__ = True


def odd_value(raw: Any, key: str = "") -> str | None:
    """A complaint about the first value that TOML knows and no key takes (dates and times), or None."""
    if isinstance(raw, Mapping):
        inner = ((f"{key}.{name}" if key else str(name), value) for name, value in raw.items())
    elif isinstance(raw, list):
        inner = ((f"{key}[{k}]", value) for k, value in enumerate(raw))
    elif isinstance(raw, date | time):
        return f"{key}: is {raw}, a {type(raw).__name__}; must be a number, text, list or table"
    else:
        return None
    return next((found for name, value in inner if (found := odd_value(value, name))), None)


def line_of(error: ValidationError, raw: Mapping[str, Any], root: type[BaseModel]) -> str:
    """The first complaint about `raw` as a `root`, in one line."""
    complaints = error.errors(include_url=False)
    # of several, an unknown key is the one that explains the others
    first = next((one for one in complaints if one["type"] == "extra_forbidden"), complaints[0])
    place = [part for part in first["loc"] if not _is_branch(part, first["loc"], raw)]
    key = _dotted(place)
    if first["type"] == "extra_forbidden":
        allowed = _allowed_keys(place[:-1], root)
        return f"{key}: unknown key{nearest(str(place[-1]), allowed)}; allowed here are {', '.join(allowed)}"
    listed = _listed(place, root)
    if first["type"] in ("missing", "too_long", "too_short") and listed and place and isinstance(place[-1], int):
        place = place[:-1]
    if first["type"] in _NO_LIST and listed and not isinstance(place[-1], int):
        given = _at(place, raw)
        return f"{_dotted(place)}: is {short(given)}; must be {listed}{_unit(place, root)}"
    if first["type"] == "missing":
        where = f"[{key}]" if len(place) == 1 else key
        return f"{where}: is missing; {_describe(place, root)}"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return f"{key}: {message}" if key else message
    near = _nearest_choice(first)
    return f"{key}: is {short(first['input'])}; {_lower(message)}{near}{_unit(place, root)}"


# pydantic's words for a value that is no list, or one of another length.
_NO_LIST = ("tuple_type", "list_type", "missing", "too_long", "too_short")
_ONE = {int: "whole numbers", float: "numbers", str: "texts", bool: "true or false"}


def _listed(place: list[Any], root: type[BaseModel]) -> str:
    """What the list at a place is to hold, such as "a list of 3 whole numbers"; empty where none is wanted."""
    _, field = _model_at(place, root)
    inner = () if field is None else _list_in(field.annotation)
    if not inner or inner[0] not in _ONE:
        return ""
    if len(inner) > 1 and inner[1] is not Ellipsis:
        return f"a list of {len(inner)} {_ONE[inner[0]]}"
    example = ', such as ["…"]' if inner[0] is str else ""
    return f"a list of {_ONE[inner[0]]}{example}"


def _list_in(annotation: Any) -> tuple[Any, ...]:
    """The arguments of the list or tuple in the annotation of a field; none where there is no such."""
    if get_origin(annotation) in (tuple, list):
        return get_args(annotation)
    if get_origin(annotation) in (Union, UnionType):
        return next((found for part in get_args(annotation) if (found := _list_in(part))), ())
    return ()


def _at(place: list[Any], raw: Any) -> Any:
    for part in place:
        raw = raw[part] if isinstance(raw, Mapping) or isinstance(part, int) else getattr(raw, part)
    return raw


def _is_branch(part: Any, loc: tuple[Any, ...], raw: Any) -> bool:
    """Whether a part of pydantic's location names a branch of a union and not a key of the file."""
    return isinstance(part, str) and bool(
        re.fullmatch(r"(float|int|str|bool|none|list|dict|tuple|constrained-.*|.*\[.*\])", part)
    )


def _dotted(place: list[Any]) -> str:
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return text


def _model_at(place: list[Any], root: type[BaseModel]) -> tuple[type[BaseModel] | None, Any]:
    """The options class that a location lies in, and the field it names."""
    model: type[BaseModel] | None = root
    field = None
    for part in place:
        if isinstance(part, int):
            continue
        if model is None or part not in model.model_fields:
            return None, None
        field = model.model_fields[part]
        model = options_in(field.annotation)
    return model, field


def _allowed_keys(place: list[Any], root: type[BaseModel]) -> list[str]:
    model, _ = _model_at(place, root)
    return sorted(model.model_fields) if model is not None else []


def _describe(place: list[Any], root: type[BaseModel]) -> str:
    _, field = _model_at(place, root)
    text = field.description if field is not None and field.description else "it is needed"
    return f"it is needed: {text}" if text != "it is needed" else text


def _unit(place: list[Any], root: type[BaseModel]) -> str:
    _, field = _model_at(place, root)
    found = re.search(r"\[[^\[\]]+\]\s*$", field.description or "") if field is not None else None
    return f" {found[0]}" if found and found[0].strip() not in ("[1]", "[–]") else ""


def _nearest_choice(complaint: Mapping[str, Any]) -> str:
    """The nearest of the words that a key takes, when another word was given."""
    if complaint["type"] != "literal_error" or not isinstance(complaint["input"], str):
        return ""
    return nearest(complaint["input"], re.findall(r"'([^']*)'", complaint["ctx"]["expected"]))


# What pydantic calls in Python's words, in those of TOML.
_WORDS = (
    ("Input should be an object", "must be a table"),
    ("Input should be a valid integer", "must be a whole number"),
    ("Input should be a valid array", "must be a list"),
    ("Input should be a valid list", "must be a list"),
    ("Input should be a valid tuple", "must be a list"),
    ("Input should be a valid dictionary", "must be a table"),
    ("Input should be a valid boolean", "must be true or false"),
    ("Input should be a valid number", "must be a number"),
    ("Input should be", "must be"),
    ("Input should", "must"),
)


def _lower(message: str) -> str:
    for python, toml in _WORDS:
        message = message.replace(python, toml)
    return message[:1].lower() + message[1:]


def short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "…"


def options_in(annotation: Any) -> type[BaseModel] | None:
    """The options class within the annotation of a field, such as that of `tuple[IslandGroup, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, UnionType, tuple, list):
        return next((found for part in get_args(annotation) if (found := options_in(part))), None)
    return None


def seconds_of(given: float | str) -> float:
    """A time such as ``90``, ``90s``, ``50m``, ``1.5h``, ``2d`` in seconds.

    Raises
    ------
    InputError
        It is none of these, not above 0, or beyond 10,000 days.
    """
    if isinstance(given, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([smhd]?)\s*", given)
        value = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]] if match else 0.0
    else:
        value = float(given)
    if not 0 < value <= _LONGEST:
        raise InputError(f"--max-time {str(given)[:40]}: must be a time above 0 such as 90s, 50m, 1.5h or 2d")
    return value
