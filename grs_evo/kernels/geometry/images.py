"""Compiled: the periodic images of a structure, sorted so that neighbours lie together, from scratch each time.

All images that can matter are made once, sorted by element and into columns along z, and within a column by z. One
scheme serves the 1-atom cell thinner than its cutoff and the 10^6-atom box.

`sort_images` does it in one call. For large structures the same stages run on several threads (`descriptors.py`):

    frame_images → wrap_atoms (of a range of atoms) → lay_grid → make_images (range) → sort_bins (of a range of bins)

Each range writes what is its own, and within a bin images keep the order of their atoms, so the result is the same to
the last bit however many ranges there are.
"""

from __future__ import annotations

import math

import numpy as np

from grs_evo.kernels.compiling import entry, inner
from grs_evo.kernels.geometry.layout import (
    GROW,
    NOT_FINITE,
    OK,
    PART,
    PART_FROM,
    PART_HOME,
    PART_IMAGES,
    PART_POSSIBLE,
    PART_SPANS,
    SINGULAR,
)
from grs_evo.kernels.simd import LANES, item, pointer, put

# Images that an atom should meet per run: longer runs test more that are out of reach, shorter ones waste lanes.
_RUN = 24.0
# Bins along z per cutoff.
_Z_BINS = 8.0
# Positions farther than this many cells from the origin (or cells across) are as useless as NaN.
FAR = 1e9


# Where numbers are kept in `grid`, after the origin, widths and inverse widths of the bins.
INVERSE, MARGIN, _LOW, _HIGH, _BOX_LOW, _BOX_HIGH = 9, 18, 21, 24, 27, 30


@inner
def frame(cell, pbc, reach, grid):
    """The inverse cell, and how far along each periodic direction images reach beyond the atoms."""
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
            put(grid, INVERSE + 3 * d + a, entry)
            square += entry * entry
        if not (square > 0.0 and square < math.inf):
            return SINGULAR
        put(grid, MARGIN + a, reach * math.sqrt(square) + 1e-9 if item(pbc, a) else 0.0)
    return OK


@inner
def wrap_range(first, last, positions, cell, pbc, grid, shift, home, parts, at):
    """Fractional coordinates and wrapped positions of atoms first … last - 1, and the ranges they span."""
    lx, ly, lz = math.inf, math.inf, math.inf
    hx, hy, hz = -math.inf, -math.inf, -math.inf
    bx, by, bz = math.inf, math.inf, math.inf
    tx, ty, tz = -math.inf, -math.inf, -math.inf
    for i in range(first, last):
        px, py, pz = item(positions, 3 * i), item(positions, 3 * i + 1), item(positions, 3 * i + 2)
        for a in range(3):
            s = px * item(grid, INVERSE + a) + py * item(grid, INVERSE + 3 + a) + pz * item(grid, INVERSE + 6 + a)
            if not abs(s) < FAR:
                return NOT_FINITE
            if item(pbc, a):
                turns = np.floor(s)
                s -= turns
                px -= turns * item(cell, 3 * a)
                py -= turns * item(cell, 3 * a + 1)
                pz -= turns * item(cell, 3 * a + 2)
            put(shift, 3 * i + a, s)
        put(home, 3 * i, px)
        put(home, 3 * i + 1, py)
        put(home, 3 * i + 2, pz)
        s, t, u = item(shift, 3 * i), item(shift, 3 * i + 1), item(shift, 3 * i + 2)
        lx, ly, lz = min(lx, s), min(ly, t), min(lz, u)
        hx, hy, hz = max(hx, s), max(hy, t), max(hz, u)
        bx, by, bz = min(bx, px), min(by, py), min(bz, pz)
        tx, ty, tz = max(tx, px), max(ty, py), max(tz, pz)
    spans = (lx, ly, lz, hx, hy, hz, bx, by, bz, tx, ty, tz)
    for k in range(12):
        put(parts, at + PART_SPANS + k, spans[k])
    return OK


@inner
def join_spans(parts, n_parts, grid):
    """The ranges that all atoms span, from those of the parts."""
    for a in range(3):
        low, high, box_low, box_high = math.inf, -math.inf, math.inf, -math.inf
        for part in range(n_parts):
            at = part * PART + PART_SPANS + a
            low, high = min(low, item(parts, at)), max(high, item(parts, at + 3))
            box_low, box_high = min(box_low, item(parts, at + 6)), max(box_high, item(parts, at + 9))
        put(grid, _LOW + a, low)
        put(grid, _HIGH + a, high)
        put(grid, _BOX_LOW + a, box_low)
        put(grid, _BOX_HIGH + a, box_high)


