"""Compiled: which atoms are near which, from scratch at every evaluation.

All periodic images that can matter are made once, sorted by element and into columns along z, and within a column by z.
The neighbours of an atom lie in a few runs of consecutive images, which are tested eight at a time. One scheme serves
the 1-atom cell thinner than its cutoff and the 10^6-atom box; the order of an atom's neighbours depends on the
structure alone.
"""

from __future__ import annotations

import math

import numpy as np

from .simd import COMPRESS, HAIR2, LANES, entry, inner, item, pointer, put
from .tables import GROW, NOT_FINITE, OK, SINGULAR

if COMPRESS:
    from .simd import keep_near
else:

    @inner
    def keep_near(gx, gy, gz, gid, at, left, x, y, z, limit2, px, py, pz, pid, first, count):
        """Of the `left` (at most 8) points from `at` on, append those with hair² <= r² < limit2 at `count`
        (in `pid`, at `first` + `count`)."""
        closer = 0
        for k in range(min(left, LANES)):
            dx = item(gx, at + k) - x
            dy = item(gy, at + k) - y
            dz = item(gz, at + k) - z
            r2 = dx * dx + (dy * dy + dz * dz)
            put(px, count, dx)
            put(py, count, dy)
            put(pz, count, dz)
            put(pid, first + count, item(gid, at + k))
            if r2 < limit2:
                if r2 >= HAIR2:
                    count += 1
                else:
                    closer += 1
        return count, closer


# Images that an atom should meet per run: longer runs test more that are out of reach, shorter ones waste lanes.
_RUN = 24.0
# Bins along z per cutoff.
_Z_BINS = 8.0
# Positions farther than this many cells from the origin (or cells across) are as useless as NaN.
_FAR = 1e9


# Where sort_images keeps its numbers in `grid`, after the origin, widths and inverse widths of the bins.
_INVERSE, _MARGIN, _LOW, _HIGH, _BOX_LOW, _BOX_HIGH = 9, 18, 21, 24, 27, 30


@inner
def wrap_atoms(n, positions, cell, pbc, reach, grid, shift, home):
    """Fractional coordinates and wrapped positions, the ranges they span, and how far images reach beyond them."""
    # rows of `cell` are the vectors; columns of its inverse are the normals to the faces over their heights
    det = 0.0
    for a in range(3):
        b, c = (a + 1) % 3, (a + 2) % 3
        minor = item(cell, 3 + b) * item(cell, 6 + c) - item(cell, 3 + c) * item(cell, 6 + b)
        det += item(cell, a) * minor
    if not (abs(det) > 0.0 and abs(det) < math.inf):
        return SINGULAR
    for a in range(3):
        b, c = (a + 1) % 3, (a + 2) % 3
        square = 0.0
        for d in range(3):
            e, f = (d + 1) % 3, (d + 2) % 3
            minor = item(cell, 3 * b + e) * item(cell, 3 * c + f) - item(cell, 3 * b + f) * item(cell, 3 * c + e)
            entry = minor / det
            put(grid, _INVERSE + 3 * d + a, entry)
            square += entry * entry
        if not (square > 0.0 and square < math.inf):
            return SINGULAR
        put(grid, _MARGIN + a, reach * math.sqrt(square) + 1e-9 if item(pbc, a) else 0.0)
        put(grid, _LOW + a, math.inf)
        put(grid, _HIGH + a, -math.inf)
        put(grid, _BOX_LOW + a, math.inf)
        put(grid, _BOX_HIGH + a, -math.inf)
    for i in range(n):
        px, py, pz = item(positions, 3 * i), item(positions, 3 * i + 1), item(positions, 3 * i + 2)
        for a in range(3):
            s = px * item(grid, _INVERSE + a) + py * item(grid, _INVERSE + 3 + a) + pz * item(grid, _INVERSE + 6 + a)
            if not abs(s) < _FAR:
                return NOT_FINITE
            if item(pbc, a):
                turns = np.floor(s)
                s -= turns
                px -= turns * item(cell, 3 * a)
                py -= turns * item(cell, 3 * a + 1)
                pz -= turns * item(cell, 3 * a + 2)
            put(shift, 3 * i + a, s)
            put(grid, _LOW + a, min(item(grid, _LOW + a), s))
            put(grid, _HIGH + a, max(item(grid, _HIGH + a), s))
        put(home, 3 * i, px)
        put(home, 3 * i + 1, py)
        put(home, 3 * i + 2, pz)
        for a in range(3):
            p = item(home, 3 * i + a)
            put(grid, _BOX_LOW + a, min(item(grid, _BOX_LOW + a), p))
            put(grid, _BOX_HIGH + a, max(item(grid, _BOX_HIGH + a), p))
    return OK


