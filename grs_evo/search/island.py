"""One island: from one generation to the next. Without MPI, files or clock: a function of state and problem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from grs_evo.search.counters import COUNTERS, Ledger, Poll, stat_names
from grs_evo.search.evaluation import Proposal, evaluate
from grs_evo.search.fresh_candidates import fresh
from grs_evo.search.operators.table import operator_names
from grs_evo.search.options import MigrantOptions
from grs_evo.search.population.archive import rounded
from grs_evo.search.population.growing import extend, lowest
from grs_evo.search.population.individual import UID_BITS, Individual, order_key
from grs_evo.search.population.selection import pick
from grs_evo.search.problem import Problem, Step
from grs_evo.search.repeats import content_keys
from grs_evo.search.state import IslandState, rng_from_array, rng_to_array
from grs_evo.search.strategies.table import strategy_of
from grs_evo.structures.structure import Structure

# Rows of history that an island carries along, at most.
_HISTORY_ROWS = 2048
# Terms that agree to this relative precision count as the same structure in the measure of diversity.
_ALIKE = 1e-4
# Å by which the sites of a structure from outside may differ from an island's own.
_SITE = 1e-6


def start(
    problem: Problem,
    island: int,
    seed: int,
    round: int = 0,
    previous: IslandState | None = None,
    poll: Poll | None = None,
    evaluated: Callable[[Individual], None] | None = None,
) -> IslandState:
    """Generation 0 of an island, evaluated.

    Parameters
    ----------
    seed : of the run
    round : of a search for a representative set; each has its own random stream
    previous : the island's last state of the round before, whose counters and uids go on, and its best if `carried`
    evaluated : told of every new individual, so that something is left of a generation that `poll` ends
    """
    key = (island,) if round == 0 else (island, round)
    carried: list[Structure] = []
    if previous is not None:
        count = int(np.ceil(problem.islands[island].carried * len(previous.population)))
        carried = [one.structure for one in sorted(previous.population, key=order_key)[:count]]
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))
    n_stats, n_operators = len(stat_names(problem.term_names)), len(operator_names())
    empty = IslandState(
        island=island,
        generation=-1,
        population=(),
        archive=(),
        rng_state=rng_to_array(rng),
        counters=np.zeros(len(COUNTERS), np.int64) if previous is None else previous.counters,
        tries=np.zeros(n_operators, np.int64) if previous is None else previous.tries,
        successes=np.zeros(n_operators, np.int64) if previous is None else previous.successes,
        next_uid=island << UID_BITS if previous is None else previous.next_uid,
        history=np.empty((0, n_stats)),
    )
    return advance(empty, problem, seeds=carried, poll=poll, evaluated=evaluated)


def advance(
    state: IslandState,
    problem: Problem,
    immigrants: Sequence[Individual] = (),
    seeds: Sequence[Structure] = (),
    poll: Poll | None = None,
    evaluated: Callable[[Individual], None] | None = None,
) -> IslandState:
    """One generation.

    Parameters
    ----------
    immigrants : individuals of other islands, evaluated there
    seeds : structures from outside, evaluated here and counted; those that break the island's limits (on a lattice:
        whose sites are not the island's, in their order) are refused and counted
    poll : called between individuals; what it raises ends the generation and leaves `state` as it was
    evaluated : told of every new individual
    """
    options = problem.islands[state.island]
    rng = rng_from_array(state.rng_state)
    ledger = Ledger(
        state.counters.copy(),
        state.tries.copy(),
        state.successes.copy(),
        state.next_uid,
        state.generation + 1,
        poll,
        evaluated,
    )
    arrivals = _evaluated_seeds(seeds, state.island, problem, ledger)
    ledger.count("accepted_seeds", len(arrivals))
    accepted = _accepted(immigrants, state.population, state.island, problem, ledger)
    ledger.count("accepted_migrants", len(accepted))
    arrivals += accepted
    population = _with_arrivals(state.population, arrivals, problem.migration.replace, options.population, rng)

    step = strategy_of(options.strategy)(replace(state, population=tuple(population)), problem, rng, ledger)
    spread = diversity(step.population)
    stale = state.stale + 1 if spread < options.collapse and state.generation >= 0 else 0
    if stale >= options.patience and options.refresh > 0.0:
        step = _refreshed(step, state.island, problem, rng, ledger)
        stale = 0

    archive = extend(state.archive, [*arrivals, *step.found], problem.archive, problem.term_names)
    generation = state.generation + 1
    migration = problem.migration
    outbox = [batch for batch in state.outbox if batch[0] > generation - migration.delay]
    if migration.emigrants and generation > 0 and generation % migration.interval == 0:
        outbox.append((generation, _emigrants(step.population, archive, migration, rng)))
    row = _row(generation, step.population, archive, ledger, spread)
    return IslandState(
        island=state.island,
        generation=generation,
        population=tuple(step.population),
        archive=archive,
        rng_state=rng_to_array(rng),
        counters=ledger.counters,
        tries=ledger.tries,
        successes=ledger.successes,
        next_uid=ledger.next_uid,
        history=recorded(state.history, row),
        outbox=tuple(outbox),
        seen=step.seen,
        walk=step.walk,
        rates=step.rates,
        stale=stale,
    )


def stats(state: IslandState) -> NDArray[np.float64]:
    """The newest history row, (n_stats,); its columns are `counters.stat_names(term_names)`."""
    newest: NDArray[np.float64] = state.history[-1]
    return newest


def recorded(history: NDArray[np.float64], row: NDArray[np.float64], most: int = _HISTORY_ROWS) -> NDArray[np.float64]:
    """The history with one more row; of a long one every second, fourth, … generation and the newest.

    A state is copied, kept for some generations, sent and saved with its history, which so may not grow for ever.
    """
    stride = 1
    while int(row[0]) // stride >= most:
        stride *= 2
    if stride > 1:
        history = history[history[:, 0] % stride == 0]
    return np.concatenate([history, row[None]])


def emigrants(state: IslandState, generation: int) -> tuple[Individual, ...]:
    """The emigrants of `generation`; none when it was no generation of emission."""
    return next((batch for emitted, batch in state.outbox if emitted == generation), ())


def diversity(population: Sequence[Individual]) -> float:
    """Probability that two members drawn at random (without replacement) differ.

    Two are alike when size, composition and all loss terms agree to 1e-4; images of each other under the symmetry of a
    lattice are therefore alike, though no site may hold the same element.
    """
    n = len(population)
    if n < 2:
        return 0.0
    terms = rounded(np.array([one.terms for one in population]).reshape(n, -1), _ALIKE)
    rows = terms.view(f"V{terms.itemsize * terms.shape[1]}").ravel().tolist() if terms.size else [b""] * n
    number = Counter(rows)  # few need their composition looked at
    counts = Counter(
        (row, np.bincount(one.structure.species).tobytes())
        for one, row in zip(population, rows, strict=True)
        if number[row] > 1
    )
    return 1.0 - sum(c * (c - 1) for c in counts.values()) / (n * (n - 1))


def violation(structure: Structure, island: int, problem: Problem) -> str | None:
    """Why a structure from outside breaks this island's own limits (one of CAUSES); None when it keeps all."""
    source = problem.sources[island]
    cause = source.limits.violation(structure)
    # only symmetric walks know what to do with cells of other shapes
    options = problem.islands[island]
    symmetric = options.walk.symmetric > 0.0 and options.strategy in ("annealing", "descent")
    cells = (*source.templates, *source.shapes) if symmetric else source.templates
    if cause is None and source.limits.lattice and not any(_same_sites(structure, one) for one in cells):
        return "size"
    return cause


