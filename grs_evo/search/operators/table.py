"""All operators, in the order of their columns, and the way in for one from outside the package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps

import numpy as np

from grs_evo.errors import InputError
from grs_evo.search.candidates.limits import Limits
from grs_evo.search.operators.crossover import occupation_crossover, slice_crossover
from grs_evo.search.operators.molecular import crossover, moves
from grs_evo.search.operators.occupation import fixed_composition, flip, flips, swap, swaps
from grs_evo.search.operators.record import Act, Operator, OperatorKind, StepSizes
from grs_evo.search.operators.spatial import (
    add,
    all_fixed,
    displace_all,
    displace_one,
    displace_some,
    elements_by_site,
    fixed_size,
    remove,
    strain,
    volume_change,
)
from grs_evo.structures.structure import Structure


def either(atoms: Act, molecules: Act) -> Act:
    """What moves atoms, or whole molecules where a structure consists of them."""

    @wraps(atoms)
    def act(
        rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, steps: StepSizes
    ) -> Structure | None:
        return (atoms if limits.molecules is None else molecules)(rng, parents, limits, steps)

    return act


# The order is that of columns in history, checkpoints and archives: a new operator comes last.
_BUILT_IN = (
    Operator(
        "slice", either(slice_crossover, crossover.slice_crossover), "spatial", obstacle=elements_by_site, parents=2
    ),
    Operator("occupation", occupation_crossover, "chemical", parents=2),
    Operator("swap", swap, "chemical"),
    Operator("flip", flip, "chemical", 2.0, fixed_composition),
    Operator("swaps", swaps, "chemical", 0.5),
    Operator("flips", flips, "chemical", 0.5, fixed_composition),
    Operator("displace_one", either(displace_one, moves.displace_one), "spatial", 0.5, all_fixed),
    Operator("displace_some", either(displace_some, moves.displace_some), "spatial", 1.0, all_fixed),
    Operator("displace_all", either(displace_all, moves.displace_all), "spatial", 1.0, all_fixed),
    Operator("strain", strain, "spatial", 0.5),
    Operator("volume", volume_change, "spatial", 0.5),
    Operator("add", either(add, moves.add), "spatial", 1.0, fixed_size),
    Operator("remove", either(remove, moves.remove), "spatial", 1.0, fixed_size),
    Operator("replace", None, "fresh", 0.1, parents=0),
)

# The only state of this module. It says which code there is, as an import does; nothing else changes it.
_table: tuple[Operator, ...] = _BUILT_IN
_columns: dict[str, int] = {one.name: k for k, one in enumerate(_BUILT_IN)}

_plugged: dict[str, Operator] = {}  # as they were given


def operators() -> tuple[Operator, ...]:
    """All of them, in the order of their columns."""
    return _table


def operator_names() -> tuple[str, ...]:
    """Their names, in the order of their columns."""
    return tuple(_columns)


def operator_columns() -> Mapping[str, int]:
    """The place of each name in the order of columns."""
    return _columns


def register(operator: Operator) -> None:
    """Add an operator from outside; its columns come after those that are there.

    On every rank the same ones in the same order, before the run file is read (which may give their weights) and its
    `Problem` is made. A child of it that breaks the limits is refused, and counted as an operator's failure.

    Raises
    ------
    InputError
        There is one of this name.
    """
    if operator.name in _columns:
        raise InputError(f"operator {operator.name!r}: the name is taken; there are {', '.join(_columns)}")
    act = None if operator.act is None else _within_limits(operator.act, operator.kind)
    _set_table((*_table, replace(operator, act=act)))


def plug(operator: Operator) -> None:
    """Register an operator that a run file names; the same one again changes nothing.

    Raises
    ------
    InputError
        Another one has this name.
    """
    if _plugged.get(operator.name) == operator and operator.name in _columns:
        return
    register(operator)
    _plugged[operator.name] = operator


@contextmanager
def registered(*added: Operator) -> Iterator[None]:
    """These operators besides the others inside a `with` block; afterwards the table is what it was before."""
    before = _table
    try:
        for operator in added:
            register(operator)
        yield
    finally:
        _set_table(before)


def _set_table(table: tuple[Operator, ...]) -> None:
    global _table, _columns
    _table, _columns = table, {one.name: k for k, one in enumerate(table)}


def _within_limits(act: Act, kind: OperatorKind) -> Act:
    """The same function, but None for a child that breaks the limits, or has moved although only species may change."""

    @wraps(act)
    def checked(
        rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, steps: StepSizes
    ) -> Structure | None:
        child = act(rng, parents, limits, steps)
        if child is None or limits.violation(child) is not None:
            return None
        if kind == "chemical" and not (
            np.array_equal(child.positions, parents[0].positions) and np.array_equal(child.cell, parents[0].cell)
        ):
            return None
        return child

    return checked
