"""Eight numbers at once: a `lanes` value with arithmetic, loads, stores and the few shuffles that the kernels need.

`lanes` are doubles. An array of singles gives `singles`, eight of them as well; `load_full` gives eight doubles or
sixteen singles, and `load_wide` eight of either or, where registers are that long, sixteen singles. Which it is
follows from the array, so that a kernel is written once and compiled for the numbers that it is given. Scalars are
doubles; what is stored takes the array's precision.

More than 450 lines, because the type, its operators and the functions on it are one thing: all build LLVM code from the
same private helpers, and each has its NumPy twin at the end of the file. It uses internals of Numba (CONTRIBUTING.md
lists them), so pyproject.toml bounds Numba's version from above.

Numba's auto-vectoriser is fragile (an integer conversion or a possible wrap-around turns a loop scalar) and keeps to
half-width registers on many machines, so the kernels say explicitly what is a vector. LLVM splits the eight lanes where
registers are shorter. Nothing here reassociates: a lane's result does not depend on what the other lanes hold.

With NUMBA_DISABLE_JIT the same names are plain functions on NumPy arrays of eight numbers.
Indices are taken as they are: no wrap-around, no bounds check.
"""

from __future__ import annotations

import math
import operator

import numpy as np
from llvmlite import binding, ir
from numba import config, types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, register_model

LANES = 8
# Atoms nearer than this (Å) coincide: no direction, no descriptor.
HAIR = 1e-3
HAIR2 = HAIR * HAIR
JIT = not config.DISABLE_JIT
# What `numbers` takes arrays as.
DOUBLE, SINGLE = np.float64(0.0), np.float32(0.0)

_F64 = ir.DoubleType()
_F32 = ir.FloatType()
_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_V = ir.VectorType(_F64, LANES)
_VI = ir.VectorType(_I32, LANES)


def _has_compress() -> bool:
    """True where the compiler has a compress instruction in registers; elsewhere it would go through memory."""
    if binding.llvm_version_info < (19, 0, 0):
        return False
    if config.CPU_FEATURES is not None:
        # what Numba compiles for instead of this machine
        given = config.CPU_FEATURES.split(",")
        return "+avx512f" in given and "+avx512vl" in given
    try:
        features = binding.get_host_cpu_features()
    except RuntimeError:
        return False
    return bool(features.get("avx512f") and features.get("avx512vl"))


COMPRESS = JIT and _has_compress()


class LanesType(types.Type):
    def __init__(self, name, element, count):
        self.vector = ir.VectorType(element, count)
        super().__init__(name=name)


lanes = LanesType("lanes8", _F64, LANES)
singles = LanesType("singles8", _F32, LANES)
full_singles = LanesType("singles16", _F32, 2 * LANES)
_KINDS = (lanes, singles, full_singles)


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, fe_type.vector)


# Singles that `load_wide` takes at once: sixteen would be two registers of eight, with twice the padding.
WIDE = 2 * LANES if COMPRESS else LANES


def _kind_of(array, most=LANES):
    """The type of eight numbers of an array, or of up to `most` singles."""
    if array.dtype == types.float32:
        return full_singles if most > LANES else singles
    return lanes


def _in(builder, value, element):
    """A number or a vector with its numbers as doubles or as singles."""
    vector = isinstance(value.type, ir.VectorType)
    now = value.type.element if vector else value.type
    if now == element:
        return value
    wanted = ir.VectorType(element, value.type.count) if vector else element
    return builder.fptrunc(value, wanted) if element == _F32 else builder.fpext(value, wanted)


def _constant(pattern):
    return ir.Constant(ir.VectorType(_I32, len(pattern)), [ir.Constant(_I32, k) for k in pattern])


def _wide(builder, value, vector=_V):
    """A scalar spread over the lanes; a vector as it is."""
    if value.type == vector:
        return value
    value, unset = _in(builder, value, vector.element), ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(unset, value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(one, unset, _constant([0] * vector.count))


def _called(name, vector):
    """LLVM's name of a function of such vectors."""
    return f"llvm.{name}.v{vector.count}f{64 if vector.element == _F64 else 32}"


def _common(arguments):
    """The one kind of vector among the types of some arguments, and these types; None where there are two."""
    kinds = {one for one in arguments if isinstance(one, LanesType)}
    if len(kinds) != 1:
        return None
    return kinds.pop(), [one if isinstance(one, LanesType) else types.float64 for one in arguments]


def _declared(builder, name, result, arguments):
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)


