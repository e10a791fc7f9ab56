"""Lattices that candidates sit on.

| what | module |
|---|---|
| fcc, bcc, hcp, ... | `parents` |
| all supercells of a lattice | `supercells` |
| the lattice under a target, its vacuum, what sits where | `target_lattice` |
"""
