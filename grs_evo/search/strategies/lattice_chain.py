"""Trajectories on fixed sites: chains of flips and swaps inside compiled code, with incremental losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.kernels.lattice import chains as kernel
from grs_evo.kernels.lattice.chains import ChainOptions, ChainState
from grs_evo.kernels.lattice.moves import Moves
from grs_evo.loss.lattice import LatticeObjective
from grs_evo.search.counters import Ledger
from grs_evo.search.operators.lattice_moves import make_moves, symmetric_moves
from grs_evo.search.options import Kind, WalkOptions
from grs_evo.search.population.individual import Individual, best_distinct, order_key
from grs_evo.search.problem import Problem, Step
from grs_evo.search.state import IslandState

# Evaluations inside compiled code between two looks at whether to stop; a fraction of a second.
_SLICE = 20_000
# Anneals of a generation that keeps a part of the symmetry, at least.
_ANNEALS = 3
# Names of a chain's arrays begin with it.
_PREFIX = "walk."


def new_chain(moves: Moves, options: ChainOptions, keep: int = 8) -> ChainState:
    """A chain that has not begun; it remembers the `keep` best distinct occupations."""
    n = len(moves.allowed)
    return ChainState(
        ints=np.zeros(kernel.N_INTS, np.int64),
        floats=np.full(kernel.N_FLOATS, np.inf),
        current=moves.legal.copy(),
        lowest=moves.legal.copy(),
        adopt=moves.legal.copy(),
        order=np.arange(len(moves.table), dtype=np.int32),
        seen=np.zeros(options.calibration),
        elite=np.zeros((keep, n), np.int32),
        elite_values=np.zeros(keep),
        elite_at=np.zeros(keep, np.int64),
    )


def advance_chain(
    chain: ChainState,
    lattice: LatticeObjective,
    moves: Moves,
    options: ChainOptions,
    rng: np.random.Generator,
    evaluations: int,
    enough: float = -np.inf,
) -> tuple[ChainState, bool]:
    """Go on for a number of evaluations, or until a loss of `enough` or less is found; `chain` stays as it is.

    Returns the new state, and whether such a loss was found (`elite[0]` holds the occupation then).
    """
    after = copied(chain)
    found = kernel.advance_chain(
        rng, lattice.fast, lattice.scratch, moves, options, after, lattice.work, evaluations, enough
    )
    return after, bool(found)


def evaluations_done(chain: ChainState) -> int:
    """Evaluations of a chain so far, full and incremental ones."""
    return int(chain.ints[kernel.FULL] + chain.ints[kernel.INCREMENTAL])


def copied(chain: ChainState) -> ChainState:
    return ChainState(**{name: array.copy() for name, array in chain._asdict().items()})


def chain_options(kind: Kind, options: WalkOptions) -> ChainOptions:
    """The settings as compiled code takes them."""
    strategy = {
        "annealing": kernel.ANNEAL,
        "descent": kernel.FIRST if options.improvement == "first" else kernel.BEST,
        "random_walk": kernel.WALK if options.accept == "always" else kernel.UPHILL_NEVER,
    }[kind]
    return ChainOptions(
        strategy=strategy,
        steps=options.steps,
        t_start=options.t_start or 0.0,
        t_share=options.t_share,
        t_end=options.t_end,
        calibration=options.calibration,
        several=options.several,
        most_at_once=options.at_once,
        kick=options.kick,
    )


def advance_on_lattice(
    kind: Kind,
    state: IslandState,
    problem: Problem,
    lattice: LatticeObjective,
    rng: np.random.Generator,
    ledger: Ledger,
) -> Step:
    """One generation of a trajectory, or, with `symmetric`, of one of its own that keeps a part of the symmetry."""
    island = problem.islands[state.island]
    rule = problem.limits(state.island).composition
    options = chain_options(kind, island.walk)
    if island.walk.symmetric > 0.0 and rng.random() < island.walk.symmetric:
        found = _symmetric(kind, state.island, problem, lattice, options, rng, ledger)
        if found or state.population:
            following = best_distinct([*state.population, *found], island.population)
            return Step(following, found, state.seen, dict(state.walk), state.rates)
    moves = make_moves(lattice, rule)
    enough = -np.inf if island.walk.enough is None else island.walk.enough
    chain = copied(_from_arrays(state.walk)) if state.walk else new_chain(moves, options, max(1, island.population))
    chain.ints[kernel.N_ELITE] = 0
    _adopt_immigrant(chain, state, lattice)
    before = chain.ints.copy()
    end = evaluations_done(chain) + island.walk.evaluations
    while evaluations_done(chain) < end:
        ledger.check()
        most = min(_SLICE, end - evaluations_done(chain))
        chain, _ = advance_chain(chain, lattice, moves, options, rng, most, enough)
    # Evaluations of the island outside this chain.
    others = ledger.evaluations - int(before[kernel.FULL] + before[kernel.INCREMENTAL])
    _count(chain.ints - before, "swap" if moves.table[0, 0] == 1 else "flip", ledger)
    found = _individuals(chain, kind, state.island, lattice, ledger, others)
    following = best_distinct([*state.population, *found], island.population)
    if not following:
        raise InputError(f"island {state.island}: not one of {end} occupations has a finite loss")
    return Step(following, found, state.seen, _to_arrays(chain), state.rates)


def _symmetric(
    kind: Kind,
    island: int,
    problem: Problem,
    lattice: LatticeObjective,
    options: ChainOptions,
    rng: np.random.Generator,
    ledger: Ledger,
) -> list[Individual]:
    """The best occupations of a chain that exchanges whole orbits of a random subgroup; it ends with the generation.

    With `shapes` the subgroup is one of a cell of random shape.
    """
    walk, population = problem.islands[island].walk, problem.islands[island].population
    if lattice.shapes:
        lattice = (lattice, *lattice.shapes)[int(rng.random() * (1 + len(lattice.shapes)))]
    moves = symmetric_moves(rng, lattice, problem.limits(island).composition)
    if moves is None:
        return []
    # whole orbits have few occupations, and the chain ends with the generation: it must cool within it
    options = options._replace(steps=min(options.steps, max(1, walk.evaluations // _ANNEALS)))
    chain = new_chain(moves, options, max(1, population))
    others = ledger.evaluations
    while evaluations_done(chain) < walk.evaluations:
        ledger.check()
        most = min(_SLICE, walk.evaluations - evaluations_done(chain))
        chain, _ = advance_chain(chain, lattice, moves, options, rng, most)
    _count(chain.ints, "swap", ledger)
    return _individuals(chain, kind, island, lattice, ledger, others)


def _count(change: NDArray[np.int64], operator: str, ledger: Ledger) -> None:
    """Count what a chain did, from the change of its whole numbers; its moves under one operator's name."""
    ledger.count("evaluations", int(change[kernel.FULL]))
    ledger.count("incremental", int(change[kernel.INCREMENTAL]))
    ledger.attempt(operator, int(change[kernel.INCREMENTAL]))
    ledger.success(operator, int(change[kernel.IMPROVED]))


