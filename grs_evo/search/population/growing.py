"""An archive that grows: what `archive.merge` returns, at the cost of what is added.

Of an archive that `extend` has made, what its individuals are compared by is known, and kept with it in canonical
order. New ones find their places there by bisection, and what they dominate among their neighbours in order; passes
over the whole archive are those of numpy, over a few numbers of each.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from grs_evo.search.population.archive import (
    ArchiveOptions,
    canonical_order,
    comes_before,
    comparison_table,
    composition,
    distinct,
    finite,
    merged,
    objective_names,
    rounded,
)
from grs_evo.search.population.domination import dominated_by, dominated_in_order, dominated_with, thin
from grs_evo.search.population.individual import Individual, order_key

# Objectives that terms, value and number of atoms do not tell: one structure seen twice can differ in them.
_OF_STRUCTURES = ("displacements", "elongation")


@dataclass(frozen=True)
class _Known:
    """What is known of the individuals of an archive, in their order."""

    options: ArchiveOptions
    term_names: tuple[str, ...]
    table: NDArray[np.float64]  # (n_objectives + 2, n), see `archive.comparison_table`
    dominated: NDArray[np.bool_]  # (n,) by another one of the archive
    best: NDArray[np.bool_]  # (n,) among the lowest values, which stay when dominated


class Archive(tuple[Individual, ...]):
    """An archive's individuals in canonical order, and what is known of them."""

    known: _Known


def extend(
    archive: Sequence[Individual], found: Sequence[Individual], options: ArchiveOptions, term_names: Sequence[str]
) -> tuple[Individual, ...]:
    """An archive with newly found individuals added: what `merge` returns, faster.

    Those that the archive's own individuals dominate, and that are not among the lowest values, are left out first.
    """
    found = finite(found)
    if not found:
        return archive if isinstance(archive, tuple) else tuple(archive)
    names = tuple(term_names)
    if not isinstance(archive, Archive) or (archive.known.options, archive.known.term_names) != (options, names):
        return _begun(archive, found, options, names)
    known = archive.known
    new = comparison_table(found, options, names)
    is_dominated = dominated_by(new[:-2], known.table[:-2])
    if len(archive) >= options.best:
        kept = np.flatnonzero(~is_dominated | (new[-2] <= known.table[-2, known.best].max()))
        if len(kept) == 0:
            return archive
        found, new, is_dominated = [found[k] for k in kept.tolist()], new.take(kept, axis=1), is_dominated[kept]
    chosen, replaced = _not_seen_before(archive, found, new)
    if any((known.table[:-2, old] != new[:-2, k]).any() for old, k in replaced.items()):
        # The same structure with other objectives: what the one that goes has dominated may stand again.
        return _remembered(merged([*archive, *found], options, names), options, names)
    if not chosen:
        return archive
    found = [found[k] for k in chosen]
    order = canonical_order(found, new.take(chosen, axis=1))
    at = np.array(chosen)[order]
    rest = _without(archive, replaced) if replaced else archive
    return _joined(rest, [found[k] for k in order.tolist()], new.take(at, axis=1), is_dominated[at])


def lowest(archive: Sequence[Individual]) -> Individual:
    """The one of the lowest value, the first in `order_key` of several."""
    if isinstance(archive, Archive):
        values = archive.known.table[-2]
        archive = [archive[k] for k in np.flatnonzero(values == values.min()).tolist()]
    return min(archive, key=order_key)


def _begun(
    archive: Sequence[Individual], found: Sequence[Individual], options: ArchiveOptions, names: tuple[str, ...]
) -> tuple[Individual, ...]:
    """`extend` of individuals of which nothing is known: of no archive yet, or of one that was saved."""
    if len(archive) >= options.best:
        old, new = comparison_table(archive, options, names), comparison_table(found, options, names)
        order = np.lexsort(old[::-1])
        worst_kept = np.partition(old[-2], options.best - 1)[options.best - 1]
        kept = ~dominated_by(new[:-2], old[:-2, order]) | (new[-2] <= worst_kept)
        found = [found[k] for k in np.flatnonzero(kept).tolist()]
        if not found:
            return tuple(archive)
    return _remembered(merged([*archive, *found], options, names), options, names)


def _remembered(individuals: Sequence[Individual], options: ArchiveOptions, names: tuple[str, ...]) -> Archive:
    """What `merged` has made, with what is known of it."""
    archive = Archive(individuals)
    table = comparison_table(archive, options, names)
    best = np.zeros(len(archive), np.bool_)
    best[np.argsort(table[-2], kind="stable")[: options.best]] = True
    archive.known = _Known(options, names, table, dominated_in_order(table[:-2]), best)
    return archive


def _not_seen_before(
    archive: Archive, found: Sequence[Individual], new: NDArray[np.float64]
) -> tuple[list[int], dict[int, int]]:
    """Which of those found are to be added, and which of these takes the place of one that is the same structure.

    Returns
    -------
    chosen : places among those found
    replaced : from the place of an individual of the archive to that of the one found that comes before it
    """
    known = archive.known
    names = objective_names(known.options, known.term_names)
    told = next((k for k, name in enumerate(names) if name in _OF_STRUCTURES), len(names))
    everywhere = np.zeros(len(found), np.int64), np.full(len(found), len(archive))
    low, high = _tied_in_first(known.table, new) if told else everywhere
    chosen, replaced = [], {}
    for k in distinct(found, known.options.same):
        old = None
        if low[k] < high[k]:
            begin, end = _tied(known.table, new[:, k], range(1, told), int(low[k]), int(high[k]))
            old = _same_structure(archive, found[k], range(begin, end))
        if old is not None and not comes_before(found[k], archive[old]):
            continue
        if old is not None:
            replaced[old] = k
        chosen.append(k)
    return chosen, replaced


