"""Compiled: a few first-improvement passes over each new occupation, the local part of a memetic search."""

from __future__ import annotations

from grs_evo.kernels.arrays import count_up, integers, short_integers
from grs_evo.kernels.compiling import entry_allocating
from grs_evo.kernels.lattice.lattice import settle, settle_trial, value_changed, value_whole
from grs_evo.kernels.lattice.moves import apply, count, permute, propose


@entry_allocating
def improve(rng, loss, scratch, moves, passes, occupations, values, last, work):
    """Try every move once per pass, in random order, and keep what lowers the loss.

    Occupations (k, n_sites) are changed in place. `values` (k,) are the losses in the end, and `last` (k,) says how
    many losses had been computed when the last improvement was found. Returns (full, incremental) numbers of losses
    computed. An occupation that no move of a whole pass improves is done.
    """
    n_moves = moves.table.shape[0]
    order = short_integers(n_moves)
    count_up(order)
    counts = integers(loss.tables.n_el)
    sites = short_integers(2)
    elements = short_integers(2)
    full = 0
    incremental = 0
    for k in range(occupations.shape[0]):
        occupation = occupations[k]
        count(occupation, counts)
        value = value_whole(loss, scratch, occupation, work)
        full += 1
        last[k] = full + incremental
        for _ in range(passes):
            permute(rng, order)
            settle(loss, occupation, work)
            better = False
            for m in range(n_moves):
                n = propose(moves, order[m], occupation, counts, sites, elements, 0)
                if n == 0:
                    continue
                trial = value_changed(loss, scratch, occupation, sites, elements, n, work)
                incremental += 1
                if trial < value:
                    apply(occupation, counts, sites, elements, 0, n)
                    settle_trial(loss, occupation, work)
                    value = trial
                    last[k] = full + incremental
                    better = True
            if not better:
                break
        values[k] = value
    return full, incremental
