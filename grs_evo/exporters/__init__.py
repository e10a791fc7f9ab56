"""Structures of an archive out to other programs.

| what | module |
|---|---|
| which structures, and into which files? | `export` |
| the formats there are: one record for each | `table` |
| how is each format written? | `formats` |
| inputs of CP2K, ABINIT, CASTEP, GPAW | `dft` |
| labelled structures as programs that fit potentials read them | `training` |
"""
