"""New candidates of an island's source, evaluated: its first generation, restarts and refreshes."""

from __future__ import annotations

import numpy as np

from grs_evo.errors import InputError
from grs_evo.search.candidates.source import candidate
from grs_evo.search.counters import COUNTERS, Ledger
from grs_evo.search.evaluation import Proposal, evaluate
from grs_evo.search.population.individual import Individual
from grs_evo.search.problem import Problem
from grs_evo.search.repeats import Keys, Repeats, content_key
from grs_evo.structures.structure import Structure

# Rounds in which what failed is made anew, at most; and candidates that fail before none at all is an error. A walk
# that starts again asks for one: five that fail (pure cells that relax out of the volumes allowed) say too little.
ROUNDS = 5
ENOUGH = 100
# Individuals in a row for which all tries gave repeats and nothing else, before a generation gives up: hardly any
# structure is left that was not evaluated yet.
FRUITLESS = 5


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
    refuse = problem.islands[island].genetic.memory > 0
    repeats = Repeats(np.empty(0, np.uint64) if known is None else known, refuse)
    found: list[Individual] = []
    rounds = max(ROUNDS, -(-ENOUGH // count)) if required and count else ROUNDS
    for i in range(rounds):
        batch, used_up = _unseen(count - len(found), island, problem, rng, ledger, repeats)
        found += [one for one in evaluate(batch, island, problem, ledger, rng) if one is not None]
        if len(found) >= count or used_up or (found and i + 1 >= ROUNDS):
            break
    if not found and count and required:
        raise NoCandidates(island, ledger)
    return found


def _unseen(
    count: int, island: int, problem: Problem, rng: np.random.Generator, ledger: Ledger, repeats: Repeats
) -> tuple[list[Proposal], bool]:
    """Up to `count` candidates not made before, and whether there seem to be no more of them."""
    batch: list[Proposal] = []
    fruitless = 0
    for _ in range(count):
        ledger.check()
        structure, only_repeats = _one_unseen(island, problem, rng, ledger, repeats)
        fruitless = fruitless + 1 if only_repeats else 0
        if structure is not None:
            batch.append(Proposal(structure, "random"))
        if fruitless == FRUITLESS:
            return batch, True
    return batch, False


def _one_unseen(
    island: int, problem: Problem, rng: np.random.Generator, ledger: Ledger, repeats: Repeats
) -> tuple[Structure | None, bool]:
    """A candidate not made before, or None; and whether all tries gave repeats."""
    for _ in range(problem.islands[island].genetic.repeats + 1):
        structure = candidate(rng, problem.sources[island], ledger.reject)
        if structure is None:
            return None, False
        key = content_key(structure, problem.limits(island).lattice)
        if key not in repeats:
            repeats.add(key)
            return structure, False
        ledger.reject("repeat")
    return None, True
