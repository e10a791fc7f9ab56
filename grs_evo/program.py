"""Descriptor labels turned into a straight list of bilinear steps, forward (A → B) and adjoint (dQ/dB → dQ/dA).

A function is a coupling tree over A's. Written with `angular.vertex` tensors a tree is a network whose value does not
depend on where its root is put; edges with L = 0 cut it into factors that are invariant on their own. So a
function becomes a product of irreducible networks, each the dot product of two equivariant halves, and all of these
(halves, dot products, partial products) are shared between functions wherever the same one occurs.

The A rows of one central element lie as
``row(mu, n, l, m) = mu * rows_per_species + l_offset[l] + (n − 1) * (2 l + 1) + (m + l)`` with
``l_offset[l] = Σ_{l' < l} n_of_l[l'] * (2 l' + 1)``, real harmonics; the row after them holds the constant 1.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_dir

from .angular import coupling_over_vertex, tree, vertex

# Sweeps of the search for the cheapest set of shared intermediates; it has always stood still after three.
_SWEEPS = 8


class Label(NamedTuple):
    """One coupling tree: central element, and per factor neighbour element, radial index (from 1) and l; couplings."""

    mu0: int
    mus: tuple[int, ...]
    ns: tuple[int, ...]
    ls: tuple[int, ...]
    Ls: tuple[int, ...]  # intermediate couplings in the order of angular.tree, without the final 0


class Mixing(NamedTuple):
    """Functions that are combinations of trees: function[k] += weight[k] * tree[k], sorted by function."""

    n_functions: int
    function: NDArray[np.int32]  # (n_terms,)
    tree: NDArray[np.int32]  # (n_terms,)
    weight: NDArray[np.float64]  # (n_terms,)


class Program(NamedTuple):
    """Bilinear steps over a buffer of rows; plain arrays, so that compiled code takes it as it is.

    Segment s of the forward part: ``buf[fwd_dst[s]] = Σ_t fwd_c[t] * buf[fwd_x[t]] * buf[fwd_y[t]]`` for t from
    fwd_start[s] to fwd_start[s + 1], segments in order. The sum is gathered first and stored then: a backward segment
    may read its own destination's old value. The backward part runs on the buffer extended to 2 n_rows rows, where
    row n_rows + r is the adjoint of row r; the caller sets those of the rows b_rows. It sets all A rows' adjoints (to
    0 by an empty segment where no function uses one).
    """

    n_a: int  # rows 0 … n_a − 1 are A; row n_a is the constant 1
    n_rows: int
    b_rows: NDArray[np.int32]  # (n_functions,) all different, none an A row
    fwd_dst: NDArray[np.int32]
    fwd_start: NDArray[np.int32]
    fwd_x: NDArray[np.int32]
    fwd_y: NDArray[np.int32]
    fwd_c: NDArray[np.float64]
    bwd_dst: NDArray[np.int32]
    bwd_start: NDArray[np.int32]
    bwd_x: NDArray[np.int32]
    bwd_y: NDArray[np.int32]
    bwd_c: NDArray[np.float64]


# An equivariant thing is a nested tuple: a leaf ("A", l, mu, n), or a half (L, left, right) with left <= right in
# `_rank_of_key` order. A network is a pair of these that is contracted over m.
_Key = tuple[Any, ...]


def compile_program(labels: Sequence[Label], mixing: Mixing | None, n_of_l: Sequence[int], n_elements: int) -> Program:
    """Lay the functions of one central element out as shared bilinear steps.

    Parameters
    ----------
    labels : trees, all with the same mu0
    mixing : how functions are made of trees; None when each tree is a function
    n_of_l : number of radial functions for each l
    n_elements : number of neighbour elements
    """
    terms: list[list[tuple[float, tuple[_Key, ...]]]]  # per function: weight and its irreducible networks
    if mixing is None:
        terms = [[_factorise(label)] for label in labels]
    else:
        factors = [_factorise(label) for label in labels]
        terms = [[] for _ in range(mixing.n_functions)]
        for function, which, weight in zip(mixing.function, mixing.tree, mixing.weight, strict=True):
            scale, networks = factors[which]
            terms[function].append((scale * float(weight), networks))
    roots = _choose_roots(sorted({network for term in terms for _, networks in term for network in networks}, key=repr))
    builder = _Builder(tuple(n_of_l), n_elements)
    b_rows = [-1] * len(terms)
    # single trees first: their rows serve as intermediates of the others
    by_rank = sorted(range(len(terms)), key=lambda k: (len(terms[k]) != 1, _order(terms[k]), k))
    for k in by_rank:
        b_rows[k] = builder.function([(c, [roots[n] for n in networks]) for c, networks in terms[k]])
    return builder.finish(b_rows)


def _order(term: list[tuple[float, tuple[_Key, ...]]]) -> int:
    return max((sum(len(_leaves(side)) for network in networks for side in network) for _, networks in term), default=0)


# ---------------------------------------------------------------------------------------------------------------------
# trees to networks


def _momentum(key: _Key) -> int:
    return int(key[1]) if key[0] == "A" else int(key[0])


def _leaves(key: _Key) -> list[_Key]:
    if key[0] == "A":
        return [key]
    if key[0] == "1":
        return []
    return _leaves(key[1]) + _leaves(key[2])


def _factorise(label: Label) -> tuple[float, tuple[_Key, ...]]:
    """A tree as (factor, networks): value = factor · Π networks; a network is a pair of keys contracted over m."""
    rank = len(label.ls)
    leaves: list[_Key] = [("A", l, mu, n) for l, mu, n in zip(label.ls, label.mus, label.ns, strict=True)]
    one: _Key = ("1",)
    if rank == 1:
        return 1.0, ((leaves[0], one),)
    momenta = (*label.ls, *label.Ls, 0)
    # Each open part: its key, or None when it has become a pure number (L = 0) and moved to `networks`.
    parts: dict[int, _Key | None] = {}
    networks: list[_Key] = []
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


def _half(left: _Key, right: _Key, L: int) -> tuple[float, _Key]:
    """Canonical order of a half's children, and the sign of exchanging them."""
    if repr(left) <= repr(right):
        return 1.0, (L, left, right)
    return (-1.0 if (_momentum(left) + _momentum(right) + L) % 2 else 1.0), (L, right, left)


