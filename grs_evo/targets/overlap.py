"""Structures described part by part, and atoms that overlap: found, named, refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray

from grs_evo.descriptors.basis import Basis
from grs_evo.descriptors.describe import CHUNK, closest, describe_compact
from grs_evo.errors import InputError
from grs_evo.structures.neighbours import neighbours
from grs_evo.structures.structure import Structure
from grs_evo.targets.chunks import Job, Part, Worker
from grs_evo.targets.moments import Moments, merge, merge_all

# Atoms nearer than this share of the sum of their covalent radii overlap: no real structure has them.
_OVERLAP = 0.3


def whole_part(job: Job) -> Iterator[Part]:
    """The only part of a structure of one chunk; InputError where atoms overlap."""
    n_el = len(job.basis.elements)
    nearest = check_overlap(job.structure, job.basis, job.name)  # so that no pair of elements is too near
    kinds = job.structure.species
    rows = describe_compact(job.structure, job.basis, source=job.name)
    moments = job.moments(0, rows, kinds)
    squared = np.full((n_el, n_el), nearest**2)
    yield Part(moments, rows[job.picks], kinds[job.picks], squared, np.full((n_el, n_el), -1))


def _radii(basis: Basis) -> NDArray[np.float64]:
    return np.array([covalent_radii[atomic_numbers[e]] for e in basis.elements])


def overlap_reach(basis: Basis) -> float:
    """Å within which shortest distances are looked for: twice the largest covalent radius."""
    return float(2.0 * _radii(basis).max())


def checked_parts(parts: Iterator[Part], job: Job) -> Iterator[Part]:
    """Parts of a large structure; InputError where two atoms overlap."""
    radii = _radii(job.basis)
    together = radii[:, None] + radii[None, :]
    for part in parts:
        ratio = np.sqrt(part.squared) / together
        kinds = np.unravel_index(np.argmin(ratio), ratio.shape)
        if ratio[kinds] < _OVERLAP:
            i, j, distance = closest(job.structure, int(part.owner[kinds]))
            raise _overlap(job.structure, job.basis, job.name, (i, j), distance)
        yield part


def described(
    jobs: Sequence[Job], basis: Basis, covariance: bool, worker: Worker
) -> tuple[Moments, NDArray[np.float64], NDArray[np.int32], float]:
    """Moments of all environments; rows and elements of those that are kept; the shortest distance, Å."""
    parts: list[Moments] = []
    rows: list[NDArray[np.float64]] = []
    species: list[NDArray[np.int32]] = []
    total, nearest = merge_all([], basis.sizes, covariance), float("inf")
    for job in jobs:
        for part in whole_part(job) if job.structure.n_atoms <= CHUNK else checked_parts(worker(job), job):
            nearest = min(nearest, part.nearest)
            parts.append(part.moments)
            rows.append(part.rows)
            species.append(part.species)
            if len(parts) == 64:
                total = merge(total, merge_all(parts, basis.sizes, covariance))
                parts = []
    total = merge(total, merge_all(parts, basis.sizes, covariance))
    return total, np.concatenate(rows), np.concatenate(species), nearest


def _overlap(structure: Structure, basis: Basis, name: str, atoms: tuple[int, int], distance: float) -> InputError:
    kinds = structure.species[list(atoms)]
    a, b = (f"{k} ({basis.elements[kind]})" for k, kind in zip(atoms, kinds, strict=True))
    least = _OVERLAP * _radii(basis)[kinds].sum()
    return InputError(f"{name}: atoms {a} and {b} overlap: {distance:.4f} Å apart; at least {least:.2f} Å is needed")


def check_overlap(structure: Structure, basis: Basis, name: str) -> float:
    """Refuse atoms that overlap: nearer than 0.3 times the sum of their covalent radii.

    Parameters
    ----------
    name : how messages call the structure

    Returns
    -------
    Å, the shortest distance below `overlap_reach`; inf where there is none

    Raises
    ------
    InputError
        Names the two atoms, their distance and the least that is allowed.
    """
    radii = _radii(basis)
    listed = neighbours(structure, overlap_reach(basis))
    i, j, distance = listed.first, listed.second, listed.distances
    if len(distance) == 0:
        return float("inf")
    together = radii[structure.species[i]] + radii[structure.species[j]]
    ratio = distance / together
    worst = int(np.argmin(ratio))
    if ratio[worst] < _OVERLAP:
        raise _overlap(structure, basis, name, (int(i[worst]), int(j[worst])), float(distance[worst]))
    return float(distance.min())
