"""Cluster correlations of an alloy on its lattice: what is wanted, what a cell has, and tables for compiled code.

Compared is the deviation of each orbit: the root mean square, over all products of orthonormal point functions, of how
far its correlations are off, without those of the clusters within its clusters (of pairs of equal fractions it is that
of the Warren–Cowley orders, over n − 1 elements). The term is the root of a weighted mean of squares:

* Pairs of three shells count alike, for that is how short-range order is read, and farther ones a tenth. Measured by
  χ², a shell with few pairs, as the second of fcc and bcc, is left at two or three times the order of the others.
* Triplets and quadruplets count by their number over the product of the distances between their sites: many wide
  orbits would otherwise outweigh the few of near neighbours.
* In a random cell triplets contribute half of what pairs do, and quadruplets half of that.

In this unit, the spread of single environments of a random alloy, the term is about 1/√N in a random cell of N sites.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise, product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.kernels.ace.tables import aligned
from grs_evo.kernels.lattice.clusters import ClusterTables, clusters_whole, count_clusters, make_cluster_work
from grs_evo.kernels.simd import LANES
from grs_evo.structures.clusters import Orbit, Placed, distances, filled, in_supercell, key_of, orbits, placed
from grs_evo.structures.structure import VACANCY, Structure
from grs_evo.structures.symmetry import ask_spglib, conventional


class AlloySites(NamedTuple):
    """A parent cell with the fractions of its sites, and the short-range order that is wanted."""

    cell: NDArray[np.float64]  # (3, 3) Å
    sites: NDArray[np.float64]  # (n, 3) fractional
    fractions: NDArray[np.float64]  # (n, n_el)
    orders: NDArray[np.float64]  # (n_orders, 4) two elements, shell from 1, Warren–Cowley α; none: a random alloy
    seed: int

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Named arrays; see `from_arrays`."""
        return {f"sites_{name}": np.asarray(value) for name, value in self._asdict().items()}

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> AlloySites | None:
        """The inverse of `to_arrays`; None where there are none."""
        if "sites_cell" not in arrays:
            return None
        values = {name: np.array(arrays[f"sites_{name}"], np.float64) for name in AlloySites._fields[:-1]}
        return AlloySites(**values, seed=int(arrays["sites_seed"]))


def sites_of(structures: Sequence[Structure], weights: Sequence[float], n_el: int) -> AlloySites:
    """The lattice under some structures, and what stands on each kind of its sites.

    Raises
    ------
    InputError
        No structures, or they are no cells of one lattice.
    """
    if not len(structures):
        raise InputError("the target has neither an alloy's lattice nor structures; clusters need one of them")
    first = structures[0]
    found = None
    if first.pbc.all():
        found = conventional(first.cell, first.positions @ np.linalg.inv(first.cell), False, 0.01)
    if found is None:
        raise InputError("the target's structures lie on no lattice with symmetry, which clusters need")
    cell, sites = found
    dataset = ask_spglib("get_symmetry_dataset", cell, sites, None, symprec=0.01)
    kinds = np.asarray(dataset["equivalent_atoms"] if isinstance(dataset, dict) else dataset.equivalent_atoms)
    counts = np.zeros((len(sites), n_el))
    for k, (one, weight) in enumerate(zip(structures, weights, strict=True)):
        at = placed(one, cell, sites, f"target structure {k}")
        np.add.at(counts, (kinds[at.rows[:, 0]], one.species), weight)
    fractions = counts[kinds] / counts[kinds].sum(1, keepdims=True)
    return AlloySites(cell, sites, fractions, np.zeros((0, 4)), 0)


# What clusters of one site more contribute.
_BY_SITE = 0.5
# Shells of pairs that count alike, and what farther ones count.
_ALIKE, _FARTHER = 3, 0.1
_NAMES = {1: "site", 2: "pair", 3: "triplet", 4: "quadruplet"}


