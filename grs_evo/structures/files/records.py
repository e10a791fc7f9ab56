"""What files in formats that ASE reads say by their records: how many atoms each structure has, and how many there are.

ASE's readers stop at a record that they do not understand, or pass over it, and a structure has fewer atoms without a
word. These formats announce no number; their records are counted here, and what ASE made is compared with that. A list
of atoms from which a whole line was removed is a sound list, unless numbers or ends of structures in the file say
otherwise.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from grs_evo.structures.files.text import Lines, shown

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?"
_THREE = re.compile(rf"\s*{_NUMBER}\s+{_NUMBER}\s+{_NUMBER}(?:\s|$)")
_BEGINS_BLOCK = re.compile(r"%block\s+positions_(?:frac|abs)\b", re.IGNORECASE)
_ENDS_BLOCK = re.compile(r"%endblock\b", re.IGNORECASE)
_PDB_PLACE = re.compile(r" *-?\d*\.\d{3,}")
_CHARGE = re.compile(r"\s*-?\d+[\s,]+\d+\s*$")
_SITE = re.compile(r"(?P<name>[A-Za-z]{1,2})[\d'\"]*[A-Za-z]?\s+\d+\s")
_RUNNER = ("comment", "lattice", "energy", "charge", "pbc")

# The number of atoms of each structure; None: this format's records do not tell it.
Counts = list[int | None]


def counts(path: Path, kind: str) -> Counts | None:
    """Atoms of each structure by the records of a file, in order; None where they do not tell, or it is not known how.

    Raises
    ------
    InputError
        A record that is none, or a structure without its end; it names the line.
    """
    if kind not in _COUNTERS:
        return None
    with Lines(path) as lines:
        return list(_COUNTERS[kind](lines)) or None


def _words_in(lines: Lines, line: str, least: int, what: str) -> None:
    if len(line.split()) < least:
        lines.fail(f"has {len(line.split())} words where {what} has {least}: {shown(line, 40)!r}")


def _vector(lines: Lines, line: str, allowed: tuple[int, ...] = (3,)) -> None:
    """Refuse a line of the cell that holds another number of numbers."""
    words = line.split()
    lines.numbers(words, "a number of the cell")
    if len(words) not in allowed:
        lines.fail(f"has {len(words)} numbers where the cell has {' or '.join(map(str, allowed))}: {shown(line, 40)!r}")


def _castep(lines: Lines) -> Iterator[int]:
    """castep-geom and castep-md: lines say what they are by ``<-- h`` (three of the cell), ``<-- R`` (positions), …"""
    found: list[Counter[str]] = []
    before, begun = "", False
    for line in lines:
        words, kind = line.split(), line.rpartition("<--")[2].strip() if "<--" in line else ""
        if not begun:
            begun = "END header" in line
        elif kind:
            if kind == "h" != before:
                found.append(Counter())
            if found:
                found[-1][kind] += 1
                if kind == "R":
                    _numbered(lines, words, found[-1])
            before = kind
        elif len(words) > 1:
            lines.fail(f"has no '<--' and what it holds: {shown(line, 40)!r}")
    for k, frame in enumerate(found):
        for kind, what in (("F", "forces"), ("V", "velocities")):
            if frame[kind] not in (0, frame["R"]):
                lines.fail_file(f"structure {k} has {frame['R']} positions and {frame[kind]} {what}; it is damaged")
        yield frame["R"]


def _numbered(lines: Lines, words: list[str], seen: Counter[str]) -> None:
    """Refuse an atom whose number, which counts those of its kind, does not follow the last one's."""
    label = f"atoms {words[0]}"
    seen[label] += 1
    if words[1].isdecimal() and int(words[1]) != seen[label]:
        lines.fail(f"is atom {words[1]} of {words[0]}, and {seen[label] - 1} came before; one is lost")


def _dmol(lines: Lines) -> Iterator[int]:
    """dmol-car and dmol-arc: ``!DATE``, the cell, the atoms of molecule after molecule with ``end`` each, ``end``."""
    n, open_, before = 0, False, ""
    for line in lines:
        word = line.split()[0] if line.strip() else ""
        if word == "!DATE":
            if open_:
                lines.fail("begins a structure before the last one has its end")
            n, open_ = 0, True
        elif word == "end" and before == "end" and open_:
            open_ = False
            yield n
        elif word == "PBC" and not open_:
            lines.fail("is a cell of no structure, which begins with !DATE")
        elif open_ and word not in ("end", "PBC"):
            _words_in(lines, line, 8, "an atom")
            n += 1
        before = word
    if open_:
        lines.fail_file("ends inside a structure; the file is cut")


