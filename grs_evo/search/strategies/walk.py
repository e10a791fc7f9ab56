"""Trajectories where atoms move or sites are many: by the mutations of `operators`, one structure at a time.

A generation is a number of evaluations; relaxation, where it is on, is part of one. It stops and goes on at any
generation with the same result. The calibration of the temperature and all restarts count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.search.counters import Ledger
from grs_evo.search.evaluation import Proposal, evaluate
from grs_evo.search.fresh_candidates import fresh
from grs_evo.search.operators.probabilities import draw_operator, probabilities
from grs_evo.search.options import Kind, WalkOptions
from grs_evo.search.population.individual import NO_PARENT, Individual, best_distinct, order_key, pack, unpack
from grs_evo.search.problem import Problem, Step
from grs_evo.search.state import IslandState
from grs_evo.structures.structure import Structure

# Names of a walk's arrays begin with it; those of its one or two individuals with the second.
_PREFIX, _INDIVIDUAL_PREFIX = "walk.", "walk.one."
# Moves tried per evaluation of a generation, at most: those that cannot be made cost no evaluation.
_TRIES = 20


@dataclass
class Walk:
    """Where a trajectory stands. Changed in place while a generation is made, from a copy of what the state holds."""

    differences: NDArray[np.float64]  # (calibration,) sizes of the loss differences seen first
    n_differences: int = 0
    current: Individual | None = None  # None: a restart is due
    best_move: Individual | None = None  # best improvement: the best of the moves sampled from the current one
    step: int = 0  # of the anneal
    failures: int = 0  # in a row
    restarts: int = 0

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """As arrays of the island's state; the inverse of `from_arrays`."""
        held = [one for one in (self.current, self.best_move) if one is not None]
        # checkpoints hold five whole numbers, the last of no use
        ints = np.array([self.step, self.failures, self.restarts, self.n_differences, 0], np.int64)
        arrays: dict[str, NDArray[Any]] = {
            _PREFIX + "ints": ints,
            _PREFIX + "seen": self.differences,
            _PREFIX + "present": np.array([self.current is not None, self.best_move is not None]),
        }
        columns = pack(held, len(held[0].terms) if held else 0)
        return arrays | {_INDIVIDUAL_PREFIX + name: column for name, column in columns.items()}

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[Any]], options: WalkOptions) -> Walk:
        """The walk that a state holds, or one that has not begun."""
        if not arrays:
            return Walk(np.zeros(options.calibration))
        start = len(_INDIVIDUAL_PREFIX)
        columns = {name[start:]: column for name, column in arrays.items() if name.startswith(_INDIVIDUAL_PREFIX)}
        held = iter(unpack(columns))
        current, best_move = (next(held) if present else None for present in arrays[_PREFIX + "present"])
        step, failures, restarts, n_differences, _ = (int(number) for number in arrays[_PREFIX + "ints"])
        differences = arrays[_PREFIX + "seen"].copy()
        return Walk(differences, n_differences, current, best_move, step, failures, restarts)


def advance_walk(kind: Kind, state: IslandState, problem: Problem, rng: np.random.Generator, ledger: Ledger) -> Step:
    """One generation of a trajectory."""
    island = problem.islands[state.island]
    options = island.walk
    _, by_mutation = probabilities(problem.limits(state.island), island.operators, state.rates)
    cumulative = by_mutation.tolist()
    walk = Walk.from_arrays(state.walk, options)
    found: list[Individual] = []
    end = ledger.evaluations + options.evaluations
    for _ in range(_TRIES * options.evaluations):
        if ledger.evaluations >= end:
            break
        ledger.check()
        if walk.current is None:
            _restart(walk, state, problem, cumulative, rng, ledger, found)
            continue
        one = _mutant(walk.current, cumulative, state.island, problem, rng, ledger)
        if one is None:
            walk.failures += 1
        else:
            found.append(one)
            if one.value < walk.current.value:
                ledger.success(one.operator)
            _go_on(kind, walk, walk.current, one, options, rng)
        if one is None or kind == "descent":
            _judge_failures(kind, walk, options)
    following = best_distinct([*state.population, *found], island.population)
    return Step(following, found, state.seen, walk.to_arrays(), state.rates)


