"""Compiled: run a bilinear program, `row[dst] = Σ c · row[x] · row[y]`, on eight atoms at once.

One interpreter serves every basis, forward and backward: a step costs a few cycles per eight atoms, and nothing has to
be compiled when the basis changes.
"""

from __future__ import annotations

from numba import njit

from .simd import fma, item, load, splat, store


@njit(cache=True, error_model="numpy")
def run_program(values, first, last, dst, start, x, y, c):
    """Run segments `first` to `last` (exclusive) on the value buffer; dst, x, y are rows times the lanes."""
    step = item(start, first)
    for segment in range(first, last):
        end = item(start, segment + 1)
        # kept in a register until the end: a segment may read the old value of its own row
        value = splat(0.0)
        while step < end:
            value = fma(load(values, item(x, step)) * item(c, step), load(values, item(y, step)), value)
            step += 1
        store(values, item(dst, segment), value)
