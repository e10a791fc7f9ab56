"""Energy, forces and stress of each cell by an ASE calculator: here EMT, which takes no time.

    python compute.py cells.extxyz results.extxyz [module:Calculator]

Any program that computes the exported cells does as well: `grs-evo label` reads its outputs.
"""

import importlib
import sys

from ase.io import read, write

cells, results, name = (*sys.argv[1:], "ase.calculators.emt:EMT")[:3]
module, _, factory = name.partition(":")
frames = read(cells, ":")
for atoms in frames:
    atoms.calc = getattr(importlib.import_module(module), factory)()
    atoms.get_potential_energy()
    atoms.get_forces()
    atoms.get_stress()
write(results, frames, format="extxyz")
