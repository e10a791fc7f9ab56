"""Compiled: descriptors of all atoms of a structure, and the gradient of any function of them.

    images → pairs → Chebyshev moments → A → (program) → B           `describe_into`
    dQ/dB → (program backwards) → dQ/dA → moments' adjoints → pairs   `pull_into`, in `adjoint.py`

Both have a twin in single precision, `describe_single` and `pull_single`, made of the same parts, which take the type
of their numbers from the arrays. Scratch is the same as well, read as singles.

Atoms are the lanes of the programs: eight atoms of one element share each step. Which atoms share lanes changes nothing
in their results.
"""

from __future__ import annotations

import numpy as np

from grs_evo.kernels.ace.adjoint import pull_into, pull_single
from grs_evo.kernels.ace.density import accumulate, to_rows
from grs_evo.kernels.ace.interpreter import program_of, run_program
from grs_evo.kernels.ace.slots import AHEAD, block_atoms, fill_slots
from grs_evo.kernels.ace.tables import BLOCK, COLUMNS, Tables, Work, kernel_tables, larger_work, make_work, share_work
from grs_evo.kernels.compiling import entry, inner
from grs_evo.kernels.geometry.images import sort_images, sorted_images
from grs_evo.kernels.geometry.kept import renew
from grs_evo.kernels.geometry.layout import GROW, MODE, OFF, OK, OVERLAP, STARTING, VALID
from grs_evo.kernels.simd import (
    DOUBLE,
    HAIR,
    LANES,
    SINGLE,
    beyond,
    item,
    numbers,
    pointer,
    prefetch,
    put,
    single,
    transpose_rows,
)

__all__ = [
    "GROW",
    "HAIR",
    "OK",
    "OVERLAP",
    "Tables",
    "Work",
    "describe_into",
    "describe_range",
    "describe_single",
    "end_lists",
    "keep_lists",
    "kernel_tables",
    "larger_work",
    "make_work",
    "pull_into",
    "pull_single",
    "share_work",
    "sort_images",
]


# With more atoms than this lists are made afresh each time: the search for candidates goes over all pairs.
MOST_LISTED = 2000


def keep_lists(work: Work, n_atoms: int) -> None:
    """From the next `describe_into` on keep lists of neighbours, for one structure that moves, until `end_lists`."""
    work.kept[VALID] = 0
    work.kept[MODE] = STARTING if n_atoms <= MOST_LISTED else OFF


def end_lists(work: Work) -> None:
    work.kept[MODE] = OFF


@inner
def values_out(species, tables, work, n_slots, out, kind):
    """B of the atoms in the slots, from their moments, into the rows of `out` that `slot_rows` names;
    moments and products in the precision of `kind`."""
    n_el, rows, rows8, l_max = tables.n_el, tables.rows, tables.rows8, tables.l_max
    n_of_l, l_offset, scale = pointer(tables.n_of_l), pointer(tables.l_offset), pointer(tables.row_scale)
    steps, wide_k = program_of(tables, kind), tables.wide_k
    slots, slot_rows, lane_rows = pointer(work.slots), pointer(work.slot_rows), pointer(work.lane_rows)
    moments, spare, values = numbers(work.moments, kind), numbers(work.spare, kind), numbers(work.values, kind)
    all_rows, target, row_size = pointer(tables.b_rows), pointer(out), out.shape[1]
    buffer = tables.n_rows_max * BLOCK
    space = work.values.shape[0] * (2 if single(values) else 1)
    kept = (n_slots // BLOCK + 1) * buffer <= space
    work.shape[6] = 1 if kept else 0
    first_values = values
    for first_slot in range(0, n_slots, BLOCK):
        if kept:
            values = beyond(first_values, first_slot // BLOCK * buffer)
        group = tables.group[species[item(slots, first_slot)]]
        count = block_atoms(slot_rows, first_slot, row_size, lane_rows)
        halves = (count + LANES - 1) // LANES
        one = tables.n_a[group]
        to_rows(
            moments, first_slot, halves, n_el, rows, rows8, l_max, n_of_l, l_offset, wide_k, scale, one, spare,
            values,
        )  # fmt: skip
        begin, end = tables.segments[group, 0], tables.segments[group, 1]
        run_program(values, begin, end, steps, halves > 1)
        size, b_from = tables.sizes[group], tables.b_from[group]
        whole = size // LANES * LANES
        for half in range(halves):
            for k in range(0, whole, LANES):
                # eight streams of stores outrun the hardware's own prefetching (measured: 0.59 to 0.25 µs/atom at 1244)
                for lane in range(half * LANES, half * LANES + LANES):
                    prefetch(target, item(lane_rows, lane) + k + AHEAD)
                transpose_rows(values, all_rows, b_from + k, half * LANES, target, lane_rows, half * LANES, k)
        for lane in range(count):
            at = item(lane_rows, lane)
            for k in range(whole, size):
                put(target, at + k, item(values, item(all_rows, b_from + k) + lane))
            for k in range(size, row_size):
                put(target, at + k, 0.0)


@entry
def describe_range(species, tables, work, atoms, first, last, out):
    """B of atoms[first : last] after the images were sorted; `out` is (last - first, max_size).

    No gradient can follow.
    """
    kinds, group = pointer(species), pointer(tables.group)
    slots, slot_rows = pointer(work.slots), pointer(work.slot_rows)
    n_slots = fill_slots(kinds, pointer(atoms), first, last, group, tables.n_groups, slots, slot_rows)
    status = accumulate(species, tables, work, n_slots, np.bool_(False), DOUBLE)
    if status == OK:
        values_out(species, tables, work, n_slots, out, DOUBLE)
    return status


@inner
def described(positions, cell, species, pbc, tables, work, out, kind):
    """`describe_into` in the precision of `kind`."""
    if work.kept[MODE] == OFF:
        status = sorted_images(positions, cell, species, pbc, tables.reach, tables.n_el, work)
    else:
        status = renew(positions, cell, species, pbc, tables, COLUMNS, work)
    if status != OK:
        return status
    atoms, n = pointer(work.atoms), species.shape[0]
    for i in range(n):
        put(atoms, i, i)
    kinds, group = pointer(species), pointer(tables.group)
    slots, slot_rows = pointer(work.slots), pointer(work.slot_rows)
    n_slots = fill_slots(kinds, atoms, np.int64(0), n, group, tables.n_groups, slots, slot_rows)
    status = accumulate(species, tables, work, n_slots, np.bool_(True), kind)
    if status == OK:
        values_out(species, tables, work, n_slots, out, kind)
    return status


@entry
def describe_into(positions, cell, species, pbc, tables, work, out):
    """B of all atoms, own block only.

    Parameters
    ----------
    positions, cell, species, pbc : arrays of a `Structure`, writable ones
    tables : Tables
    work : Work, from `make_work(n_atoms, tables)`; holds what `pull_into` needs afterwards. Where work.kept[MODE] says
        so (`keep_lists`), its lists of neighbours are kept from call to call
    out : (n_atoms, max_size) B of each atom's own element, the rest 0

    Returns
    -------
    OK, and work.shape[7] atoms have no neighbour; GROW: make a `larger_work(work, tables)` and call again; OVERLAP: an
    atom (its number is work.need[0]) has another nearer than HAIR; NOT_FINITE, SINGULAR: positions or cell cannot be
    used.
    """
    return described(positions, cell, species, pbc, tables, work, out, DOUBLE)


@entry
def describe_single(positions, cell, species, pbc, tables, work, out):
    """The same in single precision from the distances on; lists, vectors and distances are those of `describe_into`."""
    return described(positions, cell, species, pbc, tables, work, out, SINGLE)
