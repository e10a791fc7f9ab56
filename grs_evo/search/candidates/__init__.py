"""Where first structures come from.

| what | module |
|---|---|
| draw a structure | `source` |
| options and elements into a source | `binding` |
| what is refused: distance, density, size, composition | `limits` |
| all supercells of a lattice | `supercells` |
| fcc, bcc, hcp, ... | `parents` |
"""
