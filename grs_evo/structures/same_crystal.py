"""Whether two structures are one crystal: equal up to symmetry, choice of cell, origin and mirror image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grs_evo.structures.structure import Structure
from grs_evo.structures.symmetry import SYMPREC, ask_spglib


@dataclass(frozen=True, eq=False)
class Crystal:
    """A primitive cell with the shortest vectors."""

    cell: NDArray[np.float64]  # (3, 3) Å
    sites: NDArray[np.float64]  # (n, 3) fractional
    species: NDArray[np.int64]  # (n,)


def crystal_of(structure: Structure, symprec: float = SYMPREC) -> Crystal | None:
    """The primitive cell of a structure; None for what is not periodic in all directions.

    Parameters
    ----------
    symprec : Å
    """
    from ase.geometry import minkowski_reduce

    if not structure.pbc.all():
        return None
    scaled = structure.positions @ np.linalg.inv(structure.cell)
    kinds = structure.species.astype(np.int64) + 1
    found = ask_spglib("find_primitive", structure.cell, scaled, kinds, symprec=symprec)
    cell, sites, species = (structure.cell, scaled, kinds) if found is None else found
    reduced: NDArray[np.float64] = minkowski_reduce(np.asarray(cell, np.float64))[0]  # type: ignore[no-untyped-call]
    sites = np.asarray(sites, np.float64) @ np.asarray(cell) @ np.linalg.inv(reduced)
    return Crystal(reduced, sites % 1.0, np.asarray(species, np.int64) - 1)


def same_crystal(one: Crystal, other: Crystal, symprec: float = SYMPREC) -> bool:
    """Whether a rotation, reflection or shift takes one crystal to the other.

    Parameters
    ----------
    symprec : Å by which lattice vectors and atoms may miss each other
    """
    if len(one.species) != len(other.species) or (np.sort(one.species) != np.sort(other.species)).any():
        return False
    counts = np.bincount(one.species)
    rarest = int(np.flatnonzero(counts == counts[counts > 0].min())[0])
    start = one.sites[one.species == rarest][0]
    for vectors in _settings(one.cell, other.cell, 2.0 * symprec):
        sites = other.sites @ other.cell @ np.linalg.inv(vectors)
        # the same place in both crystals, as far as the atoms looked at so far tell; most drop out at once
        origins = sites[other.species == rarest]
        for place, species in zip(one.sites - start, one.species, strict=True):
            gaps = (origins + place)[:, None] - sites[other.species == species][None]
            gaps -= np.rint(gaps)
            origins = origins[np.linalg.norm(gaps @ one.cell, axis=-1).min(1) < 2.0 * symprec]
            if not len(origins):
                break
        else:
            return True
    return False


def _settings(cell: NDArray[np.float64], other: NDArray[np.float64], tolerance: float) -> list[NDArray[np.float64]]:
    """Cells of the other lattice whose vectors have the lengths and angles of this cell's."""
    vectors = (np.indices((5, 5, 5)).reshape(3, -1).T - 2) @ other  # of a reduced cell none longer is needed
    lengths = np.linalg.norm(cell, axis=1)
    near = [vectors[np.abs(np.linalg.norm(vectors, axis=1) - length) < tolerance] for length in lengths]

    def fits(a: NDArray[np.float64], b: NDArray[np.float64], i: int, j: int) -> bool:
        return bool(abs(a @ b - cell[i] @ cell[j]) < tolerance * (lengths[i] + lengths[j]))

    return [
        np.array([a, b, c])
        for a in near[0]
        for b in near[1]
        if fits(a, b, 0, 1)
        for c in near[2]
        if fits(a, c, 0, 2) and fits(b, c, 1, 2)
    ]
