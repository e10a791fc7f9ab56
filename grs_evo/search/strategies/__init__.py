"""How an island makes its next generation: functions (state, problem, rng, ledger) -> Step.

| strategy | module |
|---|---|
| genetic, gradient | `genetic` |
| children of genetic on fixed sites, compiled | `lattice_children` |
| annealing, descent, random_walk | `trajectory` |
| those three on fixed sites | `lattice_chain` |
| those three elsewhere | `walk` |
| which are there, by name | `table` |
| one from outside the package | `record` |
"""
