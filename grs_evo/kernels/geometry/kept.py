"""Compiled: lists of neighbours that are kept while a structure moves little, as in a relaxation.

`renew` finds, for each atom, all images within the cutoff and a skin, and keeps them until a pair could have come in
from beyond the skin, by any motion of atoms and cell (`_holds`). In between, only the positions of the images are made
anew, and `find_kept` picks those that are within the cutoff.

Neighbours come by atom and lattice vector, whenever the list was made, and distances from the positions as they are:
the results are those of a list made afresh at every step to the last bit, whatever the skin. They differ from those of
`pairs.find_near`, which has the images in the order of a grid, by rounding alone: the same pairs in another order.
"""

from __future__ import annotations

import math

import numpy as np

from grs_evo.kernels.compiling import inner
from grs_evo.kernels.geometry.images import FAR, INVERSE, MARGIN, frame
from grs_evo.kernels.geometry.layout import (
    BUILDS,
    GROW,
    IMAGES,
    MODE,
    NOT_FINITE,
    OK,
    ON,
    OVERLAP,
    SECTIONS,
    STARTING,
    VALID,
)
from grs_evo.kernels.geometry.pairs import keep_near
from grs_evo.kernels.simd import COMPRESS, HAIR2, LANES, item, pointer, put

# Å. Wider skins last longer and hold more pairs that are out of reach; results do not depend on it.
SKIN = 0.6

# Work.kept_real: the cell at which lists were made, its inverse, then each atom's position then, and the whole lattice
# vectors that took it into the cell at the start.
_CELL, _BACK, _ATOMS = 0, 9, 18

if COMPRESS:
    from grs_evo.kernels.simd import keep_listed
else:

    @inner
    def keep_listed(images, ids, at, atoms, left, x, y, z, limit2, px, py, pz, pid, first, count):
        """Of the `left` (at most 8) images whose numbers are in ids[at …], append those with HAIR² <= r² < limit2 at
        `count` (their atoms, from ids[atoms …], in `pid` at `first` + `count`)."""
        closer = 0
        for k in range(min(left, LANES)):
            g = 4 * item(ids, at + k)
            dx = item(images, g) - x
            dy = item(images, g + 1) - y
            dz = item(images, g + 2) - z
            r2 = dx * dx + (dy * dy + dz * dz)
            put(px, count, dx)
            put(py, count, dy)
            put(pz, count, dz)
            put(pid, first + count, item(ids, atoms + k))
            if r2 < limit2:
                if r2 >= HAIR2:
                    count += 1
                else:
                    closer += 1
        return count, closer


@inner
def image_space(work):
    """How many images the lists can hold."""
    return work.kept_images.shape[0] // 8


@inner
def list_space(work):
    """How many candidates they can hold."""
    return (work.kept_ids.shape[0] - image_space(work)) // 2 - LANES


@inner
def _strain_row(cell, real, a):
    """Row a of E = C₀⁻¹ (C − C₀)."""
    x, y, z = 0.0, 0.0, 0.0
    for k in range(3):
        back = item(real, _BACK + 3 * a + k)
        x += back * (item(cell, 3 * k) - item(real, _CELL + 3 * k))
        y += back * (item(cell, 3 * k + 1) - item(real, _CELL + 3 * k + 1))
        z += back * (item(cell, 3 * k + 2) - item(real, _CELL + 3 * k + 2))
    return x, y, z


@inner
def _holds(positions, cell, n, reach, real):
    """Whether no pair can have come within `reach` since the lists were made.

    The cell's change is d → d (1 + E) for all vectors between atoms, which shortens none by more than |E| of its
    length; what an atom moved besides (u) shortens those to it by |u|.
    """
    ex0, ey0, ez0 = _strain_row(cell, real, 0)
    ex1, ey1, ez1 = _strain_row(cell, real, 1)
    ex2, ey2, ez2 = _strain_row(cell, real, 2)
    bound = ex0 * ex0 + ey0 * ey0 + ez0 * ez0 + ex1 * ex1 + ey1 * ey1 + ez1 * ez1
    bound = math.sqrt(bound + ex2 * ex2 + ey2 * ey2 + ez2 * ez2)
    largest, second = 0.0, 0.0
    for i in range(n):
        x, y, z = item(real, _ATOMS + 6 * i), item(real, _ATOMS + 6 * i + 1), item(real, _ATOMS + 6 * i + 2)
        ux = item(positions, 3 * i) - x - (x * ex0 + y * ex1 + z * ex2)
        uy = item(positions, 3 * i + 1) - y - (x * ey0 + y * ey1 + z * ey2)
        uz = item(positions, 3 * i + 2) - z - (x * ez0 + y * ez1 + z * ez2)
        square = ux * ux + uy * uy + uz * uz
        if not square < math.inf:
            return False
        second = max(second, min(square, largest))
        largest = max(largest, square)
    # the last is for rounding
    return math.sqrt(largest) + math.sqrt(second) + bound * (reach + SKIN) + 1e-9 < SKIN


