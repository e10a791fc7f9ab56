"""Which structures of a pool to label, so that a potential learns most from few atoms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from threadpoolctl import threadpool_limits

from grs_evo.datasets import clusters
from grs_evo.datasets.design import model_basis
from grs_evo.datasets.information import Aim, predicted_variance
from grs_evo.datasets.labels import Labelled, elements_of, read_labelled
from grs_evo.datasets.pool import Describer, Pool, by_threads, make_pool
from grs_evo.datasets.rules import CHOOSE, DRAWS, INTERRUPTED, Task
from grs_evo.descriptors.basis import Basis
from grs_evo.errors import InputError, nearest
from grs_evo.structures.structure import Structure, content_hash, from_atoms
from grs_evo.targets.chunks import cores
from grs_evo.text import counted

Rule = Literal["clusters", "information", "moments", "coverage", "distance", "stratified", "random"]
RULES: tuple[str, ...] = get_args(Rule)

# Sizes at which what remains is told.
_STEPS = 12


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
    skipped: tuple[tuple[int, str, str], ...]  # (index, source, why) of structures that cannot be used or are copies
    notes: tuple[str, ...] = ()
    interrupted: bool = False  # fewer than asked for: a signal came
    duplicates: tuple[int, ...] = ()  # indices of the skipped ones that are copies of others

    @property
    def n_environments(self) -> int:
        return sum(len(one.atoms) for one in self.chosen)

    def __repr__(self) -> str:
        return f"Selection({len(self.indices)} structures, {self.n_environments} environments, by {self.rule})"


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
    cutoff: float | None = None,
    groups: str | None = None,
    seed: int = 0,
    draws: int = DRAWS,
    threads: int | None = None,
    describe: Describer | None = None,
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
    basis : of the linear model; default `design.model_basis`, with another `cutoff` (Å) if that is given
    groups : key of `info` whose values are the strata of `by="stratified"`; default: the structures' group
    seed : of draws
    draws : of which `clusters` takes the most telling
    threads : that describe; the result does not depend on it
    describe : what describes instead of threads, such as the ranks of `driver.sets.sharing`
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
    wanted = {name: value for name, value in budgets.items() if value is not None}
    if len(wanted) != 1:
        raise InputError("select: give one of count, environments and cost, how much to take")
    ((name, limit),) = wanted.items()
    if not limit > 0:
        raise InputError(f"select: {name} is {limit}; it must be > 0")
    if by not in RULES:
        raise InputError(f"select: by is {by!r}; it must be one of {', '.join(RULES)}{nearest(by, RULES)}")
    if groups is not None and by != "stratified":
        raise InputError(f"select: groups (--per) is {groups!r}, but by is {by!r}: groups are strata of 'stratified'")
    describe = describe or by_threads(cores() if threads is None else threads)
    labelled, structures, skipped, duplicates, elements = _readable(read_labelled(pool), basis)
    if not structures:
        why = f": {skipped[0][1]}: {skipped[0][2]}" if skipped else ""
        raise InputError(f"select: none of the pool's {len(skipped)} structures can be used{why}")
    basis = model_basis(elements, structures, cutoff) if basis is None else basis
    described, refused = make_pool(structures, len(structures), basis, describe=describe, seed=seed)
    places = [k for k, _ in labelled]
    out = {number for number, _ in refused}
    skipped += [(places[number], labelled[number][1].source, why) for number, why in refused]
    kept = [one for number, one in enumerate(labelled) if number not in out]
    if not kept:
        raise InputError(f"select: none of the pool's {len(skipped)} structures can be used: {skipped[0][2]}")
    aimed = None if target is None else _beside(target, "target", described, describe, seed)
    held = None if given is None else _beside(given, "given", described, describe, seed)
    described, kept, copies = _without_copies(described, kept, held)
    skipped += copies
    duplicates += [k for k, _, _ in copies]
    with threadpool_limits(1):  # of BLAS, whose threads wait for each other, and whose sums depend on their number
        task = _make_task(described, kept, aimed, held, groups, seed, draws, name, float(limit), poll)
        order, notes = CHOOSE[by](task)
        sizes = _sizes(task, order)
    interrupted = bool(notes) and notes[0] == INTERRUPTED
    chosen = [kept[k] for k in order]
    return Selection(
        tuple(k for k, _ in chosen),
        tuple(one for _, one in chosen),
        by,
        sizes,
        tuple(sorted(skipped)),
        (*notes, *task.notes),
        interrupted,
        tuple(sorted(duplicates)),
    )


def basis_for(structures: Sequence[Labelled], cutoff: float | None = None) -> Basis:
    """The basis that `select` and `refit` take for these structures, with another cutoff (Å) if given."""
    elements = elements_of(structures)
    return model_basis(elements, [from_atoms(one.atoms, elements, one.source) for one in structures], cutoff)


def _readable(
    given: Any, basis: Basis | None
) -> tuple[list[tuple[int, Labelled]], list[Structure], list[tuple[int, str, str]], list[int], tuple[str, ...]]:
    """(index, structure) of what can be used, the bare structures, what cannot be with the reason, which of that is the
    same bit by bit as an earlier one, and the elements."""
    everything = list(given)
    elements = tuple(basis.elements) if basis is not None else elements_of(everything)
    kept: list[tuple[int, Labelled]] = []
    structures: list[Structure] = []
    skipped: list[tuple[int, str, str]] = []
    duplicates: list[int] = []
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
            duplicates.append(k)
            continue
        seen[content] = one.source
        kept.append((k, one))
        structures.append(structure)
    return kept, structures, skipped, duplicates, elements


@dataclass(frozen=True, eq=False)
class _Beside:
    """Structures of a target or a given set, as the pool's model sees them."""

    pool: Pool
    used: tuple[Labelled, ...]  # each as it was read
    notes: tuple[str, ...]  # on those that cannot be used


