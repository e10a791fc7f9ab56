"""Which structures of a pool to label, so that a potential learns most from few atoms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from grs_evo.datasets import clusters
from grs_evo.datasets.design import model_basis
from grs_evo.datasets.information import Aim, greedy_order, log_trace, predicted_variance
from grs_evo.datasets.labels import Labelled, read_labelled
from grs_evo.datasets.pool import Pool, make_pool
from grs_evo.descriptors.basis import Basis
from grs_evo.errors import InputError, nearest
from grs_evo.structures.structure import Structure, content_hash, from_atoms
from grs_evo.targets.chunks import cores

Rule = Literal["clusters", "information", "moments", "coverage", "distance", "stratified", "random"]
RULES: tuple[str, ...] = get_args(Rule)

# Clusters for each structure that is taken, by mean size; draws of which the most telling is taken.
_CLUSTERS = 0.4
_DRAWS = 20
# Sizes at which what remains is told.
_STEPS = 12
_INTERRUPTED = "interrupted: fewer than asked for"
# Exchange: no more rounds than this over the chosen ones, each against so many others.
_EXCHANGES = 200


@dataclass(frozen=True)
class Size:
    """What a set of the first so many structures leaves open."""

    structures: int
    environments: int
    cost: float  # Σ n³
    energy: float  # mean predicted variance of the target's energies, over that of the whole pool
    forces: float  # and of its forces
    coverage: float  # share of the target's atoms whose structure has one of the set as near as the pool's are
    moments: float  # root mean square difference of the mean energy row from the target's, in its standard deviations


@dataclass(frozen=True, eq=False)
class Selection:
    """Structures that were chosen, in the order of choice."""

    indices: tuple[int, ...]  # into the pool as given
    chosen: tuple[Labelled, ...]
    rule: str
    sizes: tuple[Size, ...]
    skipped: tuple[tuple[int, str, str], ...]  # (index, source, why) of structures that could not be used
    notes: tuple[str, ...] = ()
    interrupted: bool = False  # fewer than asked for: a signal came

    @property
    def n_environments(self) -> int:
        return sum(len(one.atoms) for one in self.chosen)

    def __repr__(self) -> str:
        return f"Selection({len(self.indices)} structures, {self.n_environments} environments, by {self.rule})"


@dataclass(frozen=True, eq=False)
class _Task:
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

    def prefix(self, order: Sequence[int]) -> list[int]:
        """The beginning of an order that is nearest to the budget, at least one structure."""
        spent = np.cumsum(self.budget[list(order)])
        return list(order[: max(1, int(np.abs(spent - self.limit).argmin()) + 1)])

    def full(self, taken: Sequence[int]) -> bool:
        return bool(taken) and self.budget[list(taken)].sum() + 0.5 * self.budget.min() >= self.limit


def select(
    pool: Any,
    *,
    count: int | None = None,
    environments: int | None = None,
    cost: float | None = None,
    by: str = "clusters",
    target: Any = None,
    given: Any = None,
    basis: Basis | None = None,
    groups: str | None = None,
    seed: int = 0,
    draws: int = _DRAWS,
    threads: int | None = None,
    poll: Callable[[], None] = lambda: None,
) -> Selection:
    """Choose structures of a pool.

    Parameters
    ----------
    pool : structure files (names with an optional index), `ase.Atoms`, or an iterable of either
    count, environments, cost : how much to take, one of them: structures, atoms, or Σ n_atoms³
    by : clusters (structures alike in the rows of a linear model, each kind its share, the most telling of some draws),
        information (greedy by predicted variance per atom, then exchange), moments (greedy by the mean row), coverage
        (each structure of the target near one of the set), distance (farthest point first), stratified (each group its
        share), random
    target : structures that the set is to stand for; default: the pool
    given : structures that are in the set already
    basis : of the linear model; default `design.model_basis`
    groups : key of `info` whose values are the strata of `by="stratified"`; default: the structures' group
    seed : of draws
    draws : of which `clusters` takes the most telling
    threads : that describe; the result does not depend on it
    poll : called often; may raise KeyboardInterrupt, and what was chosen so far is kept

    Returns
    -------
    The structures in the order of choice, what each size leaves open, and what was skipped.

    Raises
    ------
    InputError
        No or several budgets, an unknown rule, a pool with nothing to choose from, a budget beyond the pool.
    """
    budgets = {"count": count, "environments": environments, "cost": cost}
    asked_for = {name: value for name, value in budgets.items() if value is not None}
    if len(asked_for) != 1:
        raise InputError("select: give one of count, environments and cost, how much to take")
    ((name, limit),) = asked_for.items()
    if not limit > 0:
        raise InputError(f"select: {name} is {limit}; it must be > 0")
    if by not in RULES:
        raise InputError(f"select: by is {by!r}; it must be one of {', '.join(RULES)}{nearest(by, RULES)}")
    threads = cores() if threads is None else threads
    labelled, structures, skipped, elements = _readable(read_labelled(pool), basis)
    if not structures:
        why = f": {skipped[0][1]}: {skipped[0][2]}" if skipped else ""
        raise InputError(f"select: none of the pool's {len(skipped)} structures can be used{why}")
    basis = model_basis(elements, structures) if basis is None else basis
    described, refused = make_pool(structures, len(structures), basis, threads=threads, seed=seed)
    places = [k for k, _ in labelled]
    out = {number for number, _ in refused}
    skipped += [(places[number], labelled[number][1].source, why) for number, why in refused]
    kept = [one for number, one in enumerate(labelled) if number not in out]
    if not kept:
        raise InputError(f"select: none of the pool's {len(skipped)} structures can be used: {skipped[0][2]}")
    task = _make_task(described, kept, target, given, basis, groups, seed, draws, threads, name, float(limit), poll)
    order, notes = _CHOOSE[by](task)
    interrupted = bool(notes) and notes[0] == _INTERRUPTED
    chosen = [kept[k] for k in order]
    return Selection(
        tuple(k for k, _ in chosen),
        tuple(one for _, one in chosen),
        by,
        _sizes(task, order),
        tuple(sorted(skipped)),
        tuple(notes),
        interrupted,
    )


def basis_for(structures: Sequence[Labelled], cutoff: float | None = None) -> Basis:
    """The basis that `select` and `refit` take for these structures, with another cutoff (Å) if given."""
    elements = _elements(structures)
    return model_basis(elements, [from_atoms(one.atoms, elements, one.source) for one in structures], cutoff)


def _elements(structures: Sequence[Labelled]) -> tuple[str, ...]:
    """All that occur, by atomic number."""
    from ase.data import atomic_numbers

    found = {symbol for one in structures for symbol in one.atoms.get_chemical_symbols()}
    return tuple(sorted(found, key=lambda symbol: atomic_numbers[symbol]))


def _readable(
    given: Any, basis: Basis | None
) -> tuple[list[tuple[int, Labelled]], list[Structure], list[tuple[int, str, str]], tuple[str, ...]]:
    """(index, structure) of what can be used, the bare structures, what cannot be with the reason, and the elements."""
    everything = list(given)
    elements = tuple(basis.elements) if basis is not None else _elements(everything)
    kept: list[tuple[int, Labelled]] = []
    structures: list[Structure] = []
    skipped: list[tuple[int, str, str]] = []
    seen: dict[str, str] = {}
    for k, one in enumerate(everything):
        try:
            structure = from_atoms(one.atoms, elements, one.source)
        except InputError as error:
            skipped.append((k, one.source, str(error).removeprefix(f"{one.source}: ")))
            continue
        content = content_hash(structure)
        if content in seen:
            skipped.append((k, one.source, f"is the same as {seen[content]}"))
            continue
        seen[content] = one.source
        kept.append((k, one))
        structures.append(structure)
    return kept, structures, skipped, elements


def _make_task(
    pool: Pool,
    kept: list[tuple[int, Labelled]],
    target: Any,
    given: Any,
    basis: Basis,
    groups: str | None,
    seed: int,
    draws: int,
    threads: int,
    name: str,
    limit: float,
    poll: Callable[[], None],
) -> _Task:
    atoms = pool.n_atoms.astype(np.float64)
    budget = {"count": np.ones(len(pool)), "environments": atoms, "cost": atoms**3}[name]
    if limit > budget.sum():
        raise InputError(f"select: {name} is {limit:g}, but the pool has {budget.sum():g} in all that can be used")

    def beside(structures: Any) -> Pool:
        read = [from_atoms(one.atoms, basis.elements, one.source) for one in read_labelled(structures)]
        return make_pool(read, len(read), basis, like=pool, threads=threads, seed=seed)[0]

    aimed = pool if target is None else beside(target)
    held = None if given is None else beside(given)
    own, theirs = clusters.features(pool, aimed)
    given_features = np.empty((0, own.shape[1])) if held is None else clusters.features(pool, held)[1]
    strata = [one.group if groups is None else str(one.atoms.info.get(groups, "")) for _, one in kept]
    return _Task(
        pool,
        Aim.of(aimed),
        np.zeros_like(pool.force_gram) if held is None else held.gram(range(len(held))),
        budget,
        limit,
        strata,
        own,
        own if target is None or theirs is None else theirs,
        aimed.n_atoms,
        given_features if given_features is not None else np.empty((0, own.shape[1])),
        np.empty(0, np.int64) if held is None else held.n_atoms,
        seed,
        draws,
        poll,
    )


# ---------------------------------------------------------------------------------------------------------------------
# the rules


def _by_clusters(task: _Task) -> tuple[list[int], list[str]]:
    expected = task.limit / task.budget.mean()
    count = min(len(task.pool), max(2, round(_CLUSTERS * expected)))
    labels = clusters.ward(task.features, count, np.random.default_rng((task.seed, 1)))
    centres = clusters.centres_of(task.features, labels)

    def atoms_near(points: NDArray[np.float64], atoms: NDArray[np.int64]) -> NDArray[np.float64]:
        near = clusters.nearest_centre(points, centres) if len(points) else np.empty(0, np.int64)
        return np.bincount(near, atoms, minlength=len(centres)).astype(np.float64)

    own = np.bincount(labels, task.pool.n_atoms, minlength=len(centres)).astype(np.float64)
    shares = own if task.target_features is task.features else atoms_near(task.target_features, task.target_atoms)
    held = atoms_near(task.given_features, task.given_atoms)
    best: tuple[float, list[int]] = (np.inf, [])
    draw = 0
    try:
        for draw in range(task.draws):
            task.poll()
            rng = np.random.default_rng((task.seed, 2, draw))
            taken = task.prefix(clusters.proportional_order(labels, task.pool.n_atoms, shares, rng, held))
            best = min(best, (log_trace(task.start + task.pool.gram(taken), task.aim), taken), key=lambda one: one[0])
    except KeyboardInterrupt:  # a draw is a whole set: fewer of them will do
        if not best[1]:
            raise
    return best[1], [f"{len(centres)} clusters, the most telling of {draw + 1} draws"]


def _by_information(task: _Task) -> tuple[list[int], list[str]]:
    atoms = task.pool.n_atoms.astype(np.float64)
    per = task.budget if task.budget.std() > 0 else atoms
    taken: list[int] = []

    def full(so_far: Sequence[int]) -> bool:
        taken[:] = so_far
        return task.full(so_far)

    try:
        order = greedy_order(task.pool, task.aim, per, task.start, full, range(len(task.pool)), task.poll)
    except KeyboardInterrupt:
        return list(taken), [_INTERRUPTED]
    return _exchanged(task, order), []


def _exchanged(task: _Task, taken: list[int]) -> list[int]:
    """The set with members exchanged for others of no more budget as long as that lowers the log traces."""
    rng = np.random.default_rng((task.seed, 3))
    taken, gram = list(taken), task.start + task.pool.gram(taken)
    value = log_trace(gram, task.aim)
    others = [k for k in range(len(task.pool)) if k not in set(taken)]
    for _ in range(min(_EXCHANGES, 4 * len(taken))):
        if not others:
            break
        task.poll()
        place, other = int(rng.integers(len(taken))), int(rng.integers(len(others)))
        old, new = taken[place], others[other]
        if task.budget[new] > task.budget[old]:
            continue
        trial = gram - task.pool.gram([old]) + task.pool.gram([new])
        trial_value = log_trace(trial, task.aim)
        if trial_value < value:
            gram, value = trial, trial_value
            taken[place], others[other] = new, old
    return taken


def _by_moments(task: _Task) -> tuple[list[int], list[str]]:
    """Greedy: the mean energy row of the set nearest to the target's, atoms counted."""
    rows, atoms = task.features, task.pool.n_atoms
    wanted = np.average(task.target_features, axis=0, weights=task.target_atoms)
    total = (task.given_features * task.given_atoms[:, None]).sum(axis=0)
    weight = float(task.given_atoms.sum())
    order: list[int] = []
    free = np.ones(len(rows), bool)
    while free.any() and not task.full(order):
        task.poll()
        means = (total + rows * atoms[:, None]) / (weight + atoms)[:, None]
        off = np.where(free, ((means - wanted) ** 2).sum(axis=1), np.inf)
        k = int(off.argmin())
        order.append(k)
        free[k] = False
        total, weight = total + rows[k] * atoms[k], weight + atoms[k]
    return task.prefix(order), []


