"""Compiled: moves of an occupation within its rules: flips, swaps, exchanges of orbits; and random occupations."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.arrays import assign, count_up
from grs_evo.kernels.bundles import bundle
from grs_evo.kernels.compiling import inner_allocating

# how often a random draw is repeated before the remaining choices are listed in turn
TRIES = 64


@bundle
class Moves(NamedTuple):
    """The moves of an occupation that are allowed."""

    # (n_moves, 3): (0, site, shift of the element), (1, site, other site) or (2, orbit, other orbit of as many sites)
    table: NDArray[np.int32]
    allowed: NDArray[np.bool_]  # (n_sites, n_el)
    least: NDArray[np.int64]  # (n_el,) smallest number of sites an element may hold
    most: NDArray[np.int64]  # (n_el,)
    legal: NDArray[np.int32]  # (n_sites,) one occupation that breaks no rule
    uniform: bool  # draw compositions uniformly (False: counts are what `least` and `most` leave)
    orbits: NDArray[np.int32]  # (n_orbits, 1 + most) how many sites, and which; not empty: starts are `legal`, shuffled


@inner_allocating
def below(rng, n):
    """A random integer in 0 … n − 1."""
    return min(int(rng.random() * n), n - 1)


@inner_allocating
def permute(rng, order):
    """Shuffle in place."""
    for k in range(order.shape[0] - 1, 0, -1):
        other = below(rng, k + 1)
        order[k], order[other] = order[other], order[k]


@inner_allocating
def count(occupation, counts):
    """Sites per element."""
    counts[:] = 0
    for i in range(occupation.shape[0]):
        counts[occupation[i]] += 1


@inner_allocating
def _propose_orbits(allowed, one, other, occupation, sites, elements, n_changes):
    """`propose` for the exchange of what stands on two orbits of as many sites."""
    old, new = occupation[one[1]], occupation[other[1]]
    if old == new:
        return n_changes
    for k in range(1, one[0] + 1):
        if not (allowed[one[k], new] and allowed[other[k], old]):
            return n_changes
    for k in range(1, one[0] + 1):
        n = n_changes + 2 * (k - 1)
        sites[n], elements[n] = one[k], new
        sites[n + 1], elements[n + 1] = other[k], old
    return n_changes + 2 * one[0]


@inner_allocating
def most_changes(moves):
    """Sites that one move may change."""
    return 2 * max(1, moves.orbits.shape[1] - 1)


@inner_allocating
def propose(moves, move, occupation, counts, sites, elements, n_changes):
    """Append a move to the list of changes if it changes something and breaks no rule; return the new length."""
    n_el = moves.allowed.shape[1]
    i = moves.table[move, 1]
    if moves.table[move, 0] == 2:
        return _propose_orbits(
            moves.allowed, moves.orbits[i], moves.orbits[moves.table[move, 2]], occupation, sites, elements, n_changes
        )
    old = occupation[i]
    if moves.table[move, 0] == 0:
        new = (old + moves.table[move, 2]) % n_el
        if not moves.allowed[i, new] or counts[old] <= moves.least[old] or counts[new] >= moves.most[new]:
            return n_changes
        sites[n_changes] = i
        elements[n_changes] = new
        return n_changes + 1
    j = moves.table[move, 2]
    new = occupation[j]
    if new == old or not moves.allowed[i, new] or not moves.allowed[j, old]:
        return n_changes
    sites[n_changes] = i
    elements[n_changes] = new
    sites[n_changes + 1] = j
    elements[n_changes + 1] = old
    return n_changes + 2


@inner_allocating
def propose_random(rng, moves, occupation, counts, sites, elements, n_changes):
    """Append a random move that changes something and breaks no rule; nothing is appended if there is none."""
    n_moves = moves.table.shape[0]
    for _ in range(TRIES):
        n = propose(moves, below(rng, n_moves), occupation, counts, sites, elements, n_changes)
        if n > n_changes:
            return n
    first = below(rng, n_moves)
    for k in range(n_moves):
        n = propose(moves, (first + k) % n_moves, occupation, counts, sites, elements, n_changes)
        if n > n_changes:
            return n
    return n_changes


@inner_allocating
def apply(occupation, counts, sites, elements, first, end):
    """Make the changes first … end − 1."""
    for n in range(first, end):
        counts[occupation[sites[n]]] -= 1
        counts[elements[n]] += 1
        occupation[sites[n]] = elements[n]


@inner_allocating
def propose_several(rng, moves, n_wanted, occupation, counts, sites, elements):
    """A list of changes from up to n_wanted random moves in turn; occupation and counts end as they were."""
    olds = np.empty(most_changes(moves) * n_wanted, np.int32)
    n = 0
    for _ in range(n_wanted):
        following = propose_random(rng, moves, occupation, counts, sites, elements, n)
        for k in range(n, following):
            olds[k] = occupation[sites[k]]
        apply(occupation, counts, sites, elements, n, following)
        n = following
    for k in range(n - 1, -1, -1):
        counts[occupation[sites[k]]] -= 1
        counts[olds[k]] += 1
        occupation[sites[k]] = olds[k]
    return n


@inner_allocating
def _shuffle(rng, moves, counts, occupation):
    """The known legal occupation after many random legal moves."""
    assign(occupation, moves.legal)
    count(occupation, counts)
    sites = np.empty(most_changes(moves), np.int32)
    elements = np.empty(most_changes(moves), np.int32)
    for _ in range(4 * occupation.shape[0]):
        n = propose_random(rng, moves, occupation, counts, sites, elements, 0)
        apply(occupation, counts, sites, elements, 0, n)


@inner_allocating
def draw_occupation(rng, moves, occupation):
    """A random occupation within the rules.

    Free compositions are drawn uniformly: element weights from a flat Dirichlet distribution, then every site by
    itself, so that each vector of counts is as likely as any other where nothing is forbidden. What breaks a limit is
    repaired at random; if that fails, the known legal occupation is shuffled by random legal moves.
    """
    n_sites = occupation.shape[0]
    n_el = moves.allowed.shape[1]
    counts = np.zeros(n_el, np.int64)
    if moves.orbits.shape[0] > 0:
        _shuffle(rng, moves, counts, occupation)
        return
    weights = np.empty(n_el)
    for e in range(n_el):
        # 1 − u is never 0
        weights[e] = -math.log(1.0 - rng.random()) if moves.uniform else 1.0
    order = np.empty(n_sites, np.int32)
    count_up(order)
    permute(rng, order)
    for k in range(n_sites):
        i = order[k]
        total = 0.0
        for e in range(n_el):
            if moves.allowed[i, e] and counts[e] < moves.most[e]:
                total += weights[e] if moves.uniform else float(moves.most[e] - counts[e])
        if total == 0.0:
            counts[:] = -1
            break
        left = rng.random() * total
        chosen = -1
        for e in range(n_el):
            if moves.allowed[i, e] and counts[e] < moves.most[e]:
                chosen = e
                left -= weights[e] if moves.uniform else float(moves.most[e] - counts[e])
                if left < 0.0:
                    break
        occupation[i] = chosen
        counts[chosen] += 1
    ok = counts[0] >= 0
    if ok:
        for e in range(n_el):
            for _ in range(TRIES * n_sites):
                if counts[e] >= moves.least[e]:
                    break
                i = below(rng, n_sites)
                old = occupation[i]
                if moves.allowed[i, e] and old != e and counts[old] > moves.least[old]:
                    occupation[i] = e
                    counts[old] -= 1
                    counts[e] += 1
            ok = ok and counts[e] >= moves.least[e]
    if not ok:
        _shuffle(rng, moves, counts, occupation)
