"""Any number of sets of environments in one plane, by t-SNE (paper, SI 2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grs_evo.analysis.distributions.components import checked_rows, principal_components, project
from grs_evo.errors import InputError

# Neighbours that count, where there are enough.
_PERPLEXITY = 30.0


def common_embedding(
    sets: Sequence[NDArray[np.float64]],
    *,
    most: int = 4000,
    perplexity: float | None = None,
    iterations: int = 500,
    seed: int = 0,
) -> list[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """Environments of several sets in one common t-SNE plane (openTSNE).

    Parameters
    ----------
    sets : each (n_k, n_desc), of one basis
    most : environments taken of each set; more are thinned evenly, so that a large set does not crowd out the others
    perplexity : about how many neighbours count; default: 30, or a third of the different environments if that is less
    iterations : of the second phase
    seed : of the optimiser

    Returns
    -------
    per set its coordinates (m_k, 2) and which of its rows they belong to (m_k,)

    Notes
    -----
    The functions are scaled by their spread over all sets and reduced to the principal components that hold 99 % of the
    variance (at most 50) first. Distances between far groups of a t-SNE plane mean nothing; which environments lie
    together does. One thread, so that a seed gives the same picture.
    """
    if not sets:
        raise InputError("embedding: no sets were given; at least one is needed")
    taken, chosen = [], []
    for k, rows in enumerate(sets):
        rows = checked_rows(rows, f"set {k + 1}")
        if rows.shape[1] != np.shape(sets[0])[1]:
            raise InputError(
                f"set {k + 1}: has {rows.shape[1]} functions, set 1 has {np.shape(sets[0])[1]}; one basis is needed"
            )
        which = np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(np.int64))
        chosen.append(which)
        taken.append(rows[which])
    together = np.concatenate(taken)
    if len(together) < 8:
        raise InputError(f"embedding: {len(together)} environments in all; at least 8 are needed")
    components = principal_components(together, 0.99, "target", most=50)
    points = project(components, together)
    # Neighbours at distance 0 (a crystal's sites) would all be each other's only neighbours: t-SNE then tears them
    # apart along rounding. Equal points are embedded once.
    distinct, back = np.unique(np.round(points, 9), axis=0, return_inverse=True)
    back = back.ravel()
    most_perplexity = (len(distinct) - 1) / 3.0
    if perplexity is not None and perplexity > most_perplexity:
        raise InputError(
            f"perplexity: is {perplexity:g}; of {len(distinct)} different environments it can be "
            f"{max(most_perplexity, 0.0):.4g} at most (a third of the others)"
        )
    if len(distinct) < 8:
        flat = np.zeros((len(distinct), 2))
        flat[:, : min(2, distinct.shape[1])] = distinct[:, :2]
        plane = flat[back]
    else:
        from openTSNE import TSNE

        # The two widest components as the start, tiny as t-SNE wants it: not random, and it serves one dimension too.
        start = np.zeros((len(distinct), 2))
        start[:, : min(2, distinct.shape[1])] = distinct[:, :2]
        start *= 1e-4 / start.std(axis=0).max()
        start[:, 1] += 1e-7 * np.sin(np.arange(len(distinct)))
        model = TSNE(
            initialization=start,
            perplexity=min(_PERPLEXITY, most_perplexity) if perplexity is None else perplexity,
            n_iter=iterations,
            random_state=seed,
            n_jobs=1,
            neighbors="exact" if len(distinct) <= 6000 else "approx",
            negative_gradient_method="bh" if len(distinct) <= 3000 else "fft",
        )
        plane = np.asarray(model.fit(distinct))[back]
    ends = np.cumsum([len(which) for which in chosen])[:-1]
    return list(zip(np.split(plane, ends), chosen, strict=True))
