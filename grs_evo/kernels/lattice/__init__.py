"""Compiled losses and moves on fixed sites, by increments.

| question | module |
|---|---|
| the descriptors of an occupation, kept up to date after a flip | `occupation` |
| the loss of an occupation | `lattice` |
| annealing, descent and random walks | `chains` |
| local passes of a genetic child | `passes` |
"""
