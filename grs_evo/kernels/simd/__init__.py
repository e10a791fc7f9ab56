"""Eight numbers at once: a `lanes` value with arithmetic, loads, stores and the few shuffles that the kernels need.

`lanes` are doubles. An array of singles gives `singles`, eight of them as well; `load_full` gives eight doubles or
sixteen singles, and `load_wide` eight of either or, where registers are that long, sixteen singles. Which it is
follows from the array, so that a kernel is written once and compiled for the numbers that it is given. Scalars are
doubles; what is stored takes the array's precision.

Numba's auto-vectoriser is fragile (an integer conversion or a possible wrap-around turns a loop scalar) and keeps to
half-width registers on many machines, so the kernels say explicitly what is a vector. LLVM splits the eight lanes where
registers are shorter. Nothing here reassociates: a lane's result does not depend on what the other lanes hold. It uses
internals of Numba (CONTRIBUTING.md lists them), so pyproject.toml bounds Numba's version from above.

| what | module |
|---|---|
| types of vectors, and LLVM code that everything on them is made of | `kinds` |
| operators, functions and sums of vectors | `arithmetic` |
| numbers and vectors out of arrays and into them | `access` |
| which of eight points are near, appended to a list | `neighbours` |
| the same names as plain functions on NumPy arrays, with NUMBA_DISABLE_JIT | `plain` |

Indices are taken as they are: no wrap-around, no bounds check.
"""

from __future__ import annotations

from grs_evo.kernels.simd.kinds import COMPRESS, DOUBLE, HAIR, HAIR2, JIT, LANES, SINGLE, WIDE

__all__ = [
    "COMPRESS",
    "DOUBLE",
    "HAIR",
    "HAIR2",
    "JIT",
    "LANES",
    "SINGLE",
    "WIDE",
    "any_above",
    "any_below",
    "beyond",
    "filled_full",
    "filled_wide",
    "fma",
    "fms",
    "inverse_root",
    "item",
    "like",
    "load",
    "load_full",
    "load_part",
    "load_wide",
    "magnitude",
    "numbers",
    "pointer",
    "prefetch",
    "put",
    "root",
    "scatter_add",
    "sign",
    "single",
    "splat",
    "store",
    "store_part",
    "total",
    "totals",
    "transpose",
    "transpose_rows",
    "which_of",
    "wide_of",
    "width",
]

if JIT:
    from grs_evo.kernels.simd.access import (
        beyond,
        item,
        load,
        load_full,
        load_part,
        load_wide,
        numbers,
        pointer,
        prefetch,
        put,
        scatter_add,
        single,
        store,
        store_part,
        transpose,
        transpose_rows,
        which_of,
        wide_of,
        width,
    )
    from grs_evo.kernels.simd.arithmetic import (
        any_above,
        any_below,
        filled_full,
        filled_wide,
        fma,
        fms,
        inverse_root,
        like,
        magnitude,
        root,
        sign,
        splat,
        total,
        totals,
    )
    from grs_evo.kernels.simd.neighbours import keep_listed, keep_near

    __all__ += ["keep_listed", "keep_near"]
else:
    from grs_evo.kernels.simd.plain import (
        any_above,
        any_below,
        beyond,
        filled_full,
        filled_wide,
        fma,
        fms,
        inverse_root,
        item,
        like,
        load,
        load_full,
        load_part,
        load_wide,
        magnitude,
        numbers,
        pointer,
        prefetch,
        put,
        root,
        scatter_add,
        sign,
        single,
        splat,
        store,
        store_part,
        total,
        totals,
        transpose,
        transpose_rows,
        which_of,
        wide_of,
        width,
    )
