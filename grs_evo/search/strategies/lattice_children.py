"""Children on fixed sites by the shipped chemical operators: a whole generation in one compiled call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.digest import BLOCK_WORDS
from grs_evo.kernels.geometry.contacts import fractional, inverse
from grs_evo.kernels.lattice import children as kernel
from grs_evo.kernels.lattice.children import Children, ChildRules
from grs_evo.loss.lattice import LatticeObjective
from grs_evo.search.candidates.limits import Limits
from grs_evo.search.counters import Ledger
from grs_evo.search.evaluation import NO_PARENTS, Proposal
from grs_evo.search.operators.crossover import occupation_crossover
from grs_evo.search.operators.occupation import flip, flips, swap, swaps
from grs_evo.search.operators.record import Act, Operator
from grs_evo.search.operators.table import operators
from grs_evo.search.options import IslandOptions
from grs_evo.search.population.individual import NO_PARENT, Individual
from grs_evo.search.repeats import Repeats
from grs_evo.structures.structure import Structure, with_species

_ACTS: dict[Act | None, int] = {
    occupation_crossover: kernel.MIX,
    swap: kernel.SWAP,
    flip: kernel.FLIP,
    swaps: kernel.SWAPS,
    flips: kernel.FLIPS,
    None: kernel.FRESH,
}


# By lattice: what the rules were made of, and they: the same generation after generation unless rates adapt.
_known: WeakKeyDictionary[LatticeObjective, tuple[Any, ChildRules | None]] = WeakKeyDictionary()


def child_rules(
    crossover: float,
    by_crossover: Sequence[float],
    by_mutation: Sequence[float],
    options: IslandOptions,
    limits: Limits,
    lattice: LatticeObjective,
) -> ChildRules | None:
    """What compiled code makes children by; None where it cannot: operators of others, elements bound to sites."""
    genetic, steps = options.genetic, options.operators.several
    given = (genetic.repeats, genetic.memory > 0, options.selection.tournament, steps)
    key = (limits, operators(), crossover, tuple(by_crossover), tuple(by_mutation), given)
    known = _known.get(lattice)
    if known is None or known[0] != key:
        known = _known[lattice] = (key, _rules(*key, lattice))
    return known[1]


def _rules(
    limits: Limits,
    table: Sequence[Operator],
    crossover: float,
    by_crossover: tuple[float, ...],
    by_mutation: tuple[float, ...],
    given: tuple[int, bool, int, int],
    lattice: LatticeObjective,
) -> ChildRules | None:
    shares = np.diff(by_crossover, prepend=0.0) + np.diff(by_mutation, prepend=0.0)
    if limits.mask(lattice.n_sites) is not None or limits.fixed is not None:
        return None
    if any(share > 0.0 and one.act not in _ACTS for one, share in zip(table, shares.tolist(), strict=True)):
        return None
    rule, template = limits.composition, lattice.template
    bounds = rule.bounds(lattice.n_sites)
    if bounds is None:
        return None
    repeats, refuse, tournament, several = given
    return ChildRules(
        crossover=float(crossover),
        by_crossover=np.array(by_crossover),
        by_mutation=np.array(by_mutation),
        acts=np.array([_ACTS.get(one.act, kernel.FRESH) for one in table]),
        tournament=tournament,
        several=several,
        repeats=repeats,
        refuse=refuse,
        free=rule.kind == "free" and rule.endpoints,
        least=np.array(bounds[0], np.int64),
        most=np.array(bounds[1], np.int64),
        scaled=fractional(template.positions, inverse(template.cell)),
        n_bytes=4 * lattice.n_sites + template.cell.nbytes,
    )


def on_its_sites(population: Sequence[Individual], lattice: LatticeObjective) -> bool:
    """Whether all stand on the lattice's own sites, bit for bit."""
    positions, cell = lattice.template.positions, lattice.template.cell
    return all(
        (one.structure.positions is positions or np.array_equal(one.structure.positions, positions))
        and (one.structure.cell is cell or np.array_equal(one.structure.cell, cell))
        for one in population
    )


def unseen_on_lattice(
    count: int,
    population: Sequence[Individual],
    scores: Sequence[float],
    rules: ChildRules,
    lattice: LatticeObjective,
    repeats: Repeats,
    new: Callable[[str], Proposal | None],
    rng: np.random.Generator,
    ledger: Ledger,
) -> list[Proposal]:
    """Up to `count` children not made before; fewer when operators fail or repeat again and again.

    Parameters
    ----------
    new : makes a candidate without parents, under an operator's name
    """
    ledger.check()
    made = _nothing_yet(count, lattice.template, len(rules.acts), repeats)
    stock = np.array([one.structure.species for one in population])
    numbers = np.array(scores)
    names = [one.name for one in operators()]
    while kernel.make_children(rng, stock, numbers, repeats.known, rules, made):
        operator = int(made.ints[kernel.OPERATOR])
        proposal = new(names[operator] if operator >= 0 else "replace")
        made.ints[kernel.OFFER] = kernel.REFUSED if proposal is None else kernel.GIVEN
        if proposal is not None:
            made.species[-1] = proposal.structure.species
    ledger.tries += made.tries
    ledger.reject("operator", int(made.ints[kernel.FAILURES]))
    ledger.reject("repeat", int(made.ints[kernel.REPEATS]))
    n = int(made.ints[kernel.MADE])
    for key in made.keys[:n].tolist():
        repeats.add(key)
    uids = [*(one.uid for one in population), NO_PARENT]  # what has no parent has index −1
    return [
        Proposal(
            with_species(lattice.template, species.copy()),
            names[operator] if operator >= 0 else "replace",
            NO_PARENTS if first < 0 else (uids[first], uids[second]),
        )
        for species, operator, (first, second) in zip(
            made.species[:n], made.operators[:n].tolist(), made.parents[:n].tolist(), strict=True
        )
    ]


def _nothing_yet(count: int, template: Structure, n_operators: int, repeats: Repeats) -> Children:
    """Empty arrays of children, and the keys that this generation may not make again."""
    refused = repeats.refused
    table = np.zeros(1 << (4 * (count + len(refused)) + 8).bit_length(), np.uint64)
    for key in refused:
        table[_place_of(table, key)] = key
    n_bytes = template.species.nbytes + template.cell.nbytes
    words = np.zeros(-(-n_bytes // (8 * BLOCK_WORDS)) * BLOCK_WORDS, np.uint64)
    halves = words.view(np.uint32)
    halves[template.n_atoms : template.n_atoms + template.cell.nbytes // 4] = template.cell.ravel().view(np.uint32)
    return Children(
        species=np.zeros((count + 1, template.n_atoms), np.int32),
        parents=np.empty((count, 2), np.int64),
        operators=np.empty(count, np.int64),
        keys=np.zeros(count, np.uint64),
        tries=np.zeros(n_operators, np.int64),
        table=table,
        words=words,
        halves=halves,
        ints=np.zeros(kernel.N_INTS, np.int64),
    )


def _place_of(table: NDArray[np.uint64], key: int) -> int:
    """Where compiled code looks for a key."""
    k = key & (len(table) - 1)
    while table[k] != 0 and int(table[k]) != key:
        k = (k + 1) & (len(table) - 1)
    return k