@inner
def image_range(grid, shift, i):
    """First and last multiple of each lattice vector by which images of atom `i` are moved."""
    low = (0, 0, 0)
    high = (0, 0, 0)
    for a in range(3):
        s, margin = item(shift, 3 * i + a), item(grid, MARGIN + a)
        first, last = 0, 0
        if margin > 0.0:
            first = int(np.ceil(item(grid, _LOW + a) - margin - s))
            last = int(np.floor(item(grid, _HIGH + a) + margin - s))
        low, high = (low[1], low[2], first), (high[1], high[2], last)
    return low, high


@inner
def count_range(first, last, grid, shift):
    """How many images atoms first … last - 1 can have, a whole number."""
    possible = 0.0
    for i in range(first, last):
        (a0, b0, c0), (a1, b1, c1) = image_range(grid, shift, i)
        possible += (1.0 + a1 - a0) * (1.0 + b1 - b0) * (1.0 + c1 - c0)
    return possible


@inner
def lay_bins(possible, reach, n_el, capacity, grid, shape):
    """Bins for that many images: columns wide enough for runs of _RUN images of one element, and along z as fine as
    there are images to fill them. Returns their number; without the capacity for it nothing can be sorted."""
    fx, fy, fz = item(grid, _BOX_LOW) - reach, item(grid, _BOX_LOW + 1) - reach, item(grid, _BOX_LOW + 2) - reach
    tx, ty, tz = item(grid, _BOX_HIGH) + reach, item(grid, _BOX_HIGH + 1) + reach, item(grid, _BOX_HIGH + 2) + reach
    lx, ly, lz = tx - fx, ty - fy, tz - fz
    across = math.sqrt(_RUN * n_el * (lx * ly * lz) / (possible * 2.0 * reach))
    nx = int(max(1.0, min(lx / across, 1e5)))
    ny = int(max(1.0, min(ly / across, 1e5)))
    nz = int(max(1.0, min(lz / reach * _Z_BINS, 1e7)))
    nz = max(1, min(nz, 1 + 4 * int(possible) // (nx * ny * n_el)))
    n_bins = nx * ny * nz * n_el
    if n_bins + 2 > capacity:
        return n_bins
    put(shape, 0, nx)
    put(shape, 1, ny)
    put(shape, 2, nz)
    bounds = (fx, fy, fz, lx / nx, ly / ny, lz / nz, nx / lx, ny / ly, nz / lz)
    for k in range(9):
        put(grid, k, bounds[k])
    return n_bins


@inner
def make_range(first, last, reach, cell, species, grid, shape, shift, home, raw, raw_id, key, begin):
    """Images of atoms first … last - 1 with their bins, from place `begin` on. Returns the place after the last."""
    nx, ny, nz = item(shape, 0), item(shape, 1), item(shape, 2)
    fx, fy, fz = item(grid, 0), item(grid, 1), item(grid, 2)
    tx, ty, tz = item(grid, _BOX_HIGH) + reach, item(grid, _BOX_HIGH + 1) + reach, item(grid, _BOX_HIGH + 2) + reach
    per_x, per_y, per_z = item(grid, 6), item(grid, 7), item(grid, 8)
    count = begin
    for i in range(first, last):
        (a0, b0, c0), (a1, b1, c1) = image_range(grid, shift, i)
        hx, hy, hz = item(home, 3 * i), item(home, 3 * i + 1), item(home, 3 * i + 2)
        element = item(species, i) * nx
        for a in range(a0, a1 + 1):
            for b in range(b0, b1 + 1):
                sx = a * item(cell, 0) + b * item(cell, 3)
                sy = a * item(cell, 1) + b * item(cell, 4)
                sz = a * item(cell, 2) + b * item(cell, 5)
                for c in range(c0, c1 + 1):
                    x, y, z = (
                        hx + (sx + c * item(cell, 6)),
                        hy + (sy + c * item(cell, 7)),
                        hz + (sz + c * item(cell, 8)),
                    )
                    if x >= fx and x <= tx and y >= fy and y <= ty and z >= fz and z <= tz:
                        ix = min(int((x - fx) * per_x), nx - 1)
                        iy = min(int((y - fy) * per_y), ny - 1)
                        iz = min(int((z - fz) * per_z), nz - 1)
                        put(raw, 3 * count, x)
                        put(raw, 3 * count + 1, y)
                        put(raw, 3 * count + 2, z)
                        put(raw_id, count, i)
                        put(key, count, ((element + ix) * ny + iy) * nz + iz)
                        count += 1
    return count


@inner
def sort_range(low, high, parts, n_parts, raw, raw_id, key, bins, gx, gy, gz, gid):
    """Put the images that fall into bins low … high - 1 in their places; the parts' images in the order of the parts.

    bins[k + 1] is first the number of images of bin k, then where its next one goes, and in the end where the images
    of bin k + 1 begin.
    """
    for k in range(low, high):
        put(bins, k + 1, 0)
    at = 0
    for part in range(n_parts):
        begin, end = item(parts, part * PART + PART_FROM), item(parts, part * PART + PART_IMAGES)
        for g in range(int(begin), int(end)):
            k = item(key, g)
            if k < low:
                at += 1
            elif k < high:
                put(bins, k + 1, item(bins, k + 1) + 1)
    if low == 0:
        put(bins, 0, 0)
    for k in range(low, high):
        held = item(bins, k + 1)
        put(bins, k + 1, at)
        at += held
    for part in range(n_parts):
        begin, end = item(parts, part * PART + PART_FROM), item(parts, part * PART + PART_IMAGES)
        for g in range(int(begin), int(end)):
            k = item(key, g)
            if k >= low and k < high:
                at = item(bins, k + 1)
                put(bins, k + 1, at + 1)
                put(gx, at, item(raw, 3 * g))
                put(gy, at, item(raw, 3 * g + 1))
                put(gz, at, item(raw, 3 * g + 2))
                put(gid, at, item(raw_id, g))


@inner
def start_frame(n, cell, pbc, reach, work):
    for k in range(4):
        put(pointer(work.need), k, 0)
    if 3 * n > work.home.shape[0]:
        work.need[0] = n
        return GROW
    return frame(pointer(cell), pointer(pbc), reach, pointer(work.grid))


@inner
def start_bins(n_parts, reach, n_el, work):
    """Where each part's images go, and the bins for all of them, once the parts know how many they can have."""
    parts, need = pointer(work.parts), pointer(work.need)
    capacity = min(work.raw_id.shape[0], work.gid.shape[0] - LANES)
    possible = 0.0
    for part in range(n_parts):
        put(parts, part * PART + PART_FROM, possible)
        possible += item(parts, part * PART + PART_POSSIBLE)
    if possible > capacity:
        put(need, 1, int(min(possible, 1e18)))
        return GROW
    n_bins = lay_bins(possible, reach, n_el, work.bins.shape[0], pointer(work.grid), pointer(work.shape))
    if n_bins + 2 > work.bins.shape[0]:
        put(need, 2, n_bins)
        return GROW
    return OK


@inner
def count_images(n_parts, work):
    """The number of images made, into `shape`."""
    parts, count = pointer(work.parts), 0.0
    for part in range(n_parts):
        count += item(parts, part * PART + PART_IMAGES) - item(parts, part * PART + PART_FROM)
    put(pointer(work.shape), 3, int(count))


@inner
def sorted_images(positions, cell, species, pbc, reach, n_el, work):
    """Wrap the atoms, make the images within `reach` of the wrapped atoms, and sort them into columns."""
    n = positions.shape[0]
    grid, shape, shift, home = pointer(work.grid), pointer(work.shape), pointer(work.shift), pointer(work.home)
    raw, raw_id, bins, key = pointer(work.raw), pointer(work.raw_id), pointer(work.bins), pointer(work.raw_key)
    gx, gy, gz, gid = pointer(work.gx), pointer(work.gy), pointer(work.gz), pointer(work.gid)
    parts, box, zero, one = pointer(work.parts), pointer(cell), np.int64(0), np.int64(1)
    status = start_frame(n, cell, pbc, reach, work)
    if status != OK:
        return status
    status = wrap_range(zero, n, pointer(positions), box, pointer(pbc), grid, shift, home, parts, zero)
    if status != OK:
        return status
    join_spans(parts, one, grid)
    put(parts, PART_POSSIBLE, count_range(zero, n, grid, shift))
    status = start_bins(one, reach, n_el, work)
    if status != OK:
        return status
    last = make_range(zero, n, reach, box, pointer(species), grid, shape, shift, home, raw, raw_id, key, zero)
    put(parts, PART_IMAGES, float(last))
    count_images(one, work)
    n_bins = item(shape, 0) * item(shape, 1) * item(shape, 2) * n_el
    sort_range(zero, n_bins, parts, one, raw, raw_id, key, bins, gx, gy, gz, gid)
    return OK


# ---------------------------------------------------------------------------------------------------------------------
# the same, stage by stage, for several threads


@entry
def sort_images(positions, cell, species, pbc, reach, n_el, work):
    """The same for Python."""
    return sorted_images(positions, cell, species, pbc, reach, n_el, work)


@inner
def share_of(total, share, shares):
    """First and last + 1 of one of `shares` equal ranges."""
    return total * share // shares, total * (share + 1) // shares


@entry
def frame_images(n_atoms, cell, pbc, reach, work):
    """Before all ranges. Returns OK, GROW or SINGULAR."""
    return start_frame(n_atoms, cell, pbc, reach, work)


@entry
def wrap_atoms(positions, cell, pbc, work, part, first, last):
    """Wrap atoms first … last - 1, the range number `part`, which stay in their order. Returns OK or NOT_FINITE."""
    for i in range(first, last):
        put(pointer(work.atoms), i, i)
    return wrap_range(
        first, last, pointer(positions), pointer(cell), pointer(pbc), pointer(work.grid), pointer(work.shift),
        pointer(work.home), pointer(work.parts), part * PART,
    )  # fmt: skip


@entry
def span_atoms(work, n_parts):
    """Between `wrap_atoms` of all ranges and `count_atoms`."""
    join_spans(pointer(work.parts), n_parts, pointer(work.grid))


@entry
def count_atoms(work, part, first, last):
    """Count the images that atoms first … last - 1 can have."""
    put(
        pointer(work.parts),
        part * PART + PART_POSSIBLE,
        count_range(first, last, pointer(work.grid), pointer(work.shift)),
    )


@entry
def lay_grid(work, n_parts, reach, n_el):
    """Between `count_atoms` of all ranges and `make_images`. Returns OK or GROW."""
    return start_bins(n_parts, reach, n_el, work)


@entry
def make_images(cell, species, reach, work, part, first, last):
    """Make the images of atoms first … last - 1."""
    parts = pointer(work.parts)
    end = make_range(
        first, last, reach, pointer(cell), pointer(species), pointer(work.grid), pointer(work.shape),
        pointer(work.shift), pointer(work.home), pointer(work.raw), pointer(work.raw_id), pointer(work.raw_key),
        int(item(parts, part * PART + PART_FROM)),
    )  # fmt: skip
    put(parts, part * PART + PART_IMAGES, float(end))


@entry
def sort_bins(work, n_parts, n_el, share, shares):
    """Sort the images of one of `shares` equal ranges of bins, after `make_images` of all ranges of atoms."""
    shape = pointer(work.shape)
    if share == 0:
        count_images(n_parts, work)
    n_bins = item(shape, 0) * item(shape, 1) * item(shape, 2) * n_el
    low, high = share_of(n_bins, share, shares)
    sort_range(
        low, high, pointer(work.parts), n_parts, pointer(work.raw), pointer(work.raw_id), pointer(work.raw_key),
        pointer(work.bins), pointer(work.gx), pointer(work.gy), pointer(work.gz), pointer(work.gid),
    )  # fmt: skip


@inner
def is_home(g, gx, gy, gz, gid, home):
    """Whether the sorted image `g` is an atom itself."""
    at = 3 * item(gid, g)
    same_x, same_y = item(gx, g) == item(home, at), item(gy, g) == item(home, at + 1)
    return same_x and same_y and item(gz, g) == item(home, at + 2)


@entry
def count_home(work, share, shares):
    """Count the atoms among one of `shares` equal ranges of the sorted images."""
    gx, gy, gz, gid = pointer(work.gx), pointer(work.gy), pointer(work.gz), pointer(work.gid)
    home = pointer(work.home)
    first, last = share_of(work.shape[3], share, shares)
    found = 0
    for g in range(first, last):
        if is_home(g, gx, gy, gz, gid, home):
            found += 1
    put(pointer(work.parts), share * PART + PART_HOME, float(found))


@entry
def order_by_place(work, share, shares, n_atoms):
    """Into `atoms`: the atoms column by column of the sorted images, so that neighbours share cache lines.

    After `count_home` of all ranges, for one of them. Returns False where not all atoms are found.
    """
    gx, gy, gz, gid = pointer(work.gx), pointer(work.gy), pointer(work.gz), pointer(work.gid)
    home, parts, atoms = pointer(work.home), pointer(work.parts), pointer(work.atoms)
    before, found = 0, 0
    for k in range(shares):
        here = int(item(parts, k * PART + PART_HOME))
        found += here
        if k < share:
            before += here
    if found != n_atoms:
        return False
    first, last = share_of(work.shape[3], share, shares)
    for g in range(first, last):
        if is_home(g, gx, gy, gz, gid, home):
            put(atoms, before, item(gid, g))
            before += 1
    return True
