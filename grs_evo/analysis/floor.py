"""The floor: how far two parts of one target are apart, below which more accuracy says nothing about the system.

A cell that is nearer to its target than one half of the target is to the other follows this sample, and not what it is
a sample of. Frames of one system are halved in their order, since neighbours in time are alike; a single structure is
cut in two along its longest periodic vector. The loss of the one half against the other is that of the search, in its
scales, both ways, and its mean is the floor.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from grs_evo.loss.objective import Objective
from grs_evo.loss.quality import LEAST_NOISE, without_extras
from grs_evo.structures.structure import Structure
from grs_evo.targets.moments import moments_of
from grs_evo.targets.target import Target

# Environments of each element that a part of a target has at least.
LEAST = 50
# Share of the floor from which on less says nothing. Halves differ by twice the σ that divides the whole target from
# all that it is a sample of; a cell of loss L is off by about √(σ² + L²), within a hundredth of σ where L is 0.14 σ.
# Measured by `tools/bench/floor.py --along`: below, the loss against what was kept out no longer falls, or rises.
FITTED = 0.07


@dataclass(frozen=True)
class Floor:
    """What two halves of a target differ by."""

    loss: float  # structure loss of one half against the other
    how: str  # which halves

    def line(self, loss: float) -> str:
        """What a structure's loss is beside it."""
        where = "above it"
        if loss < self.loss:
            where = "below it: so near, a cell follows this sample and not what it is a sample of"
        return f"floor: {self.how} differ by a loss of {self.loss:.3g}; the best structure's is {loss:.3g}, {where}"


def floor_of(objective: Objective) -> Floor | None:
    """The floor of an objective's target; None where there are no halves: few atoms, a crystal, all kinds of cells."""
    target = objective.target
    found = halves(target)
    if found is None:
        return None
    first, how = found
    sides = (first, ~first)
    present = target.moments.counts > 0
    for side in sides:
        if (np.bincount(target.sample_species[side], minlength=len(present))[present] < LEAST).any():
            return None
    bare = without_extras(objective)
    position = bare.term_names.index("structure")
    losses = []
    for side in sides:
        rows, species = target.sample_rows[side], target.sample_species[side]
        own = moments_of(rows, species, objective.basis.sizes, covariance=target.moments.covariance_sums is not None)
        against = bare.with_target(replace(target, moments=own), keep_scales=True)
        losses.append(float(against.rows_loss(target.sample_rows[~side], target.sample_species[~side]).terms[position]))
    loss = float(np.mean(losses))
    return Floor(loss, how) if loss > LEAST_NOISE else None


def along_longest(structure: Structure) -> NDArray[np.float64]:
    """(n_atoms,) where atoms are along the longest periodic vector, from 0 to 1."""
    axis = int(np.argmax(np.where(structure.pbc, np.linalg.norm(structure.cell, axis=1), 0.0)))
    places: NDArray[np.float64] = (structure.positions @ np.linalg.inv(structure.cell))[:, axis] % 1.0
    return places


def halves(target: Target) -> tuple[NDArray[np.bool_], str] | None:
    """Which of the kept environments are in the first half, and how it is called; None where there are no halves."""
    structures = target.structures
    if not structures:
        return None
    kept = target.sampled()
    if len(kept) != len(target.sample_rows):
        return None
    frame = np.searchsorted(np.cumsum(target.n_atoms), kept, side="right")
    if len(structures) == 1:
        one = structures[0]
        if not one.pbc.any():
            return None
        along = along_longest(one)[kept]
        return along < np.median(along), "two halves of the target"
    first = structures[0]
    if any(
        one.n_atoms != first.n_atoms or (np.sort(one.species) != np.sort(first.species)).any() for one in structures
    ):
        return None
    return frame < len(structures) // 2, f"the first and the second half of {len(structures)} frames"
