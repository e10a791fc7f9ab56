"""The first peak and the first minimum of each pair's g(r), and the shells of all pairs together.

g(r) is read at 0.01 Å after broadening by a Gaussian of 0.1 Å. The first peak is the first maximum of at least 0.35
of the highest one and of 0.5 itself, so that a bump of a few rare contacts is none. The first minimum is the lowest
point before g(r) has risen again by a tenth of the peak; in a gap without pairs, its middle.

Where a structure is stretched along one direction, pairs along it are found on the far slopes of the peaks of g(r) and
pairs across it on the near ones: to first order in the strain ε, −r g'(r) ε:(v v/r²) more of them. What tells a small ε
from chance best is the sum of w (v v/r² − 1/3) with the weights w = −r g'/g, here of the first shell; over its answer
to a unit strain it is ε. It needs no bonds that end at a gap, and no cell that was cut along the strain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

BROADENING = 0.1  # Å, standard deviation of the Gaussian
_SHARE_OF_HIGHEST = 0.35
_LEAST_HEIGHT = 0.5
_RISE = 0.1
_MOST_SHELLS = 3
_RARE = 0.1  # of the highest g(r) of a shell: the few pairs where g(r) is lower count less than w would say


@dataclass(frozen=True, eq=False)
class Shells:
    """Distances that divide neighbours into shells."""

    peak: NDArray[np.float64]  # (n_el, n_el) Å, place of the first peak; NaN where no pair is in reach
    minimum: NDArray[np.float64]  # (n_el, n_el) Å, first minimum; 0 where no pair is in reach
    edges: tuple[float, ...]  # Å, outer edges of the shells of all pairs together
    weights: NDArray[np.float64]  # (n_el, n_el, n_bins) w(r) of the first shell, in the bins of the histogram
    answer: NDArray[np.float64]  # (n_el,) of an atom of each element: how its sum with these weights grows with ε

    @classmethod
    def none(cls, n_elements: int, n_bins: int) -> Shells:
        """No pair in reach."""
        square = (n_elements, n_elements)
        return cls(np.full(square, np.nan), np.zeros(square), (), np.zeros((*square, n_bins)), np.zeros(n_elements))


def broadened(counts: NDArray[np.float64], width: float, sigma: float = BROADENING) -> NDArray[np.float64]:
    """Counts per bin (..., n_bins) after broadening by a Gaussian; bins are `width` Å."""
    return np.asarray(counts @ _kernel(counts.shape[-1], width, sigma), np.float64)


@lru_cache(maxsize=8)
def _kernel(n_bins: int, width: float, sigma: float) -> NDArray[np.float64]:
    place = np.arange(n_bins) * width
    steps = (place[:, None] - place[None, :]) / sigma
    return np.asarray(np.exp(-0.5 * steps**2) * width / (sigma * np.sqrt(2 * np.pi)), np.float64)


def pair_function(counts: NDArray[np.float64], width: float, density: float) -> NDArray[np.float64]:
    """g(r) from neighbours per atom and bin, (..., n_bins), broadened; `density` atoms per Å³ far away."""
    r = (np.arange(counts.shape[-1]) + 0.5) * width
    return np.asarray(broadened(counts, width) / (4 * np.pi * r**2 * width * density), np.float64)


def find_shells(
    histogram: NDArray[np.int64], of_kind: NDArray[np.int64], densities: NDArray[np.float64], width: float
) -> Shells:
    """Peaks and minima of all pairs.

    Parameters
    ----------
    histogram : (n_el, n_el, n_bins) ordered pairs
    of_kind : (n_el,) atoms
    densities : (n_el,) atoms per Å³
    width : of the bins, Å
    """
    n_el = len(of_kind)
    found = Shells.none(n_el, histogram.shape[2])
    for a in range(n_el):
        for b in range(a, n_el):
            if histogram[a, b].sum() == 0:
                continue
            g = pair_function(histogram[a, b] / of_kind[a], width, densities[b])
            peak, minimum = _peak_and_minimum(g, width, 0)
            found.peak[a, b] = found.peak[b, a] = peak
            found.minimum[a, b] = found.minimum[b, a] = minimum
            found.weights[a, b] = found.weights[b, a] = _weights(g, width, minimum)
    for a in range(n_el):
        each = [_answer(histogram[a, b], found.weights[a, b], width) for b in range(n_el)]
        found.answer[a] = sum(each) / max(int(of_kind[a]), 1)
    edges: list[float] = []
    total = histogram.sum(axis=(0, 1))
    if total.any():
        g = pair_function(total / of_kind.sum(), width, float(densities.sum()))
        start = 0
        while len(edges) < _MOST_SHELLS and g[start:].max(initial=0.0) > _LEAST_HEIGHT:
            peak, minimum = _peak_and_minimum(g, width, start)
            start = int(minimum / width) + 1
            if not np.isfinite(peak) or minimum >= len(g) * width - 0.1:
                break
            edges.append(minimum)
    return replace(found, edges=tuple(edges))


def _peak_and_minimum(g: NDArray[np.float64], width: float, start: int) -> tuple[float, float]:
    """Place of the first peak from bin `start` on and of the minimum after it, Å."""
    highest = float(g[start:].max())
    least = max(_SHARE_OF_HIGHEST * highest, min(_LEAST_HEIGHT, 0.9 * highest))
    inner = np.arange(max(start, 1), len(g) - 1)
    tops = inner[(g[inner] >= g[inner - 1]) & (g[inner] > g[inner + 1]) & (g[inner] >= least)]
    top = int(tops[0]) if len(tops) else start + int(np.argmax(g[start:]))
    low = top
    for k in range(top + 1, len(g)):
        if g[k] > g[top] and g[low] > (1 - _RISE) * g[top]:
            top = low = k  # a shoulder on the way up to the peak
        elif g[k] < g[low]:
            low = k
        elif g[k] > g[low] + _RISE * (g[top] - g[low]):
            break
    floor = g[low] + 1e-3 * g[top]
    last = low
    while last + 1 < len(g) and g[last + 1] <= floor:
        last += 1
    first = low
    while first - 1 > top and g[first - 1] <= floor:
        first -= 1
    # where nothing follows, the pair is a dimer's: the gap ends as far behind the peak as half the peak's distance
    end = min(last, int(1.5 * (top + 0.5)) if last == len(g) - 1 else last)
    return (top + 0.5) * width, (0.5 * (first + max(end, first)) + 0.5) * width


def _weights(g: NDArray[np.float64], width: float, minimum: float) -> NDArray[np.float64]:
    """(n_bins,) −r g'/g up to the first minimum, where g' is 0; where g is small, less."""
    r = (np.arange(len(g)) + 0.5) * width
    inner = r < minimum
    found = -r * np.gradient(g, width) / (g + _RARE * float(g[inner].max(initial=1e-300)))
    return np.where(inner, found, 0.0)


def _answer(counts: NDArray[np.int64], weights: NDArray[np.float64], width: float) -> float:
    """How Σ w (v v/r² − 1/3) of pairs whose directions are spread evenly grows with ε, a strain without a trace.

    2/15 of r w' for their lengths, 2/5 of w for their directions.
    """
    r = (np.arange(len(counts)) + 0.5) * width
    return float((counts * (2 / 15 * r * np.gradient(weights, width) + 2 / 5 * weights)).sum())
