"""Figures as data, made here once, and drawn by one generic renderer for each medium.

| what | module |
|---|---|
| what is a figure? axes, series, styles | `figure` |
| what was found: fronts, cost, sets as they grow | `results` |
| how it was found: convergence, operators, ancestors | `search` |
| how environments lie to the target: distributions, coverage | `environments` |
| g(r) and bond angles against the target | `observables` |
| PNG, SVG, PDF and CSV files (matplotlib) | `files` |

The report's page draws the same figures in a browser (`grs_evo.report.plot`).
"""
