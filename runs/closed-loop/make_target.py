"""What copper looks like when it is strained and warm, by hand: no energies are needed.

python make_target.py target.extxyz
"""

import sys

import numpy as np
from ase.build import bulk
from ase.io import write

rng = np.random.default_rng(1)
frames = []
for k in range(24):
    atoms = bulk("Cu", a=3.6, cubic=True) * 2
    strain = rng.normal(scale=0.02, size=(3, 3)) + rng.uniform(-0.03, 0.03) * np.eye(3)
    atoms.set_cell(atoms.cell[:] @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
    atoms.rattle((0.05, 0.1, 0.2)[k % 3], rng=rng)
    frames.append(atoms)
write(sys.argv[1], frames, format="extxyz")
