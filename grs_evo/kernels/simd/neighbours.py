"""Compiled for processors that compress in registers: which of eight points are near, appended to a list."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from grs_evo.kernels.simd.kinds import (
    F64,
    HAIR2,
    I32,
    I64,
    INDICES,
    LANES,
    VECTOR,
    address,
    constant,
    declared,
    first_lanes,
    load_vector,
    spread,
    store_vector,
)


def _append_near(context, builder, types_, limit2, left, ids, x, y, z, px, py, pz, pid, place, count):
    """Store those of eight points that are near, from `count` (ids from `place`) on; see `keep_near`.

    types_: of px, py, pz, pid.
    """
    fused = declared(builder, "llvm.fmuladd.v8f64", VECTOR, [VECTOR, VECTOR, VECTOR])
    r2 = builder.call(fused, [x, x, builder.call(fused, [y, y, builder.fmul(z, z)])])
    within = builder.fcmp_ordered("<", r2, spread(builder, limit2))
    inside = builder.and_(first_lanes(builder, left), within)
    apart = builder.fcmp_ordered(">=", r2, spread(builder, ir.Constant(F64, HAIR2)))
    mask = builder.and_(inside, apart)

    def pack(value, name):
        full_name = f"llvm.experimental.vector.compress.{name}"
        function = declared(builder, full_name, value.type, [value.type, mask.type, value.type])
        return builder.call(function, [value, mask, ir.Constant(value.type, ir.Undefined)])

    for type_, array, value in zip(types_, (px, py, pz), (x, y, z), strict=False):
        store_vector(builder, pack(value, "v8f64"), address(context, builder, type_, array, count, F64), 8)
    store_vector(builder, pack(ids, "v8i32"), address(context, builder, types_[3], pid, place, I32), 4)

    def ones(bits):
        return builder.zext(builder.ctpop(builder.bitcast(bits, ir.IntType(LANES))), I64)

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
            pointer = address(context, builder, types_[k], array, at, F64)
            return builder.fsub(load_vector(builder, pointer, VECTOR, 8), spread(builder, centre))

        dx, dy, dz = coordinate(0, gx, x), coordinate(1, gy, y), coordinate(2, gz, z)
        ids = load_vector(builder, address(context, builder, types_[3], gid, at, I32), INDICES, 4)
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
        types_, four = sig.args, ir.VectorType(F64, 4)

        def combine(one, other, pattern):
            return builder.shuffle_vector(one, other, constant(pattern))

        points = []
        for k in range(LANES):
            place = address(context, builder, types_[1], ids, builder.add(at, ir.Constant(I64, k)), I32)
            number = builder.shl(builder.sext(builder.load(place), I64), ir.Constant(I64, 2))
            points.append(load_vector(builder, address(context, builder, types_[0], images, number, F64), four, 8))
        halves = [combine(points[k], points[k + 4], range(8)) for k in range(4)]
        even, odd = (0, 8, 2, 10, 4, 12, 6, 14), (1, 9, 3, 11, 5, 13, 7, 15)
        low, high = (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15)
        xz = [combine(halves[k], halves[k + 1], even) for k in (0, 2)]
        yw = [combine(halves[k], halves[k + 1], odd) for k in (0, 2)]
        dx = builder.fsub(combine(xz[0], xz[1], low), spread(builder, x))
        dy = builder.fsub(combine(yw[0], yw[1], low), spread(builder, y))
        dz = builder.fsub(combine(xz[0], xz[1], high), spread(builder, z))
        numbers = load_vector(builder, address(context, builder, types_[1], ids, atoms, I32), INDICES, 4)
        found = _append_near(
            context, builder, types_[9:13], limit2, left, numbers, dx, dy, dz, px, py, pz, pid,
            builder.add(first, count), count,
        )  # fmt: skip
        return context.make_tuple(builder, sig.return_type, found)

    f, i = types.float64, types.int64
    arguments = (images, ids, i, i, i, f, f, f, f, px, py, pz, pid, i, i)
    return types.UniTuple(i, 2)(*arguments), codegen