def _by_coverage(task: _Task) -> tuple[list[int], list[str]]:
    """Greedy facility location: the distance from the target to the nearest of the set falls most, per budget."""
    from scipy.spatial.distance import cdist

    away = cdist(task.features, task.target_features)
    least = np.full(len(task.target_features), away.max(initial=1.0))
    if len(task.given_features):
        least = np.minimum(least, cdist(task.given_features, task.target_features).min(axis=0))
    order: list[int] = []
    free = np.ones(len(task.features), bool)
    while free.any() and not task.full(order):
        task.poll()
        gain = (np.maximum(least - away, 0.0) * task.target_atoms).sum(axis=1) / task.budget
        k = int(np.where(free, gain, -np.inf).argmax())
        order.append(k)
        free[k] = False
        least = np.minimum(least, away[k])
    return task.prefix(order), []


def _by_distance(task: _Task) -> tuple[list[int], list[str]]:
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
    while least.max() >= 0.0 and not task.full(order):
        task.poll()
        k = int(least.argmax())
        order.append(k)
        least = np.minimum(least, np.sqrt(((rows - rows[k]) ** 2).sum(axis=1)))
        least[order] = -1.0
    return task.prefix(order), []


def _by_groups(task: _Task) -> tuple[list[int], list[str]]:
    names = sorted(set(task.groups))
    if names == [""]:
        raise InputError("select: by is 'stratified', but no structure of the pool names its group")
    labels = np.array([names.index(group) for group in task.groups])
    shares = np.bincount(labels, task.pool.n_atoms, minlength=len(names)).astype(np.float64)
    rng = np.random.default_rng((task.seed, 4))
    return task.prefix(clusters.proportional_order(labels, task.pool.n_atoms, shares, rng)), [f"{len(names)} groups"]


