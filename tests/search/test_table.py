"""The table of operators: one record adds one, from outside the package too, and takes nothing along when it goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small
from fleet import ToyRecorder, digest, run_on_threads
from systems import IN_CELLS, ON_FCC, toy_problem

import grs_evo
from grs_evo.driver.rounds import island_functions
from grs_evo.errors import InputError
from grs_evo.parallel.topology import MigrationOptions
from grs_evo.search.candidates.limits import Limits
from grs_evo.search.counters import stat_names
from grs_evo.search.island import advance, start, stats
from grs_evo.search.operators.options import OperatorOptions
from grs_evo.search.operators.probabilities import check_operators, probabilities
from grs_evo.search.operators.record import Operator, StepSizes
from grs_evo.search.operators.table import operator_names, operators, register, registered
from grs_evo.search.options import IslandOptions, MigrantOptions
from grs_evo.search.state import IslandState
from grs_evo.structures.structure import Structure

BUILT_IN = operator_names()


def alternated(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, steps: StepSizes
) -> Structure | None:
    """Three sites in a row take turns, which the toy loss rewards when the phase is right."""
    species, first = parents[0].species.copy(), int(rng.random() * (parents[0].n_atoms - 3))
    species[first : first + 3] = (np.arange(3) + int(rng.random() * 2)) % 2
    return None if (species == parents[0].species).all() else parents[0].replace(species=species)


def joined(
    rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, steps: StepSizes
) -> Structure | None:
    """The first half of one parent's species, the second half of the other's."""
    one, two = parents
    if one.n_atoms != two.n_atoms:
        return None
    half = one.n_atoms // 2
    return one.replace(species=np.concatenate([one.species[:half], two.species[half:]]))


ALTERNATE = Operator("alternate", alternated, "chemical", 2.0)
JOIN = Operator("join_halves", joined, "chemical", 3.0, parents=2)
ADAPTIVE = OperatorOptions(adaptive=True)


def states_of(problem: Any, island: int = 0, generations: int = 8) -> list[IslandState]:
    states = [start(problem, island, 1)]
    for _ in range(generations):
        states.append(advance(states[-1], problem))
    return states


@pytest.mark.parametrize("candidates", [ON_FCC, IN_CELLS])
def test_one_from_outside_is_tried_counted_and_adapted(candidates):
    with registered(ALTERNATE, JOIN):
        problem = toy_problem(candidates, [IslandOptions(population=24, operators=ADAPTIVE)])
        states = states_of(problem, generations=40)
        last = dict(zip(stat_names(problem.term_names), stats(states[-1]), strict=True))
        columns = [name for name in last if name.startswith("tries_")]
        assert columns == [f"tries_{name}" for name in (*BUILT_IN, "alternate", "join_halves")]
        made = {one.uid: one for state in states for one in state.population}
        for operator in (ALTERNATE, JOIN):
            tries, successes = last[f"tries_{operator.name}"], last[f"successes_{operator.name}"]
            children = [one for one in made.values() if one.operator == operator.name]
            assert tries >= len(children) > 0
            assert 0 < successes <= tries
            assert {one.parents[1] >= 0 for one in children} == {operator.is_crossover}
            assert states[-1].rates[operator_names().index(operator.name)] != 1.0
        assert len(states[-1].rates) == len(BUILT_IN) + 2


def test_its_weight_is_its_own_or_the_run_file_s():
    def share(name: str, **options: Any) -> float:
        limits = toy_problem(ON_FCC).limits(0)
        rows = [np.diff(row, prepend=0.0) for row in probabilities(limits, OperatorOptions(**options))]
        return float(sum(row[operator_names().index(name)] for row in rows))

    with registered(ALTERNATE, JOIN):
        assert share("alternate") == pytest.approx(share("flip"))
        assert share("join_halves") == pytest.approx(3 * share("occupation"))
        assert share("alternate", weights={"alternate": 4.0}) == pytest.approx(
            2 * share("flip", weights={"alternate": 4.0})
        )
        assert share("alternate", weights={"alternate": 0.0}) == 0.0


def test_its_obstacle_and_its_kind_s_exclude_it_with_their_causes():
    limits = toy_problem(ON_FCC).limits(0)
    others = dict.fromkeys(BUILT_IN, 0.0)
    never = Operator("never", alternated, "chemical", obstacle=lambda limits: "asked not to")
    moving = Operator("moving", alternated, "spatial")
    with registered(never, moving):
        with pytest.raises(InputError) as caught:
            check_operators(limits, OperatorOptions(weights=others), "descent", "search.operators")
        assert "never (asked not to)" in str(caught.value)
        assert "moving" in str(caught.value).partition("(atoms stay on their sites)")[0]
    with registered(never, ALTERNATE):
        assert check_operators(limits, OperatorOptions(weights=others), "descent", "search.operators") == ()


@pytest.mark.parametrize("kind", ["annealing", "descent", "random_walk"])
def test_walks_move_by_it(kind):
    with registered(ALTERNATE):
        only = OperatorOptions(weights=dict.fromkeys(BUILT_IN, 0.0))
        problem = toy_problem(ON_FCC, [IslandOptions(strategy=kind, population=4, operators=only)])
        (state,) = states_of(problem, generations=0)
        assert state.tries.sum() == state.tries[-1] > 100


def test_nothing_of_it_is_left():
    problem = toy_problem(ON_FCC)
    before = states_of(problem)[-1].to_arrays()
    records = operators()
    with registered(ALTERNATE):
        inside = states_of(problem, generations=1)[-1].to_arrays()
    with pytest.raises(ZeroDivisionError), registered(ALTERNATE):
        _ = 1 / 0
    assert operators() == records
    assert operator_names() == BUILT_IN
    assert not any("alternate" in name for name in stat_names(("mean",)))
    after = states_of(problem)[-1].to_arrays()
    assert all(after[name].tobytes() == array.tobytes() for name, array in before.items())
    with pytest.raises(ValueError, match="'alternate' is not an operator"):
        OperatorOptions(weights={"alternate": 1.0})
    with pytest.raises(InputError, match=r"island 0: its state counts 15 operators, but there are 14 .*register"):
        IslandState.from_arrays(inside)


def three_columns(state: IslandState) -> np.ndarray:
    """The row that the stand-in's recorder reads."""
    best = min(one.value for one in state.archive)
    return np.array([state.generation, state.counter("evaluations"), best])