def _rerooted(network: _Key) -> list[tuple[float, _Key]]:
    """The network cut at each of its edges in turn: (sign, pair)."""
    if network[1][0] == "1":
        return [(1.0, network)]
    out: list[tuple[float, _Key]] = []
    seen: set[_Key] = set()
    todo: list[tuple[float, _Key, _Key]] = [(1.0, *network)]
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
                swap, half = _half(p, q, _momentum(near))
                todo.append((sign * swap, near, half))
    return out


def _canonical(network: _Key) -> tuple[float, _Key]:
    """One form for all rootings of a network."""
    sign, pair = min(_rerooted(network), key=lambda item: repr(item[1]))
    return sign, pair


# ---------------------------------------------------------------------------------------------------------------------
# where to cut


def _closure(pair: _Key) -> frozenset[_Key]:
    """All halves that must be made before the two sides of a pair can be contracted."""
    out: set[_Key] = set()

    def visit(key: _Key) -> None:
        if key[0] not in ("A", "1") and key not in out:
            out.add(key)
            visit(key[1])
            visit(key[2])

    for side in pair:
        visit(side)
    return frozenset(out)


def _half_cost(key: _Key) -> int:
    L, a, b = key[0], key[1], key[2]
    return len(_half_terms(_momentum(a), _momentum(b), L, a == b))


def _choose_roots(networks: list[_Key]) -> dict[_Key, tuple[float, _Key]]:
    """For each network the cut that makes the whole set cheapest: coordinate descent from the most popular halves."""
    options: dict[_Key, list[tuple[float, _Key, frozenset[_Key], int]]] = {}
    for network in networks:
        options[network] = [
            (sign, pair, _closure(pair), 2 * _momentum(pair[0]) + 1)
            for sign, pair in sorted(_rerooted(network), key=lambda item: repr(item[1]))
        ]
    cost = {half: _half_cost(half) for choices in options.values() for _, _, halves, _ in choices for half in halves}
    popular = Counter(half for choices in options.values() for half in {h for c in choices for h in c[2]})
    used: Counter[_Key] = Counter()
    chosen: dict[_Key, int] = {}
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


def _half_terms(l1: int, l2: int, L: int, equal: bool) -> list[tuple[int, int, int, float]]:
    """Non-zero (m1, m2, M, c), all counted from 0; m1 ≤ m2 with both orders added up when the two sides are equal."""
    tensor = vertex(l1, l2, L)
    if equal:
        tensor = tensor + tensor.transpose(1, 0, 2)
        side = np.arange(2 * l1 + 1)
        share = np.where(side[:, None] < side, 1.0, np.where(side[:, None] == side, 0.5, 0.0))
        tensor = tensor * share[:, :, None]
    a, b, c = np.nonzero(np.abs(tensor) > 1e-13)
    order = np.lexsort((b, a, c))
    return [(int(a[k]), int(b[k]), int(c[k]), float(tensor[a[k], b[k], c[k]])) for k in order]


# ---------------------------------------------------------------------------------------------------------------------
# laying out the steps

_Steps = list[tuple[int, int, float]]