@dataclass(frozen=True, eq=False)
class Decorations:
    """How the places of an orbit may be decorated, those apart that no operation of the lattice makes equal."""

    lookup: NDArray[np.int32]  # (n_el**order,) class of each decoration, by Σ element · n_el**place; −1: not allowed
    first: NDArray[np.int64]  # (n_classes, order) the first decoration of each class
    size: NDArray[np.int64]  # (n_classes,) decorations in it
    product: NDArray[np.float64]  # (n_classes,) probability of the class in a random alloy
    n_functions: int  # products of point functions that are not constant on any place
    n_distinct: int  # of those, that no operation of the lattice makes equal


@dataclass(frozen=True, eq=False)
class Clusters:
    """Orbits of an alloy's lattice and what is wanted of each."""

    alloy: AlloySites
    orbits: tuple[Orbit, ...]
    decorations: tuple[Decorations, ...]
    wanted: tuple[NDArray[np.float64], ...]  # share of each class among the clusters of an orbit
    shares: NDArray[np.float64]  # (n_orbits, n_orbits) see `ClusterTables`
    weights: NDArray[np.float64] | None = None  # (n_orbits,) of each orbit over the usual one; None: 1
    seen: dict[bytes, tuple[Placed, ClusterTables]] = field(default_factory=dict, repr=False)  # the last cell met

    @property
    def n_el(self) -> int:
        return int(self.alloy.fractions.shape[1])

    @property
    def n_active(self) -> int:
        """Sites of the parent cell that may hold more than one element."""
        return int(((self.alloy.fractions > 0).sum(1) > 1).sum())


def make_clusters(alloy: AlloySites, radii: Sequence[float]) -> Clusters:
    """Orbits to given radii of pairs, triplets, …, wanted as in the random alloy.

    Raises
    ------
    InputError
        No site may hold several elements; radii that grow with the number of sites, or with too many clusters.
    """
    given = [float(r) for r in radii]
    while given and given[-1] == 0.0:
        given.pop()
    for n, (wide, narrow) in enumerate(pairwise(given), start=2):
        if narrow > wide:
            raise InputError(
                f"{_NAMES[n + 1]}s reach {narrow:g} Å and {_NAMES[n]}s {wide:g} Å; clusters within clusters are needed:"
                f" at most {wide:g} Å is allowed for {_NAMES[n + 1]}s"
            )
    fractions = alloy.fractions
    active = (fractions > 0).sum(1) > 1
    if not active.any():
        raise InputError("no site of the lattice may hold more than one element: there are no clusters to compare")
    _, kinds = np.unique(fractions.round(9), axis=0, return_inverse=True)
    found = orbits(alloy.cell, alloy.sites, kinds.reshape(-1), active, given)
    decorations = tuple(_decorations(one, fractions) for one in found)
    return Clusters(alloy, tuple(found), decorations, tuple(one.product for one in decorations), _own_shares(found))


def _decorations(orbit: Orbit, fractions: NDArray[np.float64]) -> Decorations:
    n_el = fractions.shape[1]
    of_place = fractions[orbit.members[0, :, 0]]
    choices = [np.flatnonzero(row > 0).tolist() for row in of_place]
    lookup = np.full(n_el**orbit.order, -1, np.int32)
    weights = n_el ** np.arange(orbit.order)
    first: list[tuple[int, ...]] = []
    size: list[int] = []
    chance: list[float] = []
    for one in product(*choices):
        if lookup[int(np.dot(one, weights))] >= 0:
            continue
        codes = np.unique(np.array(one)[orbit.permutations] @ weights)
        lookup[codes] = len(first)
        first.append(one)
        size.append(len(codes))
        chance.append(len(codes) * float(np.prod(of_place[np.arange(orbit.order), one])))
    functions = [len(one) - 1 for one in choices]
    distinct = _distinct(orbit.permutations, functions)
    return Decorations(lookup, np.array(first), np.array(size), np.array(chance), int(np.prod(functions)), distinct)


