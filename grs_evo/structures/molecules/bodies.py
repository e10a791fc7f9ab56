"""Molecules as rigid bodies: where they stand, how they turn, and what pulls at their atoms as force and torque."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Å; what one radian weighs as a displacement, at least: single atoms do not turn.
_SHORTEST_ARM = 0.3


class Bodies(NamedTuple):
    """Rigid groups of atoms."""

    group: NDArray[np.int64]  # (n_atoms,) body of each atom
    centres: Array  # (n_bodies, 3) Å, means of their atoms
    arms: Array  # (n_atoms, 3) Å, from the centre to each atom
    lengths: Array  # (n_bodies,) Å, root mean square of the arms: what one radian weighs as a displacement


def bodies_of(group: NDArray[np.int64], positions: Array) -> Bodies:
    """The bodies of atoms whose groups are in one piece."""
    number = np.bincount(group).astype(np.float64)
    centres = summed(group, positions) / number[:, None]
    arms = positions - centres[group]
    square = np.bincount(group, (arms**2).sum(1)) / number
    return Bodies(group, centres, arms, np.maximum(np.sqrt(square), _SHORTEST_ARM))


def summed(group: NDArray[np.int64], vectors: Array) -> Array:
    """(n_bodies, 3) sums over the atoms of each body, in the order of the atoms."""
    return np.stack([np.bincount(group, vectors[:, c]) for c in range(3)], axis=1)


def rotations(angles: Array) -> Array:
    """(n, 3, 3) rotations about vectors of radians, (n, 3): Rodrigues' formula."""
    square = (angles**2).sum(1)
    theta = np.sqrt(square)
    cross = _crosses(angles)
    found = np.eye(3) + _sine(theta, square)[:, None, None] * cross
    found += _versine(theta, square)[:, None, None] * _products(cross, cross)
    return found


def placed(bodies: Bodies, shifts: Array, angles: Array) -> tuple[Array, Array]:
    """Positions (n_atoms, 3) Å of shifted and turned bodies, and the turned arms."""
    turned = _applied(rotations(angles)[bodies.group], bodies.arms)
    return (bodies.centres + shifts)[bodies.group] + turned, turned


def pulled(bodies: Bodies, angles: Array, turned: Array, slopes: Array) -> tuple[Array, Array]:
    """Derivatives by shifts and by angles, (n_bodies, 3) each, of what has `slopes` (n_atoms, 3) by positions.

    Parameters
    ----------
    turned : (n_atoms, 3) arms at these angles, as `placed` gives them
    """
    torque = summed(bodies.group, np.cross(turned, slopes))
    # A small change of the rotation vector turns the body by J δ, with the left Jacobian J of the rotations.
    square = (angles**2).sum(1)
    theta = np.sqrt(square)
    cross = _crosses(angles)
    jacobian = np.eye(3) + _versine(theta, square)[:, None, None] * cross
    jacobian += _third(theta, square)[:, None, None] * _products(cross, cross)
    return summed(bodies.group, slopes), _applied(np.swapaxes(jacobian, 1, 2), torque)


def random_rotations(rng: np.random.Generator, n: int) -> Array:
    """(n, 3, 3) rotations, uniform over all."""
    q = rng.standard_normal((n, 4))
    w, x, y, z = (q / np.sqrt((q**2).sum(1))[:, None]).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def turned_by(matrix: Array, vectors: Array) -> Array:
    """(n, 3) vectors under one rotation, in a fixed order of additions."""
    return _applied(np.broadcast_to(matrix, (len(vectors), 3, 3)), vectors)


def _applied(matrices: Array, vectors: Array) -> Array:
    """Matrix times vector for each of n, in a fixed order of additions."""
    x, y, z = vectors[:, 0, None], vectors[:, 1, None], vectors[:, 2, None]
    found: Array = matrices[:, :, 0] * x + matrices[:, :, 1] * y + matrices[:, :, 2] * z
    return found


def _products(one: Array, two: Array) -> Array:
    """(n, 3, 3) products of matrices, in a fixed order of additions."""
    found: Array = (
        one[:, :, 0, None] * two[:, None, 0]
        + one[:, :, 1, None] * two[:, None, 1]
        + one[:, :, 2, None] * two[:, None, 2]
    )
    return found


def _crosses(vectors: Array) -> Array:
    """(n, 3, 3) matrices that give the cross product of each vector with another."""
    found = np.zeros((len(vectors), 3, 3))
    x, y, z = vectors.T
    found[:, 0, 1], found[:, 0, 2], found[:, 1, 2] = -z, y, -x
    found[:, 1, 0], found[:, 2, 0], found[:, 2, 1] = z, -y, x
    return found


# sin θ / θ, (1 − cos θ) / θ² and (θ − sin θ) / θ³, by their series where θ is small.
def _sine(theta: Array, square: Array) -> Array:
    small = theta < 1e-3
    safe = np.where(small, 1.0, theta)
    return np.where(small, 1.0 - square / 6.0, np.sin(safe) / safe)


def _versine(theta: Array, square: Array) -> Array:
    small = theta < 1e-3
    safe = np.where(small, 1.0, theta)
    return np.where(small, 0.5 - square / 24.0, 2.0 * (np.sin(safe / 2.0) / safe) ** 2)


def _third(theta: Array, square: Array) -> Array:
    small = theta < 1e-2
    safe = np.where(small, 1.0, theta)
    return np.where(small, 1.0 / 6.0 - square / 120.0, (safe - np.sin(safe)) / safe**3)
