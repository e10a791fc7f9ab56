"""Compiled: the strain of a network of bonds.

A network is a graph in a periodic cell: which atoms are bonded, and to which image. Its strain is of Keating's kind
(Phys. Rev. 145, 637 (1966)): squares of what lengths and angles (their cosines) differ from the usual ones, in units
of their spread, so that a spread of the usual size is worth 1/2 each; and walls that keep atoms apart which are not
bonded.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.arrays import real_rows
from grs_evo.kernels.bundles import bundle
from grs_evo.kernels.compiling import entry_allocating, inner, inner_allocating
from grs_evo.kernels.geometry.contacts import _cell_heights, _inverse

Array = NDArray[np.float64]

_SKIN = 0.8  # Å beyond the walls to which pairs are listed
_ROOM = 24  # for listed pairs of an atom, at first


@bundle
class Bonds(NamedTuple):
    """A graph in a cell; changed in place by `exchange`."""

    ends: NDArray[np.int64]  # (m, 2) atoms of each bond
    turns: Array  # (m, 3) multiples of the cell vectors that lead to the image of the second one
    links: NDArray[np.int64]  # (n, most) bonds of each atom
    degree: NDArray[np.int64]  # (n,) how many these are


@bundle
class Springs(NamedTuple):
    """What lengths, angles and distances are usual, by elements."""

    lengths: Array  # (n_el, n_el) Å
    stretch: Array  # (n_el, n_el) 1/Å², one over the squared spread of lengths
    cosines: Array  # (n_el, n_el, n_el) of angles: the centre first
    bend: Array  # (n_el, n_el, n_el) one over their squared spread
    second: Array  # (n_el, n_el) Å, neighbours of one atom are no nearer to each other
    farther: Array  # (n_el, n_el) Å, other atoms are no nearer
    wall: float  # 1/Å², how hard these two are


@inner
def other_end(bonds, bond, atom):
    """The atom at the other end of a bond, and 1, or -1 where `atom` is the second one."""
    if bonds.ends[bond, 0] == atom:
        return bonds.ends[bond, 1], 1.0
    return bonds.ends[bond, 0], -1.0


@inner
def _stretched(x, cell, species, bonds, springs, vectors, g, virial):
    """Strain of the lengths; `vectors` (m, 4) get those along the bonds and one over their lengths."""
    total = 0.0
    for b in range(bonds.ends.shape[0]):
        i, j = bonds.ends[b, 0], bonds.ends[b, 1]
        square = 0.0
        for c in range(3):
            image = bonds.turns[b, 0] * cell[0, c] + bonds.turns[b, 1] * cell[1, c] + bonds.turns[b, 2] * cell[2, c]
            vectors[b, c] = x[j, c] - x[i, c] + image
            square += vectors[b, c] * vectors[b, c]
        length = math.sqrt(square)
        vectors[b, 3] = 1.0 / length
        off, stiff = length - springs.lengths[species[i], species[j]], springs.stretch[species[i], species[j]]
        total += 0.5 * stiff * off * off
        _pull(i, j, stiff * off / length, vectors[b, 0], vectors[b, 1], vectors[b, 2], g, virial)
    return total


@inner
def _pull(i, j, force, x, y, z, g, virial):
    """Add force × (x, y, z), the slope along the vector from atom i to j."""
    gx, gy, gz = force * x, force * y, force * z
    _at(j, gx, gy, gz, g)
    _at(i, -gx, -gy, -gz, g)
    _turn(gx, gy, gz, x, y, z, virial)


@inner
def _at(i, gx, gy, gz, g):
    g[i, 0] += gx
    g[i, 1] += gy
    g[i, 2] += gz


@inner
def _turn(gx, gy, gz, x, y, z, virial):
    virial[0, 0] += gx * x
    virial[0, 1] += gx * y
    virial[0, 2] += gx * z
    virial[1, 0] += gy * x
    virial[1, 1] += gy * y
    virial[1, 2] += gy * z
    virial[2, 0] += gz * x
    virial[2, 1] += gz * y
    virial[2, 2] += gz * z


@inner
def _bent(species, bonds, springs, vectors, g, virial):
    """Strain of the angles, and of neighbours of one atom that are too near to each other."""
    total = 0.0
    for i in range(species.shape[0]):
        for p in range(bonds.degree[i]):
            bond = bonds.links[i, p]
            j, sign = other_end(bonds, bond, i)
            ux, uy, uz, u = sign * vectors[bond, 0], sign * vectors[bond, 1], sign * vectors[bond, 2], vectors[bond, 3]
            for q in range(p):
                bond = bonds.links[i, q]
                k, sign = other_end(bonds, bond, i)
                vx, vy, vz, v = (
                    sign * vectors[bond, 0], sign * vectors[bond, 1], sign * vectors[bond, 2], vectors[bond, 3]
                )  # fmt: skip
                cosine = (ux * vx + uy * vy + uz * vz) * u * v
                stiff = springs.bend[species[i], species[j], species[k]]
                off = cosine - springs.cosines[species[i], species[j], species[k]]
                total += 0.5 * stiff * off * off
                f, uu, vv = stiff * off * u * v, stiff * off * cosine * u * u, stiff * off * cosine * v * v
                ax, ay, az = f * vx - uu * ux, f * vy - uu * uy, f * vz - uu * uz
                bx, by, bz = f * ux - vv * vx, f * uy - vv * vy, f * uz - vv * vz
                wall = springs.second[species[j], species[k]]
                wx, wy, wz = vx - ux, vy - uy, vz - uz
                square = wx * wx + wy * wy + wz * wz
                if 1e-12 < square < wall * wall:
                    near = math.sqrt(square)
                    total += 0.5 * springs.wall * (near - wall) * (near - wall)
                    h = springs.wall * (near - wall) / near
                    ax, ay, az = ax - h * wx, ay - h * wy, az - h * wz
                    bx, by, bz = bx + h * wx, by + h * wy, bz + h * wz
                _at(j, ax, ay, az, g)
                _at(k, bx, by, bz, g)
                _at(i, -ax - bx, -ay - by, -az - bz, g)
                _turn(ax, ay, az, ux, uy, uz, virial)
                _turn(bx, by, bz, vx, vy, vz, virial)
    return total


@inner
def _apart(x, cell, species, springs, pairs, images, n_pairs, g, virial):
    """Strain of listed pairs that are too near."""
    total = 0.0
    for t in range(n_pairs):
        i, j = pairs[t, 0], pairs[t, 1]
        wall = springs.farther[species[i], species[j]]
        a, b, c = images[t, 0], images[t, 1], images[t, 2]
        dx = x[j, 0] - x[i, 0] + a * cell[0, 0] + b * cell[1, 0] + c * cell[2, 0]
        dy = x[j, 1] - x[i, 1] + a * cell[0, 1] + b * cell[1, 1] + c * cell[2, 1]
        dz = x[j, 2] - x[i, 2] + a * cell[0, 2] + b * cell[1, 2] + c * cell[2, 2]
        square = dx * dx + dy * dy + dz * dz
        if 1e-12 < square < wall * wall:
            near = math.sqrt(square)
            share = 0.5 if i == j else 1.0  # an image of the atom itself is met from both sides
            total += 0.5 * share * springs.wall * (near - wall) * (near - wall)
            _pull(i, j, share * springs.wall * (near - wall) / near, dx, dy, dz, g, virial)
    return total


@inner
def _related(bonds, i, j, a, b, c):
    """Whether an image of atom j is a neighbour of i, or a neighbour of a neighbour."""
    found = False
    for p in range(bonds.degree[i]):
        first = bonds.links[i, p]
        k, sign = other_end(bonds, first, i)
        ta, tb, tc = sign * bonds.turns[first, 0], sign * bonds.turns[first, 1], sign * bonds.turns[first, 2]
        found = found or (k == j and ta == a and tb == b and tc == c)
        for q in range(bonds.degree[k]):
            second = bonds.links[k, q]
            end, sign = other_end(bonds, second, k)
            found = found or (
                end == j
                and ta + sign * bonds.turns[second, 0] == a
                and tb + sign * bonds.turns[second, 1] == b
                and tc + sign * bonds.turns[second, 2] == c
            )
    return found


@inner_allocating
def _near_pairs(x, cell, species, bonds, springs, pairs, images):
    """Number of pairs nearer than the farther wall and the skin that are not related; written while there is room."""
    inv = _inverse(cell)
    heights = _cell_heights(inv)
    room, found = pairs.shape[0], 0
    for i in range(species.shape[0]):
        for j in range(i, species.shape[0]):
            wall = springs.farther[species[i], species[j]]
            if wall <= 0.0:
                continue
            reach = wall + _SKIN
            most_a = max(0, math.ceil(reach / heights[0] - 0.5))
            most_b = max(0, math.ceil(reach / heights[1] - 0.5))
            most_c = max(0, math.ceil(reach / heights[2] - 0.5))
            dx, dy, dz = x[j, 0] - x[i, 0], x[j, 1] - x[i, 1], x[j, 2] - x[i, 2]
            home_a = -math.floor(dx * inv[0, 0] + dy * inv[1, 0] + dz * inv[2, 0] + 0.5)
            home_b = -math.floor(dx * inv[0, 1] + dy * inv[1, 1] + dz * inv[2, 1] + 0.5)
            home_c = -math.floor(dx * inv[0, 2] + dy * inv[1, 2] + dz * inv[2, 2] + 0.5)
            for a in range(home_a - most_a, home_a + most_a + 1):
                for b in range(home_b - most_b, home_b + most_b + 1):
                    for c in range(home_c - most_c, home_c + most_c + 1):
                        px = dx + a * cell[0, 0] + b * cell[1, 0] + c * cell[2, 0]
                        py = dy + a * cell[0, 1] + b * cell[1, 1] + c * cell[2, 1]
                        pz = dz + a * cell[0, 2] + b * cell[1, 2] + c * cell[2, 2]
                        if px * px + py * py + pz * pz >= reach * reach:
                            continue
                        if (i == j and a == 0 and b == 0 and c == 0) or _related(bonds, i, j, a, b, c):
                            continue
                        if found < room:
                            pairs[found, 0], pairs[found, 1] = i, j
                            images[found, 0], images[found, 1], images[found, 2] = a, b, c
                        found += 1
    return found


@inner_allocating
def listed(x, cell, species, bonds, springs):
    """Pairs (k, 2) and images (k, 3) that the farther wall may push."""
    room = _ROOM * species.shape[0]
    pairs, images = np.empty((room, 2), np.int64), real_rows(room, 3)
    n = _near_pairs(x, cell, species, bonds, springs, pairs, images)
    if n > room:
        pairs, images = np.empty((n, 2), np.int64), real_rows(n, 3)
        _near_pairs(x, cell, species, bonds, springs, pairs, images)
    return pairs[:n], images[:n]


@inner
def moved_far(x, cell, x0, cell0):
    """Whether a pair that was beyond the skin may have come within its wall since x0."""
    most = 0.0
    for i in range(x.shape[0]):
        square = 0.0
        for c in range(3):
            square += (x[i, c] - x0[i, c]) * (x[i, c] - x0[i, c])
        most = max(most, square)
    grown = 0.0
    for k in range(3):
        square = 0.0
        for c in range(3):
            square += (cell[k, c] - cell0[k, c]) * (cell[k, c] - cell0[k, c])
        grown += math.sqrt(square)
    return 2.0 * math.sqrt(most) + 2.0 * grown > _SKIN


@inner
def strain(x, cell, species, bonds, springs, pairs, images, vectors, g, virial):
    """Strain of a network, its slopes and its virial."""
    for i in range(x.shape[0]):
        g[i, 0] = g[i, 1] = g[i, 2] = 0.0
    for a in range(3):
        virial[a, 0] = virial[a, 1] = virial[a, 2] = 0.0
    total = _stretched(x, cell, species, bonds, springs, vectors, g, virial)
    total += _bent(species, bonds, springs, vectors, g, virial)
    return total + _apart(x, cell, species, springs, pairs, images, pairs.shape[0], g, virial)


@entry_allocating
def strain_of(x, cell, species, bonds, springs, g, virial):
    """Strain of a network; g (n, 3) becomes its slope in 1/Å, virial (3, 3) that under R → R (1 + ε)ᵀ."""
    pairs, images = listed(x, cell, species, bonds, springs)
    return strain(x, cell, species, bonds, springs, pairs, images, real_rows(bonds.ends.shape[0], 4), g, virial)