def _tied_in_first(table: NDArray[np.float64], new: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where those of the table with the first objective of each new one begin and end."""
    return np.searchsorted(table[0], new[0], "left"), np.searchsorted(table[0], new[0], "right")


def _tied(
    table: NDArray[np.float64], one: NDArray[np.float64], rows: Iterable[int], low: int, high: int
) -> tuple[int, int]:
    """Of the part low … high - 1 of a table, equal in the rows before, the part with the same numbers in these rows."""
    for row in rows:
        if low == high:
            break
        begin, end = (int(np.searchsorted(table[row, low:high], one[row], side)) for side in ("left", "right"))
        low, high = low + begin, low + end
    return low, high


def _same_structure(archive: Archive, one: Individual, places: range) -> int | None:
    """Where in a part of the archive a structure stands that is the same one, if any: as `archive.distinct` sees it."""
    if not places:
        return None
    same, part = archive.known.options.same, archive.known.table[-2:, places.start : places.stop]
    value, terms = rounded(np.array([one.value]), same), rounded(one.terms, same)
    near = (part[1] == one.structure.n_atoms) & (rounded(part[0], same) == value)
    for place in (places.start + np.flatnonzero(near)).tolist():
        other = archive[place]
        if np.array_equal(rounded(other.terms, same), terms) and composition(other) == composition(one):
            return int(place)
    return None


def _without(archive: Archive, places: Iterable[int]) -> Archive:
    """The archive without some of its individuals, which dominate nothing that others do not."""
    stay = np.ones(len(archive), np.bool_)
    stay[list(places)] = False
    return _part(archive, archive.known, stay)


def _part(individuals: Sequence[Individual], known: _Known, stay: NDArray[np.bool_]) -> Archive:
    """The archive of those individuals that stay."""
    if not stay.all():
        places = np.flatnonzero(stay)
        individuals = [individuals[k] for k in places.tolist()]
        table = known.table.take(places, axis=1)
        known = replace(known, table=table, dominated=known.dominated[places], best=known.best[places])
    archive = Archive(individuals)
    archive.known = known
    return archive


def _joined(
    archive: Archive, added: list[Individual], new: NDArray[np.float64], is_dominated: NDArray[np.bool_]
) -> Archive:
    """An archive with others added.

    Parameters
    ----------
    added : in canonical order, of structures that the archive does not hold
    new : (n_objectives + 2, k) their table
    is_dominated : (k,) by an individual of the archive
    """
    known, options = archive.known, archive.known.options
    places = _places(archive, added, new)
    n, at = len(archive) + len(added), places + np.arange(len(added))
    is_new = np.zeros(n, np.bool_)
    is_new[at] = True
    table = np.empty((len(new), n))
    table[:, is_new], table[:, ~is_new] = new, known.table
    beaten, candidates = np.empty(n, np.bool_), np.ones(n, np.bool_)
    beaten[is_new], beaten[~is_new] = is_dominated, known.dominated
    candidates[~is_new] = known.best
    individuals: list[Individual] = []
    for one, (begin, end) in zip(added, pairwise([0, *places.tolist()]), strict=True):
        individuals += archive[begin:end]
        individuals.append(one)
    individuals += archive[places[-1] :]
    beaten = dominated_with(table[:-2], beaten, at)
    return _bounded(individuals, _Known(options, known.term_names, table, beaten, candidates))


def _bounded(individuals: Sequence[Individual], known: _Known) -> Archive:
    """Those of an archive that stay: the front, thinned where it is too large, and the lowest values.

    Parameters
    ----------
    known : of the individuals; `best` are all that may have the lowest values
    """
    front, candidates = np.flatnonzero(~known.dominated), np.flatnonzero(known.best)
    crowded = len(front) > known.options.size
    if crowded:
        front = front[thin(known.table[:-2, front].T, known.options.size)]
    best = np.zeros(len(individuals), np.bool_)
    best[candidates[np.argsort(known.table[-2, candidates], kind="stable")[: known.options.best]]] = True
    stay = best.copy()
    stay[front] = True
    archive = _part(individuals, replace(known, best=best), stay)
    if crowded:  # what dominated some of the lowest values may have gone
        scores, still = archive.known.table[:-2], np.flatnonzero(archive.known.dominated)
        archive.known.dominated[still] = dominated_by(scores[:, still], scores)
    return archive


def _places(archive: Archive, added: Sequence[Individual], new: NDArray[np.float64]) -> NDArray[np.int64]:
    """(k,) before which individual of the archive each of those added stands."""
    table = archive.known.table
    low, high = _tied_in_first(table, new)
    for k in np.flatnonzero(low < high).tolist():
        begin, end = _tied(table, new[:, k], range(1, len(table)), int(low[k]), int(high[k]))
        key = (added[k].content, added[k].uid) if begin < end else ("", 0)
        low[k] = bisect_left(
            range(end), key, begin, end, key=lambda place: (archive[place].content, archive[place].uid)
        )
    return low
