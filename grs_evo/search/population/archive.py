"""Individuals into the bounded set worth keeping: the Pareto front, without duplicates, whatever order they came in.

The archive of a set of individuals is a pure function of the set:

1. losses are rounded to a relative precision (`same`); individuals with equal numbers of atoms of each element and
   equal rounded terms are one structure seen twice, and the first in canonical order stays;
2. of the rest, those that no other dominates in the (rounded) objectives form the front;
3. a front larger than `size` loses its most crowded member, again and again, the extremes never;
4. the `best` lowest values are kept as well, dominated or not, so that a search with a one-point front still ranks.

Canonical order is (rounded objectives, value, number of atoms, content hash, uid). Steps 1, 2 and 4 give the same
answer however the set was split and merged before; step 3 does so as long as no part overflowed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from grs_evo.errors import InputError, nearest
from grs_evo.options import Options
from grs_evo.search.population.domination import dominated, thin
from grs_evo.search.population.individual import Individual
from grs_evo.structures.clusters import elongation
from grs_evo.structures.symmetry import n_displacements

# Losses below this are zero: what rounding leaves of an exact match.
_ZERO = 1e-10
# The terms that objectives are by default, where they are all that the value is made of.
_PARTS = ("mean", "variance", "core")


class ArchiveOptions(Options):
    """What the archive is judged by and how much it holds."""

    objectives: tuple[str, ...] | None = Field(
        default=None,
        description="names of loss terms, or value, n_atoms, cost (n_atoms³ relative to the target's); default: mean, "
        "variance and core, or value where more than these, or a weight below 0, decides; and n_atoms when the size "
        "is free",
    )
    size: int = Field(default=100, ge=2, le=100_000, description="largest number of individuals on the front [1]")
    best: int = Field(default=10, ge=1, le=10_000, description="lowest values kept even when dominated [1]")
    same: float = Field(
        default=1e-6, gt=0, le=0.1, description="relative difference of all terms below which two are one structure [1]"
    )
    target_atoms: float = Field(default=1.0, gt=0, description="number of atoms whose cost is 1 [atoms]")


def check_objectives(
    names: Sequence[str], term_names: Sequence[str], weights: Mapping[str, float] | None = None
) -> tuple[str, ...]:
    """The names, or an InputError that says which is unknown, or is raised by the search and so cannot be minimised.

    Parameters
    ----------
    weights : with which each term enters the value (`plan.weights`); None: all of them above 0
    """
    allowed = (*term_names, "value", "n_atoms", "cost", "displacements", "elongation")
    for name in names:
        if name not in allowed:
            raise InputError(
                f"archive.objectives: {name!r} is not an objective; allowed are {', '.join(allowed)}"
                + nearest(name, allowed)
            )
        weight = (weights or {}).get(name, 1.0)
        if weight < 0:
            raise InputError(
                f"archive.objectives: {name!r} enters the value with the weight {weight:g}, so the search makes it "
                "larger, and a front that makes it smaller would look the other way; name 'value' instead"
            )
    if len(set(names)) != len(names) or not names:
        raise InputError(f"archive.objectives: is {list(names)}; needs one or more names, each once")
    return tuple(names)


def default_objectives(
    term_names: Sequence[str], size_free: bool, weights: Mapping[str, float] | None = None
) -> tuple[str, ...]:
    """What a front is judged by where the run file does not say; the lowest value is always on such a front.

    Mean, variance and core, where the value grows with each of them and depends on nothing else; the value itself where
    it does not: moving away from a target, for a set, with further moments. And the number of atoms when it is free.

    Parameters
    ----------
    weights : with which each term enters the value (`plan.weights`); None: all of them above 0
    """
    names = [name for name in _PARTS if name in term_names]
    if weights is None:
        decides = dict.fromkeys(names, 1.0)
    else:
        # "structure" is the sum of its moments, and "raw" is only reported
        decides = {name: weight for name, weight in weights.items() if name not in ("structure", "raw") and weight}
    if not {"mean", "variance"} & decides.keys() or not decides.keys() <= set(names) or min(decides.values()) < 0:
        names = ["value"]
    return (*names, "n_atoms") if size_free else tuple(names)


def objectives(
    individuals: Sequence[Individual], names: Sequence[str], term_names: Sequence[str], target_atoms: float = 1.0
) -> NDArray[np.float64]:
    """The objectives of each individual, (n, len(names)); all are minimised."""
    columns = np.empty((len(individuals), len(names)))
    index = {name: k for k, name in enumerate(term_names)}
    for j, name in enumerate(names):
        if name == "value":
            columns[:, j] = [one.value for one in individuals]
        elif name == "n_atoms":
            columns[:, j] = [one.structure.n_atoms for one in individuals]
        elif name == "displacements":
            columns[:, j] = [n_displacements(one.structure) for one in individuals]
        elif name == "elongation":
            columns[:, j] = [elongation(one.structure) for one in individuals]
        elif name == "cost":
            columns[:, j] = [(one.structure.n_atoms / target_atoms) ** 3 for one in individuals]
        else:
            columns[:, j] = [one.terms[index[name]] for one in individuals]
    return columns


def rounded(values: NDArray[np.float64], same: float) -> NDArray[np.float64]:
    """Values with their last bits cut, so that nearly equal losses compare equal; order is kept.

    Done on the bits of the numbers and not by arithmetic, so that it is exact, monotone and idempotent.
    """
    drop = max(0, 52 - int(np.ceil(-np.log2(same))))
    bits = np.ascontiguousarray(values, dtype=np.float64).view(np.int64)
    cut = ((bits + (1 << drop >> 1)) & ~np.int64((1 << drop) - 1)).view(np.float64)
    return np.where(np.abs(cut) < _ZERO, 0.0, cut)


def merge(
    archives: Iterable[Sequence[Individual]], options: ArchiveOptions, term_names: Sequence[str]
) -> list[Individual]:
    """The archive of everything in the given archives, in canonical order.

    Parameters
    ----------
    archives : sequences of individuals, in any order and split in any way
    options : with `objectives` resolved (see `default_objectives`)
    term_names : names of `Individual.terms`

    Individuals whose value or terms are not finite are passed over: NaN can never enter.
    """
    return merged(finite([one for archive in archives for one in archive]), options, term_names)


def all_that_may_stay(
    individuals: Sequence[Individual], options: ArchiveOptions, term_names: Sequence[str]
) -> list[Individual]:
    """Some of a run's individuals as an archive that can be merged with others: its front was not made smaller."""
    return merge([individuals], options.model_copy(update={"size": 1 << 62}), term_names)


