"""VASP's POSCAR and CONTCAR, one after the other where a file holds several, and XDATCAR."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from grs_evo.errors import InputError
from grs_evo.structures.files.elements import check_symbols
from grs_evo.structures.files.text import Lines, shown

# Lines of a header, as far as they are looked at to tell one from velocities.
_HEADER = 8


class _Named(io.StringIO):
    """A text with the name of the file it comes from: ASE looks for POTCAR and OUTCAR beside it."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self.name = name


def poscar_frames(lines: Lines, named: bool) -> Iterator[Callable[[], Any]]:
    """What makes the ase.Atoms of each structure; velocities and what else VASP adds are read over.

    Raises
    ------
    InputError
        Fewer or more atoms than announced, an element behind an atom that is not the announced one, and all that is no
        number.
    """
    text = lines.take()
    while text is not None:
        chunk = [text]
        scale = lines.need("the scaling factor")
        chunk.append(scale)
        if len(_numbers(scale)) not in (1, 3):
            lines.fail(f"{shown(scale, 40)!r} is no scaling factor; one number, or three, belongs there")
        for _ in range(3):
            line = lines.need("a cell vector")
            lines.numbers((line.split() + ["nothing"] * 3)[:3], "a cell vector")
            chunk.append(line)
        symbols, counts = _species(lines, chunk)
        mode = lines.need("Direct or Cartesian")
        chunk.append(mode)
        selective = mode.strip()[:1] in ("s", "S")
        if selective:
            mode = lines.need("Direct or Cartesian")
            chunk.append(mode)
        if not mode.strip()[:1].isalpha():
            lines.fail(f"{shown(mode, 40)!r} is neither Direct nor Cartesian")
        n = lines.check_count(sum(counts))
        rows = []
        of = [symbol for symbol, count in zip(symbols, counts, strict=True) for _ in range(count)] if symbols else []
        for k in range(n):
            words = lines.need(f"an atom ({k} of the {n} announced are in front of it)").split()
            if len(words) < (6 if selective else 3):
                lines.fail(f"{shown(' '.join(words), 40)!r} is no atom; {n} are announced and {k} are in front of it")
            lines.numbers(words[:3], "a position")
            _check_named(lines, words[6 if selective else 3 :], of[k] if of else None)
            rows.append(words[:3])
            chunk.append(" ".join(words))
        lines.check_cut([] if selective else rows)
        body = "\n".join(chunk) + "\n"
        yield lambda body=body: _read(body, "vasp", str(lines.path))  # type: ignore[misc]
        text = _after_atoms(lines, n)


def _species(lines: Lines, chunk: list[str]) -> tuple[list[str], list[int]]:
    """Elements, where the line above the counts has them, and counts."""
    line = lines.need("the elements or their numbers of atoms")
    chunk.append(line)
    words = line.partition("!")[0].split()
    symbols: list[str] = []
    if words and not re.fullmatch(r"[+-]?\d+", words[0]):
        symbols = [re.split(r"[/_]", word)[0] for word in words]
        check_symbols(symbols, f"{lines.path}: line {lines.number}")
        line = lines.need("the numbers of atoms")
        chunk.append(line)
        words = line.partition("!")[0].split()
    counts = [lines.count(word) for word in words]
    if not counts or (symbols and len(counts) != len(symbols)):
        lines.fail(f"has {len(counts)} numbers of atoms for {len(symbols) or 'no'} elements")
    if not any(counts):
        lines.fail("announces 0 atoms; a structure needs at least one")
    return symbols, counts


def _check_named(lines: Lines, behind: Sequence[str], symbol: str | None) -> None:
    """Refuse an atom that is another element than the header says."""
    from ase.data import atomic_numbers

    if symbol is None or len(behind) != 1:
        return
    word = behind[0]
    if word != symbol and atomic_numbers.get(word, 0) > 0:
        lines.fail(f"the atom is called {word}, but by the numbers of atoms above it is {symbol}")


def _after_atoms(lines: Lines, n: int) -> str | None:
    """Read over velocities and the like; the first line of the next structure, or None at the end of the file."""
    rest: list[tuple[int, str]] = []
    while (line := lines.take()) is not None:
        rest.append((lines.number, line))
        if len(rest) >= _HEADER and _is_header([text for _, text in rest[-_HEADER:]]):
            break
    end = line is None
    extra = rest if end else rest[:-_HEADER]
    _check_extra(lines, extra, n)
    if end:
        return None
    for _, text in reversed(rest[-_HEADER:]):
        lines.back(text)
    return lines.take()


def _is_header(rows: Sequence[str]) -> bool:
    """Whether eight lines are the beginning of a POSCAR."""
    if len(_numbers(rows[1])) not in (1, 3) or any(len(_numbers(row)) < 3 for row in rows[2:5]):
        return False
    after = rows[5:]
    if not _are_counts(after[0]):
        after = after[1:]
    return _are_counts(after[0]) and after[1].strip()[:1].isalpha()


def _are_counts(line: str) -> bool:
    words = line.partition("!")[0].split()
    return bool(words) and all(word.isdecimal() for word in words)