def _without_copies(
    pool: Pool, kept: list[tuple[int, Labelled]], held: _Beside | None
) -> tuple[Pool, list[tuple[int, Labelled]], list[tuple[int, str, str]]]:
    """Pool and structures less those that say what an earlier one or the given set says; and these, with the reason."""
    cells = np.array([one.atoms.cell[:] for _, one in kept])
    same = {number: kept[first][1].source for number, first in clusters.copies(pool, cells).items()}
    if held is not None:
        same |= {
            number: f"{held.used[first].source}, which is given"
            for number, first in clusters.copies(
                pool, cells, held.pool, np.array([one.atoms.cell[:] for one in held.used])
            ).items()
        }
    if not same:
        return pool, kept, []
    left = [number for number in range(len(kept)) if number not in same]
    if not left:
        raise InputError(f"select: all {counted(len(kept), 'structure')} of the pool are in the given set already")
    copies = [
        (k, one.source, f"has the same cell and environments as {same[n]}")
        for n, (k, one) in enumerate(kept)
        if n in same
    ]
    return pool.only(np.array(left)), [kept[number] for number in left], copies


def _make_task(
    pool: Pool,
    kept: list[tuple[int, Labelled]],
    target: _Beside | None,
    held: _Beside | None,
    groups: str | None,
    seed: int,
    draws: int,
    name: str,
    limit: float,
    poll: Callable[[], None],
) -> Task:
    atoms = pool.n_atoms.astype(np.float64)
    budget = {"count": np.ones(len(pool)), "environments": atoms, "cost": atoms**3}[name]
    if limit > budget.sum():
        raise InputError(f"select: {name} is {limit:g}, but the pool has {budget.sum():g} in all that can be used")

    beside = [one for one in (target, held) if one is not None]
    notes = [note for one in beside for note in one.notes]
    aimed = pool if target is None else target.pool
    own, *theirs = clusters.features(pool, *(one.pool for one in beside))
    strata = [one.group if groups is None else str(one.atoms.info.get(groups, "")) for _, one in kept]
    if groups is not None and (
        nameless := [one.source for (_, one), name in zip(kept, strata, strict=True) if not name]
    ):
        if len(nameless) == len(kept):
            raise InputError(f"select: groups (--per) is {groups!r}, but no structure of the pool has this key")
        notes.append(f"{counted(len(nameless), 'structure')} without {groups} are a group, the first is {nameless[0]}")
    return Task(
        pool,
        Aim.of(aimed),
        np.zeros_like(pool.force_gram) if held is None else held.pool.gram(range(len(held.pool))),
        budget,
        limit,
        strata,
        own,
        own if target is None else theirs[0],
        aimed.n_atoms,
        np.empty((0, own.shape[1])) if held is None else theirs[-1],
        np.empty(0, np.int64) if held is None else held.pool.n_atoms,
        seed,
        draws,
        poll,
        tuple(notes),
    )


def _beside(structures: Any, name: str, pool: Pool, describe: Describer, seed: int) -> _Beside:
    elements = pool.basis.elements
    read: list[Structure] = []
    labelled: list[Labelled] = []
    left: list[str] = []
    for one in read_labelled(structures):
        strange = sorted(set(one.atoms.get_chemical_symbols()) - set(elements))
        if strange:
            raise InputError(f"{one.source}: has {strange[0]}, but the pool is of {', '.join(elements)} alone")
        try:
            read.append(from_atoms(one.atoms, elements, one.source))
            labelled.append(one)
        except InputError as error:
            left.append(str(error))
    made, refused = make_pool(read, len(read), pool.basis, like=pool, describe=describe, seed=seed)
    left += [f"{labelled[number].source}: {why}" for number, why in refused]
    out = {number for number, _ in refused}
    if not len(made):
        raise InputError(f"select: none of the structures of the {name} can be used: {left[0] if left else 'no such'}")
    notes = (f"{name}: {counted(len(left), 'structure')} left out, the first is {left[0]}",) if left else ()
    used = (one for number, one in enumerate(labelled) if number not in out)
    return _Beside(made, tuple(used), notes)


# ---------------------------------------------------------------------------------------------------------------------
# what remains


def _sizes(task: Task, order: Sequence[int]) -> tuple[Size, ...]:
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
