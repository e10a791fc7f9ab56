"""Crossover and mutation: functions (rng, parents, limits, options) -> Structure or None.

| question | module |
|---|---|
| which are there, in which order? | `names`, `table` |
| how often, how far | `options` |
| on positions and cells | `spatial` |
| on species | `occupation` |
| on fixed sites, inside compiled chains | `lattice_moves` |
| which one next, and how probabilities adapt | `probabilities` |
"""
