"""Structures into counts: one pass over any number of structures of any size, and rows of single environments.

A survey keeps, of all atoms, the histogram of distances per ordered pair and the distance to the nearest atom of each
element. Rows of single environments (distances, coordination, angles) are kept of at most some ten thousand atoms:
whole structures where they are small, compact regions of large ones, so that environments that stand side by side can
be drawn together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.kernels.observables.cell_list import CellList, cell_list
from grs_evo.kernels.observables.environments import environment_rows
from grs_evo.kernels.observables.pairs import count_pairs
from grs_evo.observables.counting.extent import filled_volume
from grs_evo.observables.counting.shells import Shells, find_shells
from grs_evo.structures.structure import Structure

FINE = 0.01  # Å, bins of the histogram of distances
COARSE = 0.05  # Å, bins of the rows of single environments
ANGLE = 5.0  # degrees
PARTS = 16  # that a neighbour or an angle is shared out in between two bins, in the rows of single environments
# Distances of a crystal often lie on the edge of a bin, 3.75 Å: rounding must not put some to either side of it.
# By a power of two, which rounds the least.
_STRETCH = 1.0 + 2.0**-23
# The reach in units of the distance between neighbours of a close packing of that density: past the second shell.
_SHELLS_SEEN = 2.2
_LEAST_REACH, _MOST_REACH = 5.5, 12.0  # Å
_MOST_ROWS = 10_000
_MOST_NUMBERS = 40_000_000  # of all rows together
_REGIONS = 8  # of a structure too large to keep the rows of all its atoms
_MOST_KEPT = 1_000_000  # atoms of the structures that are kept for rows


@dataclass(frozen=True, eq=False)
class Rows:
    """Single environments."""

    frame: NDArray[np.int64]  # (n,) number of the structure, among those surveyed
    region: NDArray[np.int64]  # (n,) rows of the same region are neighbours of each other
    kinds: NDArray[np.int64]  # (n,) element of the centre
    positions: NDArray[np.float64]  # (n, 3) Å
    distances: NDArray[np.uint16]  # (n, n_el, n_coarse) neighbours per element and distance, times PARTS
    coordination: NDArray[np.uint16]  # (n, n_el) bonded neighbours
    angles: NDArray[np.uint16]  # (n, n_el (n_el + 1) / 2, n_angles) at 0°, 5°, … 180°, times PARTS
    spans: NDArray[np.float64]  # (n, n_el, 6) Å², Σ v v over vectors v to bonded neighbours: xx, yy, zz, yz, xz, xy
    leans: NDArray[np.float64]  # (n, 6) Σ w(r) (v v/r² − 1/3) over bonded neighbours, w the shells' weights


@dataclass(frozen=True, eq=False)
class Survey:
    """What was counted in one or more structures."""

    elements: tuple[str, ...]
    reach: float  # Å
    counts: NDArray[np.int64]  # (n_structures, n_el) atoms
    volumes: NDArray[np.float64]  # (n_structures,) Å³ that atoms fill: vacuum is left out
    kinds: NDArray[np.int64]  # (n_atoms,) of all atoms, structure by structure
    nearest: NDArray[np.float32]  # (n_atoms, n_el) Å to the nearest atom of each element; inf beyond the reach
    histogram: NDArray[np.int64]  # (n_el, n_el, n_fine) ordered pairs
    shells: Shells  # first peaks and minima: its own, or those of the target it is compared with
    kept: tuple[Structure, ...]  # structures at hand for what needs them whole
    kept_frames: tuple[int, ...]  # their numbers
    rows: Rows
    known: dict[str, Any] = field(default_factory=dict, repr=False)  # what observables have found in it so far

    @property
    def n_elements(self) -> int:
        return len(self.elements)

    @property
    def n_atoms(self) -> int:
        return int(self.counts.sum())

    @property
    def n_structures(self) -> int:
        return len(self.counts)

    @property
    def of_kind(self) -> NDArray[np.int64]:
        """(n_el,) atoms of each element."""
        return np.asarray(self.counts.sum(axis=0), np.int64)

    @property
    def densities(self) -> NDArray[np.float64]:
        """(n_el,) atoms of each element per Å³ of the filled volume."""
        return np.asarray(self.of_kind / self.volumes.sum(), np.float64)

    @property
    def grid(self) -> NDArray[np.float64]:
        """(n_coarse,) Å, middles of the bins of `rows.distances`."""
        return np.asarray((np.arange(round(self.reach / COARSE)) + 0.5) * COARSE, np.float64)

    def pair(self, a: int, b: int) -> str:
        """How a pair is called."""
        return f"{self.elements[a]}-{self.elements[b]}"

    def pairs(self) -> list[tuple[int, int]]:
        """Unordered pairs of elements that occur."""
        here = np.flatnonzero(self.of_kind)
        return [(int(a), int(b)) for k, a in enumerate(here) for b in here[k:]]

    def coarse(self, a: int, b: int) -> NDArray[np.float64]:
        """(n_coarse,) neighbours of element b per atom of element a and bin, shared between bins as in rows."""
        number = max(int(self.of_kind[a]), 1)
        return np.asarray(self.histogram[a, b] @ _sharing(self.histogram.shape[2]) / number, np.float64)


@lru_cache(maxsize=8)
def _sharing(n_fine: int) -> NDArray[np.float64]:
    """(n_fine, n_coarse) which share of a fine bin goes to which coarse one: to the two whose middles are nearest."""
    place = (np.arange(n_fine) + 0.5) * FINE / COARSE - 0.5
    middles = np.arange(round(n_fine * FINE / COARSE))
    away = np.abs(np.clip(place, 0.0, middles[-1])[:, None] - middles)
    return np.asarray(np.maximum(0.0, 1.0 - away), np.float64)


def reach_of(structures: Sequence[Structure]) -> float:
    """How far pairs are looked at, Å: past the second shell of neighbours at the density of the atoms."""
    per_atom = np.median([filled_volume(s) / s.n_atoms for s in structures])
    neighbour = (np.sqrt(2.0) * per_atom) ** (1 / 3)
    return float(np.clip(np.ceil(2 * _SHELLS_SEEN * neighbour) / 2, _LEAST_REACH, _MOST_REACH))


def survey(
    structures: Iterable[Structure],
    elements: Sequence[str],
    reach: float | None = None,
    shells: Shells | None = None,
    seed: int = 0,
    centres: Sequence[NDArray[np.int64]] = (),
) -> Survey:
    """Count pairs and environments.

    Parameters
    ----------
    structures : checked, species by index into `elements`; read once, one at a time
    reach : Å; None: past the second shell of the first structure
    shells : of the target that these structures are compared with; None: their own
    seed : which environments of a large target are kept as rows
    centres : of each structure the numbers of the atoms whose environments are counted; none: of all atoms

    Raises
    ------
    InputError
        There is no structure.
    """
    rng = np.random.default_rng([seed, 17])
    histogram: NDArray[np.int64] | None = None
    counts, volumes, kinds, nearest = [], [], [], []
    kept: list[tuple[int, Structure]] = []
    for number, structure in enumerate(structures):
        if histogram is None:
            reach = reach_of([structure]) if reach is None else reach
            n_fine = round(reach / FINE)
            histogram = np.zeros((len(elements), len(elements), n_fine), np.int64)
        assert reach is not None
        own = centres[number] if centres else np.arange(structure.n_atoms)
        found = count_pairs(_cells(structure, reach), len(elements), n_fine, own if centres else None)
        histogram += found.histogram
        kinds.append(structure.species[own].astype(np.int64))
        counts.append(np.bincount(kinds[-1], minlength=len(elements)))
        volumes.append(filled_volume(structure) * len(own) / structure.n_atoms)
        nearest.append(found.nearest[own])
        _keep(kept, number, structure, rng)
    if histogram is None or reach is None:
        raise InputError("observables: there is no structure; at least one is needed")
    result = Survey(
        tuple(elements), reach, np.array(counts), np.array(volumes), np.concatenate(kinds), np.concatenate(nearest),
        histogram, Shells.none(len(elements), n_fine), tuple(s for _, s in kept), tuple(k for k, _ in kept), _no_rows(),
    )  # fmt: skip
    found_shells = find_shells(histogram, result.of_kind, result.densities, FINE) if shells is None else shells
    result = replace(result, shells=found_shells)
    return replace(result, rows=_rows(result, rng, centres), known={})


def _cells(structure: Structure, reach: float) -> CellList:
    stretched = structure.replace(positions=_STRETCH * structure.positions, cell=_STRETCH * structure.cell)
    return cell_list(stretched.positions, stretched.cell, stretched.species, stretched.pbc, reach)


def _keep(kept: list[tuple[int, Structure]], number: int, structure: Structure, rng: np.random.Generator) -> None:
    """Keep a structure, or let it take the place of another one, so that all have the same chance."""
    if not kept or sum(s.n_atoms for _, s in kept) + structure.n_atoms <= _MOST_KEPT:
        kept.append((number, structure))
        return
    place = int(rng.integers(number + 1))
    if place < len(kept):
        kept[place] = (number, structure)


def _no_rows() -> Rows:
    none = np.empty(0, np.int64)
    empty = np.empty((0, 0, 0), np.uint16)
    spans, leans = np.empty((0, 0, 6)), np.empty((0, 6))
    return Rows(none, none, none, np.empty((0, 3)), empty, np.empty((0, 0), np.uint16), empty, spans, leans)


def _rows(found: Survey, rng: np.random.Generator, centres: Sequence[NDArray[np.int64]]) -> Rows:
    """Rows of all atoms, or of whole structures and compact regions that add up to what is allowed."""
    n_el = found.n_elements
    n_coarse, n_angles = round(found.reach / COARSE), round(180.0 / ANGLE) + 1
    width = n_el * n_coarse + n_el * (n_el + 1) // 2 * n_angles
    budget = max(min(_MOST_ROWS, _MOST_NUMBERS // width), 1)
    parts: list[Rows] = []
    region = 0
    used = 0
    for k in rng.permutation(len(found.kept)):
        if used >= budget:
            break
        structure, frame = found.kept[k], found.kept_frames[k]
        cells = _cells(structure, found.reach)
        own = centres[frame] if centres else np.arange(structure.n_atoms)
        for chosen in _regions(structure, own, budget - used, rng):
            made = environment_rows(
                cells, chosen, n_coarse, n_angles, found.shells.minimum, PARTS, found.shells.weights
            )
            parts.append(
                Rows(
                    np.full(len(chosen), frame),
                    np.full(len(chosen), region),
                    structure.species[chosen].astype(np.int64),
                    structure.positions[chosen],
                    *made,
                )
            )
            region += 1
            used += len(chosen)
    return Rows(*(np.concatenate([getattr(p, name) for p in parts]) for name in Rows.__dataclass_fields__))


def _regions(
    structure: Structure, own: NDArray[np.int64], most: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """All of some atoms of a structure, or of more than so many those nearest to a few of them."""
    if len(own) <= most:
        return [own]
    taken = np.ones(structure.n_atoms, np.bool_)
    taken[own] = False
    regions = []
    for centre in own[rng.choice(len(own), min(_REGIONS, most), replace=False)]:
        away = distances_from(structure, structure.positions[centre])
        away[taken] = np.inf
        size = max(most // _REGIONS, 1)
        chosen = np.sort(np.argpartition(away, size - 1)[:size])
        taken[chosen] = True
        regions.append(chosen[np.isfinite(away[chosen])])
    return regions


def distances_from(structure: Structure, point: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n_atoms,) Å to the nearest image, by the nearest in fractional coordinates: good enough to tell what is near."""
    return periodic_distances(structure.positions, point, structure.cell, structure.pbc)


def periodic_distances(
    positions: NDArray[np.float64], point: NDArray[np.float64], cell: NDArray[np.float64], pbc: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """(n,) Å from a point to the image of each position that is nearest in fractional coordinates."""
    gap = (positions - point) @ np.linalg.inv(cell)
    gap -= np.where(pbc, np.round(gap), 0.0)
    return np.asarray(np.sqrt(((gap @ cell) ** 2).sum(axis=1)), np.float64)
