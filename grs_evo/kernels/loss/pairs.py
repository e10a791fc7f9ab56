"""Compiled: pairs of atoms as plain arrays, for terms of the loss that are functions of distances; and the adjoint."""

from __future__ import annotations

from grs_evo.kernels.ace.radial import field
from grs_evo.kernels.ace.tables import DX, DY, DZ, R_INVERSE
from grs_evo.kernels.compiling import entry_allocating, inner_allocating
from grs_evo.kernels.simd import DOUBLE, LANES, SINGLE, item, numbers, width


@inner_allocating
def pairs_of(n_atoms, n_el, n_slots, slots, section, pair, pair_id, first, second, vectors, distances):
    """`list_pairs` of pairs in either precision."""
    count, wide = 0, width(pair)
    for slot in range(n_slots):
        i = slots[slot]
        if i < 0:
            continue
        for block in range(section[slot * n_el], section[slot * n_el + n_el], wide // LANES):
            for lane in range(wide):
                j = pair_id[block * LANES + lane]
                if j >= n_atoms:
                    continue  # fills up a block of lanes
                first[count] = i
                second[count] = j
                vectors[count, 0] = item(pair, field(pair, block, DX) + lane)
                vectors[count, 1] = item(pair, field(pair, block, DY) + lane)
                vectors[count, 2] = item(pair, field(pair, block, DZ) + lane)
                distances[count] = 1.0 / item(pair, field(pair, block, R_INVERSE) + lane)
                count += 1
    return count


@entry_allocating
def list_pairs(n_atoms, n_el, n_slots, slots, section, pair, pair_id, first, second, vectors, distances):
    """The pairs that `describe_into` left in its scratch, each from both of its ends. Returns their number.

    Parameters
    ----------
    n_slots, slots, section, pair, pair_id : of the engine's Work (n_slots is shape[4])
    first, second : (at least section[n_slots * n_el] * LANES,) become the numbers of the two atoms
    vectors, distances : become R_second − R_first, of the image that is near, and its length, Å
    """
    doubles = numbers(pair, DOUBLE)
    return pairs_of(n_atoms, n_el, n_slots, slots, section, doubles, pair_id, first, second, vectors, distances)


@entry_allocating
def list_single(n_atoms, n_el, n_slots, slots, section, pair, pair_id, first, second, vectors, distances):
    """The same of the pairs that `describe_single` left."""
    ones = numbers(pair, SINGLE)
    return pairs_of(n_atoms, n_el, n_slots, slots, section, ones, pair_id, first, second, vectors, distances)


@entry_allocating
def pull_pairs(first, second, vectors, distances, slopes, weight, dpositions, dstrain):
    """Add weight × dV/dR (n_atoms, 3) and dV/dε (3, 3), R → R (1 + ε)ᵀ, from dV/dr of every listed pair."""
    for k in range(distances.shape[0]):
        if slopes[k] == 0.0:
            continue
        push = weight * slopes[k] / distances[k]
        i = first[k]
        j = second[k]
        for a in range(3):
            along = push * vectors[k, a]
            dpositions[i, a] -= along
            dpositions[j, a] += along
            for b in range(3):
                dstrain[a, b] += along * vectors[k, b]


@entry_allocating
def add_weighted(weight, source, into):
    """into += weight × source, both of two dimensions; one pass, no temporary."""
    for i in range(source.shape[0]):
        for k in range(source.shape[1]):
            into[i, k] += weight * source[i, k]
