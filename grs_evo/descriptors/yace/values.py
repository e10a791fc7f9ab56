"""Values of a .yace file, checked one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from grs_evo.errors import InputError, nearest


def check_keys(group: Mapping[Any, Any], known: set[str], where: str) -> None:
    for key in group:
        if key not in known:
            raise InputError(f"{where}: {key!r} is not supported{nearest(str(key), known)}")


def number(value: Any, where: str, whole: bool = False) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        out = float(value)  # YAML 1.1 takes 1e-5 for text
    except (TypeError, ValueError):
        raise InputError(f"{where} = {value!r}; it must be a number") from None
    if not np.isfinite(out) or (whole and out != int(out)):
        raise InputError(f"{where} = {value!r}; it must be {'an integer' if whole else 'finite'}")
    return out


def integers(values: Any, count: int, where: str) -> tuple[int, ...]:
    try:
        array = np.array(values if isinstance(values, list) else [values])
        if array.dtype.kind not in "iu" or array.size != count:
            raise ValueError
    except ValueError:
        raise InputError(f"{where} = {str(values)[:60]}; it must be {count} integers") from None
    return tuple(int(x) for x in array.ravel())


def floats(values: Any, where: str) -> tuple[float, ...]:
    try:
        array = np.array(values if isinstance(values, list) else [values], dtype=np.float64).ravel()
        if array.size == 0 or not np.isfinite(array).all():
            raise ValueError
    except (TypeError, ValueError):
        raise InputError(f"{where} = {str(values)[:60]}; it must be finite numbers") from None
    return tuple(float(x) for x in array)