def _address(context, builder, array_type, array, index, element):
    """Where array[index] is; `array` is a contiguous array of any shape, or a `pointer` to one."""
    base = array
    if not isinstance(array_type, types.CPointer):
        base = context.make_array(array_type)(context, builder, array).data
    return builder.gep(builder.bitcast(base, element.as_pointer()), [index])


def _load(builder, pointer, vector, align):
    value = builder.load(builder.bitcast(pointer, vector.as_pointer()))
    value.align = align
    return value


def _numbers(context, builder, array_type, array, index, count=LANES):
    """The vector array[index : index + count]."""
    element = _F32 if array_type.dtype == types.float32 else _F64
    pointer = _address(context, builder, array_type, array, index, element)
    return _load(builder, pointer, ir.VectorType(element, count), 4 if element == _F32 else 8)


def _put_numbers(context, builder, array_type, array, index, value):
    """array[index …] = value, in the array's precision."""
    element = _F32 if array_type.dtype == types.float32 else _F64
    pointer = _address(context, builder, array_type, array, index, element)
    _store(builder, _in(builder, value, element), pointer, 4 if element == _F32 else 8)


def _store(builder, value, pointer, align):
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=align)


def _first_lanes(builder, left):
    """The mask of the first `left` lanes."""
    index = ir.Constant(ir.VectorType(_I64, LANES), [ir.Constant(_I64, k) for k in range(LANES)])
    spread = builder.insert_element(ir.Constant(index.type, ir.Undefined), left, ir.Constant(_I32, 0))
    spread = builder.shuffle_vector(spread, ir.Constant(index.type, ir.Undefined), _constant([0] * LANES))
    return builder.icmp_signed("<", index, spread)


def _transposed(builder, rows):
    """Eight vectors as the rows of a matrix into its columns."""

    def combine(left, right, pattern):
        return builder.shuffle_vector(left, right, _constant(pattern))

    two = []
    for k in (0, 2, 4, 6):
        two.append(combine(rows[k], rows[k + 1], (0, 8, 2, 10, 4, 12, 6, 14)))
        two.append(combine(rows[k], rows[k + 1], (1, 9, 3, 11, 5, 13, 7, 15)))
    four = []
    for k in (0, 4):
        for m in (0, 1):
            four.append(combine(two[k + m], two[k + m + 2], (0, 1, 8, 9, 4, 5, 12, 13)))
            four.append(combine(two[k + m], two[k + m + 2], (2, 3, 10, 11, 6, 7, 14, 15)))
    # four[0]: columns 0 and 4 of rows 0-3, four[1]: 2 and 6, four[2]: 1 and 5, four[3]: 3 and 7
    columns = [None] * LANES
    for k, column in enumerate((0, 2, 1, 3)):
        columns[column] = combine(four[k], four[k + 4], (0, 1, 2, 3, 8, 9, 10, 11))
        columns[column + 4] = combine(four[k], four[k + 4], (4, 5, 6, 7, 12, 13, 14, 15))
    return columns


def _binary(op, name):
    @infer_global(op)
    class _Typing(ConcreteTemplate):
        cases = [  # noqa: RUF012
            signature(kind, *pair)
            for kind in _KINDS
            for pair in ((kind, kind), (kind, types.float64), (types.float64, kind))
        ]

    def lower(context, builder, sig, args):
        vector = sig.return_type.vector
        return getattr(builder, name)(_wide(builder, args[0], vector), _wide(builder, args[1], vector))

    for case in _Typing.cases:
        lower_builtin(op, *case.args)(lower)


_binary(operator.add, "fadd")
_binary(operator.sub, "fsub")
_binary(operator.mul, "fmul")
_binary(operator.truediv, "fdiv")


