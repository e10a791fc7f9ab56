"""How an island makes its next generation: evolution, or relaxation of fresh candidates only.

Every strategy has the form (state, problem, rng, ledger) -> Step; an island without a population makes its first one.
Any new structure goes through `assess`, which counts: one loss evaluation is 1, gradient and incremental ones are
counted apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grs_evo.search.candidates.source import candidate
from grs_evo.search.counters import Ledger
from grs_evo.search.evaluation import FRUITLESS, ORPHAN, ROUNDS, Made, assess, contains, content_key, fresh, keys_of
from grs_evo.search.operators.probabilities import adapt, draw_operator, probabilities
from grs_evo.search.operators.record import Operator
from grs_evo.search.population.archive import default_objectives, objectives
from grs_evo.search.population.individual import NO_PARENT, Individual, heir, order_key
from grs_evo.search.population.selection import pick, preference, survivors
from grs_evo.search.problem import Problem, Step
from grs_evo.search.state import IslandState


def evolve(state: IslandState, problem: Problem, rng: np.random.Generator, ledger: Ledger) -> Step:
    """One generation: each child by crossover OR mutation of selected parents, elitism, no repeated evaluations."""
    island = problem.islands[state.island]
    options = island.genetic
    if not state.population:
        first = fresh(island.population, state.island, problem, rng, ledger)
        return Step(first, first, keys_of(first, state.island, problem), {}, state.rates)

    population = list(state.population)
    plus = options.survival == "plus" or island.selection.kind == "nsga2"
    elite = min(options.elite, len(population) - 1)
    wanted = (options.children or island.population) if plus else max(1, island.population - elite)
    tries, successes = ledger.tries.copy(), ledger.successes.copy()
    children, keys = _children(population, wanted, state, problem, rng, ledger)

    ranked = sorted(population, key=order_key)
    if island.selection.kind == "nsga2":
        pool = population + children
        kept = survivors(_objectives(pool, problem), min(island.population, len(pool)))
        following = [pool[k] for k in kept]
    elif plus:
        following = sorted(population + children, key=order_key)[: island.population]
    else:
        # What could not be made (a space that is used up, operators that fail) is filled with the best parents.
        following = ranked[: max(elite, island.population - len(children))] + children
    rates = adapt(state.rates, ledger.tries - tries, ledger.successes - successes, island.operators)
    seen = np.concatenate([state.seen, keys])[-options.memory or len(state.seen) + len(keys) :]
    return Step(following, children, seen, {}, rates)


def gradient(state: IslandState, problem: Problem, rng: np.random.Generator, ledger: Ledger) -> Step:
    """One generation without evolution: fresh candidates, relaxed; the best of all so far stay."""
    island = problem.islands[state.island]
    count = island.genetic.children or island.population
    new = fresh(count, state.island, problem, rng, ledger, required=not state.population)
    following = sorted([*state.population, *new], key=order_key)[: island.population]
    return Step(following, new, state.seen, {}, state.rates)


def _children(
    population: Sequence[Individual],
    wanted: int,
    state: IslandState,
    problem: Problem,
    rng: np.random.Generator,
    ledger: Ledger,
) -> tuple[list[Individual], NDArray[np.uint64]]:
    """Up to `wanted` evaluated children, and the content keys of all that was made."""
    island = problem.islands[state.island]
    limits = problem.limits(state.island)
    options = island.genetic
    by_crossover, by_mutation = probabilities(limits, island.operators, state.rates)
    share = island.operators.crossover if by_crossover[-1] > 0.0 else 0.0
    if by_mutation[-1] == 0.0 and share > 0.0:
        share = 1.0
    scores = np.array([one.value for one in population])
    if island.selection.kind == "nsga2":
        scores = preference(_objectives(population, problem))
    family = {one.uid: one for one in population}
    known = np.sort(state.seen)
    new: list[int] = []
    new_set: set[int] = set()
    lattice = problem.lattices[state.island]
    living = np.sort(keys_of(population, state.island, problem)) if options.passes else known
    ends: set[int] = set()
    children: list[Individual] = []
    for _ in range(ROUNDS):
        batch: list[Made] = []
        fruitless = 0
        for _ in range(wanted - len(children)):
            ledger.check()
            repeated = False
            for _ in range(options.repeats + 1):
                cumulative = by_crossover if rng.random() < share else by_mutation
                if cumulative[-1] == 0.0:
                    made = _replaced(rng, "replace", problem, state.island, ledger)
                else:
                    made = _child(
                        rng, draw_operator(rng, cumulative), population, scores, problem, state.island, ledger
                    )
                if made is None:
                    continue
                key = content_key(made[0], limits.lattice)
                if options.memory and (key in new_set or contains(known, key)):
                    ledger.reject("repeat")
                    repeated = True
                    continue
                new.append(key)
                new_set.add(key)
                batch.append(made)
                fruitless = 0
                break
            else:
                fruitless += repeated
                if fruitless == FRUITLESS:
                    break
        if not batch:
            break
        for one in assess(batch, state.island, problem, ledger, rng):
            if one is not None:
                if options.passes and lattice is not None:
                    # Children of different parents may end in the same minimum; one of them is enough.
                    key = content_key(one.structure, True)
                    if key in ends or contains(living, key):
                        ledger.reject("repeat")
                        continue
                    ends.add(key)
                    new.append(key)
                parents = [family[uid] for uid in one.parents if uid in family]
                children.append(heir(one, parents[0]) if parents else one)
                best = min((parent.value for parent in parents), default=-np.inf)
                if one.value < best:
                    ledger.success(one.operator)
        if len(children) >= wanted:
            break
    return children, np.array(new, np.uint64)


def _child(
    rng: np.random.Generator,
    operator: Operator,
    population: Sequence[Individual],
    scores: NDArray[np.float64],
    problem: Problem,
    island: int,
    ledger: Ledger,
) -> Made | None:
    ledger.attempt(operator.name)
    if operator.act is None:
        return _replaced(rng, operator.name, problem, island, ledger)
    options = problem.islands[island]
    first = pick(rng, scores, options.selection.tournament)
    one = population[first]
    if operator.is_crossover:
        second = pick(rng, scores, options.selection.tournament)
        if second == first:
            second = int(rng.random() * len(population))
        two = population[second]
        parents, uids = (one.structure, two.structure), (one.uid, two.uid)
    else:
        parents, uids = (one.structure,), (one.uid, NO_PARENT)  # type: ignore[assignment]
    child = operator.act(rng, parents, problem.limits(island), options.operators)
    if child is None:
        ledger.reject("operator")
        return None
    return child, operator.name, uids


def _replaced(rng: np.random.Generator, operator: str, problem: Problem, island: int, ledger: Ledger) -> Made | None:
    """A candidate without parents."""
    structure = candidate(rng, problem.sources[island], ledger.reject)
    return None if structure is None else (structure, operator, ORPHAN)


def _objectives(individuals: Sequence[Individual], problem: Problem) -> NDArray[np.float64]:
    names = problem.archive.objectives or default_objectives(problem.term_names, size_free=True)
    return objectives(individuals, names, problem.term_names, problem.archive.target_atoms)
