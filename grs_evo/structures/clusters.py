"""Clusters of lattice sites: pairs, triplets and quadruplets to given radii, in orbits of the lattice's symmetry.

A site of the infinite lattice is a row (k, t): site k of the parent cell, shifted by the whole lattice vector t. All
members of an orbit list their sites in the order of the first one's equivalent sites, so that a decoration (which
element on which place) means the same in each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.structures.neighbours import neighbours
from grs_evo.structures.structure import Structure
from grs_evo.structures.symmetry import ask_spglib

Rows = NDArray[np.int64]

# Sites within the reach of one.
MOST_NEIGHBOURS = 1000
# Clusters of one order in a parent cell, at most: some seconds.
MOST_CLUSTERS = 50_000
_SYMPREC = 1e-4  # Å
# Distances within this share of each other are one shell.
_SAME_DISTANCE = 1e-4
# Share by which the volume of a cell with empty sites may differ from the lattice's.
_SWOLLEN = 0.1
# Neighbours that tell how a structure is turned: up to this multiple of the nearest distance, and alike in squares of
# distances within this share.
_NEAR, _LIKE = 1.6, 0.25
# Fraction of the shortest distance between sites by which an atom may be off its site.
_OFF_SITE = 0.35


@dataclass(frozen=True, eq=False)
class Orbit:
    """Clusters that the symmetry of the lattice makes equal."""

    radius: float  # Å, longest distance between two of its sites; 0 for single sites
    members: Rows  # (n_members, order, 4) rows (k, t) of one parent cell's clusters, in equivalent order
    permutations: Rows  # (n_permutations, order) of the places, by operations that map a member onto itself

    @property
    def order(self) -> int:
        return int(self.members.shape[1])


class Placed(NamedTuple):
    """A structure as a supercell of a parent lattice."""

    form: Rows  # (3, 3) its vectors in the parent's
    rows: Rows  # (n_atoms, 4) site of the parent and lattice vector of each atom


def orbits(
    cell: NDArray[np.float64],
    sites: NDArray[np.float64],
    kinds: NDArray[np.integer],
    active: NDArray[np.bool_],
    radii: Sequence[float],
) -> list[Orbit]:
    """Single sites, pairs, … of a parent lattice, by order and radius.

    Parameters
    ----------
    cell, sites : (3, 3) Å and (n, 3) fractional
    kinds : (n,) the same number for sites that hold the same
    active : (n,) which sites take part; those with one element only do not
    radii : Å, longest distance between two sites of a pair, a triplet, …

    Raises
    ------
    InputError
        Radii with more than `MOST_CLUSTERS` clusters; a cell without symmetry operations.
    """
    images, shifts = _operations(cell, sites, kinds)
    found: list[Orbit] = []
    for order in range(1, len(radii) + 2):
        reach = 0.0 if order == 1 else float(radii[order - 2])
        left = set(_clusters(cell, sites, active, order, reach))
        made = []
        while left:
            first = np.array(min(left), np.int64).reshape(order, 4)
            orbit = _orbit(first, images, shifts, _radius(cell, sites, first))
            left -= {key_of(one) for one in orbit.members}
            made.append(orbit)
        found += sorted(made, key=lambda one: (round(one.radius, 4), len(one.members), one.members.tolist()))
    return found


def _operations(cell: NDArray[np.float64], sites: NDArray[np.float64], kinds: NDArray[np.integer]) -> tuple[Rows, Rows]:
    """What each operation makes of a row: (n_op, n) the site; (n_op, n + 3, 3) shift of each site, then rotation."""
    symmetry = ask_spglib("get_symmetry", cell, sites, kinds, symprec=_SYMPREC)
    if symmetry is None:
        raise InputError("lattice: spglib finds no symmetry operations; check cell and positions [Å]")
    turned = np.asarray(symmetry["rotations"], np.int64)
    moved = np.einsum("oij,kj->oki", turned, sites) + np.asarray(symmetry["translations"])[:, None, :]
    gaps = moved[:, :, None, :] - sites[None, None, :, :]
    apart = np.abs((gaps - np.rint(gaps)) @ cell).max(-1)
    image = apart.argmin(-1)
    shift = np.rint(np.take_along_axis(gaps, image[:, :, None, None], 2)[:, :, 0]).astype(np.int64)
    return image.astype(np.int64), np.concatenate([shift, turned.transpose(0, 2, 1)], axis=1)


def _standard(rows: Rows) -> Rows:
    """A cluster sorted, and shifted such that its first site is in the home cell."""
    ordered = rows[np.lexsort((rows[:, 0], rows[:, 3], rows[:, 2], rows[:, 1]))].copy()
    ordered[:, 1:] -= ordered[0, 1:].copy()
    return ordered


def key_of(rows: Rows) -> tuple[int, ...]:
    """The same for a cluster and its translations, in whatever order its sites are listed."""
    return tuple(_standard(rows).ravel().tolist())


def _orbit(first: Rows, images: Rows, shifts: Rows, radius: float) -> Orbit:
    n = images.shape[1]
    members: dict[tuple[int, ...], Rows] = {}
    permutations: set[tuple[int, ...]] = set()
    own = tuple(first.ravel().tolist())
    for image, shift in zip(images, shifts, strict=True):
        rows = np.empty_like(first)
        rows[:, 0] = image[first[:, 0]]
        rows[:, 1:] = first[:, 1:] @ shift[n:] + shift[first[:, 0]]
        order = np.lexsort((rows[:, 0], rows[:, 3], rows[:, 2], rows[:, 1]))
        rows[:, 1:] -= rows[order[0], 1:].copy()
        key = tuple(rows[order].ravel().tolist())
        members.setdefault(key, rows)
        if key == own:
            permutations.add(tuple(order.tolist()))
    return Orbit(radius, np.array([members[key] for key in sorted(members)]), np.array(sorted(permutations), np.int64))


def _radius(cell: NDArray[np.float64], sites: NDArray[np.float64], rows: Rows) -> float:
    places = (sites[rows[:, 0]] + rows[:, 1:]) @ cell
    return float(np.linalg.norm(places[:, None] - places[None], axis=-1).max())


def distances(cell: NDArray[np.float64], sites: NDArray[np.float64], rows: Rows) -> NDArray[np.float64]:
    """Between the sites of a cluster, each pair once, Å."""
    places = (sites[rows[:, 0]] + rows[:, 1:]) @ cell
    first, second = np.triu_indices(len(rows), 1)
    found: NDArray[np.float64] = np.linalg.norm(places[first] - places[second], axis=1)
    return found


def _clusters(
    cell: NDArray[np.float64], sites: NDArray[np.float64], active: NDArray[np.bool_], order: int, reach: float
) -> list[tuple[int, ...]]:
    """All clusters of one order whose first site, in `_standard`'s order, is in the home cell."""
    reach *= 1.0 + _SAME_DISTANCE
    around = 4.2 * reach**3 * active.sum() / abs(np.linalg.det(cell))
    if around > MOST_NEIGHBOURS:
        raise InputError(
            f"clusters: about {around:.0f} sites are within {reach:.4g} Å of a site; at most {MOST_NEIGHBOURS} are "
            "allowed; take a shorter radius"
        )
    spans = np.floor(reach * np.linalg.norm(np.linalg.inv(cell), axis=0)).astype(int) + 1
    grid = np.stack(np.meshgrid(*(np.arange(-s, s + 1) for s in spans), indexing="ij"), -1).reshape(-1, 3)
    rows = np.array([(k, *t) for t in grid.tolist() for k in np.flatnonzero(active).tolist()], np.int64).reshape(-1, 4)
    places = (sites[rows[:, 0]] + rows[:, 1:]) @ cell
    found: list[tuple[int, ...]] = []
    for k in np.flatnonzero(active).tolist():
        home = next(i for i, row in enumerate(rows.tolist()) if row == [k, 0, 0, 0])
        later = np.arange(home + 1, len(rows))  # rows are in the order of t, then k
        later = later[np.linalg.norm(places[later] - places[home], axis=1) <= reach]
        near = np.linalg.norm(places[later][:, None] - places[later][None], axis=-1) <= reach
        chosen: list[tuple[int, ...]] = [(home,)]
        allowed = [np.ones(len(later), bool)]
        for _ in range(order - 1):
            grown, limits = [], []
            for cluster, mask in zip(chosen, allowed, strict=True):
                for j in np.flatnonzero(mask).tolist():
                    grown.append((*cluster, int(later[j])))
                    limits.append(mask & near[j] & (np.arange(len(later)) > j))
            chosen, allowed = grown, limits
            if len(chosen) > MOST_CLUSTERS:
                raise InputError(
                    f"clusters: within {reach:.3g} Å a site has more than {MOST_CLUSTERS} clusters of {order} sites; "
                    "take a shorter radius"
                )
        found += [tuple(rows[list(cluster)].ravel().tolist()) for cluster in chosen]
    return found


