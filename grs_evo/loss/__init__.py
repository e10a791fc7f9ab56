"""Two distributions of environments into a loss (eqs. 13-16).

| what | module |
|---|---|
| what can be compared, with which weights? | `options` |
| in which units are differences taken? | `scaling` |
| the terms: what they are called, mean, weigh; how to add one | `terms` |
| options and basis as the numbers that compiled code reads | `plan` |
| the loss of a structure or a set, its parts and its gradient | `objective` |
| the same on fixed sites | `lattice`, `lattice_tables` |
| how good is a loss, beside samples of the target? | `quality` |
"""
