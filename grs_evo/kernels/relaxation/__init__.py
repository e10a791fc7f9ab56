"""Compiled minimisation of V_eff, and of the strain of networks.

| what | module |
|---|---|
| V_eff as a function of one vector: positions, and the cell where it moves | `surface` |
| FIRE, L-BFGS and conjugate gradients | `minimise` |
| strain of a network of bonds | `strain` |
| its relaxation, and exchange of bonds | `exchange` |
"""
