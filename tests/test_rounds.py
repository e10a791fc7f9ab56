"""Rounds of a session: what joins the set between them, and the same set again after a resume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import small

from grs_evo.driver import rounds
from grs_evo.driver.config.run_file import parse
from grs_evo.driver.setup import make_problem, make_target_data
from grs_evo.errors import InputError
from grs_evo.search import island

SET = small.LATTICE.replace("[loss]", "[loss]\nw_set = 1.0") + "[set]\nrounds = 3\naccept = 2\n"


def _begun(folder: Path, text: str = SET):
    run = parse(small.write(folder, text).read_text(), "case")
    data = make_target_data(run, folder)
    return rounds.begin(run, make_problem(run, data, folder), folder), data


def test_a_round_grows_the_set_and_changes_the_loss(tmp_path: Path) -> None:
    progress, data = _begun(tmp_path)
    final = [island.start(progress.problem, k, 1).to_arrays() for k in range(2)]
    new, grown, _ = rounds.judge(progress, final, data)
    assert 1 <= len(new) <= 2
    after = progress.added(new, grown)
    assert after.accepted == (len(new),)
    (structure,) = data.structures
    assert after.problem.objective.evaluate(structure).value != progress.problem.objective.evaluate(structure).value


def test_ranks_that_only_get_what_was_accepted_come_to_the_same_bits(tmp_path: Path) -> None:
    progress, data = _begun(tmp_path)
    final = [island.start(progress.problem, k, 1).to_arrays() for k in range(2)]
    new, grown, _ = rounds.judge(progress, final, data)
    first = progress.added(new, grown).added(new[:1])
    other = rounds.again(progress, [*new, *new[:1]], [len(new), 1])
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