def _at_random(task: _Task) -> tuple[list[int], list[str]]:
    return task.prefix(list(np.random.default_rng((task.seed, 5)).permutation(len(task.pool)))), []


_CHOOSE: dict[str, Callable[[_Task], tuple[list[int], list[str]]]] = {
    "clusters": _by_clusters,
    "information": _by_information,
    "moments": _by_moments,
    "coverage": _by_coverage,
    "distance": _by_distance,
    "stratified": _by_groups,
    "random": _at_random,
}


# ---------------------------------------------------------------------------------------------------------------------
# what remains


def _sizes(task: _Task, order: Sequence[int]) -> tuple[Size, ...]:
    """What the first so many structures leave open, for some sizes up to the whole set."""
    from scipy.spatial import cKDTree

    pool = task.pool
    whole = predicted_variance(pool.energy_gram + pool.force_gram + task.start, task.aim)
    # how near the pool's structures are to each other, most of them
    reach = 0.0
    if len(pool) > 1:
        reach = float(np.quantile(cKDTree(task.features).query(task.features, k=2)[0][:, 1], 0.9))
    wanted = np.average(task.target_features, axis=0, weights=task.target_atoms)
    spread = np.sqrt(np.average((task.target_features - wanted) ** 2, axis=0, weights=task.target_atoms)) + 1e-300
    steps = sorted({max(1, round(len(order) * (k + 1) / _STEPS)) for k in range(_STEPS)}) if order else []
    gram, done, found = task.start.copy(), 0, []
    for step in steps:
        gram += pool.gram(order[done:step])
        done = step
        energy, forces = predicted_variance(gram, task.aim)
        rows = np.concatenate([task.given_features, task.features[list(order[:step])]])
        atoms = np.concatenate([task.given_atoms, pool.n_atoms[list(order[:step])]])
        near = cKDTree(rows).query(task.target_features)[0] <= reach
        mean = np.average(rows, axis=0, weights=atoms)
        own = pool.n_atoms[list(order[:step])].astype(np.float64)
        found.append(
            Size(
                step,
                int(own.sum()),
                float((own**3).sum()),
                energy / max(whole[0], 1e-300),
                forces / max(whole[1], 1e-300),
                float(np.average(near, weights=task.target_atoms)),
                float(np.sqrt((((mean - wanted) / spread) ** 2).mean())),
            )
        )
    return tuple(found)
