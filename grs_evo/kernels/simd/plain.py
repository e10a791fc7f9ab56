"""What each function of this package means, on NumPy arrays; used with NUMBA_DISABLE_JIT."""

from __future__ import annotations

import math

import numpy as np

from grs_evo.kernels.simd.kinds import (
    LANES,
)


def pointer(array):
    return array.reshape(-1)


def numbers(array, like):
    return array.reshape(-1).view(like.dtype)


def single(array):
    return array.dtype == np.float32


def width(array):
    return LANES


def beyond(base, count):
    return base[count:]


def prefetch(array, index):
    pass


def splat(x):
    return np.full(LANES, x)


def load(array, index):
    return array[index : index + LANES].copy()


def _full(array):
    return 2 * LANES if single(array) else LANES


def load_full(array, index):
    return array[index : index + _full(array)].copy()


def store(array, index, value):
    array[index : index + len(value)] = value


load_wide = load


def which_of(like, doubles, ones):
    return ones if like.dtype == np.float32 else doubles


def filled_wide(array, x):
    return np.full(LANES, x, array.dtype)


def filled_full(array, x):
    return np.full(_full(array), x, array.dtype)


def like(array, value):
    return value.astype(array.dtype)


def wide_of(array, other, index):
    return like(array, load(other, index))


def load_part(array, index, left, other):
    count = max(0, min(left, LANES))
    part = np.full(LANES, other)
    part[:count] = array[index : index + count]
    return part


def store_part(array, index, left, value):
    count = max(0, min(left, LANES))
    array[index : index + count] = value[:count]


root, magnitude, sign = np.sqrt, np.abs, np.sign


def item(array, index):
    return array[index]


def put(array, index, value):
    array[index] = value


def fma(a, b, c):
    return a * b + c


def fms(a, b, c):
    return a * b - c


def inverse_root(a):
    return 1.0 / np.sqrt(a)


def any_below(a, limit):
    return bool((a < limit).any())


def any_above(a, limit):
    return bool((a > limit).any())


def total(a):
    while len(a) > 1:
        half = len(a) // 2
        a = a[:half] + a[half:]
    return float(a[0])


def totals(*values):
    return np.array([math.fsum(value) for value in values])


def transpose(source, start, stride, target, target_start, target_stride):
    for r in range(LANES):
        for c in range(LANES):
            target[target_start + target_stride * c + r] = source[start + stride * r + c]


def transpose_rows(source, source_rows, s, source_shift, target, target_rows, t, target_shift):
    block = np.empty((LANES, LANES))
    for r in range(LANES):
        row = source_rows[s + r] + source_shift
        block[r] = source[row : row + LANES]
    for c in range(LANES - 1, -1, -1):
        row = target_rows[t + c] + target_shift
        target[row : row + LANES] = block[:, c]


def scatter_add(target, rows, start, x, y, z):
    for k in range(LANES):
        row = 4 * rows[start + k]
        target[row : row + 3] += (x[k], y[k], z[k])
