"""Structures: arrays of positions, cell and species, and how they come in.

| question | module |
|---|---|
| the structure itself, to and from ase.Atoms | `structure` |
| files with slices into structures | `reading` |
| LAMMPS's data files and dumps | `lammps` |
| which format a file has | `formats` |
| pairs within a distance | `neighbours` |
| space groups, conventional cells | `symmetry` |
| counts and fractions of elements | `composition` |
"""
