"""Coupling trees as networks: cut into irreducible factors, and cut open where that costs the fewest steps in all.

Written with `angular.vertex` tensors a tree is a network whose value does not depend on where its root is put, and
edges with L = 0 cut it into factors that are invariant on their own.

A `Key` is a nested tuple that names what has one component for each m: a leaf ("A", l, mu, n), which is A itself, or a
half (L, left, right), which is two keys coupled to L, with left <= right by their text. A network is a pair of keys
contracted over m; in the pair of a leaf with l = 0 alone the other key is ("1",), the constant 1.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from grs_evo.descriptors.angular import coupling_over_vertex, tree, vertex

Key = tuple[Any, ...]

# Sweeps of the search for the cheapest set of shared intermediates; two or three were enough up to 4600 functions.
_SWEEPS = 8


class Label(NamedTuple):
    """One coupling tree: central element, and per factor neighbour element, radial index (from 1) and l; couplings."""

    mu0: int
    mus: tuple[int, ...]
    ns: tuple[int, ...]
    ls: tuple[int, ...]
    Ls: tuple[int, ...]  # intermediate couplings in the order of angular.tree, without the final 0


# ---------------------------------------------------------------------------------------------------------------------
# trees to networks


def momentum(key: Key) -> int:
    """Angular momentum of a leaf or half: it has 2 l + 1 components."""
    return int(key[1]) if key[0] == "A" else int(key[0])


def leaves_of(key: Key) -> list[Key]:
    """The A's of a key, from left to right."""
    if key[0] == "A":
        return [key]
    if key[0] == "1":
        return []
    return leaves_of(key[1]) + leaves_of(key[2])


