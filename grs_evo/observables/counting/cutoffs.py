"""Cutoffs between the shells of neighbours that structures have, which a small change of a distance does not cross."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grs_evo.observables.counting.sampled import BIN, PairDensity, pair_density
from grs_evo.observables.counting.shells import broadened
from grs_evo.structures.structure import Structure

Array = NDArray[np.float64]

# Neighbours per atom, at most: what a search costs grows with them, and what lies beyond says little more.
_MOST_NEIGHBOURS = 80.0
# Cutoffs go to the gap between shells that is nearest to the usual one, within these shares of it. The far gaps of a
# liquid are shallow, and functions end smoothly anywhere: a cutoff is not to lose a shell for one of these.
_NEAREST, _FARTHEST = 0.75, 1.08
_NEAREST_SHALLOW = 0.9
_DEEP = 0.1  # of g(r)'s maximum, how much lower than around it a minimum is; far ones of a liquid are shallower
_AROUND = 0.4  # Å


def shell_cutoffs(structures: Sequence[Structure], usual: Array) -> tuple[PairDensity, Array]:
    """The pair density of structures, and (n_el, n_el) Å of cutoffs, each in a gap between shells near the usual one.

    Parameters
    ----------
    usual : (n_el, n_el) Å
    """
    density = pair_density(structures, len(usual), float(usual.max()) * _FARTHEST + 1.0)
    if _number_within(density, usual) > _MOST_NEIGHBOURS:
        usual = np.minimum(usual, _radius_of(density, _MOST_NEIGHBOURS))
    cutoffs = np.zeros_like(usual)
    for a in range(len(usual)):
        for b in range(a, len(usual)):  # one shell of a pair ends at one distance, whoever is at its centre
            cutoffs[a, b] = cutoffs[b, a] = round(_between_shells(density, a, b, float(usual[a, b])), 3)
    return density, cutoffs


def _radius_of(density: PairDensity, neighbours: float) -> float:
    """Å within which an atom has so many neighbours on the average; the reach where it has fewer."""
    shares = density.counted / max(int(density.counted.sum()), 1)
    summed = np.cumsum((shares[:, None] * density.mean.sum(axis=1)).sum(axis=0))
    return float((np.searchsorted(summed, neighbours) + 1) * BIN)


def _number_within(density: PairDensity, cutoffs: Array) -> float:
    """Neighbours of an atom within the cutoffs of its pairs, on the average."""
    shares = density.counted / max(int(density.counted.sum()), 1)
    places = (np.arange(density.mean.shape[2]) + 0.5) * BIN
    within = np.where(places < cutoffs[:, :, None], density.mean, 0.0).sum(axis=(1, 2))
    return float(shares @ within)


def _between_shells(density: PairDensity, a: int, b: int, usual: float) -> float:
    """Å, the minimum of a pair's g(r) that is nearest to the usual cutoff; the usual one where there is none."""
    counts = density.mean[a, b] + density.mean[b, a]
    r = (np.arange(len(counts)) + 0.5) * BIN
    g = broadened(counts, BIN) / r**2
    width = round(_AROUND / BIN)
    allowed = np.flatnonzero((r > _NEAREST * usual) & (r < _FARTHEST * usual) & (np.arange(len(r)) < len(r) - width))
    places = [
        r[k]
        for k in allowed.tolist()
        if g[k] <= g[k - width : k + width + 1].min() + 1e-6 * g.max()
        and min(g[k - width : k].max(), g[k : k + width + 1].max()) > g[k] + _DEEP * g.max()
        and (g[k] <= _DEEP * g.max() or r[k] > _NEAREST_SHALLOW * usual)
    ]
    return float(min(places, key=lambda place: abs(place - usual))) if places else usual
