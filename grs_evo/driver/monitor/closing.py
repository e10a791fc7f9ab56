"""At the end of a session: whether what was found stands for the target, on the screen and in status.json."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from grs_evo.analysis.quality import Judgement, judge, moves_away, reference_of, subject_of, untold
from grs_evo.driver.config.run_file import RunFile
from grs_evo.driver.monitor.status_file import write_status
from grs_evo.driver.monitor.summary import Result
from grs_evo.errors import InputError
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
) -> list[str]:
    """The lines to say, the last of them about what was found; none where the target has no structures.

    The run is over and all of it written: whatever goes wrong here is said in that line.

    Parameters
    ----------
    accepted : the representative set, empty where the run makes none
    given : reads the structures that the set began with
    """
    judgement = _judgement(result, run, target_data, accepted, given)
    if judgement is None:
        return []
    place = Folder(result.folder).status
    with suppress(OSError):  # as for every status.json; the report judges again
        write_status(place, {**json_table(place), "quality": judgement.to_dict()})
    return [*judgement.notes, judgement.line]


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
