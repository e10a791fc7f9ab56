"""Cells of other shapes beside a lattice's one: where occupations may keep more symmetry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError, within
from grs_evo.search.candidates.lattices.supercells import build, most_symmetric
from grs_evo.search.candidates.source import CandidateOptions
from grs_evo.structures.structure import Structure
from grs_evo.structures.symmetry import rotations

# Whole numbers in fractional coordinates are told to this.
_WHOLE = 1e-6


class Parent(NamedTuple):
    """The cell whose repetitions candidates are."""

    cell: NDArray[np.float64]  # (3, 3) Å
    sites: NDArray[np.float64]  # (n, 3) fractional
    kinds: NDArray[np.int64] | None  # (n,) sites that symmetry must tell apart
    pbc: NDArray[np.bool_]  # (3,)


def scaled(structure: Structure, total: float) -> Structure:
    """The structure with a volume of `total` Å³."""
    factor = (total / structure.volume) ** (1 / 3)
    return structure.replace(positions=structure.positions * factor, cell=structure.cell * factor)


def shapes_of(
    options: CandidateOptions, parent: Parent | None, templates: Sequence[Structure], on_sites: bool, where: str
) -> tuple[Structure, ...]:
    """The cells of `options.shapes`, of as many sites as the one template, which is not among them.

    Raises
    ------
    InputError
        There is no one cell of a lattice, sites of it are held by their number, or atoms move; vectors of another
        number of sites.
    """
    if options.shapes is None:
        return ()
    if parent is None or len(templates) != 1 or not parent.pbc.all():
        raise InputError(
            f'{where}.shapes: needs one periodic cell of a lattice: kind "lattice", or "supercells" with compact = 1'
        )
    if options.pinned or options.fixed:
        raise InputError(f"{where}.shapes: pinned and fixed hold sites of one cell by their number; give one of these")
    if not on_sites:
        raise InputError(f"{where}.shapes: needs atoms that stay on their sites, without rattle and [relax]")
    own = templates[0]
    volume = own.n_atoms // len(parent.sites)
    if isinstance(options.shapes, int):
        with within(f"{where}.shapes"):
            operations = rotations(parent.cell, parent.sites, parent.kinds)
            forms = most_symmetric(parent.cell, volume, options.shapes, operations)
    else:
        forms = np.array(options.shapes, np.int64)
        found = np.rint(np.linalg.det(forms.astype(np.float64))).astype(int).tolist()
        for k, one in enumerate(found):
            if abs(one) != volume:
                raise InputError(
                    f"{where}.shapes[{k}]: has {abs(one) * len(parent.sites)} sites ({abs(one)} parent cells); "
                    f"the other candidates have {own.n_atoms} ({volume})"
                )
    # of the volume that a given number density wants
    made = (scaled(build(parent.cell, parent.sites, form), own.volume) for form in forms)
    inverse = np.linalg.inv(own.cell)
    return tuple(one for one in made if np.abs((whole := one.cell @ inverse) - np.rint(whole)).max() > _WHOLE)