def _distinct(permutations: NDArray[np.integer], choices: Sequence[int]) -> int:
    """Ways to choose on each place, those that permutations of the places make equal once (Burnside's lemma)."""
    total = 0
    for one in permutations.tolist():
        seen: set[int] = set()
        ways = 1
        for place in range(len(one)):
            if place not in seen:
                ways *= choices[place]
            while place not in seen:
                seen.add(place)
                place = one[place]
        total += ways
    return total // len(permutations)


def _own_shares(found: Sequence[Orbit]) -> NDArray[np.float64]:
    """χ² of an orbit is the sum of what belongs to each of its sub-clusters; the inverse of that."""
    number = {key_of(member): k for k, one in enumerate(found) for member in one.members}
    within = np.zeros((len(found), len(found)))
    for k, one in enumerate(found):
        for n in range(1, one.order + 1):
            for places in combinations(range(one.order), n):
                within[k, number[key_of(one.members[0, list(places)])]] += 1.0
    shares: NDArray[np.float64] = np.rint(np.linalg.inv(within))
    return shares


def with_wanted(clusters: Clusters, structures: Sequence[Structure], weights: Sequence[float]) -> Clusters:
    """The same orbits, wanted as in given cells (weights: of each cell's atoms)."""
    total = [np.zeros(len(one.size)) for one in clusters.decorations]
    norm = 0.0
    for structure, weight in zip(structures, weights, strict=True):
        norm += weight * structure.n_atoms
        for sums, shares in zip(total, class_shares(clusters, structure), strict=True):
            sums += weight * structure.n_atoms * shares
    wanted = tuple(sums / norm for sums in total)
    return replace(clusters, wanted=wanted, seen={})


def with_weights(clusters: Clusters, weights: Mapping[Any, Sequence[float]]) -> Clusters:
    """The same orbits with weights of pairs, triplets and quadruplets, by radius; those that are not given have 1.

    Raises
    ------
    InputError
        More weights than orbits.
    """
    found = np.ones(len(clusters.orbits))
    for name, given in weights.items():
        own = [k for k, one in enumerate(clusters.orbits) if f"{_NAMES[one.order]}s" == name]
        if len(given) > len(own):
            raise InputError(f"weights.{name}: gives {len(given)} weights; the lattice has {len(own)} orbits of them")
        found[own[: len(given)]] = given
    return replace(clusters, weights=found, seen={})


# ---------------------------------------------------------------------------------------------------------------------
# cells


def cluster_tables(
    clusters: Clusters, at: Placed, weight: float = 1.0, scale: NDArray[np.float64] | None = None
) -> ClusterTables:
    """The clusters of a supercell for compiled code.

    Parameters
    ----------
    scale : (n_orbits,) instead of the usual one
    """
    n_el, width = clusters.n_el, max(one.order for one in clusters.orbits)
    sites: list[NDArray[np.int32]] = []
    lookup: list[NDArray[np.int64]] = []
    wanted, inverse, starts = [], [], [0]
    for orbit, ways, shares in zip(clusters.orbits, clusters.decorations, clusters.wanted, strict=True):
        atoms = in_supercell(orbit, at)
        rows = np.zeros((len(atoms), width + 1), np.int32)
        rows[:, : orbit.order] = atoms
        rows[:, width] = len(lookup)
        sites.append(rows)
        for place in range(orbit.order):
            first = np.moveaxis(ways.lookup.reshape((n_el,) * orbit.order), -1 - place, -1).ravel()
            lookup.append(np.tile(first + starts[-1], n_el ** (width - orbit.order)))
        filling = np.zeros(-len(shares) % LANES)
        wanted.append(np.concatenate([len(atoms) * shares, filling]))
        # classes of several decorations: each has an equal part of the difference
        inverse.append(np.concatenate([1.0 / (len(atoms) ** 2 * ways.product), filling]))
        starts.append(starts[-1] + len(wanted[-1]))
    listed = np.concatenate(sites)
    own, ends = _own(
        listed, np.repeat([one.order for one in clusters.orbits], [len(rows) for rows in sites]), len(at.rows)
    )
    return ClusterTables(
        weight=float(weight),
        n_el=n_el,
        sites=listed,
        own=own,
        ends=ends,
        lookup=np.array(lookup),
        wanted=_aligned(np.concatenate(wanted)),
        inverse=_aligned(np.concatenate(inverse)),
        starts=np.array(starts, np.int64),
        shares=clusters.shares,
        scale=scale if scale is not None else _scale(clusters),
    )


