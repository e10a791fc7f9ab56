"""Bodies whose atoms are too near are pushed and turned apart; bodies are put where there is space."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.geometry.contacts import cartesian, roomiest
from grs_evo.structures.molecules.bodies import Bodies, bodies_of, placed, summed
from grs_evo.structures.molecules.kinds import too_near
from grs_evo.structures.structure import Structure

Array = NDArray[np.float64]

# Share of what is missing by which a sweep moves two bodies, a little more than what they lack, and the longest step.
_EASED, _MORE, _LONGEST = 0.6, 1.02, 0.3
# Points among which the place for one more body is looked for.
_POINTS = 64


def pushed_apart(whole: Structure, bodies: Bodies, contacts: Array, sweeps: int) -> Structure | None:
    """The structure with no atoms of two bodies nearer than `contacts` Å; None where so many sweeps do not reach it.

    Each sweep moves the two bodies of a near pair by shifts and turns that share what is missing as a push at these
    atoms would share it among bodies of one mass.
    """
    lengths = bodies.lengths
    for _ in range(sweeps):
        first, second, vectors, distances = too_near(whole, bodies.group, contacts)
        if not len(first):
            return whole
        one, two = bodies.group[first], bodies.group[second]
        if (one == two).any():
            return None  # a molecule and its own image
        along = vectors / np.maximum(distances, 1e-8)[:, None]
        missing = _MORE * contacts[whole.species[first], whole.species[second]] - distances
        levers = np.cross(bodies.arms[first], along), np.cross(bodies.arms[second], along)
        weights = [1.0 + (lever**2).sum(1) / lengths[own] ** 2 for lever, own in zip(levers, (one, two), strict=True)]
        push = -_EASED * missing / (weights[0] + weights[1])
        shifts = _by_body(one, along * push[:, None], len(lengths))
        angles = _by_body(one, levers[0] * push[:, None], len(lengths)) / lengths[:, None] ** 2
        far = np.maximum(np.sqrt((shifts**2).sum(1)), np.sqrt((angles**2).sum(1)) * lengths)
        eased = np.minimum(1.0, _LONGEST / np.maximum(far, 1e-12))[:, None]
        positions, _ = placed(bodies, shifts * eased, angles * eased)
        bodies = bodies_of(bodies.group, positions)
        whole = whole.replace(positions=positions)
    return None


def _by_body(body: NDArray[np.int64], vectors: Array, n: int) -> Array:
    """(n, 3) sums over what belongs to each body."""
    found = np.zeros((n, 3))
    sums = summed(body, vectors)
    found[: len(sums)] = sums
    return found


def with_body(
    rng: np.random.Generator, whole: Structure, arms: Array, species: NDArray[np.int32], contacts: Array
) -> Structure:
    """The structure with one more body, at the roomiest of some random points."""
    trials = cartesian(rng.random((_POINTS, 3)), whole.cell)
    best, _ = roomiest(whole.positions, whole.cell, whole.species, whole.pbc, contacts, int(species[-1]), trials)
    return whole.replace(
        positions=np.concatenate([whole.positions, trials[best] + arms]),
        species=np.concatenate([whole.species, species]),
    )
