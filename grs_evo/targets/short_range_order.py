"""Lattices of any size occupied with a wanted short-range order: random ones, on which swaps bring the pairs there.

Nothing but the orders of the shells that are given is steered, so that all else stays as random as they allow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from grs_evo.descriptors.basis import Basis
from grs_evo.errors import InputError, nearest
from grs_evo.kernels.lattice.clusters import clusters_whole, make_cluster_work, order_sites
from grs_evo.structures.clusters import Placed, placed, shells
from grs_evo.structures.composition import largest_remainder
from grs_evo.structures.structure import Structure
from grs_evo.targets.clusters import AlloySites, Clusters, cluster_tables, make_clusters
from grs_evo.targets.random_alloy import draw_alloy

# Root mean square of the orders' deviations from the wanted ones, over pairs of elements, that is good enough.
TOLERANCE = 5e-4
# Trials for each site before the wanted orders count as out of reach.
_TRIALS = 2000
# Independent cells that the standard errors of an alloy come from, at least.
_LEAST_CELLS = 12
# Sites of the cell that the other correlations of an ordered alloy are taken from.
_SITES = 16_000
_FAR = 3.0  # of the cube root of the volume of a site


def orders_of(
    given: Mapping[str, Sequence[float]], elements: Sequence[str], fractions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """``{"Co-Cr": [α of shell 1, of shell 2, …]}`` as (n, 4) rows of two elements, shell and α.

    Raises
    ------
    InputError
        A pair of elements that is none, an order that no arrangement has; sublattices of different composition.
    """
    rows = []
    for pair, alphas in given.items():
        names = pair.split("-")
        if len(names) != 2 or any(name not in elements for name in names):
            allowed = [f"{a}-{b}" for k, a in enumerate(elements) for b in elements[k + 1 :]]
            raise InputError(
                f"order: {pair!r} is no pair of the alloy's elements; allowed are {', '.join(allowed)}"
                + nearest(pair, allowed)
            )
        a, b = (list(elements).index(name) for name in names)
        if a == b:
            raise InputError(f"order: {pair} is of like elements, whose order follows from the others; leave it out")
        rows += [(min(a, b), max(a, b), shell, float(alpha)) for shell, alpha in enumerate(alphas, start=1)]
    orders = np.array(rows, np.float64).reshape(-1, 4)
    mixed = fractions[(fractions > 0).sum(1) > 1]
    if len(orders) and (not len(mixed) or np.ptp(mixed, axis=0).max() > 1e-9):
        raise InputError("order: needs one composition on all sites that are mixed; the lattice has several, or none")
    for shell in np.unique(orders[:, 2]):
        _pair_shares(mixed[0], orders[orders[:, 2] == shell], elements)
    return orders


def _pair_shares(
    fractions: NDArray[np.float64], orders: NDArray[np.float64], elements: Sequence[str] = ()
) -> NDArray[np.float64]:
    """(n_el, n_el) probabilities of ordered pairs in one shell."""
    shares = np.outer(fractions, fractions)
    for a, b, _, alpha in orders:
        i, j = int(a), int(b)
        shares[i, j] = shares[j, i] = fractions[i] * fractions[j] * (1.0 - alpha)
    np.fill_diagonal(shares, 0.0)
    np.fill_diagonal(shares, fractions - shares.sum(1))
    if shares.min() < -1e-12:
        i, j = divmod(int(shares.argmin()), len(shares))
        names = f"{elements[i]}-{elements[j]}" if len(elements) else f"{i}-{j}"
        raise InputError(
            f"order: leaves a probability of {shares[i, j]:.3g} for {names} pairs of shell {int(orders[0, 2])}; "
            "orders nearer to 0 are needed"
        )
    return np.maximum(shares, 0.0)


def _ordered_clusters(alloy: AlloySites) -> Clusters:
    """Pairs of the shells whose order is given, with what is wanted of them."""
    last = int(alloy.orders[:, 2].max())
    found = shells(alloy.cell, alloy.sites, _FAR * (abs(np.linalg.det(alloy.cell)) / len(alloy.sites)) ** (1 / 3))
    if last > len(found):
        raise InputError(f"order: gives shell {last}; the lattice has {len(found)} shells in reach")
    clusters = make_clusters(alloy, [found[last - 1]])
    wanted = []
    for orbit, ways, share in zip(clusters.orbits, clusters.decorations, clusters.wanted, strict=True):
        if orbit.order == 2:
            shell = 1 + int(np.argmin(np.abs(np.array(found) - orbit.radius)))
            chosen = alloy.orders[alloy.orders[:, 2] == shell]
            pairs = _pair_shares(alloy.fractions[orbit.members[0, 0, 0]], chosen)
            a, b = ways.first.T
            share = ways.size * (pairs[a, b] + pairs[b, a]) / 2.0
        wanted.append(share)
    return replace(clusters, wanted=tuple(wanted), seen={})


def order_occupation(
    alloy: AlloySites, at: Placed, species: NDArray[np.int32], rng: np.random.Generator
) -> tuple[NDArray[np.int32], float]:
    """Swap until the given shells have the wanted orders; the species, and the deviation that is left.

    Parameters
    ----------
    at, species : a cell of the alloy's lattice, and what stands on its sites
    """
    clusters = _ordered_clusters(alloy)
    given = {0.0} | {float(shell) for shell in alloy.orders[:, 2]}
    found = shells(alloy.cell, alloy.sites, max(one.radius for one in clusters.orbits))
    scale = np.array(
        [
            float(one.order == 2 and 1 + int(np.argmin(np.abs(np.array(found) - one.radius))) in given)
            for one in clusters.orbits
        ]
    )
    tables = cluster_tables(clusters, at, 1.0, scale / max(1.0, scale.sum()))
    work = make_cluster_work(tables)
    occupation = np.array(species, np.int32)
    allowed = np.ascontiguousarray(alloy.fractions[at.rows[:, 0]] > 0)
    order_sites(rng, tables, allowed, occupation, work, _TRIALS * len(occupation), TOLERANCE)
    return occupation, float(clusters_whole(tables, occupation, work))


def random_occupation(alloy: AlloySites, at: Placed, rng: np.random.Generator) -> NDArray[np.int32]:
    """Each kind of site occupied at random, with whole numbers of atoms nearest to its fractions."""
    species = np.zeros(len(at.rows), np.int32)
    _, kinds = np.unique(alloy.fractions.round(9), axis=0, return_inverse=True)
    of_site = kinds.reshape(-1)[at.rows[:, 0]]
    for kind in np.unique(of_site):
        sites = np.flatnonzero(of_site == kind)
        fractions = alloy.fractions[np.flatnonzero(kinds.reshape(-1) == kind)[0]]
        counts = largest_remainder(fractions, len(sites))
        species[sites] = rng.permutation(np.repeat(np.arange(len(counts), dtype=np.int32), counts))
    return species


def ordered_like(cell: Structure, alloy: AlloySites, rng: np.random.Generator) -> Structure:
    """The sites of a cell occupied anew, with the wanted orders as near as its size allows."""
    at = placed(cell, alloy.cell, alloy.sites, "alloy")
    species, _ = order_occupation(alloy, at, random_occupation(alloy, at, rng), rng)
    return cell.replace(species=species)


def alloy_cells(
    sites: Structure,
    basis: Basis,
    fractions: NDArray[np.float64],
    order: Mapping[str, Sequence[float]],
    samples: int,
    seed: int,
) -> tuple[list[Structure], NDArray[np.float64], AlloySites | None]:
    """Cells that hold at least so many sites, the orders that they were given, and what they are cells of.

    Cells are occupied at random, and brought to the wanted order where there is one. The third is None where the
    lattice is not periodic in all directions.
    """
    rng = np.random.default_rng(seed)
    orders = orders_of(order, basis.elements, fractions)
    scaled = sites.positions @ np.linalg.inv(sites.cell)
    alloy = AlloySites(sites.cell, scaled, fractions, orders, seed) if sites.pbc.all() else None
    if alloy is None and len(orders):
        raise InputError("order: needs a lattice that is periodic in all directions")

    def cell() -> Structure:
        one = draw_alloy(sites, basis, fractions, rng)
        return ordered_like(one, alloy, rng) if alloy is not None and len(orders) else one

    first = cell()
    n_cells = max(_LEAST_CELLS, -(-samples // first.n_atoms))
    return [first, *(cell() for _ in range(n_cells - 1))], orders, alloy


def ordered_cell(alloy: AlloySites, n_sites: int = _SITES, seed: int | None = None) -> tuple[Structure, float]:
    """A large cell of the alloy, about as long as wide, with the wanted orders; the deviation that is left of them.

    Raises
    ------
    InputError
        The orders are out of reach on this lattice.
    """
    rng = np.random.default_rng(np.random.SeedSequence(alloy.seed if seed is None else seed, spawn_key=(0x73726F,)))
    lengths = np.linalg.norm(alloy.cell, axis=1)
    edge = (n_sites / len(alloy.sites) * np.prod(lengths)) ** (1 / 3)
    repeat = np.maximum(1, np.rint(edge / lengths).astype(np.int64))
    grid = np.stack(np.meshgrid(*(np.arange(k) for k in repeat), indexing="ij"), -1).reshape(-1, 3)
    rows = np.repeat(grid, len(alloy.sites), axis=0)
    positions = (rows + np.tile(alloy.sites, (len(grid), 1))) @ alloy.cell
    kinds = np.tile(np.arange(len(alloy.sites)), len(grid))
    at = Placed(np.diag(repeat), np.concatenate([kinds[:, None], rows], 1).astype(np.int64))
    species, left = random_occupation(alloy, at, rng), 0.0
    if len(alloy.orders):
        species, left = order_occupation(alloy, at, species, rng)
        if left > 2 * TOLERANCE:
            raise InputError(
                f"order: the wanted orders are out of reach on this lattice; swaps leave a deviation of {left:.2g} "
                f"(root mean square of α over pairs of elements); take orders nearer to 0"
            )
    return Structure(positions, alloy.cell * repeat[:, None], species, np.ones(3, np.bool_)), left
