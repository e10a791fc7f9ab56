"""The lattice under a target's atoms: its sites, its vacuum, and which elements sit on which of its sites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.structures.structure import Structure
from grs_evo.structures.symmetry import ask_spglib, conventional

# Fractions of a cell by which the sites of two structures on one lattice may differ.
_SAME_SITE = 0.1
# Shortest share of a product of lengths that two lattice vectors span: shorter, they are parallel.
_PARALLEL = 1e-3


@dataclass(frozen=True, eq=False)
class TargetLattice:
    """A parent cell found from a target, whatever sits on its sites."""

    cell: NDArray[np.float64]  # (3, 3) Å; along directions without periodicity the target's own, vacuum and all
    sites: NDArray[np.float64]  # (n, 3) fractional
    pbc: NDArray[np.bool_]  # (3,)


def target_lattice(target: Structure, cubic: bool, symprec: float, where: str) -> TargetLattice:
    """The lattice under the atoms of a structure.

    Parameters
    ----------
    cubic : the conventional cell instead of the primitive one, where the structure is periodic in all directions
    symprec : Å
    where : the section of the run file, for messages

    Raises
    ------
    InputError
        spglib finds none.
    """
    scaled = target.positions @ np.linalg.inv(target.cell)
    if target.pbc.all():
        found = conventional(target.cell, scaled, cubic, symprec)
        if found is not None:
            return TargetLattice(*found, np.ones(3, np.bool_))
    else:
        symmetry = ask_spglib("get_symmetry", target.cell, scaled, None, symprec=symprec)
        if symmetry is not None:
            return _with_vacuum(target, scaled, symmetry, symprec)
    raise InputError(f"{where}.lattice: spglib finds no parent lattice in the target within symprec = {symprec:g} Å")


def _with_vacuum(target: Structure, scaled: NDArray[np.float64], symmetry: Any, symprec: float) -> TargetLattice:
    """The smallest cell that keeps the target's vectors along which it is not periodic."""
    open_ = np.flatnonzero(~target.pbc)
    pure = (np.asarray(symmetry["rotations"]) == np.eye(3, dtype=int)).all((1, 2))
    shifts = np.asarray(symmetry["translations"], np.float64)[pure]
    shifts = shifts[(np.abs(shifts - np.rint(shifts)) @ np.abs(target.cell) < symprec)[:, open_].all(1)]
    cell = target.cell.copy()
    axes = np.flatnonzero(target.pbc)
    if len(axes):
        cell[axes] = _shortest(shifts, target.cell, axes)
    sites = target.positions @ np.linalg.inv(cell)
    sites[:, axes] %= 1.0
    kept: list[int] = []
    for k in range(len(sites)):
        gaps = sites[kept] - sites[k]
        gaps[:, axes] -= np.rint(gaps[:, axes])
        if not (np.linalg.norm(gaps @ cell, axis=1) < 10 * symprec).any():
            kept.append(k)
    return TargetLattice(cell, sites[kept], target.pbc.copy())


def _shortest(shifts: NDArray[np.float64], cell: NDArray[np.float64], axes: NDArray[np.intp]) -> NDArray[np.float64]:
    """The shortest independent translations of a structure along its periodic directions, (len(axes), 3) Å."""
    grid = np.zeros((3 ** len(axes), 3))
    grid[:, axes] = np.indices((3,) * len(axes)).reshape(len(axes), -1).T - 1
    vectors = (shifts[:, None] + grid[None]).reshape(-1, 3) @ cell
    lengths = np.linalg.norm(vectors, axis=1)
    # of equal lengths first what lies most along the target's own vectors, so that the cell comes out the usual way
    along = -(vectors @ cell[axes[0]]) / np.linalg.norm(cell[axes[0]])
    order = np.lexsort((along.round(3), lengths.round(3)))
    order = order[lengths[order] > 0.1]
    first = vectors[order[0]]
    if len(axes) == 1:
        single: NDArray[np.float64] = first[None] if first @ cell[axes[0]] > 0 else -first[None]
        return single
    for k in order[1:]:
        spanned = np.cross(first, vectors[k])
        if np.linalg.norm(spanned) > _PARALLEL * lengths[order[0]] * lengths[k]:
            second = vectors[k]
            break
    left = np.cross(cell[axes[0]], cell[axes[1]]) @ np.cross(first, second) > 0
    pair: NDArray[np.float64] = np.array([first, second if left else -second])
    return pair


