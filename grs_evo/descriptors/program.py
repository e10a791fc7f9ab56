"""Descriptor labels turned into a straight list of bilinear steps, forward (A → B) and adjoint (dQ/dB → dQ/dA).

A function is a coupling tree over A's, and that is a product of irreducible `networks`, each the dot product of two
equivariant halves. All of these (halves, dot products, partial products) are shared between functions wherever the
same one occurs.

The A rows of one central element lie as
``row(mu, n, l, m) = mu * rows_per_species + l_offset[l] + (n − 1) * (2 l + 1) + (m + l)`` with
``l_offset[l] = Σ_{l' < l} n_of_l[l'] * (2 l' + 1)``, real harmonics; the row after them holds the constant 1.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_dir

from grs_evo.descriptors.coupling import Key, Label, choose_roots, factorise, half_terms, leaves_of, momentum


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


def compile_program(labels: Sequence[Label], mixing: Mixing | None, n_of_l: Sequence[int], n_elements: int) -> Program:
    """Lay the functions of one central element out as shared bilinear steps.

    Parameters
    ----------
    labels : trees, all with the same mu0
    mixing : how functions are made of trees; None when each tree is a function
    n_of_l : number of radial functions for each l
    n_elements : number of neighbour elements
    """
    terms: list[list[tuple[float, tuple[Key, ...]]]]  # per function: weight and its irreducible networks
    if mixing is None:
        terms = [[factorise(label)] for label in labels]
    else:
        factors = [factorise(label) for label in labels]
        terms = [[] for _ in range(mixing.n_functions)]
        for function, which, weight in zip(mixing.function, mixing.tree, mixing.weight, strict=True):
            scale, networks = factors[which]
            terms[function].append((scale * float(weight), networks))
    roots = choose_roots(sorted({network for term in terms for _, networks in term for network in networks}, key=repr))
    builder = _Builder(tuple(n_of_l), n_elements)
    b_rows = [-1] * len(terms)
    # single trees first: their rows serve as intermediates of the others
    by_rank = sorted(range(len(terms)), key=lambda k: (len(terms[k]) != 1, _order(terms[k]), k))
    for k in by_rank:
        b_rows[k] = builder.function([(c, [roots[n] for n in networks]) for c, networks in terms[k]])
    return builder.finish(b_rows)


def _order(term: list[tuple[float, tuple[Key, ...]]]) -> int:
    return max(
        (sum(len(leaves_of(side)) for network in networks for side in network) for _, networks in term), default=0
    )


# ---------------------------------------------------------------------------------------------------------------------
# laying out the steps

_Steps = list[tuple[int, int, float]]


@dataclass
class _Builder:
    n_of_l: tuple[int, ...]
    n_elements: int
    segments: list[tuple[int, _Steps]] = field(default_factory=list)
    halves: dict[Key, int] = field(default_factory=dict)  # first row
    scalars: dict[tuple[Key, ...], tuple[int, float]] = field(default_factory=dict)  # product of networks: row, factor
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

    def first_row(self, key: Key) -> int:
        if key[0] == "1":
            return self.one
        if key[0] == "A":
            _, l, mu, n = key
            return int(mu * self.per_species + self.l_offset[l] + (n - 1) * (2 * l + 1))
        if key not in self.halves:
            L, a, b = key
            x, y = self.first_row(a), self.first_row(b)
            steps: list[_Steps] = [[] for _ in range(2 * L + 1)]
            for m1, m2, M, c in half_terms(momentum(a), momentum(b), L, a == b):
                steps[M].append((x + m1, y + m2, c))
            rows = [self.new(part) for part in steps]
            self.halves[key] = rows[0]
        return self.halves[key]

    def contraction(self, pair: Key) -> _Steps:
        a, b = pair
        x, y = self.first_row(a), self.first_row(b)
        return [(x + m, y + m, 1.0) for m in range(2 * momentum(a) + 1)] if b[0] != "1" else [(x, y, 1.0)]

    def scalar(self, pairs: tuple[Key, ...]) -> tuple[int, float]:
        """A row and the factor with which it equals the product of these networks."""
        if len(pairs) == 1 and pairs[0][1][0] == "1":
            return self.first_row(pairs[0][0]), 1.0
        if pairs not in self.scalars:
            self.scalars[pairs] = (self.new(self.product_steps(pairs)), 1.0)
        return self.scalars[pairs]

    def product_steps(self, pairs: tuple[Key, ...]) -> _Steps:
        """Steps that add up to the product of these networks."""
        if len(pairs) == 1:
            return self.contraction(pairs[0])
        first, second = min(_splits(pairs), key=lambda s: (self.missing(s[0]) + self.missing(s[1]), repr(s)))
        (x, fx), (y, fy) = self.scalar(first), self.scalar(second)
        return [(x, y, fx * fy)]

    def missing(self, pairs: tuple[Key, ...]) -> int:
        """Rough number of steps to make a product that may be there already."""
        if pairs in self.scalars or (len(pairs) == 1 and pairs[0][1][0] == "1"):
            return 0
        if len(pairs) == 1:
            return 2 * momentum(pairs[0][0]) + 1
        return len(pairs) - 1 + sum(self.missing((p,)) for p in pairs)

    def function(self, terms: list[tuple[float, list[tuple[float, Key]]]]) -> int:
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

    def term_steps(self, pairs: tuple[Key, ...]) -> _Steps:
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


def _splits(pairs: tuple[Key, ...]) -> list[tuple[tuple[Key, ...], tuple[Key, ...]]]:
    """All ways to cut a product into two, each in canonical order."""
    found: dict[tuple[tuple[Key, ...], tuple[Key, ...]], None] = {}
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

    The key covers the functions and the source of the modules that make programs, so a change of any is a new entry.
    Any number of processes may do this at once: each writes beside and renames, all write the same bytes. A file that
    cannot be read back whole is made again; a folder that cannot be written to only costs the time.
    """
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps([[label[1:] for label in labels], list(n_of_l), n_elements]).encode())
    if mixing is not None:
        for part in mixing:
            digest.update(np.asarray(part).tobytes())
    for module in ("angular.py", "coupling.py", "program.py"):
        digest.update((Path(__file__).parent / module).read_bytes())
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
