"""The environments of structures and of a stored target, in the form that the rest of the analysis takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grs_evo.analysis.distributions.distances import MomentDistances, halves_floor, moment_distances
from grs_evo.analysis.distributions.histograms import Histograms, histograms
from grs_evo.descriptors.basis import Basis
from grs_evo.descriptors.describe import describe_compact
from grs_evo.errors import InputError
from grs_evo.storage.target_file import TargetData
from grs_evo.structures.structure import Structure
from grs_evo.targets.target import SAMPLE, Target

# Environments of a set or target beyond this number are thinned: 2e4 rows of the paper's 649 functions are 0.1 GB.
MOST = 20_000
# Of a target with more functions than that, so many values at most.
_MOST_VALUES = 2**24


@dataclass(frozen=True, eq=False)
class Environments:
    """Rows of descriptors with the element and the structure they belong to."""

    rows: NDArray[np.float64]  # (n, max_size) functions of the row's own element, rest 0
    species: NDArray[np.int32]  # (n,) index into the basis's elements
    owner: NDArray[np.int64]  # (n,) which structure of the set
    total: int  # environments of the set, of which the rows may be a part

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def is_whole(self) -> bool:
        """Whether the rows are all there are."""
        return len(self.rows) >= self.total

    def counted(self) -> str:
        """How many there are, in words that say so where they are a part: e.g. ``"a sample of 4,096 of 11,816"``."""
        return f"{self.total:,}" if self.is_whole else f"a sample of {len(self.rows):,} of {self.total:,}"

    def wide(self, basis: Basis) -> NDArray[np.float64]:
        """(n, n_desc): one block of columns per element, zero outside an environment's own (method §3)."""
        result = np.zeros((len(self.rows), basis.n_desc))
        for element, size in enumerate(basis.sizes):
            own = self.species == element
            result[own, basis.columns(element)] = self.rows[own, :size]
        return result

    def of_element(self, element: int, basis: Basis) -> NDArray[np.float64]:
        """(n_of_element, functions of the element)"""
        return self.rows[self.species == element, : basis.sizes[element]]

    def of_structures(self, basis: Basis) -> list[NDArray[np.float64]]:
        """The wide rows of each structure that has any, in order."""
        wide = self.wide(basis)
        return [wide[self.owner == one] for one in np.unique(self.owner)]


def of_structures(structures: Sequence[Structure], basis: Basis, most: int = MOST) -> Environments:
    """Describe a set of structures.

    Parameters
    ----------
    most : when the set has more environments, whole structures are left out evenly until it fits, so that memory is
        bounded; the first and the last structure stay
    """
    if not structures:
        raise InputError("set: holds no structures; at least one is needed")
    counts = np.array([one.n_atoms for one in structures])
    total = int(counts.sum())
    chosen = np.arange(len(structures))
    while counts[chosen].sum() > most and len(chosen) > 1:
        keep = max(1, int(len(chosen) * most / counts[chosen].sum() * 0.98))
        chosen = chosen[np.unique(np.linspace(0, len(chosen) - 1, keep).round().astype(int))]
    rows = [describe_compact(structures[int(k)], basis, warn=False) for k in chosen]
    return Environments(
        np.concatenate(rows),
        np.concatenate([structures[int(k)].species for k in chosen]),
        np.repeat(chosen, counts[chosen]),
        total,
    )


def of_target(target: Target, drawn: bool = True) -> Environments:
    """The environments that a target kept.

    Parameters
    ----------
    drawn : take them in proportion to their weights, as a distribution is compared; else each once, as a hull needs
        them, for which a rare environment is as good as a common one
    """
    rows, species = target.sample_rows, target.sample_species
    if not len(rows):
        raise InputError("target: keeps no sample of its environments, so there is nothing to compare with")
    weights = np.asarray(target.sample_weights, dtype=np.float64)
    picks = np.arange(len(rows))
    if drawn and np.ptp(weights) > 1e-9 * weights.max():
        ends = np.cumsum(weights)
        picks = np.searchsorted(ends, (np.arange(len(rows)) + 0.5) * ends[-1] / len(rows))
        picks = np.minimum(picks, len(rows) - 1)
    return Environments(rows[picks], species[picks], np.zeros(len(picks), dtype=np.int64), int(target.n_atoms.sum()))


