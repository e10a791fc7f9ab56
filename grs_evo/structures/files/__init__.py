"""Structure files of each format into ase.Atoms, as many atoms and structures as they announce, or refused by line.

Each reader takes the lines of a file and gives, structure by structure, what makes its ase.Atoms: those that are not
wanted are not made, but their lines are counted.

| what | module |
|---|---|
| which format a file has | `kinds` |
| lines with their numbers; what is refused before a file is opened | `text` |
| xyz and extended xyz | `xyz` |
| CIF | `cif/` |
| LAMMPS, VASP, DFTB+, ATAT, FitSNAP | `codes/` |
| all else that ASE reads | `others` |
| how many atoms such files hold by their records | `records` |
| elements by symbol, mass or atom type | `elements` |
| mixed and partly occupied sites | `occupancy` |
"""
