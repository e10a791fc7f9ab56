"""The loss against its plain formula, its gradients against finite differences, and the answers known in advance."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from ase.build import bulk, make_supercell
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_systems import gold_copper, some

from grs_evo.descriptors.basis import Basis, build_basis
from grs_evo.descriptors.describe import describe, describe_compact
from grs_evo.errors import InputError
from grs_evo.loss.objective import Objective, make_objective
from grs_evo.loss.options import CoreOptions, LossOptions
from grs_evo.structures.structure import Structure, from_atoms
from grs_evo.targets import moments
from grs_evo.targets.target import Target

NO_CORE = CoreOptions(kind="none")
WIDE_CORE = CoreOptions(fraction=1.0, width=0.2, strength=3.0)


@pytest.fixture(scope="module")
def basis() -> Basis:
    return gold_copper()


@pytest.fixture(scope="module")
def target(basis: Basis) -> Target:
    return Target.from_structures([some(100), some(101, 7), some(102)], basis, covariance=True)


@pytest.fixture(scope="module")
def reference() -> list[Structure]:
    return [some(k, 5 + k % 4) for k in range(200, 320)]


def plain_loss(structure: Structure, target: Target, basis: Basis, options: LossOptions) -> float:
    """Σ_p α_p ΔM_p from the wide matrix, target scale, straight from the definition."""
    wide = describe(structure, basis)
    mean, variance = wide.mean(0), wide.var(0)
    sd = np.sqrt(variance)
    t = target.moments.standardised("pooled")
    spread = np.maximum(np.sqrt(t[1]), options.scale_floor * np.sqrt(t[0] ** 2 + t[1]))
    skew = ((wide - mean) ** 3).mean(0) / sd**3
    kurt = ((wide - mean) ** 4).mean(0) / sd**4
    x = [(mean - t[0]) / spread, (variance - t[1]) / spread**2, skew - t[2], kurt - t[3]]
    weights = [options.mean, options.variance, options.skewness, options.kurtosis]
    return float(sum(w * np.abs(r).mean() for w, r in zip(weights, x, strict=True)))


def test_l1_is_the_definition(basis: Basis, target: Target) -> None:
    options = LossOptions(mean=1.0, variance=0.7, skewness=0.3, kurtosis=0.1, core=NO_CORE)
    objective = make_objective(basis, target, options)
    evaluation = objective.evaluate(some(0))
    assert evaluation.ok
    assert evaluation.value == pytest.approx(plain_loss(some(0), target, basis, options), rel=1e-9)
    assert objective.term_names == ("structure", "mean", "variance", "skewness", "kurtosis", "raw")
    raw = make_objective(basis, target, options.model_copy(update={"scale": "none"})).evaluate(some(0))
    assert evaluation.terms[-1] == pytest.approx(raw.value, rel=1e-12)


# -- gradients ----------------------------------------------------------------------------------------------------

OPTIONS: dict[str, dict[str, Any]] = {
    "l1": {},
    "l1 unscaled": {"scale": "none"},
    "l1 reference": {"scale": "reference"},
    "l1 whitened": {"scale": "whitened"},
    "l2": {"norm": "l2"},
    "l2 whitened": {"norm": "l2", "scale": "whitened"},
    "huber": {"norm": "huber", "delta": 0.1},
    "huber whitened": {"norm": "huber", "delta": 0.5, "scale": "whitened"},
    "mean only": {"variance": 0.0},
    "variance only": {"mean": 0.0},
    "skewness and kurtosis": {"skewness": 0.5, "kurtosis": 0.2},
    # thousands of entries of a covariance: some kink of l1 is always near
    "covariance": {"covariance": 0.5, "norm": "l2"},
    "covariance huber": {"covariance": 0.5, "norm": "huber", "delta": 0.2},
    "per element": {
        "norm": "huber", "delta": 0.2, "distribution": "per_element", "skewness": 0.5, "kurtosis": 0.2,
        "covariance": 0.3,
    },
    "set": {"w_set": 0.8},
    "set of all moments": {
        "norm": "l2", "w_set": 0.8, "w_structure": 0.3, "skewness": 0.5, "kurtosis": 0.2, "covariance": 0.3,
    },
    "set per element": {"w_set": 1.0, "w_structure": 0.0, "distribution": "per_element", "skewness": 0.2},
    "reversed": {"w_structure": -0.01, "w_set": -0.02},
    "entropy": {"w_entropy": 0.5},
    "reward": {"reward": 0.3, "tolerance": 0.2},
    "core": {"core": WIDE_CORE},
    "core zbl": {"core": CoreOptions(kind="zbl", fraction=1.0, width=0.2, strength=1e-3)},
    "everything": {
        "norm": "huber", "delta": 0.2, "skewness": 0.5, "kurtosis": 0.2, "covariance": 0.3,
        "w_set": 0.5, "w_entropy": 0.5,
        "scale": "reference", "core": WIDE_CORE,
    },
}  # fmt: skip


def slope_error(objective: Objective, structure: Structure, seed: int) -> float:
    """Largest error of directional derivatives, over the largest of them; positions and strain, central differences."""
    rng = np.random.default_rng(seed)
    evaluation, forces, virial = objective.gradient(structure)
    assert evaluation.ok
    h = 2e-4
    errors, sizes = [], []
    for _ in range(4):
        step = rng.normal(size=structure.positions.shape)
        strain = rng.normal(scale=0.3, size=(3, 3))

        def moved(t: float, step: np.ndarray = step, strain: np.ndarray = strain) -> float:
            turn = np.eye(3) + t * strain
            positions = structure.positions @ turn.T + t * step @ turn.T
            return objective.evaluate(structure.replace(positions=positions, cell=structure.cell @ turn.T)).value

        found = (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h)
        exact = -(forces * step).sum() - (virial * strain).sum()
        errors.append(abs(found - exact))
        sizes.append(abs(exact))
    return max(errors) / max(sizes)


def build(name: str, basis: Basis, target: Target, reference: list[Structure]) -> Objective:
    options = LossOptions(**({"core": NO_CORE} | OPTIONS[name]))
    collected = moments.merge_all(
        [
            moments.moments_of(describe_compact(s, basis), s.species, basis.sizes, covariance=True)
            for s in (some(7), some(8, 5))
        ],
        basis.sizes,
        covariance=True,
    )
    return make_objective(basis, target, options, collected, reference)


@pytest.mark.parametrize("name", OPTIONS)
def test_gradients_are_those_of_finite_differences(
    name: str, basis: Basis, target: Target, reference: list[Structure]
) -> None:
    objective = build(name, basis, target, reference)
    assert slope_error(objective, some(1), seed=1) < 1e-7
    evaluation, forces, virial = objective.gradient(some(1))
    assert evaluation.value == pytest.approx(objective.evaluate(some(1)).value, rel=1e-13)
    np.testing.assert_allclose(forces.sum(axis=0), 0.0, atol=1e-9 * np.abs(forces).max())
    np.testing.assert_allclose(virial, virial.T, atol=1e-9 * np.abs(virial).max())


def test_gradients_with_one_element_missing(basis: Basis, target: Target, reference: list[Structure]) -> None:
    for name in ("everything", "set per element", "per element"):
        objective = build(name, basis, target, reference)
        assert slope_error(objective, some(3, 6, elements=1), seed=2) < 1e-7


def test_rows_gradient(basis: Basis, target: Target, reference: list[Structure]) -> None:
    objective = build("everything", basis, target, reference)
    s = some(2)
    rows = describe_compact(s, basis)
    _, slope = objective.rows_gradient(rows, s.species)
    step = np.random.default_rng(0).normal(size=rows.shape) / objective.plan.inverse[0].max()
    h = 1e-3
    found = (
        objective.rows_gradient(rows + h * step, s.species)[0] - objective.rows_gradient(rows - h * step, s.species)[0]
    )
    assert found / (2 * h) == pytest.approx((slope * step).sum(), rel=1e-5)


# -- known answers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["none", "target", "reference", "whitened"])
def test_a_structure_against_itself_is_zero_and_others_are_more(
    scale: str, basis: Basis, reference: list[Structure]
) -> None:
    s = some(5)
    own = Target.from_structures(s, basis)
    objective = make_objective(basis, own, LossOptions(scale=scale, skewness=1.0, core=NO_CORE), reference=reference)  # type: ignore[arg-type]
    size = objective.evaluate(some(6)).value
    assert objective.evaluate(s).value < 1e-9 * size
    for seed in range(10, 30):
        assert objective.evaluate(some(seed)).value > 0.02 * size
    nudged = s.replace(positions=s.positions + 1e-3 * np.eye(8, 3))
    assert objective.evaluate(nudged).value > 1e-6 * size


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(-1, 2), min_size=9, max_size=9).filter(
    lambda m: 1 <= abs(round(np.linalg.det(np.reshape(m, (3, 3))))) <= 4
))  # fmt: skip
def test_any_supercell_changes_nothing(matrix: list[int]) -> None:
    basis = build_basis(["Au", "Cu"], n_max=(3, 2, 1), l_max=(0, 2, 1), cutoff=4.2)
    atoms = bulk("Cu", "fcc", a=3.8, cubic=True)
    atoms.symbols[0] = "Au"
    atoms.rattle(0.2, seed=1)
    transformation = np.reshape(matrix, (3, 3))
    if np.linalg.det(transformation) < 0:
        transformation = -transformation
    larger = from_atoms(make_supercell(atoms, transformation), basis.elements)
    objective = make_objective(basis, Target.from_structures(some(0), basis), LossOptions(skewness=0.1, core=WIDE_CORE))
    small, large = objective.evaluate(from_atoms(atoms, basis.elements)), objective.evaluate(larger)
    np.testing.assert_allclose(large.terms, small.terms, rtol=1e-9)


def test_the_set_loss_of_a_partition_is_zero_at_the_whole(basis: Basis) -> None:
    parts = [some(k, 4 + k) for k in range(4)]
    whole = Target.from_structures(parts, basis, covariance=True)
    options = LossOptions(w_structure=0.0, w_set=1.0, skewness=0.5, kurtosis=0.5, covariance=0.5, core=NO_CORE)
    objective = make_objective(basis, whole, options)
    losses = []
    collected = None
    for part in parts:
        losses.append(objective.with_set(collected).evaluate(part).value)
        own = objective.moments_of(part)
        collected = own if collected is None else moments.merge(collected, own)
    assert losses[-1] < 1e-7 * losses[0]
    assert min(losses[:-1]) > 1e-3 * losses[0]


def test_set_loss_and_moments_loss_agree(basis: Basis, target: Target) -> None:
    """With w_2 alone, a structure beside a set scores as the merged moments do as one structure."""
    options = LossOptions(w_structure=0.0, w_set=1.0, skewness=0.5, covariance=0.3, core=NO_CORE)
    objective = make_objective(basis, target, options)
    a, b = objective.moments_of(some(1)), objective.moments_of(some(2))
    together = objective.with_set(a).evaluate(some(2)).value
    alone = make_objective(basis, target, options.model_copy(update={"w_structure": 1.0, "w_set": 0.0}))
    assert alone.moments_loss(moments.merge(a, b)).value == pytest.approx(together, rel=1e-10)


def test_a_random_alloy_is_matched_better_by_larger_random_cells(basis: Basis) -> None:
    lattice = bulk("Cu", "fcc", a=3.8)
    alloy = Target.random_alloy(lattice, basis, {"Au": 0.5, "Cu": 0.5}, samples=500)
    objective = make_objective(basis, alloy, LossOptions(core=NO_CORE))
    medians = []
    for repeats in (2, 4):
        cells = from_atoms(lattice * (repeats, repeats, repeats), ["Cu"])
        n = cells.n_atoms
        made = [cells.replace(species=np.random.default_rng(k).permutation(np.arange(n) % 2)) for k in range(9)]
        medians.append(np.median([objective.evaluate(one).value for one in made]))
    assert medians[1] < 0.6 * medians[0]


def test_reversed_weights_reward_distance(basis: Basis, target: Target) -> None:
    forward = make_objective(basis, target, LossOptions(core=NO_CORE))
    back = make_objective(basis, target, LossOptions(w_structure=-0.01, core=NO_CORE))
    flipped = make_objective(basis, target, LossOptions(mean=-1.0, variance=0.0, core=NO_CORE))
    for seed in range(5):
        assert back.evaluate(some(seed)).value == pytest.approx(-0.01 * forward.evaluate(some(seed)).value)
        e, forces, _ = back.gradient(some(seed))
        away = some(seed).replace(positions=some(seed).positions + 1e-4 * forces / np.abs(forces).max())
        assert forward.evaluate(away).value > forward.evaluate(some(seed)).value
        assert flipped.evaluate(some(seed)).value < 0
        assert e.ok


def test_order_of_atoms_images_and_turns_change_nothing(basis: Basis, target: Target) -> None:
    objective = make_objective(basis, target, LossOptions(skewness=0.3, w_entropy=0.1, core=WIDE_CORE))
    s = some(4)
    value = objective.evaluate(s).value
    order = np.random.default_rng(0).permutation(8)
    assert objective.evaluate(s.replace(positions=s.positions[order], species=s.species[order])).value == pytest.approx(
        value, rel=1e-11
    )
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    assert objective.evaluate(s.replace(positions=s.positions @ turn + 1.3, cell=s.cell @ turn)).value == pytest.approx(
        value, rel=1e-9
    )
    images = s.positions + np.random.default_rng(2).integers(-2, 3, (8, 3)) @ s.cell
    assert objective.evaluate(s.replace(positions=images)).value == pytest.approx(value, rel=1e-9)


def test_entropy_prefers_spread_environments(basis: Basis, target: Target) -> None:
    objective = make_objective(basis, target, LossOptions(w_structure=0.0, w_entropy=1.0, core=NO_CORE))
    crystal = from_atoms(bulk("Cu", "fcc", a=3.8, cubic=True), basis.elements)
    entropy = {k: -objective.evaluate(s).value for k, s in {"crystal": crystal, "rattled": some(0, 8, 1)}.items()}
    assert entropy["crystal"] == pytest.approx(0.5 * np.log(1e-4) - 0.125 * np.log(3.0), rel=1e-6)
    assert entropy["rattled"] > entropy["crystal"] + 2
    assert (
        objective.evaluate(from_atoms(bulk("Cu"), basis.elements)).value == 0.0
    )  # one atom has no neighbour to spread from


def test_rewards_count_matched_functions(basis: Basis) -> None:
    s = some(0)
    objective = make_objective(
        basis, Target.from_structures(s, basis), LossOptions(reward=0.25, tolerance=1e-6, core=NO_CORE)
    )
    at_target, elsewhere = objective.evaluate(s), objective.evaluate(some(1))
    matched = objective.term_names.index("matched")
    assert at_target.terms[matched] == 1.0
    assert at_target.value == pytest.approx(-0.25)
    assert at_target.terms[0] < 1e-9  # the loss itself is reported without the reward
    assert elsewhere.terms[matched] < 0.2


def test_the_core_is_exactly_zero_beyond_its_range_and_smooth_at_it(basis: Basis, target: Target) -> None:
    for core in (CoreOptions(fraction=1.0, width=0.1), CoreOptions(kind="zbl", fraction=1.0, width=0.1)):
        objective = make_objective(basis, target, LossOptions(w_structure=0.0, core=core))
        reach = objective.plan.core_outer[0, 1]
        pair = Structure([[5.0, 5, 5], [5 + reach, 5, 5]], np.eye(3) * 30, np.array([0, 1]), np.zeros(3, bool))

        def at(r: float, pair: Structure = pair, objective: Objective = objective) -> tuple[float, float]:
            moved = pair.replace(positions=np.array([[5.0, 5, 5], [5 + r, 5, 5]]))
            e, forces, _ = objective.gradient(moved)
            return e.value, forces[1, 0]

        assert at(reach + 1e-9) == (0.0, 0.0)
        assert 0 < at(reach - 1e-3)[0] < 1e-4 * at(0.8 * reach)[0]
        energies = [at(f * reach)[0] for f in (0.2, 0.4, 0.6, 0.8, 0.95)]
        assert all(a > b for a, b in itertools.pairwise(energies))
        assert at(0.8 * reach)[1] > 0  # pushed apart
    ours = make_objective(basis, target, LossOptions(core=CoreOptions(distances={"Cu-Au": 2.0})))
    assert ours.plan.core_inner[0, 1] == ours.plan.core_inner[1, 0] == 2.0


# -- what goes wrong ----------------------------------------------------------------------------------------------


def test_atoms_on_top_of_each_other_are_not_ok(basis: Basis, target: Target) -> None:
    objective = make_objective(basis, target)
    on_top = some(0).replace(positions=np.vstack([some(0).positions[:7], some(0).positions[0]]))
    e, _forces, _virial = objective.gradient(on_top)
    assert not e.ok
    assert np.isnan(e.value)
    assert np.isnan(e.terms).all()
    assert len(e.terms) == len(objective.term_names)
    lost = some(0).replace(positions=np.full((8, 3), np.nan))
    assert not objective.evaluate(lost).ok
    flat = some(0).replace(cell=np.ones((3, 3)))
    assert not objective.evaluate(flat).ok
    assert objective.evaluate(some(0)).ok  # and the scratch arrays are none the worse


def test_nothing_that_is_not_finite_is_ever_ok(basis: Basis, target: Target) -> None:
    objective = make_objective(basis, target, LossOptions(skewness=1.0, kurtosis=1.0, norm="l2", w_entropy=1.0))
    for gap in (1e-4, 1e-3, 2e-3, 0.1):
        near = some(0).replace(positions=np.vstack([some(0).positions[:7], some(0).positions[0] + [gap, 0, 0]]))
        e, forces, virial = objective.gradient(near)
        assert e.ok == bool(np.isfinite(e.value) and np.isfinite(forces).all() and np.isfinite(virial).all())


def test_refusals(basis: Basis, target: Target) -> None:
    with pytest.raises(InputError, match="another basis"):
        make_objective(build_basis(["Au", "Cu"], n_max=(2,), l_max=(0,), cutoff=4.0), target)
    with pytest.raises(InputError, match="beyond the basis's cutoff"):
        make_objective(basis, target, LossOptions(core=CoreOptions(fraction=1.9)))
    with pytest.raises(InputError, match="no pair of the elements"):
        make_objective(basis, target, LossOptions(core=CoreOptions(distances={"Au-Fe": 2.0})))
    bare = Target.from_structures([some(0), some(1)], basis)
    with pytest.raises(InputError, match="grs-evo target --covariance"):
        make_objective(basis, bare, LossOptions(covariance=1.0))
    with pytest.raises(ValueError, match="moment_five"):
        LossOptions(moment_five=1.0)  # type: ignore[call-arg]


def test_with_target_follows_the_new_target(basis: Basis, target: Target) -> None:
    objective = make_objective(basis, target)
    other = Target.from_structures([some(0), some(1)], basis)
    assert objective.with_target(other).evaluate(some(2)).value == make_objective(basis, other).evaluate(some(2)).value


def test_the_same_bits_whatever_was_evaluated_before(basis: Basis, target: Target) -> None:
    fresh = make_objective(basis, target, LossOptions(w_entropy=0.1)).evaluate(some(1, 6))
    used = make_objective(basis, target, LossOptions(w_entropy=0.1))
    used.evaluate(from_atoms(bulk("Cu", "fcc", a=3.6) * (4, 4, 4), basis.elements))
    used.gradient(some(0))
    assert used.evaluate(some(1, 6)).terms.tobytes() == fresh.terms.tobytes()
