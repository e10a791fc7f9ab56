"""A kind of run: what it is for, and the run file that is written for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from grs_evo.starting.look import Seen

_COLUMN = 32  # where comments begin

Row = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Wanted:
    """What the user gave."""

    seen: Seen | None  # structure files, looked at
    names: tuple[str, ...] = ()  # how the run file calls them, from where it lies
    atoms: int | None = None  # of a cell
    composition: Mapping[str, float] = field(default_factory=dict)  # fractions that add up to 1
    lattice: str | None = None
    a: float | None = None  # Å
    given: str | None = None  # structures that are there already

    @property
    def called(self) -> str:
        """The structure files in a title."""
        return ", ".join(PurePath(name).name for name in self.names)


@dataclass(frozen=True, eq=False)
class Draft:
    """What is written, and the commands that go on from it."""

    text: str
    suffix: str = ".toml"
    files: Mapping[str, str] = field(default_factory=dict)  # further files by name, beside it
    notes: tuple[str, ...] = ()  # what was found in the structures and decided by it
    commands: tuple[str, ...] = ("mpiexec -n 2 grs-evo run {file} --out {out}", "grs-evo report {out}")


@dataclass(frozen=True)
class Kind:
    """A row of the list that `grs-evo init` shows."""

    name: str
    meaning: str
    structures: str  # what structure files are to hold; empty: none are needed
    example: str  # of the runs that ship, one of this kind
    write: Callable[[Wanted], Draft]


def table(name: str, *rows: Row) -> list[str]:
    """A table of a run file: its settings, each with what it means."""
    lines = ["", f"[{name}]"] if name else [""]
    for setting, meaning in rows:
        lines.append(f"{setting:<{_COLUMN - 1}} # {meaning}" if meaning else setting)
    return lines


def run_file(title: str, *tables: Sequence[str]) -> str:
    """The text of a run file, from what it is for and its tables."""
    head = [*(f"# {line}" for line in title.splitlines()), "# `grs-evo check` shows every option with its meaning."]
    seed = table("", ("seed = 1", "same file, same seed: the same result, on any number of ranks"))
    return "\n".join([*head, *seed, *(line for one in tables for line in one)]) + "\n"


def quoted(names: Sequence[str]) -> str:
    """Strings as a TOML list."""
    return "[" + ", ".join('"' + one.replace("\\", "\\\\").replace('"', '\\"') + '"' for one in names) + "]"


def fractions_text(fractions: Mapping[str, float]) -> str:
    """Fractions as a TOML table; the last takes what rounding leaves, so that they add up to 1."""
    symbols = list(fractions)
    values = [round(fractions[one], 6) for one in symbols]
    values[-1] = round(1.0 - sum(values[:-1]), 6)
    return "{" + ", ".join(f"{symbol} = {value:g}" for symbol, value in zip(symbols, values, strict=True)) + "}"


def target_table(wanted: Wanted) -> list[str]:
    """[target] with the structure files."""
    assert wanted.seen is not None
    return table("target", (f"files = {quoted(wanted.names)}", wanted.seen.told))


def basis_table(n_max: Sequence[int], l_max: Sequence[int], cutoff: float) -> list[str]:
    """[basis]."""
    return table(
        "basis",
        (f"n_max = {list(n_max)}", "radial functions for 2, 3, … bodies: more see more, and take longer"),
        (f"l_max = {list(l_max)}", "highest angular momentum for each"),
        (f"cutoff = {cutoff:g}", "Å, how far an atom sees: some 60 neighbours"),
    )
