"""What the programs in tools/ have in common: options, errors, and the files they leave.

argparse, since an option such as ``--near 1 2 3`` takes any number of values, which click does not know.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

from grs_evo.analysis.figures import files
from grs_evo.analysis.figures.figure import Figure, Table
from grs_evo.analysis.sources import PICKS, is_archive, split_name
from grs_evo.errors import InputError

T = TypeVar("T")

_SOURCES = (
    "A source is a run folder, an archive file (.h5) or a structure file (anything ASE reads, with an index as in "
    "melt.extxyz@0:100:10). NAME=SOURCE sets its name in the legend."
)


class _Parser(argparse.ArgumentParser):
    """One whose complaints are errors like all others: one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see --help")


def parser(text: str | None) -> argparse.ArgumentParser:
    """A parser that shows a tool's own text, examples included, as --help."""
    summary, _, rest = (text or "").strip().partition("\n")
    made = _Parser(
        description=summary,
        epilog=rest.strip() + "\n\n" + _SOURCES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "-o", "--out", default=None, metavar="STEM", help="plots go to STEM.png, .svg, .pdf, numbers to STEM.csv"
    )
    return made


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """An argument type: whole numbers from `low` to `high`."""
    allowed = f"a whole number of {low} or more" if high is None else f"a whole number from {low} to {high}"
    return _checked(int, lambda value: low <= value <= (math.inf if high is None else high), allowed)


def number(above: float, most: float = math.inf, unit: str = "") -> Callable[[str], float]:
    """An argument type: numbers above `above`, and `most` at most."""
    allowed = f"a number above {above:g}" + (f" and at most {most:g}" if most < math.inf else "")
    return _checked(float, lambda value: above < value <= most and value < math.inf, f"{allowed} {unit}".rstrip())


def _checked(kind: Callable[[str], T], fits: Callable[[T], bool], allowed: str) -> Callable[[str], T]:
    def convert(text: str) -> T:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not fits(value):
            raise argparse.ArgumentTypeError(f"{text} must be {allowed}")
        return value

    return convert


def check_second(first: str, given: bool) -> None:
    """An InputError where a set would be measured against itself: a structure file alone is no comparison."""
    path = split_name(first)[1]
    if not given and not is_archive(path):
        raise InputError(f"{path}: is a structure file, so a second source is needed; only an archive holds both sides")


def add_basis(made: argparse.ArgumentParser) -> None:
    """The option --basis."""
    made.add_argument(
        "--basis",
        metavar="SOURCE",
        help="basis to describe with: an archive or a .yace file (default: that of the first archive named; with "
        "structure files alone the paper's settings)",
    )


def add_pick(made: argparse.ArgumentParser) -> None:
    """The option --pick."""
    made.add_argument(
        "--pick",
        choices=PICKS,
        default="auto",
        help="what to take of an archive (default: its representative set, else its Pareto front)",
    )


def stem(given: str | None, default: str) -> Path:
    """Where the files go: as asked, or named after the tool in the working folder."""
    return files.output_stem(given or default)


def write(
    figures: Sequence[Figure],
    stem: Path,
    tables: Mapping[str, Table],
    columns: int = 2,
    size: tuple[float, float] = (4.2, 3.6),
) -> None:
    """Write figures into one picture and tables beside it, and say which files were written.

    Parameters
    ----------
    tables : by what their file names have after the stem; ``""`` is the numbers of the picture
    columns, size : see `files.draw`
    """
    written = files.save(files.draw(figures, columns, size), stem)
    written += [files.write_csv(stem.with_name(f"{stem.name}{end}.csv"), table) for end, table in tables.items()]
    tell(written)


def tell(paths: Sequence[Path]) -> None:
    """Say which files were written."""
    print("wrote " + ", ".join(str(path) for path in paths))


def run(
    main: Callable[[Sequence[str] | None], None], arguments: Sequence[str] | None = None, called: str = "error"
) -> int:
    """Run a tool: an `InputError` becomes one line on standard error, after what it is called, and exit code 2."""
    try:
        main(arguments)
    except InputError as error:
        print(f"{called}: {error}", file=sys.stderr)
        return 2
    except ImportError as error:
        if error.name is None or error.name.startswith("grs_evo"):
            raise
        print(f"{called}: the package {error.name} is missing; install grs-evo[analysis]", file=sys.stderr)
        return 2
    return 0
