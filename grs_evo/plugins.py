"""Parts from outside the package: found by the name of an entry point, or as module:variable; one way for all kinds.

| kind | entry points | record |
|---|---|---|
| operators | grs_evo.operators | `grs_evo.search.operators.record.Operator` |
| candidates | grs_evo.candidates | `grs_evo.search.candidates.source.CandidateGenerator` |
| strategies | grs_evo.strategies | `grs_evo.search.strategies.record.SearchStrategy` |
| terms | grs_evo.terms | `grs_evo.loss.terms.term.AddedTerm` |
| observables | grs_evo.observables | `grs_evo.observables.Observable` |
| exporters | grs_evo.exporters | `grs_evo.exporters.table.Exporter` |
| callbacks | grs_evo.callbacks | `grs_evo.driver.config.callback.Callback` |
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any

from grs_evo.errors import InputError, Leaving, StorageError, nearest, type_of

KINDS = ("operators", "candidates", "strategies", "terms", "observables", "exporters", "callbacks")


@dataclass(frozen=True)
class Answer:
    """What a function of a part has to give."""

    wanted: str  # in words: "a Structure, or None"
    fits: Callable[..., bool]  # (what it gave, its arguments …) -> whether it is that


@dataclass(frozen=True)
class Guarded:
    """A function of a part from outside, whose slips are told in one line that names the part and its file.

    What it raises, or gives instead of what is wanted, is an `InputError`: a run ends with it on all its ranks.
    """

    place: str  # module:variable
    name: str  # of the function in its record
    function: Callable[..., Any]
    answer: Answer

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        try:
            given = self.function(*arguments, **named)
        except (InputError, StorageError, Leaving, MemoryError):
            raise
        except Exception as error:  # what somebody else's code raises is not known here
            words = f"raised {type(error).__name__}: {error}".rstrip(": ")
            raise InputError(self._told(words, _line_of(error.__traceback__, self._file))) from error
        if not self.answer.fits(given, *arguments):
            raise InputError(self._told(f"returned {type_of(given)}", 0))
        return given

    def _told(self, words: str, line: int) -> str:
        where = f"{self._file}, line {line}" if line else self._file
        return f"{self.place} ({where}): {self.name} {words}; it must return {self.answer.wanted}"

    @property
    def _file(self) -> str:
        function = inspect.unwrap(getattr(self.function, "py_func", self.function))  # py_func: compiled by Numba
        try:
            return inspect.getsourcefile(function) or self.place.partition(":")[0]
        except TypeError:  # no function of Python's own
            return self.place.partition(":")[0]


@dataclass(frozen=True, eq=False)
class Plugin:
    """One part, and what it was when it was found."""

    kind: str
    name: str  # as the user gave it
    place: str  # module:variable
    value: Any  # the record, its functions guarded
    version: str  # of the installed package that it belongs to; empty: a file on PYTHONPATH
    digest: str  # of its module's source; empty: there is none

    @property
    def told(self) -> str:
        """For the record of a run."""
        return " ".join(part for part in (self.place, self.version, self.digest) if part)


def load(kind: str, name: str, wanted: type, where: str) -> Plugin:
    """A part by the name of its entry point or by ``module:variable``.

    Parameters
    ----------
    kind : one of KINDS
    wanted : what its record has to be
    where : what the message of an error begins with

    Raises
    ------
    InputError
        There is no such entry point, module or variable, or it is something else.
    """
    place = name if ":" in name else _entry_point(kind, name, where)
    module, _, variable = place.partition(":")
    try:
        owner = importlib.import_module(module)
        value = getattr(owner, variable)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"{where}: {name!r} cannot be imported ({error}); is it on PYTHONPATH?") from None
    except Exception as error:  # what a module does while it is imported is not known here
        raise InputError(f"{where}: {name!r} cannot be imported ({type(error).__name__}: {error})") from None
    if not isinstance(value, wanted):
        article = "an" if wanted.__name__[0] in "AEIOU" else "a"
        raise InputError(f"{where}: {name!r} is a {type(value).__name__}; it must be {article} {wanted.__name__}")
    return Plugin(kind, name, place, guarded(value, place), _version(module), source_digest(owner))


def guarded(record: Any, place: str) -> Any:
    """A record of a part whose functions tell their slips; `record` itself where it has none."""
    answers: Mapping[str, Answer] = type(record).ANSWERS
    given = {name: getattr(record, name) for name in answers}
    return replace(
        record,
        **{name: Guarded(place, name, one, answers[name]) for name, one in given.items() if callable(one)},
    )


def _line_of(trace: TracebackType | None, file: str) -> int:
    """The last line of a file that an error came through; 0: none."""
    line = 0
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == Path(file):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def entry_points(kind: str) -> dict[str, str]:
    """Name and module:variable of the parts that installed packages bring."""
    return {one.name: one.value for one in metadata.entry_points(group=f"grs_evo.{kind}")}


def _entry_point(kind: str, name: str, where: str) -> str:
    known = entry_points(kind)
    if name not in known:
        listed = ", ".join([*known, "module:variable"])
        raise InputError(f"{where}: {name!r} is no installed part{nearest(name, known)}; allowed are {listed}")
    return known[name]


@cache  # to ask which package has a module takes 0.1 s, and a run asks at each turn of its set-up
def _version(module: str) -> str:
    top = module.partition(".")[0]
    owners = metadata.packages_distributions().get(top, ())
    return f"{owners[0]} {metadata.version(owners[0])}" if owners else ""


def source_digest(module: Any) -> str:
    """Of a module's source; empty where there is none: typed in, or compiled."""
    try:
        return hashlib.blake2b(inspect.getsource(module).encode(), digest_size=8).hexdigest()
    except (OSError, TypeError):
        return ""
