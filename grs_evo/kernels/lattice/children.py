"""Compiled: a generation's children on fixed sites: parents by tournament, mutations, crossover, no repeats.

Random numbers are drawn in the order of `search.strategies.genetic` and its operators, so that one stream gives the
same children by either way; a test compares them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import config
from numba.np.random.generator_core import next_uint32
from numpy.typing import NDArray

from grs_evo.kernels.arrays import assign, equal, integers, reals
from grs_evo.kernels.bundles import bundle
from grs_evo.kernels.compiling import entry_allocating, inner, inner_allocating
from grs_evo.kernels.digest import digest64
from grs_evo.kernels.lattice.moves import count

# what an operator does
FRESH, MIX, SWAP, FLIP, SWAPS, FLIPS = range(6)
# integers of `Children`
(
    SLOT,  # children asked for so far
    MADE,
    TRIED,  # for the child in work
    REPEATED,  # whether one of these was a repeat
    FRUITLESS,  # children in a row that came to nothing but repeats
    OPERATOR,  # of the candidate that is wanted from outside; −1: there is no operator at all
    OFFER,  # NOTHING, or what came of that
    N_KEYS,
    FAILURES,  # operators that made no child
    REPEATS,
) = range(10)
N_INTS = 10
NOTHING, GIVEN, REFUSED = range(3)
# draws of a place before all are looked through; see `operators.occupation`
_TRIES = 20
# children in a row without anything new, before the generation gives up
MOST_FRUITLESS = 5
_ONE = np.uint64(1)

if config.DISABLE_JIT:

    def next_uint32(bits):
        return np.random.Generator(bits).integers(1 << 32, dtype=np.uint32)


@bundle
class ChildRules(NamedTuple):
    """By what a generation's children are made."""

    crossover: float  # its probability; else mutation
    by_crossover: NDArray[np.float64]  # (n_operators,) cumulative probabilities
    by_mutation: NDArray[np.float64]
    acts: NDArray[np.int64]  # (n_operators,) what each does
    tournament: int
    several: int  # swaps or flips at once, at most
    repeats: int  # tries after a first that came to nothing
    refuse: bool  # whether repeats are refused
    free: bool  # no rule for the composition
    least: NDArray[np.int64]  # (n_el,) smallest number of sites an element may hold
    most: NDArray[np.int64]  # (n_el,)
    scaled: NDArray[np.float64]  # (n_sites, 3) fractional coordinates
    n_bytes: int  # of the message that is digested


@bundle
class Children(NamedTuple):
    """What was made so far."""

    species: NDArray[np.int32]  # (n_wanted + 1, n_sites); the last row is for tries
    parents: NDArray[np.int64]  # (n_wanted, 2) indices; −1: none
    operators: NDArray[np.int64]  # (n_wanted,) −1: no operator
    keys: NDArray[np.uint64]  # (n_wanted,) of their contents
    tries: NDArray[np.int64]  # (n_operators,)
    table: NDArray[np.uint64]  # (a power of two,) the keys of this generation, by themselves; 0: empty
    words: NDArray[np.uint64]  # the message that is digested: species, then whatever the caller put behind them
    halves: NDArray[np.uint32]  # the same memory
    ints: NDArray[np.int64]  # (N_INTS,)


@inner_allocating
def _below(rng, n):
    return int(rng.random() * n)


@inner_allocating
def _pick(rng, scores, tournament):
    """The index of the best of a few; of equals the first."""
    winner = _below(rng, scores.shape[0])
    for _ in range(tournament - 1):
        other = _below(rng, scores.shape[0])
        if scores[other] < scores[winner] or (scores[other] == scores[winner] and other < winner):
            winner = other
    return winner


@inner_allocating
def _draw(rng, cumulative):
    x = rng.random()
    k = 0
    while k < cumulative.shape[0] - 1 and cumulative[k] <= x:
        k += 1
    return k