def _between(
    begins: str, ends: str, least: int, cell: str = "", sizes: tuple[int, ...] = (3,)
) -> Callable[[Lines], Iterator[int]]:
    """Formats whose atoms are the lines between two words, and the cell's vectors those after a third one."""

    def counted(lines: Lines) -> Iterator[int]:
        n, inside, found, of_cell = 0, False, False, False
        for line in lines:
            text = line.strip()
            if of_cell and re.match(r"[-+.\d]", text):
                _vector(lines, text, sizes)
                continue
            of_cell = bool(cell) and text.lower().startswith(cell)
            if inside and text.lower().startswith(ends):
                inside = False
            elif inside and text and not text.startswith("#"):
                _words_in(lines, line, least, "an atom")
                n += 1
            elif not inside and text.lower().startswith(begins):
                inside = found = True
        if inside:
            lines.fail_file("ends inside the list of atoms; the file is cut")
        if found:
            yield n

    return counted


def _positions_block(lines: Lines) -> Iterator[int]:
    """castep-cell and onetep-in: the lines of the block of positions, but for one that names the unit."""
    n, inside, found = 0, False, False
    for line in lines:
        text = re.split(r"[#!;]", line)[0].strip()
        if _ENDS_BLOCK.match(text):
            inside = False
        elif inside and len(text.split()) > 1:
            _words_in(lines, text, 4, "an atom")
            n += 1
        elif _BEGINS_BLOCK.match(text):
            inside = found = True
    if inside:
        lines.fail_file("ends inside the block of positions; the file is cut")
    if found:
        yield n


def _led_by(word: str, least: int) -> Callable[[Lines], Iterator[int]]:
    """Formats in which each atom's line begins with a word."""

    def counted(lines: Lines) -> Iterator[int]:
        n = 0
        for line in lines:
            if line.split()[:1] and line.split()[0].lower().startswith(word):
                _words_in(lines, line, least, "an atom")
                n += 1
        yield n

    return counted


def _gaussian(lines: Lines) -> Iterator[int]:
    """Gaussian inputs: from charge and multiplicity to the next blank line."""
    n, inside = 0, False
    for line in lines:
        if inside and not line.strip():
            yield n
            return
        if inside:
            lattice = line.split()[0].upper() == "TV"
            _words_in(lines, line.replace(",", " "), 4 if lattice or n == 0 or "." in line else 2, "an atom or vector")
            n += not lattice
        inside = inside or bool(_CHARGE.match(line))
    if inside:
        yield n


def _nwchem(lines: Lines) -> Iterator[int]:
    """NWChem inputs: the lines of the geometry, but for those of its keywords and of what describes the cell."""
    blocks: list[str] = []
    n, found = 0, False
    for line in lines:
        words = line.split("#")[0].lower().split()
        if not words:
            continue
        if words[0] == "end":
            blocks = blocks[:-1]
        elif words[0] in ("geometry", "system", "zmatrix") and (blocks or words[0] == "geometry"):
            blocks.append(words[0])
            found = True
            if words[0] == "zmatrix":
                return
        elif blocks[-1:] == ["geometry"] and len(words) > 1 and re.match(_NUMBER, words[1]):
            _words_in(lines, line, 4, "an atom")
            n += 1
        elif blocks[-1:] == ["system"] and re.match(_NUMBER, words[0]) and not _THREE.match(line):
            lines.fail(f"is no vector of the cell: {shown(line, 40)!r}")
    if found:
        yield n


def _res(lines: Lines) -> Iterator[int]:
    """SHELX: a label that is an element's, the number of its scattering factor, three coordinates, an occupancy."""
    from ase.data import atomic_numbers  # takes a while, and most files are of other kinds

    n, ended = 0, False
    for line in lines:
        ended = ended or line.split()[:1] in (["END"], ["end"], ["End"])
        match = _SITE.match(line)
        if match is None or match["name"].capitalize() not in atomic_numbers:
            continue
        _words_in(lines, line, 5, "an atom")
        n += 1
    if not ended:
        lines.fail_file("ends without its END; the file is cut")
    yield n


def _v_sim(lines: Lines) -> Iterator[int]:
    """V_Sim: a comment, two lines of the cell, the atoms; comments in between begin with # or !."""
    n = 0
    for line in lines:
        if lines.number > 3 and line.strip() and line.lstrip()[0] not in "#!":
            if not _THREE.match(line) or len(line.split()) < 4:
                lines.fail(f"is no atom, which has three coordinates and an element: {shown(line, 40)!r}")
            n += 1
    yield n


def _magres(lines: Lines) -> Iterator[int]:
    """magres: atoms of each kind are numbered from 1 on."""
    seen: Counter[str] = Counter()
    for line in lines:
        words = line.split()
        if words[:1] == ["atom"]:
            _words_in(lines, line, 7, "an atom")
            _numbered(lines, words[2:4], seen)
    yield sum(seen.values())


