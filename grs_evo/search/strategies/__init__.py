"""How an island makes its next generation: functions (state, problem, rng, counters) -> Step.

| strategy | module |
|---|---|
| genetic, gradient | `genetic` |
| annealing, descent, random_walk | `trajectory` |
| those on fixed sites | `lattice_chain` |
| those anywhere else | `walk` |
"""
