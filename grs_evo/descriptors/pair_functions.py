"""The pair functions φ_nlm (eqs. 8–10) of any vectors, for tables of fixed sites that are made once."""

from __future__ import annotations

from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.descriptors.basis import Basis


def pair_functions(basis: Basis, centre: int, neighbour: int, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """φ_nlm = g_n(r) √4π Y_lm with real harmonics (arXiv:2409.13871 eqs. 8–10).

    Parameters
    ----------
    centre, neighbour : numbers of their elements in the basis
    vectors : (n, 3) from centre to neighbour, Å

    Returns
    -------
    (n, rows) dimensionless, in the order of the rows of A of one neighbour element
    """
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
                columns.append(radial[n] * norm * _legendre(k, l, cosine) * turn)
    return np.stack(columns, axis=1)


def _legendre(m: int, l: int, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """P_l^m(x) with the Condon–Shortley phase, 0 ≤ m ≤ l, |x| ≤ 1.

    The formulas, and so the bits, of `scipy.special.lpmv` (Zhang and Jin, Computation of Special Functions), whose
    import would take longer than all other set-up of a run: upwards in l by DLMF 14.10.3 from P_m^m and P_{m+1}^m.
    """
    if l <= 2 or l == m:
        return _legendre_direct(m, l, x)
    below, value = _legendre_direct(m, m, x), _legendre_direct(m, m + 1, x)
    for j in range(m + 2, l + 1):
        below, value = value, ((2 * j - 1) * x * value - (j - 1 + m) * below) / (j - m)
    return value


def _legendre_direct(m: int, l: int, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """P_l^m(x) by its hypergeometric series (DLMF 14.3.4), for l ≤ m + 1 or l ≤ 2."""
    first: Any = 1.0
    if m > 0:
        growth = float(l * (l + m))
        for j in range(1, m):
            growth *= l * l - j * j
        root = np.sqrt(1.0 - x * x)
        for j in range(1, m + 1):
            first = 0.5 * first * root / j
        first = first * growth
    total = np.ones_like(x)
    term: Any = 1.0
    for k in range(1, l - m + 1):
        term = 0.5 * term * (-l + m + k - 1.0) * (l + m + k) / (k * (k + m)) * (1.0 + x)
        total = total + term
    end = 0.0 if m > 0 else np.where(x > 0, 1.0, (-1.0) ** l)
    return np.where(np.abs(x) == 1.0, end, (-1.0) ** l * total * first)
