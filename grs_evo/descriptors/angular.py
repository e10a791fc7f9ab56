"""Angular momenta into numbers: Clebsch–Gordan couplings, coupling trees, and how many invariants a block has.

Everything here runs at set-up time. A *tree* of rank N couples N angular momenta pairwise and balanced, (12)(34)→…, an
odd one out waiting for the next level, until all is coupled to L_R = 0. Its label `Ls` lists the intermediate
couplings in the order in which the tree makes them, without the final 0.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations_with_replacement, pairwise, product
from math import comb, copysign, factorial, prod, sqrt

import numpy as np
from numpy.typing import NDArray

# Squared length below which a symmetrised tree counts as dependent on those before it. Trees have length 1 before
# they are symmetrised and what is left is an algebraic number of small height; rounding leaves 1e-15.
_DEPENDENT = 1e-9


@cache
def complex_coupling(l1: int, l2: int, L: int) -> NDArray[np.float64]:
    """Clebsch–Gordan coefficients ⟨l1 m1 l2 m2 | L M⟩ as an array (2 l1 + 1, 2 l2 + 1, 2 L + 1), each m from −l to l.

    Racah's sum in exact integers, one square root at the end (Varshalovich et al. 1988, 8.2.1). Condon–Shortley phase.
    """
    out = np.zeros((2 * l1 + 1, 2 * l2 + 1, 2 * L + 1))
    if not abs(l1 - l2) <= L <= l1 + l2:
        return _frozen(out)
    f = factorial
    for m1 in range(-l1, l1 + 1):
        for m2 in range(max(-l2, -L - m1), min(l2, L - m1) + 1):
            M = m1 + m2
            total = 0
            # over a common denominator, so that the alternating sum is exact
            common = f(l1 + l2 - L) * f(l1 - m1) * f(l2 + m2) * f(l1 + l2 + L)
            for k in range(max(0, l2 - L - m1, l1 - L + m2), min(l1 + l2 - L, l1 - m1, l2 + m2) + 1):
                below = f(k) * f(l1 + l2 - L - k) * f(l1 - m1 - k) * f(l2 + m2 - k) * f(L - l2 + m1 + k)
                below *= f(L - l1 - m2 + k)
                total += (-1) ** k * (common * common // below)
            above = (2 * L + 1) * f(L + l1 - l2) * f(L - l1 + l2) * f(l1 + l2 - L)
            above *= f(L + M) * f(L - M) * f(l1 - m1) * f(l1 + m1) * f(l2 - m2) * f(l2 + m2)
            square = above * total * total  # over f(l1 + l2 + L + 1) * common⁴
            sign = -1.0 if total < 0 else 1.0
            out[m1 + l1, m2 + l2, M + L] = sign * sqrt(square / (f(l1 + l2 + L + 1) * common**4))
    return _frozen(out)


@cache
def real_coupling(l1: int, l2: int, L: int) -> NDArray[np.float64]:
    """The coupling (2 l1 + 1, 2 l2 + 1, 2 L + 1) between REAL harmonics, each m from −l to l.

    Equal to the Clebsch–Gordan coupling written in real harmonics where l1 + l2 + L is even, and to −i times it where
    the sum is odd (there it is imaginary). An invariant has an even number of odd couplings, so a tree made of these
    equals the complex definition times (−1)^(number of odd couplings / 2).
    """
    pair = complex_coupling(l1, l2, L)
    odd = (l1 + l2 + L) % 2
    out = np.zeros((2 * l1 + 1, 2 * l2 + 1, 2 * L + 1))
    # in plain loops over the few entries that are not zero: the sum's order, and so every bit, is the same everywhere
    for m1 in range(-l1, l1 + 1):
        for m2 in range(max(-l2, -L - m1), min(l2, L - m1) + 1):
            # each m ≠ 0 brings 1/√2
            c = float(pair[m1 + l1, m2 + l2, m1 + m2 + L]) * sqrt(0.5 ** sum(m != 0 for m in (m1, m2, m1 + m2)))
            for r1, u1 in _real_parts(m1):
                for r2, u2 in _real_parts(m2):
                    for r, u in _real_parts(m1 + m2):
                        value = c * u1.conjugate() * u2.conjugate() * u
                        out[r1 + l1, r2 + l2, r + L] += value.imag if odd else value.real
    out[np.abs(out) < 1e-14] = 0.0
    return _frozen(out)


def _real_parts(m: int) -> tuple[tuple[int, complex], ...]:
    """Where complex m goes: pairs (real m', U[m', m]), times √2 for m ≠ 0, of the unitary matrix to real harmonics.

    Real harmonics: m > 0 √2 (−1)^m Re Y_lm, m < 0 √2 (−1)^m Im Y_l|m|; so Y_1 is along (y, z, x) without a sign.
    """
    if m == 0:
        return ((0, 1.0 + 0.0j),)
    k = abs(m)
    if m > 0:
        return ((k, (-1) ** k + 0.0j), (-k, -1j * (-1) ** k))
    return ((k, 1.0 + 0.0j), (-k, 1.0j))


@cache
def vertex(l1: int, l2: int, l3: int) -> NDArray[np.float64]:
    """The invariant tensor of three angular momenta in real harmonics (a real 3j symbol), of length 1.

    Cyclic exchange leaves it alone; exchanging two indices multiplies it by (−1)^(l1 + l2 + l3). So a tree of these
    has the same value wherever its root is put, which is what lets functions share intermediates.
    """
    order = sorted(range(3), key=lambda k: ((l1, l2, l3)[k], k))
    low, mid, high = ((l1, l2, l3)[k] for k in order)
    tensor = real_coupling(low, mid, high) / sqrt(2 * high + 1)
    # back[k]: where index k of the wanted tensor sits in the sorted one
    back = [order.index(k) for k in range(3)]
    inversions = sum(back[a] > back[b] for a in range(3) for b in range(a + 1, 3))
    sign = -1.0 if inversions % 2 and (l1 + l2 + l3) % 2 else 1.0
    return _frozen(np.ascontiguousarray(sign * tensor.transpose(back)))


@cache
def coupling_over_vertex(l1: int, l2: int, L: int) -> float:
    """Factor by which `real_coupling` exceeds `vertex`: ±√(2 L + 1)."""
    return copysign(sqrt(2 * L + 1), float(np.sum(real_coupling(l1, l2, L) * vertex(l1, l2, L))))


@cache
def tree(rank: int) -> tuple[tuple[int, int], ...]:
    """Children of each inner node of the balanced tree; 0 … rank−1 are the leaves, inner nodes follow in order."""
    level = list(range(rank))
    nodes: list[tuple[int, int]] = []
    while len(level) > 1:
        above = []
        for a, b in zip(level[::2], level[1::2], strict=False):
            nodes.append((a, b))
            above.append(rank + len(nodes) - 1)
        if len(level) % 2:
            above.append(level[-1])
        level = above
    return tuple(nodes)


@cache
def couplings(ls: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """All `Ls` that couple `ls` to 0, in lexicographic order."""
    nodes = tree(len(ls))
    if not nodes:
        return ((),) if ls[0] == 0 else ()
    partial: list[tuple[int, ...]] = [()]
    for a, b in nodes[:-1]:
        grown = []
        for Ls in partial:
            momenta = ls + Ls
            low, high = abs(momenta[a] - momenta[b]), momenta[a] + momenta[b]
            grown += [(*Ls, L) for L in range(low, high + 1)]
        partial = grown
    a, b = nodes[-1]
    return tuple(Ls for Ls in partial if (ls + Ls)[a] == (ls + Ls)[b])


def tree_tensor(ls: tuple[int, ...], Ls: tuple[int, ...]) -> NDArray[np.float64]:
    """Generalised Clebsch–Gordan coefficients C^m_l(L) of one tree, (2 l1 + 1, …, 2 lN + 1); squares sum to 1.

    Complex harmonics, the definition of method §2; non-zero only where Σ m = 0.
    """
    if len(ls) == 1:
        return np.ones(1)
    momenta = (*ls, *Ls, 0)
    # each open part: (leaves in order, tensor over the leaves and the part's own m)
    parts: dict[int, tuple[list[int], NDArray[np.float64]]] = {k: ([k], np.eye(2 * l + 1)) for k, l in enumerate(ls)}
    node = len(ls)
    for a, b in tree(len(ls)):
        leaves_a, tensor_a = parts.pop(a)
        leaves_b, tensor_b = parts.pop(b)
        pair = complex_coupling(momenta[a], momenta[b], momenta[node])
        half = np.tensordot(tensor_b, pair, axes=(-1, 1))  # b leaves, m_a, M
        full = np.tensordot(tensor_a, half, axes=(-1, len(leaves_b)))  # a leaves, b leaves, M
        parts[node] = (leaves_a + leaves_b, full)
        node += 1
    leaves, tensor = parts[node - 1]
    return np.ascontiguousarray(np.transpose(tensor[..., 0], np.argsort(leaves)))


def symmetrise(tensor: NDArray[np.float64], groups: tuple[int, ...]) -> NDArray[np.float64]:
    """Average over all exchanges of positions that carry equal labels (equal entries of `groups`).

    Products of numbers commute, so this is all that a polynomial of the A keeps of a coefficient tensor.
    """
    for group in sorted(set(groups)):
        places = [k for k, g in enumerate(groups) if g == group]
        # S_k is S_{k−1} times the exchanges of its k-th place with each earlier one
        for k in range(1, len(places)):
            total = tensor
            for earlier in places[:k]:
                total = total + np.swapaxes(tensor, earlier, places[k])
            tensor = total / (k + 1)
    return tensor


@cache
def independent_couplings(ls: tuple[int, ...], groups: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """The lexicographically first trees whose symmetrised polynomials are independent: a complete set of the block.

    Parameters
    ----------
    ls : angular momenta per position
    groups : positions with equal entries carry the same label (μ, n, l)

    Notes
    -----
    Gram–Schmidt in lexicographic order, so the choice does not depend on the machine's linear algebra. The number is
    that of SO(3) invariants (`count_invariants`); a difference would be a fault of this program.
    """
    wanted = count_invariants(ls, groups)
    if wanted == 0:
        return ()
    candidates = couplings(ls)
    if len(candidates) == wanted:
        return candidates
    chosen: list[tuple[int, ...]] = []
    directions: list[NDArray[np.float64]] = []
    # a twentieth of all entries at rank 5 and l = 6; the others are zero
    total_m = sum(np.ix_(*(np.arange(-l, l + 1) for l in ls)))
    somewhere = np.flatnonzero(np.ravel(total_m) == 0)
    for Ls in candidates:
        rest = symmetrise(tree_tensor(ls, Ls), groups).ravel()[somewhere]
        for _ in range(2):  # twice is enough (Kahan): the second pass removes the first one's rounding
            for direction in directions:
                rest = rest - direction * np.sum(direction * rest)
        square = float(np.sum(rest * rest))
        if square > _DEPENDENT:
            chosen.append(Ls)
            directions.append(rest / sqrt(square))
            if len(chosen) == wanted:
                return tuple(chosen)
    raise AssertionError(f"block l = {ls}, groups {groups}: {len(chosen)} independent trees, {wanted} invariants")


def count_functions(n_radial: int, rank: int, l_max: int) -> int:
    """Number of functions of a rank: invariants of `rank` factors, each any of `n_radial` labels for every l ≤ l_max.

    From the characters of O(3), averaged over rotation angles by a rule that is exact for them: h_k, the character of
    the symmetric power k of the factors' space, follows from the power sums by Newton's recursion.
    """
    n_angles = 4 * rank * l_max + 8
    angles = 2 * np.pi * np.arange(n_angles) / n_angles
    total = 0.0
    for inversion in (1, -1):

        def power_sum(k: int, sign: int = inversion) -> NDArray[np.float64]:
            per_l = (
                sign ** (k * l) * np.cos(np.outer(np.arange(-l, l + 1), k * angles)).sum(0) for l in range(l_max + 1)
            )
            summed: NDArray[np.float64] = n_radial * np.sum(list(per_l), axis=0)
            return summed

        h = [np.ones(n_angles)]
        for j in range(1, rank + 1):
            h.append(np.sum([power_sum(k) * h[j - k] for k in range(1, j + 1)], axis=0) / j)
        total += float(np.mean(h[rank] * (1 - np.cos(angles)))) / 2
    return round(total)


def coupling_work(n_radial: int, rank: int, l_max: int, most: float) -> float:
    """How many coefficients `independent_couplings` goes through for all blocks of a rank; may stop above `most`.

    Blocks that agree in which labels are equal share one search, and one with all labels different needs none.
    """
    total = 0.0
    for ls in combinations_with_replacement(range(l_max + 1), rank):
        if sum(ls) % 2:
            continue
        size = count_invariants(ls, tuple(range(rank))) * prod(2 * l + 1 for l in ls)
        for split in product(*(_partitions(ls.count(l)) for l in sorted(set(ls)))):
            if max(len(equal) for equal in split) <= n_radial and any(k > 1 for equal in split for k in equal):
                # each tree is made, and exchanged within its equal labels
                total += size * (rank + sum(k * (k - 1) // 2 for equal in split for k in equal))
                if total > most:
                    return total
    return total


@cache
def _partitions(n: int, largest: int | None = None) -> tuple[tuple[int, ...], ...]:
    if n == 0:
        return ((),)
    top = n if largest is None else min(n, largest)
    return tuple((k, *rest) for k in range(top, 0, -1) for rest in _partitions(n - k, k))


@cache
def count_invariants(ls: tuple[int, ...], groups: tuple[int, ...]) -> int:
    """Number of rotation and inversion invariants of a block, from the SO(3) characters.

    The invariants are those states of total M = 0 that have no partner at M = 1. k equal labels of angular momentum l
    span the symmetric power Sym^k, whose states per M are counted by a Gaussian binomial.
    """
    if sum(ls) % 2:
        return 0
    states = [1]  # states[i]: number with total M = i − Σ k l
    for group in sorted(set(groups)):
        members = [l for l, g in zip(ls, groups, strict=True) if g == group]
        assert all(a == b for a, b in pairwise(members)), "equal labels have equal l"
        power = _gaussian_binomial(len(members) + 2 * members[0], len(members))
        both = [0] * (len(states) + len(power) - 1)
        for i, a in enumerate(states):
            for j, b in enumerate(power):
                both[i + j] += a * b
        states = both
    middle = (len(states) - 1) // 2
    return states[middle] - (states[middle + 1] if middle + 1 < len(states) else 0)


def _gaussian_binomial(n: int, k: int) -> list[int]:
    """Coefficients of the q-binomial [n over k]: entry s counts the k-subsets of 0 … n−1 of given sum."""
    if k == 0:
        return [1]
    rows = [[1]] + [[] for _ in range(k)]
    for size in range(1, n + 1):
        # [size over j] = [size−1 over j−1] + q^j [size−1 over j]
        for j in range(min(k, size), 0, -1):
            shifted = [0] * j + rows[j] if rows[j] else []
            length = max(len(rows[j - 1]), len(shifted))
            rows[j] = [
                (rows[j - 1][s] if s < len(rows[j - 1]) else 0) + (shifted[s] if s < len(shifted) else 0)
                for s in range(length)
            ]
    assert sum(rows[k]) == comb(n, k)
    return rows[k]


def _frozen(array: NDArray[np.float64]) -> NDArray[np.float64]:
    array.flags.writeable = False
    return array
