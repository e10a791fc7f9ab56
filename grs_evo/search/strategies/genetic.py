"""Evolution of a population by crossover and mutation; and relaxation of fresh candidates without evolution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.search.candidates.source import candidate
from grs_evo.search.counters import Ledger
from grs_evo.search.evaluation import Proposal, evaluate
from grs_evo.search.fresh_candidates import FRUITLESS, ROUNDS, fresh
from grs_evo.search.operators.probabilities import adapt, draw_operator, probabilities
from grs_evo.search.operators.record import Operator
from grs_evo.search.population.archive import default_objectives, objectives
from grs_evo.search.population.individual import NO_PARENT, Individual, heir, order_key
from grs_evo.search.population.selection import pick, preference, survivors
from grs_evo.search.problem import Problem, Step
from grs_evo.search.repeats import Repeats, content_key, content_keys, newest
from grs_evo.search.state import IslandState
from grs_evo.search.strategies.lattice_children import child_rules, on_its_sites, unseen_on_lattice
from grs_evo.structures.structure import Structure


def evolve(state: IslandState, problem: Problem, rng: np.random.Generator, ledger: Ledger) -> Step:
    """One generation: each child by crossover OR mutation of selected parents, elitism, no repeated evaluations."""
    island = problem.islands[state.island]
    on_lattice = problem.limits(state.island).lattice
    if not state.population:
        first = fresh(island.population, state.island, problem, rng, ledger)
        return Step(first, first, content_keys(first, on_lattice), {}, state.rates)

    population = list(state.population)
    tries, successes = ledger.tries.copy(), ledger.successes.copy()
    repeats = Repeats(np.sort(state.seen), island.genetic.memory > 0)
    children = _children(_n_children(population, state.island, problem), state, problem, repeats, rng, ledger)
    following = _following(population, children, state.island, problem)
    rates = adapt(state.rates, ledger.tries - tries, ledger.successes - successes, island.operators)
    seen = newest(np.concatenate([state.seen, repeats.new_keys]), island.genetic.memory)
    return Step(following, children, seen, {}, rates)


def gradient(state: IslandState, problem: Problem, rng: np.random.Generator, ledger: Ledger) -> Step:
    """One generation without evolution: fresh candidates, relaxed; the best of all so far stay."""
    island = problem.islands[state.island]
    count = island.genetic.children or island.population
    new = fresh(count, state.island, problem, rng, ledger, required=not state.population)
    following = sorted([*state.population, *new], key=order_key)[: island.population]
    return Step(following, new, state.seen, {}, state.rates)


# ---------------------------------------------------------------------------------------------------------------------
# survival


def _parents_compete(island: int, problem: Problem) -> bool:
    """Whether the best of parents and children live on, and not the children with an elite."""
    options = problem.islands[island]
    return options.genetic.survival == "plus" or options.selection.kind == "nsga2"


def _n_elite(population: Sequence[Individual], island: int, problem: Problem) -> int:
    return min(problem.islands[island].genetic.elite, len(population) - 1)


def _n_children(population: Sequence[Individual], island: int, problem: Problem) -> int:
    options = problem.islands[island]
    if _parents_compete(island, problem):
        return options.genetic.children or options.population
    return max(1, options.population - _n_elite(population, island, problem))


def _following(
    population: list[Individual], children: list[Individual], island: int, problem: Problem
) -> list[Individual]:
    """The next population."""
    options = problem.islands[island]
    if options.selection.kind == "nsga2":
        pool = population + children
        kept = survivors(_objectives(pool, problem), min(options.population, len(pool)))
        return [pool[k] for k in kept]
    if _parents_compete(island, problem):
        return sorted(population + children, key=order_key)[: options.population]
    # What could not be made (all structures seen already, operators that fail) is filled with the best parents.
    n_parents = max(_n_elite(population, island, problem), options.population - len(children))
    return sorted(population, key=order_key)[:n_parents] + children


def _objectives(individuals: Sequence[Individual], problem: Problem) -> NDArray[np.float64]:
    names = problem.archive.objectives or default_objectives(problem.term_names, size_free=True)
    return objectives(individuals, names, problem.term_names, problem.archive.target_atoms)


# ---------------------------------------------------------------------------------------------------------------------
# children


class _Parents(NamedTuple):
    """The parents of a generation, and the probabilities by which children are made of them."""

    population: Sequence[Individual]
    scores: list[float]  # of each, the lower the better
    crossover: float  # probability of crossover; else mutation
    by_crossover: list[float]  # cumulative probabilities of all operators; zeros: there is no crossover
    by_mutation: list[float]


def _parents(state: IslandState, problem: Problem) -> _Parents:
    population, island = state.population, problem.islands[state.island]
    shares = probabilities(problem.limits(state.island), island.operators, state.rates)
    by_crossover, by_mutation = (one.tolist() for one in shares)
    crossover = island.operators.crossover if by_crossover[-1] > 0.0 else 0.0
    if by_mutation[-1] == 0.0 and crossover > 0.0:
        crossover = 1.0
    if island.selection.kind == "nsga2":
        scores = preference(_objectives(population, problem)).tolist()
    else:
        scores = [one.value for one in population]
    return _Parents(population, scores, crossover, by_crossover, by_mutation)


def _children(
    count: int, state: IslandState, problem: Problem, repeats: Repeats, rng: np.random.Generator, ledger: Ledger
) -> list[Individual]:
    """Up to `count` evaluated children; the content keys of all that was made are added to `repeats`."""
    parents = _parents(state, problem)
    unseen = _maker(parents, state.island, problem, repeats, rng, ledger)
    by_uid = {one.uid: one for one in state.population}
    # Local passes may lead children of different parents into one minimum; one of them is enough.
    on_sites = problem.lattices[state.island] is not None and problem.islands[state.island].genetic.passes > 0
    minima = Repeats(np.sort(content_keys(state.population, True))) if on_sites else None
    children: list[Individual] = []
    for _ in range(ROUNDS):
        batch = unseen(count - len(children))
        if not batch:
            break
        for one in evaluate(batch, state.island, problem, ledger, rng):
            if one is None or (minima is not None and _is_repeated_minimum(one, minima, repeats, ledger)):
                continue
            children.append(_with_ancestors(one, by_uid, ledger))
        if len(children) >= count:
            break
    return children


def _maker(
    parents: _Parents, island: int, problem: Problem, repeats: Repeats, rng: np.random.Generator, ledger: Ledger
) -> Callable[[int], list[Proposal]]:
    """What makes up to so many children not made before, in compiled code where that knows all operators."""
    lattice, options = problem.lattices[island], problem.islands[island]
    if lattice is not None and on_its_sites(parents.population, lattice):
        rules = child_rules(
            parents.crossover, parents.by_crossover, parents.by_mutation, options, problem.limits(island), lattice
        )
        if rules is not None:
            new = partial(_candidate, island=island, problem=problem, rng=rng, ledger=ledger)
            given = (parents.population, parents.scores, rules, lattice, repeats, new, rng, ledger)
            return lambda count: unseen_on_lattice(count, *given)
    return lambda count: _unseen(count, parents, island, problem, repeats, rng, ledger)


def _unseen(
    count: int,
    parents: _Parents,
    island: int,
    problem: Problem,
    repeats: Repeats,
    rng: np.random.Generator,
    ledger: Ledger,
) -> list[Proposal]:
    """Up to `count` children not made before; fewer when operators fail or repeat again and again."""
    batch: list[Proposal] = []
    fruitless = 0
    for _ in range(count):
        ledger.check()
        child, repeated = _one_unseen(parents, island, problem, repeats, rng, ledger)
        if child is not None:
            batch.append(child)
            fruitless = 0
            continue
        fruitless += repeated
        if fruitless == FRUITLESS:
            break
    return batch


def _one_unseen(
    parents: _Parents, island: int, problem: Problem, repeats: Repeats, rng: np.random.Generator, ledger: Ledger
) -> tuple[Proposal | None, bool]:
    """A child not made before, or None; and whether a try gave a repeat."""
    repeated = False
    for _ in range(problem.islands[island].genetic.repeats + 1):
        child = _child(parents, island, problem, rng, ledger)
        if child is None:
            continue
        key = content_key(child.structure, problem.limits(island).lattice)
        if key not in repeats:
            repeats.add(key)
            return child, repeated
        ledger.reject("repeat")
        repeated = True
    return None, repeated


def _child(
    parents: _Parents, island: int, problem: Problem, rng: np.random.Generator, ledger: Ledger
) -> Proposal | None:
    """One try at a child; None, and counted, when the operator cannot make one of these parents."""
    cumulative = parents.by_crossover if rng.random() < parents.crossover else parents.by_mutation
    if cumulative[-1] == 0.0:  # nothing can act
        return _candidate("replace", island, problem, rng, ledger)
    operator = draw_operator(rng, cumulative)
    ledger.attempt(operator.name)
    if operator.act is None:
        return _candidate(operator.name, island, problem, rng, ledger)
    structures, uids = _selected(operator, parents, problem.islands[island].selection.tournament, rng)
    structure = operator.act(rng, structures, problem.limits(island), problem.islands[island].operators)
    if structure is None:
        ledger.reject("operator")
        return None
    return Proposal(structure, operator.name, uids)


def _selected(
    operator: Operator, parents: _Parents, tournament: int, rng: np.random.Generator
) -> tuple[tuple[Structure, ...], tuple[int, int]]:
    """One parent or two, by tournament, and their uids."""
    population = parents.population
    first = pick(rng, parents.scores, tournament)
    one = population[first]
    if not operator.is_crossover:
        return (one.structure,), (one.uid, NO_PARENT)
    second = pick(rng, parents.scores, tournament)
    if second == first:
        second = int(rng.random() * len(population))
    two = population[second]
    return (one.structure, two.structure), (one.uid, two.uid)


def _candidate(
    operator: str, island: int, problem: Problem, rng: np.random.Generator, ledger: Ledger
) -> Proposal | None:
    """A candidate without parents."""
    structure = candidate(rng, problem.sources[island], ledger.reject)
    return None if structure is None else Proposal(structure, operator)


def _is_repeated_minimum(one: Individual, minima: Repeats, repeats: Repeats, ledger: Ledger) -> bool:
    """Whether an individual improved by local passes is one that lives already; if not, it is remembered."""
    key = content_key(one.structure, True)
    if key in minima:
        ledger.reject("repeat")
        return True
    minima.add(key)
    repeats.add_for_later(key)
    return False


def _with_ancestors(one: Individual, by_uid: dict[int, Individual], ledger: Ledger) -> Individual:
    """The individual with its line of descent; one better than its parents counts as its operator's success."""
    parents = [by_uid[uid] for uid in one.parents if uid in by_uid]
    if one.value < min((parent.value for parent in parents), default=-np.inf):
        ledger.success(one.operator)
    return heir(one, parents[0]) if parents else one
