"""All that a run file leaves to its target, written out, with a line about each such decision."""

from __future__ import annotations

from typing import Any

from grs_evo.analysis.floor import FITTED, floor_of
from grs_evo.analysis.quality import reference_of
from grs_evo.driver.chosen.basis import basis_line, resolution_note
from grs_evo.driver.chosen.frames import of_one_state, seeks_one_cell
from grs_evo.driver.config.from_target import with_target_defaults
from grs_evo.driver.config.run_file import RunFile
from grs_evo.errors import InputError
from grs_evo.loss.objective import Objective
from grs_evo.observables import Reference
from grs_evo.search.candidates.by_target import by_molecules, by_network, by_target
from grs_evo.search.candidates.source import CandidateOptions
from grs_evo.storage.target_file import TargetData
from grs_evo.targets.target import Target


def decided(run: RunFile, target_data: TargetData) -> tuple[RunFile, tuple[str, ...]]:
    """The run file with what it leaves to the target written out, and a line about each such decision.

    Raises
    ------
    InputError
        The target does not tell what candidates are to be.
    """
    if run.target.alloy is not None:
        return run, ()
    notes: dict[str, None] = {}

    def settled(options: CandidateOptions | None, where: str) -> CandidateOptions | None:
        if options is None:
            return None
        found, told = by_target(options, target_data.basis.elements, target_data.structures, where)
        found, molecules_told = by_molecules(
            found, options, target_data.basis.elements, target_data.structures, run.relax, where
        )
        found, network_told = by_network(found, target_data.basis.elements, target_data.structures, run.relax, where)
        if found.carved > 0.0 and target_data.target.centres:
            raise InputError(
                f"{where}.carved: is {found.carved:g}, but target.kept_out keeps out a part of the structure that "
                "cells are cut from; leave out one of the two"
            )
        notes.update(dict.fromkeys((*told, *molecules_told, *network_told)))
        return found

    changes: dict[str, Any] = {}
    if any(one.candidates is None for one in run.each_island()):
        changes["candidates"] = settled(run.candidates, "candidates")
    own = "islands.candidates"
    if not run.islands and run.search.candidates is not None:
        changes["search"] = run.search.model_copy(update={"candidates": settled(run.search.candidates, own)})
    if any(group.candidates is not None for group in run.islands):
        changes["islands"] = tuple(
            group.model_copy(update={"candidates": settled(group.candidates, own)}) for group in run.islands
        )
    settled_run = run.model_copy(update=changes)
    counted_target = _counted_target(target_data)
    faults = () if counted_target is None else counted_target.notes
    torn = None if counted_target is None else counted_target.torn
    found, told = with_target_defaults(settled_run, target_data.structures, target_data.basis, torn)
    found, basis_told = _with_basis(found, target_data)
    return found, (*_kept_out_told(target_data), *faults, *notes, *told, *basis_told)


def _kept_out_told(target_data: TargetData) -> tuple[str, ...]:
    """Which frames or environments the search does not see."""
    if target_data.kept_out is None:
        return ()
    if target_data.kept_out.centres:
        (kept,), (seen,) = target_data.kept_out.centres, target_data.target.centres
        return (
            f"{len(kept)} of {len(seen) + len(kept)} environments, side by side, are kept out: what is found is judged "
            "by them as well",
        )
    n_kept, n_seen = len(target_data.kept_out.n_atoms), len(target_data.target.n_atoms)
    return (
        f"the last {n_kept} of {n_seen + n_kept} frames are kept out: what is found is judged by them as well "
        "(target.kept_out = 0 shows the search all)",
    )


def _counted_target(target_data: TargetData) -> Reference | None:
    """The target with its faults; None where it has no structures, or too many atoms to be counted in a second."""
    try:
        return reference_of(target_data.target, target_data.basis.elements, 0.0)
    except InputError:
        return None


def _with_basis(run: RunFile, target_data: TargetData) -> tuple[RunFile, tuple[str, ...]]:
    """The run file with the basis that was chosen for the target, or a word about a given one."""
    chosen = target_data.chosen
    if chosen is None:
        compared = bool(run.loss.terms.get("pair_distances"))
        return run, resolution_note(target_data.basis, target_data.target.structures, compared)
    return run.model_copy(update={"basis": chosen}), (basis_line(chosen),)


def with_floor(run: RunFile, objective: Objective) -> tuple[RunFile, tuple[str, ...]]:
    """The run file with `stop.loss` at a small share of the target's floor, where `stop.floor` asks for it.

    Written out, so that a resume stops where the run would have.

    Raises
    ------
    InputError
        It is given, and the target has no floor.
    """
    wanted = run.stop.floor
    if wanted is False or (wanted is None and not _stops_at_the_floor(run, objective.target)):
        return run, ()
    found = floor_of(objective)
    if found is None and wanted is None:
        return run, ()
    if found is None:
        raise InputError(
            "stop.floor: the target has no halves to compare: it needs frames of one system, or a disordered structure "
            "of a hundred atoms of each element; give stop.loss instead"
        )
    loss = FITTED * found.loss * run.loss.w_structure
    if run.stop.loss is not None:
        loss = max(loss, run.stop.loss)
    stop = run.stop.model_copy(update={"loss": loss})
    return run.model_copy(update={"stop": stop}), (
        f"stop.floor: {found.how} differ by a loss of {found.loss:.4g}, the floor; the search stops at {FITTED:g} of "
        f"that (stop.loss = {loss:.4g}), below which a cell would only follow this sample (stop.floor = false goes on)",
    )


def _stops_at_the_floor(run: RunFile, target: Target) -> bool:
    """Whether one good cell is all that a run looks for, nothing else says how good, and frames are of one state."""
    if len(target.n_atoms) > 1 and not of_one_state(target.volumes / target.n_atoms, target.groups):
        return False
    front = len(run.archive.objectives or ()) > 1 or any(
        one.strategy == "genetic" and one.selection.kind == "nsga2" for one in run.each_island()
    )
    return seeks_one_cell(run) and run.stop.loss is None and not front
