"""How an island makes its next generation: evolution, or relaxation of fresh candidates only.

Every strategy has the form (state, problem, rng, ledger) -> Step; an island without a population makes its first one.
Any new structure goes through `assess`, which counts: one loss evaluation is 1, gradient and incremental ones are
counted apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from .archive import default_objectives, objectives
from .candidates import candidate
from .errors import InputError
from .operators import CROSSOVERS, TABLE, adapt, draw_operator, probabilities
from .options import Options
from .population import NO_PARENT, Individual
from .problem import IslandState, Ledger, Problem, Step
from .selection import pick, preference, survivors
from .structure import Structure, content_hash

Keys = NDArray[np.uint64]
Made = tuple[Structure, str, tuple[int, int]]  # a structure, the operator's name, its parents' uids

# Rounds in which failed children are made anew before a generation is filled up with its parents.
_ROUNDS = 5
_ORPHAN = (NO_PARENT, NO_PARENT)


class GeneticOptions(Options):
    """How a generation follows from the one before."""

    elite: int = Field(default=2, ge=0, le=10_000, description="best individuals that live on (generational) [1]")
    survival: Literal["generational", "plus"] = Field(
        default="generational",
        description="generational: children replace all but the elite; plus: the best of parents and children live on "
        "(NSGA-II always does so)",
    )
    children: int | None = Field(
        default=None, ge=1, le=100_000, description="new individuals per generation (plus); default: the population [1]"
    )
    repeats: int = Field(
        default=20, ge=0, le=1000, description="tries to make a child that was not evaluated before [1]"
    )
    memory: int = Field(
        default=100_000, ge=0, le=10_000_000, description="evaluated structures remembered against repeats [1]"
    )
    relaxed: float = Field(
        default=1.0, ge=0, le=1, description="share of new individuals that are relaxed, when relaxation is on [1]"
    )
    passes: int = Field(
        default=0, ge=0, le=100, description="first-improvement passes over each new individual's sites (lattice) [1]"
    )


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

    ranked = sorted(population, key=_rank)
    if island.selection.kind == "nsga2":
        pool = population + children
        kept = survivors(_objectives(pool, problem), min(island.population, len(pool)))
        following = [pool[k] for k in kept]
    elif plus:
        following = sorted(population + children, key=_rank)[: island.population]
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
    following = sorted([*state.population, *new], key=_rank)[: island.population]
    return Step(following, new, state.seen, {}, state.rates)


def fresh(
    count: int,
    island: int,
    problem: Problem,
    rng: np.random.Generator,
    ledger: Ledger,
    known: Keys | None = None,
    required: bool = True,
) -> list[Individual]:
    """Up to `count` new candidates, evaluated; fewer only when candidates fail or repeat again and again (all counted).

    Parameters
    ----------
    known : sorted content keys of what was evaluated before and is not wanted again
    required : whether none at all is an error, as it is for an island's first generation

    Raises
    ------
    NoCandidates
        Not a single candidate could be made or evaluated although one is required.
    """
    made: list[Individual] = []
    options = problem.islands[island].genetic
    lattice = problem.limits(island).lattice
    new: set[int] = set()
    for _ in range(_ROUNDS):
        batch: list[Made] = []
        for _ in range(count - len(made)):
            ledger.check()
            for _ in range(options.repeats + 1):
                structure = candidate(rng, problem.sources[island], ledger.reject)
                if structure is None:
                    break
                key = content_key(structure, lattice)
                if options.memory and (key in new or (known is not None and _contains(known, key))):
                    ledger.reject("repeat")
                    continue
                new.add(key)
                batch.append((structure, "random", _ORPHAN))
                break
        made += [one for one in assess(batch, island, problem, ledger, rng) if one is not None]
        if len(made) >= count:
            break
    if not made and count and required:
        raise NoCandidates(island, ledger)
    return made


class NoCandidates(InputError):
    """An island cannot make a single valid candidate; the message says what they failed of."""

    def __init__(self, island: int, ledger: Ledger) -> None:
        from .problem import COUNTERS

        counts = dict(zip(COUNTERS, ledger.counters.tolist(), strict=True))
        causes = [
            f"{name.removeprefix('rejected_')} {n}" for name, n in counts.items() if name.startswith("rejected_") and n
        ]
        super().__init__(
            f"candidates: island {island} could not make a single valid candidate; thrown away for: "
            f"{', '.join(causes) or 'nothing'}"
        )


def assess(
    made: Sequence[Made], island: int, problem: Problem, ledger: Ledger, rng: np.random.Generator | None = None
) -> list[Individual | None]:
    """Evaluate (and relax, with the island's probability) new structures; None where the loss is not finite.

    Parameters
    ----------
    rng : decides who is relaxed; None: nobody is
    """
    options = problem.islands[island].genetic
    lattice = problem.lattices[island]
    if lattice is not None:
        return _assess_lattice(made, island, problem, ledger, rng)
    result: list[Individual | None] = []
    limits = problem.limits(island)
    for structure, operator, parents in made:
        ledger.check()
        if problem.relax is not None and rng is not None and (options.relaxed >= 1.0 or rng.random() < options.relaxed):
            from .relax import relax

            relaxed = relax(structure, problem.objective, problem.relax, poll=ledger.poll)
            ledger.count("gradient_evaluations", relaxed.evaluations)
            structure, value, terms = relaxed.structure, relaxed.value, relaxed.terms
            cause = limits.refuses(structure)
            if cause is not None:
                ledger.reject(cause)
                result.append(None)
                continue
        else:
            evaluation = problem.objective.evaluate(structure)
            ledger.count("evaluations")
            value, terms = (evaluation.value, evaluation.terms) if evaluation.ok else (np.nan, evaluation.terms)
        result.append(_individual(structure, value, terms, operator, parents, island, ledger))
    return result


def _assess_lattice(
    made: Sequence[Made], island: int, problem: Problem, ledger: Ledger, rng: np.random.Generator | None
) -> list[Individual | None]:
    if not made:
        return []
    ledger.check()
    lattice = problem.lattices[island]
    assert lattice is not None
    occupations = np.array([structure.species for structure, _, _ in made], dtype=np.int32)
    first = ledger.evaluations
    passes = problem.islands[island].genetic.passes
    if passes and rng is not None:
        spent = _improved(occupations, passes, island, problem, rng, ledger)
        made = [
            (structure.replace(species=occupation), operator, parents)
            for occupation, (structure, operator, parents) in zip(occupations, made, strict=True)
        ]
    else:
        spent = np.arange(1, len(made) + 1)
        ledger.count("evaluations", len(made))
    values, terms = lattice.evaluate(occupations)
    return [
        _individual(structure, float(values[k]), terms[k], operator, parents, island, ledger, first + int(spent[k]))
        for k, (structure, operator, parents) in enumerate(made)
    ]


def _improved(
    occupations: NDArray[np.int32], passes: int, island: int, problem: Problem, rng: np.random.Generator, ledger: Ledger
) -> NDArray[np.int64]:
    """Local passes over each occupation, in place; (k,) losses computed in all when each one's last gain was found."""
    from .kernels.passes import improve
    from .walks import make_moves

    lattice: Any = problem.lattices[island]
    moves = make_moves(lattice, problem.limits(island).composition)
    spent = np.zeros(len(occupations), np.int64)
    values = np.empty(len(occupations))
    full, incremental = improve(
        rng, lattice.fast, lattice.scratch, moves, passes, occupations, values, spent, lattice.work
    )
    ledger.count("evaluations", int(full))
    ledger.count("incremental", int(incremental))
    return spent


def _individual(
    structure: Structure,
    value: float,
    terms: NDArray[np.float64],
    operator: str,
    parents: tuple[int, int],
    island: int,
    ledger: Ledger,
    evaluation: int | None = None,
) -> Individual | None:
    if not (np.isfinite(value) and np.isfinite(terms).all()):
        ledger.reject("evaluation")
        return None
    return Individual(
        structure,
        value=float(value),
        terms=np.array(terms, dtype=np.float64),
        uid=ledger.uid(),
        parents=parents,
        operator=operator,
        island=island,
        generation=ledger.generation,
        evaluation=ledger.evaluations if evaluation is None else evaluation,
    )


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
    parent_value = {one.uid: one.value for one in population}
    known = np.sort(state.seen)
    new: list[int] = []
    new_set: set[int] = set()
    lattice = problem.lattices[state.island]
    living = np.sort(keys_of(population, state.island, problem)) if options.passes else known
    ends: set[int] = set()
    children: list[Individual] = []
    for _ in range(_ROUNDS):
        batch: list[Made] = []
        for _ in range(wanted - len(children)):
            ledger.check()
            for _ in range(options.repeats + 1):
                cumulative = by_crossover if rng.random() < share else by_mutation
                if cumulative[-1] == 0.0:
                    made = _replaced(rng, problem, state.island, ledger)
                else:
                    made = _child(
                        rng, draw_operator(rng, cumulative), population, scores, problem, state.island, ledger
                    )
                if made is None:
                    continue
                key = content_key(made[0], limits.lattice)
                if options.memory and (key in new_set or _contains(known, key)):
                    ledger.reject("repeat")
                    continue
                new.append(key)
                new_set.add(key)
                batch.append(made)
                break
        if not batch:
            break
        for one in assess(batch, state.island, problem, ledger, rng):
            if one is not None:
                if options.passes and lattice is not None:
                    # Children of different parents may end in the same minimum; one of them is enough.
                    key = content_key(one.structure, True)
                    if key in ends or _contains(living, key):
                        ledger.reject("repeat")
                        continue
                    ends.add(key)
                    new.append(key)
                children.append(one)
                best = min((parent_value[uid] for uid in one.parents if uid in parent_value), default=-np.inf)
                if one.value < best:
                    ledger.success(one.operator)
        if len(children) >= wanted:
            break
    return children, np.array(new, np.uint64)


def _child(
    rng: np.random.Generator,
    operator: str,
    population: Sequence[Individual],
    scores: NDArray[np.float64],
    problem: Problem,
    island: int,
    ledger: Ledger,
) -> Made | None:
    ledger.attempt(operator)
    if operator == "replace":
        return _replaced(rng, problem, island, ledger)
    options = problem.islands[island]
    first = pick(rng, scores, options.selection.tournament)
    one = population[first]
    if operator in CROSSOVERS:
        second = pick(rng, scores, options.selection.tournament)
        if second == first:
            second = int(rng.random() * len(population))
        two = population[second]
        parents, uids = (one.structure, two.structure), (one.uid, two.uid)
    else:
        parents, uids = (one.structure,), (one.uid, NO_PARENT)  # type: ignore[assignment]
    child = TABLE[operator](rng, parents, problem.limits(island), options.operators)
    if child is None:
        ledger.reject("operator")
        return None
    return child, operator, uids


def _replaced(rng: np.random.Generator, problem: Problem, island: int, ledger: Ledger) -> Made | None:
    structure = candidate(rng, problem.sources[island], ledger.reject)
    return None if structure is None else (structure, "replace", _ORPHAN)


def content_key(structure: Structure, species_only: bool) -> int:
    """64 bits that tell structures apart; on one lattice the species say all."""
    if species_only:
        from hashlib import blake2b

        digest = blake2b(structure.species.tobytes(), digest_size=8)
        digest.update(structure.cell.tobytes())
        return int.from_bytes(digest.digest(), "little")
    return int(content_hash(structure), 16)


def keys_of(individuals: Sequence[Individual], island: int, problem: Problem) -> NDArray[np.uint64]:
    lattice = problem.limits(island).lattice
    return np.array([content_key(one.structure, lattice) for one in individuals], np.uint64)


def _contains(sorted_keys: NDArray[np.uint64], key: int) -> bool:
    k = int(np.searchsorted(sorted_keys, np.uint64(key)))
    return k < len(sorted_keys) and int(sorted_keys[k]) == key


def _objectives(individuals: Sequence[Individual], problem: Problem) -> NDArray[np.float64]:
    names = problem.archive.objectives or default_objectives(problem.term_names, size_free=True)
    return objectives(individuals, names, problem.term_names, problem.archive.target_atoms)


def _rank(one: Individual) -> tuple[float, int]:
    return (one.value, one.uid)
