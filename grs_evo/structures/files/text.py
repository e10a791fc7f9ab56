"""Lines of text files, packed or not, with their numbers: bounded, and refused by name and place."""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError

# Characters of a line; longer ones are no structure file's.
_LONGEST_LINE = 1 << 24
# Characters of a file's text that messages show.
_SHOWN = 40
# By how much packing can shrink a file, at most.
_SHRINKS = {".gz": 1100, ".bz2": 100_000, ".xz": 100_000}
# What an atom takes in a text file, at least: three digits and what is between them.
_LEAST_BYTES = 6
# Digits after the point of numbers that a program wrote with a fixed number of them, at least.
_FIXED_DIGITS = 4


def checked_path(path: Path) -> os.stat_result | None:
    """What the system knows of a file; None where there is none.

    Raises
    ------
    InputError
        The name cannot be a file's, or a folder on the way to it is closed.
    """
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"{shown(path)}: cannot be looked up ({reason.lower()})") from None


def check_regular(path: Path) -> None:
    """Raise an InputError for what is no regular file: pipes and devices may have no end.

    Nor is a file opened that is closed to the user.
    """
    found = checked_path(path)
    if found is None:
        raise InputError(f"{shown(path)}: no such file")
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{shown(path)}: is no regular file (a pipe, socket or device); copy its content to a file")
    if not os.access(path, os.R_OK):
        raise InputError(f"{shown(path)}: cannot be read (permission denied)")


def shown(value: object, most: int = 200) -> str:
    """A name or text for a message: on one line, without its middle where it is long."""
    text = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(str(value).split()))
    return text if len(text) <= most else f"{text[: most - 20]}…{text[-19:]}"


def opened(path: Path) -> Any:
    """The bytes of a regular file, unpacked."""
    check_regular(path)
    packing = path.suffix.lower()
    if packing == ".gz":
        import gzip  # each of these is wanted by few files

        return gzip.open(path)
    if packing == ".bz2":
        import bz2

        return bz2.open(path)
    if packing == ".xz":
        import lzma

        return lzma.open(path)
    return path.open("rb")


class Lines:
    """The lines of a text file one by one, without their ends; `number` is that of the last one given, from 1 on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = 0
        self.whole = True  # whether the last line given had an end
        self._kept: list[str] = []
        self._stream = io.TextIOWrapper(opened(path), encoding="utf-8-sig", errors="replace")
        self._room = os.stat(path).st_size * _SHRINKS.get(path.suffix.lower(), 1)

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.take()
        if line is None:
            raise StopIteration
        return line

    def take(self) -> str | None:
        """The next line; None at the end of the file."""
        if self._kept:
            self.number += 1
            return self._kept.pop()
        try:
            line = self._stream.readline(_LONGEST_LINE)
        except Exception as error:  # each packer has errors of its own
            raise InputError(
                f"{self.path}: cannot be unpacked or read to its end after line {self.number} ({shown(error)}); the"
                " file is damaged or cut"
            ) from None
        if not line:
            return None
        self.number += 1
        self.whole = line.endswith("\n")
        if "\0" in line:
            self.fail("holds zero bytes; this is no text file of a structure")
        if not self.whole and len(line) >= _LONGEST_LINE:
            self.fail(f"is longer than {_LONGEST_LINE} characters; this is no text file of a structure")
        return line[:-1] if self.whole else line

    def back(self, line: str) -> None:
        """Give the last line once more."""
        self._kept.append(line)
        self.number -= 1

    def take_text(self) -> str | None:
        """The next line that is not blank."""
        for line in self:
            if line.strip():
                return line
        return None

    def need(self, what: str) -> str:
        """The next line, blank or not; an InputError that names what is missing where there is none."""
        line = self.take()
        if line is None:
            raise InputError(f"{self.path}: ends after line {self.number}, where {what} is missing; the file is cut")
        return line

    def fail(self, problem: str) -> NoReturn:
        """Refuse the last line given."""
        raise InputError(f"{self.path}: line {self.number}: {problem}")

    def fail_file(self, problem: str) -> NoReturn:
        """Refuse the file for what no single line says."""
        raise InputError(f"{self.path}: {problem}")

    def check_count(self, n: int) -> int:
        """A number of atoms that the last line announced, unless the whole file is too short for as many."""
        if n < 0:
            self.fail(f"announces {n} atoms; there must be at least 1")
        if n * _LEAST_BYTES > self._room + 64:
            self.fail(f"announces {n} atoms, for which the file is too short")
        return n

    def count(self, text: str) -> int:
        """A number of atoms, announced by a word of the last line given."""
        return self.check_count(self.whole_number(text, "a number of atoms"))

    def whole_number(self, text: str, what: str) -> int:
        """A word of the last line given as an integer."""
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            self.fail(f"{shown(text, _SHOWN)!r} is no whole number; {what} belongs there")
        return int(text)

    def numbers(self, words: Sequence[str], what: str) -> list[float]:
        """Words of the last line given as numbers."""
        return [self._number(word, what) for word in words]

    def _number(self, word: str, what: str) -> float:
        try:
            if "_" in word:
                raise ValueError
            return float(word)
        except ValueError:
            self.fail(f"{shown(word, _SHOWN)!r} is no number; {what} belongs there")

    def rows(self, n: int, width: int | None, what: str, most: int | None = None) -> list[list[str]]:
        """The words of the next n lines, one line per atom.

        Parameters
        ----------
        width : how many words a line must have; None: see the first
        what : how messages call such a line, such as "columns of an atom"
        most : how many words it may have; default: as many as it must
        """
        rows = []
        for k in range(n):
            line = self.take()
            if line is None:
                raise InputError(
                    f"{self.path}: ends after line {self.number} with {k} of the {n} atoms announced; the file is cut"
                )
            words = line.split()
            width = width or len(words)
            if len(words) < width or (len(words) > (most or width)):
                self.fail(
                    f"has {len(words)} words where {width} {what} belong (atom {k + 1} of the {n} announced):"
                    f" {shown(line, _SHOWN)!r}"
                )
            rows.append(words)
        return rows

    def table(self, rows: Sequence[Sequence[str]], columns: Sequence[int], what: str) -> NDArray[np.float64]:
        """Columns of the last lines given, (n, columns), as numbers."""
        picked = [[row[column] for column in columns] for row in rows]
        try:
            if any("_" in word for row in picked for word in row):
                raise ValueError
            return np.array(picked, dtype=np.float64).reshape(len(rows), len(columns))
        except ValueError:
            first = self.number - len(rows)
            for k, row in enumerate(picked):
                self.number = first + k + 1
                self.numbers(row, what)
            raise

    def check_cut(self, rows: Sequence[Sequence[str]]) -> None:
        """Refuse a file that ends inside the last number of its last atom.

        That is: without an end of line, and with fewer digits after the point than all others have in that column,
        where a program wrote as many for all; or with a word that no program writes.
        """
        if self.whole or not rows:
            return
        column = len(rows[-1]) - 1
        last = rows[-1][column]
        others = [len(row[column].partition(".")[2]) for row in rows[:-1] if len(row) > column]
        cut = last[-1:] in "eE+-." or (others and len(last.partition(".")[2]) < min(others) >= _FIXED_DIGITS)
        if cut:
            self.fail(f"the file ends inside the number {last!r}, without an end of line; it is cut")

    def check_end_of_line(self) -> None:
        """Refuse a file of a program that ends every line, where the last line given has no end."""
        if not self.whole and not self._kept:
            self.fail("the last line has no end of line; the file is cut, maybe inside a number")