def _individuals(
    chain: ChainState, kind: Kind, island: int, lattice: LatticeObjective, ledger: Ledger, others: int
) -> list[Individual]:
    """The best occupations that a chain found in this generation.

    Parameters
    ----------
    others : evaluations of the island that were not the chain's
    """
    found = []
    n = int(chain.ints[kernel.N_ELITE])
    # The parts of the best few are computed once more; that is no new candidate and is not counted.
    values, terms = lattice.evaluate(chain.elite[:n])
    for k in range(n):
        if not (np.isfinite(values[k]) and np.isfinite(terms[k]).all()):
            ledger.reject("evaluation")
            continue
        found.append(
            Individual(
                lattice.structure(chain.elite[k]),
                value=float(values[k]),
                terms=terms[k].copy(),
                uid=ledger.new_uid(),
                operator=kind,
                island=island,
                generation=ledger.generation,
                evaluation=others + int(chain.elite_at[k]),
            )
        )
    return found


def _adopt_immigrant(chain: ChainState, state: IslandState, lattice: LatticeObjective) -> None:
    """Let the next restart begin at the best immigrant, if it is better than all that the chain has seen."""
    here = lattice.template.positions
    immigrants = [
        one
        for one in state.population
        if one.island != state.island
        and one.structure.n_atoms == lattice.n_sites
        and np.array_equal(one.structure.positions, here)
    ]
    if not immigrants or chain.ints[kernel.FULL] == 0:
        return
    best = min(immigrants, key=order_key)
    own = min((one.value for one in state.population if one.island == state.island), default=np.inf)
    if best.value < min(own, float(chain.floats[kernel.LOWEST])):
        chain.adopt[:] = best.structure.species
        chain.ints[kernel.ADOPT] = 1


def _to_arrays(chain: ChainState) -> dict[str, NDArray[Any]]:
    return {_PREFIX + name: array for name, array in chain._asdict().items()}


def _from_arrays(walk: Mapping[str, NDArray[Any]]) -> ChainState:
    return ChainState(**{name: np.ascontiguousarray(walk[_PREFIX + name]) for name in ChainState._fields})
