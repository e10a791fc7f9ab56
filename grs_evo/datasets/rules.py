"""The rules by which structures are chosen: each takes a task and gives an order, with notes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from grs_evo.datasets import clusters
from grs_evo.datasets.information import Aim, greedy_order, log_trace
from grs_evo.datasets.pool import Pool
from grs_evo.errors import InputError
from grs_evo.text import counted

# Share of the budget that one structure of each cluster takes: that decides how many clusters there are.
_ONE_OF_EACH = 0.5
# Draws of which the most telling is taken.
DRAWS = 60
INTERRUPTED = "interrupted: fewer than asked for"
# Exchanges that are tried.
_EXCHANGES = 200


@dataclass(frozen=True, eq=False)
class Task:
    """What there is to choose from, and what for."""

    pool: Pool
    aim: Aim
    start: NDArray[np.float64]  # Gram matrix of the given set
    budget: NDArray[np.float64]  # (n,) what each structure counts against `limit`
    limit: float
    groups: Sequence[str]
    features: NDArray[np.float64]
    target_features: NDArray[np.float64]
    target_atoms: NDArray[np.int64]
    given_features: NDArray[np.float64]
    given_atoms: NDArray[np.int64]
    seed: int
    draws: int
    poll: Callable[[], None] = field(default=lambda: None)
    notes: tuple[str, ...] = ()  # on what of target and given set could not be used

    def prefix(self, order: Sequence[int]) -> list[int]:
        """The beginning of an order that is nearest to the budget, at least one structure."""
        used = np.cumsum(self.budget[list(order)])
        return list(order[: max(1, int(np.abs(used - self.limit).argmin()) + 1)])

    def full(self, taken: Sequence[int]) -> bool:
        return bool(taken) and self.budget[list(taken)].sum() + 0.5 * self.budget.min() >= self.limit


def _by_clusters(task: Task) -> tuple[list[int], list[str]]:
    one_of_each = _ONE_OF_EACH * task.limit
    labels = clusters.ward(task.features, task.budget, one_of_each, np.random.default_rng((task.seed, 1)))
    centres = clusters.centres_of(task.features, labels)

    def near(points: NDArray[np.float64]) -> NDArray[np.int64]:
        return clusters.nearest_centre(points, centres) if len(points) else np.empty(0, np.int64)

    wanted = labels if task.target_features is task.features else near(task.target_features)
    shares = _shares(task, labels, wanted, len(centres))
    held = np.bincount(near(task.given_features), task.given_atoms, minlength=len(centres)).astype(np.float64)
    best: tuple[float, list[int]] = (np.inf, [])
    draw = 0
    try:
        for draw in range(task.draws):
            task.poll()
            rng = np.random.default_rng((task.seed, 2, draw))
            order = clusters.proportional_order(labels, task.pool.n_atoms, shares, rng, held, task.budget, task.limit)
            taken = task.prefix(order)
            best = min(best, (log_trace(task.start + task.pool.gram(taken), task.aim), taken), key=lambda one: one[0])
    except KeyboardInterrupt:  # a draw is a whole set: fewer of them will do
        if not best[1]:
            raise
        ended = f"the most telling of {counted(draw, 'draw')} before a signal ended them"
        return best[1], [f"{len(centres)} clusters, {ended}"]
    taken, exchanged = _exchanged(task, best[1], labels)
    return taken, [
        f"{len(centres)} clusters, the most telling of {task.draws} draws, then {counted(exchanged, 'exchange')}"
    ]


def _shares(task: Task, labels: NDArray[np.int64], wanted: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """(count,) atoms that each cluster should give, up to a factor.

    The mean over all atoms that are wanted is least uncertain if the number of structures of each kind goes with its
    atoms and its spread, over the root of what one costs (Neyman 1934; Cochran 1977, section 5.5). But a fit does not
    weigh back what was taken more of, and is best for what it sees in proportion: the way between, in logarithms.

    Parameters
    ----------
    labels, wanted : cluster of each structure of the pool, and of the target
    """
    members = np.bincount(labels, minlength=count)
    atoms, cost = (np.bincount(labels, of, minlength=count) / members for of in (task.pool.n_atoms, task.budget))
    there = np.bincount(wanted, task.target_atoms, minlength=count)
    spread = clusters.spreads(task.target_features, wanted, count)
    return np.asarray(there * np.sqrt(spread * atoms / np.sqrt(cost)))


def _by_information(task: Task) -> tuple[list[int], list[str]]:
    atoms = task.pool.n_atoms.astype(np.float64)
    per = task.budget if task.budget.std() > 0 else atoms
    taken: list[int] = []

    def full(so_far: Sequence[int]) -> bool:
        taken[:] = so_far
        return task.full(so_far)

    try:
        order = greedy_order(task.pool, task.aim, per, task.start, full, range(len(task.pool)), task.poll)
    except KeyboardInterrupt:
        if not taken:
            raise
        return list(taken), [INTERRUPTED]
    return _exchanged(task, order, np.zeros(len(task.pool), np.int64))[0], []


def _exchanged(task: Task, taken: list[int], kinds: NDArray[np.int64]) -> tuple[list[int], int]:
    """The set with members exchanged for others of their kind and of no more budget, where that lowers the log traces.

    Returns
    -------
    The set, and how many exchanges were made. A signal ends them: the set is whole at any time.
    """
    rng = np.random.default_rng((task.seed, 3))
    taken, gram, made = list(taken), task.start + task.pool.gram(taken), 0
    value = log_trace(gram, task.aim)
    free = np.ones(len(task.pool), bool)
    free[taken] = False
    try:
        for _ in range(_EXCHANGES):
            task.poll()
            place = int(rng.integers(len(taken)))
            old = taken[place]
            others = np.flatnonzero(free & (kinds == kinds[old]) & (task.budget <= task.budget[old]))
            if not len(others):
                continue
            new = int(rng.choice(others))
            trial = gram - task.pool.gram([old]) + task.pool.gram([new])
            trial_value = log_trace(trial, task.aim)
            if trial_value < value:
                gram, value, made = trial, trial_value, made + 1
                taken[place], free[old], free[new] = new, True, False
    except KeyboardInterrupt:
        pass
    return taken, made


def _one_by_one(task: Task, order: list[int], next_: Callable[[], int]) -> tuple[list[int], list[str]]:
    """The structures that `next_` names after those that are there, until the budget is full or a signal comes."""
    try:
        while len(order) < len(task.pool) and not task.full(order):
            task.poll()
            order.append(next_())
    except KeyboardInterrupt:
        if not order:
            raise
        return order, [INTERRUPTED]
    return task.prefix(order), []


def _by_moments(task: Task) -> tuple[list[int], list[str]]:
    """Greedy: the mean energy row of the set nearest to the target's, atoms counted."""
    rows, atoms = task.features, task.pool.n_atoms
    wanted = np.average(task.target_features, axis=0, weights=task.target_atoms)
    total = (task.given_features * task.given_atoms[:, None]).sum(axis=0)
    weight = np.array(task.given_atoms.sum(), np.float64)
    free = np.ones(len(rows), bool)

    def nearest() -> int:
        means = (total + rows * atoms[:, None]) / (weight + atoms)[:, None]
        k = int(np.where(free, ((means - wanted) ** 2).sum(axis=1), np.inf).argmin())
        free[k] = False
        total[:] += rows[k] * atoms[k]
        weight[...] += atoms[k]
        return k

    return _one_by_one(task, [], nearest)


