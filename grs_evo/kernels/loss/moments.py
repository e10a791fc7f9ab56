"""Compiled: central moments of descriptor rows, how two distributions merge, and the adjoints of both.

Rows are compact, (n_atoms, max_size): row i holds the functions of its atom's element in its first sizes[species[i]]
entries. Moments are wide, (4, n_desc): mean and central moments c2, c3, c4 (all 1/N) of each element's own block.
"""

from __future__ import annotations

from numba import njit


@njit(cache=True, error_model="numpy")
def central_into(rows, species, sizes, offsets, counts, central):
    """Counts per element and the mean and central moments of each block; absent elements have moments of 0.

    Two passes: the mean first, powers of the deviation after it. Columns span five decades, E[x²] − E[x]² would lose
    all digits of the variance of a nearly perfect crystal.
    """
    n_atoms = species.shape[0]
    counts[:] = 0.0
    central[:, :] = 0.0
    for i in range(n_atoms):
        counts[species[i]] += 1.0
    mean = central[0]
    for i in range(n_atoms):
        e = species[i]
        block = mean[offsets[e] : offsets[e + 1]]
        row = rows[i]
        for k in range(sizes[e]):
            block[k] += row[k]
    for e in range(sizes.shape[0]):
        if counts[e] > 0.0:
            block = mean[offsets[e] : offsets[e + 1]]
            share = 1.0 / counts[e]
            for k in range(sizes[e]):
                block[k] *= share
    for i in range(n_atoms):
        e = species[i]
        row = rows[i]
        m = mean[offsets[e] : offsets[e + 1]]
        c2 = central[1][offsets[e] : offsets[e + 1]]
        c3 = central[2][offsets[e] : offsets[e + 1]]
        c4 = central[3][offsets[e] : offsets[e + 1]]
        for k in range(sizes[e]):
            d = row[k] - m[k]
            square = d * d
            c2[k] += square
            c3[k] += square * d
            c4[k] += square * square
    for p in range(1, 4):
        for e in range(sizes.shape[0]):
            if counts[e] > 0.0:
                block = central[p][offsets[e] : offsets[e + 1]]
                share = 1.0 / counts[e]
                for k in range(sizes[e]):
                    block[k] *= share


@njit(cache=True, error_model="numpy", nogil=True)
def weighted_sums_into(rows, species, weights, sizes, offsets, counts, mean, sums):
    """Weights per element, weighted means, and weighted sums of the 2nd to 4th power of the deviation, (3, n_desc)."""
    n_atoms = species.shape[0]
    counts[:] = 0.0
    mean[:] = 0.0
    sums[:, :] = 0.0
    for i in range(n_atoms):
        e = species[i]
        counts[e] += weights[i]
        for k in range(sizes[e]):
            mean[offsets[e] + k] += weights[i] * rows[i, k]
    for e in range(sizes.shape[0]):
        for k in range(sizes[e]):
            mean[offsets[e] + k] = mean[offsets[e] + k] / counts[e] if counts[e] > 0.0 else 0.0
    for i in range(n_atoms):
        e = species[i]
        for k in range(sizes[e]):
            d = rows[i, k] - mean[offsets[e] + k]
            square = d * d
            sums[0, offsets[e] + k] += weights[i] * square
            sums[1, offsets[e] + k] += weights[i] * square * d
            sums[2, offsets[e] + k] += weights[i] * square * square


@njit(cache=True, error_model="numpy", nogil=True)
def covariance_into(rows, species, weights, sizes, offsets, mean, starts, flat):
    """Weighted sums of products of deviations: one square matrix per element, row-major, one after the other."""
    flat[:] = 0.0
    for i in range(species.shape[0]):
        e = species[i]
        n = sizes[e]
        m = mean[offsets[e] : offsets[e + 1]]
        row = rows[i]
        for a in range(n):
            left = weights[i] * (row[a] - m[a])
            line = flat[starts[e] + a * n : starts[e] + (a + 1) * n]
            for b in range(n):
                line[b] += left * (row[b] - m[b])


@njit(cache=True, error_model="numpy", inline="always")
def blend(share, mean_a, a2, a3, a4, mean_b, b2, b3, b4):
    """Mean and central moments of a mixture: `share` of distribution a, the rest of b (Pébay 2008, eq. 2.1)."""
    rest = 1.0 - share
    gap = mean_a - mean_b
    mean = mean_b + share * gap
    da = rest * gap
    db = -share * gap
    sa = da * da
    sb = db * db
    c2 = share * (a2 + sa) + rest * (b2 + sb)
    c3 = share * (a3 + 3.0 * da * a2 + sa * da) + rest * (b3 + 3.0 * db * b2 + sb * db)
    c4 = share * (a4 + 4.0 * da * a3 + 6.0 * sa * a2 + sa * sa) + rest * (b4 + 4.0 * db * b3 + 6.0 * sb * b2 + sb * sb)
    return mean, c2, c3, c4


@njit(cache=True, error_model="numpy", inline="always")
def blend_adjoint(share, mean_a, a2, a3, mean_b, b2, b3, g1, g2, g3, g4):
    """Derivatives with respect to a's mean, c2, c3, c4, from those with respect to the mixture's."""
    rest = 1.0 - share
    gap = mean_a - mean_b
    da = rest * gap
    db = -share * gap
    along_a = share * (
        2.0 * da * g2 + (3.0 * a2 + 3.0 * da * da) * g3 + (4.0 * a3 + 12.0 * da * a2 + 4.0 * da * da * da) * g4
    )
    along_b = rest * (
        2.0 * db * g2 + (3.0 * b2 + 3.0 * db * db) * g3 + (4.0 * b3 + 12.0 * db * b2 + 4.0 * db * db * db) * g4
    )
    h1 = share * g1 + rest * along_a - share * along_b
    h2 = share * (g2 + 3.0 * da * g3 + 6.0 * da * da * g4)
    h3 = share * (g3 + 4.0 * da * g4)
    h4 = share * g4
    return h1, h2, h3, h4


@njit(cache=True, error_model="numpy")
def central_adjoint(rows, species, sizes, offsets, counts, central, dcentral, n_powers, drows):
    """Add to drows (n_atoms, max_size) the derivative through each block's mean and central moments.

    n_powers: how many of the four have a derivative that is not zero (the rest is skipped).
    """
    for i in range(species.shape[0]):
        e = species[i]
        n = sizes[e]
        lo = offsets[e]
        hi = offsets[e + 1]
        share = 1.0 / counts[e]
        row = rows[i]
        out = drows[i]
        m = central[0][lo:hi]
        g1 = dcentral[0][lo:hi]
        g2 = dcentral[1][lo:hi]
        if n_powers <= 2:
            for k in range(n):
                out[k] += share * (g1[k] + 2.0 * g2[k] * (row[k] - m[k]))
        else:
            c2 = central[1][lo:hi]
            c3 = central[2][lo:hi]
            g3 = dcentral[2][lo:hi]
            g4 = dcentral[3][lo:hi]
            for k in range(n):
                d = row[k] - m[k]
                square = d * d
                out[k] += share * (
                    g1[k] + 2.0 * g2[k] * d + 3.0 * g3[k] * (square - c2[k]) + 4.0 * g4[k] * (square * d - c3[k])
                )