def finite(individuals: Sequence[Individual]) -> list[Individual]:
    """Those whose value and terms are all numbers."""
    if not individuals:
        return []
    rows = np.array([(one.value, *one.terms.tolist()) for one in individuals])
    return [one for one, ok in zip(individuals, np.isfinite(rows).all(axis=1).tolist(), strict=True) if ok]


def merged(pool: list[Individual], options: ArchiveOptions, term_names: Sequence[str]) -> list[Individual]:
    """`merge` of individuals whose values and terms are finite."""
    if not pool:
        return []
    pool = [pool[k] for k in distinct(pool, options.same)]
    table = comparison_table(pool, options, term_names)
    order = canonical_order(pool, table)
    pool, table = [pool[k] for k in order.tolist()], table[:, order]
    scores = table[:-2].T
    front = np.flatnonzero(~dominated(scores))
    if len(front) > options.size:
        front = front[thin(scores[front], options.size)]
    best = np.argsort(table[-2], kind="stable")[: options.best]
    return [pool[k] for k in sorted({*front.tolist(), *best.tolist()})]


def comparison_table(
    pool: Sequence[Individual], options: ArchiveOptions, term_names: Sequence[str]
) -> NDArray[np.float64]:
    """What individuals are ordered by, (n_objectives + 2, n): rounded objectives, value, number of atoms."""
    names = objective_names(options, term_names)
    scores = rounded(objectives(pool, names, term_names, options.target_atoms), options.same)
    return np.array([*scores.T, [one.value for one in pool], [one.structure.n_atoms for one in pool]])


def objective_names(options: ArchiveOptions, term_names: Sequence[str]) -> tuple[str, ...]:
    return options.objectives or default_objectives(term_names, size_free=True)


def archive_hash(individuals: Sequence[Individual]) -> str:
    """16 hex digits of the content: structures, values and terms; order, time, host and ranks play no part."""
    parts = sorted(one.content.encode() + np.float64(one.value).tobytes() + one.terms.tobytes() for one in individuals)
    return hashlib.blake2b(b"".join(parts), digest_size=8).hexdigest()


def distinct(pool: Sequence[Individual], same: float) -> list[int]:
    """Which of the pool stay when each structure is kept once; nothing is said of their order."""
    terms = rounded(np.array([one.terms for one in pool]).reshape(len(pool), -1), same)
    values = rounded(np.array([one.value for one in pool]), same)
    # Few have all numbers in common with another one; of these alone the composition is looked at.
    table = np.column_stack([terms, values, [one.structure.n_atoms for one in pool]])
    rows = table.view(f"V{table.itemsize * table.shape[1]}").ravel().tolist()  # rounded, so that 0 has one form
    number = Counter(rows)
    result = [k for k, row in enumerate(rows) if number[row] == 1]
    classes: dict[tuple[bytes, bytes], int] = {}
    for k, (one, row) in enumerate(zip(pool, rows, strict=True)):
        if number[row] > 1:
            key = (row, composition(one))
            if key not in classes or comes_before(one, pool[classes[key]]):
                classes[key] = k
    return [*result, *classes.values()]


def composition(one: Individual) -> bytes:
    """The number of atoms of each element, to be compared."""
    return np.bincount(one.structure.species).tobytes()


def comes_before(one: Individual, other: Individual) -> bool:
    """Whether it is the first of two that are one structure seen twice."""
    return one is not other and (one.value, one.content, one.uid) < (other.value, other.content, other.uid)


def canonical_order(pool: Sequence[Individual], table: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices of the pool in canonical order; `table` is its `comparison_table`."""
    order = np.lexsort(table[::-1])
    table = table.take(order, axis=1)
    # Contents are hashed only where all else is equal, which is rare.
    begins = np.flatnonzero(np.concatenate([[True], (table[:, 1:] != table[:, :-1]).any(axis=0), [True]]))
    for k in np.flatnonzero(np.diff(begins) > 1):
        tied = slice(begins[k], begins[k + 1])
        order[tied] = sorted(order[tied].tolist(), key=lambda k: (pool[k].content, pool[k].uid))
    return np.asarray(order, np.int64)
