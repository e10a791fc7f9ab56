"""Relaxation of a network on V_eff with its bonds kept: more strain than the target's has its price.

A moment of descriptors can fall while bonds break: of a network whose tetrahedra are more distorted than the target's,
the variances of high ranks are hundreds of times too large, and the shortest way down tears it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.relaxation.strain import Bonds, strain_of
from grs_evo.loss.objective import Objective
from grs_evo.loss.terms.term import AddedTerm, PreparedTerm, TermOptions
from grs_evo.potential.relaxation import Relaxed, RelaxOptions, relax
from grs_evo.structures.networks.usual import Network
from grs_evo.structures.structure import Structure

Array = NDArray[np.float64]

# Price of twice the target's strain.
_WEIGHT = 4.0


def relax_network(
    structure: Structure,
    bonds: Bonds,
    network: Network,
    objective: Objective,
    options: RelaxOptions,
    poll: Callable[[], None] | None = None,
) -> Relaxed:
    """Relax a structure on V_eff and on its strain beyond the target's.

    Parameters
    ----------
    bonds : of the structure; they stay the same
    poll : called between stages; may raise to interrupt

    Returns
    -------
    Relaxed, with V_eff alone as the value and terms of what was found
    """
    held = objective.with_term(PreparedTerm(_TERM, TermOptions(weight=_WEIGHT), (bonds, network)))
    found: Relaxed = relax(structure, held, options, poll=poll)
    evaluation = objective.evaluate(found.structure)
    return replace(found, value=evaluation.value, terms=evaluation.terms)


def _value(
    positions: Array,
    cell: Array,
    species: NDArray[np.int32],
    pbc: NDArray[np.bool_],
    gradient: bool,
    slopes: Array,
    virial: Array,
    state: tuple[Bonds, Network],
) -> float:
    """Square of the strain over the target's, less 1, where it is larger."""
    bonds, network = state
    own_slopes, own_virial = np.empty_like(positions), np.empty((3, 3))
    value = float(strain_of(positions, cell, species, bonds, network.springs, own_slopes, own_virial))
    usual = network.strain * len(species)
    beyond = max(value / usual - 1.0, 0.0)
    if gradient:
        slopes += 2.0 * beyond / usual * own_slopes
        virial += 2.0 * beyond / usual * own_virial
    return beyond**2


_TERM = AddedTerm(
    name="strain", meaning="strain of bonds beyond the target's", unit="1", target="nothing", takes="positions",
    value=_value, prepare=lambda *_: None,
)  # fmt: skip