if JIT:

    @intrinsic
    def pointer(typingctx, array):
        """The bare data of a contiguous array.

        Passing an array to a function costs seven arguments and two atomic counts of references, about 40 cycles, and
        the inner functions are called a few times per atom with a dozen arrays.
        """

        def codegen(context, builder, sig, args):
            return context.make_array(sig.args[0])(context, builder, args[0]).data

        return types.CPointer(array.dtype)(array), codegen

    @intrinsic
    def numbers(typingctx, array, like):
        """The same memory, of an array of doubles, as doubles or as twice as many singles: numbers such as `like`."""

        def codegen(context, builder, sig, args):
            data = context.make_array(sig.args[0])(context, builder, args[0]).data
            return builder.bitcast(data, context.get_data_type(sig.args[1]).as_pointer())

        return types.CPointer(like)(array, like), codegen

    @intrinsic
    def single(typingctx, array):
        """Whether these are singles; known when the kernel is compiled."""
        answer = ir.Constant(ir.IntType(1), array.dtype == types.float32)
        return types.boolean(array), lambda context, builder, sig, args: answer

    @intrinsic
    def width(typingctx, array):
        """How many numbers `load_wide` takes of it; known when the kernel is compiled."""
        answer = ir.Constant(_I64, _kind_of(array, WIDE).vector.count)
        return types.int64(array), lambda context, builder, sig, args: answer

    @intrinsic
    def beyond(typingctx, base, count):
        """The pointer `count` numbers further on."""

        def codegen(context, builder, sig, args):
            return builder.gep(args[0], [args[1]], inbounds=True)

        return base(base, types.int64), codegen

    @intrinsic
    def prefetch(typingctx, array, index):
        """Ask for the cache line of array[index], which is soon to be written or read. It need not exist."""

        def codegen(context, builder, sig, args):
            at = builder.bitcast(
                _address(context, builder, sig.args[0], args[0], args[1], _F64), ir.IntType(8).as_pointer()
            )
            one, near = ir.Constant(_I32, 1), ir.Constant(_I32, 3)
            ask = _declared(builder, "llvm.prefetch.p0", ir.VoidType(), [at.type, _I32, _I32, _I32])
            builder.call(ask, [at, one, near, one])
            return context.get_dummy_value()

        return types.none(array, types.int64), codegen

    @intrinsic
    def splat(typingctx, x):
        def codegen(context, builder, sig, args):
            return _wide(builder, args[0])

        return lanes(types.float64), codegen

    def _loading(most):
        @intrinsic
        def function(typingctx, array, index):
            kind = _kind_of(array, most)

            def codegen(context, builder, sig, args):
                return _numbers(context, builder, sig.args[0], args[0], args[1], kind.vector.count)

            return kind(array, types.int64), codegen

        return function

    # array[index : index + 8], or to index + 16 of singles
    load, load_wide, load_full = _loading(LANES), _loading(WIDE), _loading(2 * LANES)

    @intrinsic
    def store(typingctx, array, index, value):
        """array[index : index + 8] = value, or as many as `value` has."""

        def codegen(context, builder, sig, args):
            _put_numbers(context, builder, sig.args[0], *args)
            return context.get_dummy_value()

        return types.none(array, types.int64, value), codegen

    @intrinsic
    def which_of(typingctx, like, doubles, ones):
        """Of pointers to the same numbers in double and in single precision the one of the precision of `like`."""
        at = 2 if like == types.float32 else 1
        return (like, doubles, ones)[at](like, doubles, ones), lambda context, builder, sig, args: args[at]

    def _filled(most):
        @intrinsic
        def function(typingctx, array, x):
            kind = _kind_of(array, most)
            return kind(array, types.float64), lambda _, builder, sig, args: _wide(builder, args[1], kind.vector)

        return function

    # x in each lane of what `load_wide` and `load_full` give of such an array
    filled_wide, filled_full = _filled(WIDE), _filled(2 * LANES)

    @intrinsic
    def like(typingctx, array, value):
        """Eight numbers in the precision of those of the array."""
        kind = _kind_of(array)

        def codegen(context, builder, sig, args):
            return _in(builder, args[1], kind.vector.element)

        return kind(array, value), codegen

    @intrinsic
    def wide_of(typingctx, array, other, index):
        """What `load_wide` would give if what is in another array of doubles were in this one."""
        kind = _kind_of(array, WIDE)

        def codegen(context, builder, sig, args):
            found = _numbers(context, builder, sig.args[1], args[1], args[2], kind.vector.count)
            return _in(builder, found, kind.vector.element)

        return kind(array, other, types.int64), codegen

    @intrinsic
    def load_part(typingctx, array, index, left, other):
        """array[index : index + 8], of which only `left` exist: the rest is `other`, and is not touched."""

        def codegen(context, builder, sig, args):
            array, index, left, other = args
            pointer = _address(context, builder, sig.args[0], array, index, _F64)
            wide = builder.bitcast(pointer, _V.as_pointer())

            def masked():
                mask = _first_lanes(builder, left)
                read = _declared(builder, "llvm.masked.load.v8f64.p0", _V, [wide.type, _I32, mask.type, _V])
                return builder.call(read, [wide, ir.Constant(_I32, 8), mask, _wide(builder, other)])

            if COMPRESS:  # a mask costs nothing
                return masked()
            with builder.if_else(builder.icmp_signed(">=", left, ir.Constant(_I64, LANES))) as (then, otherwise):
                with then:
                    whole, whole_from = _load(builder, pointer, _V, 8), builder.basic_block
                with otherwise:
                    part, part_from = masked(), builder.basic_block
            value = builder.phi(_V)
            value.add_incoming(whole, whole_from)
            value.add_incoming(part, part_from)
            return value

        return lanes(array, types.int64, types.int64, types.float64), codegen

    @intrinsic
    def store_part(typingctx, array, index, left, value):
        """array[index : index + 8] = value, the first `left` of them only."""

        def codegen(context, builder, sig, args):
            array, index, left, value = args
            pointer = _address(context, builder, sig.args[0], array, index, _F64)
            # a load that follows a masked store waits until it is in the cache
            with builder.if_else(builder.icmp_signed(">=", left, ir.Constant(_I64, LANES))) as (then, otherwise):
                with then:
                    _store(builder, value, pointer, 8)
                with otherwise:
                    mask, place = _first_lanes(builder, left), builder.bitcast(pointer, _V.as_pointer())
                    kinds = [_V, place.type, _I32, mask.type]
                    write = _declared(builder, "llvm.masked.store.v8f64.p0", ir.VoidType(), kinds)
                    builder.call(write, [value, place, ir.Constant(_I32, 8), mask])
            return context.get_dummy_value()

        return types.none(array, types.int64, types.int64, lanes), codegen

    def _by_lane(name):
        @intrinsic
        def function(typingctx, a):
            def codegen(context, builder, sig, args):
                return builder.call(_declared(builder, f"llvm.{name}.v8f64", _V, [_V]), list(args))

            return lanes(lanes), codegen

        return function

    root = _by_lane("sqrt")
    magnitude = _by_lane("fabs")

    @intrinsic
    def sign(typingctx, a):
        """1, −1, or 0 where a is 0."""

        def codegen(context, builder, sig, args):
            zero = ir.Constant(_V, None)
            up, down = _wide(builder, ir.Constant(_F64, 1.0)), _wide(builder, ir.Constant(_F64, -1.0))
            below = builder.select(builder.fcmp_ordered("<", args[0], zero), down, zero)
            return builder.select(builder.fcmp_ordered(">", args[0], zero), up, below)

        return lanes(lanes), codegen

    @intrinsic
    def item(typingctx, array, index):
        """array[index] of a one-dimensional array; 32-bit integers come out as 64-bit, singles as doubles."""
        element = array.dtype
        result = {types.float32: types.float64}.get(element, element)
        if isinstance(element, types.Integer):
            result = types.int64

        def codegen(context, builder, sig, args):
            kind = context.get_data_type(sig.args[0].dtype)
            value = builder.load(_address(context, builder, sig.args[0], args[0], args[1], kind))
            if element == types.boolean:
                return builder.icmp_unsigned("!=", value, ir.Constant(kind, 0))
            if isinstance(kind, ir.IntType) and kind.width < 64:
                value = builder.sext(value, _I64)
            return _in(builder, value, _F64) if result == types.float64 else value

        return result(array, types.int64), codegen

    @intrinsic
    def fma(typingctx, a, b, c):
        """a * b + c, rounded once where the machine can."""

        found = _common((a, b, c))
        if found is None:
            return None
        kind, given = found
        vector = kind.vector

        def codegen(context, builder, sig, args):
            function = _declared(builder, _called("fmuladd", vector), vector, [vector] * 3)
            return builder.call(function, [_wide(builder, value, vector) for value in args])

        return kind(*given), codegen

    def _compare(symbol):
        @intrinsic
        def any_lane(typingctx, a, limit):
            def codegen(context, builder, sig, args):
                mask = builder.fcmp_ordered(symbol, args[0], _wide(builder, args[1], a.vector))
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
            return _in(builder, builder.extract_element(value, ir.Constant(_I32, 0)), _F64)

        return types.float64(a), codegen

    def _halved(builder, value, count):
        """Halves of a vector added until `count` numbers are left."""
        while value.type.count > count:
            half = value.type.count // 2
            low = builder.shuffle_vector(value, value, _constant(range(half)))
            high = builder.shuffle_vector(value, value, _constant(range(half, 2 * half)))
            value = builder.fadd(low, high)
        return value

    @intrinsic
    def totals(typingctx, a, b, c, d, e, f, g, h):
        """Lane k of the result, of eight, is the sum of the lanes of the k-th argument."""

        def codegen(context, builder, sig, args):
            def fold(left, right, first, second):
                return builder.fadd(
                    builder.shuffle_vector(left, right, _constant(first)),
                    builder.shuffle_vector(left, right, _constant(second)),
                )

            args = [_halved(builder, value, LANES) for value in args]
            even, odd = (0, 8, 2, 10, 4, 12, 6, 14), (1, 9, 3, 11, 5, 13, 7, 15)
            pairs = [fold(args[k], args[k + 1], even, odd) for k in (0, 2, 4, 6)]
            low, high = (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15)
            fours = [fold(pairs[k], pairs[k + 1], low, high) for k in (0, 2)]
            return fold(fours[0], fours[1], (0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15))

        result = lanes if a == lanes else singles
        return result(*([a] * LANES)), codegen

    @intrinsic
    def transpose(typingctx, source, start, stride, target, target_start, target_stride):
        """target[target_start + target_stride c + r] = source[start + stride r + c] for r, c = 0 … 7."""

        def codegen(context, builder, sig, args):
            rows = []
            for k in range(LANES):
                at = builder.add(args[1], builder.mul(args[2], ir.Constant(_I64, k)))
                rows.append(_numbers(context, builder, sig.args[0], args[0], at))
            columns = _transposed(builder, rows)
            for k in range(LANES):
                at = builder.add(args[4], builder.mul(args[5], ir.Constant(_I64, k)))
                _put_numbers(context, builder, sig.args[3], args[3], at, columns[k])
            return context.get_dummy_value()

        i = types.int64
        return types.none(source, i, i, target, i, i), codegen

    @intrinsic
    def scatter_add(typingctx, target, rows, start, x, y, z):
        """target[4 rows[start + k] + (0, 1, 2)] += (x[k], y[k], z[k]), lane after lane."""

        def codegen(context, builder, sig, args):
            def combine(left, right, pattern):
                return builder.shuffle_vector(left, right, _constant(pattern))

            x, y, z = args[3:]
            zero = ir.Constant(x.type, None)
            even, odd = (0, 8, 2, 10, 4, 12, 6, 14), (1, 9, 3, 11, 5, 13, 7, 15)
            low, high = (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15)
            forces = [None] * LANES
            for k, order in enumerate((even, odd)):
                xy, z0 = combine(x, y, order), combine(z, zero, order)
                for m, halves in enumerate((low, high)):
                    both = combine(xy, z0, halves)
                    forces[2 * m + k] = combine(both, both, (0, 1, 2, 3))
                    forces[2 * m + k + 4] = combine(both, both, (4, 5, 6, 7))
            four = ir.VectorType(_F64, 4)
            for k in range(LANES):
                at = builder.add(args[2], ir.Constant(_I64, k))
                row = builder.sext(builder.load(_address(context, builder, sig.args[1], args[1], at, _I32)), _I64)
                pointer = _address(context, builder, sig.args[0], args[0], builder.shl(row, ir.Constant(_I64, 2)), _F64)
                force = _in(builder, forces[k], _F64)
                _store(builder, builder.fadd(_load(builder, pointer, four, 8), force), pointer, 8)
            return context.get_dummy_value()

        return types.none(target, rows, types.int64, x, x, x), codegen

    @intrinsic
    def fms(typingctx, a, b, c):
        """a * b - c"""

        found = _common((a, b, c))
        if found is None:
            return None
        kind, given = found
        vector = kind.vector

        def codegen(context, builder, sig, args):
            function = _declared(builder, _called("fmuladd", vector), vector, [vector] * 3)
            a, b, c = (_wide(builder, value, vector) for value in args)
            return builder.call(function, [a, b, builder.fneg(c)])

        return kind(*given), codegen

    @intrinsic
    def inverse_root(typingctx, a):
        """1 / √a to within two roundings: the estimate of AVX-512 and Newton steps cost a tenth of √ and ÷."""

        def codegen(context, builder, sig, args):
            (value,) = args
            vector = value.type
            if not COMPRESS or vector == singles.vector:
                root_of = _declared(builder, _called("sqrt", vector), vector, [vector])
                return builder.fdiv(_wide(builder, ir.Constant(_F64, 1.0), vector), builder.call(root_of, [value]))
            bits, name = ir.IntType(vector.count), "pd" if vector == _V else "ps"
            estimate = _declared(builder, f"llvm.x86.avx512.rsqrt14.{name}.512", vector, [vector, vector, bits])
            fused = _declared(builder, _called("fmuladd", vector), vector, [vector] * 3)
            guess = builder.call(estimate, [value, value, ir.Constant(bits, -1)])
            half = _wide(builder, ir.Constant(_F64, 0.5), vector)
            halved = builder.fmul(value, half)
            for _ in range(2 if vector == _V else 1):
                error = builder.call(fused, [builder.fneg(builder.fmul(halved, guess)), guess, half])
                guess = builder.call(fused, [guess, error, guess])
            return guess

        return a(a), codegen

    @intrinsic
    def put(typingctx, array, index, value):
        """array[index] = value"""

        def codegen(context, builder, sig, args):
            kind = context.get_data_type(sig.args[0].dtype)
            value = args[2]
            if isinstance(kind, ir.IntType) and kind.width < 64:
                value = builder.trunc(value, kind)
            if kind == _F32:
                value = _in(builder, value, _F32)
            builder.store(value, _address(context, builder, sig.args[0], args[0], args[1], kind))
            return context.get_dummy_value()

        kind = {types.float32: types.float64}.get(array.dtype, array.dtype)
        if isinstance(array.dtype, types.Integer):
            kind = types.int64
        return types.none(array, types.int64, kind), codegen

    @intrinsic
    def transpose_rows(typingctx, source, source_rows, s, source_shift, target, target_rows, t, target_shift):
        """Eight vectors source[source_rows[s + r] + source_shift …] transposed into those of target, the last first.

        Where a target row comes twice, the first one named wins.
        """

        def codegen(context, builder, sig, args):
            source, source_rows, s, source_shift, target, target_rows, t, target_shift = args

            def at(k, rows_type, rows, first, shift):
                kind = context.get_data_type(rows_type.dtype)
                index = builder.add(first, ir.Constant(_I64, k))
                row = builder.load(_address(context, builder, rows_type, rows, index, kind))
                if kind != _I64:
                    row = builder.sext(row, _I64)
                return builder.add(row, shift)

            # what ends as singles moves as singles
            moved = _F32 if types.float32 in (sig.args[0].dtype, sig.args[4].dtype) else _F64
            rows = [
                _numbers(context, builder, sig.args[0], source, at(k, sig.args[1], source_rows, s, source_shift))
                for k in range(LANES)
            ]
            columns = _transposed(builder, [_in(builder, row, moved) for row in rows])
            for k in reversed(range(LANES)):
                place = at(k, sig.args[5], target_rows, t, target_shift)
                _put_numbers(context, builder, sig.args[4], target, place, columns[k])
            return context.get_dummy_value()

        i = types.int64
        return types.none(source, source_rows, i, i, target, target_rows, i, i), codegen

    def _append_near(context, builder, types_, limit2, left, ids, x, y, z, px, py, pz, pid, place, count):
        """Store those of eight points that are near, from `count` (ids from `place`) on; see `keep_near`.

        types_: of px, py, pz, pid.
        """
        fused = _declared(builder, "llvm.fmuladd.v8f64", _V, [_V, _V, _V])
        r2 = builder.call(fused, [x, x, builder.call(fused, [y, y, builder.fmul(z, z)])])
        within = builder.fcmp_ordered("<", r2, _wide(builder, limit2))
        inside = builder.and_(_first_lanes(builder, left), within)
        apart = builder.fcmp_ordered(">=", r2, _wide(builder, ir.Constant(_F64, HAIR2)))
        mask = builder.and_(inside, apart)

        def pack(value, name):
            full_name = f"llvm.experimental.vector.compress.{name}"
            function = _declared(builder, full_name, value.type, [value.type, mask.type, value.type])
            return builder.call(function, [value, mask, ir.Constant(value.type, ir.Undefined)])

        for type_, array, value in zip(types_, (px, py, pz), (x, y, z), strict=False):
            _store(builder, pack(value, "v8f64"), _address(context, builder, type_, array, count, _F64), 8)
        _store(builder, pack(ids, "v8i32"), _address(context, builder, types_[3], pid, place, _I32), 4)

        def ones(bits):
            return builder.zext(builder.ctpop(builder.bitcast(bits, ir.IntType(LANES))), _I64)

        kept = ones(mask)
        return builder.add(count, kept), builder.sub(ones(inside), kept)

    @intrinsic
    def keep_near(typingctx, gx, gy, gz, gid, at, left, x, y, z, limit2, px, py, pz, pid, first, count):
        """Of the `left` (at most 8) points from `at` on, append those with HAIR² <= r² < limit2.

        They go to `count`, in `pid` to `first` + `count`. Returns the new count, and how many points are nearer than
        HAIR (the atom itself is one).
        """

        def codegen(context, builder, sig, args):
            gx, gy, gz, gid, at, left, x, y, z, limit2, px, py, pz, pid, first, count = args
            types_ = sig.args

            def coordinate(k, array, centre):
                pointer = _address(context, builder, types_[k], array, at, _F64)
                return builder.fsub(_load(builder, pointer, _V, 8), _wide(builder, centre))

            dx, dy, dz = coordinate(0, gx, x), coordinate(1, gy, y), coordinate(2, gz, z)
            ids = _load(builder, _address(context, builder, types_[3], gid, at, _I32), _VI, 4)
            found = _append_near(
                context, builder, types_[10:14], limit2, left, ids, dx, dy, dz, px, py, pz, pid,
                builder.add(first, count), count,
            )  # fmt: skip
            return context.make_tuple(builder, sig.return_type, found)

        f, i = types.float64, types.int64
        arguments = (gx, gy, gz, gid, i, i, f, f, f, f, px, py, pz, pid, i, i)
        return types.UniTuple(i, 2)(*arguments), codegen

    @intrinsic
    def keep_listed(typingctx, images, ids, at, atoms, left, x, y, z, limit2, px, py, pz, pid, first, count):
        """The same for the points (four numbers of `images` each) whose numbers are in ids[at …]; what goes to `pid`
        is in ids[atoms …]."""

        def codegen(context, builder, sig, args):
            images, ids, at, atoms, left, x, y, z, limit2, px, py, pz, pid, first, count = args
            types_, four = sig.args, ir.VectorType(_F64, 4)

            def combine(one, other, pattern):
                return builder.shuffle_vector(one, other, _constant(pattern))

            points = []
            for k in range(LANES):
                place = _address(context, builder, types_[1], ids, builder.add(at, ir.Constant(_I64, k)), _I32)
                number = builder.shl(builder.sext(builder.load(place), _I64), ir.Constant(_I64, 2))
                points.append(_load(builder, _address(context, builder, types_[0], images, number, _F64), four, 8))
            halves = [combine(points[k], points[k + 4], range(8)) for k in range(4)]
            even, odd = (0, 8, 2, 10, 4, 12, 6, 14), (1, 9, 3, 11, 5, 13, 7, 15)
            low, high = (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15)
            xz = [combine(halves[k], halves[k + 1], even) for k in (0, 2)]
            yw = [combine(halves[k], halves[k + 1], odd) for k in (0, 2)]
            dx = builder.fsub(combine(xz[0], xz[1], low), _wide(builder, x))
            dy = builder.fsub(combine(yw[0], yw[1], low), _wide(builder, y))
            dz = builder.fsub(combine(xz[0], xz[1], high), _wide(builder, z))
            numbers = _load(builder, _address(context, builder, types_[1], ids, atoms, _I32), _VI, 4)
            found = _append_near(
                context, builder, types_[9:13], limit2, left, numbers, dx, dy, dz, px, py, pz, pid,
                builder.add(first, count), count,
            )  # fmt: skip
            return context.make_tuple(builder, sig.return_type, found)

        f, i = types.float64, types.int64
        arguments = (images, ids, i, i, i, f, f, f, f, px, py, pz, pid, i, i)
        return types.UniTuple(i, 2)(*arguments), codegen

else:

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
