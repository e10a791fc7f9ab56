"""What the arrays of a file must be before anything computes with them: types, shapes, finite, in range.

A seal tells that a file is as it was written; these tell that what was written makes sense, and so guard against files
that somebody else made and against those that carry no seal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.search.population.individual import LINE_LENGTH, STEP

# Å; positions and cell vectors beyond are no structure, and overflow the integers of whatever bins them.
_FARTHEST = 1e6
# Å; a shorter cell vector puts atoms on their own images.
_SHORTEST = 0.1
# Least volume of a cell over the product of its edges.
_FLATTEST = 1e-8

Columns = Mapping[str, Any]


class Unsound(ValueError):
    """An array that is not what it must be; the message names it and says what is wrong."""


def json_of(text: str, name: str) -> Any:
    """A JSON text as plain values; raises Unsound where it is none, or one that is nested too deep to be read."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unsound(f"{name} is no JSON text ({error})") from None


def names_of(text: Any, name: str) -> tuple[str, ...]:
    """Names out of a JSON list of distinct, printable texts."""
    if not isinstance(text, str):
        raise Unsound(f"{name} is no text")
    found = json_of(text, name)
    if not isinstance(found, list) or not all(isinstance(one, str) and one.isprintable() and one for one in found):
        raise Unsound(f"{name} is no list of names")
    if len(set(found)) != len(found):
        raise Unsound(f"{name} has a name twice")
    return tuple(found)


def elements_of(text: Any, name: str) -> tuple[str, ...]:
    """Chemical symbols out of a JSON list."""
    from ase.data import atomic_numbers

    found = names_of(text, name)
    for symbol in found:
        if symbol not in atomic_numbers:
            raise Unsound(f"{name} has {symbol[:10]!r}, which is no chemical symbol")
    if not found:
        raise Unsound(f"{name} is empty")
    return found


