"""Distances of pairs against the target's: what pins first peaks and keeps away contacts that the target never has.

Means and variances of descriptors leave the tails open, and a few radial functions over a long cutoff leave the first
peak open (method §10). A histogram of smooth bins, one for each ordered pair of elements, sees both.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from grs_evo.descriptors.basis import Basis
from grs_evo.errors import InputError
from grs_evo.kernels.loss.pair_histogram import count_pairs, pull_histogram
from grs_evo.loss.terms.term import AddedTerm, TermOptions
from grs_evo.structures.neighbours import neighbours, stride_for
from grs_evo.structures.structure import Structure
from grs_evo.targets.target import Target

_LOW = 0.3  # Å, centre of the first bin
# Environments of the target that the histogram is taken from at most.
_SAMPLE = 20_000
# Smallest scale of a bin, as a share of the mean over the pair's bins: where the target has no pairs at all, a few of
# them weigh ten times what they do in a peak.
_FLOOR = 0.1


class PairOptions(TermOptions):
    """How finely distances are compared, and how far."""

    step: float = Field(0.1, gt=0.01, le=1, description="distance between bins [Å]")
    width: float = Field(0.25, gt=0.05, le=2, description="half width of a bin [Å]")
    reach: float = Field(6.0, gt=1, description="longest distance compared, at most the basis's cutoff [Å]")
    delta: float = Field(0.02, gt=0, description="δ of the pseudo-Huber norm, in scaled units [1]")


class PairState(NamedTuple):
    """What the target shows."""

    wanted: NDArray[np.float64]  # (n_el², n_bins) 1/Å, per atom of the target
    inverse: NDArray[np.float64]  # the same shape: 1 / the spread of single environments, 0 beyond the pair's reach
    step: float
    width: float
    delta: float
    n_el: int


def _prepare(basis: Basis, target: Target, options: PairOptions) -> PairState:
    n_el = len(basis.elements)
    reach = np.minimum(basis.cutoff, options.reach)
    if options.width >= float(reach.min()) / 2:
        raise InputError(
            f"loss.terms.pair_distances.width: is {options.width:g} Å; it must be below half of the shortest reach, "
            f"{float(reach.min()):g} Å"
        )
    n_bins = int((float(reach.max()) - options.width - _LOW) / options.step) + 1
    total, weight = np.zeros((2, n_el * n_el, n_bins)), 0.0
    stride = stride_for(target.structures, _SAMPLE)
    for structure, each, own in zip(target.structures, target.weights, target.owned(), strict=True):
        centres = own[::stride]
        total += each * _moments(structure, centres, float(reach.max()), options, total.shape)
        weight += each * len(centres)
    mean, square = total / weight
    spread = np.sqrt(np.maximum(square - mean**2, 0.0))
    inside = (_LOW + options.step * np.arange(n_bins))[None, :] + options.width <= reach.reshape(-1, 1)
    if not (mean[inside] > 0).any():
        raise InputError(
            f"loss.terms.pair_distances: no two atoms of the target are within {float(reach.max()):g} Å of each other"
        )
    usual = np.array([row[keep].mean() if keep.any() else 0.0 for row, keep in zip(spread, inside, strict=True)])
    # a crystal's environments do not differ, and of some pairs there may be none: the size of its peaks stands in
    peaks = np.array([row[keep].mean() if keep.any() else 0.0 for row, keep in zip(mean, inside, strict=True)])
    least = _FLOOR * np.maximum(np.maximum(usual, peaks), _FLOOR * max(usual.max(), peaks.max()))
    scale = np.sqrt(spread**2 + least[:, None] ** 2)
    return PairState(mean, np.where(inside, 1.0 / scale, 0.0), options.step, options.width, options.delta, n_el)


def _moments(
    structure: Structure, centres: NDArray[np.int64], reach: float, options: PairOptions, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Sums over environments of their histograms, and of the squares of these, (2, n_el², n_bins)."""
    n_el = round(shape[1] ** 0.5)
    found = neighbours(structure, reach, centres)
    central = structure.species[found.first].astype(np.int64)
    other = structure.species[found.second].astype(np.int64)
    total, own = np.zeros(shape), np.zeros(shape[1:])
    starts = np.searchsorted(found.first, centres).tolist()
    ends = np.searchsorted(found.first, centres, side="right").tolist()
    for start, end in zip(starts, ends, strict=True):
        own[:] = 0.0
        part = slice(start, end)
        count_pairs(central[part], other[part], found.distances[part], n_el, _LOW, options.step, options.width, own)
        total[0] += own
        total[1] += own**2
    return total


def _value(
    species: NDArray[np.int32],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    distances: NDArray[np.float64],
    gradient: bool,
    slopes: NDArray[np.float64],
    state: PairState,
) -> float:
    """Mean pseudo-Huber of the scaled differences, over all bins of all ordered pairs."""
    central, other = species[first].astype(np.int64), species[second].astype(np.int64)
    found = np.zeros_like(state.wanted)
    count_pairs(central, other, distances, state.n_el, _LOW, state.step, state.width, found)
    off = (found / len(species) - state.wanted) * state.inverse
    root = np.sqrt(off**2 + state.delta**2)
    n = np.count_nonzero(state.inverse)
    if gradient:
        dhistogram = off / root * state.inverse / (n * len(species))
        pull_histogram(central, other, distances, dhistogram, state.n_el, _LOW, state.step, state.width, slopes)
    return float((root - state.delta).sum() / n)


TERM = AddedTerm(
    name="pair_distances",
    meaning="distances of pairs: a smooth histogram of each ordered pair of elements",
    unit="1",
    target="structures",
    takes="pairs",
    value=_value,
    prepare=_prepare,
    options=PairOptions,
)
