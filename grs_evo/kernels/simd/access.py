"""Compiled: numbers and vectors out of arrays and into them, without wrap-around and bounds check."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from grs_evo.kernels.simd.kinds import (
    COMPRESS,
    F32,
    F64,
    I32,
    I64,
    LANES,
    VECTOR,
    WIDE,
    address,
    constant,
    declared,
    first_lanes,
    in_precision,
    kind_of,
    lanes,
    load_vector,
    read_vector,
    spread,
    store_vector,
    transposed,
    write_vector,
)


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
    answer = ir.Constant(I64, kind_of(array, WIDE).vector.count)
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
        at = builder.bitcast(address(context, builder, sig.args[0], args[0], args[1], F64), ir.IntType(8).as_pointer())
        one, near = ir.Constant(I32, 1), ir.Constant(I32, 3)
        ask = declared(builder, "llvm.prefetch.p0", ir.VoidType(), [at.type, I32, I32, I32])
        builder.call(ask, [at, one, near, one])
        return context.get_dummy_value()

    return types.none(array, types.int64), codegen


def _loading(most):
    @intrinsic
    def function(typingctx, array, index):
        kind = kind_of(array, most)

        def codegen(context, builder, sig, args):
            return read_vector(context, builder, sig.args[0], args[0], args[1], kind.vector.count)

        return kind(array, types.int64), codegen

    return function


# array[index : index + 8], or to index + 16 of singles
load, load_wide, load_full = _loading(LANES), _loading(WIDE), _loading(2 * LANES)


@intrinsic
def store(typingctx, array, index, value):
    """array[index : index + 8] = value, or as many as `value` has."""

    def codegen(context, builder, sig, args):
        write_vector(context, builder, sig.args[0], *args)
        return context.get_dummy_value()

    return types.none(array, types.int64, value), codegen


@intrinsic
def which_of(typingctx, like, doubles, ones):
    """Of pointers to the same numbers in double and in single precision the one of the precision of `like`."""
    at = 2 if like == types.float32 else 1
    return (like, doubles, ones)[at](like, doubles, ones), lambda context, builder, sig, args: args[at]


@intrinsic
def wide_of(typingctx, array, other, index):
    """What `load_wide` would give if what is in another array of doubles were in this one."""
    kind = kind_of(array, WIDE)

    def codegen(context, builder, sig, args):
        found = read_vector(context, builder, sig.args[1], args[1], args[2], kind.vector.count)
        return in_precision(builder, found, kind.vector.element)

    return kind(array, other, types.int64), codegen


@intrinsic
def load_part(typingctx, array, index, left, other):
    """array[index : index + 8], of which only `left` exist: the rest is `other`, and is not touched."""

    def codegen(context, builder, sig, args):
        array, index, left, other = args
        pointer = address(context, builder, sig.args[0], array, index, F64)
        wide = builder.bitcast(pointer, VECTOR.as_pointer())

        def masked():
            mask = first_lanes(builder, left)
            read = declared(builder, "llvm.masked.load.v8f64.p0", VECTOR, [wide.type, I32, mask.type, VECTOR])
            return builder.call(read, [wide, ir.Constant(I32, 8), mask, spread(builder, other)])

        if COMPRESS:  # a mask costs nothing
            return masked()
        with builder.if_else(builder.icmp_signed(">=", left, ir.Constant(I64, LANES))) as (then, otherwise):
            with then:
                whole, whole_from = load_vector(builder, pointer, VECTOR, 8), builder.basic_block
            with otherwise:
                part, part_from = masked(), builder.basic_block
        value = builder.phi(VECTOR)
        value.add_incoming(whole, whole_from)
        value.add_incoming(part, part_from)
        return value

    return lanes(array, types.int64, types.int64, types.float64), codegen


@intrinsic
def store_part(typingctx, array, index, left, value):
    """array[index : index + 8] = value, the first `left` of them only."""

    def codegen(context, builder, sig, args):
        array, index, left, value = args
        pointer = address(context, builder, sig.args[0], array, index, F64)
        # a load that follows a masked store waits until it is in the cache
        with builder.if_else(builder.icmp_signed(">=", left, ir.Constant(I64, LANES))) as (then, otherwise):
            with then:
                store_vector(builder, value, pointer, 8)
            with otherwise:
                mask, place = first_lanes(builder, left), builder.bitcast(pointer, VECTOR.as_pointer())
                kinds = [VECTOR, place.type, I32, mask.type]
                write = declared(builder, "llvm.masked.store.v8f64.p0", ir.VoidType(), kinds)
                builder.call(write, [value, place, ir.Constant(I32, 8), mask])
        return context.get_dummy_value()

    return types.none(array, types.int64, types.int64, lanes), codegen


@intrinsic
def item(typingctx, array, index):
    """array[index] of a one-dimensional array; 32-bit integers come out as 64-bit, singles as doubles."""
    element = array.dtype
    result = {types.float32: types.float64}.get(element, element)
    if isinstance(element, types.Integer):
        result = types.int64

    def codegen(context, builder, sig, args):
        kind = context.get_data_type(sig.args[0].dtype)
        value = builder.load(address(context, builder, sig.args[0], args[0], args[1], kind))
        if element == types.boolean:
            return builder.icmp_unsigned("!=", value, ir.Constant(kind, 0))
        if isinstance(kind, ir.IntType) and kind.width < 64:
            value = builder.sext(value, I64)
        return in_precision(builder, value, F64) if result == types.float64 else value

    return result(array, types.int64), codegen


@intrinsic
def put(typingctx, array, index, value):
    """array[index] = value"""

    def codegen(context, builder, sig, args):
        kind = context.get_data_type(sig.args[0].dtype)
        value = args[2]
        if isinstance(kind, ir.IntType) and kind.width < 64:
            value = builder.trunc(value, kind)
        if kind == F32:
            value = in_precision(builder, value, F32)
        builder.store(value, address(context, builder, sig.args[0], args[0], args[1], kind))
        return context.get_dummy_value()

    kind = {types.float32: types.float64}.get(array.dtype, array.dtype)
    if isinstance(array.dtype, types.Integer):
        kind = types.int64
    return types.none(array, types.int64, kind), codegen


@intrinsic
def transpose(typingctx, source, start, stride, target, target_start, target_stride):
    """target[target_start + target_stride c + r] = source[start + stride r + c] for r, c = 0 … 7."""

    def codegen(context, builder, sig, args):
        rows = []
        for k in range(LANES):
            at = builder.add(args[1], builder.mul(args[2], ir.Constant(I64, k)))
            rows.append(read_vector(context, builder, sig.args[0], args[0], at))
        columns = transposed(builder, rows)
        for k in range(LANES):
            at = builder.add(args[4], builder.mul(args[5], ir.Constant(I64, k)))
            write_vector(context, builder, sig.args[3], args[3], at, columns[k])
        return context.get_dummy_value()

    i = types.int64
    return types.none(source, i, i, target, i, i), codegen


@intrinsic
def transpose_rows(typingctx, source, source_rows, s, source_shift, target, target_rows, t, target_shift):
    """Eight vectors source[source_rows[s + r] + source_shift …] transposed into those of target, the last first.

    Where a target row comes twice, the first one named wins.
    """

    def codegen(context, builder, sig, args):
        source, source_rows, s, source_shift, target, target_rows, t, target_shift = args

        def at(k, rows_type, rows, first, shift):
            kind = context.get_data_type(rows_type.dtype)
            index = builder.add(first, ir.Constant(I64, k))
            row = builder.load(address(context, builder, rows_type, rows, index, kind))
            if kind != I64:
                row = builder.sext(row, I64)
            return builder.add(row, shift)

        # what ends as singles moves as singles
        moved = F32 if types.float32 in (sig.args[0].dtype, sig.args[4].dtype) else F64
        rows = [
            read_vector(context, builder, sig.args[0], source, at(k, sig.args[1], source_rows, s, source_shift))
            for k in range(LANES)
        ]
        columns = transposed(builder, [in_precision(builder, row, moved) for row in rows])
        for k in reversed(range(LANES)):
            place = at(k, sig.args[5], target_rows, t, target_shift)
            write_vector(context, builder, sig.args[4], target, place, columns[k])
        return context.get_dummy_value()

    i = types.int64
    return types.none(source, source_rows, i, i, target, target_rows, i, i), codegen


@intrinsic
def scatter_add(typingctx, target, rows, start, x, y, z):
    """target[4 rows[start + k] + (0, 1, 2)] += (x[k], y[k], z[k]), lane after lane."""

    def codegen(context, builder, sig, args):
        def combine(left, right, pattern):
            return builder.shuffle_vector(left, right, constant(pattern))

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
        four = ir.VectorType(F64, 4)
        for k in range(LANES):
            at = builder.add(args[2], ir.Constant(I64, k))
            row = builder.sext(builder.load(address(context, builder, sig.args[1], args[1], at, I32)), I64)
            pointer = address(context, builder, sig.args[0], args[0], builder.shl(row, ir.Constant(I64, 2)), F64)
            force = in_precision(builder, forces[k], F64)
            store_vector(builder, builder.fadd(load_vector(builder, pointer, four, 8), force), pointer, 8)
        return context.get_dummy_value()

    return types.none(target, rows, types.int64, x, x, x), codegen
