"""Errors that speak to the user: one message, exit code 2, no traceback."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator


class InputError(ValueError):
    """Something the user gave is wrong.

    The message is one line that names the file, the key or structure, the value with its unit, and what is allowed.
    The command line prints it once and exits with code 2.
    """


class StorageError(OSError):
    """A file of the run cannot be written or read any more: full disk, read-only or vanished folder.

    The message is one line; the command line prints it and exits with code 74.
    """


def nearest(word: str, allowed: Iterable[str]) -> str:
    """' (did you mean …?)' for the allowed name nearest to `word`, or an empty string when none is near."""
    by_case = {name.casefold(): name for name in allowed}  # "au" means Au, however near Ta is
    close = difflib.get_close_matches(word.casefold(), list(by_case), n=1, cutoff=0.5)
    return f" (did you mean {by_case[close[0]]!r}?)" if close else ""


@contextlib.contextmanager
def within(place: str, joint: str = ": ") -> Iterator[None]:
    """Put a place, such as a run file or one of its tables, in front of what an `InputError` says."""
    try:
        yield
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(place) else f"{place}{joint}{text}") from None