def shells(cell: NDArray[np.float64], sites: NDArray[np.float64], reach: float) -> list[float]:
    """Distances between sites up to `reach`, Å, each once."""
    pairs = _clusters(cell, sites, np.ones(len(sites), np.bool_), 2, reach)
    lengths = sorted(_radius(cell, sites, np.array(one, np.int64).reshape(2, 4)) for one in pairs)
    return [r for k, r in enumerate(lengths) if k == 0 or r > lengths[k - 1] * (1.0 + _SAME_DISTANCE)]


# ---------------------------------------------------------------------------------------------------------------------
# supercells


def placed(structure: Structure, cell: NDArray[np.float64], sites: NDArray[np.float64], source: str) -> Placed:
    """Which site of the lattice each atom sits on.

    The structure may be shifted, swelled or shrunk, and its atoms may be off their sites by a third of the distance
    between sites; if it is turned against the lattice, its own lattice and this one are both brought into the standard
    orientation first.

    Raises
    ------
    InputError
        It is no supercell of the lattice with one atom on each site.
    """
    found = _placed(structure, cell, sites)
    if found is None:
        standard, ours = _standard_turn(structure.cell, structure.positions), _standard_turn(cell, sites @ cell)
        if standard is not None and ours is not None:
            found = _placed(_turned(structure, standard @ ours.T), cell, sites)
    if found is None and structure.pbc.all():
        ways = (_placed(_turned(structure, turn), cell, sites) for turn in _turns(structure, cell, sites))
        found = next((one for one in ways if one is not None), None)
    if found is None:
        raise InputError(
            f"{source}: is no cell of the target's lattice with an atom on each site; clusters are counted on one only"
        )
    return found


