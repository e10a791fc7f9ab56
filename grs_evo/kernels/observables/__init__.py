"""Compiled loops behind what a person checks in a structure: pairs, contacts, angles, molecules.

| what | module |
|---|---|
| which atoms are near which, in structures of any size? | `cell_list` |
| how many pairs at which distance, and each atom's nearest? | `pairs` |
| what does each environment look like: distances, coordination, angles? | `environments` |
| which atoms are bonded into one molecule, and which network has no end? | `molecules` |

Nothing here takes part in a search: sums of whole numbers and single distances, the same in any order.
"""
