"""Where first structures come from.

| what | module |
|---|---|
| draw a structure | `source` |
| what the run file leaves to the target | `by_target` |
| the lattice under a target, its vacuum, what sits where | `target_lattice` |
| options and elements into a source | `binding` |
| what is refused: distance, density, size, composition | `limits` |
| whole molecules, cells cut from the target | `disordered/` |
| all supercells of a lattice | `supercells` |
| cells of other shapes, for symmetric walks | `shapes` |
| fcc, bcc, hcp, ... | `parents` |
"""
