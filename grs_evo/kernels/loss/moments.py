"""Compiled: central moments of descriptor rows, how two distributions merge, and the adjoints of both.

Rows are compact, (n_atoms, max_size): row i holds the functions of its atom's element in its first sizes[species[i]]
entries. Moments are wide, (4, n_desc): mean and central moments c2, c3, c4 (all 1/N) of each element's own block.
Third and fourth moments are made only where something is done with them (`higher`); else their rows are left as they
are. All of it goes eight or sixteen functions at a time, and
atom after atom, so that each sum has one order.
"""

from __future__ import annotations

from grs_evo.kernels.compiling import entry, inner
from grs_evo.kernels.loss.norms import clear
from grs_evo.kernels.simd import LANES, beyond, fma, item, load_part, pointer, splat, store_part


@inner
def by_element(species, width, counts, places):
    """Count the atoms of each element; `places` (n_atoms,) become where their rows start, element after element."""
    n_atoms, at = species.shape[0], 0
    for e in range(counts.shape[0]):
        before = at
        for i in range(n_atoms):
            if species[i] == e:
                places[at] = i * width
                at += 1
        counts[e] = at - before


@inner
def _two_means(rows, places, first, last, k, left, mean):
    """Means of sixteen functions from number k on, of which `left` exist."""
    a, b = splat(0.0), splat(0.0)
    for atom in range(first, last):
        at = item(places, atom) + k
        a = a + load_part(rows, at, left, 0.0)
        b = b + load_part(rows, at + LANES, left - LANES, 0.0)
    share = 1.0 / (last - first)
    a, b = a * share, b * share
    store_part(mean, k, left, a)
    store_part(mean, k + LANES, left - LANES, b)
    return a, b


@inner
def _two_variances(rows, places, first, last, k, left, mean, n_desc):
    """Their means and variances. The second pass finds the numbers in the first cache."""
    a, b = _two_means(rows, places, first, last, k, left, mean)
    a2, b2 = splat(0.0), splat(0.0)
    for atom in range(first, last):
        at = item(places, atom) + k
        d = load_part(rows, at, left, 0.0) - a
        a2 = fma(d, d, a2)
        d = load_part(rows, at + LANES, left - LANES, 0.0) - b
        b2 = fma(d, d, b2)
    share = 1.0 / (last - first)
    store_part(mean, n_desc + k, left, a2 * share)
    store_part(mean, n_desc + k + LANES, left - LANES, b2 * share)


@inner
def _all_moments(rows, places, first, last, k, left, mean, n_desc):
    """The same with third and fourth moments, of the first eight of them."""
    a, _ = _two_means(rows, places, first, last, k, left, mean)
    c2, c3, c4 = splat(0.0), splat(0.0), splat(0.0)
    for atom in range(first, last):
        d = load_part(rows, item(places, atom) + k, left, 0.0) - a
        square = d * d
        c2 = c2 + square
        c3 = fma(square, d, c3)
        c4 = fma(square, square, c4)
    share = 1.0 / (last - first)
    store_part(mean, n_desc + k, left, c2 * share)
    store_part(mean, 2 * n_desc + k, left, c3 * share)
    store_part(mean, 3 * n_desc + k, left, c4 * share)


@inner
def central_into(rows, species, sizes, offsets, counts, places, central, higher):
    """Counts per element and the mean and central moments of each block; absent elements have moments of 0.

    Two passes: the mean first, powers of the deviation after it. Columns span five decades, E[x²] − E[x]² would lose
    all digits of the variance of a nearly perfect crystal.

    Parameters
    ----------
    counts, places, central : (n_el,), (n_atoms,), (4, n_desc), all overwritten; see `by_element` for `places`
    """
    n_desc = central.shape[1]
    first_row, order = pointer(rows), pointer(places)
    by_element(species, rows.shape[1], counts, places)
    first = 0
    for e in range(sizes.shape[0]):
        mean, n, last = beyond(pointer(central), offsets[e]), sizes[e], first + int(counts[e])
        if last == first:
            for p in range(4 if higher else 2):
                clear(beyond(mean, p * n_desc), n)
        elif higher:
            for k in range(0, n, LANES):
                _all_moments(first_row, order, first, last, k, min(n - k, LANES), mean, n_desc)
        else:
            for k in range(0, n, 2 * LANES):
                _two_variances(first_row, order, first, last, k, n - k, mean, n_desc)
        first = last


@entry
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


@entry
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


@inner
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


@inner
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


