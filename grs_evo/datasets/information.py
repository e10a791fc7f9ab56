"""How much a set tells about the energies and forces of a target, by a linear model (method §11).

With the rows of the set in G = Σ r rᵀ + λ 1, the mean predicted variance over the target's rows is tr(T G⁻¹)
(I-optimality). It needs no labels.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grs_evo.datasets.pool import Pool

# λ: what is known of a coefficient before, in rows of size one.
RIDGE = 0.01


@dataclass(frozen=True)
class Aim:
    """Second moments of a target's rows."""

    energy: NDArray[np.float64]  # (d, d) mean of e eᵀ
    forces: NDArray[np.float64]  # (d, d) mean of f fᵀ

    @staticmethod
    def of(pool: Pool) -> Aim:
        """Of all structures of a pool."""
        rows = 3 * int(pool.n_atoms.sum())
        return Aim(pool.energy_gram / max(1, len(pool)), pool.force_gram / max(1, rows))


def predicted_variance(gram: NDArray[np.float64], aim: Aim) -> tuple[float, float]:
    """Mean predicted variance of the target's energies and forces, in units of the rows' own sigma squared."""
    from scipy.linalg import cho_factor, cho_solve  # a tenth of a second, which runs without labels do not need

    factor = cho_factor(gram + RIDGE * np.eye(len(gram)))
    return float(np.trace(cho_solve(factor, aim.energy))), float(np.trace(cho_solve(factor, aim.forces)))


def log_trace(gram: NDArray[np.float64], aim: Aim) -> float:
    """log tr(T_E G⁻¹) + log tr(T_F G⁻¹): the less, the more the set tells of both."""
    energy, forces = predicted_variance(gram, aim)
    return float(np.log(max(energy, 1e-300)) + np.log(max(forces, 1e-300)))


class Inverse:
    """The inverse of a set's Gram matrix, and the predicted variance of an aim, as rows come and go.

    Parameters
    ----------
    gram : (d, d) of the rows that are there
    aim : (d, d) of which the trace with the inverse is taken
    ridge : λ
    """

    def __init__(self, gram: NDArray[np.float64], aim: NDArray[np.float64], ridge: float = RIDGE) -> None:
        self.aim = aim
        self.matrix: NDArray[np.float64] = np.asarray(np.linalg.inv(gram + ridge * np.eye(len(gram))), np.float64)

    @property
    def trace(self) -> float:
        return float((self.matrix * self.aim).sum())

    def gain(self, rows: NDArray[np.float64]) -> float:
        """By how much rows would lower the trace."""
        half = rows @ self.matrix
        small = np.eye(len(rows)) + half @ rows.T
        return float(np.trace(np.linalg.solve(small, half @ self.aim @ half.T)))

    def loss(self, rows: NDArray[np.float64]) -> float:
        """By how much rows that are there would raise it by going."""
        half = rows @ self.matrix
        small = np.eye(len(rows)) - half @ rows.T
        return float(np.trace(np.linalg.solve(small, half @ self.aim @ half.T)))

    def change(self, rows: NDArray[np.float64], sign: float = 1.0) -> None:
        """Rows come (1) or go (-1)."""
        half = rows @ self.matrix
        self.matrix -= sign * half.T @ np.linalg.solve(np.eye(len(rows)) + sign * half @ rows.T, half)
        self.matrix = (self.matrix + self.matrix.T) / 2.0


class Greedy:
    """A set that grows by the structure whose rows lower the predicted variance most, per atom (or per cost).

    Parameters
    ----------
    cost : (n,) of each structure
    start : Gram matrix of what is in the set already
    """

    def __init__(self, pool: Pool, aim: Aim, cost: NDArray[np.float64], start: NDArray[np.float64]) -> None:
        self.pool, self.cost = pool, cost
        # both kinds of rows count alike: each trace in units of what the whole pool would leave
        whole = (
            predicted_variance(pool.gram(range(len(pool))), aim)
            if not pool.sketched
            else predicted_variance(pool.energy_gram + pool.force_gram, aim)
        )
        self.aim = aim.energy / max(whole[0], 1e-300) + aim.forces / max(whole[1], 1e-300)
        self._inverse = Inverse(start, self.aim)

    def gain(self, k: int) -> float:
        """By how much structure k would lower the trace, per cost."""
        return self._inverse.gain(self.pool.rows(k)) / float(self.cost[k])

    def add(self, k: int) -> None:
        self._inverse.change(self.pool.rows(k))

    @property
    def trace(self) -> float:
        return self._inverse.trace

    @property
    def inverse(self) -> NDArray[np.float64]:
        """(d, d) of the Gram matrix with its ridge."""
        return self._inverse.matrix


def greedy_order(
    pool: Pool,
    aim: Aim,
    cost: NDArray[np.float64],
    start: NDArray[np.float64],
    full: Callable[[Sequence[int]], bool],
    free: Iterable[int],
    poll: Callable[[], None] = lambda: None,
) -> list[int]:
    """Structures in the order of greedy choice, until `full` says so of what was taken.

    Gains found earlier are looked at again only for the structure that leads: they seldom grow as the set does.
    """
    state = Greedy(pool, aim, cost, start)
    heap = [(-state.gain(k), k) for k in free]
    heapq.heapify(heap)
    taken: list[int] = []
    while heap and not full(taken):
        poll()
        while True:
            _, k = heapq.heappop(heap)
            gain = state.gain(k)
            if not heap or gain >= -heap[0][0]:
                break
            heapq.heappush(heap, (-gain, k))
        state.add(k)
        taken.append(k)
    return taken
