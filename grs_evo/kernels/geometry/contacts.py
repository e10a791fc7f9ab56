"""Distances between atoms and their images, for the few tens of atoms of a candidate: contacts, pushing apart,
overlaps.

Plain pair loops over all images that can matter, since at these sizes a neighbour list costs more than it saves. A
pair is "too close" when its distance is below the (n_el, n_el) minimum of its two species. An atom's own images count.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from grs_evo.kernels.arrays import flags, integers, largest, real_rows, reals
from grs_evo.kernels.compiling import entry_allocating, inner, inner_allocating


def _bordered(compiled: Callable[..., Any]) -> Callable[..., Any]:
    """Hand all arrays over contiguous and read-only, so that each function is compiled for one signature only."""

    @wraps(compiled)
    def call(*arguments: Any) -> Any:
        return compiled(*[_frozen(one) if isinstance(one, np.ndarray) else one for one in arguments])

    return call


def _frozen(array: Any) -> Any:
    if array.flags.c_contiguous:
        if not array.flags.writeable:
            return array
        view = array.view()
    else:
        view = np.ascontiguousarray(array)
    view.flags.writeable = False
    return view


@inner_allocating
def _inverse(cell):
    """Inverse of a (3, 3) cell, written out so that no LAPACK enters a candidate's bits."""
    out = real_rows(3, 3)
    det = (
        cell[0, 0] * (cell[1, 1] * cell[2, 2] - cell[1, 2] * cell[2, 1])
        - cell[0, 1] * (cell[1, 0] * cell[2, 2] - cell[1, 2] * cell[2, 0])
        + cell[0, 2] * (cell[1, 0] * cell[2, 1] - cell[1, 1] * cell[2, 0])
    )
    for i in range(3):
        i1, i2 = (i + 1) % 3, (i + 2) % 3
        for j in range(3):
            j1, j2 = (j + 1) % 3, (j + 2) % 3
            out[j, i] = (cell[i1, j1] * cell[i2, j2] - cell[i1, j2] * cell[i2, j1]) / det
    return out


@inner_allocating
def _cell_heights(inv):
    """Perpendicular heights (3,) Å from the inverse cell: the columns of it are the reciprocal vectors."""
    out = reals(3)
    for k in range(3):
        out[k] = 1.0 / math.sqrt(inv[0, k] * inv[0, k] + inv[1, k] * inv[1, k] + inv[2, k] * inv[2, k])
    return out


@inner_allocating
def image_range(heights, pbc, reach):
    """Number of images (3,) to look at on each side once a separation is wrapped into [-1/2, 1/2)."""
    out = integers(3)
    for k in range(3):
        if pbc[k]:
            out[k] = max(0, math.ceil(reach / heights[k] - 0.5))
    return out


@inner_allocating
def image_multiples(images):
    """(n_images, 3) multiples of the cell vectors, each from -images to images (3,); the middle row is 0, 0, 0.

    As floats, so that loops over all images are one loop without conversions.
    """
    na, nb, nc = 2 * images[0] + 1, 2 * images[1] + 1, 2 * images[2] + 1
    out = real_rows(na * nb * nc, 3)
    k = 0
    for a in range(na):
        for b in range(nb):
            for c in range(nc):
                out[k, 0] = a - images[0]
                out[k, 1] = b - images[1]
                out[k, 2] = c - images[2]
                k += 1
    return out


@inner
def _separation(first, i, second, j, cell, inv, pbc):
    """x, y, z from first[i] to the image of second[j] in the cell around it, Å: shortest in fractional coordinates.

    Arrays and numbers of rows, since a view of a row costs more than all the rest.
    """
    dx, dy, dz = second[j, 0] - first[i, 0], second[j, 1] - first[i, 1], second[j, 2] - first[i, 2]
    x, y, z = dx, dy, dz
    for k in range(3):
        if pbc[k]:
            shift = math.floor(dx * inv[0, k] + dy * inv[1, k] + dz * inv[2, k] + 0.5)
            x -= shift * cell[k, 0]
            y -= shift * cell[k, 1]
            z -= shift * cell[k, 2]
    return x, y, z


@inner
def _image(near, cell, multiples, k):
    """The separation `near` (x, y, z) Å to the image number `k` of `multiples`: x, y, z, added up in a fixed order."""
    a, b, c = multiples[k, 0], multiples[k, 1], multiples[k, 2]
    x = near[0] + a * cell[0, 0] + b * cell[1, 0] + c * cell[2, 0]
    y = near[1] + a * cell[0, 1] + b * cell[1, 1] + c * cell[2, 1]
    z = near[2] + a * cell[0, 2] + b * cell[1, 2] + c * cell[2, 2]
    return x, y, z