def factorise(label: Label) -> tuple[float, tuple[Key, ...]]:
    """A tree as (factor, networks): value = factor · Π networks; a network is a pair of keys contracted over m."""
    rank = len(label.ls)
    leaves: list[Key] = [("A", l, mu, n) for l, mu, n in zip(label.ls, label.mus, label.ns, strict=True)]
    one: Key = ("1",)
    if rank == 1:
        return 1.0, ((leaves[0], one),)
    momenta = (*label.ls, *label.Ls, 0)
    # Each open part: its key, or None when it has become a pure number (L = 0) and moved to `networks`.
    parts: dict[int, Key | None] = {}
    networks: list[Key] = []
    factor, odd = 1.0, 0
    for k, leaf in enumerate(leaves):
        if label.ls[k] == 0:
            networks.append((leaf, one))
            parts[k] = None
        else:
            parts[k] = leaf
    for node, (a, b) in enumerate(tree(rank), start=rank):
        la, lb, L = momenta[a], momenta[b], momenta[node]
        odd += (la + lb + L) % 2
        factor *= coupling_over_vertex(la, lb, L)
        left, right = parts.pop(a), parts.pop(b)
        if left is None or right is None:
            # the vertex (0, l, l) is δ / √(2 l + 1) up to its sign
            factor *= _metric(la, lb, L)
            parts[node] = right if left is None else left
        elif L == 0:
            factor *= _metric(la, lb, L)
            networks.append((left, right))
            parts[node] = None
        else:
            sign, parts[node] = _half(left, right, L)
            factor *= sign
    factor *= (-1.0) ** (odd // 2)
    out = []
    for network in networks:
        sign, canonical = _canonical(network)
        factor *= sign
        out.append(canonical)
    return factor, tuple(sorted(out, key=repr))


def _metric(l1: int, l2: int, l3: int) -> float:
    """The vertex with one zero momentum is this number times δ."""
    tensor = vertex(l1, l2, l3)
    return float(tensor[l1, l2, 0] if l3 == 0 else tensor[0, 0, 0])


def _half(left: Key, right: Key, L: int) -> tuple[float, Key]:
    """Canonical order of a half's children, and the sign of exchanging them."""
    if repr(left) <= repr(right):
        return 1.0, (L, left, right)
    return (-1.0 if (momentum(left) + momentum(right) + L) % 2 else 1.0), (L, right, left)


def _rerooted(network: Key) -> list[tuple[float, Key]]:
    """The network cut at each of its edges in turn: (sign, pair)."""
    if network[1][0] == "1":
        return [(1.0, network)]
    out: list[tuple[float, Key]] = []
    seen: set[Key] = set()
    todo: list[tuple[float, Key, Key]] = [(1.0, *network)]
    while todo:
        sign, a, b = todo.pop()
        pair = (a, b) if repr(a) <= repr(b) else (b, a)
        if pair in seen:
            continue
        seen.add(pair)
        out.append((sign, pair))
        for this, other in ((a, b), (b, a)):
            if this[0] in ("A", "1"):
                continue
            _, x, y = this
            # vertex (x, y; edge to other): cyclic order lets y, other couple to x's edge and other, x to y's
            for near, (p, q) in ((x, (y, other)), (y, (other, x))):
                swap, half = _half(p, q, momentum(near))
                todo.append((sign * swap, near, half))
    return out


def _canonical(network: Key) -> tuple[float, Key]:
    """One form for all rootings of a network."""
    sign, pair = min(_rerooted(network), key=lambda item: repr(item[1]))
    return sign, pair


# ---------------------------------------------------------------------------------------------------------------------
# where to cut


def _closure(pair: Key) -> frozenset[Key]:
    """All halves that must be made before the two sides of a pair can be contracted."""
    out: set[Key] = set()

    def visit(key: Key) -> None:
        if key[0] not in ("A", "1") and key not in out:
            out.add(key)
            visit(key[1])
            visit(key[2])

    for side in pair:
        visit(side)
    return frozenset(out)


def _half_cost(key: Key) -> int:
    L, a, b = key[0], key[1], key[2]
    return len(half_terms(momentum(a), momentum(b), L, a == b))


def choose_roots(networks: list[Key]) -> dict[Key, tuple[float, Key]]:
    """For each network the cut that makes the whole set cheapest: coordinate descent from the most popular halves."""
    options: dict[Key, list[tuple[float, Key, frozenset[Key], int]]] = {}
    for network in networks:
        options[network] = [
            (sign, pair, _closure(pair), 2 * momentum(pair[0]) + 1)
            for sign, pair in sorted(_rerooted(network), key=lambda item: repr(item[1]))
        ]
    cost = {half: _half_cost(half) for choices in options.values() for _, _, halves, _ in choices for half in halves}
    popular = Counter(half for choices in options.values() for half in {h for c in choices for h in c[2]})
    used: Counter[Key] = Counter()
    chosen: dict[Key, int] = {}
    for network, choices in options.items():
        if len(choices) > 1:
            estimate = [dot + sum(cost[h] / popular[h] for h in halves) for _, _, halves, dot in choices]
            chosen[network] = int(np.argmin(estimate))
            used.update(choices[chosen[network]][2])
        else:
            chosen[network] = 0
            used.update(choices[0][2])
    for _ in range(_SWEEPS):
        moved = False
        for network, choices in options.items():
            if len(choices) == 1:
                continue
            used.subtract(choices[chosen[network]][2])
            exact = [dot + sum(cost[h] for h in halves if used[h] <= 0) for _, _, halves, dot in choices]
            best = int(np.argmin(exact))
            if exact[best] < exact[chosen[network]]:
                chosen[network], moved = best, True
            used.update(choices[chosen[network]][2])
        if not moved:
            break
    return {network: options[network][k][:2] for network, k in chosen.items()}


@cache
def half_terms(l1: int, l2: int, L: int, equal: bool) -> tuple[tuple[int, int, int, float], ...]:
    """Non-zero (m1, m2, M, c), all counted from 0; m1 ≤ m2 with both orders added up when the two sides are equal."""
    tensor = vertex(l1, l2, L)
    if equal:
        tensor = tensor + tensor.transpose(1, 0, 2)
        side = np.arange(2 * l1 + 1)
        share = np.where(side[:, None] < side, 1.0, np.where(side[:, None] == side, 0.5, 0.0))
        tensor = tensor * share[:, :, None]
    a, b, c = np.nonzero(np.abs(tensor) > 1e-13)
    order = np.lexsort((b, a, c))
    return tuple((int(a[k]), int(b[k]), int(c[k]), float(tensor[a[k], b[k], c[k]])) for k in order)
