"""Structure files of each format into ase.Atoms, as many atoms and structures as they announce, or refused by line.

Each reader takes the lines of a file and gives, structure by structure, what makes its ase.Atoms: those that are not
asked for are not made, but their lines are counted.

| question | module |
|---|---|
| which format a file has | `kinds` |
| lines with their numbers; what is refused before a file is opened | `text` |
| xyz and extended xyz | `xyz` |
| LAMMPS: text dumps, data files, units | `dump`, `data`, `units` |
| VASP: POSCAR, XDATCAR; DFTB+: GEN | `vasp` |
| CIF: words, symmetry operations, structures | `cif_text`, `cif_symmetry`, `cif` |
| ATAT | `atat` |
| FitSNAP's JSON | `fitsnap` |
| all else that ASE reads | `others` |
| elements by symbol, mass or atom type | `elements` |
| mixed and partly occupied sites | `occupancy` |
"""