def on_ranks(n_ranks: int, n_islands: int, migration: MigrationOptions) -> ToyRecorder:
    islands = [IslandOptions(population=8, operators=ADAPTIVE)] * n_islands
    taken = MigrantOptions(emigrants=migration.emigrants, interval=migration.interval)
    functions = island_functions(toy_problem(ON_FCC, islands, migration=taken), 3, 0, {})
    work = replace(functions, stats=three_columns)
    _, kept = run_on_threads(n_ranks, n_islands, generations=6, options=migration, work=work)  # type: ignore[arg-type]
    return kept


def test_neither_ranks_nor_other_islands_make_a_difference():
    with registered(ALTERNATE, JOIN):
        migrating = MigrationOptions(interval=2, emigrants=1)
        one = on_ranks(1, 3, migrating)
        for n_ranks in (2, 3):
            assert digest(on_ranks(n_ranks, 3, migrating), 6) == digest(one, 6)
        assert all(state["tries"][-2:].all() for state in one.saved[6][0])
        alone = MigrationOptions(interval=2, emigrants=0)
        few, many = digest(on_ranks(1, 2, alone), 6), digest(on_ranks(2, 4, alone), 6)
        assert few[:2] == many[:2]


def test_a_run_from_its_file_to_its_archive_and_on(tmp_path: Path):
    text = small.LATTICE.replace("generations = 12", "generations = 6") + "[search.operators]\nweights = {WEIGHTS}\n"
    case = small.write(tmp_path, text.replace("{WEIGHTS}", "{alternate = 5.0}"))
    with pytest.raises(InputError, match=r"search\.operators\.weights: 'alternate' is not an operator"):
        grs_evo.run(case, quiet=True)
    with registered(ALTERNATE):
        result = grs_evo.run(case, quiet=True)
        history = grs_evo.read_archive(result.folder).history
        assert history["tries_alternate"].max() > 10
        assert 0 < history["successes_alternate"].max() <= history["tries_alternate"].max()
    with pytest.raises(InputError, match="not an operator"):
        grs_evo.resume(result.folder, quiet=True)


def test_children_that_break_the_limits_are_refused_and_counted():
    def crowded(rng, parents, limits, steps):
        return parents[0].replace(positions=0.1 * parents[0].positions)

    def moving(rng, parents, limits, steps):
        return parents[0].replace(positions=parents[0].positions + 0.01)

    for candidates, operator in (
        (IN_CELLS, Operator("crowd", crowded, "spatial")),
        (ON_FCC, Operator("move", moving, "chemical")),
    ):
        with registered(operator):
            only = OperatorOptions(crossover=0.0, weights=dict.fromkeys(BUILT_IN, 0.0))
            state = states_of(toy_problem(candidates, [IslandOptions(population=4, operators=only)]), generations=1)[-1]
            assert state.counter("rejected_operator") == state.tries[-1] > 0


def test_a_fresh_one_brings_in_candidates_without_parents():
    with registered(Operator("anew", None, "fresh", 5.0, parents=0)):
        state = states_of(toy_problem(ON_FCC, [IslandOptions(population=12)]))[-1]
        assert state.tries[-1] > 10
        assert {one.parents for one in state.population if one.operator == "anew"} <= {(-1, -1)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "a name"}, "at most 16 letters, digits and underscores"),
        ({"name": "longer_than_files_hold"}, "at most 16 letters"),
        ({"name": "ärger"}, "at most 16 letters"),
        ({"name": "random"}, "taken by individuals that no operator made"),
        ({"kind": "magic"}, "kind is 'magic'; must be one of chemical, spatial, fresh"),
        ({"parents": 3}, "parents is 3; a chemical one has 1 or 2"),
        ({"kind": "fresh", "parents": 1}, "parents is 1; a fresh one has 0"),
        ({"act": None}, "act must be a function"),
        ({"weight": -1.0}, "weight is -1.0; must be a finite number, 0 or more"),
        ({"weight": float("nan")}, "weight is nan"),
    ],
)
def test_a_record_that_cannot_be_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        replace(ALTERNATE, **change)


def test_a_name_is_given_once():
    with pytest.raises(InputError, match="'swap': the name is taken"):
        register(replace(ALTERNATE, name="swap"))
    with registered(ALTERNATE):
        with pytest.raises(InputError, match="'alternate': the name is taken"), registered(JOIN, ALTERNATE):
            pass
        assert operator_names() == (*BUILT_IN, "alternate")


def test_operators_are_of_their_kinds():
    kinds = {one.name: (one.kind, one.parents) for one in operators()}
    assert kinds["slice"] == ("spatial", 2)
    assert kinds["occupation"] == ("chemical", 2)
    assert kinds["replace"] == ("fresh", 0)
    assert {name for name, (kind, parents) in kinds.items() if kind == "chemical" and parents == 1} == {
        "swap", "flip", "swaps", "flips",
    }  # fmt: skip