def _accepted(
    immigrants: Sequence[Individual], population: Sequence[Individual], island: int, problem: Problem, ledger: Ledger
) -> list[Individual]:
    """Those immigrants that keep the island's limits and are not in its population already."""
    return [
        one
        for one in immigrants
        if np.isfinite(one.value) and not _is_among(one, population) and _fits(one.structure, island, problem, ledger)
    ]


def _is_among(one: Individual, population: Sequence[Individual]) -> bool:
    """Whether the same structure is in a population (then an immigrant would only cost diversity)."""
    return any(
        other.uid == one.uid or (other.value == one.value and other.content == one.content) for other in population
    )


def _fits(structure: Structure, island: int, problem: Problem, ledger: Ledger) -> bool:
    """Whether a structure from outside may enter an island; a refusal is counted."""
    cause = violation(structure, island, problem)
    if cause is not None:
        ledger.reject(cause)
    return cause is None


def _same_sites(one: Structure, other: Structure) -> bool:
    return (
        one.n_atoms == other.n_atoms
        and np.allclose(one.cell, other.cell, rtol=0.0, atol=_SITE)
        and np.allclose(one.positions, other.positions, rtol=0.0, atol=_SITE)
    )


def _evaluated_seeds(seeds: Sequence[Structure], island: int, problem: Problem, ledger: Ledger) -> list[Individual]:
    """Structures from outside that keep the island's limits, evaluated as they are."""
    proposals = [Proposal(structure, "seed") for structure in seeds if _fits(structure, island, problem, ledger)]
    return [one for one in evaluate(proposals, island, problem, ledger) if one is not None]


