"""At the end of a session: whether what was found stands for the target, on the screen and in status.json."""

from __future__ import annotations

from contextlib import suppress

from grs_evo.analysis.quality import Judgement, judge, moves_away, reference_of, subject_of, untold
from grs_evo.driver.monitor.status_file import write_status
from grs_evo.driver.monitor.summary import Result
from grs_evo.driver.recorder import Recorder
from grs_evo.driver.rounds import given_structures
from grs_evo.errors import InputError
from grs_evo.search.population.individual import order_key
from grs_evo.storage.run_folder import json_table


def close(recorder: Recorder, result: Result) -> list[str]:
    """The lines to say, the last of them about what was found; none where the target has no structures.

    The run is over and all of it written: whatever goes wrong here is said in that line.
    """
    judgement = judgement_of(recorder, result)
    if judgement is None:
        return []
    with suppress(OSError):  # as for every status.json: the archive tells it again
        write_status(recorder.folder.status, {**json_table(recorder.folder.status), "quality": judgement.to_dict()})
    return [*judgement.notes, judgement.line]


def judgement_of(recorder: Recorder, result: Result) -> Judgement | None:
    """How the set, or the best structure, of a run compares with its target by the observables."""
    target_data, run = recorder.target_data, recorder.run
    if not result.archive or not target_data.target.structures:
        return None
    away = moves_away(run.loss)
    subject = subject_of(bool(recorder.set), away)
    try:
        if recorder.set:
            before = [] if away else given_structures(run, target_data.basis, recorder.folder.path)
            structures = [*before, *(one.structure for one in recorder.set)]
        else:
            structures = [min(result.archive, key=order_key).structure]
        reference = reference_of(target_data.target, target_data.basis.elements, result.seconds)
        early = "" if result.finished else "stopped early"
        return None if reference is None else judge(structures, reference, subject, away, early)
    except InputError as error:
        return untold(subject, error)
    except Exception as error:  # an observable of another package may raise anything; the run is over and stays so
        return untold(subject, f"{type(error).__name__}: {error}")
