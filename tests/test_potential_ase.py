"""V_eff as an ASE calculator."""

from __future__ import annotations

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.calculator import CalculatorSetupError
from ase.filters import FrechetCellFilter
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS, FIRE
from threadpoolctl import threadpool_limits

from grs_evo.descriptors.basis import Basis, build_basis
from grs_evo.errors import InputError
from grs_evo.loss.objective import Objective, make_objective
from grs_evo.loss.options import LossOptions
from grs_evo.potential.ase import GRSCalculator
from grs_evo.structures.structure import from_atoms
from grs_evo.targets.target import Target


@pytest.fixture(scope="module")
def basis() -> Basis:
    return build_basis(["Au", "Cu"], n_max=(3, 2, 1), l_max=(0, 2, 1), cutoff=4.2)


def alloy(seed: int, scale: float = 0.15):
    atoms = bulk("Cu", "fcc", a=3.8, cubic=True)
    atoms.symbols[[0, 1]] = "Au"
    atoms.rattle(scale, seed=seed)
    return atoms


@pytest.fixture(scope="module")
def objective(basis: Basis) -> Objective:
    target = Target.from_structures([alloy(k, 0.1) for k in range(20)], basis)
    return make_objective(basis, target, LossOptions(norm="huber", delta=0.5))


def test_energy_forces_and_stress_belong_together(objective: Objective) -> None:
    atoms = alloy(50)
    atoms.calc = GRSCalculator(objective, scale=2.0)
    structure = from_atoms(atoms, objective.basis.elements)
    assert atoms.get_potential_energy() == pytest.approx(2 * objective.evaluate(structure).value)
    h = 1e-4
    forces, stress = atoms.get_forces(), atoms.get_stress(voigt=False)
    step = np.random.default_rng(0).normal(size=(4, 3))
    strain = np.random.default_rng(1).normal(size=(3, 3))
    strain = strain + strain.T

    def energy(t: float, along_strain: bool) -> float:
        moved = atoms.copy()
        if along_strain:
            moved.set_cell(atoms.cell[:] @ (np.eye(3) + t * strain), scale_atoms=True)
        else:
            moved.positions += t * step
        moved.calc = atoms.calc.__class__(objective, scale=2.0)
        return moved.get_potential_energy()

    for along_strain, exact in ((False, -(forces * step).sum()), (True, (stress * strain).sum() * atoms.get_volume())):
        near, far = (energy(k * h, along_strain) - energy(-k * h, along_strain) for k in (1, 2))
        found = (8 * near - far) / (12 * h)
        assert found == pytest.approx(exact, rel=1e-6)
    assert set(atoms.calc.results["terms"]) == set(objective.term_names)


def test_optimisers_and_filters(objective: Objective) -> None:
    atoms = alloy(51)
    atoms.calc = GRSCalculator(objective)
    before = atoms.get_potential_energy()
    # threads of a linear-algebra library only get in each other's way on 12 variables
    with threadpool_limits(1):
        BFGS(atoms, logfile=None).run(fmax=1e-3, steps=50)
        fixed_cell = atoms.get_potential_energy()
        FIRE(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-3, steps=30)
    assert atoms.get_potential_energy() < fixed_cell < before


def test_dynamics_conserve_energy(objective: Objective) -> None:
    atoms = alloy(52, 0.05)
    atoms.calc = GRSCalculator(objective, scale=0.1)
    atoms.set_momenta(np.zeros((4, 3)))
    start, potential = atoms.get_total_energy(), atoms.get_potential_energy()
    VelocityVerlet(atoms, timestep=1.0 * units.fs).run(50)
    moved = abs(atoms.get_potential_energy() - potential)
    assert moved > 0
    assert abs(atoms.get_total_energy() - start) < 0.02 * moved


def test_made_from_a_target(objective: Objective, basis: Basis) -> None:
    atoms = alloy(53)
    atoms.calc = GRSCalculator(objective.target, basis, objective.options)
    assert atoms.get_potential_energy() == objective.evaluate(from_atoms(atoms, basis.elements)).value
    again = alloy(53)
    again.calc = GRSCalculator(objective.target, options=objective.options)
    assert again.get_potential_energy() == atoms.get_potential_energy()
    with pytest.raises(CalculatorSetupError, match="basis"):
        GRSCalculator(Target.from_arrays(objective.target.to_arrays()))


def test_what_cannot_be_had_is_an_error(objective: Objective) -> None:
    atoms = alloy(54)
    atoms.calc = GRSCalculator(objective)
    atoms.positions[1] = atoms.positions[0]
    with pytest.raises(ValueError, match="not finite"):
        atoms.get_potential_energy()
    atoms = bulk("Fe")
    atoms.calc = GRSCalculator(objective)
    with pytest.raises(InputError, match="element Fe"):
        atoms.get_potential_energy()