def _pdb(lines: Lines) -> Iterator[int]:
    """Protein data bank: records are known by their first word; models have an end, and NUMMDL may say how many."""
    n = models = announced = 0
    inside = False
    for line in lines:
        name = line[:6].strip()
        if name == "NUMMDL":
            announced = lines.count(line[6:].strip())
        elif name == "MODEL":
            if inside:
                lines.fail("begins a model before the last one has its ENDMDL")
            n, inside, models = 0, True, models + 1
        elif name in ("ATOM", "HETATM"):
            if not _has_pdb_place(line):
                lines.fail(f"has no coordinates in its columns 31 to 54: {shown(line, 60)!r}")
            n += 1
        elif name == "ENDMDL":
            if models and not inside:
                lines.fail("ends a model that was not begun")
            yield n
            n, inside = 0, False
        elif name not in ("SIGATM", "ANISOU") and _has_pdb_place(line):
            lines.fail(f"has the coordinates of an atom and is no ATOM or HETATM: {shown(line, 40)!r}")
    if inside:
        lines.fail_file("ends inside a model, without its ENDMDL; the file is cut")
    if announced not in (0, models):
        lines.fail_file(f"announces {announced} models and has {models}; the file is cut or damaged")
    if n:
        yield n


def _has_pdb_place(line: str) -> bool:
    return all(_PDB_PLACE.fullmatch(line[start : start + 8]) for start in (30, 38, 46))


def _runner(lines: Lines) -> Iterator[int]:
    """RuNNer: structures from ``begin`` to ``end``, each line with a word of its own."""
    n, inside = 0, False
    for line in lines:
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "begin" and not inside:
            n, inside = 0, True
        elif words[0] == "end" and inside:
            inside = False
            yield n
        elif words[0] == "atom" and inside:
            _words_in(lines, line, 5, "an atom")
            n += 1
        elif not inside or words[0] not in _RUNNER:
            lines.fail(f"belongs to no structure, from begin to end, or is no record of one: {shown(line, 40)!r}")
    if inside:
        lines.fail_file("ends inside a structure, without its end; the file is cut")


def _jsv(lines: Lines) -> Iterator[int]:
    """jsv: as many atoms as announced, each with a label, an atomic number and three coordinates."""
    n = 0
    for line in lines:
        words = line.split()
        if words[:1] == ["[natom]"] and len(words) > 1:
            n = lines.count(words[1])
        elif words[:1] == ["[atoms]"]:
            lines.table(lines.rows(n, 5, "words of an atom", 9), (2, 3, 4), "a coordinate")
    yield from ()


def _gromacs(lines: Lines) -> Iterator[int]:
    """GROMACS: the last line is the cell, three or nine numbers."""
    last = ""
    for line in lines:
        last = line if line.strip() else last
    _vector(lines, last, (3, 9))
    yield from ()


def _dlp4(lines: Lines) -> Iterator[int]:
    """DL_POLY: a title, the kind of the cell, three lines of it unless there is none; then the atoms."""
    lines.need("a title")
    words = lines.need("the kind of the cell").split()
    for _ in range(3 if len(words) > 1 and words[1] != "0" else 0):
        _vector(lines, lines.need("a vector of the cell"))
    yield from ()


def _eon(lines: Lines) -> Iterator[int]:
    """EON: the atoms of each component have three coordinates, whether they are fixed, and their number."""
    inside = False
    for line in lines:
        if line.startswith("Coordinates of Component"):
            inside = True
        elif inside and re.match(rf"\s*{_NUMBER}\s+{_NUMBER}", line):
            if len(line.split()) not in (1, 5, 6):
                lines.fail(f"is no atom, which has three coordinates, a mark and a number: {shown(line, 40)!r}")
        else:
            inside = False
    yield from ()


def _xsf(lines: Lines) -> Iterator[int | None]:
    """XCrySDen: each PRIMCOORD is followed by its number of atoms; a list under ATOMS has none."""
    for line in lines:
        if line.split()[:1] == ["PRIMCOORD"]:
            words = lines.need("the number of atoms").split()
            yield lines.count(words[0] if words else "")
        elif line.split()[:1] == ["ATOMS"]:
            yield None


_COUNTERS: dict[str, Callable[[Lines], Iterator[int] | Iterator[int | None]]] = {
    "aims": _led_by("atom", 5),
    "castep-cell": _positions_block,
    "castep-geom": _castep,
    "castep-md": _castep,
    "dmol-arc": _dmol,
    "dmol-car": _dmol,
    "dlp4": _dlp4,
    "dmol-incoor": _between("$coordinates", "$end", 4, "$cell"),
    "eon": _eon,
    "gaussian-in": _gaussian,
    "gromacs": _gromacs,
    "gromos": _between("position", "end", 7, "box", (3, 9)),
    "jsv": _jsv,
    "magres": _magres,
    "nwchem-in": _nwchem,
    "onetep-in": _positions_block,
    "proteindatabank": _pdb,
    "res": _res,
    "runnerdata": _runner,
    "sys": _led_by("atom", 6),
    "turbomole": _between("$coord", "$", 4),
    "v-sim": _v_sim,
    "xsf": _xsf,
}