def _standard_turn(cell: NDArray[np.float64], positions: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """(3, 3) what turns rows of coordinates into spglib's standard orientation, whatever sits on the sites."""
    dataset = ask_spglib("get_symmetry_dataset", cell, positions @ np.linalg.inv(cell), None, symprec=0.05)
    if dataset is None:
        return None
    turn = dataset["std_rotation_matrix"] if isinstance(dataset, dict) else dataset.std_rotation_matrix
    return np.asarray(turn, np.float64).T


def filled(structure: Structure, cell: NDArray[np.float64], sites: NDArray[np.float64], vacancy: int) -> Structure:
    """The structure with a vacancy on each site of the lattice without an atom; as it is where it is no cell of it.

    It may be shifted, swelled, shrunk or turned.

    Parameters
    ----------
    vacancy : species of vacancies
    """
    if not structure.pbc.all():
        return structure
    ratio = structure.volume / float(abs(np.linalg.det(cell)))
    numbers = range(max(1, round(ratio * (1.0 - _SWOLLEN))), round(ratio * (1.0 + _SWOLLEN)) + 1)
    possible = sorted((n for n in numbers if n * len(sites) >= structure.n_atoms), key=lambda n: abs(n - ratio))
    unturned: NDArray[np.float64] = np.eye(3)
    turned = (_turned(structure, turn) for turn in chain([unturned], _turns(structure, cell, sites)))
    ways = (_rows(one, cell, sites, n) for one in turned for n in possible)
    found = next((one for one in ways if one is not None), None)
    if found is None:
        return structure
    form, rows, shift = found
    spans = [np.arange(low, high + 1) for low, high in zip(*_reach(form), strict=True)]
    inside = np.stack(np.meshgrid(*spans, indexing="ij"), -1).reshape(-1, 3)
    _, first = np.unique(_keys(np.insert(inside, 0, 0, axis=1), form), return_index=True)
    every = np.array([(k, *t) for t in inside[np.sort(first)].tolist() for k in range(len(sites))], np.int64)
    empty = every[~np.isin(_keys(every, form), _keys(rows, form))]
    places = (sites[empty[:, 0]] + empty[:, 1:] + shift) @ np.linalg.inv(form) % 1.0
    return structure.replace(
        positions=np.concatenate([structure.positions, places @ structure.cell]),
        species=np.concatenate([structure.species, np.full(len(empty), vacancy, np.int32)]),
    )


def _turns(
    structure: Structure, cell: NDArray[np.float64], sites: NDArray[np.float64]
) -> Iterator[NDArray[np.float64]]:
    """(3, 3) what may turn rows of coordinates onto the lattice: three neighbours of an atom onto those of a site.

    Symmetry tells it for a lattice whose sites are all there, but not where some are empty or atoms are off them.
    """
    lattice = Structure(sites @ cell, cell, np.zeros(len(sites), np.int32), np.ones(3, np.bool_))
    near = _NEAR * shells(cell, sites, 2.0 * abs(np.linalg.det(cell) / len(sites)) ** (1 / 3))[0]
    ours, theirs = neighbours(structure, near), neighbours(lattice, near)
    seen: set[tuple[int, ...]] = set()
    most = np.bincount(ours.first, minlength=structure.n_atoms).argmax()
    vectors = ours.vectors[ours.first == most]
    vectors = vectors[np.linalg.norm(vectors, axis=1).argsort(kind="stable")]
    three = next((v for v in map(np.array, combinations(vectors, 3)) if _apart(v)), None)
    if three is None:
        return
    wanted = three @ three.T
    for site in range(len(sites)):
        others = theirs.vectors[theirs.first == site]
        products = others @ others.T
        like = [np.abs(np.diag(products) - wanted[k, k]) < _LIKE * wanted[k, k] for k in range(3)]
        for i, j in np.argwhere(like[0][:, None] & like[1] & (np.abs(products - wanted[0, 1]) < _LIKE * wanted[0, 0])):
            for k in np.flatnonzero(
                like[2]
                & (np.abs(products[i] - wanted[0, 2]) < _LIKE * wanted[0, 0])
                & (np.abs(products[j] - wanted[1, 2]) < _LIKE * wanted[0, 0])
            ):
                left, _, right = np.linalg.svd(three.T @ others[[i, j, k]])
                turn = left @ right
                key = tuple(np.rint(10.0 * turn).astype(int).ravel().tolist())
                if np.linalg.det(turn) > 0 and key not in seen:
                    seen.add(key)
                    yield turn


def _turned(structure: Structure, turn: NDArray[np.float64]) -> Structure:
    return structure.replace(positions=structure.positions @ turn, cell=structure.cell @ turn)


def _apart(vectors: NDArray[np.float64]) -> bool:
    """Whether three vectors span space."""
    return bool(abs(np.linalg.det(vectors)) > 0.2 * np.prod(np.linalg.norm(vectors, axis=1)))


def _reach(form: Rows) -> tuple[Rows, Rows]:
    """Lowest and highest parent cells that a supercell reaches along each of the parent's vectors."""
    return np.minimum(form, 0).sum(0), np.maximum(form, 0).sum(0)


def _placed(structure: Structure, cell: NDArray[np.float64], sites: NDArray[np.float64]) -> Placed | None:
    n_cells, rest = divmod(structure.n_atoms, len(sites))
    if rest or not n_cells or not structure.pbc.all():
        return None
    found = _rows(structure, cell, sites, n_cells)
    return None if found is None else Placed(*found[:2])


def _rows(
    structure: Structure, cell: NDArray[np.float64], sites: NDArray[np.float64], n_cells: int
) -> tuple[Rows, Rows, NDArray[np.float64]] | None:
    """`Placed` of a structure with an atom, or none, on each site, and by how much its sites are shifted, (3,)."""
    scale = (abs(np.linalg.det(cell)) * n_cells / structure.volume) ** (1 / 3)
    inverse = np.linalg.inv(cell)
    form = np.rint(structure.cell * scale @ inverse).astype(np.int64)
    if abs(round(float(np.linalg.det(form.astype(np.float64))))) != n_cells:
        return None
    # small strains are taken out: only the whole numbers count
    scaled = structure.positions @ np.linalg.inv(structure.cell) @ form
    spacing = shells(cell, sites, 2.0 * abs(np.linalg.det(cell) / len(sites)) ** (1 / 3))[0]
    for start in range(len(sites)):
        gaps = (scaled - scaled[0] + sites[start])[:, None] - sites[None]
        apart = np.linalg.norm((gaps - np.rint(gaps)) @ cell, axis=-1)
        # the first atom may be off its site: the mean shift of all is taken out
        nearest = apart.argmin(1)
        own = np.take_along_axis(gaps, nearest[:, None, None], 1)[:, 0]
        off = own - np.rint(own)
        if (np.linalg.norm((off - off.mean(0)) @ cell, axis=1) > _OFF_SITE * spacing).any():
            continue
        rows = np.concatenate([nearest[:, None], np.rint(own)], axis=1).astype(np.int64)
        if len(np.unique(_keys(rows, form))) == len(rows):
            return form, rows, scaled[0] - sites[start] + off.mean(0)
    return None


def _keys(rows: Rows, form: Rows) -> Rows:
    """(…,) a number for each row (…, 4) that is the same for rows a vector of the supercell apart."""
    volume = round(float(np.linalg.det(form.astype(np.float64))))
    adjugate = np.rint(np.linalg.inv(form.astype(np.float64)) * volume).astype(np.int64)
    inside = (rows[..., 1:] @ adjugate) % abs(volume)
    keys: Rows = ((rows[..., 0] * abs(volume) + inside[..., 0]) * abs(volume) + inside[..., 1]) * abs(volume) + inside[
        ..., 2
    ]
    return keys


def in_supercell(orbit: Orbit, at: Placed) -> NDArray[np.int32]:
    """(n_cells * n_members, order) atoms of all clusters of an orbit in a supercell; images of one atom may meet."""
    keys = _keys(at.rows, at.form)
    order = np.argsort(keys)
    origins = at.rows[at.rows[:, 0] == at.rows[0, 0]][:, 1:]
    rows = np.broadcast_to(orbit.members, (len(origins), *orbit.members.shape)).copy()
    rows[..., 1:] += origins[:, None, None, :]
    atoms = order[np.searchsorted(keys, _keys(rows, at.form), sorter=order)]
    return atoms.reshape(-1, orbit.order).astype(np.int32)


def elongation(structure: Structure) -> float:
    """How much nearer a cell's images are than those of the most compact cell of its volume: 1 for that, fcc, or more.

    1 where there is not a period in all directions.
    """
    return _elongation(structure.cell.tobytes()) if structure.pbc.all() else 1.0


@lru_cache(maxsize=1024)
def _elongation(cell: bytes) -> float:
    vectors = np.frombuffer(cell).reshape(3, 3)
    return float((2**0.5 * abs(np.linalg.det(vectors))) ** (1 / 3) / shortest_vector(vectors))


def shortest_vector(cell: NDArray[np.float64]) -> float:
    """Å, of all lattice vectors of a cell the shortest: where a site sees its own image."""
    return shells(cell, np.zeros((1, 3)), 1.2 * abs(np.linalg.det(cell)) ** (1 / 3))[0]
