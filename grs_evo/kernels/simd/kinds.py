"""Types of vectors, and the LLVM code that everything on them is made of.

Which of the types it is follows from the precision of an array, and for singles from how many are taken at once.
"""

from __future__ import annotations

import numpy as np
from llvmlite import binding, ir
from numba import config, types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import register_model

LANES = 8
# Atoms nearer than this (Å) coincide: no direction, no descriptor.
HAIR = 1e-3
HAIR2 = HAIR * HAIR
JIT = not config.DISABLE_JIT
# What `numbers` takes arrays as.
DOUBLE, SINGLE = np.float64(0.0), np.float32(0.0)

F64 = ir.DoubleType()
F32 = ir.FloatType()
I32 = ir.IntType(32)
I64 = ir.IntType(64)
VECTOR = ir.VectorType(F64, LANES)
INDICES = ir.VectorType(I32, LANES)


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


lanes = LanesType("lanes8", F64, LANES)
singles = LanesType("singles8", F32, LANES)
full_singles = LanesType("singles16", F32, 2 * LANES)
KINDS = (lanes, singles, full_singles)


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, fe_type.vector)


# Singles that `load_wide` takes at once: sixteen would be two registers of eight, with twice the padding.
WIDE = 2 * LANES if COMPRESS else LANES


def kind_of(array, most=LANES):
    """The type of eight numbers of an array, or of up to `most` singles."""
    if array.dtype == types.float32:
        return full_singles if most > LANES else singles
    return lanes


def in_precision(builder, value, element):
    """A number or a vector with its numbers as doubles or as singles."""
    vector = isinstance(value.type, ir.VectorType)
    now = value.type.element if vector else value.type
    if now == element:
        return value
    wanted = ir.VectorType(element, value.type.count) if vector else element
    return builder.fptrunc(value, wanted) if element == F32 else builder.fpext(value, wanted)


def constant(pattern):
    return ir.Constant(ir.VectorType(I32, len(pattern)), [ir.Constant(I32, k) for k in pattern])


def spread(builder, value, vector=VECTOR):
    """A scalar spread over the lanes; a vector as it is."""
    if value.type == vector:
        return value
    value, unset = in_precision(builder, value, vector.element), ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(unset, value, ir.Constant(I32, 0))
    return builder.shuffle_vector(one, unset, constant([0] * vector.count))


def called(name, vector):
    """LLVM's name of a function of such vectors."""
    return f"llvm.{name}.v{vector.count}f{64 if vector.element == F64 else 32}"


def common_kind(arguments):
    """The one kind of vector among the types of some arguments, and these types; None where there are two."""
    kinds = {one for one in arguments if isinstance(one, LanesType)}
    if len(kinds) != 1:
        return None
    return kinds.pop(), [one if isinstance(one, LanesType) else types.float64 for one in arguments]


def declared(builder, name, result, arguments):
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)


def address(context, builder, array_type, array, index, element):
    """Where array[index] is; `array` is a contiguous array of any shape, or a `pointer` to one."""
    base = array
    if not isinstance(array_type, types.CPointer):
        base = context.make_array(array_type)(context, builder, array).data
    return builder.gep(builder.bitcast(base, element.as_pointer()), [index])


def load_vector(builder, pointer, vector, align):
    value = builder.load(builder.bitcast(pointer, vector.as_pointer()))
    value.align = align
    return value


def read_vector(context, builder, array_type, array, index, count=LANES):
    """The vector array[index : index + count]."""
    element = F32 if array_type.dtype == types.float32 else F64
    pointer = address(context, builder, array_type, array, index, element)
    return load_vector(builder, pointer, ir.VectorType(element, count), 4 if element == F32 else 8)


def write_vector(context, builder, array_type, array, index, value):
    """array[index …] = value, in the array's precision."""
    element = F32 if array_type.dtype == types.float32 else F64
    pointer = address(context, builder, array_type, array, index, element)
    store_vector(builder, in_precision(builder, value, element), pointer, 4 if element == F32 else 8)


def store_vector(builder, value, pointer, align):
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=align)


def first_lanes(builder, left):
    """The mask of the first `left` lanes."""
    index = ir.Constant(ir.VectorType(I64, LANES), [ir.Constant(I64, k) for k in range(LANES)])
    wide = builder.insert_element(ir.Constant(index.type, ir.Undefined), left, ir.Constant(I32, 0))
    wide = builder.shuffle_vector(wide, ir.Constant(index.type, ir.Undefined), constant([0] * LANES))
    return builder.icmp_signed("<", index, wide)


def transposed(builder, rows):
    """Eight vectors as the rows of a matrix into its columns."""

    def combine(left, right, pattern):
        return builder.shuffle_vector(left, right, constant(pattern))

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
