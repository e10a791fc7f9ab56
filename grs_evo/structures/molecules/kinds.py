"""The kinds of molecules that a target consists of, and what a structure of whole molecules must keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.structures.composition import largest_remainder
from grs_evo.structures.molecules.bodies import Bodies, bodies_of
from grs_evo.structures.molecules.bonded import Bonded, bond_lengths, bonded
from grs_evo.structures.neighbours import neighbours, stride_for
from grs_evo.structures.structure import Structure, formula_of

Array = NDArray[np.float64]

# A target consists of molecules when so much of its atoms stand in groups that end, of more than one atom; a kind
# is what makes up so much of its groups, two of them at least.
_MOLECULAR, _SHARE, _LEAST = 0.9, 0.04, 2
# Atoms of a molecule, at most: larger ones have conformations of which a target shows a few.
_LARGEST = 60
# Bonds of an atom in the mean, at most, and of how many atoms that is looked at first: those of C60 have three.
_MOST_BONDS, _FEW = 3.5, 500
# Kinds of molecules beside each other, at most, and geometries of each that are kept.
_MOST_KINDS, _GEOMETRIES = 6, 256
# Atoms that are looked at, and environments in which contacts are.
_MOST_ATOMS, _SAMPLE = 20_000, 8_000
# Of all atoms' distances to the nearest one of another molecule, the share below what counts as the shortest.
_LOW = 0.002
# Å to which contacts are looked for, and how much farther than a bond two molecules stand apart at least.
_REACH, _NO_BOND = 5.0, 1.02
# Molecules more or fewer than the target's proportions give, of each kind, among which a number of atoms is looked for.
_AROUND = (-1, 0, 1)


class Kind(NamedTuple):
    """Molecules of one formula."""

    formula: str
    species: NDArray[np.int32]  # (n,) of its atoms, ascending
    geometries: Array  # (m, n, 3) Å about their centres, as the target has them, sorted by what varies most in them
    number: int  # of them that were found


class Found(NamedTuple):
    """What of a target stands in molecules."""

    kinds: tuple[Kind, ...]  # the commonest first; none where the target does not consist of molecules
    why_not: str  # why there are none, for messages
    others: str  # formulas of what else there is, for messages; empty where there is nothing
    contacts: Array  # (n_el, n_el) Å, shortest distances of atoms of different molecules; inf where there are none


@dataclass(frozen=True, eq=False)
class Molecules:
    """What structures that consist of whole molecules keep."""

    kinds: tuple[Kind, ...]
    bonds: Array  # (n_el, n_el) Å, atoms nearer than this are bonded
    contacts: Array  # (n_el, n_el) Å, atoms of different molecules are no nearer than this
    numbers: Mapping[int, tuple[int, ...]]  # atoms of a structure -> molecules of each kind

    def bodies(self, structure: Structure) -> tuple[Bodies, NDArray[np.int64]] | None:
        """The molecules of a structure as bodies, and the kind of each; None where a group is no molecule."""
        found = bonded(structure, self.bonds)
        if found.endless.any():
            return None
        kinds = self._kinds_of(structure, found)
        return None if kinds is None else (bodies_of(found.group, found.positions), kinds)

    def fault(self, structure: Structure) -> str | None:
        """`overlap` where molecules are not whole or too near, `composition` where others are; None: all is well."""
        known = self.bodies(structure)
        if known is None:
            return "overlap"
        bodies, kinds = known
        wanted = self.numbers.get(structure.n_atoms)
        if wanted is None or np.bincount(kinds, minlength=len(self.kinds)).tolist() != list(wanted):
            return "composition"
        whole = structure.replace(positions=bodies.centres[bodies.group] + bodies.arms)
        return "overlap" if len(too_near(whole, bodies.group, self.contacts)[0]) else None

    def _kinds_of(self, structure: Structure, found: Bonded) -> NDArray[np.int64] | None:
        n_el, known = len(self.bonds), {}
        for k, kind in enumerate(self.kinds):
            known[tuple(np.bincount(kind.species, minlength=n_el).tolist())] = k
        counts = _counts(structure, found, n_el).tolist()
        kinds = [known.get(tuple(one), -1) for one in counts]
        return None if min(kinds) < 0 else np.array(kinds, np.int64)


def too_near(
    whole: Structure, group: NDArray[np.int64], contacts: Array
) -> tuple[NDArray[np.int64], NDArray[np.int64], Array, Array]:
    """Pairs of atoms of different molecules, or of a molecule and its image, that are nearer than `contacts` Å.

    Parameters
    ----------
    whole : molecules in one piece

    Returns
    -------
    first, second, (n, 3) vectors from one to the other, (n,) distances, Å; each pair both ways
    """
    pairs = neighbours(whole, float(contacts.max()))
    first, second = pairs.first.astype(np.int64), pairs.second.astype(np.int64)
    near = pairs.distances < contacts[whole.species[first], whole.species[second]]
    first, second, vectors, distances = first[near], second[near], pairs.vectors[near], pairs.distances[near]
    other = _of_others(whole, group, first, second, vectors)
    return first[other], second[other], vectors[other], distances[other]


def _of_others(
    whole: Structure, group: NDArray[np.int64], first: NDArray[np.integer], second: NDArray[np.integer], vectors: Array
) -> NDArray[np.bool_]:
    """(n_pairs,) which pairs belong to different molecules, or to a molecule and its image; molecules in one piece."""
    inside = np.abs(whole.positions[second] - whole.positions[first] - vectors).max(1, initial=0.0) < 1e-6
    return np.asarray(~(inside & (group[first] == group[second])), np.bool_)


def find_molecules(structures: Sequence[Structure], elements: Sequence[str]) -> Found:
    """The molecules that a target consists of."""
    bonds = bond_lengths(elements)
    each = _bonds_of_each(structures[0], bonds)
    if each > _MOST_BONDS:
        why = f"its atoms have {each:.1f} bonds each, as in a metal, a network or a salt"
        return Found((), why, "", np.full_like(bonds, np.inf))
    groups: dict[tuple[int, ...], list[Array]] = {}
    contacts = np.full((len(elements), len(elements)), np.inf)
    looked: list[tuple[Structure, NDArray[np.int64]]] = []
    endless = seen = 0
    for structure in structures:
        if seen >= _MOST_ATOMS:
            break
        structure, inner = _block(structure, float(bonds.max()))
        found = bonded(structure, bonds)
        number = np.bincount(found.group)
        cut = np.bincount(found.group, ~inner) > 0
        without_end = found.endless | (cut & (number > _LARGEST))
        kept = ~(cut & ~without_end)[found.group]
        seen += int(kept.sum())
        endless += int(without_end[found.group].sum())
        _collect(structure, found, ~without_end & ~cut, groups, len(elements))
        looked.append((structure.replace(positions=found.positions), found.group))
    why = _why_not(groups, endless, seen, elements)
    if why:
        return Found((), why, "", contacts)
    total = sum(map(len, groups.values()))
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    main = [one for one in ordered if len(one[1]) >= max(_LEAST, _SHARE * total)]
    kinds = tuple(_kind(counts, found, elements) for counts, found in main)
    rest = [(counts, len(found)) for counts, found in ordered[len(main) :]]
    others = ", ".join(f"{n} {formula_of(np.array(counts), elements)}" for counts, n in rest[:3])
    return Found(kinds, "", others + (", …" if len(rest) > 3 else ""), _contacts(looked, len(elements)))


def _bonds_of_each(structure: Structure, bonds: Array) -> float:
    """Mean number of bonds of an atom, of a few hundred."""
    centres = np.arange(0, structure.n_atoms, stride_for([structure], _FEW))
    pairs = neighbours(structure, float(bonds.max()), centres)
    near = pairs.distances < bonds[structure.species[pairs.first], structure.species[pairs.second]]
    return float(near.sum() / len(centres))


def _counts(structure: Structure, found: Bonded, n_el: int) -> NDArray[np.int64]:
    """(n_groups, n_el) atoms of each element in each group."""
    counts = np.zeros((len(found.endless), n_el), np.int64)
    np.add.at(counts, (found.group, structure.species), 1)
    return counts


def _block(structure: Structure, border: float) -> tuple[Structure, NDArray[np.bool_]]:
    """As many atoms as are looked at, of a larger structure a block without periods, and which of them stand farther
    than `border` Å from where it is cut."""
    if structure.n_atoms <= _MOST_ATOMS:
        return structure, np.ones(structure.n_atoms, np.bool_)
    scaled = structure.positions @ np.linalg.inv(structure.cell)
    scaled -= np.where(structure.pbc, np.floor(scaled), scaled.min(axis=0))
    side = (_MOST_ATOMS / structure.n_atoms) ** (1 / 3)
    chosen = (scaled < side).all(axis=1)
    near = border * np.linalg.norm(np.linalg.inv(structure.cell), axis=0)
    inner = ((scaled > near) & (scaled < side - near)).all(axis=1)
    block = Structure(scaled[chosen] @ structure.cell, structure.cell, structure.species[chosen], np.zeros(3, np.bool_))
    return block, inner[chosen]


def _collect(
    structure: Structure,
    found: Bonded,
    wanted: NDArray[np.bool_],
    groups: dict[tuple[int, ...], list[Array]],
    n_el: int,
) -> None:
    """Add the wanted groups, each with its atoms sorted by element and about their centre."""
    bodies = bodies_of(found.group, found.positions)
    order = np.lexsort((np.arange(structure.n_atoms), structure.species, found.group))
    parts = np.split(bodies.arms[order], np.cumsum(np.bincount(found.group))[:-1])
    counts = _counts(structure, found, n_el).tolist()
    for own, arms, ends in zip(counts, parts, wanted.tolist(), strict=True):
        if ends:
            groups.setdefault(tuple(own), []).append(arms)


def _why_not(groups: dict[tuple[int, ...], list[Array]], endless: int, seen: int, elements: Sequence[str]) -> str:
    """Why a target does not consist of molecules; empty where it does."""
    total = sum(map(len, groups.values()))
    if endless > (1 - _MOLECULAR) * seen:
        return f"{endless} of its {seen} atoms are bonded without end, as in a metal, a network or a salt"
    kinds = {counts: len(found) for counts, found in groups.items() if len(found) >= max(_LEAST, _SHARE * total)}
    in_kinds = sum(n * sum(counts) for counts, n in kinds.items() if sum(counts) > 1)
    single = sum(len(found) for counts, found in groups.items() if sum(counts) == 1)
    if single > (1 - _MOLECULAR) * seen and in_kinds < _MOLECULAR * seen:
        return f"{single} of its {seen} atoms have no bonds"
    if in_kinds < _MOLECULAR * seen or len(kinds) > _MOST_KINDS:
        return f"its bonded groups are of {len(groups)} kinds, none of them common"
    largest = max(kinds, key=sum)
    if sum(largest) > _LARGEST:
        formula = formula_of(np.array(largest), elements)
        return f"its molecules, {formula}, have more than {_LARGEST} atoms, which do not stay in one shape"
    return ""


def _kind(counts: tuple[int, ...], found: list[Array], elements: Sequence[str]) -> Kind:
    kept = np.linspace(0, len(found) - 1, min(len(found), _GEOMETRIES)).round().astype(int)
    geometries = np.array([found[k] for k in kept.tolist()])
    first, second = np.triu_indices(sum(counts), 1)
    distances = np.sqrt(((geometries[:, first] - geometries[:, second]) ** 2).sum(-1))
    if len(first):
        geometries = geometries[np.argsort(distances[:, int(np.argmax(distances.std(0)))], kind="stable")]
    species = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return Kind(formula_of(np.array(counts), elements), species, geometries, len(found))


def _contacts(looked: Sequence[tuple[Structure, NDArray[np.int64]]], n_el: int) -> Array:
    """(n_el, n_el) Å, shortest distances of atoms of different molecules, in structures whose molecules are whole, with
    the molecule of each atom."""
    stride = stride_for([one for one, _ in looked], _SAMPLE)
    nearest: list[Array] = []
    kinds: list[NDArray[np.int32]] = []
    for one, group in looked:
        centres = np.arange(0, one.n_atoms, stride)
        pairs = neighbours(one, _REACH, centres)
        other = _of_others(one, group, pairs.first, pairs.second, pairs.vectors)
        found = np.full((one.n_atoms, n_el), np.inf)
        np.minimum.at(found, (pairs.first[other], one.species[pairs.second[other]]), pairs.distances[other])
        nearest.append(found[centres])
        kinds.append(one.species[centres])
    distances, species = np.concatenate(nearest), np.concatenate(kinds)
    contacts = np.full((n_el, n_el), np.inf)
    for a, b in product(range(n_el), repeat=2):
        own_distances = distances[species == a, b]
        own_distances = own_distances[np.isfinite(own_distances)]
        if len(own_distances):
            contacts[a, b] = np.quantile(own_distances, _LOW, method="higher")
    return np.asarray(np.minimum(contacts, contacts.T), np.float64)


def make_molecules(
    found: Found, elements: Sequence[str], sizes: Sequence[int], share: float, counts: Mapping[int, Sequence[int]]
) -> Molecules:
    """What structures with the target's molecules keep, at sizes that whole molecules can have.

    Parameters
    ----------
    sizes : numbers of atoms that are wanted; those that no whole molecules have are left out
    share : of the target's shortest contacts, the distance that molecules keep
    counts : of sizes whose atoms of each element are given, these
    """
    bonds = bond_lengths(elements)
    seen = np.where(np.isfinite(found.contacts), found.contacts, 0.0)
    numbers = {}
    for n in sizes:
        own = _numbers(found.kinds, n, counts.get(n), len(elements))
        if own is not None:
            numbers[n] = own
    return Molecules(found.kinds, bonds, np.maximum(share * seen, _NO_BOND * bonds), numbers)


def _numbers(kinds: Sequence[Kind], n: int, counts: Sequence[int] | None, n_el: int) -> tuple[int, ...] | None:
    """Molecules of each kind in a structure of n atoms, nearest to the target's proportions; None: there are none."""
    atoms = np.array([np.bincount(kind.species, minlength=n_el) for kind in kinds])
    sizes = atoms.sum(1)
    shares = np.array([kind.number for kind in kinds], np.float64)
    shares /= shares.sum()
    usual = n / float(shares @ sizes)
    best: tuple[float, tuple[int, ...]] | None = None
    for total in range(max(1, int(usual) - 2), int(usual) + 4):
        near = largest_remainder(shares, total)
        for change in product(_AROUND, repeat=len(kinds)):
            numbers = near + np.array(change)
            if numbers.min() < 0 or int(numbers @ sizes) != n:
                continue
            if counts is not None and (numbers @ atoms).tolist() != list(counts):
                continue
            off = round(float(np.abs(numbers - shares * usual).sum()), 9)
            if best is None or off < best[0]:
                best = off, tuple(numbers.tolist())
    return None if best is None else best[1]
