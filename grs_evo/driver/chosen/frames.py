"""Which part of a target the search sees, and which is kept out to judge what it finds by.

Of several frames the last ones are kept out. A single structure is cut across its longest periodic vector: the
environments beyond the cut are kept out, with all atoms around them as they are. Contiguous parts share atoms only
near the two cuts; environments taken out here and there would share theirs with those that are seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grs_evo.analysis.floor import LEAST, along_longest
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


@dataclass(frozen=True, eq=False)
class Division:
    """The two parts of a target."""

    seen: list[Entry]
    kept: list[Entry]  # empty: nothing is kept out
    # of a single structure, which is in both: the atoms whose environments are seen, and kept out; empty: all
    seen_centres: tuple[NDArray[np.int64], ...] = ()
    kept_centres: tuple[NDArray[np.int64], ...] = ()


def seeks_one_cell(run: RunFile) -> bool:
    """Whether a run looks for one cell that is like its target: no set, and not away from it."""
    loss = run.loss
    return loss.w_structure > 0 and loss.w_set == 0 and run.set.rounds == 0 and not moves_away(loss)


def divided(run: RunFile, entries: Sequence[Entry]) -> Division:
    """The frames, or the environments of one structure, that the search sees, and the last ones, which it does not.

    Raises
    ------
    InputError
        A part is to be kept out of frames of several systems, of a structure that is too small or not periodic, or in
        a search for a set or away from the target.
    """
    share = run.target.kept_out
    if share == 0 or run.target.alloy is not None:
        return Division(list(entries), [])
    alike = _of_one_system(entries)
    if share is None:
        volumes = np.array([one.structure.volume for one in entries])
        settled = alike and of_one_state(volumes, [one.group for one in entries])
        share = _SHARE if settled and len(entries) >= _MANY and seeks_one_cell(run) else 0.0
    elif not alike and len(entries) > 1:
        raise InputError(
            f"target.kept_out: is {share:g}, but the target's frames are not of one system, with the same atoms and "
            "weight; leave it out"
        )
    elif not seeks_one_cell(run):
        raise InputError(
            f"target.kept_out: is {share:g}, but a set, or a search away from the target, is not judged by frames that "
            "were kept out; leave it out"
        )
    elif len(entries) == 1:
        return _parts(entries[0], share)
    n_kept = max(1, round(share * len(entries))) if share > 0 else 0
    first = len(entries) - n_kept
    return Division(list(entries[:first]), list(entries[first:]))


def _parts(entry: Entry, share: float) -> Division:
    """One structure, cut across its longest periodic vector; InputError where a part is too small."""
    structure = entry.structure
    if not structure.pbc.any():
        raise InputError(
            f"target.kept_out: is {share:g}, but {entry.source} is not periodic, and one part of it is not like the "
            "others; leave it out"
        )
    order = np.argsort(along_longest(structure), kind="stable")
    first = structure.n_atoms - round(share * structure.n_atoms)
    seen, kept = np.sort(order[:first]), np.sort(order[first:])
    present = np.bincount(structure.species) > 0
    for part, name in ((seen, "seen"), (kept, "kept out")):
        fewest = int(np.bincount(structure.species[part], minlength=len(present))[present].min())
        if fewest < LEAST:
            raise InputError(
                f"target.kept_out: is {share:g}, so that of {entry.source} {fewest} environments of an element would "
                f"be {name}; at least {LEAST} of each are needed: give another share or a larger structure, or leave "
                "it out"
            )
    return Division([entry], [entry], (seen,), (kept,))


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


def described(
    entries: Sequence[Entry],
    basis: Basis,
    covariance: bool,
    worker: Worker | None,
    centres: Sequence[NDArray[np.int64]] = (),
) -> Target:
    """The distribution of the environments of some entries: of some of each one's atoms, or of all."""
    return Target.from_structures(
        [entry.structure for entry in entries],
        basis,
        [entry.weight for entry in entries],
        [entry.source for entry in entries],
        [entry.group for entry in entries],
        covariance,
        worker=worker,
        centres=centres,
    )
