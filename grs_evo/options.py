"""The common parent of all option classes: frozen, strict, and closed to unknown keys."""

from __future__ import annotations

from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """A group of settings of the run file. Each room defines its own next to the function it serves."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def options_in(annotation: Any) -> type[BaseModel] | None:
    """The options class within the annotation of a field, such as that of `tuple[IslandGroup, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, UnionType, tuple, list):
        return next((found for part in get_args(annotation) if (found := options_in(part))), None)
    return None
