"""What a run searched for: towards or away from the target, one structure or a set, and its loss, made again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grs_evo.analysis.quality import moves_away
from grs_evo.driver.config.run_file import RunFile, parse
from grs_evo.driver.setup import make_problem
from grs_evo.errors import InputError
from grs_evo.loss.objective import Objective, make_objective
from grs_evo.loss.options import LossOptions
from grs_evo.search.population import representative_set as sets
from grs_evo.search.population.individual import Individual
from grs_evo.storage.archive_file import Archive
from grs_evo.storage.target_file import TargetData
from grs_evo.structures.reading import read_structures
from grs_evo.structures.structure import Structure
from grs_evo.targets.target import Target

# Scales that random structures of the search have to be drawn for.
_DRAWN = ("reference", "whitened")


@dataclass(frozen=True, eq=False)
class Context:
    """What the run file of an archive tells; nothing where another version of the program wrote it."""

    run: RunFile | None
    objective: Objective | None  # the loss of the first round; None where the archive does not tell enough to make it
    given: tuple[Structure, ...] | None  # the set that the run began with; None where its file is not there any more

    @property
    def loss(self) -> LossOptions | None:
        return self.run.loss if self.run is not None else None

    @property
    def away(self) -> bool:
        """Whether the search moves away from the target: the weights' sign."""
        return self.loss is not None and moves_away(self.loss)

    @property
    def moving(self) -> bool:
        """Whether the target moves with what a round accepts (reverse search, bootstrap)."""
        return self.run is not None and self.run.set.rounds > 0 and self.run.set.bootstrap != "none"

    @property
    def judges_single(self) -> bool:
        """Whether a structure by itself counts, not only in its set."""
        return self.loss is None or self.loss.w_structure != 0

    def set_losses(self, archive: Archive) -> NDArray[np.float64] | None:
        """Loss of the representative set after each of its structures, (n_set,); None where it cannot be told."""
        if self.objective is None or self.given is None:
            return None
        grown = sets.resume(self.objective, archive.set, self.given)
        return np.array(grown.losses[1:])

    def distances(self, individuals: Sequence[Individual]) -> NDArray[np.float64] | None:
        """Structure loss of each individual against the target as it was given, (n,); None where it cannot be told."""
        return None if self.objective is None else sets.distances(individuals, self.objective)


def context_of(archive: Archive, target: Target | None, folder: Path | None) -> Context:
    """What the archive's run searched for; files that it read are looked for in the run folder."""
    try:
        run = parse(archive.run_file, "run file")
    except InputError:
        return Context(None, None, None)
    given: tuple[Structure, ...] | None = ()
    if run.set.given is not None:
        try:
            entries = read_structures(run.set.given, archive.elements, folder=folder or Path())
            given = tuple(entry.structure for entry in entries)
        except InputError:
            given = None
    return Context(run, _objective(archive, target, run, folder), given)


def _stored_structures(target: Target, folder: Path | None) -> tuple[Structure, ...]:
    """What the run's target was made of; nothing where its folder does not tell."""
    if folder is None or not (folder / "target.h5").is_file():
        return ()
    try:
        kept = TargetData.read(folder / "target.h5")
    except InputError:
        return ()
    return kept.structures if kept.target.basis_hash == target.basis_hash else ()


def _objective(archive: Archive, target: Target | None, run: RunFile, folder: Path | None) -> Objective | None:
    if target is None:
        return None
    basis = archive.basis
    # Only structure and set loss are asked of it, which further terms do not enter; these may not be importable here.
    run = run.model_copy(update={"loss": run.loss.model_copy(update={"terms": {}})})
    try:
        structures = _stored_structures(target, folder)
        if run.loss.scale not in _DRAWN:
            if [one.n_atoms for one in structures] == target.n_atoms.tolist():
                target = replace(target, structures=structures)  # by which it has halves
            return make_objective(basis, target, run.loss)
        # The scale comes from random candidates, which the seed draws again.
        made: Objective = make_problem(run, TargetData(basis, target, structures), folder or Path()).objective
        return made
    except InputError:
        return None