def sublattices(
    targets: Sequence[Structure], lattice: TargetLattice, n_elements: int, symprec: float
) -> NDArray[np.bool_] | None:
    """(n_sites, n_elements) what sits on each kind of site in the target; None where its structures do not agree.

    Sites are of one kind when the symmetry of the bare lattice, whatever sits on it, makes them equal: all sites of an
    fcc alloy are of one kind, metal and sulphur of MoS2 are not.
    """
    scaled, cell = lattice.sites, lattice.cell
    dataset = ask_spglib("get_symmetry_dataset", cell, scaled, None, symprec=symprec)
    if dataset is None:
        return None
    kinds = np.asarray(_part(dataset, "equivalent_atoms"))
    if len(np.unique(kinds)) == 1:
        return np.ones((len(kinds), n_elements), np.bool_)
    allowed = np.zeros((len(kinds), n_elements), np.bool_)
    for one in targets:
        places = _places(one, lattice, symprec)
        if places is None:
            return None
        allowed[kinds[places], one.species] = True
    of_sites: NDArray[np.bool_] = allowed[kinds]
    return of_sites


def _places(structure: Structure, lattice: TargetLattice, symprec: float) -> NDArray[np.int64] | None:
    """(n_atoms,) the site of the lattice on which each atom sits; None where the structure lies on another lattice."""
    if (structure.pbc != lattice.pbc).any():
        return None
    scaled = structure.positions @ np.linalg.inv(structure.cell)
    if not lattice.pbc.all():
        within = structure.positions @ np.linalg.inv(lattice.cell)
        return _nearest(within, lattice.sites, lattice.pbc)
    dataset = ask_spglib("get_symmetry_dataset", structure.cell, scaled, None, symprec=symprec)
    standard = ask_spglib("get_symmetry_dataset", lattice.cell, lattice.sites, None, symprec=symprec)
    if dataset is None or standard is None or _part(dataset, "number") != _part(standard, "number"):
        return None
    # each atom's site in the standard cell, and that of the lattice under it
    ours = np.asarray(_part(dataset, "std_positions"))
    theirs = np.asarray(_part(standard, "std_positions"))
    of_atom = np.asarray(_part(dataset, "mapping_to_primitive"))
    of_std = np.asarray(_part(dataset, "std_mapping_to_primitive")).tolist()
    of_site = np.asarray(_part(standard, "mapping_to_primitive")).tolist()
    std_of_site = np.asarray(_part(standard, "std_mapping_to_primitive")).tolist()
    if len(ours) != len(theirs):
        return None
    # standard cells of one crystal may differ by where their origin is
    shifted = (_nearest(ours + (theirs[0] - one), theirs, lattice.pbc) for one in ours)
    matched = next((one for one in shifted if one is not None and len(np.unique(one)) == len(one)), None)
    if matched is None:
        return None
    to_site = {of_std[k]: of_site.index(std_of_site[int(matched[k])]) for k in range(len(ours))}
    return np.array([to_site[k] for k in of_atom.tolist()], np.int64)


def _nearest(
    positions: NDArray[np.float64], sites: NDArray[np.float64], pbc: NDArray[np.bool_]
) -> NDArray[np.int64] | None:
    """(n,) the site nearest to each position, both fractional; None where one is near none."""
    gaps = positions[:, None] - sites[None]
    gaps -= np.where(pbc, np.rint(gaps), 0.0)
    apart = np.abs(gaps).max(-1)
    nearest = apart.argmin(1)
    return None if (apart.min(1) > _SAME_SITE).any() else nearest.astype(np.int64)


def is_without_symmetry(lattice: TargetLattice, symprec: float) -> bool:
    """Whether no two sites of a lattice are of one kind, as in a melt, a glass or a snapshot of moving atoms."""
    dataset = ask_spglib("get_symmetry_dataset", lattice.cell, lattice.sites, None, symprec=symprec)
    return dataset is None or len(np.unique(np.asarray(_part(dataset, "equivalent_atoms")))) == len(lattice.sites)


def _part(dataset: Any, name: str) -> Any:
    """A part of what spglib found: of a dict in old versions, of a dataclass in new ones."""
    return dataset[name] if isinstance(dataset, dict) else getattr(dataset, name)