@dataclass
class _Builder:
    n_of_l: tuple[int, ...]
    n_elements: int
    segments: list[tuple[int, _Steps]] = field(default_factory=list)
    halves: dict[_Key, int] = field(default_factory=dict)  # first row
    scalars: dict[tuple[_Key, ...], tuple[int, float]] = field(default_factory=dict)  # product of networks: row, factor
    outputs: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        widths = [n * (2 * l + 1) for l, n in enumerate(self.n_of_l)]
        self.l_offset = [sum(widths[:l]) for l in range(len(widths))]
        self.per_species = sum(widths)
        self.one = self.per_species * self.n_elements
        self.n_rows = self.one + 1

    def new(self, steps: _Steps) -> int:
        row = self.n_rows
        self.n_rows += 1
        self.segments.append((row, steps))
        return row

    def first_row(self, key: _Key) -> int:
        if key[0] == "1":
            return self.one
        if key[0] == "A":
            _, l, mu, n = key
            return int(mu * self.per_species + self.l_offset[l] + (n - 1) * (2 * l + 1))
        if key not in self.halves:
            L, a, b = key
            x, y = self.first_row(a), self.first_row(b)
            steps: list[_Steps] = [[] for _ in range(2 * L + 1)]
            for m1, m2, M, c in _half_terms(_momentum(a), _momentum(b), L, a == b):
                steps[M].append((x + m1, y + m2, c))
            rows = [self.new(part) for part in steps]
            self.halves[key] = rows[0]
        return self.halves[key]

    def contraction(self, pair: _Key) -> _Steps:
        a, b = pair
        x, y = self.first_row(a), self.first_row(b)
        return [(x + m, y + m, 1.0) for m in range(2 * _momentum(a) + 1)] if b[0] != "1" else [(x, y, 1.0)]

    def scalar(self, pairs: tuple[_Key, ...]) -> tuple[int, float]:
        """A row and the factor with which it equals the product of these networks."""
        if len(pairs) == 1 and pairs[0][1][0] == "1":
            return self.first_row(pairs[0][0]), 1.0
        if pairs not in self.scalars:
            self.scalars[pairs] = (self.new(self.product_steps(pairs)), 1.0)
        return self.scalars[pairs]

    def product_steps(self, pairs: tuple[_Key, ...]) -> _Steps:
        """Steps that add up to the product of these networks."""
        if len(pairs) == 1:
            return self.contraction(pairs[0])
        first, second = min(_splits(pairs), key=lambda s: (self.missing(s[0]) + self.missing(s[1]), repr(s)))
        (x, fx), (y, fy) = self.scalar(first), self.scalar(second)
        return [(x, y, fx * fy)]

    def missing(self, pairs: tuple[_Key, ...]) -> int:
        """Rough number of steps to make a product that may be there already."""
        if pairs in self.scalars or (len(pairs) == 1 and pairs[0][1][0] == "1"):
            return 0
        if len(pairs) == 1:
            return 2 * _momentum(pairs[0][0]) + 1
        return len(pairs) - 1 + sum(self.missing((p,)) for p in pairs)

    def function(self, terms: list[tuple[float, list[tuple[float, _Key]]]]) -> int:
        """A row of its own that holds a function."""
        prepared = []
        for c, networks in terms:
            for sign, _ in networks:
                c *= sign
            prepared.append((c, tuple(sorted((pair for _, pair in networks), key=repr))))
        if len(prepared) == 1 and prepared[0][0] != 0.0:
            c, pairs = prepared[0]
            known = self.scalars.get(pairs)
            if known is None:
                row = self.new([(x, y, c * k) for x, y, k in self.product_steps(pairs)])
                if not (len(pairs) == 1 and pairs[0][1][0] == "1"):
                    self.scalars[pairs] = (row, 1.0 / c)
            else:
                row = self.new([(known[0], self.one, c * known[1])])
        else:
            row = self.new(_merged([(x, y, c * k) for c, pairs in prepared for x, y, k in self.term_steps(pairs)]))
        self.outputs.add(row)
        return row

    def term_steps(self, pairs: tuple[_Key, ...]) -> _Steps:
        if pairs in self.scalars:
            row, factor = self.scalars[pairs]
            return [(row, self.one, factor)]
        return self.product_steps(pairs)

    def finish(self, b_rows: list[int]) -> Program:
        forward = _arrays(self.segments)
        return Program(self.one, self.n_rows, np.array(b_rows, dtype=np.int32), *forward, *_arrays(self.backward()))

    def backward(self) -> list[tuple[int, _Steps]]:
        """The adjoint in pull form: each row gathers from all steps that read it, latest rows first."""
        readers: dict[int, _Steps] = {}
        shift = self.n_rows
        for dst, steps in self.segments:
            for x, y, c in steps:
                if x == y:
                    readers.setdefault(x, []).append((shift + dst, x, 2.0 * c))
                    continue
                for this, other in ((x, y), (y, x)):
                    if this != self.one:
                        readers.setdefault(this, []).append((shift + dst, other, c))
        out: list[tuple[int, _Steps]] = []
        for row, _ in reversed(self.segments):
            steps = readers.get(row, [])
            if row in self.outputs:
                if steps:
                    out.append((shift + row, [(shift + row, self.one, 1.0), *steps]))
            else:
                out.append((shift + row, steps))
        out += [(shift + row, readers.get(row, [])) for row in range(self.one)]
        return out


