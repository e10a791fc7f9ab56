"""What structure files hold, and what of a run file follows from it: elements, density, vacuum, a cutoff, sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.observables.counting.extent import filled, filled_volume
from grs_evo.structures.composition import largest_remainder
from grs_evo.structures.neighbours import neighbours
from grs_evo.structures.reading import Entry, read_with_elements
from grs_evo.structures.structure import Structure, formula_of, lacks_cell

# Neighbours that a cutoff is to enclose: four shells of a metal, the second or third of a network.
_NEIGHBOURS = 60
_NARROWEST, _WIDEST = 4.0, 8.0  # Å
# A cutoff within this share of the wanted one may lie between two shells instead of on one.
_PLAY = 0.08
# Functions per rank by number of elements: a basis of some tens to two hundred functions.
_BASES: dict[int, tuple[list[int], list[int]]] = {
    1: ([8, 2, 2, 1], [0, 2, 2, 1]),
    2: ([8, 2, 2, 1], [0, 2, 2, 1]),
    3: ([6, 2], [0, 2]),
    4: ([4, 1], [0, 1]),
}


@dataclass(frozen=True, eq=False)
class Seen:
    """Structure files, looked at."""

    files: tuple[str, ...]
    elements: tuple[str, ...]
    entries: tuple[Entry, ...]
    structures: tuple[Structure, ...]
    counts: NDArray[np.int64]  # (n_elements,) atoms of each element, all structures together

    @property
    def n_atoms(self) -> int:
        return int(self.counts.sum())

    @property
    def first(self) -> Structure:
        return self.structures[0]

    @property
    def vacuum(self) -> bool:
        """Whether the first structure is not filled with matter along every cell vector."""
        return not filled(self.first).all()

    @property
    def fractions(self) -> dict[str, float]:
        return {symbol: float(n / self.n_atoms) for symbol, n in zip(self.elements, self.counts, strict=True) if n}

    @property
    def density(self) -> float:
        """Atoms per Å³ that matter fills, all structures together."""
        return self.n_atoms / sum(filled_volume(one) for one in self.structures)

    @property
    def told(self) -> str:
        """The files in a few words."""
        n = len(self.structures)
        if n == 1:
            return f"{formula_of(self.counts, self.elements)}, {self.n_atoms} atoms"
        return f"{n} structures with {self.n_atoms} atoms, {', '.join(self.elements)}"


def look(files: Sequence[str], types: Sequence[str] = (), format: str | None = None) -> Seen:
    """Read structure files.

    Raises
    ------
    InputError
        One of them is missing, cannot be read, or holds a structure without a cell.
    """
    elements, entries = read_with_elements(files, types=types, format=format)
    for entry in entries:
        if lacks_cell(entry.structure):
            raise InputError(f'{entry.source}: has no cell; give it one (in extended XYZ: Lattice="…")')
    structures = tuple(entry.structure for entry in entries)
    counts = np.sum([one.counts(len(elements)) for one in structures], axis=0)
    return Seen(tuple(files), tuple(elements), tuple(entries), structures, counts)


def cutoff_for(density: float, structure: Structure | None = None) -> float:
    """Å within which an atom has some sixty neighbours, between two shells where there are shells.

    Parameters
    ----------
    density : 1/Å³
    structure : whose distances are looked at
    """
    wanted = float(np.clip((3.0 * _NEIGHBOURS / (4.0 * np.pi * density)) ** (1.0 / 3.0), _NARROWEST, _WIDEST))
    if structure is None:
        return round(wanted, 1)
    low, high = (1.0 - _PLAY) * wanted, (1.0 + _PLAY) * wanted
    centres = np.arange(min(structure.n_atoms, 50))
    near = neighbours(structure, high + 0.1, centres).distances
    edges = np.concatenate([[low], np.sort(near[(near > low) & (near < high)]), [high]])
    widest = int(np.diff(edges).argmax())
    if edges[widest + 1] - edges[widest] < 0.15:
        return round(wanted, 1)
    return round(float(edges[widest] + edges[widest + 1]) / 2.0, 2)


def basis_for(n_elements: int) -> tuple[list[int], list[int]]:
    """`n_max` and `l_max` of a basis that is quick enough for a first run."""
    return _BASES[min(n_elements, max(_BASES))]


def size_for(seen: Seen, around: int) -> int:
    """A number of atoms near `around` of which the target's fractions come out best; at most the target's."""
    most = max(one.n_atoms for one in seen.structures)
    if most <= around:
        return most
    fractions = seen.counts / seen.n_atoms
    sizes = range(max(1, round(0.9 * around)), round(1.15 * around) + 1)
    off = {n: round(float(np.abs(largest_remainder(fractions, n) / n - fractions).max()), 9) for n in sizes}
    return min(sizes, key=lambda n: (off[n], abs(n - around)))
