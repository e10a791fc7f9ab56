"""One structure at a time: annealing, descent and random walks, as island steps of a number of evaluations each.

On fixed sites a step runs inside compiled code, on flips and swaps with incremental losses. Elsewhere the moves are
the mutations of `operators`, chemical and spatial. Both stop and go on at any evaluation with the same result. Every
candidate loss counts as one evaluation, the calibration of the temperature and all restarts included.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from grs_evo.search.counters import Ledger
from grs_evo.search.evaluation import assess, fresh
from grs_evo.search.operators.probabilities import draw_operator, probabilities
from grs_evo.search.options import Kind, WalkOptions
from grs_evo.search.population.individual import NO_PARENT, Individual, _best, order_key, pack, unpack
from grs_evo.search.problem import Problem, Step
from grs_evo.search.state import IslandState
from grs_evo.search.strategies.lattice_chain import _PREFIX
from grs_evo.structures.structure import Structure

# ---------------------------------------------------------------------------------------------------------------------
# fixed sites


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
    if operator.act is None:
        return None  # a fresh candidate is a restart, not a move
    ledger.attempt(operator.name)
    child = operator.act(rng, (structure,), problem.limits(island), problem.islands[island].operators)
    if child is None:
        ledger.reject("operator")
        return None
    return child, operator.name


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
