"""Where first structures come from.

| what | module |
|---|---|
| draw a structure | `source` |
| what the run file leaves to the target | `by_target` |
| options and elements into a source | `binding` |
| what is refused: distance, density, size, composition | `limits` |
| the structures whose sites are occupied | `templates` |
| what may sit on a site, and what stays where it is | `site_rules` |
| cells of other shapes, for symmetric walks | `shapes` |
| fcc, bcc, hcp, ..., their supercells, the lattice under a target | `lattices/` |
| whole molecules, networks, cells cut from the target | `disordered/` |
"""
