"""New structures made into individuals: drawn, told apart, evaluated or relaxed, and counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.search.candidates.source import candidate
from grs_evo.search.counters import COUNTERS, Ledger
from grs_evo.search.operators.lattice_moves import make_moves
from grs_evo.search.population.individual import NO_PARENT, Individual
from grs_evo.search.problem import Problem
from grs_evo.structures.structure import Structure, content_hash

Keys = NDArray[np.uint64]
Made = tuple[Structure, str, tuple[int, int]]  # a structure, the operator's name, its parents' uids

# The parents of what has none.
ORPHAN = (NO_PARENT, NO_PARENT)
# Rounds in which failed children are made anew before a generation is filled up with its parents.
ROUNDS = 5
# Individuals in a row for which all tries gave nothing but repeats, before a generation gives up: the space is used
# up, or as good as.
FRUITLESS = 5


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
    for _ in range(ROUNDS):
        batch: list[Made] = []
        fruitless = 0
        for _ in range(count - len(made)):
            ledger.check()
            for _ in range(options.repeats + 1):
                structure = candidate(rng, problem.sources[island], ledger.reject)
                if structure is None:
                    fruitless = 0
                    break
                key = content_key(structure, lattice)
                if options.memory and (key in new or (known is not None and contains(known, key))):
                    ledger.reject("repeat")
                    continue
                new.add(key)
                batch.append((structure, "random", ORPHAN))
                fruitless = 0
                break
            else:
                fruitless += 1
                if fruitless == FRUITLESS:
                    break
        made += [one for one in assess(batch, island, problem, ledger, rng) if one is not None]
        if len(made) >= count or fruitless == FRUITLESS:
            break
    if not made and count and required:
        raise NoCandidates(island, ledger)
    return made


class NoCandidates(InputError):
    """An island cannot make a single valid candidate; the message says what they failed of."""

    def __init__(self, island: int, ledger: Ledger) -> None:
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
            from grs_evo.potential.relaxation import relax

            fixed = None if limits.fixed is None else ~limits.movable(structure.n_atoms)
            relaxed = relax(structure, problem.objective, problem.relax, fixed, ledger.poll)
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
    from grs_evo.kernels.lattice.passes import improve

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
        uid=ledger.new_uid(),
        parents=parents,
        operator=operator,
        island=island,
        generation=ledger.generation,
        evaluation=ledger.evaluations if evaluation is None else evaluation,
    )


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


def contains(sorted_keys: NDArray[np.uint64], key: int) -> bool:
    k = int(np.searchsorted(sorted_keys, np.uint64(key)))
    return k < len(sorted_keys) and int(sorted_keys[k]) == key