def _scale(clusters: Clusters) -> NDArray[np.float64]:
    """(n_orbits,) factor of χ² of what is an orbit's own in the square of the term, see the module's head."""
    alloy, found = clusters.alloy, clusters.orbits
    orders = np.array([one.order for one in found])
    functions = np.array([one.n_functions for one in clusters.decorations], np.float64)
    per_site = np.array([len(one.members) for one in found]) / clusters.n_active
    # squared deviation of an orbit in a random cell of one site
    chance = np.array([one.n_distinct for one in clusters.decorations]) / (functions * per_site)
    shells = np.unique(np.round([one.radius for one in found if one.order == 2], 4))
    counted = per_site.copy()
    for k, one in enumerate(found):
        if one.order == 2:
            counted[k] = 1.0 if np.searchsorted(shells, round(one.radius, 4)) < _ALIKE else _FARTHER
        elif one.order > 2:
            counted[k] /= np.prod(distances(alloy.cell, alloy.sites, one.members[0]))
    scale = np.zeros(len(found))
    shares = {n: _BY_SITE ** (n - 2) for n in sorted(set(orders.tolist())) if n > 1} or {1: 1.0}
    for n, share in shares.items():
        own = orders == n
        total = float((counted * chance)[own].sum())
        scale[own] = share / sum(shares.values()) * counted[own] / (functions[own] * total)
    return scale if clusters.weights is None else scale * clusters.weights**2


def _aligned(values: NDArray[np.float64]) -> NDArray[np.float64]:
    made = aligned(len(values))
    made[:] = values
    return made


