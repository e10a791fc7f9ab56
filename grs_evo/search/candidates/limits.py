"""Limits of the structures of an island: distances, density, size, composition, sites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.geometry.contacts import cell_heights, closest_ratio, fractional, inverse
from grs_evo.structures.composition import Allowed, Composition, site_mask
from grs_evo.structures.molecules.kinds import Molecules
from grs_evo.structures.networks.usual import Network
from grs_evo.structures.structure import Structure

# Å by which a fixed atom may seem to move when its coordinates are turned back and forth.
_ROUNDING = 1e-6


class Fixed(NamedTuple):
    """Atoms that every structure holds, at the same index and in the same place of its cell."""

    sites: NDArray[np.int64]  # (k,) indices, ascending
    places: NDArray[np.float64]  # (k, 3) fractional coordinates
    species: NDArray[np.int32]  # (k,); -1 where the element is free


@dataclass(frozen=True, eq=False)
class Limits:
    """What every structure of an island keeps, whatever made it."""

    composition: Composition
    min_distance: NDArray[np.float64]  # (n_el, n_el) Å
    sizes: tuple[int, int]  # smallest and largest number of atoms
    volume_per_atom: tuple[float, float]  # Å³
    height: float = 0.0  # minimum perpendicular height, Å; 0: none
    allowed: NDArray[np.bool_] | None = None  # (period, n_el) elements of site i modulo period; None: all everywhere
    lattice: bool = False  # sites never move and the cell is kept
    periodic: bool = True  # along all three vectors; otherwise the cell's volume says nothing
    fixed: Fixed | None = None  # atoms that stay where they are
    molecules: Molecules | None = None  # of which structures consist, whole
    network: Network | None = None  # of bonds, that structures are made and kept

    @property
    def n_elements(self) -> int:
        return len(self.min_distance)

    @property
    def size_free(self) -> bool:
        return self.sizes[0] < self.sizes[1]

    def mask(self, n: int) -> Allowed | None:
        """(n, n_el) elements that each of n atoms may be; None where all may be anything."""
        mask = site_mask(self.allowed, n)
        if self.fixed is None or (self.fixed.species < 0).all():
            return mask
        mask = np.ones((n, self.n_elements), np.bool_) if mask is None else mask
        held = (self.fixed.species >= 0) & (self.fixed.sites < n)
        mask[self.fixed.sites[held]] = False
        mask[self.fixed.sites[held], self.fixed.species[held]] = True
        return mask

    def movable(self, n: int) -> NDArray[np.bool_]:
        """(n,) which of n atoms may move, or go."""
        free = np.ones(n, np.bool_)
        if self.fixed is not None:
            free[self.fixed.sites[self.fixed.sites < n]] = False
        return free

    def _holds_fixed(self, structure: Structure) -> bool:
        fixed = self.fixed
        if fixed is None:
            return True
        if fixed.sites[-1] >= structure.n_atoms:
            return False
        species = structure.species[fixed.sites]
        if ((fixed.species >= 0) & (species != fixed.species)).any():
            return False
        gap = fractional(structure.positions[fixed.sites], inverse(structure.cell)) - fixed.places
        gap -= np.where(structure.pbc, np.rint(gap), 0.0)
        return bool((np.abs(gap @ structure.cell) < _ROUNDING).all())

    def violation(self, structure: Structure) -> str | None:
        """The cause (one of counters.CAUSES) why the structure breaks a limit; None when it keeps all."""
        n = structure.n_atoms
        if not self.sizes[0] <= n <= self.sizes[1]:
            return "size"
        if not self._holds_fixed(structure):
            return "size"
        species = structure.species
        rule = self.composition
        anything = rule.kind == "free" and rule.endpoints
        if not anything and not rule.admits(np.bincount(species, minlength=self.n_elements)):
            return "composition"
        if self.allowed is not None and not self.allowed[np.arange(n) % len(self.allowed), species].all():
            return "composition"
        if self.lattice:
            return None
        if self.periodic and not self.volume_per_atom[0] <= volume(structure.cell) / n <= self.volume_per_atom[1]:
            return "density"
        if self.height > 0.0 and cell_heights(inverse(structure.cell))[structure.pbc].min(initial=np.inf) < self.height:
            return "height"
        ratio = closest_ratio(structure.positions, structure.cell, species, structure.pbc, self.min_distance)
        if ratio < 1.0:
            return "overlap"
        return None if self.molecules is None else self.molecules.fault(structure)


def volume(cell: NDArray[np.float64]) -> float:
    """Cell volume in Å³, in a fixed order of operations."""
    (a, b, c), (d, e, f), (g, h, i) = cell.tolist()
    signed: float = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    return abs(signed)
