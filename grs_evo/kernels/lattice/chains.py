"""Compiled: Markov chains and descents on fixed sites: annealing, descents and random walks, one loss at a time.

A chain stops and goes on at any evaluation: everything it depends on is in the arrays of `ChainState` and in the
generator, and A of the current occupation is a pure function of the occupation.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.arrays import assign, equal
from grs_evo.kernels.bundles import bundle
from grs_evo.kernels.compiling import entry_allocating, inner_allocating
from grs_evo.kernels.lattice.lattice import settle, settle_trial, value_changed, value_whole
from grs_evo.kernels.lattice.moves import (
    apply,
    below,
    count,
    draw_occupation,
    most_changes,
    permute,
    propose,
    propose_random,
    propose_several,
)

# strategies
FIRST, BEST, ANNEAL, WALK, UPHILL_NEVER = range(5)
# phases
START, GO, CALIBRATE = range(3)
# integers of the state
(
    FULL,  # losses computed from nothing
    INCREMENTAL,  # losses after a move
    PHASE,
    CURSOR,  # of the move tried next
    FAILS,  # moves in a row that did not improve
    STEP,  # of the anneal
    RESTARTS,
    ACCEPTED,
    IMPROVED,
    N_ELITE,
    BEST_MOVE,
    ADOPT,
    N_SEEN,
    STUCK,  # starts from which no move is possible
) = range(14)
N_INTS = 14
# numbers of the state
CURRENT, LOWEST, T_START, MOVE_LOWEST = range(4)
N_FLOATS = 4


@bundle
class ChainOptions(NamedTuple):
    """Settings of a chain as compiled code takes them; `walks` makes them."""

    strategy: int
    steps: int  # of one anneal
    t_start: float  # 0: from the loss differences seen
    t_share: float  # of the median |ΔQ|
    t_end: float  # last temperature over first
    calibration: int  # differences to see first
    several: float  # probability of several moves at once
    most_at_once: int
    kick: int  # random moves away from the lowest at a restart; 0: a fresh occupation


@bundle
class ChainState(NamedTuple):
    """All that the next step of a chain depends on, besides the generator."""

    ints: NDArray[np.int64]  # (N_INTS,)
    floats: NDArray[np.float64]  # (N_FLOATS,)
    current: NDArray[np.int32]  # (n_sites,)
    lowest: NDArray[np.int32]  # (n_sites,) lowest loss since the last restart
    adopt: NDArray[np.int32]  # (n_sites,) where the next start is to be, if ints[ADOPT]
    order: NDArray[np.int32]  # (n_moves,) order in which descents try the moves
    seen: NDArray[np.float64]  # (calibration,) |ΔQ|
    elite: NDArray[np.int32]  # (n_keep, n_sites) the best distinct occupations since they were last taken
    elite_values: NDArray[np.float64]  # (n_keep,) ascending
    elite_at: NDArray[np.int64]  # (n_keep,) number of evaluations when each was found


@inner_allocating
def keep(state, occupation, value):
    """Put an occupation among the best distinct ones."""
    n_keep = state.elite_values.shape[0]
    n = state.ints[N_ELITE]
    if n == n_keep and not value < state.elite_values[n - 1]:
        return
    k = n
    while k > 0 and value < state.elite_values[k - 1]:
        k -= 1
    # Losses of one occupation reached by two ways differ in the last digits.
    near = 1e-9 * (1.0 + abs(value))
    for m in range(n):
        if abs(state.elite_values[m] - value) <= near and equal(state.elite[m], occupation):
            return
    last = min(n, n_keep - 1)
    for m in range(last, k, -1):
        state.elite_values[m] = state.elite_values[m - 1]
        assign(state.elite[m], state.elite[m - 1])
        state.elite_at[m] = state.elite_at[m - 1]
    state.elite_values[k] = value
    state.elite_at[k] = state.ints[FULL] + state.ints[INCREMENTAL]
    assign(state.elite[k], occupation)
    state.ints[N_ELITE] = last + 1


@inner_allocating
def median(values):
    """Of a few numbers."""
    ordered = np.sort(values)
    n = ordered.shape[0]
    return ordered[n // 2] if n % 2 else 0.5 * (ordered[n // 2 - 1] + ordered[n // 2])


@inner_allocating
def start_again(rng, loss, scratch, moves, options, state, work, counts, sites, elements):
    """A new current occupation: adopted, kicked away from the lowest, or fresh; its loss; one full evaluation."""
    ints = state.ints
    floats = state.floats
    if ints[ADOPT] > 0:
        assign(state.current, state.adopt)
        ints[ADOPT] = 0
    elif options.kick > 0 and ints[FULL] > 0:
        assign(state.current, state.lowest)
        count(state.current, counts)
        n = propose_several(rng, moves, options.kick, state.current, counts, sites, elements)
        apply(state.current, counts, sites, elements, 0, n)
    else:
        draw_occupation(rng, moves, state.current)
    if ints[FULL] > 0:
        ints[RESTARTS] += 1
    ints[FULL] += 1
    count(state.current, counts)
    value = value_whole(loss, scratch, state.current, work)
    floats[CURRENT] = value
    if options.kick == 0 or ints[FULL] == 1 or value < floats[LOWEST]:
        floats[LOWEST] = value
        assign(state.lowest, state.current)
    keep(state, state.current, value)
    ints[CURSOR] = 0
    ints[FAILS] = 0
    ints[STEP] = 0
    ints[BEST_MOVE] = -1
    floats[MOVE_LOWEST] = math.inf
    ints[PHASE] = GO
    if options.strategy == ANNEAL and options.t_start == 0.0 and ints[N_SEEN] < options.calibration:
        ints[PHASE] = CALIBRATE
    if options.strategy in (FIRST, ANNEAL):
        permute(rng, state.order)


@entry_allocating
def advance_chain(rng, loss, scratch, moves, options, state, work, evaluations, enough):
    """Go on for a number of evaluations, or until a loss of `enough` or less is found.

    Returns True when it was found; the chain then begins anew if it is advanced again.
    """
    ints = state.ints
    floats = state.floats
    n_moves = moves.table.shape[0]
    size = most_changes(moves) * max(1, options.most_at_once, options.kick)
    sites = np.empty(size, np.int32)
    elements = np.empty(size, np.int32)
    trial = np.empty_like(state.current)
    counts = np.zeros(loss.tables.n_el, np.int64)
    strategy = options.strategy
    stop = ints[FULL] + ints[INCREMENTAL] + evaluations
    count(state.current, counts)
    if ints[PHASE] != START:
        settle(loss, state.current, work)
    while ints[FULL] + ints[INCREMENTAL] < stop:
        if ints[PHASE] == START:
            start_again(rng, loss, scratch, moves, options, state, work, counts, sites, elements)
            if floats[CURRENT] <= enough:
                ints[PHASE] = START
                return True
            continue
        # A trial: changes 0 … n − 1 of `sites` and `elements`.
        n = 0
        move = -1
        if strategy in (FIRST, BEST):
            limit = n_moves - ints[FAILS] if strategy == FIRST else n_moves - ints[CURSOR]
            tried = 0
            while n == 0 and tried < limit:
                move = state.order[ints[CURSOR]] if strategy == FIRST else ints[CURSOR]
                n = propose(moves, move, state.current, counts, sites, elements, 0)
                tried += 1
                ints[CURSOR] += 1
                if strategy == FIRST:
                    ints[FAILS] += 1
                    if ints[CURSOR] == n_moves:
                        ints[CURSOR] = 0
            if n == 0:
                if strategy == BEST and ints[BEST_MOVE] >= 0 and floats[MOVE_LOWEST] < floats[CURRENT]:
                    n = propose(moves, ints[BEST_MOVE], state.current, counts, sites, elements, 0)
                    apply(state.current, counts, sites, elements, 0, n)
                    settle(loss, state.current, work)
                    floats[CURRENT] = floats[MOVE_LOWEST]
                    ints[ACCEPTED] += 1
                    ints[IMPROVED] += 1
                    ints[CURSOR] = 0
                    ints[BEST_MOVE] = -1
                    floats[MOVE_LOWEST] = math.inf
                else:
                    ints[PHASE] = START
                continue
        elif options.several > 0.0 and rng.random() < options.several:
            wanted = 2 + below(rng, options.most_at_once - 1)
            n = propose_several(rng, moves, wanted, state.current, counts, sites, elements)
        elif strategy == ANNEAL:
            # In turn, in an order shuffled at each start: a move that was refused is not tried again before the others
            # (measured on L1_2: half of the evaluations of independent draws).
            tried = 0
            while n == 0 and tried < n_moves:
                n = propose(moves, state.order[ints[CURSOR]], state.current, counts, sites, elements, 0)
                tried += 1
                ints[FAILS] += 1
                ints[CURSOR] += 1
                if ints[CURSOR] == n_moves:
                    ints[CURSOR] = 0
        else:
            n = propose_random(rng, moves, state.current, counts, sites, elements, 0)
        if n == 0:
            ints[STUCK] += 1
            ints[PHASE] = START
            continue
        value = value_changed(loss, scratch, state.current, sites, elements, n, work)
        ints[INCREMENTAL] += 1
        gap = value - floats[CURRENT]
        accept = False
        if strategy == WALK:
            accept = True
        elif strategy == ANNEAL:
            if ints[PHASE] == CALIBRATE:
                state.seen[ints[N_SEEN]] = abs(gap)
                ints[N_SEEN] += 1
                accept = gap <= 0.0
                if ints[N_SEEN] == options.calibration:
                    floats[T_START] = options.t_share * median(state.seen)
                    ints[PHASE] = GO
            else:
                first = options.t_start if options.t_start > 0.0 else floats[T_START]
                fall = ints[STEP] / max(1, options.steps - 1)
                temperature = first * options.t_end**fall
                accept = gap <= 0.0 or (temperature > 0.0 and rng.random() < math.exp(-gap / temperature))
                ints[STEP] += 1
        else:
            accept = gap < 0.0
        # Losses that are not numbers compare false everywhere: they are neither kept nor accepted.
        found = value <= enough
        moving = found or (accept and strategy != BEST and value == value)
        if moving or value < floats[LOWEST]:
            assign(trial, state.current)
            for k in range(n):
                trial[sites[k]] = elements[k]
            if value < floats[LOWEST]:
                floats[LOWEST] = value
                assign(state.lowest, trial)
            keep(state, trial, value)
            if moving:
                assign(state.current, trial)
                count(trial, counts)
                floats[CURRENT] = value
                ints[ACCEPTED] += 1
                ints[IMPROVED] += gap < 0.0
                ints[FAILS] = 0
                if found:
                    ints[PHASE] = START
                    return True
                settle_trial(loss, trial, work)
        if strategy == BEST and value < floats[MOVE_LOWEST]:
            floats[MOVE_LOWEST] = value
            ints[BEST_MOVE] = move
        # All moves in turn were refused: frozen, though the anneal is not over.
        if strategy == ANNEAL and (ints[STEP] >= options.steps or ints[FAILS] >= n_moves):
            ints[PHASE] = START
    return False
