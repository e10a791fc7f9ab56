"""Compiled: run a bilinear program, `row[dst] = Σ c · row[x] · row[y]`, on eight or sixteen atoms at once.

One interpreter serves every basis, forward and backward: a step costs a few cycles whatever the number of vectors, and
nothing has to be compiled when the basis changes.
"""

from __future__ import annotations

from grs_evo.kernels.compiling import inner
from grs_evo.kernels.simd import LANES, fma, item, load, splat, store


@inner
def run_program(values, first, last, dst, start, x, y, c, wide):
    """Run segments `first` to `last` (exclusive) on the value buffer; dst, x, y count numbers.

    A row is two vectors; without `wide` only the first one is worked on.
    """
    step = item(start, first)
    if wide:
        for segment in range(first, last):
            end = item(start, segment + 1)
            # kept in registers until the end: a segment may read the old value of its own row
            one, two = splat(0.0), splat(0.0)
            while step < end:
                a, b, factor = item(x, step), item(y, step), item(c, step)
                one = fma(load(values, a) * factor, load(values, b), one)
                two = fma(load(values, a + LANES) * factor, load(values, b + LANES), two)
                step += 1
            at = item(dst, segment)
            store(values, at, one)
            store(values, at + LANES, two)
    else:
        for segment in range(first, last):
            end = item(start, segment + 1)
            one = splat(0.0)
            while step < end:
                one = fma(load(values, item(x, step)) * item(c, step), load(values, item(y, step)), one)
                step += 1
            store(values, item(dst, segment), one)
