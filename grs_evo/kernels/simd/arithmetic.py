"""Compiled: operators and functions of vectors, lane by lane, and sums over lanes."""

from __future__ import annotations

import operator

from llvmlite import ir
from numba import types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic

from grs_evo.kernels.simd.kinds import (
    COMPRESS,
    F64,
    I32,
    KINDS,
    LANES,
    VECTOR,
    WIDE,
    called,
    common_kind,
    constant,
    declared,
    in_precision,
    kind_of,
    lanes,
    singles,
    spread,
)


def _binary(op, name):
    @infer_global(op)
    class _Typing(ConcreteTemplate):
        cases = [  # noqa: RUF012
            signature(kind, *pair)
            for kind in KINDS
            for pair in ((kind, kind), (kind, types.float64), (types.float64, kind))
        ]

    def lower(context, builder, sig, args):
        vector = sig.return_type.vector
        return getattr(builder, name)(spread(builder, args[0], vector), spread(builder, args[1], vector))

    for case in _Typing.cases:
        lower_builtin(op, *case.args)(lower)


_binary(operator.add, "fadd")
_binary(operator.sub, "fsub")
_binary(operator.mul, "fmul")
_binary(operator.truediv, "fdiv")


@intrinsic
def splat(typingctx, x):
    def codegen(context, builder, sig, args):
        return spread(builder, args[0])

    return lanes(types.float64), codegen


def _filled(most):
    @intrinsic
    def function(typingctx, array, x):
        kind = kind_of(array, most)
        return kind(array, types.float64), lambda _, builder, sig, args: spread(builder, args[1], kind.vector)

    return function


# x in each lane of what `load_wide` and `load_full` give of such an array
filled_wide, filled_full = _filled(WIDE), _filled(2 * LANES)


@intrinsic
def like(typingctx, array, value):
    """Eight numbers in the precision of those of the array."""
    kind = kind_of(array)

    def codegen(context, builder, sig, args):
        return in_precision(builder, args[1], kind.vector.element)

    return kind(array, value), codegen


def _by_lane(name):
    @intrinsic
    def function(typingctx, a):
        def codegen(context, builder, sig, args):
            return builder.call(declared(builder, f"llvm.{name}.v8f64", VECTOR, [VECTOR]), list(args))

        return lanes(lanes), codegen

    return function


root = _by_lane("sqrt")
magnitude = _by_lane("fabs")


@intrinsic
def sign(typingctx, a):
    """1, −1, or 0 where a is 0."""

    def codegen(context, builder, sig, args):
        zero = ir.Constant(VECTOR, None)
        up, down = spread(builder, ir.Constant(F64, 1.0)), spread(builder, ir.Constant(F64, -1.0))
        below = builder.select(builder.fcmp_ordered("<", args[0], zero), down, zero)
        return builder.select(builder.fcmp_ordered(">", args[0], zero), up, below)

    return lanes(lanes), codegen


def _fused(subtracted):
    @intrinsic
    def function(typingctx, a, b, c):
        found = common_kind((a, b, c))
        if found is None:
            return None
        kind, given = found
        vector = kind.vector

        def codegen(context, builder, sig, args):
            fused = declared(builder, called("fmuladd", vector), vector, [vector] * 3)
            a, b, c = (spread(builder, value, vector) for value in args)
            return builder.call(fused, [a, b, builder.fneg(c) if subtracted else c])

        return kind(*given), codegen

    return function


# a * b + c and a * b - c, rounded once where the machine can
fma, fms = _fused(False), _fused(True)


@intrinsic
def inverse_root(typingctx, a):
    """1 / √a to within two roundings: the estimate of AVX-512 and Newton steps cost a tenth of √ and ÷."""

    def codegen(context, builder, sig, args):
        (value,) = args
        vector = value.type
        if not COMPRESS or vector == singles.vector:
            root_of = declared(builder, called("sqrt", vector), vector, [vector])
            return builder.fdiv(spread(builder, ir.Constant(F64, 1.0), vector), builder.call(root_of, [value]))
        bits, name = ir.IntType(vector.count), "pd" if vector == VECTOR else "ps"
        estimate = declared(builder, f"llvm.x86.avx512.rsqrt14.{name}.512", vector, [vector, vector, bits])
        fused = declared(builder, called("fmuladd", vector), vector, [vector] * 3)
        guess = builder.call(estimate, [value, value, ir.Constant(bits, -1)])
        half = spread(builder, ir.Constant(F64, 0.5), vector)
        halved = builder.fmul(value, half)
        for _ in range(2 if vector == VECTOR else 1):
            error = builder.call(fused, [builder.fneg(builder.fmul(halved, guess)), guess, half])
            guess = builder.call(fused, [guess, error, guess])
        return guess

    return a(a), codegen


def _compare(symbol):
    @intrinsic
    def any_lane(typingctx, a, limit):
        def codegen(context, builder, sig, args):
            mask = builder.fcmp_ordered(symbol, args[0], spread(builder, args[1], a.vector))
            bits = builder.bitcast(mask, ir.IntType(a.vector.count))
            return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

        return types.boolean(a, types.float64), codegen

    return any_lane


any_below = _compare("<")
any_above = _compare(">")


@intrinsic
def total(typingctx, a):
    """Sum of the lanes, always in the same order."""

    def codegen(context, builder, sig, args):
        value = _halved(builder, args[0], 1)
        return in_precision(builder, builder.extract_element(value, ir.Constant(I32, 0)), F64)

    return types.float64(a), codegen


def _halved(builder, value, count):
    """Halves of a vector added until `count` numbers are left."""
    while value.type.count > count:
        half = value.type.count // 2
        low = builder.shuffle_vector(value, value, constant(range(half)))
        high = builder.shuffle_vector(value, value, constant(range(half, 2 * half)))
        value = builder.fadd(low, high)
    return value


@intrinsic
def totals(typingctx, a, b, c, d, e, f, g, h):
    """Lane k of the result, of eight, is the sum of the lanes of the k-th argument."""

    def codegen(context, builder, sig, args):
        def fold(left, right, first, second):
            return builder.fadd(
                builder.shuffle_vector(left, right, constant(first)),
                builder.shuffle_vector(left, right, constant(second)),
            )

        args = [_halved(builder, value, LANES) for value in args]
        even, odd = (0, 8, 2, 10, 4, 12, 6, 14), (1, 9, 3, 11, 5, 13, 7, 15)
        pairs = [fold(args[k], args[k + 1], even, odd) for k in (0, 2, 4, 6)]
        low, high = (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15)
        fours = [fold(pairs[k], pairs[k + 1], low, high) for k in (0, 2)]
        return fold(fours[0], fours[1], (0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15))

    result = lanes if a == lanes else singles
    return result(*([a] * LANES)), codegen
