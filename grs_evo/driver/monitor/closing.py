"""At the end of a session: whether what was found stands for the target, on the screen and in status.json."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from grs_evo.analysis.floor import floor_of
from grs_evo.analysis.kept_out import kept_out_of
from grs_evo.analysis.quality import Judgement, judge, moves_away, reference_of, subject_of, untold
from grs_evo.driver.config.run_file import RunFile
from grs_evo.driver.monitor.status_file import write_status
from grs_evo.driver.monitor.summary import Result
from grs_evo.errors import InputError
from grs_evo.loss.objective import Objective
from grs_evo.loss.quality import over_noise, structure_loss
from grs_evo.observables import DIFFERS
from grs_evo.search.population.individual import Individual, order_key
from grs_evo.storage.run_folder import Folder, json_table
from grs_evo.storage.target_file import TargetData
from grs_evo.structures.structure import Structure


def close(
    result: Result,
    run: RunFile,
    target_data: TargetData,
    accepted: Sequence[Individual],
    given: Callable[[], list[Structure]],
    objective: Objective | None = None,
) -> list[str]:
    """The lines to say, the last of them about what was found; none where there is nothing to compare with.

    The run is over and all of it written: whatever goes wrong here is said in that line.

    Parameters
    ----------
    accepted : the representative set, empty where the run makes none
    given : reads the structures that the set began with
    objective : for the floor of the target; None: it is not told
    """
    judgement = _judgement(result, run, target_data, accepted, given)
    if judgement is None and not (accepted or moves_away(run.loss)):
        judgement = _beside_a_sample(result, objective)
    if judgement is None:
        return []
    place = Folder(result.folder).status
    quality = judgement.to_dict()
    single = objective if not (accepted or judgement.away) else None
    floor, told = _floor(result, single)
    quality["floor"] = floor
    kept_out = None if single is None else kept_out_of(single, target_data.kept_out)
    if kept_out is not None and single is not None:
        best = min(result.archive, key=order_key)
        quality["kept_out"] = kept_out.found(best.structure, structure_loss(best.terms, single.term_names))
        told.append(quality["kept_out"]["line"])
    with suppress(OSError):  # as for every status.json; the report judges again
        write_status(place, {**json_table(place), "quality": quality, "kept_out": quality.get("kept_out")})
    return [*judgement.notes, *told, judgement.line]


def told_to_differ(folder: Path) -> bool:
    """Whether what a run found differs from its target, as `close` wrote it down."""
    judged = json_table(Folder(folder).status).get("quality")
    return isinstance(judged, dict) and judged.get("grade") == DIFFERS


def _beside_a_sample(result: Result, objective: Objective | None) -> Judgement | None:
    """By the loss alone, where the target has no structures to compare with, such as a random alloy."""
    if objective is None or not result.archive or "structure" not in objective.term_names:
        return None
    if not len(objective.target.sample_rows):
        return None
    best, subject = min(result.archive, key=order_key), subject_of(False, False)
    n = best.structure.n_atoms
    found = over_noise(objective, structure_loss(best.terms, objective.term_names), n)
    if not found.noise > 0.0:
        return None
    words = (
        "stands for it better than a random cell of its size"
        if found.ratio < 1.0
        else "no better than a random cell of its size: more sites or generations may help"
    )
    line = f"{subject} ({n} sites): loss {found.ratio:.2g} times that of {n} environments drawn at random; {words}"
    return Judgement(subject, line, False, None)


def _floor(result: Result, objective: Objective | None) -> tuple[dict[str, float] | None, list[str]]:
    """The loss by which two halves of the target differ, beside that of the best structure; and a line."""
    if objective is None or "structure" not in objective.term_names:
        return None, []
    found = floor_of(objective)
    if found is None:
        return None, []
    loss = structure_loss(min(result.archive, key=order_key).terms, objective.term_names)
    return {"loss": found.loss, "best": loss}, [found.line(loss)]


def _judgement(
    result: Result,
    run: RunFile,
    target_data: TargetData,
    accepted: Sequence[Individual],
    given: Callable[[], list[Structure]],
) -> Judgement | None:
    if not result.archive or not target_data.target.structures:
        return None
    away = moves_away(run.loss)
    subject = subject_of(bool(accepted), away)
    early = "" if result.finished else "stopped early"
    try:
        reference = reference_of(target_data.target, target_data.basis.elements, result.seconds)
        if reference is None:
            return None
        structures = [one.structure for one in accepted] or [min(result.archive, key=order_key).structure]
        if accepted and not away:
            structures = [*given(), *structures]
        return judge(structures, reference, subject, away, early)
    except InputError as error:
        return untold(subject, error)
    except Exception as error:  # an observable of another package may raise anything; the run is over and stays so
        return untold(subject, f"{type(error).__name__}: {error}")
