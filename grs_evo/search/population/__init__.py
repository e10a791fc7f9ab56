"""Individuals and what is kept of them.

| what | module |
|---|---|
| an individual, and lists of them as columns | `individual` |
| parents and survivors (tournament, NSGA-II) | `selection` |
| which rows others dominate, and which make way in a crowd | `domination` |
| the Pareto archive | `archive` |
| an archive that individuals are added to | `growing` |
| the representative set of several rounds | `representative_set` |
"""
