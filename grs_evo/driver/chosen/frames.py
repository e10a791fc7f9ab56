"""Which frames of a target the search sees, and which are kept out to judge what it finds by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grs_evo.analysis.quality import moves_away
from grs_evo.descriptors.basis import Basis
from grs_evo.driver.config.run_file import RunFile
from grs_evo.errors import InputError
from grs_evo.structures.reading import Entry
from grs_evo.targets.chunks import Worker
from grs_evo.targets.target import Target

# Largest ratio of volumes of frames of one state: at constant pressure those of fifty atoms differ by some per cent.
_WIDEST = 1.1
# Frames of one system from which on some are kept out unless the run file says otherwise, and how many of them.
_MANY, _SHARE = 10, 0.2


def seeks_one_cell(run: RunFile) -> bool:
    """Whether a run looks for one cell that is like its target: no set, and not away from it."""
    loss = run.loss
    return loss.w_structure > 0 and loss.w_set == 0 and run.set.rounds == 0 and not moves_away(loss)


def divided(run: RunFile, entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """The frames that the search sees, and the last ones, which it does not.

    Raises
    ------
    InputError
        Frames are to be kept out where there are none of one system, or in a search for a set or away from the target.
    """
    share = run.target.kept_out
    if share == 0 or run.target.alloy is not None:
        return list(entries), []
    alike = _of_one_system(entries)
    if share is None:
        volumes = np.array([one.structure.volume for one in entries])
        settled = alike and of_one_state(volumes, [one.group for one in entries])
        share = _SHARE if settled and len(entries) >= _MANY and seeks_one_cell(run) else 0.0
    elif not alike:
        raise InputError(
            f"target.kept_out: is {share:g}, but the target has no frames of one system, with the same atoms and "
            "weight; give two or more, or leave it out"
        )
    elif not seeks_one_cell(run):
        raise InputError(
            f"target.kept_out: is {share:g}, but a set, or a search away from the target, is not judged by frames that "
            "were kept out; leave it out"
        )
    n_kept = max(1, round(share * len(entries))) if share > 0 else 0
    first = len(entries) - n_kept
    return list(entries[:first]), list(entries[first:])


def _of_one_system(entries: Sequence[Entry]) -> bool:
    """Whether there are several structures, of the same atoms, periodicity and weight."""
    if len(entries) < 2:
        return False
    first = entries[0]
    atoms = np.sort(first.structure.species)
    return all(
        one.weight == first.weight
        and one.structure.n_atoms == len(atoms)
        and bool((one.structure.pbc == first.structure.pbc).all())
        and bool((np.sort(one.structure.species) == atoms).all())
        for one in entries
    )


def of_one_state(volumes: NDArray[np.float64], groups: Sequence[str]) -> bool:
    """Whether frames of the same atoms may be of one state: no group of others, and no series of strained cells, whose
    first and last ones differ by more than chance."""
    return len(set(groups)) <= 1 and bool(volumes.max() <= _WIDEST * volumes.min())


def described(entries: Sequence[Entry], basis: Basis, covariance: bool, worker: Worker | None) -> Target:
    """The distribution of all environments of some entries."""
    return Target.from_structures(
        [entry.structure for entry in entries],
        basis,
        [entry.weight for entry in entries],
        [entry.source for entry in entries],
        [entry.group for entry in entries],
        covariance,
        worker=worker,
    )
