"""Compiled: whole arrays at once, by plain loops, and new arrays.

Numba's own assignment of an array to a slice brings the code that writes its error message, and its reductions bring
that of every kind of array: a second of compiling and more for each. `np.empty` and `np.zeros` are functions that Numba
compiles anew for each kind of array, and for each literal size and each kind of tuple.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np import arrayobj

from grs_evo.kernels.compiling import inner, inner_allocating
from grs_evo.kernels.simd import JIT


@inner
def assign(target, source):
    """target[:] = source, in one dimension."""
    for k in range(source.shape[0]):
        target[k] = source[k]


@inner
def assign_matrix(target, source):
    """target[:, :] = source."""
    for i in range(source.shape[0]):
        for k in range(source.shape[1]):
            target[i, k] = source[i, k]


@inner
def largest(matrix):
    """The largest number of a matrix that has some."""
    out = matrix[0, 0]
    for i in range(matrix.shape[0]):
        for k in range(matrix.shape[1]):
            out = max(out, matrix[i, k])
    return out


@inner
def count_up(numbers):
    """0, 1, 2, …"""
    for k in range(numbers.shape[0]):
        numbers[k] = k


@inner
def equal(one, other):
    """Whether two arrays of the same length, in one dimension, hold the same."""
    apart = 0
    for k in range(one.shape[0]):
        apart += one[k] != other[k]
    return apart == 0


def _new(context, builder, made, lengths):
    """An array of a contiguous type in memory of its own, which is not set."""
    width = context.get_abi_sizeof(context.get_data_type(made.dtype))
    strides = [context.get_constant(types.intp, width)]
    for length in reversed(lengths):
        strides.append(builder.mul(strides[-1], length))
    align = context.get_constant(types.uint32, context.get_preferred_array_alignment(made.dtype))
    memory = context.nrt.meminfo_alloc_aligned(builder, size=strides[-1], align=align)
    array = arrayobj.make_array(made)(context, builder)
    arrayobj.populate_array(
        array,
        data=builder.bitcast(context.nrt.meminfo_data(builder, memory), array.data.type),
        shape=cgutils.pack_array(builder, lengths),
        strides=cgutils.pack_array(builder, strides[-2::-1]),
        itemsize=strides[0],
        meminfo=memory,
    )
    return array._getvalue()


def _line_of(kind):
    """A function that makes an array (n,) of one kind of numbers, not set."""
    made = types.Array(kind, 1, "C")

    @intrinsic
    def line(typingctx, n):
        def codegen(context, builder, sig, args):
            return _new(context, builder, made, args)

        return made(types.int64), codegen

    return line


if JIT:
    reals = _line_of(types.float64)
    short_integers = _line_of(types.int32)
    _integers = _line_of(types.int64)
    _flags = _line_of(types.boolean)

    @intrinsic
    def real_rows(typingctx, n, width):
        """(n, width) numbers, not set."""
        made = types.Array(types.float64, 2, "C")

        def codegen(context, builder, sig, args):
            return _new(context, builder, made, args)

        return made(types.int64, types.int64), codegen

else:

    def reals(n):
        return np.empty(n)

    def real_rows(n, width):
        return np.empty((n, width))

    def short_integers(n):
        return np.empty(n, np.int32)

    def _integers(n):
        return np.empty(n, np.int64)

    def _flags(n):
        return np.empty(n, np.bool_)


@inner_allocating
def zeros(n):
    """(n,) numbers, 0."""
    out = reals(n)
    for k in range(n):
        out[k] = 0.0
    return out


@inner_allocating
def integers(n):
    """(n,) of 64 bits, 0."""
    out = _integers(n)
    for k in range(n):
        out[k] = 0
    return out


@inner_allocating
def flags(n):
    """(n,) truth values, False."""
    out = _flags(n)
    for k in range(n):
        out[k] = False
    return out
