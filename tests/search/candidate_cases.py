"""What the tests of candidates share."""

from __future__ import annotations

import numpy as np

from grs_evo.search.candidates.source import candidate
from grs_evo.structures.structure import Structure, to_atoms

ALLOY = ("Au", "Cu")


def rng(seed=0):
    return np.random.default_rng(seed)


def draw(source, count=5, seed=0):
    made = [candidate(rng(seed + k), source) for k in range(count)]
    assert all(one is not None for one in made)
    return made


def shortest(structure: Structure) -> float:
    """Slow and obvious: all images to three cells away."""
    atoms = to_atoms(structure, ["H"] * 10)
    best = np.inf
    shifts = [np.array(s) @ structure.cell for s in np.ndindex(7, 7, 7) if (structure.pbc | (np.array(s) == 3)).all()]
    shifts = [s - 3 * structure.cell.sum(0) for s in shifts]
    for shift in shifts:
        d = np.linalg.norm(atoms.positions[:, None] - atoms.positions[None] + shift, axis=2)
        d[d < 1e-9] = np.inf
        best = min(best, float(d.min()))
    return best
