"""The run file: every option with its unit, bounds and default; strict, and written out in full beside the results."""

from __future__ import annotations

import errno
import json
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from grs_evo.descriptors.options import BasisOptions, checked_elements
from grs_evo.driver.config.plugged import plug
from grs_evo.errors import InputError, type_of
from grs_evo.loss.options import LossOptions
from grs_evo.options import Options, line_of, odd_value, short
from grs_evo.parallel.decisions import CheckpointOptions, StopOptions
from grs_evo.parallel.topology import MigrationOptions
from grs_evo.potential.relaxation import RelaxOptions
from grs_evo.search.candidates.source import CandidateOptions
from grs_evo.search.options import IslandOptions
from grs_evo.search.population.archive import ArchiveOptions
from grs_evo.search.population.representative_set import SetOptions
from grs_evo.structures.structure import VACANCY

_DEFAULT_ISLANDS = 4
_LARGEST = 2_000_000  # bytes of a run file
_DEEPEST = 20  # tables and lists within each other


class AlloyOptions(Options):
    """A random alloy as the target: every site of an ideal lattice occupied independently."""

    lattice: str = Field(
        default="fcc", description="sc, bcc, fcc, hcp, diamond, or file: the sites of the one in `files`"
    )
    a: float | None = Field(default=None, gt=0, description="lattice constant; needed unless lattice is file [Å]")
    composition: dict[str, float] | tuple[dict[str, float], ...] = Field(
        description="fraction of each element, which add up to 1: one table for all sites, or a list with one for each"
        " site of the lattice's cell, in its order [1]"
    )
    order: dict[str, tuple[float, ...]] = Field(
        default={},
        description="short-range order that is wanted: for pairs of elements such as Co-Cr the Warren–Cowley α = "
        "1 − p/(c c') of the first shell, the second, …; other pairs of these shells have 0 [1]",
        json_schema_extra={"written": "when given"},
    )
    samples: int = Field(default=4096, ge=16, le=10_000_000, description="environments drawn [1]")
    seed: int = Field(default=0, ge=0, description="of these draws [1]")

    @field_validator("composition", "order", mode="before")
    @classmethod
    def _one_name_of_vacancies(cls, given: Any) -> Any:
        """X where Va is written; lists, as JSON gives them, are tuples then, which alone pass the strict checks."""
        if isinstance(given, Mapping):
            names = [re.sub(r"\bVa\b", VACANCY, str(name)) for name in given]
            twice = next((name for k, name in enumerate(names) if name in names[:k]), None)
            if twice:
                raise ValueError(f"{twice} is given twice: {VACANCY} and Va are both vacancies; each needs one value")
            values = (tuple(value) if isinstance(value, list) else value for value in given.values())
            return dict(zip(names, values, strict=True))
        return tuple(cls._one_name_of_vacancies(one) for one in given) if isinstance(given, list | tuple) else given

    @field_validator("composition")
    @classmethod
    def _symbols(cls, given: Any) -> Any:
        """Each name is an element's or the vacancies'; said here, where it was written."""
        for table in (given,) if isinstance(given, dict) else given:
            for name in table:
                checked_elements([name, "H"] if name == VACANCY else [name])
        return given

    @property
    def occupants(self) -> tuple[str, ...]:
        """All elements of the composition, in the order in which they are named."""
        tables = (self.composition,) if isinstance(self.composition, dict) else self.composition
        return tuple(dict.fromkeys(symbol for table in tables for symbol in table))


class TargetOptions(Options):
    """What the structures shall represent: structure files, a stored target, or a random alloy."""

    files: tuple[str, ...] = Field(
        default=(),
        description="structure files or folders, with an optional index: file@-1, file@0:100:10, or file::10 for every"
        " tenth [–]",
    )
    weights: dict[str, float] = Field(
        default={}, description="weight of every environment of a group's structures; default 1 [1]"
    )
    types: tuple[str, ...] = Field(
        default=(), description="element of each atom type, for LAMMPS files that do not name elements [–]"
    )
    format: str | None = Field(
        default=None, description="ASE's name of the file format, where its suffix does not tell [–]"
    )
    stored: str | None = Field(default=None, description="a target made before by `grs-evo target` [–]")
    alloy: AlloyOptions | None = Field(default=None, description="a random alloy [–]")
    kept_out: float | None = Field(
        default=None,
        ge=0,
        le=0.5,
        description="share of the frames in `files`, the last ones, that the search does not see and that what it finds"
        " is judged against as well; default: a fifth of ten or more frames of one system, else none [1]",
        json_schema_extra={"written": "when given"},
    )

    @model_validator(mode="after")
    def _one_kind(self) -> TargetOptions:
        from_lattice = self.alloy is not None and self.alloy.lattice == "file"
        given = [bool(self.files) and not from_lattice, self.stored is not None, self.alloy is not None]
        if sum(given) != 1:
            raise ValueError("needs one of files, stored, alloy")
        if self.kept_out and not given[0]:
            raise ValueError("kept_out divides the frames of `files`, and there are none; leave it out")
        return self


