"""Fixed sites: their pairs, and the pair functions (eqs. 8–10) of any vectors, for tables made once."""

from __future__ import annotations

from math import factorial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import lpmv

from .basis import Basis
from .errors import InputError
from .structure import Structure

# Two atoms nearer than this (Å) are on top of each other.
_HAIR = 1e-3


class SitePairs(NamedTuple):
    """All pairs of a site and a site or image nearer than a distance; both directions."""

    centre: NDArray[np.int64]  # (n_pairs,)
    neighbour: NDArray[np.int64]  # (n_pairs,)
    vector: NDArray[np.float64]  # (n_pairs, 3) Å from centre to neighbour


def site_pairs(template: Structure, reach: float) -> SitePairs:
    """Pairs of sites within `reach` Å, self images included, sorted by centre, neighbour, image.

    Not `neighbours`: tables of a lattice are summed in this order of pairs, so that another one would change the last
    bits of every loss on fixed sites; and sites on top of each other are refused.

    Raises
    ------
    InputError
        Two sites are on top of each other.
    """
    inverse = np.linalg.inv(template.cell)
    heights = 1.0 / np.linalg.norm(inverse, axis=0)
    fractional = template.positions @ inverse
    shift = np.where(template.pbc, np.floor(fractional), 0.0)
    home = template.positions - shift @ template.cell
    number = np.where(template.pbc, np.floor(reach / heights).astype(int) + 1, 0)
    grid = np.stack(np.meshgrid(*(np.arange(-k, k + 1) for k in number), indexing="ij"), axis=-1).reshape(-1, 3)
    images = grid @ template.cell
    centres, neighbours, vectors = [], [], []
    for i in range(template.n_atoms):
        gap = home[:, None, :] + images[None, :, :] - home[i]
        distance = np.sqrt((gap**2).sum(-1))
        distance[i, len(images) // 2] = np.inf
        near = distance < reach
        if distance.min() < _HAIR:
            other = int(np.argmin(distance.min(1)))
            raise InputError(f"lattice: sites {i} and {other} are {distance.min():.2g} Å apart: on top of each other")
        j, k = np.nonzero(near)
        centres.append(np.full(len(j), i))
        neighbours.append(j)
        vectors.append(gap[j, k])
    return SitePairs(np.concatenate(centres), np.concatenate(neighbours), np.concatenate(vectors))


def pair_functions(basis: Basis, centre: int, neighbour: int, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """φ_nlm = g_n(r) √4π Y_lm of vectors (n, 3) Å, (n, rows) in the order of A's rows (eqs. 8–10), real harmonics."""
    r = np.sqrt((vectors**2).sum(1))
    cutoff, lam = basis.cutoff[centre, neighbour], basis.lam[centre, neighbour]
    taper = basis.taper[centre, neighbour]
    cutoff_in, taper_in = basis.cutoff_in[centre, neighbour], basis.taper_in[centre, neighbour]
    inside = r < cutoff
    x = 1 - 2 * (np.exp(-lam * r / cutoff) - np.exp(-lam)) / (1 - np.exp(-lam))
    envelope = np.where(inside, 0.5 * (1 + np.cos(np.pi * r / cutoff)), 0.0)
    if taper > 0:
        outer = r > cutoff - taper
        envelope[outer] *= 0.5 * (1 + np.cos(np.pi * (r[outer] - (cutoff - taper)) / taper))
    if cutoff_in > 0:
        t = 1 - 2 * (1 + (r - cutoff_in) / taper_in)
        ramp = 0.5 - 15 / 4 * (t / 4 - t**3 / 6 + t**5 / 20)
        envelope *= np.where(r <= cutoff_in - taper_in, 0.0, np.where(r < cutoff_in, ramp, 1.0))
    envelope[~inside] = 0.0
    n_max = max(basis.n_of_l)
    chebyshev = [np.ones_like(x), x]
    while len(chebyshev) < n_max:
        chebyshev.append(2 * x * chebyshev[-1] - chebyshev[-2])
    radial = [envelope] + [0.5 * (1 - chebyshev[k]) * envelope for k in range(1, n_max)]
    cosine, azimuth = vectors[:, 2] / r, np.arctan2(vectors[:, 1], vectors[:, 0])
    columns = []
    for l, n_radial in enumerate(basis.n_of_l):
        for n in range(n_radial):
            for m in range(-l, l + 1):
                k = abs(m)
                norm = np.sqrt((2 * l + 1) * factorial(l - k) / factorial(l + k)) * (np.sqrt(2) * (-1) ** k if k else 1)
                turn = np.sin(k * azimuth) if m < 0 else np.cos(k * azimuth)
                columns.append(radial[n] * norm * lpmv(k, l, cosine) * turn)
    return np.stack(columns, axis=1)
