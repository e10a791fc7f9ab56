"""Compiled: smooth histograms of distances, per ordered pair of elements, and their slopes."""

from __future__ import annotations

from grs_evo.kernels.compiling import entry_allocating

# The integral of (1 - u²)³ over -1 … 1 is 32/35: a pair counts one in all.
NORM = 35.0 / 32.0


@entry_allocating
def count_pairs(central, neighbour, distances, n_el, low, step, width, out):
    """Add pairs to a histogram whose bins are bumps (1 - u²)³ of half width `width`, centred at low + k step.

    Parameters
    ----------
    central, neighbour : (n_pairs,) elements at the two ends
    out : (n_el², n_bins) 1/Å; row is central * n_el + neighbour
    """
    n_bins = out.shape[1]
    for p in range(distances.shape[0]):
        r = distances[p]
        row = central[p] * n_el + neighbour[p]
        first = max(0, int((r - width - low) / step))
        last = min(n_bins - 1, int((r + width - low) / step) + 1)
        for k in range(first, last + 1):
            u = (r - low - k * step) / width
            rest = 1.0 - u * u
            if rest > 0.0:
                out[row, k] += NORM / width * rest * rest * rest


@entry_allocating
def pull_histogram(central, neighbour, distances, dhistogram, n_el, low, step, width, slopes):
    """Add dV/dr of each pair to `slopes`, from dV/dh of each bin."""
    n_bins = dhistogram.shape[1]
    for p in range(distances.shape[0]):
        r = distances[p]
        row = central[p] * n_el + neighbour[p]
        first = max(0, int((r - width - low) / step))
        last = min(n_bins - 1, int((r + width - low) / step) + 1)
        for k in range(first, last + 1):
            u = (r - low - k * step) / width
            rest = 1.0 - u * u
            if rest > 0.0:
                slopes[p] -= dhistogram[row, k] * NORM / width * 6.0 * u * rest * rest / width
