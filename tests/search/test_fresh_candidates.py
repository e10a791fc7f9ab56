"""New candidates: a space that is used up, and one without any valid structure."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from systems import ALLOY, IN_CELLS, ON_FCC, ToyObjective, toy_problem

from grs_evo.errors import InputError
from grs_evo.search.candidates.binding import bind
from grs_evo.search.candidates.source import CandidateOptions
from grs_evo.search.fresh_candidates import FRUITLESS
from grs_evo.search.island import start
from grs_evo.search.options import IslandOptions
from grs_evo.search.repeats import content_key
from search.island_cases import run


def test_a_space_that_is_used_up_ends_in_peace():
    tiny = CandidateOptions(lattice="sc", a=3.0, repeat=(2, 1, 1), composition="free")  # four occupations in all
    objective = ToyObjective()
    state = run(toy_problem(tiny, [IslandOptions(population=10)], objective), 5)[-1]
    assert len({content_key(one.structure, True) for one in state.population}) <= 4
    assert len(set(objective.seen)) == len(objective.seen) <= 4
    assert state.counter("rejected_repeat") > 0


def test_a_space_that_is_used_up_is_not_searched_for_long():
    """Refreshed in every generation, or not: a few hundred tries tell that nothing new is left."""
    tiny = CandidateOptions(lattice="sc", a=3.0, repeat=(4, 1, 1), composition="free")  # 16 occupations
    objective = ToyObjective()
    options = IslandOptions(population=50, refresh=1.0, patience=1, collapse=1.0)
    states = run(toy_problem(tiny, [options], objective), 6)
    assert states[-1].counter("evaluations") == len(set(objective.seen)) == 16
    for before, after in pairwise(states[1:]):
        assert 0 < after.counter("rejected_repeat") - before.counter("rejected_repeat") <= 2 * FRUITLESS * 21
    assert bind(tiny, ALLOY).max_structures == 16
    assert bind(tiny.model_copy(update={"counts": {"Au": 1, "Cu": 3}}), ALLOY).max_structures == 4
    assert bind(IN_CELLS, ALLOY).max_structures == np.inf


def test_nothing_valid_at_all_is_an_error_that_names_the_cause():
    class Hopeless(ToyObjective):
        def evaluate(self, structure):
            return super().evaluate(structure)._replace(value=float("nan"), ok=False)

    with pytest.raises(InputError, match=r"island 0 could not make a single valid candidate; .*evaluation \d+"):
        start(toy_problem(ON_FCC, objective=Hopeless()), 0, 1)
