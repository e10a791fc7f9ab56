"""Sets grow by what helps most; the reverse search moves its target."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from systems import ALLOY, ON_FCC

from grs_evo.descriptors.basis import build_basis
from grs_evo.loss.objective import make_objective
from grs_evo.loss.options import LossOptions
from grs_evo.search.candidates.binding import bind
from grs_evo.search.candidates.source import candidate
from grs_evo.search.population.individual import Individual
from grs_evo.search.population.representative_set import (
    SetOptions,
    begin,
    distances,
    extend_set,
    next_objective,
    offer,
    resume,
    set_loss,
)
from grs_evo.targets.moments import merge_all
from grs_evo.targets.target import Target

SOURCE = bind(ON_FCC, ALLOY)


def structures(count: int, seed: int):
    rng = np.random.default_rng(seed)
    return [candidate(rng, SOURCE) for _ in range(count)]


@cache
def objective(**options):
    basis = build_basis(ALLOY, n_max=(3, 1), l_max=(0, 1), cutoff=4.0)
    target = Target.from_structures(structures(6, 0), basis)
    return make_objective(basis, target, LossOptions(w_set=1.0, **options))


def individuals(count: int, seed: int = 1) -> list[Individual]:
    made = structures(count, seed)
    result = []
    for k, one in enumerate(made):
        evaluation = objective().evaluate(one)
        result.append(Individual(one, evaluation.value, evaluation.terms, uid=100 * seed + k))
    return result


def naive_greedy(pool, accept):
    """Try every candidate at every step, from nothing each time."""
    q = objective()
    chosen: list[Individual] = []
    best = np.inf

    def loss_of(group):
        parts = [q.moments_of(one.structure) for one in group]
        return set_loss(merge_all(parts, q.basis.sizes), q)

    for _ in range(accept):
        losses = [(loss_of([*chosen, one]), one.uid) for one in pool if one not in chosen]
        if not losses or min(losses)[0] >= best:
            break
        best, uid = min(losses)
        chosen.append(next(one for one in pool if one.uid == uid))
    return chosen, best


def test_the_one_that_helps_most_comes_first():
    pool = individuals(12)
    state, why = extend_set(begin(objective()), pool, objective(), SetOptions(rounds=9, accept=12))
    chosen, best = naive_greedy(pool, 12)
    assert [one.uid for one in state.individuals] == [one.uid for one in chosen]
    assert state.loss == pytest.approx(best)
    assert 1 < len(chosen) < 12
    assert (np.diff(state.losses) < 0).all()
    assert why is None
    # The order in which islands hand in plays no part.
    other, _ = extend_set(begin(objective()), pool[::-1], objective(), SetOptions(rounds=9, accept=12))
    assert other.losses == state.losses


def test_rounds_go_on_from_a_set_and_end_when_nothing_helps():
    pool = individuals(12)
    options = SetOptions(rounds=9, accept=12)
    state, _ = extend_set(begin(objective()), pool, objective(), options)
    again, why = extend_set(state, [one for one in pool if one not in state.individuals], objective(), options)
    assert again.individuals == state.individuals
    assert "no candidate lowered" in why
    last, why = extend_set(begin(objective()), pool, objective(), SetOptions(rounds=1))
    assert len(last.individuals) == 1
    assert why == "1 rounds done"


def test_slack_lets_a_set_grow_past_a_dead_end():
    pool = individuals(12)
    strict, _ = extend_set(begin(objective()), pool, objective(), SetOptions(rounds=9, accept=12))
    loose, _ = extend_set(begin(objective()), pool, objective(), SetOptions(rounds=9, accept=12, slack=1.0))
    assert len(loose.individuals) > len(strict.individuals)
    assert loose.individuals[: len(strict.individuals)] == strict.individuals
    losses = np.array(loose.losses[1:])
    assert (losses[1:] <= 2.0 * losses[:-1]).all()
    assert (np.diff(losses) > 0).any()


def test_a_set_taken_up_again_has_the_same_bits():
    given = structures(2, 5)
    state, _ = extend_set(begin(objective(), given), individuals(12), objective(), SetOptions(rounds=9, accept=3))
    again = resume(objective(), state.individuals, given)
    assert again.losses == state.losses
    assert again.moments.sums.tobytes() == state.moments.sums.tobytes()


def test_given_structures_count_in_the_distribution():
    perfect = structures(6, 0)  # the target itself
    state = begin(objective(), perfect)
    assert state.loss == pytest.approx(0.0, abs=1e-12)
    after, why = extend_set(state, individuals(5), objective(), SetOptions(rounds=3))
    assert after.individuals == ()
    assert why is not None
    assert begin(objective()).loss == np.inf


@pytest.mark.parametrize(
    ("options", "words", "size"),
    [
        ({"count": 2}, "2 structures found", 2),
        ({"environments": 32}, "32 environments found", 2),
        ({"environments": 31}, None, 1),
        ({"tolerance": 1e9}, "at or below the tolerance", 1),
        ({"coverage": 0.5}, "coverage 0.6 reached", 3),
    ],
)
def test_each_rule_stops(options, words, size):
    accept = 3 if "coverage" in options else 12
    rule = SetOptions(rounds=9, accept=accept, **options)
    state, why = extend_set(
        begin(objective()), individuals(12, 2), objective(), rule, cover=lambda chosen: 0.2 * len(chosen)
    )
    assert len(state.individuals) == size
    assert (why is None) if words is None else (words in why)


def test_the_reverse_search_moves_its_target():
    pool = individuals(6)
    for bootstrap in ("replace", "merge"):
        options = SetOptions(rounds=9, bootstrap=bootstrap)
        state, _ = extend_set(begin(objective()), pool, objective(), options)
        # Not what matches best, but what the search says is best.
        best = min(pool, key=lambda one: one.value)
        assert [one.uid for one in state.individuals] == [best.uid]
        moved = next_objective(objective(), state, state.individuals, options)
        before, after = distances([best], objective())[0], distances([best], moved)[0]
        assert after < before
        assert (after < 1e-9) == (bootstrap == "replace")
        # One cell has next to no spread of its own; in its units the loss of all others would explode.
        assert np.array_equal(moved.plan.inverse, objective().plan.inverse)
        assert np.array_equal(moved.plan.spread, objective().plan.spread)
        assert np.abs(distances(pool, moved)).max() < 10 * np.abs(distances(pool, objective())).max()
    still = next_objective(objective(), state, state.individuals, SetOptions(rounds=2))
    assert distances([best], still)[0] == pytest.approx(distances([best], objective())[0])
    assert set_loss(state.moments, still) == pytest.approx(state.loss)


def test_an_island_offers_each_structure_once():
    pool = individuals(8, 2)
    twin = Individual(pool[0].structure, pool[0].value, pool[0].terms, uid=999)
    offered = offer([*pool, twin], pool[:3], 20)
    assert len(offered) == 8
    assert [one.value for one in offered] == sorted(one.value for one in pool)
    assert len(offer(pool, (), 3)) == 3
