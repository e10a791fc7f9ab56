"""Compiled geometry: periodic images, pairs within a cutoff, contacts.

| question | module |
|---|---|
| which images of the cell are within reach? | `images` |
| which pairs are within the cutoff, in which order? | `pairs` |
| which atoms are too close? | `contacts` |
| Hermite normal forms of supercells, up to symmetry | `hermite` |
| how scratch is laid out, and what kernels return | `layout` |
"""
