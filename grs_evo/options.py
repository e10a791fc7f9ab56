"""The common parent of all option classes: frozen, strict, and closed to unknown keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import InputError
from .refusals import line_of


class Options(BaseModel):
    """A group of settings of the run file. Each room defines its own next to the function it serves."""

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
