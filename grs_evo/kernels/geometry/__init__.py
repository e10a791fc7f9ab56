"""Compiled geometry: periodic images, pairs within a cutoff, contacts.

    positions, cell ─► images (sorted into bins) ─► pairs of one atom at a time ─► descriptors (ace), shortest distances
    positions, cell ─► contacts: all images of all pairs ─► closest ratio, atoms to drop, atoms moved apart

| about | module |
|---|---|
| periodic images within the cutoff, sorted so that neighbours lie together | `images` |
| pairs within the cutoff, in an order that depends on the structure alone | `pairs` |
| pairs from lists that are kept while a structure moves little | `kept` |
| atoms of small candidates that are too close | `contacts` |
| Hermite normal forms of supercells, up to symmetry | `hermite` |
| how scratch is laid out, and what kernels return | `layout` |
"""
