"""Sets of given structures: which of them to label, and what a set teaches a linear potential.

    files -> labels -> design rows (energies and forces of a linear model) -> pool -> selection
                                                                          -> refit -> errors on structures not seen

| what | module |
|---|---|
| structures with their energies and forces, as files carry them | `labels` |
| what does a structure contribute to a linear fit? | `design` |
| a pool of structures, described once, in bounded memory | `pool` |
| which structures are alike? | `clusters` |
| how much does a set tell about the target's energies and forces? | `information` |
| which structures to take; what remains at each size | `select` |
| the rules by which they are taken | `rules` |
| fit on a set, errors on another | `refit` |
| results of calculators to the structures they belong to | `labelling` |
| sets that a search grows by what they teach | `growth` |
"""
