"""In which units differences are taken: spreads, their floor, references, principal axes; core distances."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.data import atomic_numbers, covalent_radii
from loss_systems import gold_copper, some

from grs_evo.descriptors.basis import Basis
from grs_evo.errors import InputError
from grs_evo.loss.objective import make_objective
from grs_evo.loss.options import CoreOptions, LossOptions
from grs_evo.loss.scaling import core_distances
from grs_evo.structures.structure import from_atoms
from grs_evo.targets.target import Target

NO_CORE = CoreOptions(kind="none")


@pytest.fixture(scope="module")
def basis() -> Basis:
    return gold_copper()


def test_the_crystal_against_itself_scales_with_a_floor_and_says_so(basis: Basis) -> None:
    crystal = from_atoms(bulk("Cu", "fcc", a=3.7), basis.elements)
    objective = make_objective(basis, Target.from_structures(crystal, basis), LossOptions(core=NO_CORE))
    assert objective.evaluate(crystal).value < 1e-10
    assert np.isfinite(objective.evaluate(some(0)).value)
    assert len(objective.notes) == 1
    assert "no spread in the target" in objective.notes[0]
    assert not make_objective(basis, Target.from_structures([some(0), some(1)], basis)).notes


def test_whitening_needs_references_that_differ(basis: Basis) -> None:
    target = Target.from_structures([some(100), some(101, 7)], basis)
    reference = [some(200)]
    with pytest.raises(InputError, match="needs random reference structures"):
        make_objective(basis, target, LossOptions(scale="whitened"))
    with pytest.raises(InputError, match=r"the means of the 5 .* do not differ"):
        make_objective(basis, target, LossOptions(scale="whitened"), reference=reference * 5)


def test_whitening_with_fewer_references_than_functions_sees_every_mismatch(basis: Basis) -> None:
    """Half of the axes, and random directions of the rest: the spread over the references is 1 along each."""
    target = Target.from_structures([some(100), some(101, 7)], basis)
    reference = [some(k, 5 + k % 4) for k in range(200, 220)]
    judge = make_objective(basis, target, LossOptions(scale="whitened", variance=0.0), reference=reference)
    n = int(judge.plan.n_components[0])
    assert n == 9 + 64 < basis.n_desc
    assert "20 random structures do not tell all principal axes" in judge.notes[0]
    axes = judge.plan.axes[0, :, :n]
    means = np.array([Target.from_structures(s, basis).moments.standardised("pooled")[0] for s in reference])
    np.testing.assert_allclose((means @ axes).std(axis=0), 1.0, rtol=1e-6)
    # a mismatch that no reference shows
    moves = means.std(axis=0) > 1e-6 * np.abs(means).max(axis=0)
    within = means[:, moves] - means[:, moves].mean(axis=0)
    odd = np.random.default_rng(1).standard_normal(int(moves.sum()))
    odd -= np.linalg.pinv(within) @ (within @ odd)
    assert np.abs(odd @ axes[moves]).max() > 1e-3 * np.linalg.norm(odd / means[:, moves].std(axis=0))


def test_scales_are_the_spread_of_target_or_reference(basis: Basis) -> None:
    target = Target.from_structures([some(k) for k in range(6)], basis)
    spread = np.sqrt(target.moments.standardised("pooled")[1])
    own = make_objective(basis, target, LossOptions(scale_floor=1e-9)).plan
    np.testing.assert_allclose(own.inverse[0] * spread, 1.0, rtol=1e-9)
    np.testing.assert_allclose(own.inverse[1], own.inverse[0] ** 2, rtol=1e-12)
    reference = [some(k) for k in range(300, 330)]
    plan = make_objective(basis, target, LossOptions(scale="reference", scale_floor=1e-9), reference=reference).plan
    means = np.array([Target.from_structures(s, basis).moments.standardised("pooled")[0] for s in reference])
    np.testing.assert_allclose(plan.inverse[0] * means.std(axis=0), 1.0, rtol=1e-6)
    assert (make_objective(basis, target, LossOptions(scale="none")).plan.inverse == 1.0).all()


def test_core_distances_are_shares_of_radii_unless_given() -> None:
    options = CoreOptions(fraction=0.5, width=0.1, distances={"Cu-Au": 2.0})
    inner, outer = core_distances(["Au", "Cu"], options)
    assert inner[0, 0] == pytest.approx(covalent_radii[atomic_numbers["Au"]])
    assert inner[0, 1] == inner[1, 0] == 2.0
    np.testing.assert_allclose(outer, 1.1 * inner)
    with pytest.raises(InputError, match="must be > 0"):
        core_distances(["Au", "Cu"], CoreOptions(distances={"Au-Cu": 0.0}))
