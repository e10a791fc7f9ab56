"""Compiled losses and moves on fixed sites, by increments.

    occupation ─► A: sum of tabulated columns ─► interpreter: B ─► sums over the atoms of each element   `occupation`
        ▲                                                                      │
        │                                                                      ▼
    move accepted ◄── chains (annealing, descent, random walk), passes ◄── loss of the sums               `lattice`

A swap of two sites subtracts and adds two columns of A; everything after A is computed anew.

| about | module |
|---|---|
| the descriptors of an occupation, kept up to date after a flip | `occupation` |
| how often each decoration of each cluster occurs | `clusters` |
| the loss of an occupation | `lattice` |
| flips, swaps, exchanges of orbits, random occupations | `moves` |
| annealing, descent and random walks | `chains` |
| children of a population: crossover, mutations, no repeats | `children` |
| local passes of a genetic child | `passes` |
"""
