"""A target, counted once, with what is wrong with it: what structures are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from grs_evo.kernels.observables.cell_list import cell_list
from grs_evo.kernels.observables.pairs import close_pairs
from grs_evo.observables.cells.molecules import covalent_sums, kinds_of
from grs_evo.observables.counting.survey import FINE, Survey, survey
from grs_evo.observables.given import structures_of
from grs_evo.structures.structure import Structure
from grs_evo.structures.symmetry import ask_spglib
from grs_evo.text import counted

# Contacts so many spreads below the usual one of their structure, and by this share, are faults of the target.
_SPREADS = 6.0
_SHARE = 0.85
_CROWDED = 0.8  # of the sum of covalent radii: what is farther apart may be a bond that is rare
_RARE = 0.1  # what more of the atoms show is no fault but what the target is like
_ENOUGH = 30  # atoms with such a contact, to know what is usual
# Distances of atoms on sites fill few of the bins that those of displaced atoms would fill.
_FILLED = 0.25
_WELL_SAMPLED = 5.0  # pairs per bin
_SYMPREC = 1e-3  # Å
_LOOKED_AT = 3  # structures whose symmetry is looked at


@dataclass(frozen=True, eq=False)
class Reference:
    """A target that structures can be compared with, any number of times."""

    survey: Survey
    exact: bool  # atoms stand on sites without any displacement
    torn: NDArray[np.float64]  # (n_el, n_el) Å, contacts below are faults of the target; 0 where there are none
    notes: tuple[str, ...]  # what is wrong with the target, a line each

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols in the order of species."""
        return self.survey.elements


def describe_target(
    structures: Any,
    elements: Sequence[str] | None = None,
    reach: float | None = None,
    seed: int = 0,
    centres: Sequence[NDArray[np.int64]] = (),
) -> Reference:
    """Count a target's pairs and environments, once for all comparisons.

    Parameters
    ----------
    structures, elements, reach : as for `observe`
    seed : which environments of a large target are drawn from
    centres : of each structure the numbers of the atoms whose environments are counted; none: of all atoms

    Raises
    ------
    InputError
        There is no structure, or one that is unsound.
    """
    symbols, found = structures_of(structures, elements, "target")
    with threadpool_limits(1):  # as in `quality.compare`
        return _described(survey(found, symbols, reach, seed=seed, centres=centres))


def _described(result: Survey) -> Reference:
    """What was counted of a target, with its faults."""
    torn, notes = _faults(result)
    if not result.histogram.any():
        notes = [
            f"target: no two atoms are within {result.reach:g} Å of each other; there are no pairs, contacts or angles "
            "to compare"
        ]
    kinds = kinds_of(result)
    if kinds:
        notes += _broken(result, kinds)
    return Reference(result, _on_sites(result), torn, tuple(notes))


def _usual(nearest: NDArray[np.float32]) -> float:
    """Å below which a contact of one structure is a fault; 0 where too few are known."""
    known = nearest[np.isfinite(nearest)]
    if len(known) < _ENOUGH:
        return 0.0
    quarter, half = np.quantile(known, [0.25, 0.5])
    limit = min(half - _SPREADS * (half - quarter) / 0.674, _SHARE * half)
    return float(limit) if (known < limit).mean() < _RARE else 0.0


def _faults(found: Survey) -> tuple[NDArray[np.float64], list[str]]:
    """Limits of contacts that cannot be, and a line that says how many there are, and where."""
    n_el = found.n_elements
    numbers = found.counts.sum(axis=1)
    ends = np.cumsum(numbers)
    limits = np.zeros((n_el, n_el))
    crowded = _CROWDED * covalent_sums(found.elements)
    pairs, at_seam, faulty = 0, np.zeros(3, np.int64), 0
    shortest = np.inf
    for structure, frame in zip(found.kept, found.kept_frames, strict=True):
        own = slice(int(ends[frame] - numbers[frame]), int(ends[frame]))
        nearest, kinds = found.nearest[own], found.kinds[own]
        here = np.array([[_usual(nearest[kinds == a, b]) for b in range(n_el)] for a in range(n_el)])
        here = np.minimum(np.where(np.minimum(here, here.T) > 0, np.maximum(here, here.T), 0.0), crowded)
        low = nearest < here[kinds]
        if not low.any():
            continue
        cells = cell_list(structure.positions, structure.cell, structure.species, structure.pbc, float(here.max()))
        number, beside = close_pairs(cells, here)
        pairs, at_seam, faulty = pairs + number, at_seam + beside, faulty + 1
        shortest = min(shortest, float(nearest[low].min()))
        limits = np.maximum(limits, here)
    if not pairs:
        return limits, []
    return limits, [_fault_line(found, pairs, at_seam, faulty, shortest, limits)]


def _fault_line(
    found: Survey, pairs: int, at_seam: NDArray[np.int64], faulty: int, shortest: float, limits: NDArray[np.float64]
) -> str:
    where = ""
    axis = int(np.argmax(at_seam))
    if at_seam[axis] > 0.8 * pairs:
        share = "all" if at_seam[axis] == pairs else f"{at_seam[axis]} of them"
        where = f", {share} where the cell is joined along {'abc'[axis]}: it is torn there"
    several = f" in {counted(faulty, 'structure')}" if found.n_structures > 1 else ""
    least, most = limits[limits > 0].min(), limits.max()
    below = f"{least:.2f} Å" if most - least < 0.05 else f"{least:.2f} to {most:.2f} Å, by the pair"
    return (
        f"target: {counted(pairs, 'pair')} of atoms nearer than {below}, the nearest at {shortest:.2f}{several}"
        f"{where}; such contacts are not taken for the target's"
    )


def _broken(found: Survey, kinds: tuple[str, ...]) -> list[str]:
    from grs_evo.observables.cells.molecules import OBSERVABLE

    groups = OBSERVABLE.measure(found)
    others = {f: n for f, n in groups["groups"].items() if f not in kinds}
    endless = groups["atoms_in_endless_groups"]
    if not others and not endless:
        return []
    listed = ", ".join(f"{n} {f}" for f, n in list(others.items())[:3])
    return [f"target: besides whole molecules ({', '.join(kinds[:3])}) it holds {listed or f'{endless} other atoms'}"]


def _on_sites(found: Survey) -> bool:
    """Whether a target's atoms stand on sites: few different distances, or symmetry whoever sits where."""
    inner = found.histogram.sum(axis=(0, 1))
    if not inner.any():
        return False
    inner = inner[int(np.flatnonzero(inner)[0]) :]
    if inner.sum() / 2 > _WELL_SAMPLED / FINE * found.reach:
        return bool((inner > 0).mean() < _FILLED)
    return all(_symmetric(structure) for structure in found.kept[:_LOOKED_AT])


def _symmetric(structure: Structure) -> bool:
    if structure.n_atoms == 1:
        return True
    fractional = structure.positions @ np.linalg.inv(structure.cell)
    found = ask_spglib("get_symmetry", structure.cell, fractional, None, symprec=_SYMPREC)
    return found is not None and len(found["rotations"]) > 1
