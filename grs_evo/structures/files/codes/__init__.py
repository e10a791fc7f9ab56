"""Files of simulation programs.

| what | module |
|---|---|
| LAMMPS: text dumps, data files; units | `dump`, `data`, `units` |
| VASP: POSCAR, XDATCAR; DFTB+: GEN | `vasp` |
| ATAT | `atat` |
| FitSNAP's JSON | `fitsnap` |
"""