def _own(
    sites: NDArray[np.int32], order: NDArray[np.int64], n_sites: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The clusters of each site, each once, as `ClusterTables.own` and `ends` have them."""
    width = sites.shape[1] - 1
    parts = []
    ends = np.zeros((n_sites, width + 1), np.int32)
    for n in range(1, width + 1):
        clusters = sites[order == n]
        first, entries = [], []
        for place in range(n):
            others = [q for q in range(n) if q != place]
            mine = clusters[:, place]
            again = clusters[:, others] == mine[:, None]
            seen = (clusters[:, :place] == mine[:, None]).any(1)
            rest = np.where(again, -1, clusters[:, others])
            first.append(mine[~seen])
            entries.append(np.concatenate([rest, clusters[:, [width]] + place], 1)[~seen])
        owner, entry = np.concatenate(first), np.concatenate(entries).astype(np.int32)
        by_site = np.argsort(owner, kind="stable")
        counts = np.bincount(owner, minlength=n_sites)
        ends[:, n] = ends[:, n - 1] + n * counts
        parts.append((owner[by_site], entry[by_site], counts))
    own = np.zeros((n_sites, int(ends[:, -1].max())), np.int32)
    for n, (owner, entry, counts) in enumerate(parts, start=1):
        rank = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        columns = (ends[owner, n - 1] + n * rank)[:, None] + np.arange(n)
        own[owner[:, None], columns] = entry
    return own, ends


def tables_of(clusters: Clusters, structure: Structure, source: str) -> ClusterTables:
    """Tables of the cell that a structure is; those of the last one are kept.

    Raises
    ------
    InputError
        It is no cell of the lattice, or holds an element where the alloy has none.
    """
    key = structure.cell.tobytes() + structure.positions.tobytes() + structure.pbc.tobytes()
    if key not in clusters.seen:
        at = placed(structure, clusters.alloy.cell, clusters.alloy.sites, source)
        clusters.seen.clear()
        clusters.seen[key] = (at, cluster_tables(clusters, at))
    at, tables = clusters.seen[key]
    allowed = clusters.alloy.fractions[at.rows[:, 0], structure.species] > 0
    if not allowed.all():
        raise InputError(f"{source}: atom {int(np.argmin(allowed))} is of an element that the target lacks on its site")
    return tables


def with_vacancies(alloy: AlloySites | None, structure: Structure, elements: Sequence[str]) -> Structure:
    """A cell of an alloy that has vacancies, with these on its empty sites; every other structure as it is."""
    if alloy is None or VACANCY not in elements:
        return structure
    return filled(structure, alloy.cell, alloy.sites, list(elements).index(VACANCY))


def cluster_value(clusters: Clusters, structure: Structure, source: str = "structure") -> float:
    """The term, see the module's head."""
    tables = tables_of(clusters, structure, source)
    species = np.ascontiguousarray(structure.species, np.int32)
    return float(clusters_whole(tables, species, make_cluster_work(tables)))


def class_shares(clusters: Clusters, structure: Structure, source: str = "structure") -> list[NDArray[np.float64]]:
    """Share of each class of decorations among the clusters of each orbit."""
    tables = tables_of(clusters, structure, source)
    work = make_cluster_work(tables)
    count_clusters(tables, np.ascontiguousarray(structure.species, np.int32), work)
    counts = work.counts[0]
    parts = [counts[a : a + len(ways.size)] for a, ways in zip(tables.starts, clusters.decorations, strict=False)]
    return [part / part.sum() for part in parts]


def correlations(
    clusters: Clusters, structure: Structure, functions: Sequence[NDArray[np.float64]]
) -> list[NDArray[np.float64]]:
    """Means of products of point functions for each orbit, one for each set of functions that symmetry tells apart.

    Parameters
    ----------
    functions : of each site of the parent cell, (n_functions, n_el); the constant one is left out
    """
    found = []
    for orbit, ways, shares in zip(
        clusters.orbits, clusters.decorations, class_shares(clusters, structure), strict=True
    ):
        on_place = [functions[k] for k in orbit.members[0, :, 0].tolist()]
        ranges = product(*(range(len(one)) for one in on_place))
        sets = {min(tuple(np.array(one)[places].tolist()) for places in orbit.permutations) for one in ranges}
        values = []
        for chosen in sorted(sets):
            total = np.zeros(len(shares))
            for places in orbit.permutations:
                of = np.array(chosen)[places]
                total += np.prod([on_place[q][of[q]][ways.first[:, q]] for q in range(orbit.order)], axis=0)
            values.append(float(total @ shares) / len(orbit.permutations))
        found.append(np.array(values))
    return found


def orbit_report(
    clusters: Clusters, structure: Structure, elements: Sequence[str], source: str
) -> list[dict[str, Any]]:
    """A row for each orbit of pairs and more: how far its correlations are from the wanted ones, and the orders α.

    The deviation is the root mean square over products of orthonormal point functions; α = 1 − p / (c c') of each pair
    of elements (Warren and Cowley), of pairs of like sites only.
    """
    tables = tables_of(clusters, structure, source)
    work = make_cluster_work(tables)
    count_clusters(tables, np.ascontiguousarray(structure.species, np.int32), work)
    own = np.maximum(clusters.shares @ work.chi, 0.0)
    rows = []
    for k, (orbit, ways) in enumerate(zip(clusters.orbits, clusters.decorations, strict=True)):
        if orbit.order == 1:
            continue
        classes = slice(int(tables.starts[k]), int(tables.starts[k]) + len(ways.size))
        count = work.counts[0, classes]
        row: dict[str, Any] = {
            "clusters": f"{_NAMES[orbit.order]}s",
            "radius": orbit.radius,
            "per_site": len(orbit.members) / clusters.n_active,
            "deviation": float(np.sqrt(own[k] / ways.n_functions)),
        }
        row["orders"] = {}
        if orbit.order == 2:
            alpha = 1.0 - count / count.sum() / ways.product
            row["orders"] = {
                "-".join(elements[e] for e in one): float(a) for one, a in zip(ways.first.tolist(), alpha, strict=True)
            }
        rows.append(row)
    return rows
