"""Compiled losses: moments of rows of descriptors, their distance from a target, and its slope.

| what | module |
|---|---|
| moments of rows, and how they merge | `moments` |
| norms of residuals, and their slopes | `norms` |
| covariances, where they are compared | `covariance` |
| distance of one distribution from the target | `distribution` |
| the loss of a structure's rows, and the slope at each row | `objective` |
| V_eff of positions and cell, with its gradient | `effective` |
| pairs of atoms as arrays, and their histograms, for terms of distances | `pairs`, `pair_histogram` |
"""
