"""All flips and swaps of a lattice, as the compiled chains take them; exchanges of whole orbits of a subgroup."""

from __future__ import annotations

from itertools import combinations
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.kernels.lattice.moves import Moves
from grs_evo.loss.lattice import LatticeObjective
from grs_evo.structures.composition import Composition, draw_occupation
from grs_evo.structures.symmetry import ask_spglib

_SYMPREC = 1e-3  # Å
# Operations of a subgroup that occupations may keep, at most; and tries at finding one.
_MOST_OPERATIONS = 16
_TRIES = 50


def make_moves(lattice: LatticeObjective, rule: Composition) -> Moves:
    """All flips and swaps that the sites and the composition could ever allow.

    Swaps alone where the composition is fixed, flips alone where it is free, both where it has limits.

    Raises
    ------
    InputError
        No occupation keeps both composition and allowed elements, or there is only one.
    """
    n, n_el = lattice.n_sites, lattice.n_elements
    bounds = rule.bounds(n)
    valid = draw_occupation(np.random.default_rng(0), rule, lattice.allowed, n)
    if bounds is None or valid is None:
        raise InputError(f"lattice: no occupation of the {n} sites keeps both the composition and the allowed elements")
    least, most = (np.array(b, np.int64) for b in bounds)
    choices = lattice.allowed.sum(1)
    table: list[tuple[int, int, int]] = []
    if not rule.fixed:
        table += [(0, i, shift) for i in range(n) if choices[i] > 1 for shift in range(1, n_el)]
    within = bool((least > 0).any() or (most < n).any())
    if rule.fixed or within:
        common = (lattice.allowed[:, None, :] & lattice.allowed[None, :, :]).sum(-1)
        table += [(1, i, j) for i, j in combinations(range(n), 2) if common[i, j] > 1]
    if not table:
        raise InputError(f"lattice: none of the {n} sites may change; there is nothing to search")
    return Moves(
        table=np.array(table, np.int32),
        allowed=np.ascontiguousarray(lattice.allowed),
        least=least,
        most=most,
        legal=valid.astype(np.int32),
        uniform=not rule.fixed,
        orbits=np.zeros((0, 1), np.int32),
    )


def symmetric_moves(rng: np.random.Generator, lattice: LatticeObjective, rule: Composition) -> Moves | None:
    """Exchanges of whole orbits of a random subgroup of the sites' symmetry, which all occupations then keep.

    Subgroups have two to `_MOST_OPERATIONS` operations, of which none is a translation: that would be a smaller cell.
    None where no such subgroup was found whose orbits hold the composition.
    """
    bounds = rule.bounds(lattice.n_sites)
    permutations, translations = _site_operations(lattice)
    if bounds is None or not rule.fixed or len(permutations) < 2:
        return None
    for _ in range(_TRIES):
        chosen = permutations[rng.integers(len(permutations), size=1 + int(rng.random() < 0.7))]
        group = _closure(chosen, translations)
        if group is None or len(group) < 2:
            continue
        orbits = _orbits_of(group)
        legal = _filled(rng, orbits, bounds[0], lattice.allowed)
        if legal is None:
            continue
        sizes = [len(one) for one in orbits]
        pairs = [(2, i, j) for i, j in combinations(range(len(orbits)), 2) if sizes[i] == sizes[j]]
        if not pairs or len({int(legal[orbit[0]]) for orbit in orbits}) < 2:
            continue
        table = np.zeros((len(orbits), 1 + max(sizes)), np.int32)
        for row, orbit in zip(table, orbits, strict=True):
            row[0] = len(orbit)
            row[1 : 1 + len(orbit)] = orbit
        least, most = (np.array(b, np.int64) for b in bounds)
        allowed = np.ascontiguousarray(lattice.allowed)
        return Moves(np.array(pairs, np.int32), allowed, least, most, legal, False, table)
    return None


_Operations = tuple[NDArray[np.int64], frozenset[bytes]]
# of lattices met before, as long as they are in use
_known: WeakKeyDictionary[LatticeObjective, _Operations] = WeakKeyDictionary()


def _site_operations(lattice: LatticeObjective) -> _Operations:
    """Permutations of the sites (k, n) by the operations that keep them, and those of them that are translations."""
    if lattice not in _known:
        _known[lattice] = _looked_for(lattice)
    return _known[lattice]


def _looked_for(lattice: LatticeObjective) -> _Operations:
    template = lattice.template
    _, kinds = np.unique(lattice.allowed, axis=0, return_inverse=True)
    scaled = template.positions @ np.linalg.inv(template.cell)
    found = ask_spglib("get_symmetry", template.cell, scaled, kinds.reshape(-1) + 1, symprec=_SYMPREC)
    if found is None or not template.pbc.all():
        return np.zeros((0, lattice.n_sites), np.int64), frozenset()
    rows, shifts = [], set()
    for turn, shift in zip(found["rotations"], found["translations"], strict=True):
        gaps = (scaled @ turn.T + shift)[:, None] - scaled[None]
        row = np.linalg.norm((gaps - np.rint(gaps)) @ template.cell, axis=-1).argmin(1).astype(np.int64)
        rows.append(row)
        if (turn == np.eye(3)).all() and (row != np.arange(len(row))).any():
            shifts.add(row.tobytes())
    return np.unique(np.array(rows), axis=0), frozenset(shifts)


def _closure(generators: NDArray[np.int64], forbidden: frozenset[bytes]) -> NDArray[np.int64] | None:
    """The group of some permutations; None where it is too large, or holds a forbidden one."""
    unmoved = np.arange(generators.shape[1])
    known = {unmoved.tobytes(): unmoved}
    new = [unmoved]
    while new:
        made = [one[generator] for one in new for generator in generators]
        new = []
        for one in made:
            key = one.tobytes()
            if key in forbidden:
                return None
            if key not in known:
                known[key] = one
                new.append(one)
        if len(known) > _MOST_OPERATIONS:
            return None
    return np.array(list(known.values()))


def _orbits_of(group: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Sites that the group makes equal, the largest sets first."""
    first = group.min(axis=0)
    orbits = [np.flatnonzero(first == k) for k in np.unique(first)]
    return sorted(orbits, key=lambda one: (-len(one), int(one[0])))


def _filled(
    rng: np.random.Generator, orbits: list[NDArray[np.int64]], counts: NDArray[np.int64], allowed: NDArray[np.bool_]
) -> NDArray[np.int32] | None:
    """Elements for whole orbits in these counts, at random; None where a few tries do not find any."""
    for _ in range(_TRIES):
        left = counts.copy()
        species = np.zeros(len(allowed), np.int32)
        for orbit in orbits:
            fits = np.flatnonzero((left >= len(orbit)) & allowed[orbit].all(axis=0))
            if not len(fits):
                break
            chosen = rng.choice(fits, p=left[fits] / left[fits].sum())
            species[orbit] = chosen
            left[chosen] -= len(orbit)
        else:
            return species
    return None
