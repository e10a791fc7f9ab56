"""Compiled: sublattices told apart by their Hermite normal forms, some million of them in a second."""

from __future__ import annotations

import numpy as np

from grs_evo.kernels.compiling import entry_allocating, inner


@inner
def _reduce(m):
    """A nonsingular integer (3, 3) matrix into the Hermite normal form of the lattice of its ROWS, in place.

    Upper triangular, pivots positive, entries above a pivot in [0, pivot).
    """
    for col in range(3):
        # Euclid's algorithm down the column.
        for low in range(col + 1, 3):
            while m[low, col] != 0:
                factor = m[col, col] // m[low, col]
                for c in range(col, 3):
                    m[col, c], m[low, c] = m[low, c], m[col, c] - factor * m[low, c]
        if m[col, col] < 0:
            for c in range(col, 3):
                m[col, c] = -m[col, c]
        for high in range(col):
            factor = m[high, col] // m[col, col]
            for c in range(col, 3):
                m[high, c] -= factor * m[col, c]


@inner
def code_of(m, volume):
    """One number that tells Hermite normal forms of this volume apart."""
    code = m[0, 0]
    for entry in (m[0, 1], m[1, 1], m[0, 2], m[1, 2], m[2, 2]):
        code = code * (volume + 1) + entry
    return code


@entry_allocating
def image_codes(forms, operations, volume):
    """(n_forms, n_operations) code of the normal form of each `form @ operation`; int64 arrays (n, 3, 3)."""
    codes = np.empty((len(forms), len(operations)), np.int64)
    m = np.empty((3, 3), np.int64)
    for k in range(len(forms)):
        for p in range(len(operations)):
            for i in range(3):
                for j in range(3):
                    m[i, j] = (
                        forms[k, i, 0] * operations[p, 0, j]
                        + forms[k, i, 1] * operations[p, 1, j]
                        + forms[k, i, 2] * operations[p, 2, j]
                    )
            _reduce(m)
            codes[k, p] = code_of(m, volume)
    return codes
