"""V_eff used: relaxation, and the same potential for other programs.

| what | module |
|---|---|
| relax a structure | `relaxation` |
| relax molecules as rigid bodies | `rigid` |
| relax a network and keep its bonds | `network` |
| an ASE calculator | `ase` |
| LAMMPS, through fix external | `lammps` |
"""