@inner_allocating
def _up_to(rng, most):
    """A whole number from 0 to `most`, as NumPy's generators shuffle with: random bits below the next power of two."""
    mask = np.uint64(1)
    while mask < np.uint64(most):
        mask = (mask << _ONE) | _ONE
    while True:
        drawn = np.uint64(next_uint32(rng.bit_generator)) & mask
        if drawn <= np.uint64(most):
            return np.int64(drawn)


@inner_allocating
def _shuffle(rng, numbers, n):
    """The first n numbers in another order."""
    for k in range(n - 1, 0, -1):
        other = _up_to(rng, k)
        numbers[k], numbers[other] = numbers[other], numbers[k]


@inner_allocating
def _swap(rng, child, times):
    """Exchange two elements, a few times; False where all sites hold the same."""
    n = child.shape[0]
    for _ in range(times):
        i = j = 0
        for _ in range(_TRIES):
            i = _below(rng, n)
            j = _below(rng, n)
            if child[i] != child[j]:
                break
        if child[i] == child[j]:
            pairs = 0
            for i in range(n):
                for j in range(i + 1, n):
                    pairs += child[i] != child[j]
            if pairs == 0:
                return False
            left = _below(rng, pairs)
            i = j = 0
            while left >= 0:
                j += 1
                if j == n:
                    i += 1
                    j = i + 1
                left -= child[i] != child[j]
        child[i], child[j] = child[j], child[i]
    return True


@inner_allocating
def _flip(rng, rules, child, counts, times, done):
    """Change the elements of a few sites within the composition's limits; False where none was found."""
    n_el = counts.shape[0]
    n_done = 0
    for _ in range(_TRIES + times):
        if n_done == times:
            break
        i = _below(rng, child.shape[0])
        again = False
        for k in range(n_done):
            again = again or done[k] == i
        if again:
            continue
        old = child[i]
        new = _below(rng, n_el - 1)
        new += new >= old
        if not rules.free and (counts[old] <= rules.least[old] or counts[new] >= rules.most[new]):
            continue
        counts[old] -= 1
        counts[new] += 1
        child[i] = new
        done[n_done] = i
        n_done += 1
    return n_done > 0


@inner
def _nearest(rules, counts, wanted):
    """The allowed counts of the same sum that differ least; as `Composition.nearest`."""
    excess = 0
    for e in range(counts.shape[0]):
        wanted[e] = min(max(counts[e], rules.least[e]), rules.most[e])
        excess += wanted[e] - counts[e]
    while excess != 0:
        chosen = 0
        widest = -1
        for e in range(counts.shape[0]):
            room = wanted[e] - rules.least[e] if excess > 0 else rules.most[e] - wanted[e]
            if room > widest:
                widest = room
                chosen = e
        step = 1 if excess > 0 else -1
        wanted[chosen] -= step
        excess -= step


@inner_allocating
def _repair(rng, rules, child, counts, wanted, leaving):
    """Elements changed on as few sites as the composition's limits need."""
    n = child.shape[0]
    count(child, counts)
    _nearest(rules, counts, wanted)
    total = 0
    for e in range(counts.shape[0]):
        if counts[e] > wanted[e]:
            held = 0
            for i in range(n):
                if child[i] == e:
                    leaving[total + held] = i
                    held += 1
            _shuffle(rng, leaving[total:], held)
            total += counts[e] - wanted[e]
    _shuffle(rng, leaving, total)
    k = 0
    for e in range(counts.shape[0]):
        for _ in range(wanted[e] - counts[e]):
            child[leaving[k]] = e
            k += 1


@inner_allocating
def _mix(rng, rules, mine, theirs, child, numbers):
    """Elements of the second parent on random sites, or in a slab, and of the first elsewhere; not repaired."""
    n = child.shape[0]
    if rng.random() < 0.5:
        axis = _below(rng, 3)
        low = rng.random()
        width = 0.2 + 0.6 * rng.random()
        for i in range(n):
            child[i] = theirs[i] if (rules.scaled[i, axis] + 1e-9 - low) % 1.0 < width else mine[i]
        return
    for i in range(n):
        numbers[i] = rng.random()
    share = 0.2 + 0.6 * rng.random()
    for i in range(n):
        child[i] = theirs[i] if numbers[i] < share else mine[i]


