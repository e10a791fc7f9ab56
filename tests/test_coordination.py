"""The loss term of coordination: zero at the target, slopes by differences, on by default where bonds are strong."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from slopes import by_position, by_strain

import grs_evo
from grs_evo import InputError
from grs_evo.driver.config.from_target import with_target_defaults
from grs_evo.driver.config.run_file import parse
from grs_evo.loss.terms.coordination import gaps, has_strong_bonds
from grs_evo.structures.structure import from_atoms

ELEMENTS = ("O", "Si")
RUN = """
[target]
files = ["target.xyz"]
[candidates]
kind = "random"
sizes = [24, 24]
[stop]
generations = 1
"""


def silica(seed: int = 0, rattle: float = 0.03) -> Atoms:
    """Ideal β-cristobalite, rattled: every Si has four O, every O two Si."""
    silicon = bulk("Si", "diamond", a=7.16, cubic=True)
    first, second = np.nonzero(np.triu(silicon.get_all_distances(mic=True) < 3.2, 1))
    bonds = [silicon.get_distance(int(i), int(j), mic=True, vector=True) for i, j in zip(first, second, strict=True)]
    atoms = silicon + Atoms(f"O{len(bonds)}", silicon.positions[first] + 0.5 * np.array(bonds))
    atoms.rattle(rattle, seed=seed)
    return atoms


@pytest.fixture(scope="module")
def basis() -> grs_evo.Basis:
    return grs_evo.build_basis(ELEMENTS, (3,), (0,), 5.0)


def objective(basis: grs_evo.Basis, atoms: Atoms) -> grs_evo.Objective:
    loss = grs_evo.LossOptions(
        mean=0.0, variance=0.0, terms={"coordination": 1.0}, core=grs_evo.CoreOptions(kind="none")
    )
    return grs_evo.make_objective(basis, grs_evo.Target.from_structures(atoms, basis), loss)


@pytest.fixture(scope="module")
def bonds_only() -> grs_evo.Basis:
    """Cutoffs within which only Si-O has both of its shells."""
    return grs_evo.build_basis(ELEMENTS, (3,), (0,), {"O-O": 2.4, "O-Si": 4.5, "Si-Si": 2.8})


def test_nothing_where_all_have_their_number(bonds_only) -> None:
    measured = objective(bonds_only, silica(1))
    assert measured.evaluate(silica(1)).value == 0.0
    assert measured.evaluate(silica(1) * (2, 1, 1)).value == 0.0
    assert measured.evaluate(silica(2)).value < 1e-3  # other distances, the same numbers


def test_one_oxygen_astray_is_counted(bonds_only) -> None:
    """An O that leaves one of its two Si: an Si with three of four O, an O with one of two Si, of 24 atoms."""
    measured = objective(bonds_only, silica(1, rattle=0.0))
    broken = silica(1, rattle=0.0)
    oxygen = int(broken.symbols.search("O")[0])
    vectors = broken.get_distances(oxygen, broken.symbols.search("Si"), mic=True, vector=True)
    nearest = vectors[np.argmin(np.linalg.norm(vectors, axis=1))]
    # sideways of the bond to the other Si, as far from it as before: beyond the gap from the first one
    side = np.cross(nearest, (0.0, 0.0, 1.0))
    broken.positions[oxygen] += -nearest + 1.55 * side / np.linalg.norm(side)
    delta = 0.1
    one = np.sqrt(1 + delta**2) - delta  # pseudo-Huber of a count off by one
    assert 1.0 * one / 24 < measured.evaluate(broken).value < 6.0 * one / 24


def test_slopes_are_differences(basis) -> None:
    measured = objective(basis, silica(1))
    atoms = silica(3, rattle=0.4)
    _, forces, virial = measured.gradient(atoms)

    def value(moved):
        return measured.evaluate(moved).value

    step = 1e-6
    for atom, axis in ((0, 0), (9, 1), (20, 2)):
        assert forces[atom, axis] == pytest.approx(-by_position(value, atoms, atom, axis, step), rel=1e-5, abs=1e-8)
    for a, b in ((0, 0), (1, 2)):
        assert virial[a, b] == pytest.approx(-by_strain(value, atoms, a, b, step), rel=1e-5, abs=1e-7)


def test_a_gap_is_where_no_neighbours_are(basis) -> None:
    found = gaps([from_atoms(silica(1), ELEMENTS)], basis)
    inner, outer = found[1, 0]
    assert found[0, 1] == (inner, outer)
    assert 1.6 < inner < 1.8
    assert 3.2 < outer < 4.0


def test_strong_bonds_are_those_of_networks_and_molecules(basis) -> None:
    assert has_strong_bonds([from_atoms(silica(), ELEMENTS)], basis)
    water = molecule("H2O", vacuum=1.0, pbc=True)
    box = water * (2, 2, 2)
    own = grs_evo.build_basis(("H", "O"), (3,), (0,), 5.0)
    assert has_strong_bonds([from_atoms(box, ("H", "O"))], own)
    alone = grs_evo.build_basis(("Cu",), (3,), (0,), 5.0)
    copper = bulk("Cu", cubic=True) * (3, 3, 3)
    copper.rattle(0.05, seed=0)
    assert not has_strong_bonds([from_atoms(copper, ("Cu",))], alone)  # a gap, but twelve neighbours
    gas = Atoms("Cu4", np.diag([0.0, 1.0, 1.0, 0.0])[:, :3] * 7.0, cell=[14.0] * 3, pbc=True)
    assert not has_strong_bonds([from_atoms(gas, ("Cu",))], alone)


def test_random_cells_of_a_network_have_it_by_default(basis) -> None:
    structures = [from_atoms(silica(), ELEMENTS)]
    run, notes = with_target_defaults(parse(RUN, "run.toml"), structures, basis)
    assert run.loss.terms == {"pair_distances": 0.5, "coordination": 0.1}
    assert any("loss.terms.coordination = 0.1" in note for note in notes)
    run, _ = with_target_defaults(parse(RUN + "[loss]\nterms = {}\n", "run.toml"), structures, basis)
    assert run.loss.terms == {}


def test_a_target_without_such_shells_is_refused() -> None:
    melt = bulk("Cu", "sc", a=2.4) * (5, 5, 5)
    melt.rattle(0.25, seed=0)
    with pytest.raises(InputError, match="no element of the target has neighbours in a first shell with a gap"):
        objective(grs_evo.build_basis(("Cu",), (3,), (0,), 5.0), melt)