@inner
def _least_square(near, cell, multiples, own):
    """Least squared distance, Å², over all images of a separation; with `own`, without the atom itself."""
    least = np.inf
    skipped = len(multiples) // 2 if own else -1
    for k in range(len(multiples)):
        x, y, z = _image(near, cell, multiples, k)
        square = x * x + y * y + z * z
        if square < least and k != skipped:
            least = square
    return least


@_bordered
@entry_allocating
def closest_ratio(positions, cell, species, pbc, minimum):
    """Smallest distance over minimum distance of all pairs and images; inf when none is within its minimum."""
    n = len(species)
    inv = _inverse(cell)
    multiples = image_multiples(image_range(_cell_heights(inv), pbc, largest(minimum)))
    worst = np.inf
    for i in range(n):
        for j in range(i, n):
            near = _separation(positions, i, positions, j, cell, inv, pbc)
            ratio = math.sqrt(_least_square(near, cell, multiples, i == j)) / minimum[species[i], species[j]]
            if ratio < worst:
                worst = ratio
    return worst if worst < 1.0 else np.inf


@_bordered
@entry_allocating
def overlapping(positions, cell, species, pbc, minimum, order):
    """Which atoms to drop so that no two overlap: (n,) bool.

    Atoms are visited in `order`; one that is too close to an atom already kept is dropped.
    """
    n = len(species)
    inv = _inverse(cell)
    multiples = image_multiples(image_range(_cell_heights(inv), pbc, largest(minimum)))
    drop = flags(n)
    for p in range(n):
        i = order[p]
        for q in range(p):
            j = order[q]
            if drop[j]:
                continue
            d0 = minimum[species[i], species[j]]
            near = _separation(positions, i, positions, j, cell, inv, pbc)
            if _least_square(near, cell, multiples, False) < d0 * d0:
                drop[i] = True
                break
    return drop


@_bordered
@entry_allocating
def push_apart(positions, cell, species, pbc, minimum, movable, sweeps):
    """Move atoms until no two are closer than their minimum; returns (positions, sweeps used or -1 when not reached).

    Each sweep moves both atoms of every overlapping pair apart by half of what is missing and a little more (the
    little more keeps the last contacts from closing in only asymptotically). Own images cannot be moved and fail at
    once.
    """
    n = len(species)
    out = positions.copy()
    inv = _inverse(cell)
    multiples = image_multiples(image_range(_cell_heights(inv), pbc, largest(minimum)))
    shift = real_rows(n, 3)
    for sweep in range(sweeps):
        shift[:] = 0.0
        touching = False
        for i in range(n):
            for j in range(i, n):
                d0 = minimum[species[i], species[j]]
                near = _separation(out, i, out, j, cell, inv, pbc)
                for k in range(len(multiples)):
                    if i == j and k == len(multiples) // 2:
                        continue
                    x, y, z = _image(near, cell, multiples, k)
                    d = math.sqrt(x * x + y * y + z * z)
                    if d >= d0:
                        continue
                    touching = True
                    if i == j or (not movable[i] and not movable[j]):
                        return out, -1
                    if d < 1e-8:
                        # Exactly on top of each other: any direction will do, the same each time.
                        x, y, z, d = 1e-8, 0.0, 0.0, 1e-8
                    both = movable[i] and movable[j]
                    part = (0.5 if both else 1.0) * (1.02 * d0 - d) / d
                    if movable[i]:
                        shift[i, 0] -= part * x
                        shift[i, 1] -= part * y
                        shift[i, 2] -= part * z
                    if movable[j]:
                        shift[j, 0] += part * x
                        shift[j, 1] += part * y
                        shift[j, 2] += part * z
        if not touching:
            return out, sweep
        # A crowded atom is pushed by several at once; no step longer than a quarter of the largest minimum.
        longest = 0.25 * largest(minimum)
        for i in range(n):
            x, y, z = shift[i, 0], shift[i, 1], shift[i, 2]
            length = math.sqrt(x * x + y * y + z * z)
            scale = 0.6 if length * 0.6 < longest else longest / length
            for c in range(3):
                out[i, c] += scale * shift[i, c]
    return out, -1


@_bordered
@entry_allocating
def cartesian(fractional, cell):
    """(n, 3) fractional -> Å, in a fixed order of additions."""
    out = np.empty_like(fractional)
    for i in range(len(fractional)):
        for c in range(3):
            out[i, c] = fractional[i, 0] * cell[0, c] + fractional[i, 1] * cell[1, c] + fractional[i, 2] * cell[2, c]
    return out