def array_of(columns: Columns, name: str, kinds: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """An array that must be there, of some dtype kinds (``"f"``, ``"i"``, …) and a shape with None for any length."""
    found = columns.get(name)
    if found is None:
        raise Unsound(f"{name} is missing")
    if not isinstance(found, np.ndarray) or found.dtype.kind not in kinds or not found.dtype.isnative:
        raise Unsound(f"{name} is of the wrong type ({getattr(found, 'dtype', type(found).__name__)})")
    wanted = "(" + ", ".join("any" if length is None else str(length) for length in shape) + ")"
    if found.ndim != len(shape) or any(
        length not in (None, real) for length, real in zip(shape, found.shape, strict=True)
    ):
        raise Unsound(f"{name} has the shape {found.shape}; must be {wanted}")
    return found


def numbers_of(
    columns: Columns, name: str, shape: tuple[int | None, ...], low: float = -np.inf, high: float = np.inf
) -> NDArray[np.float64]:
    """Finite float64 numbers from `low` to `high`."""
    found = array_of(columns, name, "f", shape)
    if found.dtype.itemsize != 8:
        raise Unsound(f"{name} is of the wrong type ({found.dtype})")
    bad = ~np.isfinite(found) | (found < low) | (found > high)
    if bad.any():
        allowed = "finite" if np.isinf([low, high]).all() else f"from {low:g} to {high:g}"
        raise Unsound(f"{name} has {found[bad][0]:g}; must be {allowed}")
    return found


def counts_of(
    columns: Columns, name: str, shape: tuple[int | None, ...], low: int = 0, high: int = 2**63 - 1
) -> NDArray[np.int64]:
    """Whole numbers from `low` to `high`."""
    found = array_of(columns, name, "i", shape)
    bad = (found < low) | (found > high)
    if bad.any():
        raise Unsound(f"{name} has {found[bad][0]}; must be from {low} to {high}")
    return found


def check_structures(columns: Columns, n_elements: int) -> int:
    """Columns as `pack_structures` makes them; returns how many structures there are.

    Raises
    ------
    Unsound
        Numbers of atoms below 1 or that do not add up, atoms of no element, positions or cells that are not finite or
        not of this world, cells without a volume.
    """
    rows = len(array_of(columns, "positions", "f", (None, 3)))
    n_atoms = counts_of(columns, "n_atoms", (None,), 1, max(rows, 1))
    if int(n_atoms.sum(dtype=object)) != rows:
        raise Unsound(f"n_atoms add up to {int(n_atoms.sum(dtype=object))}, but positions has {rows} rows")
    numbers_of(columns, "positions", (rows, 3), -_FARTHEST, _FARTHEST)
    counts_of(columns, "species", (rows,), 0, n_elements - 1)
    pbc = array_of(columns, "pbc", "b", (len(n_atoms), 3))
    cells = numbers_of(columns, "cells", (len(n_atoms), 3, 3), -_FARTHEST, _FARTHEST)
    lengths = np.linalg.norm(cells, axis=2)
    flat = ~(np.abs(np.linalg.det(cells)) > _FLATTEST * lengths.prod(axis=1))
    if flat.any():
        raise Unsound(f"cells has one without a volume (structure {int(np.argmax(flat))})")
    if (lengths[pbc] < _SHORTEST).any():
        raise Unsound(f"cells has a vector of {lengths[pbc].min():g} Å; must be {_SHORTEST:g} at least")
    return len(n_atoms)


def check_individuals(columns: Columns, n_elements: int, n_terms: int) -> int:
    """Columns as `pack` makes them; returns how many individuals there are.

    Raises
    ------
    Unsound
        What `check_structures` finds; losses that are not finite, negative counts, lines of descent that do not add
        up, operators that are no names.
    """
    n = check_structures(columns, n_elements)
    numbers_of(columns, "value", (n,))
    numbers_of(columns, "terms", (n, n_terms))
    counts_of(columns, "parents", (n, 2), -1)
    for name in ("uid", "island", "generation", "evaluation"):
        counts_of(columns, name, (n,))
    _check_names(columns, "operator", n)
    steps = len(array_of(columns, "line_uid", "i", (None,)))
    lengths = counts_of(columns, "line_length", (n,), 0, LINE_LENGTH)
    if int(lengths.sum()) != steps:
        raise Unsound(f"line_length adds up to {int(lengths.sum())}, but line_uid has {steps} rows")
    counts_of(columns, "line_uid", (steps,))
    counts_of(columns, "line_other", (steps,), -1)
    numbers_of(columns, "line_value", (steps,))
    counts_of(columns, "line_generation", (steps,))
    counts_of(columns, "line_n_atoms", (steps,), 1)
    _check_names(columns, "line_operator", steps)
    for name in STEP.names or ():
        if columns[f"line_{name}"].dtype.itemsize > STEP[name].itemsize:
            raise Unsound(f"line_{name} is of the wrong type ({columns[f'line_{name}'].dtype})")
    return n


def _check_names(columns: Columns, name: str, n: int) -> None:
    """Names of fixed width in printable ASCII, filled up with zeros."""
    found = array_of(columns, name, "S", (n,))
    signs = np.frombuffer(np.ascontiguousarray(found).tobytes(), np.uint8)
    if ((signs != 0) & ((signs < 0x20) | (signs > 0x7E))).any():
        raise Unsound(f"{name} has signs that are in no name")


def check_history(columns: Columns) -> None:
    """Columns of numbers of one length, among them what every reader of a history needs."""
    rows = len(array_of(columns, "island", "i", (None,)))
    for name in columns:
        found = array_of(columns, name, "fi", (rows,))
        if not np.isfinite(found).all():
            raise Unsound(f"{name} is not finite everywhere")
    for name in ("island", "round", "generation", "evaluations"):
        if name in columns and rows and columns[name].min() < 0:
            raise Unsound(f"{name} has {columns[name].min():g}; must be 0 at least")


def check_target(columns: Columns, n_elements: int) -> None:
    """Arrays as `Target.to_arrays` makes them.

    Raises
    ------
    Unsound
        Shapes that do not go together, numbers that are not finite, negative counts or weights.
    """
    sizes = counts_of(columns, "moments_sizes", (n_elements,), 0, 10**9)
    total = int(sizes.sum())
    numbers_of(columns, "moments_counts", (n_elements,), 0.0)
    numbers_of(columns, "moments_mean", (total,))
    numbers_of(columns, "moments_sums", (3, total))
    if "moments_covariance_sums" in columns:
        numbers_of(columns, "moments_covariance_sums", (int((sizes**2).sum()),))
    rows = len(array_of(columns, "sample_rows", "f", (None, None)))
    widest = int(sizes.max(initial=0))
    numbers_of(columns, "sample_rows", (rows, widest))
    counts_of(columns, "sample_species", (rows,), 0, n_elements - 1)
    numbers_of(columns, "sample_weights", (rows,), 0.0)
    n = len(counts_of(columns, "n_atoms", (None,), 1))
    numbers_of(columns, "volumes", (n,), 0.0)
    numbers_of(columns, "weights", (n,), 0.0)
    # not finite where no structure has two atoms near each other
    if not array_of(columns, "nearest", "f", (1,))[0] >= 0.0 and not np.isnan(columns["nearest"][0]):
        raise Unsound(f"nearest has {columns['nearest'][0]:g}; must be 0 at least")
    if "errors" in columns:
        numbers_of(columns, "errors", (4, total), 0.0)
    if "centres" in columns:
        owned = counts_of(columns, "n_centres", (n,), 1)
        counts_of(columns, "centres", (int(owned.sum()),), 0, int(columns["n_atoms"].max()) - 1)
    text = json_of(bytes(array_of(columns, "text", "u", (None,)).astype(np.uint8)).decode(), "text")
    if not isinstance(text, dict):
        raise Unsound("text is no table")
    for name in ("names", "groups"):
        if not isinstance(text.get(name), list) or not all(isinstance(one, str) for one in text[name]):
            raise Unsound(f"{name} is no list of names")
    if len(text["names"]) not in (0, n) or len(text["groups"]) not in (0, n):
        raise Unsound(f"names and groups are not those of {n} structures")
