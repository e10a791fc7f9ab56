"""Individuals: lines of descent, uids, columns."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from systems import ON_FCC, toy_problem

from grs_evo.errors import InputError
from grs_evo.search.island import advance
from grs_evo.search.operators.table import operator_names
from grs_evo.search.options import IslandOptions
from grs_evo.search.population.archive import (
    archive_hash,
)
from grs_evo.search.population.individual import (
    LINE_LENGTH,
    NO_PARENT,
    STEP,
    UID_BITS,
    heir,
    pack,
    read_uid,
    short_uid,
    unpack,
)
from grs_evo.search.state import IslandState
from grs_evo.search.strategies.table import STRATEGIES
from search.island_cases import run


def test_individuals_remember_the_line_they_come_from():
    problem = toy_problem(ON_FCC, [IslandOptions(population=12)])
    states = run(problem, 30)
    family = {one.uid: one for state in states for one in state.population}
    longest = 0
    for one in family.values():
        longest = max(longest, len(one.line))
        ancestor = one
        for step in one.line:
            ancestor = family[ancestor.parents[0]]
            assert (step["uid"], step["other"]) == (ancestor.uid, ancestor.parents[1])
            assert (step["value"], step["generation"]) == (ancestor.value, ancestor.generation)
            assert (step["n_atoms"], step["operator"].decode()) == (ancestor.structure.n_atoms, ancestor.operator)
        assert len(one.line) == LINE_LENGTH or ancestor.parents[0] == NO_PARENT
    assert longest > 5
    one = states[0].population[0]
    for k in range(LINE_LENGTH + 5):
        one = heir(replace(one, uid=k, parents=(one.uid, NO_PARENT), line=one.line[:0]), one)
    assert one.line["uid"].tolist() == list(range(LINE_LENGTH + 3, 3, -1))
    assert len(run(problem, 1)[0].population[0].line) == 0
    for one in states[-1].population:
        (back,) = unpack(pack([one], 2))
        assert back.line.tobytes() == one.line.tobytes()


def test_what_an_individual_remembers_is_small_and_names_fit():
    assert STEP.itemsize * LINE_LENGTH <= 1000
    made_by = (*operator_names(), *STRATEGIES, "random", "seed", "template", "replace")
    assert max(len(name.encode()) for name in made_by) <= STEP["operator"].itemsize


def test_states_of_before_there_were_lines_are_read():
    """A checkpoint of an older version lacks the columns; the run goes on, and remembers from then on."""
    problem = toy_problem(ON_FCC, [IslandOptions(population=12)])
    state = run(problem, 8)[-1]
    arrays = {name: column for name, column in state.to_arrays().items() if ".line_" not in name}
    old = IslandState.from_arrays(arrays)
    assert all(len(one.line) == 0 for one in old.population)
    after, expected = advance(old, problem), advance(state, problem)
    assert archive_hash(after.archive) == archive_hash(expected.archive)
    assert [one.uid for one in after.population] == [one.uid for one in expected.population]
    assert max(len(one.line) for one in after.population) == 1


@given(st.integers(0, 2**22), st.integers(0, 2**40 - 1))
def test_uids_have_a_short_form_that_reads_back(island, number):
    uid = (island << UID_BITS) + number
    assert short_uid(uid) == f"{island}/{number}"
    assert read_uid(short_uid(uid)) == read_uid(str(uid)) == uid


def test_uids_that_are_none():
    assert short_uid(-1) == "-"
    for text in ("", "a", "-1", "1/", "/2", "1/2/3", "1/-2", f"1/{2**40}", "-1/2"):
        with pytest.raises(InputError, match="must be island/number such as 3/29"):
            read_uid(text)
