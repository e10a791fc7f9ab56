"""The terms of the loss, one module each: what it is called, what it means, its unit and weight, its value and slope.

| what | module |
|---|---|
| what does a term have to say? | `term` |
| which are there, by name or from outside the package? | `table` |
| how do terms enter V_eff that are not compiled into it? | `evaluation` |
| means, variances, … of the functions | `moments` |
| sums and counts over all functions | `totals` |
| atoms too close; the entropy of the environments | `core`, `entropy` |
| distances of pairs of elements | `pair_distances` |
| numbers of first neighbours | `coordination` |
| cluster correlations on a lattice | `clusters` |

A module of this package that holds a `TERM` is a term: report, score, check, weights, history and archive list it.
Terms that are not compiled into the kernels enter by ``[loss.terms]`` of the run file (`LossOptions.terms`): those of
this package by name, those of any module on Python's path by ``module:variable``, with a weight or a table of options.

    # my_terms.py
    def value(species, first, second, distances, gradient, slopes, state):  # a plain function, or one by numba.njit
        near = distances < state
        if gradient:
            slopes[near] = 2.0 * (distances[near] - state) / len(species)
        return ((distances[near] - state) ** 2).sum() / len(species)

    SHORT = AddedTerm(name="short", meaning="pairs shorter than any of the target's", unit="Å²", target="moments",
                      takes="pairs", value=value, prepare=lambda basis, target, options: target.nearest)

    # run.toml
    [loss.terms]
    "my_terms:SHORT" = 5.0

Such a term looks at one candidate at a time: it is part of its value, not of the loss of a representative set. On fixed
sites structures are evaluated one by one, unless the term makes tables of its clusters (`AddedTerm.on_sites`).
"""
