"""The loss term of pair distances: zero at the target, slopes by differences, contacts that the target never has."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from slopes import by_position, by_strain

import grs_evo
from grs_evo import InputError
from grs_evo.structures.neighbours import neighbours
from grs_evo.structures.structure import from_atoms

ELEMENTS = ("Cu", "Au")


def alloy(seed: int, rattle: float = 0.15) -> Atoms:
    rng = np.random.default_rng(seed)
    atoms = bulk("Cu", cubic=True, a=3.8) * (2, 2, 2)
    atoms.symbols[:] = rng.choice(ELEMENTS, len(atoms))
    atoms.rattle(rattle, rng=rng)
    return atoms


@pytest.fixture(scope="module")
def basis() -> grs_evo.Basis:
    return grs_evo.build_basis(ELEMENTS, (3, 1), (0, 1), 5.0)


@pytest.fixture(scope="module")
def target(basis) -> grs_evo.Target:
    return grs_evo.Target.from_structures([alloy(1), alloy(2)], basis)


def objective(basis, target, **options) -> grs_evo.Objective:
    options = {"weight": 1.0, **options}
    loss = grs_evo.LossOptions(
        mean=0.0, variance=0.0, terms={"pair_distances": options}, core=grs_evo.CoreOptions(kind="none")
    )
    return grs_evo.make_objective(basis, target, loss)


def test_a_copy_of_the_target_has_none_and_all_else_more(basis) -> None:
    atoms = alloy(3)
    own = objective(basis, grs_evo.Target.from_structures(atoms, basis))
    assert own.evaluate(atoms).value == pytest.approx(0.0, abs=1e-12)
    assert own.evaluate(atoms * (2, 1, 1)).value == pytest.approx(0.0, abs=1e-12)
    moved = atoms.copy()
    moved.rattle(0.05, seed=4)
    swapped = atoms.copy()
    swapped.symbols[:] = ["Au" if s == "Cu" else "Cu" for s in atoms.get_chemical_symbols()]
    assert own.evaluate(moved).value > 1e-3
    assert own.evaluate(swapped).value > own.evaluate(moved).value


def test_it_does_not_depend_on_orientation_place_or_order(basis, target) -> None:
    measured = objective(basis, target)
    atoms = alloy(5)
    turned = atoms.copy()
    turned.rotate(37.0, (1, 2, 3), rotate_cell=True)
    turned.translate((1.3, -2.0, 0.7))
    turned.wrap()
    turned = turned[np.random.default_rng(0).permutation(len(turned))]
    assert measured.evaluate(turned).value == pytest.approx(measured.evaluate(atoms).value, rel=1e-9)


def test_forces_and_virial_are_differences(basis, target) -> None:
    measured = objective(basis, target)
    atoms = alloy(6)
    atoms.calc = grs_evo.GRSCalculator(measured)
    forces, stress = atoms.get_forces(), atoms.get_stress(voigt=False)
    per_value = atoms.get_potential_energy() / measured.evaluate(atoms).value

    def energy(moved):
        return measured.evaluate(moved).value * per_value

    step = 1e-5
    for atom, axis in ((0, 0), (7, 1), (20, 2)):
        slope = by_position(energy, atoms, atom, axis, step)
        assert forces[atom, axis] == pytest.approx(-slope, rel=1e-4, abs=1e-7)
    for a, b in ((0, 0), (1, 2)):
        slope = by_strain(energy, atoms, a, b, step)
        assert stress[a, b] * atoms.get_volume() == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_it_is_smooth_where_pairs_pass_the_reach(basis, target) -> None:
    """Bins end before the cutoff, so that a pair that leaves it takes nothing along."""
    measured = objective(basis, target, reach=9.0)
    two = Atoms("CuAu", positions=[[0, 0, 0], [0, 0, 4.9999]], cell=[20, 20, 20], pbc=False)
    inside = measured.evaluate(two).value
    two.positions[1, 2] = 5.0001
    assert measured.evaluate(two).value == pytest.approx(inside, rel=1e-9)


def test_atoms_are_pushed_out_of_contacts_that_the_target_never_has(basis, target) -> None:
    measured = objective(basis, target)
    atoms = alloy(1)
    pair = neighbours(from_atoms(atoms, ELEMENTS), 3.2)
    near = atoms.copy()
    near.positions[int(pair.first[0])] += 0.35 * pair.vectors[0]
    near.calc = grs_evo.GRSCalculator(measured)
    assert measured.evaluate(near).value > 1.2 * measured.evaluate(atoms).value
    assert near.get_forces()[int(pair.first[0])] @ pair.vectors[0] < 0


def test_relaxation_finds_the_first_peak(basis, target) -> None:
    start = alloy(8, rattle=0.4)
    measured = objective(basis, target)
    done = grs_evo.relax(start, measured, grs_evo.RelaxOptions(cell="none"))
    assert done.value < 0.3 * measured.evaluate(start).value


def test_centres_limit_neighbours_to_theirs() -> None:
    structure = from_atoms(alloy(9), ELEMENTS)
    whole, some = neighbours(structure, 4.0), neighbours(structure, 4.0, np.array([3, 17]))
    keep = np.isin(whole.first, [3, 17])
    assert np.array_equal(some.first, whole.first[keep])
    assert np.array_equal(some.second, whole.second[keep])
    assert some.distances.tobytes() == whole.distances[keep].tobytes()


def test_what_it_cannot_be_compared_with(basis) -> None:
    alone = grs_evo.Target.random_alloy(bulk("Cu", cubic=True, a=3.8), basis, {"Cu": 0.5, "Au": 0.5})
    with pytest.raises(InputError, match="needs the structures of the target"):
        objective(basis, alone)
    with pytest.raises(InputError, match="width: is 2 Å; it must be below half"):
        objective(basis, grs_evo.Target.from_structures(alloy(1), basis), reach=3.0, width=2.0)