def _by_coverage(task: Task) -> tuple[list[int], list[str]]:
    """Greedy facility location: the distance from the target to the nearest of the set falls most, per budget."""
    from scipy.spatial.distance import cdist

    away = cdist(task.features, task.target_features)
    least = np.full(len(task.target_features), away.max(initial=1.0))
    if len(task.given_features):
        least = np.minimum(least, cdist(task.given_features, task.target_features).min(axis=0))
    free = np.ones(len(task.features), bool)

    def most_reaching() -> int:
        gain = (np.maximum(least - away, 0.0) * task.target_atoms).sum(axis=1) / task.budget
        k = int(np.where(free, gain, -np.inf).argmax())
        free[k] = False
        np.minimum(least, away[k], out=least)
        return k

    return _one_by_one(task, [], most_reaching)


def _by_distance(task: Task) -> tuple[list[int], list[str]]:
    """Farthest point first, from the given set or from the structure nearest to the target's mean."""
    from scipy.spatial.distance import cdist

    rows = task.features
    if len(task.given_features):
        least = cdist(rows, task.given_features).min(axis=1)
        order: list[int] = []
    else:
        wanted = np.average(task.target_features, axis=0, weights=task.target_atoms)
        order = [int(((rows - wanted) ** 2).sum(axis=1).argmin())]
        least = np.sqrt(((rows - rows[order[0]]) ** 2).sum(axis=1))
    least[order] = -1.0

    def farthest() -> int:
        k = int(least.argmax())
        np.minimum(least, np.sqrt(((rows - rows[k]) ** 2).sum(axis=1)), out=least)
        least[k] = -1.0
        return k

    return _one_by_one(task, order, farthest)


def _by_groups(task: Task) -> tuple[list[int], list[str]]:
    names = sorted(set(task.groups))
    if names == [""]:
        raise InputError("select: by is 'stratified', but no structure of the pool names its group")
    labels = np.array([names.index(group) for group in task.groups])
    shares = np.bincount(labels, task.pool.n_atoms, minlength=len(names)).astype(np.float64)
    rng = np.random.default_rng((task.seed, 4))
    return task.prefix(clusters.proportional_order(labels, task.pool.n_atoms, shares, rng)), [f"{len(names)} groups"]


def _at_random(task: Task) -> tuple[list[int], list[str]]:
    return task.prefix(list(np.random.default_rng((task.seed, 5)).permutation(len(task.pool)))), []


CHOOSE: dict[str, Callable[[Task], tuple[list[int], list[str]]]] = {
    "clusters": _by_clusters,
    "information": _by_information,
    "moments": _by_moments,
    "coverage": _by_coverage,
    "distance": _by_distance,
    "stratified": _by_groups,
    "random": _at_random,
}
