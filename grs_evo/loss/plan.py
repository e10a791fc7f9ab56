"""Loss options and a basis into the plan that the compiled loss reads, before target, reference and set are known.

`scaling` then fills in what comes from the target, from reference structures and from a representative set.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.data import atomic_numbers

from grs_evo.descriptors.basis import Basis
from grs_evo.kernels.loss import effective, norms
from grs_evo.kernels.loss.distribution import LossPlan
from grs_evo.loss.options import LossOptions
from grs_evo.loss.scaling import check_core, core_distances

_NORMS = {"l1": norms.L1, "l2": norms.L2, "huber": norms.HUBER}
_CORES = {"none": 0, "polynomial": effective.POLYNOMIAL, "zbl": effective.ZBL}


def blank_plan(basis: Basis, options: LossOptions) -> LossPlan:
    """What options and basis alone determine; compared with a target of zeros, in units of 1, for an empty set.

    Raises
    ------
    InputError
        A core that no pair of elements has, or beyond the basis's cutoff.
    """
    return LossPlan(**_layout(basis), **_weights(options), **_nothing_yet(basis, options), **_core(basis, options))


def _layout(basis: Basis) -> dict[str, Any]:
    """Where each element's functions, and their covariances, stand."""
    sizes = np.array(basis.sizes, dtype=np.int64)
    return {
        "sizes": sizes,
        "offsets": np.concatenate([[0], np.cumsum(sizes)]),
        "starts": np.concatenate([[0], np.cumsum(sizes**2)]),
    }


def _weights(options: LossOptions) -> dict[str, Any]:
    """How the parts are measured and added up."""
    alpha = np.array([options.mean, options.variance, options.skewness, options.kurtosis, options.covariance])
    active = alpha != 0
    active[:2] = True  # always reported
    return {
        "pooled": options.distribution == "pooled",
        "alpha": alpha,
        "active": active,
        "norm": _NORMS[options.norm],
        "delta": options.delta,
        "w_structure": options.w_structure,
        "w_set": options.w_set,
        "reward": options.reward,
        "tolerance": options.tolerance,
        "w_entropy": options.w_entropy,
        "softness": options.entropy_softness,
    }


def _nothing_yet(basis: Basis, options: LossOptions) -> dict[str, Any]:
    """Arrays of target, scales and set, in their shapes."""
    n_desc = int(np.sum(basis.sizes))
    n_flat = int((np.array(basis.sizes, dtype=np.int64) ** 2).sum()) if options.covariance != 0 else 0
    return {
        "target": np.zeros((4, n_desc)),
        "inverse": np.ones((4, n_desc)),
        "floor": np.ones(n_desc),
        "n_components": np.zeros(4, dtype=np.int64),
        "axes": np.zeros((4, n_desc, 0)),
        "target_covariance": np.zeros(n_flat),
        "spread": np.ones(n_desc),
        "set_counts": np.zeros(len(basis.sizes)),
        "set_central": np.zeros((4, n_desc)),
        "set_covariance": np.zeros(n_flat),
    }


def _core(basis: Basis, options: LossOptions) -> dict[str, Any]:
    """The repulsion at short distance."""
    inner, outer = core_distances(basis.elements, options.core)
    check_core(basis, outer, options.core)
    return {
        "core_kind": _CORES[options.core.kind],
        "core_strength": options.core.strength,
        "core_inner": inner,
        "core_outer": outer if options.core.kind != "none" else np.zeros_like(outer),
        "numbers": np.array([float(atomic_numbers[e]) for e in basis.elements]),
    }
