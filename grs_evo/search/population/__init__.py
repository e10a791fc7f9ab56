"""Individuals and what is kept of them.

| what | module |
|---|---|
| an individual, and lists of them as columns | `individual` |
| parents and survivors (tournament, NSGA-II) | `selection` |
| the Pareto archive | `archive` |
| the representative set of several rounds | `representative_set` |
"""
