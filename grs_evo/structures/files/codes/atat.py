"""ATAT's structures (bestsqs.out of mcsqs, str.out) and random structures (rndstr.in)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from grs_evo.structures.files.elements import check_symbols
from grs_evo.structures.files.occupancy import Occupants
from grs_evo.structures.files.text import Lines, shown

# How ATAT calls a site without an atom.
_VACANCY = "Vac"


def frames(lines: Lines, named: bool) -> Iterator[Callable[[], Any]]:
    """What makes the ase.Atoms of the file, periodic; sites of several elements carry them as occupancies.

    A coordinate system, three vectors or a b c α β γ, is followed by three cell vectors and the sites in it. Sites of
    several elements are written ``Au=0.25,Cu=0.75``; without numbers, as in lattices, ``Au,Cu`` are equal shares.

    Raises
    ------
    InputError
        Anything else.
    """
    line = lines.take_text()
    if line is None:
        return
    words = line.split()
    if len(words) == 6:
        import ase.geometry

        to_cell: Any = ase.geometry.cellpar_to_cell
        axes = np.array(to_cell(lines.numbers(words, "a length or angle of the coordinate system")))
    else:
        lines.back(line)
        axes = np.array([_vector(lines, "a vector of the coordinate system") for _ in range(3)])
    cell = np.array([_vector(lines, "a cell vector") for _ in range(3)]) @ axes
    places, occupants = [], []
    while (line := lines.take_text()) is not None:
        words = line.split()
        if len(words) < 4:
            lines.fail(f"{shown(line, 40)!r} is no site; three coordinates and its element belong there")
        places.append(lines.numbers(words[:3], "a coordinate"))
        occupants.append(_occupants(lines, "".join(words[3:])))
    if not places:
        lines.fail_file("ends without a site; the file is cut")
    lines.check_end_of_line()
    yield lambda: _atoms(np.array(places) @ axes, cell, occupants)


def _vector(lines: Lines, what: str) -> list[float]:
    words = lines.need(what).split()
    if len(words) != 3:
        lines.fail(f"{what}, three numbers, belongs there")
    return lines.numbers(words, what)


def _occupants(lines: Lines, text: str) -> Occupants:
    parts = [part.partition("=") for part in text.split(",")]
    names = [re.sub(r"[+-]?\d*[+-]?$", "", name) for name, _, _ in parts]  # without charges
    check_symbols([name for name in names if name != _VACANCY], f"{lines.path}: line {lines.number}")
    if len(set(names)) != len(names):
        lines.fail(f"{shown(text, 40)!r} names an element twice")
    given = [share for _, _, share in parts if share]
    if given and len(given) != len(parts):
        lines.fail(f"{shown(text, 40)!r} gives a share to some elements only")
    shares = lines.numbers(given, "the share of an element") if given else [1.0 / len(parts)] * len(parts)
    if min(shares) < 0.0 or abs(sum(shares) - 1.0) > 1e-3:
        lines.fail(f"the shares {shown(text, 40)!r} do not add up to 1")
    return {name: share for name, share in zip(names, shares, strict=True) if name != _VACANCY}


def _atoms(positions: Any, cell: Any, occupants: Sequence[Occupants]) -> Any:
    from ase import Atoms

    filled = [k for k, one in enumerate(occupants) if one]
    positions, occupants = positions[filled], [occupants[k] for k in filled]
    symbols = [max(one, key=lambda symbol: one[symbol]) for one in occupants]
    info = (
        {}
        if all(list(one.values()) == [1.0] for one in occupants)
        else {"occupancy": {str(k): o for k, o in enumerate(occupants)}}
    )
    return Atoms(symbols=symbols, positions=positions, cell=cell, pbc=True, info=info)
