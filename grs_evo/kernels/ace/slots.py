"""Compiled: which atoms share vector lanes, and where their rows of B lie."""

from __future__ import annotations

from grs_evo.kernels.ace.tables import BLOCK
from grs_evo.kernels.compiling import inner
from grs_evo.kernels.simd import LANES, item, put

# How far ahead, in numbers, rows of B are prefetched.
AHEAD = 4 * LANES


@inner
def fill_slots(species, atoms, first, last, group, n_groups, slots, slot_rows):
    """Atoms number first … last - 1 of `atoms` by program, each program's filled up with -1 to whole blocks.

    `slot_rows` says which of them it is, counted from `first`. Returns the slots used.
    """
    used = 0
    for g in range(n_groups):
        for k in range(first, last):
            i = item(atoms, k)
            if item(group, item(species, i)) == g:
                put(slots, used, i)
                put(slot_rows, used, k - first)
                used += 1
        while used % BLOCK != 0:
            put(slots, used, -1)
            put(slot_rows, used, -1)
            used += 1
    return used


@inner
def block_atoms(slot_rows, first_slot, row_size, lane_rows):
    """Where the rows of B of a block's atoms start, in `lane_rows`; returns how many atoms there are.

    Lanes without an atom get the row of the first atom of their half, so that whole vectors can be moved.
    """
    count = 0
    for lane in range(BLOCK):
        row = item(slot_rows, first_slot + lane)
        if row >= 0:
            count += 1
        else:
            row = item(slot_rows, first_slot + lane // LANES * LANES)
        put(lane_rows, lane, row * row_size)
    return count
