"""The coupling coefficients of a .yace function as a combination of our coupling trees."""

from __future__ import annotations

from functools import lru_cache
from math import fsum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.descriptors.angular import couplings, independent_couplings, symmetrise, tree_tensor

# A function may differ by this share of its length from a rotation invariant, and a single tree must meet it closer.
_EXACT = 1e-10
_SINGLE_TREE = 1e-12
# A larger difference up to here comes from couplings in single precision, as some of FitSNAP's files have them.
_SINGLE_PRECISION = 1e-6
# A larger difference than that and below this share is what rounding of the printed numbers leaves.
_LOOKS_ROUNDED = 1e-3


class Combination(NamedTuple):
    """A function as a sum of coupling trees."""

    terms: tuple[tuple[tuple[int, ...], float], ...]  # (intermediate angular momenta, weight) of each tree
    lost: float = 0.0  # the share of the file's function that is not invariant, where it is from single precision


@lru_cache(maxsize=4096)
def _trees(
    ls: tuple[int, ...], groups: tuple[int, ...]
) -> tuple[tuple[tuple[int, ...], ...], int, NDArray[np.float64], tuple[float, ...]]:
    """Trees of a block, the independent ones first: (couplings, how many are independent, symmetrised, squares)."""
    independent = independent_couplings(ls, groups)
    order = independent + tuple(Ls for Ls in couplings(ls) if Ls not in independent) if independent else ()
    flat = np.array([symmetrise(tree_tensor(ls, Ls), groups).ravel() for Ls in order])
    return order, len(independent), flat, tuple(_dot(row, row) for row in flat)


def _dot(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Correctly rounded, so that a file gives the same basis, to the bit, on every machine."""
    return fsum((a * b).tolist())


@lru_cache(maxsize=65536)
def tree_combination(
    ls: tuple[int, ...], groups: tuple[int, ...], ms: tuple[int, ...], weights: tuple[float, ...]
) -> Combination | str:
    """A function of a file, Re Σ_m c_m Π A_m, as a sum of trees; or what is wrong with it.

    One whose couplings are of single precision is projected onto the invariants.
    """
    rank = len(ls)
    shape = tuple(2 * l + 1 for l in ls)
    raw = np.zeros(shape)
    for k, c in enumerate(weights):
        m = ms[k * rank : (k + 1) * rank]
        if any(abs(x) > l for x, l in zip(m, ls, strict=True)):
            return f"ms_combs {list(m)} has |m| > l"
        if c != 0.0 and sum(m) != 0:
            return f"is not invariant under rotations (the sum of m in {list(m)} is not 0)"
        raw[tuple(x + l for x, l in zip(m, ls, strict=True))] += c
    # LAMMPS takes the real part, and Π A_m is the conjugate of Π A_−m where Σ m = 0
    target = symmetrise((raw + raw[(slice(None, None, -1),) * rank]) / 2, groups).ravel()
    length = max(_dot(raw.ravel(), raw.ravel()), 1e-300) ** 0.5
    if _dot(target, target) ** 0.5 <= _SINGLE_TREE * length:
        return Combination(())
    order, n_independent, trees, squares = _trees(ls, groups)
    for Ls, row, square in zip(order, trees, squares, strict=True):
        if square > _SINGLE_TREE:
            weight = _dot(row, target) / square
            rest = target - weight * row
            if _dot(rest, rest) ** 0.5 <= _SINGLE_TREE * length:
                return Combination(((Ls, 1.0 if abs(weight - 1.0) < 2e-15 else weight),))
    chosen = trees[:n_independent]
    solution = _solve([[_dot(a, b) for b in chosen] for a in chosen], [_dot(a, target) for a in chosen])
    rest = target - sum((x * row for x, row in zip(solution, chosen, strict=True)), np.zeros_like(target))
    residual = _dot(rest, rest) ** 0.5 / length
    if residual > _SINGLE_PRECISION:
        text = f"is not invariant under rotations (the part that is not has a share of {residual:.1e})"
        if residual < _LOOKS_ROUNDED:
            text += "; its ctildes look rounded, they must be given with at least 12 significant digits"
        return text
    top = max((abs(x) for x in solution), default=0.0)
    if residual <= _EXACT:
        return Combination(tuple((Ls, x) for Ls, x in zip(order, solution, strict=False) if abs(x) > 1e-14 * top))
    terms = tuple((Ls, x) for Ls, x in zip(order, solution, strict=False) if abs(x) > 10.0 * residual * top)
    return Combination(terms if top > _SINGLE_PRECISION * length else (), residual)


def _solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Gaussian elimination of a small positive definite system in plain floats: the same bits on every machine."""
    n = len(right)
    rows = [[*row, x] for row, x in zip(matrix, right, strict=True)]
    for k in range(n):
        for below in range(k + 1, n):
            factor = rows[below][k] / rows[k][k]
            rows[below] = [x - factor * y for x, y in zip(rows[below], rows[k], strict=True)]
    out = [0.0] * n
    for k in reversed(range(n)):
        out[k] = (rows[k][n] - fsum(rows[k][j] * out[j] for j in range(k + 1, n))) / rows[k][k]
    return out