def with_all(target: Target, basis: Basis, place: str | Path, most: int = MOST) -> Target:
    """An archive's target with all its environments, where the run folder that the archive lies in still has them.

    An archive keeps a sample of at most `target.SAMPLE`; the folder's ``target.h5`` has the structures. A hull of the
    sample is smaller than that of all.

    Parameters
    ----------
    place : the run folder, or the archive file in it
    most : a larger target gets a sample of so many

    Returns
    -------
    The target with more of its environments; as it was when it has all of them, or when the folder does not tell.
    """
    folder = Path(place) if Path(place).is_dir() else Path(place).parent
    if len(target.sample_rows) >= target.n_environments or not (folder / "target.h5").is_file():
        return target
    try:
        target_data = TargetData.read(folder / "target.h5")
    except InputError:
        return target
    atoms = [one.n_atoms for one in target_data.structures]  # of a random alloy only the lattice is kept
    ours = target_data.target.basis_hash == target.basis_hash and np.array_equal(atoms, target.n_atoms)
    if not (ours and np.array_equal(target_data.target.sample_rows, target.sample_rows)):
        return target
    most = max(SAMPLE, min(most, _MOST_VALUES // basis.n_desc))
    full = Target.from_structures(
        list(target_data.structures), basis, target.weights.tolist(), target.names, sample=most, centres=target.centres
    )
    return replace(
        target,
        sample_rows=full.sample_rows,
        sample_species=full.sample_species,
        sample_weights=full.sample_weights,
    )


def function_names(basis: Basis) -> list[str]:
    """A readable name for every column of the wide matrix, e.g. ``"Cu: Au-Cu n 1,2 l 1,1"``."""
    names = []
    for element, symbol in enumerate(basis.elements):
        labels, mixing = basis.labels[element], basis.mixing[element]
        if mixing is not None:
            names += [f"{symbol}: function {k + 1}" for k in range(basis.sizes[element])]
            continue
        for label in labels:
            kinds = "-".join(basis.elements[mu] for mu in label.mus)
            numbers = "n " + ",".join(map(str, label.ns))
            if any(label.ls):
                numbers += " l " + ",".join(map(str, label.ls))
            if len(label.ls) > 3:
                numbers += " L " + ",".join(map(str, label.Ls))
            names.append(f"{symbol}: {kinds} {numbers}")
    return names


def compare_histograms(
    target: Environments, chosen: Environments, basis: Basis, bins: int = 40
) -> tuple[Histograms, list[str]]:
    """Histograms of every function over the environments of its own element, and the functions' names.

    Functions of an element that only one side holds are left out: there is no distribution to compare.
    """
    names = function_names(basis)
    parts, kept = [], []
    for element in range(basis.n_elements):
        a, b = target.of_element(element, basis), chosen.of_element(element, basis)
        if not len(a) or not len(b) or not basis.sizes[element]:
            continue
        parts.append(histograms(a, b, bins))
        kept += names[basis.columns(element)]
    if not parts:
        raise InputError("target and set: have no element in common, so there is nothing to compare")
    return Histograms(*(np.concatenate([getattr(p, f) for p in parts]) for f in _HISTOGRAM_FIELDS)), kept


_HISTOGRAM_FIELDS = ("edges", "target", "chosen", "wasserstein", "ks", "scale")


def compare_moments(target: Environments, chosen: Environments, basis: Basis) -> MomentDistances:
    """Differences of the moments of the pooled distribution: composition counts, as in the loss (method §3)."""
    return moment_distances(target.wide(basis), chosen.wide(basis))


def floor(target: Environments, basis: Basis) -> MomentDistances:
    """The target against itself, see `halves_floor`."""
    return halves_floor(target.wide(basis))
