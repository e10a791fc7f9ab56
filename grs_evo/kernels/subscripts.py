"""Subscripts of arrays in few instructions.

Numba writes some forty instructions for each `array[i, k]`, in Python, which LLVM then makes a few of: a fifth of the
time that compiling takes before LLVM. For single numbers of contiguous arrays this module writes those few at once; as
Numba does, an index below 0 counts from the end, and bounds are not checked.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types

# Where a struct of an array has the address of its data, and its shape.
_DATA, _SHAPE = 4, 5
_I64 = ir.IntType(64)


def subscript(context: Any, function: Any, signature: Any) -> Callable[[Any, Sequence[Any]], Any] | None:
    """What writes the instructions of a subscript that is read or assigned to; None: leave it to Numba.

    Parameters
    ----------
    function : as Numba's lowering asks its context for an implementation
    """
    if function == "static_getitem":
        reads = True
    elif function == "static_setitem":
        reads = False
    else:
        key = getattr(function, "typing_key", None)
        if key is not operator.getitem and key is not operator.setitem:
            return None
        reads = key is operator.getitem
    array, index = signature.args[:2]
    if not _is_plain(array) or context.enable_boundscheck:
        return None
    if function == "static_getitem":
        kinds = _constants_of(index)
    else:
        kinds = tuple(index.types) if isinstance(index, types.BaseTuple) else (index,)
    if len(kinds) != array.ndim or not all(isinstance(kind, types.Integer) for kind in kinds):
        return None

    def read(builder: Any, given: Sequence[Any]) -> Any:
        return context.unpack_value(builder, array.dtype, _place(context, builder, array.ndim, kinds, *given))

    def write(builder: Any, given: Sequence[Any]) -> Any:
        place = _place(context, builder, array.ndim, kinds, *given[:2])
        value = context.cast(builder, given[2], signature.args[2], array.dtype)
        context.pack_value(builder, array.dtype, value, place)
        return context.get_dummy_value()

    return read if reads else write


def _is_plain(array: Any) -> bool:
    """Whether a type is that of contiguous, aligned arrays of numbers."""
    return (
        isinstance(array, types.Array)
        and array.layout == "C"
        and array.aligned
        and isinstance(array.dtype, types.Number | types.Boolean)
    )


def _constants_of(index: Any) -> tuple[Any, ...]:
    """The types of the indices of a subscript that is written as constants."""
    value = index.value if isinstance(index, types.Omitted) else getattr(index, "literal_value", None)
    values = value if isinstance(value, tuple) else (value,)
    return tuple(types.int64 if type(one) is int else types.none for one in values)


def _place(context: Any, builder: Any, n_dims: int, kinds: Sequence[Any], array: Any, index: Any) -> Any:
    """The address of an element; `index` is one value of LLVM, or constants as Python has them."""
    if isinstance(index, int | tuple):
        indices = index if isinstance(index, tuple) else (index,)
    elif n_dims == 1 and not isinstance(index.type, ir.ArrayType | ir.LiteralStructType):
        indices = (index,)
    else:
        indices = tuple(builder.extract_value(index, k) for k in range(n_dims))
    offset: Any = None
    for k, (one, kind) in enumerate(zip(indices, kinds, strict=True)):
        length = builder.extract_value(array, (_SHAPE, k)) if k > 0 else None
        if isinstance(one, int) and one >= 0:
            value = ir.Constant(_I64, one)
        elif isinstance(one, int):
            value = builder.add(length or builder.extract_value(array, (_SHAPE, k)), ir.Constant(_I64, one))
        else:
            value = context.cast(builder, one, kind, types.intp)
            if kind.signed and not isinstance(kind, types.IntegerLiteral):
                length = length or builder.extract_value(array, (_SHAPE, k))
                below = builder.icmp_signed("<", value, ir.Constant(_I64, 0))
                value = builder.select(below, builder.add(value, length), value)
        offset = value if k == 0 else builder.add(builder.mul(offset, length), value)
    return builder.gep(builder.extract_value(array, _DATA), [offset])
