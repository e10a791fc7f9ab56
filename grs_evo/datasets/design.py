"""What a structure contributes to the fit of a linear potential E = Σ_i c·B_i: its energy row and its force rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.descriptors.basis import Basis, build_basis
from grs_evo.descriptors.describe import gradients
from grs_evo.descriptors.options import default_cutoffs
from grs_evo.errors import InputError
from grs_evo.observables.counting.cutoffs import shell_cutoffs
from grs_evo.structures.molecules.kinds import find_molecules
from grs_evo.structures.neighbours import check_reach, neighbours
from grs_evo.structures.structure import Structure

# Radial functions and highest l for ranks 1, 2, 3 of the model that sets are judged by, from rich to plain; the first
# whose number of functions a fit to some thousand rows bears is taken.
_LIMITS = (((10, 5, 3), (0, 4, 2)), ((10, 4, 2), (0, 3, 2)), ((8, 3, 1), (0, 2, 1)), ((6, 2), (0, 2)))
MOST_FUNCTIONS = 400
# Cutoff over the median distance to the nearest neighbour: between the second and the third shell of most structures.
_REACH = 2.0
_SAMPLE = 200  # structures that the median distance is taken from


class DesignRows(NamedTuple):
    """Rows of the linear model of one structure; columns are those of `basis`, element after element."""

    energy: NDArray[np.float64]  # (n_desc,) descriptors' mean over the atoms
    forces: NDArray[np.float64]  # (3 n_atoms, n_desc) -d(Σ_i B_i)/dR, 1/Å
    composition: NDArray[np.float64]  # (n_elements,) fractions


def design_rows(structure: Structure, basis: Basis, source: str = "structure") -> DesignRows:
    """Energy and force rows of a structure (method §11).

    Raises
    ------
    InputError
        As `descriptors.describe`.
    """
    sums, slopes = gradients(structure, basis, source=source)
    counts = structure.counts(len(basis.elements))
    return DesignRows(sums / structure.n_atoms, -slopes.reshape(len(slopes), -1).T, counts / max(1, structure.n_atoms))


def model_basis(
    elements: Sequence[str],
    structures: Sequence[Structure],
    cutoff: float | None = None,
    most: int = MOST_FUNCTIONS,
) -> Basis:
    """A basis for a linear potential of these structures: all pairs to `cutoff` Å, or twice the usual nearest distance.

    Where they consist of molecules the nearest distance is a bond, and twice of it ends before the next molecule: each
    pair then has a cutoff between shells near the sum of the van der Waals diameters, as a search takes it. Ranks to 3
    where few elements allow it, so that no more than `most` coefficients have to be found.

    Raises
    ------
    InputError
        No two atoms are near each other in any of the structures; a cutoff with thousands of neighbours within.
    """
    if cutoff is not None:
        for one in structures:
            check_reach(one, cutoff, "a structure", "cutoff")
    cutoffs = _reach(elements, structures[:: max(1, len(structures) // _SAMPLE)]) if cutoff is None else cutoff
    for n_max, l_max in _LIMITS:
        made = build_basis(list(elements), n_max, l_max, cutoffs)
        if made.n_desc <= most:
            break
    return made


def _reach(elements: Sequence[str], structures: Sequence[Structure]) -> float | NDArray[np.float64]:
    """Å, one cutoff, or (n_el, n_el) of structures that consist of molecules."""
    nearest = [d for one in structures if (d := _nearest(one)) is not None]
    if not nearest:
        raise InputError("no two atoms of the structures are within 10 Å of each other; give a cutoff")
    if find_molecules(structures, elements).kinds:
        return shell_cutoffs(structures, default_cutoffs(elements))[1]
    return round(_REACH * float(np.median(nearest)), 2)


def _nearest(structure: Structure) -> float | None:
    """Å, the median over atoms of the distance to the nearest other one; None where there is none."""
    for reach in (3.5, 5.0, 10.0):
        found: Any = neighbours(structure, reach)
        if len(found.distances) == 0:
            continue
        least = np.full(structure.n_atoms, np.inf)
        np.minimum.at(least, found.first, found.distances)
        if np.isfinite(least).mean() > 0.5:
            return float(np.median(least[np.isfinite(least)]))
    return None
