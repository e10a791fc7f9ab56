"""Errors that speak to the user, one message and no traceback, and the exit codes that go with them."""

from __future__ import annotations

import contextlib
import difflib
import errno
import os
from collections.abc import Iterable, Iterator

# Exit codes of the command line and of ranks that leave together; 74 and 75 are EX_IOERR and EX_TEMPFAIL of sysexits.h.
EXIT_INPUT = 2
EXIT_SHORT = 3  # a representative set came to its end short of the structures or environments it was to have
EXIT_STORAGE = 74
EXIT_EARLY = 75  # stopped by a signal, a request or --max-time, with a checkpoint: may be queued again

# Characters of a message that a user reads.
_LONGEST = 2000


class InputError(ValueError):
    """Something the user gave is wrong.

    The message is one line that names the file, the key or structure, the value with its unit, and what is allowed.
    The command line prints it once and exits with code 2. Where it repeats a list of thousands, its middle is left out.
    """

    def __init__(self, message: str = "") -> None:
        if len(message) > _LONGEST:
            message = f"{message[: _LONGEST - 500]} … {message[-500:]}"
        super().__init__(message)


class WrongType(InputError, TypeError):
    """An argument is of a kind that the function does not take, as when two are in each other's place."""


class StorageError(OSError):
    """A file of the run cannot be written or read any more: full disk, read-only or vanished folder.

    The message is one line; the command line prints it and exits with code 74.
    """


def exit_code_of(error: InputError | StorageError) -> int:
    """The exit code that goes with an error."""
    return EXIT_INPUT if isinstance(error, InputError) else EXIT_STORAGE


class Leaving(Exception):
    """No error but a way out, which code that answers errors lets pass."""


class RankExit(Leaving):
    """Rank 0 has told the user what there is to tell; leave with its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"leaving with exit code {code}")
        self.code = code


# What the system says of a name that cannot be a file's, or of a place that is closed to the user.
_REFUSALS = (errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOTDIR, errno.EISDIR)


@contextlib.contextmanager
def names_refused() -> Iterator[None]:
    """Turn what the system says of a file name that the user gave into an `InputError`: too long, closed, no folder."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        if error.errno not in _REFUSALS or error.filename is None:
            raise
        raise InputError(f"{os.fsdecode(error.filename)}: {(error.strerror or 'cannot be read').lower()}") from None


def nearest(word: str, allowed: Iterable[str]) -> str:
    """' (did you mean …?)' for the allowed name nearest to `word`, or an empty string when none is near."""
    by_case = {name.casefold(): name for name in allowed}  # "au" means Au, however near Ta is
    close = difflib.get_close_matches(word.casefold(), list(by_case), n=1, cutoff=0.5)
    return f" (did you mean {by_case[close[0]]!r}?)" if close else ""


def expect(value: object, kinds: type | tuple[type, ...], name: str, call: str) -> None:
    """Raise WrongType unless an argument is of one of its kinds.

    Parameters
    ----------
    name : of the argument
    call : the function with its arguments in order, such as ``"make_objective(basis, target)"``
    """
    if not isinstance(value, kinds):
        allowed = kinds if isinstance(kinds, tuple) else (kinds,)
        wanted = " or ".join(_article(kind.__name__) for kind in allowed)
        raise WrongType(f"{call}: {name} is {type_of(value)}; it must be {wanted}")


def type_of(value: object) -> str:
    """How a message calls the type of a value."""
    return "None" if value is None else _article(type(value).__name__)


def _article(word: str) -> str:
    return f"a{'n' if word[:1] in 'AEIOUaeiou' else ''} {word}"


@contextlib.contextmanager
def within(place: str, joint: str = ": ") -> Iterator[None]:
    """Put a place, such as a run file or one of its tables, in front of what an `InputError` says."""
    try:
        yield
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(place) else f"{place}{joint}{text}") from None