@inner
def _shifted(positions, cell, j, a, b, c):
    """Atom j's position moved by a, b, c lattice vectors."""
    x = item(positions, 3 * j) + (a * item(cell, 0) + b * item(cell, 3) + c * item(cell, 6))
    y = item(positions, 3 * j + 1) + (a * item(cell, 1) + b * item(cell, 4) + c * item(cell, 7))
    z = item(positions, 3 * j + 2) + (a * item(cell, 2) + b * item(cell, 5) + c * item(cell, 8))
    return x, y, z


@inner
def _place(positions, cell, n, count, home, images, shifts, ids, real):
    """Where the atoms and their images are now."""
    for i in range(n):
        at = _ATOMS + 6 * i + 3
        x, y, z = _shifted(positions, cell, i, item(real, at), item(real, at + 1), item(real, at + 2))
        put(home, 3 * i, x)
        put(home, 3 * i + 1, y)
        put(home, 3 * i + 2, z)
    for g in range(count):
        at = shifts + 4 * g
        x, y, z = _shifted(positions, cell, item(ids, g), item(images, at), item(images, at + 1), item(images, at + 2))
        put(images, 4 * g, x)
        put(images, 4 * g + 1, y)
        put(images, 4 * g + 2, z)


@inner
def _fractions(positions, n, pbc, starting, grid, shift, real):
    """Fractional coordinates in the cell that each atom was in at the start. Returns OK or NOT_FINITE."""
    for i in range(n):
        px, py, pz = item(positions, 3 * i), item(positions, 3 * i + 1), item(positions, 3 * i + 2)
        for a in range(3):
            at = _ATOMS + 6 * i + 3 + a
            s = px * item(grid, INVERSE + a) + py * item(grid, INVERSE + 3 + a) + pz * item(grid, INVERSE + 6 + a)
            if not abs(s) < FAR:
                return NOT_FINITE
            if starting:
                put(real, at, -np.floor(s) if item(pbc, a) else 0.0)
            put(shift, 3 * i + a, s + item(real, at))
            put(real, _ATOMS + 6 * i + a, item(positions, 3 * i + a))
    return OK


@inner
def _span(values, n, a, stride):
    """Lowest and highest of values[stride i + a]."""
    low, high = math.inf, -math.inf
    for i in range(n):
        low, high = min(low, item(values, stride * i + a)), max(high, item(values, stride * i + a))
    return low, high


@inner
def _first(low, s, margin):
    """First multiple of a lattice vector by which an atom at fractional coordinate s is moved."""
    return int(np.ceil(low - margin - s)) if margin > 0.0 else 0


@inner
def _last(high, s, margin):
    return int(np.floor(high + margin - s)) if margin > 0.0 else 0


@inner
def _make_images(positions, cell, species, reach, n_el, most, work):
    """All images within `reach` of the box of the atoms, by element, atom and lattice vector: where they belong, and
    in gx, gy, gz where they are. Returns their number, also where there is no space for them."""
    n, count = species.shape[0], 0
    grid, shift, home, real = pointer(work.grid), pointer(work.shift), pointer(work.home), pointer(work.kept_real)
    images, ids, bins = pointer(work.kept_images), pointer(work.kept_ids), pointer(work.bins)
    gx, gy, gz, gid = pointer(work.gx), pointer(work.gy), pointer(work.gz), pointer(work.gid)
    x0, x1 = _span(home, n, 0, 3)
    y0, y1 = _span(home, n, 1, 3)
    z0, z1 = _span(home, n, 2, 3)
    margin_a, margin_b, margin_c = item(grid, MARGIN), item(grid, MARGIN + 1), item(grid, MARGIN + 2)
    a0, a1 = _span(shift, n, 0, 3)
    b0, b1 = _span(shift, n, 1, 3)
    c0, c1 = _span(shift, n, 2, 3)
    for e in range(n_el):
        put(bins, e, count)
        for j in range(n):
            if species[j] != e:
                continue
            s, t, u = item(shift, 3 * j), item(shift, 3 * j + 1), item(shift, 3 * j + 2)
            at = _ATOMS + 6 * j + 3
            home_a, home_b, home_c = item(real, at), item(real, at + 1), item(real, at + 2)
            for a in range(_first(a0, s, margin_a), _last(a1, s, margin_a) + 1):
                for b in range(_first(b0, t, margin_b), _last(b1, t, margin_b) + 1):
                    for c in range(_first(c0, u, margin_c), _last(c1, u, margin_c) + 1):
                        x, y, z = _shifted(positions, cell, j, a + home_a, b + home_b, c + home_c)
                        inside = x >= x0 - reach and x <= x1 + reach and y >= y0 - reach and y <= y1 + reach
                        if inside and z >= z0 - reach and z <= z1 + reach:
                            if count < most:
                                shifts = 4 * (most + count)
                                put(images, shifts, a + home_a)
                                put(images, shifts + 1, b + home_b)
                                put(images, shifts + 2, c + home_c)
                                put(ids, count, j)
                                put(gx, count, x)
                                put(gy, count, y)
                                put(gz, count, z)
                                put(gid, count, count)
                            count += 1
    put(bins, n_el, count)
    return count


