"""Named tuples that compiled code takes as one address.

Numba hands a named tuple over field by field, each array as seven numbers: the code of a function that takes two of the
engine's tuples is mostly about their five hundred arguments (measured: four fifths of all that was compiled, and 40
cycles an array at each call). A `bundle` is packed once into a block of memory, and a function gets the address of it
and reads the fields that it uses.

What is packed are addresses of the arrays' data, so the arrays must stay where they are, which NumPy's do, and live as
long as the bundle, which holds them. Compiled code neither changes the fields nor makes bundles.
"""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.datamodel import models
from numba.core.imputils import lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.core.typing.typeof import typeof_impl
from numba.extending import NativeValue, register_model, unbox

_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_WORD = 8

Fields = TypeVar("Fields", bound=type)


class BundleType(types.Type):
    """Of one class of bundles with fields of certain types.

    Parameters
    ----------
    made : the class
    fields : Numba's types of its fields: arrays, integers, floats, booleans, None, and further bundles
    """

    def __init__(self, made: type, fields: tuple[types.Type, ...]) -> None:
        self.names: tuple[str, ...] = made._fields  # type: ignore[attr-defined]
        self.fields = fields
        # where each of them begins, in words
        self.starts = tuple(np.cumsum([0, *(_words(field) for field in fields[:-1])]).tolist())
        # Names are part of the names of all functions that take one: short ones.
        digest = hashlib.blake2b("; ".join(field.name for field in fields).encode(), digest_size=6).hexdigest()
        super().__init__(name=f"{made.__name__}_{digest}")


def _words(field: types.Type) -> int:
    """How many words of memory a field takes: an array has three, and its shape and strides."""
    return 3 + 2 * field.ndim if isinstance(field, types.Array) else 1


def bundle(fields: Fields) -> Fields:
    """Decorate a class of named tuples: compiled code takes them by address."""

    def reduce(self: Any) -> tuple[Any, ...]:
        return type(self), tuple(self)  # without the addresses, which are of this process

    def address(self: Any) -> int:
        """Where the packed fields are."""
        packed = self.__dict__.get("packed")
        if packed is None:
            packed = self.__dict__["packed"] = np.array([word for value in self for word in _packed(value)], np.int64)
        return int(packed.ctypes.data)

    own = {
        "__doc__": fields.__doc__,
        "__module__": fields.__module__,
        "__qualname__": fields.__qualname__,
        "__reduce__": reduce,
        "address": property(address),
    }
    made: Any = type(fields.__name__, (fields,), own)

    @typeof_impl.register(made)
    def _typeof(value: Any, context: Any) -> BundleType:
        return BundleType(made, tuple(typeof_impl(one, context) for one in value))

    return made  # type: ignore[no-any-return]


def _packed(value: Any) -> list[int]:
    if isinstance(value, np.ndarray):
        # not `value.ctypes.data`, which takes three times as long
        return [value.size, value.itemsize, value.__array_interface__["data"][0], *value.shape, *value.strides]
    if value is None:
        return [0]
    if isinstance(value, float):
        return [int(np.float64(value).view(np.int64))]
    if isinstance(value, tuple):
        return [value.address]  # type: ignore[attr-defined]
    return [int(value)]


@register_model(BundleType)
class _BundleModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: BundleType) -> None:
        super().__init__(dmm, fe_type, _I8.as_pointer())


@unbox(BundleType)
def _unbox(typ: BundleType, given: Any, c: Any) -> NativeValue:
    number = c.pyapi.object_getattr_string(given, "address")
    address = c.pyapi.long_as_longlong(number)
    c.pyapi.decref(number)
    return NativeValue(c.builder.inttoptr(address, _I8.as_pointer()), is_error=c.pyapi.c_api_error())


@infer_getattr
class _FieldTypes(AttributeTemplate):
    key = BundleType

    def generic_resolve(self, typ: BundleType, attr: str) -> types.Type | None:
        return typ.fields[typ.names.index(attr)] if attr in typ.names else None


@lower_getattr_generic(BundleType)
def _field(context: Any, builder: Any, typ: BundleType, value: Any, attr: str) -> Any:
    number = typ.names.index(attr)
    field, start = typ.fields[number], typ.starts[number]

    def word(at: int, kind: Any) -> Any:
        """Fields stay as they are, which lets LLVM read them once and not after each store."""
        place = builder.gep(value, [ir.Constant(_I64, _WORD * (start + at))], inbounds=True)
        loaded = builder.load(builder.bitcast(place, kind.as_pointer()), align=_WORD)
        loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
        return loaded

    if isinstance(field, types.NoneType):
        return context.get_dummy_value()
    if isinstance(field, types.Boolean):
        return builder.trunc(word(0, _I64), ir.IntType(1))
    if not isinstance(field, types.Array):
        return word(0, context.get_value_type(field))
    kind = context.get_value_type(field)
    array, extent = ir.Constant(kind, None), field.ndim  # no owner: nothing to count references of
    for position, at in ((2, 0), (3, 1)):
        array = builder.insert_value(array, word(at, _I64), position)
    array = builder.insert_value(array, word(2, kind.elements[4]), 4)
    for k in range(extent):
        array = builder.insert_value(array, word(3 + k, _I64), (5, k))
        array = builder.insert_value(array, word(3 + extent + k, _I64), (6, k))
    return array
