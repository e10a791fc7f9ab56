"""Functions that coincide up to scale on given environments, and programs cut down to those that are left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from grs_evo.descriptors.program import Program

# Functions are taken for equal up to scale when they differ by less than this share of their size on every environment.
COINCIDE = 1e-12


class Coincidence(NamedTuple):
    """Which functions stand for which others on given sites."""

    kept: NDArray[np.int64]  # (n_kept,) functions that stand for themselves and others
    which: NDArray[np.int64]  # (n_functions,) position in `kept` of the representative
    factor: NDArray[np.float64]  # (n_functions,) function = factor · representative; 0: it vanishes on these sites


def representatives(rows: NDArray[np.float64]) -> Coincidence:
    """Find functions equal up to scale on every environment seen; the first of each class represents it."""
    n = rows.shape[1]
    largest = np.abs(rows).max(0, initial=0.0)
    gone = largest <= COINCIDE * largest.max(initial=0.0)
    scaled = rows / np.where(gone, 1.0, largest)
    with threadpool_limits(1):
        overlap = scaled.T @ scaled
    length = np.sqrt(np.where(gone, 1.0, np.diagonal(overlap)))
    close = np.abs(overlap / np.outer(length, length)) > 1 - 1e-9
    kept: list[int] = []
    which, factor = np.zeros(n, np.int64), np.zeros(n)
    for k in range(n):
        if gone[k]:
            continue
        for place, r in enumerate(kept):
            if not close[k, r]:
                continue
            at = int(np.argmax(np.abs(rows[:, r])))
            ratio = rows[at, k] / rows[at, r]
            if np.abs(rows[:, k] - ratio * rows[:, r]).max() <= COINCIDE * largest[k]:
                which[k], factor[k] = place, ratio
                break
        else:
            which[k], factor[k] = len(kept), 1.0
            kept.append(k)
    return Coincidence(np.array(kept, np.int64), which, factor)


def distinct(programs: Sequence[Program]) -> tuple[NDArray[np.int64], list[Program]]:
    """Which program each element uses, and the different ones; only the forward part and the functions count."""
    kept: list[Program] = []
    which = []
    for program in programs:
        for k, one in enumerate(kept):
            same = one.n_a == program.n_a and all(
                np.array_equal(getattr(one, name), getattr(program, name))
                for name in ("b_rows", "fwd_dst", "fwd_start", "fwd_x", "fwd_y", "fwd_c")
            )
            if same:
                which.append(k)
                break
        else:
            which.append(len(kept))
            kept.append(program)
    return np.array(which, np.int64), kept


def prune(
    programs: Sequence[Program], functions: Sequence[NDArray[np.integer]], n_el: int
) -> tuple[list[Program], NDArray[np.int64]]:
    """The forward parts of programs cut down to what some functions need, in fewer rows; no backward parts.

    Also returns which rows of A are left, of those of one neighbour element; all programs keep the same ones.
    """
    needed = [_needed(program, wanted) for program, wanted in zip(programs, functions, strict=True)]
    n_a = programs[0].n_a
    per_element = n_a // n_el
    a_rows = [row for _, rows in needed for row in rows if row < n_a]
    kept_a = np.unique(np.array(a_rows or [0], np.int64) % per_element)
    out = []
    for program, wanted, (segments, _) in zip(programs, functions, needed, strict=True):
        new_row = np.full(program.n_rows, -1, np.int32)
        for e in range(n_el):
            new_row[e * per_element + kept_a] = e * len(kept_a) + np.arange(len(kept_a))
        one = n_el * len(kept_a)
        new_row[n_a] = one
        new_row[program.fwd_dst[segments]] = one + 1 + np.arange(len(segments))
        spans = [np.arange(program.fwd_start[s], program.fwd_start[s + 1]) for s in segments]
        steps = np.concatenate(spans) if spans else np.zeros(0, np.int64)
        none = np.zeros(0, np.int32)
        out.append(
            Program(
                n_a=one,
                n_rows=one + 1 + len(segments),
                b_rows=new_row[program.b_rows[wanted]],
                fwd_dst=new_row[program.fwd_dst[segments]],
                fwd_start=np.concatenate([[0], np.cumsum([len(span) for span in spans])]).astype(np.int32),
                fwd_x=new_row[program.fwd_x[steps]],
                fwd_y=new_row[program.fwd_y[steps]],
                fwd_c=np.ascontiguousarray(program.fwd_c[steps]),
                bwd_dst=none,
                bwd_start=np.zeros(1, np.int32),
                bwd_x=none,
                bwd_y=none,
                bwd_c=np.zeros(0),
            )
        )
    return out, kept_a


def _needed(program: Program, functions: NDArray[np.integer]) -> tuple[list[int], set[int]]:
    """Segments, in order, and rows that some functions depend on."""
    rows = {int(program.b_rows[k]) for k in functions}
    segments = []
    for s in range(len(program.fwd_dst) - 1, -1, -1):
        if int(program.fwd_dst[s]) in rows:
            segments.append(s)
            steps = slice(program.fwd_start[s], program.fwd_start[s + 1])
            rows.update(int(row) for row in program.fwd_x[steps])
            rows.update(int(row) for row in program.fwd_y[steps])
    return segments[::-1], rows