@_bordered
@entry_allocating
def slab_images(positions, cell, pbc, origin, into_inv, axis, low, width):
    """Atoms (with their images) of one structure that fall into a slab of another structure's cell.

    `origin` (3,) Å is the point of the first structure that comes to lie on the other's origin, `into_inv` the inverse
    of the other cell; the slab holds points whose fractional coordinate along `axis` is in [low, low + width) modulo
    1. Returns atom indices (k,) and fractional coordinates in the other cell (k, 3).
    """
    n = len(positions)
    inv = _inverse(cell)
    into = _inverse(into_inv)
    # The other cell's corners, in this structure's fractional coordinates, bound the images that can matter.
    low_image = integers(3)
    high_image = integers(3)
    corner = reals(3)
    for k in range(3):
        if not pbc[k]:
            continue
        smallest, largest = np.inf, -np.inf
        for which in range(8):
            for c in range(3):
                corner[c] = origin[c]
                for v in range(3):
                    if which >> v & 1:
                        corner[c] += into[v, c]
            s = corner[0] * inv[0, k] + corner[1] * inv[1, k] + corner[2] * inv[2, k]
            smallest = min(smallest, s)
            largest = max(largest, s)
        low_image[k] = math.floor(smallest) - 1
        high_image[k] = math.ceil(largest) + 1
    most = n
    for k in range(3):
        most *= high_image[k] - low_image[k] + 1
    found = 0
    index = integers(most)
    where = real_rows(most, 3)
    base = real_rows(n, 3)
    point = reals(3)
    for i in range(n):
        for c in range(3):
            base[i, c] = positions[i, c]
        for k in range(3):
            if pbc[k]:
                s = positions[i, 0] * inv[0, k] + positions[i, 1] * inv[1, k] + positions[i, 2] * inv[2, k]
                for c in range(3):
                    base[i, c] -= math.floor(s) * cell[k, c]
    for a in range(low_image[0], high_image[0] + 1):
        for b in range(low_image[1], high_image[1] + 1):
            for d in range(low_image[2], high_image[2] + 1):
                for i in range(n):
                    for c in range(3):
                        point[c] = base[i, c] - origin[c] + a * cell[0, c] + b * cell[1, c] + d * cell[2, c]
                    inside = True
                    along = 0.0
                    for k in range(3):
                        s = point[0] * into_inv[0, k] + point[1] * into_inv[1, k] + point[2] * into_inv[2, k]
                        if s < 0.0 or s >= 1.0:
                            inside = False
                            break
                        if k == axis:
                            along = s
                    if not inside:
                        continue
                    offset = along - low
                    if offset < 0.0:
                        offset += 1.0
                    if offset >= width:
                        continue
                    index[found] = i
                    for k in range(3):
                        where[found, k] = (
                            point[0] * into_inv[0, k] + point[1] * into_inv[1, k] + point[2] * into_inv[2, k]
                        )
                    found += 1
    return index[:found], where[:found]


@_bordered
@entry_allocating
def roomiest(positions, cell, species, pbc, minimum, new_species, trials):
    """Index of the trial point (k, 3) Å whose nearest atom, in minimum distances, is farthest; and that ratio."""
    n = len(species)
    inv = _inverse(cell)
    multiples = image_multiples(image_range(_cell_heights(inv), pbc, 1.5 * largest(minimum)))
    best, best_ratio = 0, -1.0
    for t in range(len(trials)):
        ratio = np.inf
        for j in range(n):
            near = _separation(trials, t, positions, j, cell, inv, pbc)
            square = _least_square(near, cell, multiples, False)
            ratio = min(ratio, math.sqrt(square) / minimum[new_species, species[j]])
            if ratio <= best_ratio:
                break
        if ratio > best_ratio:
            best, best_ratio = t, ratio
    return best, best_ratio


@_bordered
@entry_allocating
def fractional(positions, inv):
    """(n, 3) Å -> fractional, in a fixed order of additions; not wrapped."""
    out = np.empty_like(positions)
    for i in range(len(positions)):
        for k in range(3):
            out[i, k] = positions[i, 0] * inv[0, k] + positions[i, 1] * inv[1, k] + positions[i, 2] * inv[2, k]
    return out


@_bordered
@entry_allocating
def inverse(cell):
    """Inverse of a (3, 3) cell."""
    return _inverse(cell)


@_bordered
@entry_allocating
def cell_heights(inv):
    """Perpendicular heights (3,) Å of a cell, from its inverse."""
    return _cell_heights(inv)
