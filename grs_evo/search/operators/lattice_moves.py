"""All flips and swaps of a lattice, as the compiled chains take them."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from grs_evo.errors import InputError
from grs_evo.kernels.lattice.chains import Moves
from grs_evo.loss.lattice import LatticeObjective
from grs_evo.structures.composition import Composition, draw_occupation


def make_moves(lattice: LatticeObjective, rule: Composition) -> Moves:
    """All flips and swaps that the sites and the composition could ever allow.

    Swaps alone where the composition is fixed, flips alone where it is free, both where it has limits.

    Raises
    ------
    InputError
        No occupation keeps both composition and allowed elements, or there is only one.
    """
    n, n_el = lattice.n_sites, lattice.n_elements
    bounds = rule.bounds(n)
    valid = draw_occupation(np.random.default_rng(0), rule, lattice.allowed, n)
    if bounds is None or valid is None:
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
        legal=valid.astype(np.int32),
        uniform=not rule.fixed,
    )
