"""Structures that are alike, and draws that take from each kind its share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grs_evo.datasets.pool import Pool

# Share of the features' variance that is kept.
_KEPT = 0.99
# A value is far so many median distances from its column's median; of the largest one, what that is at least.
_FAR, _LEAST = 50.0, 1e-3
# Columns that are looked at together: a large pool is not held several times.
_COLUMNS = 16
# Ward's linkage holds all distances: of larger pools a sample is clustered, the others join the nearest centre.
_MOST = 4000


def features(pool: Pool, other: Pool | None = None) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Each structure of a pool as a few numbers, (n, n_features), and those of another one on the same axes.

    A structure is its energy row beside the sizes of its force columns, what is far beyond the usual in logarithms, so
    that some compressed cells do not make all others seem alike; each block of the same total variance over the pool;
    then the principal axes that hold 99 % of it.
    """
    d = pool.n_columns
    joined, scales = np.empty((len(pool), 2 * d)), []
    for k, block in enumerate((pool.energy, pool.sizes)):
        made = _compressed(block, block, joined[:, k * d : (k + 1) * d])
        centre = made.mean(axis=0)
        made -= centre
        spread = max(np.sqrt((made**2).sum() / max(1, len(made))), 1e-300)
        made /= spread
        scales.append((centre, spread))
    values, axes = np.linalg.eigh(joined.T @ joined)
    values, axes = values[::-1], axes[:, ::-1]
    count = int(np.searchsorted(np.cumsum(values), _KEPT * values.sum())) + 1
    axes = axes[:, :count] * np.sign(axes[np.abs(axes[:, :count]).argmax(axis=0), np.arange(count)])
    theirs = None
    if other is not None:
        there = (_compressed(other.energy, pool.energy), _compressed(other.sizes, pool.sizes))
        theirs = np.hstack([(b - c) / s for b, (c, s) in zip(there, scales, strict=True)]) @ axes
    return joined @ axes, theirs


def _compressed(
    block: NDArray[np.float64], pool: NDArray[np.float64], out: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Columns less their median over the pool; far beyond the median distance from it, distances grow as logarithms."""
    made = np.empty(block.shape) if out is None else out
    for first in range(0, block.shape[1], _COLUMNS):
        some = slice(first, first + _COLUMNS)
        middle = np.median(pool[:, some], axis=0)
        away = np.abs(pool[:, some] - middle)
        far = _FAR * (np.median(away, axis=0) + _LEAST * away.max(axis=0, initial=0.0)) + 1e-300
        off = block[:, some] - middle
        times = np.abs(off) / far
        made[:, some] = np.where(times > 1.0, np.sign(off) * far * (1.0 + np.log(np.maximum(times, 1.0))), off)
    return made


def ward(points: NDArray[np.float64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(n,) cluster of each point, 0 … at most count - 1: Ward's minimum variance."""
    from scipy.cluster.hierarchy import fcluster, linkage

    n = len(points)
    if count >= n:
        return np.arange(n)
    if count <= 1:
        return np.zeros(n, np.int64)
    picks = np.arange(n) if n <= _MOST else np.sort(rng.choice(n, _MOST, replace=False))
    labels = np.asarray(fcluster(linkage(points[picks], "ward"), count, "maxclust"), np.int64) - 1
    if len(picks) == n:
        return labels
    return nearest_centre(points, centres_of(points[picks], labels))


def centres_of(points: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n_clusters, n_features)"""
    counts = np.bincount(labels)
    sums = np.zeros((len(counts), points.shape[1]))
    np.add.at(sums, labels, points)
    return np.asarray(sums / counts[:, None])


def nearest_centre(points: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.int64]:
    """(n,) which centre each point is nearest to."""
    from scipy.spatial import cKDTree

    return np.asarray(cKDTree(centres).query(points)[1], np.int64)


def proportional_order(
    labels: Sequence[int] | NDArray[np.int64],
    atoms: NDArray[np.int64],
    shares: NDArray[np.float64],
    rng: np.random.Generator,
    taken: NDArray[np.float64] | None = None,
) -> list[int]:
    """All structures in an order whose every beginning holds each cluster's share of atoms, as nearly as can be.

    Each cluster is shuffled; the next structure comes from the cluster that has least of its share. So each gives one
    before any gives two, the larger ones first.

    Parameters
    ----------
    labels : (n,) cluster of each structure
    atoms : (n,) atoms of each
    shares : (n_clusters,) atoms that stand for the whole of each cluster; 0: it comes last
    taken : (n_clusters,) atoms that are in the set already
    """
    labels = np.asarray(labels)
    waiting = [list(rng.permutation(np.flatnonzero(labels == c))) for c in range(len(shares))]
    held = np.zeros(len(shares)) if taken is None else taken.astype(np.float64).copy()
    order: list[int] = []
    open_ = np.array([bool(members) for members in waiting])
    while open_.any():
        with np.errstate(divide="ignore", invalid="ignore"):
            filled = np.where(open_, np.where(shares > 0, held / shares, 1e300 + held), np.inf)
        least = np.flatnonzero(filled == filled.min())
        cluster = int(least[np.argmax(shares[least])])
        k = int(waiting[cluster].pop())
        order.append(k)
        held[cluster] += atoms[k]
        open_[cluster] = bool(waiting[cluster])
    return order
