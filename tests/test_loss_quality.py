"""Losses beside the sampling noise of the target, and which functions are off."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from loss_systems import gold_copper, some

from grs_evo.descriptors.basis import Basis
from grs_evo.descriptors.describe import describe
from grs_evo.loss.objective import make_objective
from grs_evo.loss.options import LossOptions
from grs_evo.loss.quality import (
    LEAST_NOISE,
    over_noise,
    quality,
    sampling_losses,
    sampling_noise,
    score,
    score_table,
    without_extras,
)
from grs_evo.structures.structure import from_atoms
from grs_evo.targets.target import Target


@pytest.fixture(scope="module")
def basis() -> Basis:
    return gold_copper()


def test_the_noise_is_the_loss_of_random_environments_of_the_target(basis: Basis) -> None:
    target = Target.from_structures([some(k) for k in range(30)], basis)
    objective = make_objective(basis, target)
    losses = sampling_losses(objective, 16, draws=200)
    assert np.median(losses) == pytest.approx(sampling_noise(objective, 16, draws=200))
    ratio = sampling_noise(objective, 16, draws=200) / sampling_noise(objective, 64, draws=200)
    assert 1.6 < ratio < 2.5  # the mean's falls with the root of the number, the variance's nearly so
    assert (losses == sampling_losses(objective, 16, draws=200)).all()
    found = quality(objective, some(3), [some(k, 7) for k in range(50, 60)])
    assert found.noise_ratio == pytest.approx(found.structure_loss / found.noise)
    assert 0 < found.baseline_ratio < 5


def test_a_crystal_has_no_sampling_noise(basis: Basis) -> None:
    crystal = from_atoms(bulk("Cu", "fcc", a=3.7, cubic=True), basis.elements)
    objective = make_objective(basis, Target.from_structures(crystal, basis))
    assert sampling_noise(objective, 4, draws=20) < LEAST_NOISE
    found = quality(objective, some(3))
    assert np.isnan(found.noise)
    assert np.isnan(found.noise_ratio)


def test_scores_name_the_functions_that_are_off(basis: Basis) -> None:
    s = some(0)
    target = Target.from_structures([s, some(1)], basis)
    objective = make_objective(basis, target)
    result = score(objective, s)
    wide = describe(s, basis)
    t = target.moments.standardised()
    np.testing.assert_allclose(result.deviations, (wide.mean(0) - t[0]) / np.sqrt(t[1]), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(result.variance_ratios, wide.var(0) / t[1], rtol=1e-8)
    table = score_table(objective, result, limit=3)
    assert len(table) == 3
    sizes = [abs(row["deviation"]) for row in table]
    assert sizes == sorted(sizes, reverse=True)
    assert table[0]["element"] in basis.elements


def test_over_noise_is_the_loss_in_units_of_the_noise(basis: Basis) -> None:
    objective = make_objective(basis, Target.from_structures([some(k) for k in range(4)], basis))
    found = over_noise(objective, 0.3, 8)
    assert found.noise == sampling_noise(objective, 8)
    assert found.ratio == pytest.approx(0.3 / found.noise)


def test_extras_do_not_count_in_what_environments_are_compared_by(basis: Basis) -> None:
    target = Target.from_structures([some(k) for k in range(4)], basis)
    options = LossOptions(w_entropy=0.2, reward=0.1, tolerance=0.5, w_structure=0.5)
    bare = without_extras(make_objective(basis, target, options))
    plain = make_objective(basis, target)
    rows, species = target.sample_rows[:6], target.sample_species[:6]
    assert bare.rows_loss(rows, species).value == plain.rows_loss(rows, species).value