@inner
def image_range(grid, shift, i):
    """First and last multiple of each lattice vector by which images of atom `i` are moved."""
    low = (0, 0, 0)
    high = (0, 0, 0)
    for a in range(3):
        s, margin = item(shift, 3 * i + a), item(grid, _MARGIN + a)
        first, last = 0, 0
        if margin > 0.0:
            first = int(np.ceil(item(grid, _LOW + a) - margin - s))
            last = int(np.floor(item(grid, _HIGH + a) + margin - s))
        low, high = (low[1], low[2], first), (high[1], high[2], last)
    return low, high


@entry
def sort_images(positions, cell, species, pbc, reach, n_el, work):
    """Wrap the atoms, make the images within `reach` of the wrapped atoms, and sort them into columns."""
    n = positions.shape[0]
    need, grid, shape, shift, home = work.need, pointer(work.grid), work.shape, pointer(work.shift), pointer(work.home)
    raw, raw_id, bins, key = pointer(work.raw), pointer(work.raw_id), pointer(work.bins), pointer(work.raw_key)
    gx, gy, gz, gid = pointer(work.gx), pointer(work.gy), pointer(work.gz), pointer(work.gid)
    for k in range(4):
        need[k] = 0
    if 3 * n > work.home.shape[0]:
        need[0] = n
        return GROW
    status = wrap_atoms(n, pointer(positions), pointer(cell), pointer(pbc), reach, grid, shift, home)
    if status != OK:
        return status

    # how many images there can be, and bins for that many: columns wide enough for runs of _RUN images of one element,
    # and along z as fine as there are images to fill them
    capacity = min(work.raw_id.shape[0], work.gid.shape[0] - LANES)
    possible = 0.0
    for i in range(n):
        (a0, b0, c0), (a1, b1, c1) = image_range(grid, shift, i)
        possible += (1.0 + a1 - a0) * (1.0 + b1 - b0) * (1.0 + c1 - c0)
    if possible > capacity:
        need[1] = int(min(possible, 1e18))
        return GROW
    fx, fy, fz = item(grid, _BOX_LOW) - reach, item(grid, _BOX_LOW + 1) - reach, item(grid, _BOX_LOW + 2) - reach
    tx, ty, tz = item(grid, _BOX_HIGH) + reach, item(grid, _BOX_HIGH + 1) + reach, item(grid, _BOX_HIGH + 2) + reach
    lx, ly, lz = tx - fx, ty - fy, tz - fz
    across = math.sqrt(_RUN * n_el * (lx * ly * lz) / (possible * 2.0 * reach))
    nx = int(max(1.0, min(lx / across, 1e5)))
    ny = int(max(1.0, min(ly / across, 1e5)))
    nz = int(max(1.0, min(lz / reach * _Z_BINS, 1e7)))
    nz = max(1, min(nz, 1 + 4 * int(possible) // (nx * ny * n_el)))
    n_bins = nx * ny * nz * n_el
    if n_bins + 2 > work.bins.shape[0]:
        need[2] = n_bins
        return GROW
    per_x, per_y, per_z = nx / lx, ny / ly, nz / lz
    shape[0], shape[1], shape[2] = nx, ny, nz
    bounds = (fx, fy, fz, lx / nx, ly / ny, lz / nz, per_x, per_y, per_z)
    for k in range(9):
        put(grid, k, bounds[k])

    for k in range(n_bins + 2):
        put(bins, k, 0)
    count = 0
    for i in range(n):
        (a0, b0, c0), (a1, b1, c1) = image_range(grid, shift, i)
        hx, hy, hz = item(home, 3 * i), item(home, 3 * i + 1), item(home, 3 * i + 2)
        element = np.int64(species[i]) * nx
        for a in range(a0, a1 + 1):
            for b in range(b0, b1 + 1):
                sx = a * cell[0, 0] + b * cell[1, 0]
                sy = a * cell[0, 1] + b * cell[1, 1]
                sz = a * cell[0, 2] + b * cell[1, 2]
                for c in range(c0, c1 + 1):
                    x, y, z = hx + (sx + c * cell[2, 0]), hy + (sy + c * cell[2, 1]), hz + (sz + c * cell[2, 2])
                    if x >= fx and x <= tx and y >= fy and y <= ty and z >= fz and z <= tz:
                        ix = min(int((x - fx) * per_x), nx - 1)
                        iy = min(int((y - fy) * per_y), ny - 1)
                        iz = min(int((z - fz) * per_z), nz - 1)
                        k = ((element + ix) * ny + iy) * nz + iz
                        put(raw, 3 * count, x)
                        put(raw, 3 * count + 1, y)
                        put(raw, 3 * count + 2, z)
                        put(raw_id, count, i)
                        put(key, count, k)
                        put(bins, k + 2, item(bins, k + 2) + 1)
                        count += 1
    shape[3] = count
    for k in range(2, n_bins + 2):
        put(bins, k, item(bins, k) + item(bins, k - 1))
    for g in range(count):
        k = item(key, g) + 1
        at = item(bins, k)
        put(bins, k, at + 1)
        put(gx, at, item(raw, 3 * g))
        put(gy, at, item(raw, 3 * g + 1))
        put(gz, at, item(raw, 3 * g + 2))
        put(gid, at, item(raw_id, g))
    return OK


@entry
def order_by_place(work, n_atoms):
    """Into `atoms`: the atoms column by column of the sorted images, so that neighbours share cache lines."""
    gx, gy, gz, gid = pointer(work.gx), pointer(work.gy), pointer(work.gz), pointer(work.gid)
    home, atoms = pointer(work.home), pointer(work.atoms)
    found = 0
    for g in range(work.shape[3]):
        i = item(gid, g)
        same_x, same_y = item(gx, g) == item(home, 3 * i), item(gy, g) == item(home, 3 * i + 1)
        if same_x and same_y and item(gz, g) == item(home, 3 * i + 2) and found < n_atoms:
            put(atoms, found, i)
            found += 1
    return found == n_atoms


@inner
def find_near(x, y, z, element, reach, grid, shape, bins, gx, gy, gz, gid, sx, sy, sz, pair_id, first, room):
    """Neighbours of element `element` nearer than `reach` to a point: into sx, sy, sz from 0, pair_id from `first`.

    Returns their number, or -1 if there is no room for them, and how many points are nearer than a hair.
    """
    nx, ny, nz = item(shape, 0), item(shape, 1), item(shape, 2)
    fx, fy, fz = item(grid, 0), item(grid, 1), item(grid, 2)
    wx, wy, per_x, per_y, per_z = item(grid, 3), item(grid, 4), item(grid, 6), item(grid, 7), item(grid, 8)
    reach2 = reach * reach
    slack = reach2 * (1.0 + 1e-9)
    ix0 = max(int((x - reach - fx) * per_x), 0)
    ix1 = min(int((x + reach - fx) * per_x), nx - 1)
    iy0 = max(int((y - reach - fy) * per_y), 0)
    iy1 = min(int((y + reach - fy) * per_y), ny - 1)
    count, closer = 0, 0
    for ix in range(ix0, ix1 + 1):
        left = fx + ix * wx
        dx = max(max(left - x, x - left - wx), 0.0)
        for iy in range(iy0, iy1 + 1):
            front = fy + iy * wy
            dy = max(max(front - y, y - front - wy), 0.0)
            rest = slack - dx * dx - dy * dy
            if rest <= 0.0:
                continue
            half = math.sqrt(rest)
            iz0 = max(int((z - half - fz) * per_z), 0)
            iz1 = min(int((z + half - fz) * per_z), nz - 1)
            column = ((element * nx + ix) * ny + iy) * nz
            begin, end = item(bins, column + iz0), item(bins, column + iz1 + 1)
            if count + (end - begin) > room:
                return -1, 0
            for at in range(begin, end, LANES):
                count, more = keep_near(
                    gx, gy, gz, gid, at, end - at, x, y, z, reach2, sx, sy, sz, pair_id, first, count
                )
                closer += more
    return count, closer