class SearchOptions(IslandOptions):
    """How the islands search, unless an [[islands]] table says otherwise."""

    islands: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description=f"number of islands; default {_DEFAULT_ISLANDS}, or as [[islands]] say [1]",
    )


class IslandGroup(IslandOptions):
    """Islands that search in the same way; what is not given is as in [search]."""

    count: int = Field(default=1, ge=1, le=1_000_000, description="number of such islands [1]")


class OutputOptions(Options):
    """What is told and kept besides the results."""

    status_seconds: float = Field(default=2.0, gt=0, description="time between two updates of status.json [s]")
    log_seconds: float = Field(
        default=10.0, gt=0, description="time between two progress lines where there is no terminal [s]"
    )
    top: int = Field(default=10, ge=1, le=1000, description="structures in the table at the end [1]")


# What `resume --extend` may change: where a run ends and how it is saved, never what it does until then.
EXTENDABLE: dict[str, type[Options]] = {"stop": StopOptions, "checkpoint": CheckpointOptions, "output": OutputOptions}


class RunFile(Options):
    """A run, from its target to its end. With the seed it determines the archive, bit for bit."""

    seed: int = Field(default=0, ge=0, le=2**63 - 1, description="of all random numbers [1]")
    basis: BasisOptions = BasisOptions()
    target: TargetOptions = Field(description="what to stand for: [target] with files, stored or alloy")
    loss: LossOptions = LossOptions()
    candidates: CandidateOptions = CandidateOptions()
    search: SearchOptions = SearchOptions()
    islands: tuple[IslandGroup, ...] = ()
    migration: MigrationOptions = MigrationOptions()
    relax: RelaxOptions | None = Field(
        default=None,
        description="relax new structures on the loss; absent: random cells towards structures are relaxed, others not",
    )
    archive: ArchiveOptions = ArchiveOptions()
    set: SetOptions = SetOptions()
    stop: StopOptions = StopOptions()
    checkpoint: CheckpointOptions = CheckpointOptions()
    output: OutputOptions = OutputOptions()

    plugins: dict[str, tuple[str, ...]] = Field(
        default={},
        description="parts from outside the package, operators and observables: lists of module:variable, or names of "
        "entry points [–]",
        json_schema_extra={"written": "when given"},
    )

    @model_validator(mode="after")
    def _counted_once(self) -> RunFile:
        if self.islands and self.search.islands is not None:
            raise ValueError("search.islands and [[islands]] both say how many islands there are; give one")
        if not self.loss.compares:
            raise ValueError(
                "loss: all weights are 0, so every structure would be as good as any other; give a moment (mean, "
                "variance, …) and w_structure or w_set, or w_entropy"
            )
        rules = (getattr(self.stop, name) for name in StopOptions.model_fields)
        if all(value is None or value is False for value in rules):
            raise ValueError(f"stop: has no rule; give one of {', '.join(StopOptions.model_fields)}")
        return self

    def each_island(self) -> tuple[IslandOptions, ...]:
        """The options of every island, in order."""
        if not self.islands:
            return (self.search,) * (self.search.islands or _DEFAULT_ISLANDS)
        return tuple(group for group in self.islands for _ in range(group.count))


def read(path: Path, overrides: Mapping[str, Any] | None = None) -> RunFile:
    """A run file, checked.

    Parameters
    ----------
    overrides : dotted keys and values that replace those of the file

    Raises
    ------
    InputError
        One line that names the file, the key, the value and what is allowed.
    """
    try:
        text = _content(path).decode("utf-8-sig")
    except OSError as error:
        what = "is a folder" if error.errno == errno.EISDIR else (error.strerror or "").lower() or "cannot be read"
        raise InputError(f"{path}: {what}; a run file in TOML is needed") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text ({error.reason} at byte {error.start})") from None
    return parse(text, str(path), overrides)


