"""Compiled: calls by address, so that one compiled function is not compiled again into each of its callers.

Numba links the whole code of a callee into its caller and optimises it anew: the engine would be compiled once by
itself, again in V_eff, and again in each minimiser (measured: 60 s in all, 20 s by address). A call by address costs
a few nanoseconds more, once per evaluation.

Python takes part in the same way: a C function that ctypes makes of it has an address (`CALLBACK`, `call_back`), so
that a compiled minimiser reaches terms of the loss that are not compiled into it.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

from llvmlite import ir
from numba import config, typeof, types
from numba.core import cgutils
from numba.extending import intrinsic

from grs_evo.kernels.bundles import bundle


@bundle
class Calls(NamedTuple):
    """Addresses of compiled functions; the types of their arguments are fixed by the caller that made them."""

    describe: int
    pull: int
    rows: int
    core: int
    evaluate: int
    value: int
    terms: int  # a CALLBACK that adds terms of the loss which are not compiled into it; 0: there are none


# A C function of the stage of an evaluation (FROM_ROWS, FROM_POSITIONS); returns what it adds to the value.
CALLBACK = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int64)
FROM_ROWS, FROM_POSITIONS = range(2)


def address(function: Any, *arguments: Any) -> int:
    """Compile a function for some arguments (or load it from the cache) and return its address."""
    if config.DISABLE_JIT:
        _PLAIN.append(function)
        return len(_PLAIN) - 1
    signature = tuple(typeof(argument) for argument in arguments)
    if signature not in function.overloads:
        function.compile(signature)
    compiled = function.overloads[signature]
    return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))


_PLAIN: list[Any] = []


def _caller(restype: Any) -> Any:
    """An intrinsic that calls the function at an address with a tuple of arguments."""

    @intrinsic
    def call(typingctx, where, arguments):
        plain = [types.unliteral(t) for t in arguments.types]

        def codegen(context, builder, signature, values):
            at, packed = values
            parts = [
                context.cast(builder, value, given, wanted)
                for value, given, wanted in zip(
                    cgutils.unpack_tuple(builder, packed), arguments.types, plain, strict=True
                )
            ]
            kind = context.call_conv.get_function_type(restype, plain)
            pointer = builder.inttoptr(at, kind.as_pointer())
            _, result = context.call_conv.call_function(builder, pointer, restype, plain, parts)
            return result

        return restype(where, arguments), codegen

    return call


if config.DISABLE_JIT:

    def call_status(where, arguments):
        return _PLAIN[where](*arguments)

    call_pair = call_value = call_number = call_status

    def call_back(where, stage):
        return CALLBACK(where)(stage)

else:

    @intrinsic
    def call_back(typingctx, where, stage):
        """The value of the CALLBACK at an address. It takes Python's lock itself and must not raise."""

        def codegen(context, builder, signature, values):
            kind = ir.FunctionType(ir.DoubleType(), [ir.IntType(64)])
            return builder.call(builder.inttoptr(values[0], kind.as_pointer()), [values[1]])

        return types.float64(types.int64, types.int64), codegen

    call_status = _caller(types.int64)
    call_number = _caller(types.float64)
    call_pair = _caller(types.UniTuple(types.float64, 2))
    call_value = _caller(types.Tuple((types.int64, types.float64, types.float64)))