@inner
def _make_lists(species, tables, columns, work):
    """The candidates of each atom. Returns OK, GROW or OVERLAP (work.need[0] is an atom with another on it)."""
    n, n_el, radial = species.shape[0], tables.n_el, pointer(tables.radial)
    home, bins, kept, ids = pointer(work.home), pointer(work.bins), pointer(work.kept), pointer(work.kept_ids)
    gx, gy, gz, gid = pointer(work.gx), pointer(work.gy), pointer(work.gz), pointer(work.gid)
    sx, sy, sz = pointer(work.sx), pointer(work.sy), pointer(work.sz)
    first, space, count = image_space(work), list_space(work), 0
    for i in range(n):
        x, y, z = item(home, 3 * i), item(home, 3 * i + 1), item(home, 3 * i + 2)
        closer = 0
        for e in range(n_el):
            put(kept, SECTIONS + i * n_el + e, count)
            begin, end = item(bins, e), item(bins, e + 1)
            limit = item(radial, (species[i] * n_el + e) * columns) + SKIN
            found = 0
            for at in range(begin, end, LANES):
                if count + found > space or found + LANES > work.sx.shape[0] - LANES:
                    put(pointer(work.need), 3, 2 * found)
                    put(pointer(work.need), 4, int((count + end - begin) * n / (i + 1.0)))
                    return GROW
                found, more = keep_near(
                    gx, gy, gz, gid, at, end - at, x, y, z, limit * limit, sx, sy, sz, ids, first + count, found
                )
                closer += more
            count += found
        if closer != 1:
            work.need[0] = i
            return OVERLAP
    put(kept, SECTIONS + n * n_el, count)
    atoms = first + space + LANES
    for k in range(count):
        put(ids, atoms + k, item(ids, item(ids, first + k)))
    return OK


@inner
def renew(positions, cell, species, pbc, tables, columns, work):
    """Lists for a structure, which are made anew only where they have to be, and where its images are.

    `columns`: numbers of each pair in tables.radial, of which the first is its cutoff. Returns OK, GROW, NOT_FINITE,
    SINGULAR or OVERLAP.
    """
    n, n_el, reach = species.shape[0], tables.n_el, tables.reach
    numbers, box, kept, real = pointer(positions), pointer(cell), pointer(work.kept), pointer(work.kept_real)
    home, images, ids = pointer(work.home), pointer(work.kept_images), pointer(work.kept_ids)
    most = image_space(work)
    for k in range(5):
        put(pointer(work.need), k, 0)
    if item(kept, VALID) == 1 and _holds(numbers, box, n, reach, real):
        _place(numbers, box, n, item(kept, IMAGES), home, images, 4 * most, ids, real)
        return OK
    put(kept, VALID, 0)
    if 3 * n > work.home.shape[0]:
        work.need[0] = n
        return GROW
    # the arrays of lists are made when they are first needed
    if SECTIONS + n * n_el + 1 > work.kept.shape[0] or _ATOMS + 6 * n > work.kept_real.shape[0]:
        work.need[4] = 150 * n
        return GROW
    status = frame(box, pointer(pbc), reach + SKIN, pointer(work.grid))
    if status != OK:
        return status
    starting = item(kept, MODE) == STARTING
    status = _fractions(numbers, n, pointer(pbc), starting, pointer(work.grid), pointer(work.shift), real)
    if status != OK:
        return status
    put(kept, MODE, ON)
    _place(numbers, box, n, np.int64(0), home, images, 4 * most, ids, real)
    count = _make_images(numbers, box, species, reach + SKIN, n_el, min(most, work.gx.shape[0] - LANES), work)
    put(kept, IMAGES, count)
    if count > most or count > work.gx.shape[0] - LANES:
        work.need[1], work.need[4] = count, 150 * n
        return GROW
    status = _make_lists(species, tables, columns, work)
    if status != OK:
        return status
    for k in range(9):
        put(real, _CELL + k, item(box, k))
        put(real, _BACK + k, item(pointer(work.grid), INVERSE + k))
    put(kept, VALID, 1)
    put(kept, BUILDS, item(kept, BUILDS) + 1)
    _place(numbers, box, n, count, home, images, 4 * most, ids, real)
    return OK


@inner
def find_kept(x, y, z, begin, end, reach, images, ids, lists, atoms, sx, sy, sz, pair_id, first, space):
    """What `pairs.find_near` does, from candidates begin … end - 1; `lists` and `atoms` say where they start in `ids`.

    The atom itself is none of them.
    """
    count, closer = 0, 0
    if end - begin > space:
        return -1, 0
    for at in range(begin, end, LANES):
        count, more = keep_listed(
            images, ids, lists + at, atoms + at, end - at, x, y, z, reach * reach, sx, sy, sz, pair_id, first, count
        )
        closer += more
    return count, closer
