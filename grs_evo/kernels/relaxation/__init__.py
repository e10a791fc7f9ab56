"""Compiled minimisation of V_eff.

| what | module |
|---|---|
| V_eff as a function of one vector: positions, and the cell where it moves | `surface` |
| FIRE, L-BFGS and conjugate gradients | `minimise` |
"""