def _splits(pairs: tuple[_Key, ...]) -> list[tuple[tuple[_Key, ...], tuple[_Key, ...]]]:
    """All ways to cut a product into two, each in canonical order."""
    found: dict[tuple[tuple[_Key, ...], tuple[_Key, ...]], None] = {}
    n = len(pairs)
    for mask in range(1, 2 ** (n - 1)):
        first = tuple(pairs[k] for k in range(n) if mask >> k & 1)
        second = tuple(pairs[k] for k in range(n) if not mask >> k & 1)
        found[(first, second)] = None
    return list(found)


def _merged(steps: _Steps) -> _Steps:
    """Equal products added up; exact cancellations dropped."""
    sums: dict[tuple[int, int], float] = {}
    for x, y, c in steps:
        key = (min(x, y), max(x, y))
        sums[key] = sums.get(key, 0.0) + c
    return [(x, y, c) for (x, y), c in sums.items() if c != 0.0]


def _arrays(
    segments: list[tuple[int, _Steps]],
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    flat = [step for _, steps in segments for step in steps]
    return (
        np.array([dst for dst, _ in segments], dtype=np.int32),
        np.concatenate([[0], np.cumsum([len(steps) for _, steps in segments], dtype=np.int64)]).astype(np.int32),
        np.array([x for x, _, _ in flat], dtype=np.int32),
        np.array([y for _, y, _ in flat], dtype=np.int32),
        np.array([c for _, _, c in flat], dtype=np.float64),
    )


# ---------------------------------------------------------------------------------------------------------------------
# kept on disk


def cache_folder() -> Path:
    """Where set-up results are kept: $GRS_EVO_CACHE_DIR, else the user's cache folder."""
    return Path(os.environ.get("GRS_EVO_CACHE_DIR") or user_cache_dir("grs_evo"))


def cached_program(labels: Sequence[Label], mixing: Mixing | None, n_of_l: Sequence[int], n_elements: int) -> Program:
    """`compile_program`, looked up on disk by content first.

    The key covers the functions and the source of this room and of `angular`, so a change of either is a new entry.
    Any number of processes may do this at once: each writes beside and renames, all write the same bytes. A file that
    cannot be read back whole is made again; a folder that cannot be written to only costs the time.
    """
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps([[label[1:] for label in labels], list(n_of_l), n_elements]).encode())
    if mixing is not None:
        for part in mixing:
            digest.update(np.asarray(part).tobytes())
    for room in ("angular.py", "program.py"):
        digest.update((Path(__file__).parent / room).read_bytes())
    path = cache_folder() / "programs" / f"{digest.hexdigest()}.npz"
    n_functions = len(labels) if mixing is None else mixing.n_functions
    program = _load(path, n_functions)
    if program is None:
        program = compile_program(labels, mixing, n_of_l, n_elements)
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, beside = tempfile.mkstemp(dir=path.parent, suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    np.savez(file, allow_pickle=False, **{k: np.asarray(v) for k, v in program._asdict().items()})
                os.replace(beside, path)
            except BaseException:
                os.unlink(beside)
                raise
    return program


def _load(path: Path, n_functions: int) -> Program | None:
    """A stored program, or None when there is none that is whole and fits: compiled code does not check its indices."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            data = {name: stored[name] for name in Program._fields}
    except Exception:  # a damaged archive can fail in any way; whatever it is, the file is of no use
        return None
    program = Program(int(data.pop("n_a")), int(data.pop("n_rows")), **data)
    sound = len(program.b_rows) == n_functions
    for part in ("fwd", "bwd"):
        dst, start, x, y, c = (data[f"{part}_{name}"] for name in ("dst", "start", "x", "y", "c"))
        sound = sound and len(start) == len(dst) + 1 and start[0] == 0 and bool(np.all(np.diff(start) >= 0))
        sound = sound and start[-1] == len(x) == len(y) == len(c)
        for rows in (dst, x, y, program.b_rows):
            sound = sound and rows.dtype == np.int32
            sound = sound and (rows.size == 0 or 0 <= rows.min() <= rows.max() < 2 * program.n_rows)
    return program if sound else None
