"""Structures that are alike, and draws that take from each kind its share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grs_evo.datasets.labelling.matching import Block, alike
from grs_evo.datasets.pool import ENERGY_SIGMA, FORCE_SIGMA, Pool

# Share of the features' variance that is kept.
_KEPT = 0.99
# A value is far so many median distances from its column's median; of the largest one, what that is at least.
_FAR, _LEAST = 50.0, 1e-3
# Columns that are looked at together: a large pool is not held several times.
_COLUMNS = 16
# Copies differ in no column by more than this share of its size: by the digits of files, not by a strain.
_SAME = 1e-6
# Ward's linkage holds all distances: of larger pools a sample is clustered, the others join the nearest centre.
_MOST = 4000


def features(pool: Pool, *others: Pool) -> list[NDArray[np.float64]]:
    """Each structure of a pool as a few numbers, (n, n_features), and those of others on the same axes.

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
    found = [joined @ axes]
    for other in others:
        there = (_compressed(other.energy, pool.energy), _compressed(other.sizes, pool.sizes))
        found.append(np.hstack([(b - c) / s for b, (c, s) in zip(there, scales, strict=True)]) @ axes)
    return found


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


def copies(
    pool: Pool,
    cells: NDArray[np.float64],
    earlier: Pool | None = None,
    earlier_cells: NDArray[np.float64] | None = None,
) -> dict[int, int]:
    """Of each structure with the cell and the environments of another one: the number of the first that has them.

    It is the other one moved, with its atoms in another order or printed with other digits.

    Parameters
    ----------
    cells : (n, 3, 3) Å
    earlier, earlier_cells : look among these instead, which were described like the pool
    """
    other = pool if earlier is None else earlier
    other_cells = cells if earlier_cells is None else earlier_cells
    used = np.isfinite(pool.scale)
    units = [np.where(used, sigma * pool.scale, 1.0) for sigma in (ENERGY_SIGMA, FORCE_SIGMA)]
    squares = [np.einsum("kd,kd->d", block, block) / max(1, len(pool)) for block in (pool.energy, pool.sizes)]
    # of the rows before they were centred and scaled
    size = np.sqrt(units[0] ** 2 * squares[0] + pool.centre**2 + units[1] ** 2 * squares[1])
    bounds = [np.where(used, _SAME * size / unit, np.inf) for unit in units]
    counts, counted = (one.n_atoms[:, None].astype(np.float64) for one in (pool, other))
    blocks = [
        Block(pool.energy, other.energy, bounds[0]),
        Block(pool.sizes, other.sizes, bounds[1]),
        Block(cells.reshape(-1, 9), other_cells.reshape(-1, 9), np.full(9, _SAME * np.abs(other_cells).max())),
        Block(counts, counted, np.zeros(1)),
    ]
    return dict(alike(blocks))


def spreads(points: NDArray[np.float64], labels: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """(count,) root mean square distance of each cluster's points from their centre.

    As if each had one point more, at the mean square distance over all clusters: few points tell little of it.
    """
    away = points - centres_of(points, labels, count)[labels]
    squares = np.bincount(labels, (away**2).sum(axis=1), minlength=count)
    usual = squares.sum() / max(1, len(points))
    return np.asarray(np.sqrt((squares + usual) / (np.bincount(labels, minlength=count) + 1)))


def ward(
    points: NDArray[np.float64], costs: NDArray[np.float64], budget: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """(n,) cluster of each point, from 0: Ward's minimum variance.

    There are as many clusters, at least two, as the budget pays for one point of each, of its cluster's mean cost.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    n = len(points)
    if n <= 2:
        return np.arange(n)
    picks = np.arange(n) if n <= _MOST else np.sort(rng.choice(n, _MOST, replace=False))
    tree = linkage(points[picks], "ward")

    def cut(count: int) -> NDArray[np.int64]:
        return np.asarray(fcluster(tree, count, "maxclust"), np.int64) - 1

    def fits(count: int) -> bool:
        labels = cut(count)
        return bool((np.bincount(labels, costs[picks]) / np.bincount(labels)).sum() <= budget)

    # bisection: one of each of more clusters costs more, as good as always
    least, most = 2, len(picks)
    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if fits(middle) else (least, middle - 1)
    labels = cut(least)
    if len(picks) == n:
        return labels
    near = nearest_centre(points, centres_of(points[picks], labels))
    return np.asarray(np.unique(near, return_inverse=True)[1], np.int64)  # a centre may be nearest to none


def centres_of(points: NDArray[np.float64], labels: NDArray[np.int64], count: int = 0) -> NDArray[np.float64]:
    """(n_clusters, n_features) of at least `count` clusters; zeros where one has no points."""
    counts = np.bincount(labels, minlength=count)
    sums = np.zeros((len(counts), points.shape[1]))
    np.add.at(sums, labels, points)
    return np.asarray(sums / np.maximum(counts, 1)[:, None])


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
    costs: NDArray[np.float64] | None = None,
    limit: float = np.inf,
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
    costs, limit : (n,) of each; the order ends where the costs together reach the limit
    """
    labels = np.asarray(labels)
    waiting = [list(rng.permutation(np.flatnonzero(labels == c))) for c in range(len(shares))]
    held = np.zeros(len(shares)) if taken is None else taken.astype(np.float64).copy()
    order: list[int] = []
    cost = 0.0
    open_ = np.array([bool(members) for members in waiting])
    while open_.any() and cost < limit:
        with np.errstate(divide="ignore", invalid="ignore"):
            filled = np.where(open_, np.where(shares > 0, held / shares, 1e300 + held), np.inf)
        least = np.flatnonzero(filled == filled.min())
        cluster = int(least[np.argmax(shares[least])])
        k = int(waiting[cluster].pop())
        order.append(k)
        cost += 0.0 if costs is None else float(costs[k])
        held[cluster] += atoms[k]
        open_[cluster] = bool(waiting[cluster])
    return order
