"""Options and basis as the numbers that the compiled loss reads."""

from __future__ import annotations

import numpy as np
from loss_systems import gold_copper

from grs_evo.kernels.loss import effective, norms
from grs_evo.loss.options import CoreOptions, LossOptions
from grs_evo.loss.plan import blank_plan


def test_a_blank_plan_has_each_elements_functions_in_their_places() -> None:
    basis = gold_copper()
    plan = blank_plan(basis, LossOptions(covariance=1.0))
    sizes = np.array(basis.sizes)
    assert plan.sizes.tolist() == sizes.tolist()
    assert plan.offsets.tolist() == [0, sizes[0], sizes.sum()]
    assert plan.starts.tolist() == [0, sizes[0] ** 2, (sizes**2).sum()]
    assert plan.target.shape == (4, sizes.sum())
    assert len(plan.target_covariance) == plan.starts[-1]
    assert (plan.set_counts == 0).all()


def test_options_come_through() -> None:
    options = LossOptions(
        mean=0.0, kurtosis=0.5, norm="huber", delta=0.3, distribution="per_element", w_set=-0.1,
        core=CoreOptions(kind="zbl", strength=2.0),
    )  # fmt: skip
    plan = blank_plan(gold_copper(), options)
    assert plan.alpha.tolist() == [0.0, 1.0, 0.0, 0.5, 0.0]
    assert plan.active.tolist() == [True, True, False, True, False]  # mean and variance are always reported
    assert (plan.norm, plan.delta, plan.pooled, plan.w_set) == (norms.HUBER, 0.3, False, -0.1)
    assert (plan.core_kind, plan.core_strength) == (effective.ZBL, 2.0)
    assert (blank_plan(gold_copper(), LossOptions(core=CoreOptions(kind="none"))).core_outer == 0.0).all()
