"""Neighbours over distance of some of a target's environments: what defaults that follow a target are read from.

One pass of compiled code over at most some thousand environments, drawn evenly, whatever the target's size. A `Survey`
counts all atoms, for verdicts; this is for set-up, before it is known what will be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.observables.cell_list import cell_list
from grs_evo.kernels.observables.environments import environment_rows
from grs_evo.observables.counting.shells import broadened
from grs_evo.observables.counting.survey import COARSE
from grs_evo.structures.neighbours import stride_for
from grs_evo.structures.structure import Structure

Array = NDArray[np.float64]

BIN = 0.01  # Å
_ON_SITES = 0.25  # of the bins from the shortest distance on: displaced atoms fill more
_SAMPLE, _AT_ONCE = 8000, 500  # environments counted at most, and so many at once


class PairDensity(NamedTuple):
    """Neighbours of environments over distance."""

    mean: Array  # (n_el, n_el, n_bins) neighbours of an atom of the first element, per bin of 0.01 Å
    spread: Array  # (n_el, n_el, n_coarse) standard deviation over environments, in bins of 0.05 Å, broadened
    counted: NDArray[np.int64]  # (n_el,) environments
    per_volume: Array  # (n_el,) 1/Å³
    kinds: NDArray[np.int64]  # (n,) element of each environment
    nearest: Array  # (n, n_el) Å to the nearest atom of each element, to a bin; inf beyond the reach

    @property
    def coarse(self) -> Array:
        """(n_el, n_el, n_coarse) the mean in bins of 0.05 Å."""
        return _coarse(self.mean)


def _coarse(counts: NDArray[Any]) -> Array:
    """Counts (…, n_bins) in bins of 0.05 Å."""
    per = round(COARSE / BIN)
    return np.asarray(counts.reshape(*counts.shape[:-1], -1, per).sum(axis=-1), np.float64)


def pair_density(structures: Sequence[Structure], n_elements: int, reach: float) -> PairDensity:
    """Count the neighbours of environments drawn evenly from all structures, to `reach` Å."""
    per = round(COARSE / BIN)
    n_bins = int(np.ceil(reach / COARSE)) * per
    reach = n_bins * BIN
    stride = stride_for(structures, _SAMPLE)
    shape = (n_elements, n_elements, n_bins)
    total, counted = np.zeros(shape), np.zeros(n_elements, np.int64)
    square = np.zeros((n_elements, n_elements, n_bins // per))
    kinds: list[NDArray[np.int64]] = []
    nearest: list[Array] = []
    bonds = np.zeros((n_elements, n_elements))
    offset = 0  # so that of many small structures not always the first atom is taken
    for structure in structures:
        centres = np.arange((-offset) % stride, structure.n_atoms, stride)
        offset += structure.n_atoms
        cells = cell_list(structure.positions, structure.cell, structure.species, structure.pbc, reach)
        for start in range(0, len(centres), _AT_ONCE):
            own = centres[start : start + _AT_ONCE]
            rows = environment_rows(cells, own, n_bins, 1, bonds).distances
            species = structure.species[own].astype(np.int64)
            smooth = broadened(_coarse(rows), COARSE)
            for a in range(n_elements):
                total[a] += rows[species == a].sum(axis=0)
                square[a] += (smooth[species == a] ** 2).sum(axis=0)
            counted += np.bincount(species, minlength=n_elements)
            kinds.append(species)
            first = (np.argmax(rows > 0, axis=2) + 0.5) * BIN
            nearest.append(np.where(rows.any(axis=2), first, np.inf))
    number = np.maximum(counted, 1)[:, None, None]
    mean = total / number
    spread = np.sqrt(np.maximum(square / number - broadened(_coarse(mean), COARSE) ** 2, 0.0))
    atoms = np.sum([one.counts(n_elements) for one in structures], axis=0)
    volume = sum(one.volume for one in structures)
    return PairDensity(mean, spread, counted, atoms / volume, np.concatenate(kinds), np.concatenate(nearest))


def on_sites(density: PairDensity) -> bool:
    """Whether distances fill so few bins that atoms stand on sites, without displacements."""
    counted = density.mean.sum(axis=(0, 1))
    first = int(np.argmax(counted > 0))
    return bool((counted[first:] > 0).mean() < _ON_SITES)