@inner
def blend_two(share, mean_a, a2, mean_b, b2):
    """The first two of `blend`."""
    rest = 1.0 - share
    gap = mean_a - mean_b
    return mean_b + share * gap, share * a2 + rest * b2 + (share * rest) * gap * gap


@inner
def blend_two_adjoint(share, mean_a, mean_b, g1, g2):
    """The first two of `blend_adjoint` where g3 and g4 are 0."""
    return share * (g1 + (2.0 - 2.0 * share) * (mean_a - mean_b) * g2), share * g2


@inner
def _polynomials(sizes, offsets, counts, central, dcentral, higher, polynomial):
    """Each function's derivative with respect to an atom's row as a polynomial of its deviation d from the mean.

    polynomial: (4, n_desc) coefficients of 1, d, d², d³; the last two with `higher` only.
    """
    n_desc = central.shape[1]
    moments, slopes, out = pointer(central), pointer(dcentral), pointer(polynomial)
    for e in range(sizes.shape[0]):
        if counts[e] == 0.0:
            continue
        share = 1.0 / counts[e]
        for k in range(offsets[e], offsets[e] + sizes[e], LANES):
            left = offsets[e] + sizes[e] - k
            zeroth = load_part(slopes, k, left, 0.0)
            if higher:
                g3, g4 = load_part(slopes, 2 * n_desc + k, left, 0.0), load_part(slopes, 3 * n_desc + k, left, 0.0)
                c2, c3 = load_part(moments, n_desc + k, left, 0.0), load_part(moments, 2 * n_desc + k, left, 0.0)
                zeroth = zeroth - 3.0 * g3 * c2 - 4.0 * g4 * c3
                store_part(out, 2 * n_desc + k, left, g3 * (3.0 * share))
                store_part(out, 3 * n_desc + k, left, g4 * (4.0 * share))
            store_part(out, k, left, zeroth * share)
            store_part(out, n_desc + k, left, load_part(slopes, n_desc + k, left, 0.0) * (2.0 * share))


@inner
def _two_slopes(rows, places, first, last, k, left, mean, polynomial, n_desc, out):
    """Slopes of sixteen functions from number k on, of which `left` exist, from polynomials of first order."""
    rest, next_k = left - LANES, k + LANES
    mean_a, mean_b = load_part(mean, k, left, 0.0), load_part(mean, next_k, rest, 0.0)
    a0, a1 = load_part(polynomial, k, left, 0.0), load_part(polynomial, n_desc + k, left, 0.0)
    b0, b1 = load_part(polynomial, next_k, rest, 0.0), load_part(polynomial, n_desc + next_k, rest, 0.0)
    for atom in range(first, last):
        at = item(places, atom) + k
        store_part(out, at, left, fma(a1, load_part(rows, at, left, 0.0) - mean_a, a0))
        store_part(out, at + LANES, rest, fma(b1, load_part(rows, at + LANES, rest, 0.0) - mean_b, b0))


@inner
def _cubic_slopes(rows, places, first, last, k, left, mean, polynomial, n_desc, out):
    """Slopes of the eight functions from number k on, of which `left` exist, from polynomials of third order."""
    m = load_part(mean, k, left, 0.0)
    a, b = load_part(polynomial, k, left, 0.0), load_part(polynomial, n_desc + k, left, 0.0)
    c, d = load_part(polynomial, 2 * n_desc + k, left, 0.0), load_part(polynomial, 3 * n_desc + k, left, 0.0)
    for atom in range(first, last):
        at = item(places, atom) + k
        x = load_part(rows, at, left, 0.0) - m
        store_part(out, at, left, fma(fma(fma(d, x, c), x, b), x, a))


@inner
def central_adjoint(rows, sizes, offsets, counts, places, central, dcentral, higher, polynomial, drows):
    """Overwrite drows (n_atoms, max_size) with the derivative through each block's mean and central moments."""
    width, n_desc = rows.shape[1], central.shape[1]
    _polynomials(sizes, offsets, counts, central, dcentral, higher, polynomial)
    row, out, order, first = pointer(rows), pointer(drows), pointer(places), 0
    for e in range(sizes.shape[0]):
        n, last = sizes[e], first + int(counts[e])
        mean, terms = beyond(pointer(central), offsets[e]), beyond(pointer(polynomial), offsets[e])
        if higher:
            for k in range(0, n, LANES):
                _cubic_slopes(row, order, first, last, k, n - k, mean, terms, n_desc, out)
        else:
            for k in range(0, n, 2 * LANES):
                _two_slopes(row, order, first, last, k, n - k, mean, terms, n_desc, out)
        for atom in range(first, last):
            clear(beyond(out, item(order, atom) + n), width - n)
        first = last
