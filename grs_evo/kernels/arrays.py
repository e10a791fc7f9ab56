"""Compiled: whole arrays at once, by plain loops, and new arrays.

Numba's own assignment of an array to a slice brings the code that writes its error message, and its reductions bring
that of every kind of array: a second of compiling and more for each. `np.empty` and `np.zeros` are compiled anew for
each literal size and each kind of tuple.
"""

from __future__ import annotations

import numpy as np

from grs_evo.kernels.compiling import inner, inner_allocating


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


@inner_allocating
def reals(n):
    """(n,) numbers, not set."""
    return np.empty(n)


@inner_allocating
def real_rows(n, width):
    """(n, width) numbers, not set."""
    return np.empty((n, width))


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
    out = np.empty(n, np.int64)
    for k in range(n):
        out[k] = 0
    return out


@inner_allocating
def short_integers(n):
    """(n,) of 32 bits, not set."""
    return np.empty(n, np.int32)


@inner_allocating
def flags(n):
    """(n,) truth values, False."""
    out = np.empty(n, np.bool_)
    for k in range(n):
        out[k] = False
    return out
