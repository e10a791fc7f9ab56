"""Compiled: relaxation of a network of bonds, and the exchange of bonds by Metropolis' rule.

Wooten, Winer and Weaire (Phys. Rev. Lett. 54, 1392 (1985)) exchange bonds and relax; Barkema and Mousseau (Phys. Rev. B
62, 4985 (2000)) give a relaxation up as soon as it is clear that its end will be refused.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from grs_evo.kernels.arrays import assign, assign_matrix, real_rows, reals, zeros
from grs_evo.kernels.bundles import bundle
from grs_evo.kernels.compiling import entry_allocating, inner, inner_allocating
from grs_evo.kernels.geometry.contacts import _cell_heights, _inverse
from grs_evo.kernels.relaxation.strain import listed, moved_far, other_end, strain

_MEMORY = 10  # steps that L-BFGS remembers
_LONGEST = 0.3  # Å, of a step
_ARMIJO = 1e-4
# A relaxation has ended when it gains less than this share over so many steps; it is given up when even so many times
# what it gained over them would not bring it below the threshold.
_GAIN, _STEPS, _HOPE = 1e-4, 10, 4.0


@bundle
class Plan(NamedTuple):
    """How bonds are exchanged."""

    attempts: int
    hot: float  # temperature at the start and at the end, in units of the strain
    cold: float
    choices: int  # of how many of the nearest atoms of its kind one becomes the new neighbour
    goal: float  # strain that is low enough
    evaluations: int  # of one relaxation, at most
    shape: bool  # whether the cell's shape relaxes, at its volume
    height: float  # Å, smallest height of the cell


@inner
def _slopes(g, virial, length, shape, out):
    """Slopes of positions, and of six strain components times `length` that keep the volume."""
    n = g.shape[0]
    for i in range(n):
        for c in range(3):
            out[3 * i + c] = g[i, c]
    third = (virial[0, 0] + virial[1, 1] + virial[2, 2]) / 3.0
    half = math.sqrt(0.5)
    for a in range(3):
        b, c = (a + 1) % 3, (a + 2) % 3
        out[3 * n + a] = (virial[a, a] - third) / length if shape else 0.0
        out[3 * n + 3 + a] = half * (virial[b, c] + virial[c, b]) / length if shape else 0.0


@inner_allocating
def _stepped(x, cell, p, step, length, to, to_cell):
    """Positions and cell a step further, at the same volume."""
    n = x.shape[0]
    d = real_rows(3, 3)
    scale, half = step / length, math.sqrt(0.5) * step / length
    for a in range(3):
        b, c = (a + 1) % 3, (a + 2) % 3
        d[a, a] = 1.0 + scale * p[3 * n + a]
        d[b, c] = d[c, b] = half * p[3 * n + 3 + a]
    volume = (
        d[0, 0] * (d[1, 1] * d[2, 2] - d[1, 2] * d[2, 1])
        - d[0, 1] * (d[1, 0] * d[2, 2] - d[1, 2] * d[2, 0])
        + d[0, 2] * (d[1, 0] * d[2, 1] - d[1, 1] * d[2, 0])
    )
    shrink = max(volume, 1e-3) ** (-1.0 / 3.0)
    for i in range(n):
        ax, ay, az = x[i, 0] + step * p[3 * i], x[i, 1] + step * p[3 * i + 1], x[i, 2] + step * p[3 * i + 2]
        for c in range(3):
            to[i, c] = shrink * (ax * d[0, c] + ay * d[1, c] + az * d[2, c])
    for k in range(3):
        for c in range(3):
            to_cell[k, c] = shrink * (cell[k, 0] * d[0, c] + cell[k, 1] * d[1, c] + cell[k, 2] * d[2, c])


@inner
def _inner(a, b):
    total = 0.0
    for k in range(a.shape[0]):
        total += a[k] * b[k]
    return total


@inner_allocating
def _descent_direction(g, changes, bends, inverses, shares, first, known, p):
    """The quasi-Newton step (Nocedal & Wright, alg. 7.4) from `known` changes, the newest before row `first`."""
    for k in range(p.shape[0]):
        p[k] = -g[k]
    for t in range(known):
        row = (first - 1 - t) % _MEMORY
        shares[row] = inverses[row] * _inner(changes[row], p)
        for k in range(p.shape[0]):
            p[k] -= shares[row] * bends[row, k]
    row = (first - 1) % _MEMORY
    scale = 1.0 / (inverses[row] * _inner(bends[row], bends[row])) if known else 1e-3
    for k in range(p.shape[0]):
        p[k] *= scale
    for t in range(known - 1, -1, -1):
        row = (first - 1 - t) % _MEMORY
        share = shares[row] - inverses[row] * _inner(bends[row], p)
        for k in range(p.shape[0]):
            p[k] += share * changes[row, k]


@inner
def _longest_step(p, n):
    most = 0.0
    for i in range(n):
        most = max(most, p[3 * i] * p[3 * i] + p[3 * i + 1] * p[3 * i + 1] + p[3 * i + 2] * p[3 * i + 2])
    strained = 0.0
    for k in range(3 * n, 3 * n + 6):
        strained += p[k] * p[k]
    return math.sqrt(max(most, strained / n))


@inner_allocating
def _relaxed(x, cell, species, bonds, springs, shape, evaluations, threshold):
    """L-BFGS on the strain, in place: (strain, whether it may stand). Given up where it would end above `threshold`."""
    n = x.shape[0]
    size = 3 * n + 6
    inv = _inverse(cell)
    length = 1.0
    for h in _cell_heights(inv):
        length *= h ** (1.0 / 3.0)
    length *= n ** (1.0 / 6.0)
    vectors, gradient, virial = real_rows(bonds.ends.shape[0], 4), real_rows(n, 3), real_rows(3, 3)
    trial, trial_cell = real_rows(n, 3), real_rows(3, 3)
    at_list, cell_at_list = x.copy(), cell.copy()
    pairs, images = listed(x, cell, species, bonds, springs)
    g, g_trial, p = zeros(size), zeros(size), zeros(size)
    changes, bends = real_rows(_MEMORY, size), real_rows(_MEMORY, size)
    inverses, shares = zeros(_MEMORY), zeros(_MEMORY)
    history = reals(_STEPS)
    value = strain(x, cell, species, bonds, springs, pairs, images, vectors, gradient, virial)
    _slopes(gradient, virial, length, shape, g)
    first = known = steps = 0
    used = 1
    while used < evaluations:
        _descent_direction(g, changes, bends, inverses, shares, first, known, p)
        slope = _inner(p, g)
        if not slope < 0.0:
            if known == 0:
                break
            known = 0
            continue
        longest = _longest_step(p, n)
        step = 1.0 if longest < _LONGEST else _LONGEST / longest
        lower = False
        found = value
        for _ in range(8):
            _stepped(x, cell, p, step, length, trial, trial_cell)
            if moved_far(trial, trial_cell, at_list, cell_at_list):
                pairs, images = listed(trial, trial_cell, species, bonds, springs)
                assign_matrix(at_list, trial)
                assign_matrix(cell_at_list, trial_cell)
            found = strain(trial, trial_cell, species, bonds, springs, pairs, images, vectors, gradient, virial)
            used += 1
            lower = found <= value + _ARMIJO * step * slope
            if lower or used >= evaluations:
                break
            step *= 0.4
        if not lower:
            if known == 0 or used >= evaluations:
                break
            known = 0
            continue
        _slopes(gradient, virial, length, shape, g_trial)
        for k in range(size):
            changes[first, k] = step * p[k]
            bends[first, k] = g_trial[k] - g[k]
        curvature = _inner(changes[first], bends[first])
        if curvature > 1e-12:
            inverses[first] = 1.0 / curvature
            first = (first + 1) % _MEMORY
            known = min(known + 1, _MEMORY)
        assign(g, g_trial)
        assign_matrix(x, trial)
        assign_matrix(cell, trial_cell)
        value = found
        if steps >= _STEPS:
            gained = history[steps % _STEPS] - value
            if value - _HOPE * gained > threshold:
                return value, False
            if gained < _GAIN * max(1.0, value):
                break
        history[steps % _STEPS] = value
        steps += 1
    return value, value <= threshold


@inner
def _bonded(bonds, i, j):
    """Whether two atoms are bonded, whatever the image."""
    found = False
    for p in range(bonds.degree[i]):
        found = found or other_end(bonds, bonds.links[i, p], i)[0] == j
    return found


@inner
def _nearest(x, cell, inv, i, j, turns):
    """Distance to the nearest image of atom j by fractional coordinates; `turns` (3,) lead to it."""
    dx, dy, dz = x[j, 0] - x[i, 0], x[j, 1] - x[i, 1], x[j, 2] - x[i, 2]
    for k in range(3):
        turns[k] = -math.floor(dx * inv[0, k] + dy * inv[1, k] + dz * inv[2, k] + 0.5)
    square = 0.0
    for c in range(3):
        gap = x[j, c] - x[i, c] + turns[0] * cell[0, c] + turns[1] * cell[1, c] + turns[2] * cell[2, c]
        square += gap * gap
    return math.sqrt(square)


@inner_allocating
def _new_neighbour(rng, x, cell, inv, species, bonds, choices, a, b, distances, turns):
    """One of the nearest atoms of b's element that a is not bonded to; -1: there is none."""
    n, possible = species.shape[0], 0
    for j in range(n):
        distances[j] = np.inf
        if j != a and j != b and species[j] == species[b] and bonds.degree[j] > 0 and not _bonded(bonds, a, j):
            distances[j] = _nearest(x, cell, inv, a, j, turns)
            possible += 1
    if possible == 0:
        return -1
    chosen = 0
    for nearer in range(1 + int(rng.random() * min(choices, possible))):
        if nearer > 0:
            distances[chosen] = np.inf
        for j in range(n):
            if distances[j] < distances[chosen]:
                chosen = j
    return chosen


