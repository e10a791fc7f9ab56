"""Numbers of neighbours against the target's: what keeps the four oxygens around a silicon.

Where bonds are strong, the pairs of an element stand in a first shell with a gap behind it, and each atom has its
number of neighbours there. Moments and distances of pairs are means over atoms and let three and five make four
(method §13). This term counts the neighbours of each atom smoothly and compares the sorted counts with the target's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from grs_evo.descriptors.basis import Basis
from grs_evo.errors import InputError
from grs_evo.loss.terms.term import AddedTerm, TermOptions
from grs_evo.observables.cells.molecules import covalent_sums
from grs_evo.structures.neighbours import neighbours, stride_for
from grs_evo.structures.structure import Structure
from grs_evo.targets.target import Target

# Environments of the target that shells are looked for in at most.
_SAMPLE = 20_000
# Å: bins in which distances are looked at, and the smallest gap that divides two shells.
_STEP, _GAP = 0.05, 0.3
# A bin in a gap holds at most this share of the pairs in the fullest bin of the first shell.
_EMPTY = 0.01
# Neighbours that a first shell holds at least, per atom: a few odd contacts are none.
_LEAST = 0.5
# Å within which a gap must end: beyond are second and third shells.
_REACH = 6.0
# Atoms nearer than this share of the sum of their covalent radii are bonded.
_STRETCH = 1.25
# Bonded neighbours of an atom, in the mean, up to which bonds are directed, as in networks and molecules: close-packed
# metals and salts have eight to twelve.
_MOST_BONDS = 6.5


class CoordinationOptions(TermOptions):
    """How numbers of neighbours are compared."""

    delta: float = Field(0.1, gt=0, description="δ of the pseudo-Huber norm of a count's difference [1]")


class Shell(NamedTuple):
    """The first neighbours of one element around another."""

    centre: int
    other: int
    inner: float  # Å, end of the first shell: neighbours nearer than this count one
    outer: float  # Å, beginning of the second shell: neighbours farther than this count nothing
    counts: NDArray[np.float64]  # (n_centres,) sorted, of the target's atoms


class CoordinationState(NamedTuple):
    """What the target shows."""

    shells: tuple[Shell, ...]
    delta: float
    gaps: NDArray[np.float64]  # (n_el², 2) Å, inner and outer; 0 for pairs of no such shell


def has_strong_bonds(structures: Sequence[Structure], basis: Basis) -> bool:
    """Whether a target is held together by bonds of which each atom has its number, as in silica or water.

    That is: some pair of elements stands nearer than 1.25 times the sum of its covalent radii, with a gap of 0.3 Å
    behind this first shell, and atoms have at most six such neighbours in the mean.
    """
    if _has_many_neighbours(structures, basis.elements):
        return False
    return bool(_of_bonds(gaps(structures, basis), basis.elements))


def bonded_gaps(
    structures: Sequence[Structure], elements: Sequence[str], reach: float
) -> dict[tuple[int, int], tuple[float, float]]:
    """First shells of bonded atoms with a gap behind them, as `gaps`; none where atoms have seven and more neighbours.

    Parameters
    ----------
    reach : Å within which gaps must end
    """
    if _has_many_neighbours(structures, elements):
        return {}
    return _of_bonds(_shells(structures, np.full((len(elements), len(elements)), reach)), elements)


def _has_many_neighbours(structures: Sequence[Structure], elements: Sequence[str]) -> bool:
    """Whether atoms have more bonded neighbours, in the mean, than directed bonds allow."""
    bonds = _STRETCH * covalent_sums(elements)
    density, centres = _neighbours_per_bin(structures, float(bonds.max()), len(elements))
    places = (np.arange(density.shape[2]) + 1) * _STEP
    bonded = (density * (places <= bonds[:, :, None])).sum((1, 2))
    return not centres.sum() or float(bonded @ centres / centres.sum()) > _MOST_BONDS


def _of_bonds(
    shells: dict[tuple[int, int], tuple[float, float]], elements: Sequence[str]
) -> dict[tuple[int, int], tuple[float, float]]:
    """Those shells that stand as near as bonds are long."""
    bonds = _STRETCH * covalent_sums(elements)
    return {pair: gap for pair, gap in shells.items() if gap[0] < bonds[pair] + _STEP}


def gaps(structures: Sequence[Structure], basis: Basis) -> dict[tuple[int, int], tuple[float, float]]:
    """First shells with a gap behind them: where each ends and where the next one begins, Å, by ordered pair."""
    return _shells(structures, basis.cutoff)


def _shells(structures: Sequence[Structure], reach: NDArray[np.float64]) -> dict[tuple[int, int], tuple[float, float]]:
    """The same, of gaps that end within `reach` (n_el, n_el) Å."""
    n_el = len(reach)
    density, _ = _neighbours_per_bin(structures, min(float(reach.max()), _REACH), n_el)
    shells = {}
    for a in range(n_el):
        for b in range(n_el):
            gap = _gap(density[a, b], float(min(reach[a, b], reach[b, a])))
            if gap is not None:
                shells[a, b] = gap
    return shells


def _neighbours_per_bin(
    structures: Sequence[Structure], reach: float, n_el: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n_el, n_el, n_bins) neighbours of an atom by distance, in bins of _STEP; (n_el,) atoms looked at."""
    n_bins = int(np.ceil(reach / _STEP))
    found = np.zeros((n_el, n_el, n_bins))
    centres = np.zeros(n_el)
    stride = stride_for(structures, _SAMPLE)
    for structure in structures:
        chosen = np.arange(0, structure.n_atoms, stride)
        pairs = neighbours(structure, n_bins * _STEP, chosen)
        at = np.minimum((pairs.distances / _STEP).astype(np.int64), n_bins - 1)
        np.add.at(found, (structure.species[pairs.first], structure.species[pairs.second], at), 1.0)
        centres += np.bincount(structure.species[chosen], minlength=n_el)
    return found / np.maximum(centres, 1.0)[:, None, None], centres


