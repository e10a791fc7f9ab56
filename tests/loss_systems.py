"""What losses are tried on: a basis of two elements, and strongly rattled cells."""

from __future__ import annotations

import numpy as np
from ase.build import bulk

from grs_evo.descriptors.basis import Basis, build_basis
from grs_evo.structures.structure import Structure


def gold_copper() -> Basis:
    """A small basis with another cutoff for each pair of elements."""
    return build_basis(
        ["Au", "Cu"], n_max=(3, 2, 1), l_max=(0, 2, 1), cutoff={"Au-Cu": 4.4, "Au-Au": 4.6, "Cu-Cu": 4.2}
    )


def some(seed: int, n: int = 8, elements: int = 2) -> Structure:
    """A strongly rattled, sheared fcc cell of n ≤ 8 atoms, both elements in it."""
    rng = np.random.default_rng(seed)
    atoms = bulk("Cu", "fcc", a=3.8, cubic=True) * (2, 1, 1)
    positions = atoms.get_positions()[:n] + rng.normal(scale=0.25, size=(n, 3))
    cell = atoms.cell[:] @ (np.eye(3) + rng.normal(scale=0.03, size=(3, 3)))
    return Structure(positions, cell, rng.permutation(np.arange(n) % elements), np.ones(3, bool))
