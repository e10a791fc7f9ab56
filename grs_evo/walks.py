"""One structure at a time: annealing, descent and random walks, as island steps of a number of evaluations each.

On fixed sites a step runs inside compiled code, on flips and swaps with incremental losses. Elsewhere the moves are
the mutations of `operators`, chemical and spatial. Both stop and go on at any evaluation with the same result. Every
candidate loss counts as one evaluation, the calibration of the temperature and all restarts included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from .assessment import assess, fresh
from .chains import advance_chain, copied, make_moves, new_chain, spent
from .errors import InputError
from .kernels import chains as kernel
from .kernels.chains import ChainOptions, ChainState
from .lattice import LatticeObjective
from .operators import TABLE
from .options import Options
from .population import NO_PARENT, Individual, order_key, pack, unpack
from .problem import IslandState, Ledger, Problem, Step
from .rates import draw_operator, probabilities
from .structure import Structure

Kind = Literal["annealing", "descent", "random_walk"]

# Evaluations inside compiled code between two looks at whether to stop; a fraction of a second.
_SLICE = 20_000
_PREFIX = "walk."


class WalkOptions(Options):
    """How annealing, descent and random walks move."""

    evaluations: int = Field(
        default=500, ge=1, le=1_000_000_000, description="evaluations of one generation [evaluations]"
    )
    enough: float | None = Field(
        default=None, description="a loss at which a chain starts anew, in the loss's own units; default: none [1]"
    )
    steps: int = Field(default=300, ge=1, description="annealing: length of one anneal before a restart [evaluations]")
    t_start: float | None = Field(
        default=None, gt=0, description="annealing: first temperature; default: from the loss differences seen [loss]"
    )
    t_share: float = Field(
        default=0.3, gt=0, description="annealing: first temperature over the median loss difference [1]"
    )
    t_end: float = Field(default=0.03, gt=0, le=1, description="annealing: last temperature over the first [1]")
    calibration: int = Field(
        default=10, ge=1, le=10_000, description="annealing: loss differences seen before the first anneal [1]"
    )
    improvement: Literal["first", "best"] = Field(
        default="first", description="descent: take the first move that improves, or the best of all"
    )
    accept: Literal["always", "better"] = Field(
        default="always", description="random_walk: take every move (unbiased), or those that improve"
    )
    several: float = Field(
        default=0.0, ge=0, le=1, description="probability of several moves at once (annealing, random_walk) [1]"
    )
    at_once: int = Field(default=4, ge=2, le=1000, description="largest number of moves at once [1]")
    kick: int = Field(
        default=0, ge=0, le=1000, description="random moves from the best so far at a restart; 0: a fresh candidate [1]"
    )
    patience: int = Field(
        default=200, ge=1, description="descent off the lattice: failures in a row before a restart [evaluations]"
    )
    sample: int = Field(
        default=30, ge=1, description="best improvement off the lattice: moves of which the best is taken [evaluations]"
    )


def annealing(state: IslandState, problem: Problem, rng: np.random.Generator, ledger: Ledger) -> Step:
    """One generation of simulated annealing (eq. 17) with restarts."""
    return _step("annealing", state, problem, rng, ledger)


def descent(state: IslandState, problem: Problem, rng: np.random.Generator, ledger: Ledger) -> Step:
    """One generation of first or best improvement with restarts."""
    return _step("descent", state, problem, rng, ledger)


def random_walk(state: IslandState, problem: Problem, rng: np.random.Generator, ledger: Ledger) -> Step:
    """One generation of a random walk that never restarts; the best seen are kept."""
    return _step("random_walk", state, problem, rng, ledger)


def _step(kind: Kind, state: IslandState, problem: Problem, rng: np.random.Generator, ledger: Ledger) -> Step:
    ledger.check()
    if problem.lattices[state.island] is not None:
        return _on_lattice(kind, state, problem, rng, ledger)
    return _off_lattice(kind, state, problem, rng, ledger)


# ---------------------------------------------------------------------------------------------------------------------
# fixed sites


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


def _on_lattice(kind: Kind, state: IslandState, problem: Problem, rng: np.random.Generator, ledger: Ledger) -> Step:
    island = problem.islands[state.island]
    lattice: LatticeObjective = problem.lattices[state.island]  # type: ignore[assignment]
    moves = make_moves(lattice, problem.limits(state.island).composition)
    options = chain_options(kind, island.walk)
    enough = -np.inf if island.walk.enough is None else island.walk.enough
    chain = copied(_unpack(state.walk)) if state.walk else new_chain(moves, options, max(1, island.population))
    chain.ints[kernel.N_ELITE] = 0
    _adopt(chain, state, lattice)
    before = chain.ints.copy()
    end = spent(chain) + island.walk.evaluations
    while spent(chain) < end:
        ledger.check()
        chain, _ = advance_chain(chain, lattice, moves, options, rng, min(_SLICE, end - spent(chain)), enough)
    change = chain.ints - before
    operator = "swap" if moves.table[0, 0] == 1 else "flip"
    first = ledger.evaluations - int(before[kernel.FULL] + before[kernel.INCREMENTAL])
    ledger.count("evaluations", int(change[kernel.FULL]))
    ledger.count("incremental", int(change[kernel.INCREMENTAL]))
    ledger.attempt(operator, int(change[kernel.INCREMENTAL]))
    for _ in range(int(change[kernel.IMPROVED])):
        ledger.success(operator)
    found = []
    n = int(chain.ints[kernel.N_ELITE])
    # The parts of the best few are looked up once more; that is no new candidate and is not counted.
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
                uid=ledger.uid(),
                operator=kind,
                island=state.island,
                generation=ledger.generation,
                evaluation=first + int(chain.elite_at[k]),
            )
        )
    following = _best([*state.population, *found], island.population)
    if not following:
        raise InputError(f"island {state.island}: not one of {end} occupations has a finite loss")
    return Step(following, found, state.seen, _pack(chain), state.rates)


def _adopt(chain: ChainState, state: IslandState, lattice: LatticeObjective) -> None:
    """Let the next restart begin at the best guest, if it is better than all that the chain has seen."""
    guests = [one for one in state.population if one.island != state.island]
    if not guests or chain.ints[kernel.FULL] == 0:
        return
    best = min(guests, key=order_key)
    own = min((one.value for one in state.population if one.island == state.island), default=np.inf)
    template = lattice.template
    same = best.structure.n_atoms == lattice.n_sites and np.array_equal(best.structure.positions, template.positions)
    if best.value < min(own, float(chain.floats[kernel.LOWEST])) and same:
        chain.adopt[:] = best.structure.species
        chain.ints[kernel.ADOPT] = 1


def _best(individuals: Sequence[Individual], count: int) -> list[Individual]:
    """The best distinct ones."""
    kept: list[Individual] = []
    seen: set[str] = set()
    for one in sorted(individuals, key=order_key):
        if len(kept) == count:
            break
        content = one.content
        if content not in seen:
            seen.add(content)
            kept.append(one)
    return kept


def _pack(chain: ChainState) -> dict[str, NDArray]:
    return {_PREFIX + name: array for name, array in chain._asdict().items()}


def _unpack(walk: Mapping[str, NDArray]) -> ChainState:
    return ChainState(**{name: np.ascontiguousarray(walk[_PREFIX + name]) for name in ChainState._fields})


# ---------------------------------------------------------------------------------------------------------------------
# anything else

# integers of a walk off the lattice; checkpoints hold five, the last of no use
_STEP, _FAILS, _RESTARTS, _SEEN = range(4)
_N_INTS = 5


def _off_lattice(kind: Kind, state: IslandState, problem: Problem, rng: np.random.Generator, ledger: Ledger) -> Step:
    """The same strategies with the mutations of `operators`; relaxation, where it is on, is part of an evaluation."""
    island = problem.islands[state.island]
    options = island.walk
    _, cumulative = probabilities(problem.limits(state.island), island.operators, state.rates)
    ints, seen, current, trial = _unpack_walk(state.walk, options, state.island)
    found: list[Individual] = []
    end = ledger.evaluations + options.evaluations
    # Moves that cannot be made cost no evaluation; they must not go on for ever either.
    for _ in range(20 * options.evaluations):
        if ledger.evaluations >= end:
            break
        ledger.check()
        if current is None:
            current = _restart(state, problem, rng, ledger, found, options)
            trial = None
            ints[_STEP] = ints[_FAILS] = 0
            ints[_RESTARTS] += 1
            continue
        one = _mutant(current, cumulative, state.island, problem, rng, ledger)
        if one is None:
            ints[_FAILS] += 1
        else:
            found.append(one)
            gap = one.value - current.value
            if gap < 0.0:
                ledger.success(one.operator)
            if kind == "random_walk":
                current = one if options.accept == "always" or gap < 0.0 else current
                continue
            if kind == "annealing":
                if options.t_start is None and ints[_SEEN] < options.calibration:
                    seen[ints[_SEEN]] = abs(gap)
                    ints[_SEEN] += 1
                    current = one if gap <= 0.0 else current
                    continue
                t_start = options.t_start or options.t_share * float(np.median(seen))
                temperature = t_start * options.t_end ** (ints[_STEP] / max(1, options.steps - 1))
                ints[_STEP] += 1
                if gap <= 0.0 or (temperature > 0.0 and rng.random() < np.exp(-gap / temperature)):
                    current = one
                if ints[_STEP] >= options.steps:
                    current = None
                continue
            if options.improvement == "first":
                ints[_FAILS] = 0 if gap < 0.0 else ints[_FAILS] + 1
                current = one if gap < 0.0 else current
            else:
                ints[_FAILS] += 1
                trial = one if trial is None or order_key(one) < order_key(trial) else trial
        if kind == "descent" and options.improvement == "best" and ints[_FAILS] >= options.sample:
            current = trial if trial is not None and trial.value < current.value else None
            trial, ints[_FAILS] = None, 0
        elif ints[_FAILS] >= options.patience and kind != "random_walk":
            current = None
    following = _best([*state.population, *found], island.population)
    walk = _pack_walk(ints, seen, current, trial)
    return Step(following, found, state.seen, walk, state.rates)


def _restart(
    state: IslandState,
    problem: Problem,
    rng: np.random.Generator,
    ledger: Ledger,
    found: list[Individual],
    options: WalkOptions,
) -> Individual:
    """A fresh candidate, or the best so far after some random mutations."""
    pool = [*state.population, *found]
    if options.kick and pool:
        _, cumulative = probabilities(
            problem.limits(state.island), problem.islands[state.island].operators, state.rates
        )
        best = min(pool, key=order_key)
        structure = best.structure
        for _ in range(options.kick):
            moved = _moved(structure, cumulative, state.island, problem, rng, ledger)
            structure = structure if moved is None else moved[0]
        kicked = assess([(structure, "kick", (best.uid, NO_PARENT))], state.island, problem, ledger, rng)[0]
        if kicked is not None:
            found.append(kicked)
            return kicked
    one = fresh(1, state.island, problem, rng, ledger)[0]
    found.append(one)
    return one


def _moved(
    structure: Structure,
    cumulative: NDArray[np.float64],
    island: int,
    problem: Problem,
    rng: np.random.Generator,
    ledger: Ledger,
) -> tuple[Structure, str] | None:
    if cumulative[-1] == 0.0:
        return None
    operator = draw_operator(rng, cumulative)
    if operator == "replace":
        return None  # a fresh candidate is a restart, not a move
    ledger.attempt(operator)
    child = TABLE[operator](rng, (structure,), problem.limits(island), problem.islands[island].operators)
    if child is None:
        ledger.reject("operator")
        return None
    return child, operator


def _mutant(
    current: Individual,
    cumulative: NDArray[np.float64],
    island: int,
    problem: Problem,
    rng: np.random.Generator,
    ledger: Ledger,
) -> Individual | None:
    moved = _moved(current.structure, cumulative, island, problem, rng, ledger)
    if moved is None:
        return None
    return assess([(*moved, (current.uid, NO_PARENT))], island, problem, ledger, rng)[0]


def _pack_walk(
    ints: NDArray[np.int64], seen: NDArray[np.float64], current: Individual | None, trial: Individual | None
) -> dict[str, NDArray]:
    held = [one for one in (current, trial) if one is not None]
    n_terms = len(held[0].terms) if held else 0
    present = np.array([current is not None, trial is not None])
    arrays = {_PREFIX + "ints": ints, _PREFIX + "seen": seen, _PREFIX + "present": present}
    arrays.update({f"{_PREFIX}one.{name}": column for name, column in pack(held, n_terms).items()})
    return arrays


def _unpack_walk(
    walk: Mapping[str, NDArray], options: WalkOptions, island: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], Individual | None, Individual | None]:
    if not walk:
        return np.zeros(_N_INTS, np.int64), np.zeros(options.calibration), None, None
    start = _PREFIX + "one."
    held = iter(unpack({name[len(start) :]: column for name, column in walk.items() if name.startswith(start)}))
    present = walk[_PREFIX + "present"]
    current = next(held) if present[0] else None
    trial = next(held) if present[1] else None
    return walk[_PREFIX + "ints"].copy(), walk[_PREFIX + "seen"].copy(), current, trial
