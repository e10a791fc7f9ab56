"""Rounds of a session: what joins the set between them, and the same set again after a resume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small

from grs_evo.driver import rounds
from grs_evo.driver.config.run_file import parse
from grs_evo.driver.sets import progress as progress_
from grs_evo.driver.sets.judgement import Judge
from grs_evo.driver.setup import make_problem, make_target_data
from grs_evo.errors import InputError
from grs_evo.search import island

SET = small.LATTICE.replace("[loss]", "[loss]\nw_set = 1.0") + "[set]\nrounds = 3\naccept = 2\n"


def _begun(folder: Path, text: str = SET):
    run = parse(small.write(folder, text).read_text(), "case")
    data = make_target_data(run, folder)
    return progress_.begin(run, make_problem(run, data, folder), folder), data


def test_a_round_grows_the_set_and_changes_the_loss(tmp_path: Path) -> None:
    progress, data = _begun(tmp_path)
    final = [island.start(progress.problem, k, 1).to_arrays() for k in range(2)]
    judged = Judge(data)(progress, final)
    assert 1 <= judged.changes == len(judged.told) <= 2
    after = judged.progress
    assert after.accepted == (judged.changes,)
    (structure,) = data.structures
    assert after.problem.objective.evaluate(structure).value != progress.problem.objective.evaluate(structure).value


def test_ranks_that_only_get_what_was_accepted_come_to_the_same_bits(tmp_path: Path) -> None:
    progress, data = _begun(tmp_path)
    final = [island.start(progress.problem, k, 1).to_arrays() for k in range(2)]
    judged = Judge(data)(progress, final)
    new = judged.told
    first = judged.progress.added(new[:1])
    other = progress_.again(progress, [*new, *new[:1]], [len(new), 1])
    assert other.accepted == first.accepted
    assert other.state.losses == first.state.losses
    structure = data.structures[0]
    values = [each.problem.objective.evaluate(structure).value for each in (first, other)]
    assert values[0] == values[1]


def test_the_functions_of_a_round_start_where_the_round_before_ended(tmp_path: Path) -> None:
    progress, _ = _begun(tmp_path)
    fresh = rounds.island_functions(progress.problem, 7, 0, {})
    state = fresh.start(0, lambda: None)
    following = rounds.island_functions(progress.problem, 7, 1, {0: state}).start(0, lambda: None)
    assert fresh.stats(following).shape == fresh.stats(state).shape
    packed = fresh.pack(state)
    assert all(np.array_equal(column, fresh.pack(fresh.unpack(packed))[name]) for name, column in packed.items())


def test_given_structures_that_cannot_be_name_the_key(tmp_path: Path) -> None:
    (tmp_path / "other.xyz").write_text(small.TARGET.replace("Au", "Fe"))
    with pytest.raises(InputError, match=r"set\.given: "):
        _begun(tmp_path, SET + 'given = "other.xyz"\n')


INFORMED = small.LATTICE.replace("[candidates]", "[candidates]\nrattle = 0.2").replace("[loss]", "[loss]\nw_set = 1.0")
INFORMED += '[set]\nobjective = "information"\nrounds = 9\naccept = 2\ncount = 3\n'


def test_a_set_that_is_to_teach_reaches_its_count_and_exchanges(tmp_path: Path) -> None:
    progress, data = _begun(tmp_path, INFORMED)
    judge, left = Judge(data), []
    for seed in (1, 2):
        final = [island.start(progress.problem, k, seed).to_arrays() for k in range(2)]
        judged = judge(progress, final)
        progress = judged.progress
        left.append(float(judged.note.split()[2]))
    assert [one.uid for one in progress.state.individuals] == [one.uid for one in judged.told]
    assert judged.done == "3 structures found"
    assert left[1] < left[0]
    assert progress.accepted[0] == 2
    # resumed: the same bits from the structures alone, whatever was exchanged before
    again = progress_.again(_begun(tmp_path, INFORMED)[0], judged.told, progress.accepted)
    assert again.state.losses == progress.state.losses
    assert (again.state.round, again.state.idle) == (progress.state.round, progress.state.idle)
    assert judge(again, final).told == judged.told or progress.accepted[1] > 1


def test_a_set_that_is_to_teach_needs_structures_and_no_bootstrap(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not learn about it"):
        _begun(tmp_path, INFORMED + 'bootstrap = "merge"\n')
    progress, data = _begun(tmp_path, INFORMED)
    with pytest.raises(InputError, match="needs the target's structures"):
        Judge(replace(data, structures=()))(progress, [])