def _gap(density: NDArray[np.float64], reach: float) -> tuple[float, float] | None:
    """End of a first shell and beginning of the next, Å, from neighbours per bin; None where no gap divides them."""
    if density.sum() < _LEAST:
        return None
    first = int(np.argmax(np.cumsum(density) >= _LEAST))
    empty = density <= _EMPTY * density[: first + 2].max()
    start = first + 1
    while start < len(density):
        end = start
        while end < len(density) and empty[end]:
            end += 1
        if (end - start) * _STEP >= _GAP - 1e-9:
            # of a gap that goes on to the reach it is not known where it ends
            return (start * _STEP, end * _STEP) if end < len(density) and end * _STEP <= reach else None
        start = end + 1
    return None


def _prepare(basis: Basis, target: Target, options: CoordinationOptions) -> CoordinationState:
    n_el = len(basis.elements)
    found = gaps(target.structures, basis)
    if not found:
        raise InputError(
            "loss.terms.coordination: no element of the target has neighbours in a first shell with a gap behind it; "
            "there is no number of them to compare"
        )
    edges = np.zeros((n_el * n_el, 2))
    shells = []
    stride = stride_for(target.structures, _SAMPLE)
    for (a, b), (inner, outer) in found.items():
        each = zip(target.structures, target.owned(), strict=True)
        counts = np.concatenate([_counts(one, own, a, b, inner, outer, stride) for one, own in each])
        shells.append(Shell(a, b, inner, outer, np.sort(counts)))
        edges[a * n_el + b] = inner, outer
    return CoordinationState(tuple(shells), options.delta, edges)


def _counts(
    structure: Structure, own: NDArray[np.int64], a: int, b: int, inner: float, outer: float, stride: int
) -> NDArray[np.float64]:
    """(n,) neighbours of element b of those of its own atoms that are of element a."""
    chosen = own[structure.species[own] == a][::stride]
    pairs = neighbours(structure, outer, chosen)
    kept = structure.species[pairs.second] == b
    share, _ = _share(pairs.distances[kept], inner, outer)
    return np.asarray(np.bincount(pairs.first[kept], share, minlength=structure.n_atoms)[chosen], np.float64)


def _share(
    distances: NDArray[np.float64], inner: float, outer: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What neighbours count by their distance, 1 at `inner` to 0 at `outer`, twice differentiable; and the slope."""
    x = np.clip((distances - inner) / (outer - inner), 0.0, 1.0)
    return 1.0 - x**3 * (10.0 - 15.0 * x + 6.0 * x**2), -30.0 * (x * (1.0 - x)) ** 2 / (outer - inner)


def _value(
    species: NDArray[np.int32],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    distances: NDArray[np.float64],
    gradient: bool,
    slopes: NDArray[np.float64],
    state: CoordinationState,
) -> float:
    """Mean over atoms of the pseudo-Huber differences of sorted counts, summed over the shells."""
    n, total = len(species), 0.0
    n_el = round(len(state.gaps) ** 0.5)
    near = np.flatnonzero(distances < state.gaps[:, 1].max())
    first, kinds, near_distances = first[near], species[first[near]] * n_el + species[second[near]], distances[near]
    for shell in state.shells:
        atoms = np.flatnonzero(species == shell.centre)
        if not len(atoms):
            continue
        chosen = np.flatnonzero((kinds == shell.centre * n_el + shell.other) & (near_distances < shell.outer))
        share, slope = _share(near_distances[chosen], shell.inner, shell.outer)
        counts = np.bincount(first[chosen], share, minlength=n)
        order = atoms[np.argsort(counts[atoms], kind="stable")]
        places = ((np.arange(len(atoms)) + 0.5) / len(atoms) * len(shell.counts)).astype(np.int64)
        off = counts[order] - shell.counts[places]
        root = np.sqrt(off**2 + state.delta**2)
        total += float((root - state.delta).sum()) / n
        if gradient:
            pull = np.zeros(n)
            pull[order] = off / root / n
            slopes[near[chosen]] += pull[first[chosen]] * slope
    return total


TERM = AddedTerm(
    name="coordination",
    meaning="numbers of first neighbours, where a gap divides them from the second",
    unit="1",
    target="structures",
    takes="pairs",
    value=_value,
    prepare=_prepare,
    options=CoordinationOptions,
)
