"""Crossover and mutation: functions (rng, parents, limits, step sizes) -> Structure or None, each with a record.

*Chemical* operators change which species sits where and leave positions and cell alone; *spatial* ones move atoms,
change the cell or the number of atoms. To add one: write the function beside its like and its record at the end of
`table`; from outside the package, hand the record to `table.register`. Everything else (probabilities, the weights
that a run file may give, counters, columns of the history) reads the table.

| what | module |
|---|---|
| which are there, in which order? | `table` |
| what is said of one | `record` |
| how often, how far | `options` |
| two parents | `crossover` |
| on positions and cells | `spatial` |
| on whole molecules | `molecular/` |
| on species | `occupation` |
| on fixed sites, inside compiled chains | `lattice_moves` |
| which one next, and how probabilities adapt | `probabilities` |
"""