def _with_arrivals(
    population: Sequence[Individual], arrivals: Sequence[Individual], rule: str, size: int, rng: np.random.Generator
) -> list[Individual]:
    """The population with the arrivals in the places that the rule names; none takes the best's or another's place."""
    population = list(population)
    free = list(range(len(population)))
    if free:
        free.remove(min(free, key=lambda k: order_key(population[k])))
    for one in arrivals:
        if len(population) < size or not free:
            population.append(one)
            continue
        if rule == "worst":
            place = max(free, key=lambda k: order_key(population[k]))
        elif rule == "random":
            place = free[int(rng.integers(len(free)))]
        else:
            distances = {k: float(np.abs(population[k].terms - one.terms).sum()) for k in free}
            place = min(free, key=lambda k: (distances[k], k))
        population[place] = one
        free.remove(place)
    return population


def _refreshed(step: Step, island: int, problem: Problem, rng: np.random.Generator, ledger: Ledger) -> Step:
    """A step of a collapsed population whose worst share makes way for new candidates."""
    count = round(problem.islands[island].refresh * len(step.population))
    new = fresh(count, island, problem, rng, ledger, np.sort(step.seen), required=False)
    ledger.count("refreshes")
    kept = sorted(step.population, key=order_key)[: max(1, len(step.population) - len(new))]
    seen = np.concatenate([step.seen, content_keys(new, problem.limits(island).lattice)])
    return step._replace(population=kept + new, found=step.found + new, seen=seen)


def _emigrants(
    population: Sequence[Individual], archive: Sequence[Individual], options: MigrantOptions, rng: np.random.Generator
) -> tuple[Individual, ...]:
    count = min(options.emigrants, len(population))
    if options.choice == "best":
        pool = {one.uid: one for one in (*population, *archive)}
        return tuple(sorted(pool.values(), key=order_key)[:count])
    if options.choice == "random":
        return tuple(population[k] for k in rng.permutation(len(population))[:count])
    scores = [one.value for one in population]
    chosen: list[int] = []
    for _ in range(8 * count):
        k = pick(rng, scores, 3)
        if k not in chosen:
            chosen.append(k)
        if len(chosen) == count:
            break
    return tuple(population[k] for k in chosen)


def _row(
    generation: int,
    population: Sequence[Individual],
    archive: Sequence[Individual],
    ledger: Ledger,
    spread: float,
) -> NDArray[np.float64]:
    values = np.array([one.value for one in population])
    best = lowest(archive)
    summary = (best.value, values.min(), np.median(values), values.max(), len(values), spread, len(archive))
    return np.concatenate(
        [[float(generation)], ledger.counters, summary, best.terms, ledger.tries, ledger.successes]
    ).astype(np.float64)