@inner_allocating
def _act(rng, act, rules, mine, theirs, child, counts, wanted, places, numbers):
    """A child of these parents; False where there is none."""
    assign(child, mine)
    if act == MIX:
        _mix(rng, rules, mine, theirs, child, numbers)
        if not rules.free:
            _repair(rng, rules, child, counts, wanted, places)
        return not equal(child, mine)
    times = 2 + _below(rng, rules.several - 1) if act in (SWAPS, FLIPS) else 1
    if act in (SWAP, SWAPS):
        return _swap(rng, child, times) and (times == 1 or not equal(child, mine))
    count(child, counts)
    return _flip(rng, rules, child, counts, times, places)


@inner
def _is_known(known, key):
    """Whether a key is among some that are sorted."""
    low = 0
    high = known.shape[0]
    while low < high:
        middle = (low + high) // 2
        if known[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low < known.shape[0] and known[low] == key


@inner
def place_of(table, key):
    """Where a key is in the table, or would be."""
    last = np.uint64(table.shape[0] - 1)
    k = key & last
    while table[k] != 0 and table[k] != key:
        k = (k + np.uint64(1)) & last
    return k


@entry_allocating
def make_children(rng, stock, scores, known, rules, made):
    """Children until all that are wanted were tried for; True: first a candidate without parents is wanted.

    The caller puts it into the last row of `made.species` and GIVEN into OFFER, or REFUSED where there is none, and
    calls again.

    Parameters
    ----------
    stock : (n_parents, n_sites) their elements
    scores : (n_parents,) the lower the better
    known : keys of what was made before, sorted
    """
    ints = made.ints
    n_wanted, n = made.parents.shape[0], stock.shape[1]
    child = made.species[n_wanted]
    counts = integers(rules.least.shape[0])
    wanted = integers(rules.least.shape[0])
    places = integers(max(n, rules.several))
    numbers = reals(n)
    state = np.empty(16, np.uint64)
    chain = np.empty(8, np.uint64)
    while ints[SLOT] < n_wanted:
        found = False
        while not found and ints[TRIED] <= rules.repeats:
            first = second = -1
            if ints[OFFER] == NOTHING:
                cumulative = rules.by_crossover if rng.random() < rules.crossover else rules.by_mutation
                ints[OPERATOR] = -1
                if cumulative[cumulative.shape[0] - 1] > 0.0:
                    ints[OPERATOR] = _draw(rng, cumulative)
                    made.tries[ints[OPERATOR]] += 1
                act = FRESH if ints[OPERATOR] < 0 else rules.acts[ints[OPERATOR]]
                if act == FRESH:
                    return True
                first = _pick(rng, scores, rules.tournament)
                if act == MIX:
                    second = _pick(rng, scores, rules.tournament)
                    if second == first:
                        second = _below(rng, scores.shape[0])
                ok = _act(rng, act, rules, stock[first], stock[second], child, counts, wanted, places, numbers)
                ints[FAILURES] += not ok
            else:
                ok = ints[OFFER] == GIVEN
                ints[OFFER] = NOTHING
            ints[TRIED] += 1
            if not ok:
                continue
            for i in range(n):
                made.halves[i] = child[i]
            key = digest64(made.words, rules.n_bytes, state, chain)
            at = place_of(made.table, key)
            if rules.refuse and (made.table[at] == key or _is_known(known, key)):
                ints[REPEATS] += 1
                ints[REPEATED] = 1
                continue
            made.table[at] = key
            k = ints[MADE]
            assign(made.species[k], child)
            made.parents[k, 0] = first
            made.parents[k, 1] = second
            made.operators[k] = ints[OPERATOR]
            made.keys[k] = key
            ints[MADE] += 1
            found = True
        ints[FRUITLESS] = 0 if found else ints[FRUITLESS] + ints[REPEATED]
        ints[SLOT] += 1
        ints[TRIED] = 0
        ints[REPEATED] = 0
        if ints[FRUITLESS] == MOST_FRUITLESS:
            break
    return False
