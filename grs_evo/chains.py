"""Compiled chains on fixed sites: their moves, their beginning, a stretch of them."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from .composition import Composition, draw_occupation
from .errors import InputError
from .kernels import chains as kernel
from .kernels.chains import ChainOptions, ChainState, Moves
from .lattice import LatticeObjective


def make_moves(lattice: LatticeObjective, rule: Composition) -> Moves:
    """All flips and swaps that the sites and the composition could ever allow.

    Swaps alone where the composition is fixed, flips alone where it is quite free, both where it has limits.

    Raises
    ------
    InputError
        No occupation keeps both composition and allowed elements, or there is only one.
    """
    n, n_el = lattice.n_sites, lattice.n_elements
    bounds = rule.bounds(n)
    legal = draw_occupation(np.random.default_rng(0), rule, lattice.allowed, n)
    if bounds is None or legal is None:
        raise InputError(f"lattice: no occupation of the {n} sites keeps both the composition and the allowed elements")
    least, most = (np.array(b, np.int64) for b in bounds)
    choices = lattice.allowed.sum(1)
    table: list[tuple[int, int, int]] = []
    if not rule.fixed:
        table += [(0, i, shift) for i in range(n) if choices[i] > 1 for shift in range(1, n_el)]
    within = bool((least > 0).any() or (most < n).any())
    if rule.fixed or within:
        common = (lattice.allowed[:, None, :] & lattice.allowed[None, :, :]).sum(-1)
        table += [(1, i, j) for i, j in combinations(range(n), 2) if common[i, j] > 1]
    if not table:
        raise InputError(f"lattice: none of the {n} sites may change; there is nothing to search")
    return Moves(
        table=np.array(table, np.int32),
        allowed=np.ascontiguousarray(lattice.allowed),
        least=least,
        most=most,
        legal=legal.astype(np.int32),
        uniform=not rule.fixed,
    )


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


def spent(chain: ChainState) -> int:
    """Evaluations of a chain so far."""
    return int(chain.ints[kernel.FULL] + chain.ints[kernel.INCREMENTAL])


def copied(chain: ChainState) -> ChainState:
    return ChainState(**{name: array.copy() for name, array in chain._asdict().items()})
