"""Structures into ACE descriptors (eqs. 8-12): which functions there are, and their values and gradients.

| question | module |
|---|---|
| which (n, l, L) does a basis hold, with which cutoffs? | `basis` |
| what are the descriptors of a structure, and how do they pull on its atoms? | `describe` |
| which invariants exist for given l, and which are independent? | `angular` |
| how do nested couplings become products? | `coupling` |
| which multiplications does the compiled engine do, in which order? | `program` |
| which functions are the same for all structures of one lattice? | `equivalence` |
| what does each pair of sites of a lattice contribute? | `pair_functions` |
| how is a basis written for and read from LAMMPS? | `yace/` |
"""
