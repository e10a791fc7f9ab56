"""How generations follow from each other: elitism, no repeats, counting, failures that end."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from systems import ALLOY, IN_CELLS, ON_FCC, ToyObjective, toy_problem

from grs_evo.errors import InputError
from grs_evo.search.candidates.binding import bind
from grs_evo.search.candidates.source import CandidateOptions
from grs_evo.search.counters import stat_names
from grs_evo.search.fresh_candidates import FRUITLESS
from grs_evo.search.island import STRATEGIES, advance, start
from grs_evo.search.operators.options import OperatorOptions
from grs_evo.search.operators.table import operator_names
from grs_evo.search.options import GeneticOptions, IslandOptions, SelectionOptions
from grs_evo.search.population.archive import ArchiveOptions, archive_hash
from grs_evo.search.population.individual import LINE_LENGTH, NO_PARENT, STEP, heir, pack, unpack
from grs_evo.search.repeats import content_key
from grs_evo.search.state import IslandState

OPERATORS = operator_names()


def run(problem, generations, island=0, seed=1):
    states = [start(problem, island, seed)]
    for _ in range(generations):
        states.append(advance(states[-1], problem))
    return states


def row(problem, state):
    return dict(zip(stat_names(problem.term_names), state.history[-1], strict=True))


@pytest.mark.parametrize("candidates", [ON_FCC, IN_CELLS])
def test_it_learns_and_the_elite_lives_on(candidates):
    problem = toy_problem(candidates, [IslandOptions(population=20)])
    states = run(problem, 25)
    best = [min(one.value for one in state.population) for state in states]
    assert (np.diff(best) <= 0).all()
    assert best[-1] < 0.5 * best[0]
    for before, after in pairwise(states):
        elite = sorted(before.population, key=lambda one: (one.value, one.uid))[:2]
        assert {one.uid for one in elite} <= {one.uid for one in after.population}
        assert len(after.population) == 20


def test_nothing_is_evaluated_twice_and_every_evaluation_is_counted():
    objective = ToyObjective()
    problem = toy_problem(ON_FCC, [IslandOptions(population=20)], objective)
    state = run(problem, 20)[-1]
    assert len(objective.seen) == state.counter("evaluations") == 20 + 20 * 18
    assert len(set(objective.seen)) == len(objective.seen)
    assert max(one.evaluation for one in state.population) <= len(objective.seen)
    # Without a memory repeats do occur.
    objective = ToyObjective()
    options = IslandOptions(population=20, genetic=GeneticOptions(memory=0))
    run(toy_problem(ON_FCC, [options], objective), 20)
    assert len(set(objective.seen)) < len(objective.seen)


def test_a_child_has_crossover_or_mutation_never_both():
    problem = toy_problem(ON_FCC, [IslandOptions(population=20)])
    states = run(problem, 10)
    newest = [one for one in states[-1].population if one.generation == 10]
    assert newest
    for one in newest:
        assert (one.parents[1] >= 0) == (one.operator in ("occupation", "slice"))
        known = {other.uid for other in states[-2].population} | {-1}
        assert set(one.parents) <= known
    share = row(problem, states[-1])
    tries = np.array([share[f"tries_{name}"] for name in OPERATORS])
    assert 0.25 < tries[OPERATORS.index("occupation")] / tries.sum() < 0.55


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
    made_by = (*OPERATORS, *STRATEGIES, "random", "seed", "template", "replace")
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


def test_failed_evaluations_are_counted_and_replaced():
    objective = ToyObjective(fails=3)
    state = run(toy_problem(ON_FCC, [IslandOptions(population=15)], objective), 5)[-1]
    assert state.counter("rejected_evaluation") > 10
    assert len(state.population) == 15
    assert np.isfinite([one.value for one in (*state.population, *state.archive)]).all()
    assert len(objective.seen) == state.counter("evaluations")


def test_nothing_valid_at_all_is_an_error_that_names_the_cause():
    class Hopeless(ToyObjective):
        def evaluate(self, structure):
            return super().evaluate(structure)._replace(value=float("nan"), ok=False)

    with pytest.raises(InputError, match=r"island 0 could not make a single valid candidate; .*evaluation \d+"):
        start(toy_problem(ON_FCC, objective=Hopeless()), 0, 1)


def test_an_operator_that_always_fails_is_counted_and_does_not_hang():
    # Two atoms of one element: nothing can be swapped, and nothing else is allowed.
    options = IslandOptions(population=4, operators=OperatorOptions(weights={"replace": 0.0}, crossover=0.0))
    tiny = CandidateOptions(lattice="sc", a=3.0, repeat=(2, 1, 1), counts={"Au": 2})
    state = run(toy_problem(tiny, [options]), 3)[-1]
    assert state.counter("rejected_operator") > 100
    assert state.generation == 3
    assert len(state.population) >= 1


def test_plus_survival_keeps_the_best_of_all():
    options = IslandOptions(population=10, genetic=GeneticOptions(survival="plus", children=5))
    problem = toy_problem(ON_FCC, [options])
    states = run(problem, 6)
    for before, after in pairwise(states):
        assert len(after.population) == 10
        worst = sorted(one.value for one in before.population)
        assert (np.sort([one.value for one in after.population]) <= worst).all()
    assert states[-1].counter("evaluations") == 10 + 6 * 5


def test_nsga2_keeps_small_and_good():
    options = IslandOptions(population=20, selection=SelectionOptions(kind="nsga2"))
    archive = ArchiveOptions(objectives=("value", "n_atoms"))
    problem = toy_problem(IN_CELLS, [options], archive=archive)
    state = run(problem, 15)[-1]
    sizes = [one.structure.n_atoms for one in state.population]
    assert min(sizes) == 6
    assert len(set(sizes)) > 1
    front = sorted((one.structure.n_atoms, one.value) for one in state.archive if one.value < 0.3)
    assert front


def test_gradient_strategy_takes_fresh_candidates_only():
    options = IslandOptions(population=6, strategy="gradient")
    problem = toy_problem(IN_CELLS, [options])
    states = run(problem, 4)
    assert states[-1].counter("evaluations") == 5 * 6
    assert states[-1].tries.sum() == 0
    everything = [one.value for state in states for one in state.population]
    assert min(one.value for one in states[-1].population) == min(everything)
    assert {one.operator for one in states[-1].population} == {"random"}


def test_success_is_counted_and_rates_adapt():
    options = IslandOptions(population=20, operators=OperatorOptions(adaptive=True))
    problem = toy_problem(ON_FCC, [options])
    state = run(problem, 15)[-1]
    assert (state.successes <= state.tries).all()
    assert state.successes.sum() > 5
    assert not np.allclose(state.rates, 1.0)
    assert row(problem, state)["successes_flip"] == state.successes[OPERATORS.index("flip")]