# ---------------------------------------------------------------------------------------------------------------------
# acceptance


def _go_on(
    kind: Kind, walk: Walk, current: Individual, one: Individual, options: WalkOptions, rng: np.random.Generator
) -> None:
    """Take an evaluated move, or not, as the strategy wants it."""
    if kind == "random_walk":
        if options.accept == "always" or one.value < current.value:
            walk.current = one
    elif kind == "annealing":
        _anneal(walk, current, one, options, rng)
    elif options.improvement == "first":
        walk.failures = 0 if one.value < current.value else walk.failures + 1
        if one.value < current.value:
            walk.current = one
    else:
        walk.failures += 1
        if walk.best_move is None or order_key(one) < order_key(walk.best_move):
            walk.best_move = one


def _anneal(walk: Walk, current: Individual, one: Individual, options: WalkOptions, rng: np.random.Generator) -> None:
    """Metropolis acceptance at a temperature that falls exponentially (eq. 17); before, differences are collected."""
    difference = one.value - current.value
    if options.t_start is None and walk.n_differences < options.calibration:
        walk.differences[walk.n_differences] = abs(difference)
        walk.n_differences += 1
        if difference <= 0.0:
            walk.current = one
        return
    t_start = options.t_start or options.t_share * float(np.median(walk.differences))
    temperature = t_start * options.t_end ** (walk.step / max(1, options.steps - 1))
    walk.step += 1
    if difference <= 0.0 or (temperature > 0.0 and rng.random() < np.exp(-difference / temperature)):
        walk.current = one
    if walk.step >= options.steps:
        walk.current = None


def _judge_failures(kind: Kind, walk: Walk, options: WalkOptions) -> None:
    """After enough moves take the best of them (best improvement), or give the trajectory up for a restart."""
    if kind == "descent" and options.improvement == "best" and walk.failures >= options.sample:
        better = walk.best_move is not None and walk.current is not None and walk.best_move.value < walk.current.value
        walk.current = walk.best_move if better else None
        walk.best_move, walk.failures = None, 0
    elif walk.failures >= options.patience and kind != "random_walk":
        walk.current = None


# ---------------------------------------------------------------------------------------------------------------------
# moves


def _restart(
    walk: Walk,
    state: IslandState,
    problem: Problem,
    cumulative: Sequence[float],
    rng: np.random.Generator,
    ledger: Ledger,
    found: list[Individual],
) -> None:
    """Begin anew at a fresh candidate, or at the best so far after some random mutations; it joins `found`."""
    kick = problem.islands[state.island].walk.kick
    pool = [*state.population, *found]
    one = None
    if kick and pool:
        best = min(pool, key=order_key)
        structure = best.structure
        for _ in range(kick):
            moved = _moved(structure, cumulative, state.island, problem, rng, ledger)
            structure = structure if moved is None else moved[0]
        proposal = Proposal(structure, "kick", (best.uid, NO_PARENT))
        one = evaluate([proposal], state.island, problem, ledger, rng)[0]
    if one is None:
        one = fresh(1, state.island, problem, rng, ledger)[0]
    found.append(one)
    walk.current, walk.best_move = one, None
    walk.step = walk.failures = 0
    walk.restarts += 1


def _mutant(
    current: Individual,
    cumulative: Sequence[float],
    island: int,
    problem: Problem,
    rng: np.random.Generator,
    ledger: Ledger,
) -> Individual | None:
    """An evaluated move; None when it could not be made or evaluated."""
    moved = _moved(current.structure, cumulative, island, problem, rng, ledger)
    if moved is None:
        return None
    structure, operator = moved
    return evaluate([Proposal(structure, operator, (current.uid, NO_PARENT))], island, problem, ledger, rng)[0]


def _moved(
    structure: Structure,
    cumulative: Sequence[float],
    island: int,
    problem: Problem,
    rng: np.random.Generator,
    ledger: Ledger,
) -> tuple[Structure, str] | None:
    """The structure after a random mutation, and the operator's name; None when it could not be made."""
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
