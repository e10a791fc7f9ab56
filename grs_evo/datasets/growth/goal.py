"""What a growing set is to predict: second moments of the target's energy and force rows, and rows in their units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from grs_evo.datasets.design import design_rows, model_basis
from grs_evo.datasets.information import Inverse
from grs_evo.datasets.pool import FORCE_SIGMA
from grs_evo.descriptors.basis import Basis
from grs_evo.descriptors.describe import describe
from grs_evo.errors import InputError, within
from grs_evo.search.population.representative_set import InformationOptions
from grs_evo.structures.structure import Structure

# Atoms of a target structure, whose force rows are held at once (0.2 GB for 159 functions).
_MOST_ATOMS = 50_000
# Atoms of a cell whose energy is to be predicted, where the target is so few structures that their own energies say
# nothing: energies of parts of them, as large as the cells that DFT bears.
_PART = 16
# A column whose size is below this share of the largest is nothing but rounding.
_VANISHES = 1e-12


@dataclass(frozen=True, eq=False)
class Goal:
    """The target as a linear model sees it; rows are weighted by their sigma, each column of size one over it."""

    basis: Basis
    options: InformationOptions
    aim: NDArray[np.float64]  # (d, d) whose trace with the inverse is to be small
    energies: NDArray[np.float64]  # (d, d) of the target's energies alone; trace 1 if the target itself were labelled
    forces: NDArray[np.float64]  # (d, d) and of its forces
    log_det: float  # of the target's own Gram matrix
    centre: NDArray[np.float64]  # (d,) mean energy row, not scaled
    scale: NDArray[np.float64]  # (d,) by which columns are divided
    _spread: NDArray[np.float64]  # (d, d) inverse covariance of the target's environments, ridged, scaled
    _usual: float  # mean of the squared distance in it, over the target itself

    @property
    def n_columns(self) -> int:
        return len(self.scale)

    def rows(self, structure: Structure, source: str = "structure") -> NDArray[np.float64]:
        """(1 + 3 n_atoms, d): energy row, then force rows; of less weight the farther a structure is from the target.

        A linear model that is right about the target errs about environments outside it, and what it learns there
        misleads it. Its error is taken as growing with their squared distance from the target's, in units of its own
        covariance.

        Raises
        ------
        InputError
            As `design.design_rows`.
        """
        made = design_rows(structure, self.basis, source)
        energy = (made.energy - self.centre) / self.options.energy_sigma
        rows = np.concatenate([energy[None, :], made.forces / FORCE_SIGMA])
        trust = max(1.0, self.distance(structure)) ** -self.options.misfit
        return np.asarray(rows * (trust / self.scale))

    def distance(self, structure: Structure) -> float:
        """Mean squared distance of a structure's environments from the target's mean, over that of the target's own."""
        off = (describe(structure, self.basis) - self.centre) / (self.options.energy_sigma * self.scale)
        return float(np.einsum("ij,jk,ik->i", off, self._spread, off).mean() / self._usual)

    def inverse(self, gram: NDArray[np.float64]) -> Inverse:
        return Inverse(gram, self.aim, self.options.ridge)


def make_goal(structures: Sequence[Structure], elements: Sequence[str], options: InformationOptions) -> Goal:
    """What a set has to tell about some structures.

    Both kinds of rows count in units of what the target's own structures, all of them labelled, would leave open;
    energies `options.energies` times.

    Raises
    ------
    InputError
        No structures, or one of so many atoms that its rows cannot be held.
    """
    if not structures:
        raise InputError("set.objective: 'information' needs the target's structures; this target holds none")
    large = max(one.n_atoms for one in structures)
    if large > _MOST_ATOMS:
        raise InputError(
            f"set.objective: 'information' needs the force rows of the target's structures, of at most {_MOST_ATOMS} "
            f"atoms each; one has {large}: give a part of it"
        )
    with within("set.information", "."):
        basis = model_basis(elements, structures, options.cutoff, options.functions)
    sigma = options.energy_sigma
    d = basis.n_desc
    energies, forces, second = np.zeros((len(structures), d)), np.zeros((d, d)), np.zeros((d, d))
    n_atoms = sum(one.n_atoms for one in structures)
    with threadpool_limits(1):
        total = np.zeros(d)
        for k, one in enumerate(structures):
            made = design_rows(one, basis, f"target structure {k}")
            energies[k] = made.energy
            forces += made.forces.T @ made.forces
            total += made.energy * one.n_atoms
        if not energies.any():
            raise InputError(
                f"set.information.cutoff: no two atoms of the target are within {basis.cutoff.max():g} Å of each other"
            )
        mean = total / n_atoms
        for one in structures:
            off = describe(one, basis) - mean
            second += off.T @ off
        centre = energies.mean(axis=0)
        between = (energies - centre).T @ (energies - centre) / len(structures)
        covariance = second / n_atoms
        alone = 1.0 / len(structures)
        energy_aim = ((1.0 - alone) * between + alone * covariance / _PART) / sigma**2
        force_aim = forces / (3 * n_atoms) / FORCE_SIGMA**2
        size = np.sqrt(np.diagonal(force_aim) + np.diagonal(energy_aim) / _PART)
        scale = np.where(size > _VANISHES * size.max(initial=0.0), size, np.inf)
        energy_aim, force_aim, covariance = (
            x / scale / scale[:, None] for x in (energy_aim, force_aim, covariance / sigma**2)
        )
        whole = Inverse(energy_aim * len(structures) + force_aim * 3 * n_atoms, force_aim, options.ridge)
        energy_left = max(float((whole.matrix * energy_aim).sum()), 1e-300)
        force_left = max(whole.trace, 1e-300)
        aim = options.energies * energy_aim / energy_left + force_aim / force_left
        width = np.sqrt(np.maximum(np.diagonal(covariance), 1e-300))
        correlation = covariance / width / width[:, None]
        spread = np.linalg.inv(correlation + 1e-3 * np.eye(d))
        usual = max(float((spread * correlation).sum()), 1e-300)
        log_det = -float(np.linalg.slogdet(whole.matrix)[1])
    parts = (energy_aim / energy_left, force_aim / force_left)
    return Goal(basis, options, aim, *parts, log_det, centre, scale, spread / width / width[:, None], usual)