def _check_extra(lines: Lines, rest: Sequence[tuple[int, str]], n: int) -> None:
    """Refuse what is neither lattice velocities, velocities, nor the predictor and corrector of VASP."""
    left = list(rest)
    while left and not left[-1][1].strip():
        left.pop()
    if left and left[0][1].strip()[:1] in ("l", "L"):
        left = left[8:]
    if left and (not left[0][1].strip() or left[0][1].strip()[:1].isalpha()):
        block = left[1 : 1 + n]
        if len(block) == n and all(len(_numbers(text)) >= 3 for _, text in block):
            left = left[1 + n :]
        if not left:
            return
        if not left[0][1].strip():
            head = [text.split() for _, text in left[1:4]]
            numeric = all(_numbers(text) for _, text in left[1:])
            grid = bool(head) and len(head[0]) == 3 and all(word.isdecimal() for word in head[0])
            if numeric and (len(left) == 4 + 3 * n or grid):
                return
    if left:
        at, text = next(((at, text) for at, text in left if text.strip()), left[0])
        lines.number = at
        lines.fail(f"{shown(text, 40)!r} does not belong behind the {n} atoms announced")


def _numbers(line: str) -> list[float]:
    """The numbers that a line begins with."""
    found: list[float] = []
    for word in line.split():
        try:
            found.append(float(word))
        except ValueError:
            break
    return found


def xdatcar_frames(lines: Lines, named: bool) -> Iterator[Callable[[], Any]]:
    """What makes the ase.Atoms of each configuration; a header may come again, with another cell.

    Raises
    ------
    InputError
        Fewer or more atoms than announced, something else than a header or a configuration, no header.
    """
    symbols: list[str] = []
    cell = np.zeros((3, 3))
    while (line := lines.take_text()) is not None:
        if "configuration=" not in line.replace(" =", "="):
            scale = _numbers(lines.need("the scaling factor"))
            if len(scale) != 1:
                lines.fail(f"{shown(line, 40)!r} begins neither a configuration ('Direct configuration=') nor a header")
            vectors = []
            for _ in range(3):
                words = lines.need("a cell vector").split()
                if len(words) != 3:
                    lines.fail("three numbers of a cell vector belong there")
                vectors.append(lines.numbers(words, "a cell vector"))
            cell = np.array(vectors) * scale[0]
            kinds, counts = _species(lines, [])
            if not kinds:
                lines.fail("the line with the elements is missing above the numbers of atoms")
            lines.check_count(sum(counts))
            symbols = [kind for kind, count in zip(kinds, counts, strict=True) for _ in range(count)]
            line = lines.need("'Direct configuration='")
            if "configuration=" not in line.replace(" =", "="):
                lines.fail(f"{shown(line, 40)!r} is no 'Direct configuration=', which belongs there")
        if not symbols:
            lines.fail("a configuration without a header in front of it")
        if not line.strip().lower().startswith("d"):
            lines.fail(f"{shown(line, 40)!r}: only Direct configurations are read")
        rows = lines.rows(len(symbols), 3, "numbers of an atom")
        lines.check_cut(rows)
        yield lambda r=rows, s=symbols, c=cell: _xdatcar_atoms(lines, r, s, c)  # type: ignore[misc]


def _xdatcar_atoms(lines: Lines, rows: Sequence[Sequence[str]], symbols: Sequence[str], cell: Any) -> Any:
    from ase import Atoms

    atoms: Any = Atoms(symbols, cell=cell, pbc=True)
    atoms.set_scaled_positions(lines.table(rows, [0, 1, 2], "a position"))
    return atoms


def gen_frames(lines: Lines, named: bool) -> Iterator[Callable[[], Any]]:
    """What makes the ase.Atoms of each structure of a file in DFTB+'s GEN format, one after the other.

    Raises
    ------
    InputError
        Fewer or more atoms than announced, a species that is not listed, and all that is no number.
    """
    while (line := lines.take_text()) is not None:
        words = line.split()
        if len(words) < 2 or not words[0].isdecimal() or words[1] not in ("C", "S", "F"):
            lines.fail(f"{shown(line, 40)!r} is no number of atoms and C, S or F, which a GEN structure begins with")
        n = lines.count(words[0])
        species = lines.need("the species").split()
        check_symbols([re.split(r"\d", one)[0] for one in species], f"{lines.path}: line {lines.number}")
        chunk = [line, " ".join(species)]
        rows = lines.rows(n, 5, "columns of an atom", 99)
        first = lines.number - n
        for k, row in enumerate(rows):
            lines.number = first + k + 1
            if not 1 <= lines.whole_number(row[1], "the number of a species") <= len(species):
                lines.fail(f"the atom is of species {row[1]}, but {len(species)} are listed")
            lines.numbers(row[2:5], "a position")
            chunk.append(" ".join(row))
        if words[1] == "C":
            lines.check_cut(rows)
        else:
            vectors = []
            for _ in range(4):
                vectors.append(lines.need("a cell vector").split())
                if len(vectors[-1]) != 3:
                    lines.fail(f"three numbers of a cell vector belong behind the {n} atoms announced")
                lines.numbers(vectors[-1], "a cell vector")
            lines.check_cut(vectors)
            chunk += [" ".join(row) for row in vectors]
        body = "\n".join(chunk) + "\n"
        yield lambda body=body: _read(body, "gen", str(lines.path))  # type: ignore[misc]


def _read(body: str, format: str, name: str) -> Any:
    from ase.io import ParseError, read

    try:
        return read(_Named(body, name), format=format)
    except ParseError:
        raise InputError(
            f"{name}: does not tell its elements; write them in a line above the numbers of atoms, as VASP 5 does"
        ) from None