def given(run_file: str | Path | Mapping[str, Any] | RunFile, overrides: Mapping[str, Any]) -> tuple[RunFile, Path]:
    """A run file, its content as tables, or one that was checked; and where its relative names start.

    Raises
    ------
    InputError
        As `read`.
    """
    if isinstance(run_file, str | Path):
        path = Path(run_file)
        return read(path, overrides), path.parent
    if isinstance(run_file, RunFile):
        raw = json.loads(run_file.model_dump_json(exclude_unset=True))
    else:
        try:
            raw = json.loads(json.dumps(run_file, default=_plain))
        except (TypeError, ValueError) as error:
            raise InputError(f"run: {error}; tables hold text, numbers, lists and tables") from None
    for key, value in overrides.items():
        _put(raw, key, value, "run")
    plug(raw.get("plugins"), "run")
    _inherit(raw, "run")
    return _checked(raw, "run"), Path()


def _plain(value: Any) -> Any:
    """Paths, and numbers and arrays of numpy, as TOML would have them."""
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{value!r} is {type_of(value)}")


def _content(path: Path) -> bytes:
    """The bytes of a run file; a pipe or device would keep the reader waiting, or never come to an end."""
    kind = path.stat().st_mode
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
        raise InputError(f"{path}: is a pipe or device; a run file in TOML is needed")
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise InputError(f"{path}: is larger than {_LARGEST / 1e6:g} MB; a run file in TOML is needed")
    return data


def _line_told(text: str, error: str) -> str:
    """The line of a file that an error of the TOML reader names."""
    found = re.search(r"at line (\d+)", error)
    lines = text.splitlines()
    if found is None or not 0 < int(found[1]) <= len(lines):
        return ""
    return f": {short(lines[int(found[1]) - 1].strip())}"


def parse(text: str, source: str, overrides: Mapping[str, Any] | None = None) -> RunFile:
    """The text of a run file, checked. See `read`."""
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # numbers and nesting without end are not TOMLDecodeErrors
        named = Path(source).suffix in (".toml", "")
        hint = "" if named else "; `grs-evo init` writes a run file for structures"
        raise InputError(f"{source}: is not valid TOML: {error}{_line_told(text, str(error))}{hint}") from None
    if _is_deeper(raw, _DEEPEST):
        raise InputError(f"{source}: tables and lists lie more than {_DEEPEST} deep in each other; no key is so deep")
    for key, value in (overrides or {}).items():
        _put(raw, key, value, source)
    plug(raw.get("plugins"), source)
    _inherit(raw, source)
    return _checked(raw, source)


def _is_deeper(raw: Any, most: int) -> bool:
    """Whether tables and lists are nested more than `most` deep; without recursion, which would find its own limit."""
    level = [raw]
    for _ in range(most):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _put(raw: dict[str, Any], key: str, value: Any, source: str) -> None:
    *path, last = key.split(".")
    table = raw
    for name in path:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise InputError(f"{source}: {key}: {name} is not a table")
    if value is None:
        table.pop(last, None)
    else:
        table[last] = value


def _inherit(raw: dict[str, Any], source: str) -> None:
    """Fill each [[islands]] table with what [search] says."""
    groups = raw.get("islands", [])
    if not isinstance(groups, list) or not all(isinstance(one, dict) for one in groups):
        raise InputError(f"{source}: islands: is {groups!r}; write [[islands]] tables, or search.islands for a number")
    search = raw.get("search", {})
    if isinstance(search, dict):
        inherited = {key: value for key, value in search.items() if key != "islands"}
        raw["islands"] = [_merged(inherited, one) for one in groups]


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        result[key] = _merged(old, value) if both else value  # type: ignore[arg-type]
    return result


def _checked(raw: dict[str, Any], source: str) -> RunFile:
    odd = odd_value(raw)
    if odd:
        raise InputError(f"{source}: {odd}")
    try:
        # by way of JSON, in which a strict model takes lists for tuples and nothing else that it would not
        return RunFile.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        raise InputError(f"{source}: {line_of(error, raw, RunFile)}") from None
