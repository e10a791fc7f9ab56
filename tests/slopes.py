"""Slopes of a value of atoms by central differences: along a coordinate, and along a strain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from ase import Atoms

Value = Callable[[Atoms], Any]


def by_position(value: Value, atoms: Atoms, atom: int, axis: int, step: float) -> Any:
    """d value / d position of an atom along x, y or z."""
    ends = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[atom, axis] += sign * step
        ends.append(value(moved))
    return (ends[0] - ends[1]) / (2 * step)


def by_strain(value: Value, atoms: Atoms, a: int, b: int, step: float) -> Any:
    """d value / d strain of cell and atoms, x → (1 + E) x with E_ab."""
    ends = []
    for sign in (1, -1):
        strain = np.eye(3)
        strain[a, b] += sign * step
        moved = atoms.copy()
        moved.set_cell(atoms.cell[:] @ strain.T, scale_atoms=True)
        ends.append(value(moved))
    return (ends[0] - ends[1]) / (2 * step)
