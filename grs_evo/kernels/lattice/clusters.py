"""Compiled: how often each decoration of each orbit of clusters occurs on fixed sites, and what a change does to that.

Counts alone are kept. With p the share of a decoration among the clusters of an orbit, p* the wanted one and p⁰ the
product of the sites' fractions,

    χ² = Σ over decorations (p − p*)² / p⁰ = Σ over all products of orthonormal point functions of (Φ − Φ*)²,

so what belongs to an orbit itself, and not to the clusters within its clusters, is a sum of χ² with whole-number shares
(inclusion and exclusion). A change of one site moves its clusters from one count to another: a few additions each.
Counts are whole numbers: those followed from change to change are those counted anew, bit for bit.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.ace.tables import aligned
from grs_evo.kernels.bundles import bundle
from grs_evo.kernels.compiling import entry_allocating, entry_locked, inner
from grs_evo.kernels.lattice.occupation import ClusterWork, exchange
from grs_evo.kernels.simd import LANES, fma, load, splat
from grs_evo.kernels.simd import total as total_of


@bundle
class ClusterTables(NamedTuple):
    """The clusters of a set of sites. Places that an orbit does not have point to site 0 and change nothing."""

    weight: float  # of the term in the loss; 0: no clusters
    n_el: int
    sites: NDArray[np.int32]  # (n_clusters, width + 1) sites on its places, and the row of `lookup` for place 0
    # clusters of each site, in groups of 1, 2, … sites: the others on its places (−1: the site itself once more), and
    # the row of `lookup` for the place of the site
    own: NDArray[np.int32]  # (n_sites, …)
    ends: NDArray[np.int32]  # (n_sites, width + 1) where the groups of each site end in `own`, from 0
    lookup: NDArray[
        np.int32
    ]  # (…, n_el**width) count that a decoration adds to, by Σ element · n_el**k, one place first
    wanted: NDArray[np.float64]  # (n_counts,) wanted numbers
    inverse: NDArray[np.float64]  # (n_counts,) 1 / (number of clusters² · p⁰); 0 for what fills an orbit up to 8 counts
    starts: NDArray[np.int64]  # (n_orbits + 1,) counts of each orbit; multiples of 8
    shares: NDArray[np.float64]  # (n_orbits, n_orbits) from χ² of all orbits to what is an orbit's own
    scale: NDArray[np.float64]  # (n_orbits,) of that in the sum whose root is the term


@entry_locked
def count_clusters(tables, occupation, work):
    """Counts and χ² of an occupation from nothing."""
    width = tables.sites.shape[1] - 1
    counts = work.counts[0]
    for k in range(counts.shape[0]):
        counts[k] = 0.0
    for c in range(tables.sites.shape[0]):
        code = 0
        for q in range(width - 1, -1, -1):
            code = code * tables.n_el + occupation[tables.sites[c, q]]
        counts[tables.lookup[tables.sites[c, width], code]] += 1.0
    _squares(tables.starts, tables.inverse, tables.wanted, counts, work.chi)


@inner
def _squares(starts, inverse, wanted, counts, chi):
    """χ² of each orbit."""
    for o in range(chi.shape[0]):
        total = splat(0.0)
        for k in range(starts[o], starts[o + 1], LANES):
            one = load(counts, k) - load(wanted, k)
            total = fma(one * one, load(inverse, k), total)
        chi[o] = total_of(total)


@inner
def _move_site(own, ends, lookup, n_el, occupation, site, new, counts):
    """Counts after one site takes a new element; the occupation stays."""
    old = occupation[site]
    width = ends.shape[1] - 1
    entries = own[site]
    for order in range(1, width + 1):
        for m in range(ends[site, order - 1], ends[site, order], order):
            before = 0
            after = 0
            for q in range(order - 2, -1, -1):
                other = entries[m + q]
                if other >= 0:
                    before = before * n_el + occupation[other]
                    after = after * n_el + occupation[other]
                else:
                    before = before * n_el + old
                    after = after * n_el + new
            row = lookup[entries[m + order - 1]]
            counts[row[before * n_el + old]] -= 1.0
            counts[row[after * n_el + new]] += 1.0


@inner
def _value(tables, chi):
    total = 0.0
    for o in range(tables.scale.shape[0]):
        own = 0.0
        for s in range(o + 1):  # orbits within an orbit's clusters stand before it
            own += tables.shares[o, s] * chi[s]
        # rounding can bring what is 0 below it
        if own > 0.0:
            total += tables.scale[o] * own
    return tables.weight * math.sqrt(total)


@entry_locked
def clusters_whole(tables, occupation, work):
    """The weighted term of an occupation from nothing; leaves its counts in `work`."""
    count_clusters(tables, occupation, work)
    return _value(tables, work.chi)


@inner
def clusters_changed(tables, occupation, sites, elements, n_changes, work):
    """The weighted term after changes of the current occupation, whose counts are in `work`; both stay as they are."""
    trial = work.counts[1]
    for k in range(trial.shape[0]):
        trial[k] = work.counts[0, k]
    for n in range(n_changes):
        _move_site(tables.own, tables.ends, tables.lookup, tables.n_el, occupation, sites[n], elements[n], trial)
        exchange(occupation, sites, elements, n)
    for n in range(n_changes - 1, -1, -1):
        exchange(occupation, sites, elements, n)
    _squares(tables.starts, tables.inverse, tables.wanted, trial, work.chi)
    return _value(tables, work.chi)


@inner
def keep_counts(work):
    """Make the counts of the trial looked at last those of the current occupation."""
    for k in range(work.counts.shape[1]):
        work.counts[0, k] = work.counts[1, k]


@entry_allocating
def order_sites(rng, tables, allowed, occupation, work, trials, enough):
    """Swap pairs of sites at random and keep what does not raise the term, until it is `enough` or less; trials done.

    For systems of any size: a trial costs what the clusters of two sites cost. `work` has room for them.
    """
    n = occupation.shape[0]
    value = clusters_whole(tables, occupation, work)
    for trial in range(trials):
        if value <= enough:
            return trial
        i = min(int(rng.random() * n), n - 1)
        j = min(int(rng.random() * n), n - 1)
        old = occupation[i]
        new = occupation[j]
        if old == new or not allowed[i, new] or not allowed[j, old]:
            continue
        for k in range(work.counts.shape[1]):
            work.counts[1, k] = work.counts[0, k]
        _move_site(tables.own, tables.ends, tables.lookup, tables.n_el, occupation, i, new, work.counts[1])
        occupation[i] = new
        _move_site(tables.own, tables.ends, tables.lookup, tables.n_el, occupation, j, old, work.counts[1])
        _squares(tables.starts, tables.inverse, tables.wanted, work.counts[1], work.chi)
        trial_value = _value(tables, work.chi)
        if trial_value <= value:
            occupation[j] = old
            value = trial_value
            keep_counts(work)
        else:
            occupation[i] = old
    return trials


def no_clusters(n_sites: int, n_el: int) -> ClusterTables:
    """Tables of a loss without clusters."""
    return ClusterTables(
        0.0, n_el, np.zeros((0, 2), np.int32), np.zeros((n_sites, 0), np.int32), np.zeros((n_sites, 2), np.int32),
        np.zeros((0, n_el), np.int32), np.zeros(0), np.zeros(0), np.zeros(1, np.int64), np.zeros((0, 0)), np.zeros(0),
    )  # fmt: skip


def make_cluster_work(tables: ClusterTables) -> ClusterWork:
    """Scratch space."""
    return ClusterWork(aligned(2 * len(tables.wanted)).reshape(2, -1), np.zeros(len(tables.scale)))
