"""Structures: arrays of positions, cell and species, and how they come in.

| what | module |
|---|---|
| the structure itself, to and from ase.Atoms | `structure` |
| files with slices into structures | `reading` |
| the formats one by one | `files` |
| which suffix a format has | `formats` |
| pairs within a distance | `neighbours` |
| space groups, conventional cells | `symmetry` |
| are two structures one crystal? | `same_crystal` |
| molecules, found and moved as bodies | `molecules/` |
| networks of bonds | `networks/` |
| counts and fractions of elements | `composition` |
| clusters of lattice sites, in orbits of its symmetry | `clusters` |
"""
