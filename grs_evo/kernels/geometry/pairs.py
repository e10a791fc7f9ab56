"""Compiled: which atoms are near which, among the sorted images of a structure (`images.py`).

The neighbours of an atom lie in a few runs of consecutive images, which are tested eight at a time; their order depends
on the structure alone.
"""

from __future__ import annotations

import math

import numpy as np

from grs_evo.kernels.compiling import entry, inner
from grs_evo.kernels.geometry.layout import GROW, OK
from grs_evo.kernels.simd import COMPRESS, HAIR2, LANES, item, pointer, put

__all__ = ["find_near", "keep_near", "nearest_in_range"]

if COMPRESS:
    from grs_evo.kernels.simd import keep_near
else:

    @inner
    def keep_near(gx, gy, gz, gid, at, left, x, y, z, limit2, px, py, pz, pid, first, count):
        """Of the `left` (at most 8) points from `at` on, append those with HAIR² <= r² < limit2 at `count`
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


@inner
def find_near(x, y, z, element, reach, grid, shape, bins, gx, gy, gz, gid, sx, sy, sz, pair_id, first, space):
    """Neighbours of element `element` nearer than `reach` to a point: into sx, sy, sz from 0, pair_id from `first`.

    Returns their number, or -1 if there are more than `space`, and how many points are nearer than HAIR.
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
            if count + (end - begin) > space:
                return -1, 0
            for at in range(begin, end, LANES):
                count, more = keep_near(
                    gx, gy, gz, gid, at, end - at, x, y, z, reach2, sx, sy, sz, pair_id, first, count
                )
                closer += more
    return count, closer


@entry
def nearest_in_range(species, n_el, work, first, last, reach, squared, owner):
    """Shortest distances below `reach` from atoms first … last - 1, after the images were sorted.

    Parameters
    ----------
    reach : Å, at most the longest cutoff
    squared, owner : (n_el, n_el) become the least squared distance from an element to another, Å², and the number of
        the atom that has it; inf and -1 where there is no such pair. Pairs nearer than HAIR are passed over.

    Returns
    -------
    OK, or GROW: the scratch holds too few pairs, work.need[3] says how many it must hold.
    """
    home, grid, shape, bins = pointer(work.home), pointer(work.grid), pointer(work.shape), pointer(work.bins)
    gx, gy, gz, gid = pointer(work.gx), pointer(work.gy), pointer(work.gz), pointer(work.gid)
    sx, sy, sz, pair_id = pointer(work.sx), pointer(work.sy), pointer(work.sz), pointer(work.pair_id)
    space = min(work.sx.shape[0], work.pair_id.shape[0]) - LANES
    for a in range(n_el):
        for b in range(n_el):
            squared[a, b] = np.inf
            owner[a, b] = -1
    for i in range(first, last):
        x, y, z = item(home, 3 * i), item(home, 3 * i + 1), item(home, 3 * i + 2)
        element = species[i]
        for other in range(n_el):
            count, _ = find_near(
                x, y, z, other, reach, grid, shape, bins, gx, gy, gz, gid, sx, sy, sz, pair_id, np.int64(0), space
            )
            if count < 0:
                work.need[3] = 2 * work.pair_id.shape[0]
                return GROW
            for k in range(count):
                r2 = item(sx, k) * item(sx, k) + (item(sy, k) * item(sy, k) + item(sz, k) * item(sz, k))
                if r2 < squared[element, other]:
                    squared[element, other] = r2
                    owner[element, other] = i
    return OK
