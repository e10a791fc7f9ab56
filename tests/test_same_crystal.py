"""One crystal in other cells, from other origins, turned or mirrored is one; another order or spacing is not."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell, mx2

from grs_evo.structures.same_crystal import crystal_of, same_crystal
from grs_evo.structures.structure import from_atoms

ELEMENTS = ("Au", "Cu", "O", "Ti")


def alike(one: Atoms, other: Atoms) -> bool:
    a, b = (crystal_of(from_atoms(atoms, ELEMENTS)) for atoms in (one, other))
    assert a is not None
    assert b is not None
    assert same_crystal(a, b) == same_crystal(b, a)
    return same_crystal(a, b)


def turned(atoms: Atoms) -> Atoms:
    """The same crystal in another cell, with another origin, order, orientation and hand."""
    made = make_supercell(atoms, [[1, 1, 0], [0, 1, 2], [1, 0, 1]])
    made.positions += np.random.default_rng(1).random(3)
    made.rotate(33, (1, 2, 3), rotate_cell=True)
    made = made[np.random.default_rng(2).permutation(len(made))]
    made.set_cell(-made.cell, scale_atoms=True)
    made.wrap()
    return made


def ordered(seed: int) -> Atoms:
    atoms = bulk("Cu", cubic=True).repeat((2, 2, 1))
    atoms.symbols[np.random.default_rng(seed).choice(16, 5, replace=False)] = "Au"
    return atoms


RUTILE = Atoms(
    "Ti2O4",
    scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5], [0.3, 0.3, 0], [0.7, 0.7, 0], [0.8, 0.2, 0.5], [0.2, 0.8, 0.5]],
    cell=[4.6, 4.6, 2.95],
    pbc=True,
)


@pytest.mark.parametrize("atoms", [bulk("Cu"), bulk("CuO", "wurtzite", a=3.2, c=5.2), RUTILE, ordered(0), ordered(3)])
def test_a_crystal_is_itself_in_whatever_cell(atoms: Atoms) -> None:
    assert alike(atoms, turned(atoms))
    assert alike(atoms, atoms.repeat((1, 2, 1)))


def test_others_are_not_it() -> None:
    orders = [ordered(seed) for seed in range(4)]
    assert sum(alike(a, b) for a in orders for b in orders) == len(orders)
    assert not alike(bulk("Cu"), bulk("Cu", a=3.7))
    assert not alike(bulk("Cu"), bulk("Au", a=3.61))
    moved = RUTILE.copy()
    moved.positions[2] += 0.1
    assert not alike(RUTILE, moved)
    assert not alike(bulk("CuO", "rocksalt", a=4.0), bulk("CuO", "zincblende", a=4.0))


def test_a_layer_is_no_crystal() -> None:
    layer = mx2("TiO2", vacuum=8.0)
    layer.pbc = (True, True, False)
    assert crystal_of(from_atoms(layer, ELEMENTS)) is None
