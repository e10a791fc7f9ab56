"""The terms of the loss, one module each: what it is called, what it means, its unit and weight, its value and slope.

| question | module |
|---|---|
| what does a term have to say? | `term` |
| which are there, by name or from outside the package? | `table` |
| how do terms enter V_eff that are not compiled into it? | `evaluation` |
| means, variances, … of the functions | `moments` |
| sums and counts over all functions | `totals` |
| atoms too close; the entropy of the environments | `core`, `entropy` |

A module of this package that holds a `TERM` is a term: report, score, check, weights, history and archive list it.
Modules of other packages are terms too where the run file names them, ``loss.terms = {"module:TERM" = weight}``.
"""