@inner_allocating
def _switch(x, cell, inv, bonds, first, second, a, b, c, d, turns):
    """Bonds a-b and c-d become a-d and c-b."""
    _nearest(x, cell, inv, a, d, turns)
    bonds.ends[first, 0], bonds.ends[first, 1] = a, d
    assign(bonds.turns[first], turns)
    _nearest(x, cell, inv, c, b, turns)
    bonds.ends[second, 0], bonds.ends[second, 1] = c, b
    assign(bonds.turns[second], turns)
    for p in range(bonds.degree[b]):
        if bonds.links[b, p] == first:
            bonds.links[b, p] = second
    for p in range(bonds.degree[d]):
        if bonds.links[d, p] == second:
            bonds.links[d, p] = first


@inner
def _lowest(heights):
    return min(heights[0], min(heights[1], heights[2]))


@entry_allocating
def exchange_bonds(rng, x, cell, species, bonds, springs, plan):
    """Exchange bonds of a network and relax it, all in place: (strain in the end, exchanges that were kept).

    Of a bond a-b, a gets another neighbour d of b's element, one of the nearest; b gets that neighbour c of d which has
    a's element. So every atom keeps its number of neighbours of each element. Temperatures fall evenly by ratios.
    """
    n, m = x.shape[0], bonds.ends.shape[0]
    value, _ = _relaxed(x, cell, species, bonds, springs, plan.shape, 2 * plan.evaluations, np.inf)
    old_x, old_cell, old_links = x.copy(), cell.copy(), bonds.links.copy()
    old_ends, old_turns = bonds.ends.copy(), bonds.turns.copy()
    distances, turns = zeros(n), zeros(3)
    kept = 0
    for attempt in range(plan.attempts):
        if value <= plan.goal or m == 0:
            break
        temperature = plan.hot * (plan.cold / plan.hot) ** (attempt / plan.attempts)
        first = int(rng.random() * m)
        side = int(rng.random() * 2.0)
        a, b = bonds.ends[first, side], bonds.ends[first, 1 - side]
        inv = _inverse(cell)
        d = _new_neighbour(rng, x, cell, inv, species, bonds, plan.choices, a, b, distances, turns)
        if d < 0:
            continue
        second = bonds.links[d, int(rng.random() * bonds.degree[d])]
        c, _ = other_end(bonds, second, d)
        if species[c] != species[a] or _bonded(bonds, b, c) or min(abs(c - a), abs(c - b)) == 0:
            continue
        assign_matrix(old_x, x)
        assign_matrix(old_cell, cell)
        assign_matrix(old_ends, bonds.ends)
        assign_matrix(old_turns, bonds.turns)
        assign_matrix(old_links, bonds.links)
        _switch(x, cell, inv, bonds, first, second, a, b, c, d, turns)
        threshold = value - temperature * math.log(1.0 - rng.random())
        found, stands = _relaxed(x, cell, species, bonds, springs, plan.shape, plan.evaluations, threshold)
        if stands and plan.shape:
            stands = _lowest(_cell_heights(_inverse(cell))) >= plan.height
        if stands:
            value = found
            kept += 1
        else:
            assign_matrix(x, old_x)
            assign_matrix(cell, old_cell)
            assign_matrix(bonds.ends, old_ends)
            assign_matrix(bonds.turns, old_turns)
            assign_matrix(bonds.links, old_links)
    return value, kept
