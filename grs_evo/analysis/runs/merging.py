"""The archives of several runs with one loss as one archive."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.descriptors.basis import Basis
from grs_evo.errors import InputError
from grs_evo.search.population.archive import ArchiveOptions, archive_hash, objectives
from grs_evo.search.population.archive import merge as merge_individuals
from grs_evo.search.population.individual import NO_PARENT, UID_BITS, Individual
from grs_evo.storage.archive_file import Archive


def merge_archives(archives: Sequence[Archive], names: Sequence[str], size: int = 1000, best: int = 10) -> Archive:
    """One archive of all that several runs found: the front of all, without duplicates.

    Parameters
    ----------
    archives : of runs with the same elements, basis, target, loss and objectives
    names : how messages call them
    size : largest number of individuals on the front
    best : lowest values kept even when dominated

    Returns
    -------
    Archive
        Islands are renumbered one run after another, and uids with them, so that parents stay parents. Representative
        sets follow each other; they were chosen run by run and not for each other. The run file, seed and target are
        the first run's.

    Raises
    ------
    InputError
        Nothing to merge, or runs whose losses cannot be compared; names what differs.
    """
    if not archives:
        raise InputError("merge: no archives were given; at least one is needed")
    first = archives[0]
    basis_hash = Basis.from_text(first.basis_text).hash
    for other, name in zip(archives[1:], names[1:], strict=True):
        for what in ("elements", "term_names", "objective_names"):
            mine, theirs = getattr(first, what), getattr(other, what)
            if tuple(mine) != tuple(theirs):
                raise InputError(
                    f"{name}: {what} are {', '.join(theirs)}, those of {names[0]} {', '.join(mine)}; "
                    "only runs with the same can be merged"
                )
        if Basis.from_text(other.basis_text).hash != basis_hash:
            raise InputError(f"{name}: has another basis than {names[0]}, so their losses cannot be compared")
        if not _same_target(first.target, other.target):
            raise InputError(f"{name}: has another target than {names[0]}, so their losses cannot be compared")
        if _loss(first.run_file) != _loss(other.run_file):
            raise InputError(
                f"{name}: has another [loss] in its run file than {names[0]}, so values cannot be compared"
            )
    parts: list[list[Individual]] = []
    sets: list[Individual] = []
    histories: list[dict[str, NDArray[Any]]] = []
    islands = 0
    for archive in archives:
        parts.append([_moved(one, islands) for one in archive.individuals])
        sets += [_moved(one, islands) for one in archive.set]
        history = dict(archive.history)
        own = [one.island for one in archive.individuals]
        if "island" in history and len(history["island"]):
            own += [int(np.max(history["island"]))]
            history["island"] = np.asarray(history["island"]) + islands
            histories.append(history)
        islands += max(own, default=0) + 1
    target_atoms = _target_atoms(first)
    options = ArchiveOptions(
        objectives=tuple(first.objective_names), size=max(2, size), best=best, target_atoms=target_atoms
    )
    individuals = merge_individuals(parts, options, first.term_names)
    shared = [name for name in (histories[0] if histories else {}) if all(name in one for one in histories)]
    return replace(
        first,
        individuals=individuals,
        objectives=objectives(individuals, first.objective_names, first.term_names, target_atoms),
        set=sets,
        history={name: np.concatenate([one[name] for one in histories]) for name in shared},
        archive_hash=archive_hash(individuals),
        attributes={**first.attributes, "merged_from": len(archives)},
    )


def _moved(one: Individual, islands: int) -> Individual:
    """The individual with its island, and the island in its uids, moved up."""
    shift = islands << UID_BITS
    first, second = (uid if uid == NO_PARENT else uid + shift for uid in one.parents)
    line = one.line.copy()
    for name in ("uid", "other"):
        line[name] += np.where(line[name] == NO_PARENT, 0, shift)
    return replace(one, uid=one.uid + shift, parents=(first, second), island=one.island + islands, line=line)


def _same_target(one: dict[str, NDArray[Any]], other: dict[str, NDArray[Any]]) -> bool:
    """Whether two stored targets have the same moments; their descriptions may differ."""
    keys = sorted(key for key in one if key.startswith("moments_"))
    return keys == sorted(key for key in other if key.startswith("moments_")) and all(
        np.array_equal(one[key], other[key]) for key in keys
    )


def _loss(run_file: str) -> object:
    """The loss settings of a run file; None where it is not to be read."""
    try:
        return tomllib.loads(run_file).get("loss")
    except tomllib.TOMLDecodeError:
        return None


def _target_atoms(archive: Archive) -> float:
    """The number of atoms whose cost is 1, as the archive's own objectives have it."""
    if "cost" not in archive.objective_names or not archive.individuals:
        return 1.0
    cost = float(archive.objectives[0, list(archive.objective_names).index("cost")])
    return float(archive.individuals[0].structure.n_atoms / cost ** (1.0 / 3.0))
