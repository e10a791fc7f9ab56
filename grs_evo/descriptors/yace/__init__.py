"""Bases as `.yace` files, the format of LAMMPS's ML-PACE.

| about | module |
|---|---|
| read or write a file | `file` |
| the text itself | `text` |
| values, checked one by one | `values` |
| how tables of couplings become coupling trees | `trees` |
"""
