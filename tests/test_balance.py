"""Islands that change ranks: shared out evenly, moved where that is worth it, and the same answer all the same."""

from __future__ import annotations

import numpy as np
import pytest
from fleet import ToyRecorder, ToyWork, digest, run_on_threads
from hypothesis import given, settings
from hypothesis import strategies as st

from grs_evo.parallel import decisions, messages
from grs_evo.parallel.decisions import Balance
from grs_evo.parallel.topology import MigrationOptions, balanced, idle_share


@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=40), st.integers(1, 12))
def test_all_ranks_have_islands_and_no_move_would_help(work: list[float], n_ranks: int) -> None:
    n_ranks = min(n_ranks, len(work))
    found = balanced(np.array(work), n_ranks)
    assert sorted(set(found.tolist())) == list(range(n_ranks))
    load = np.bincount(found, work, n_ranks)
    # Graham's bound; what is done afterwards only makes it better
    assert load.max() <= (sum(work) / n_ranks + (1 - 1 / n_ranks) * max(work)) * (1 + 1e-6)


@pytest.mark.parametrize("n_ranks", [2, 3, 8])
def test_mixed_islands_are_shared_out_evenly(n_ranks: int) -> None:
    """Sizes and strategies whose work differs by a factor of forty; contiguous shares leave ranks idle."""
    rng = np.random.default_rng(n_ranks)
    work = np.sort(rng.choice([1.0, 3.0, 12.0, 40.0], 64) * rng.uniform(0.8, 1.2, 64))
    contiguous = np.repeat(np.arange(n_ranks, dtype=np.int32), -(-64 // n_ranks))[:64]
    assert idle_share(work, contiguous, n_ranks) > 0.3
    assert idle_share(work, balanced(work, n_ranks), n_ranks) < 0.01
    assert idle_share(work, balanced(work, n_ranks, contiguous), n_ranks) < 0.02


def test_few_islands_are_moved_where_little_has_changed() -> None:
    work = np.random.default_rng(0).uniform(1.0, 2.0, 200)
    owner = balanced(work, 10)
    assert (balanced(work, 10, owner) == owner).all()
    work[3] *= 3.0
    again = balanced(work, 10, owner)
    assert 1 <= (again != owner).sum() <= 40
    assert idle_share(work, again, 10) < 0.01


def _measured(seconds: np.ndarray, owner: list[int], generations: int) -> Balance:
    balance = Balance(np.array(owner, np.int32), 2, np.ones(len(owner)))
    for generation in range(generations + 1):
        balance.take(generation, seconds)
    return balance


def test_islands_move_where_that_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions, "_LOOK", 0.0)
    seconds = 0.01 * np.array([1.0, 1.0, 3.6, 3.6])
    balance = _measured(seconds, [0, 0, 1, 1], 1)
    assert len(balance.moves(1, 3)) == 2
    assert idle_share(seconds, balance.owner, 2) == pytest.approx(0.0)
    balance.take(2, seconds)
    assert not len(balance.moves(2, 4))  # those are under way still
    assert not len(_measured(seconds * [1.0, 1.0, 1.0, 0.97], [0, 1, 0, 1], 9).moves(9, 11))
    # what a few generations say is uncertain, and of the first, which loads compiled code, nothing is believed
    uneven = 0.01 * np.array([2.0, 1.0, 1.9, 0.95])
    assert not len(_measured(uneven, [0, 0, 1, 1], 1).moves(1, 3))
    assert not len(_measured(seconds, [0, 0, 1, 1], 0).moves(0, 2))
    # a move that takes longer than what it saves
    assert not len(_measured(1e-2 * seconds, [0, 0, 1, 1], 9).moves(9, 11))


def test_what_cannot_be_even_in_a_generation_is_so_over_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three equal islands on two ranks: each rank has two of them, by turns."""
    monkeypatch.setattr(decisions, "_SHARE", np.inf)
    balance, done = Balance(np.array([0, 0, 1], np.int32), 2, np.ones(3)), np.zeros(2)
    ahead, owners = [], {0: balance.owner}
    for generation in range(60):
        owner = owners[max(at for at in owners if at < generation or at == 0)]
        done += np.bincount(owner, np.ones(3), 2)
        ahead.append(abs(done[0] - done[1]))
        balance.take(generation, np.ones(3))
        if len(balance.moves(generation, generation + 2)):
            owners[generation + 2] = balance.owner
    assert 10 <= balance.n_moved <= 30
    assert max(ahead[10:]) <= 5.0
    assert abs(done[0] - done[1]) < 0.05 * done.sum()


class Restless(Balance):
    """Moves islands about whenever none are under way, wherever to."""

    seed = 0

    def moves(self, generation: int, effect: int) -> np.ndarray:
        if self.n_ranks == 1 or generation <= self._effect:
            return np.empty((0, 2), np.int32)
        rng = np.random.default_rng([self.seed, generation])
        owner = rng.permutation(np.arange(len(self.owner)) % self.n_ranks).astype(np.int32)
        changed = np.flatnonzero(owner != self.owner)
        self._before, self.owner, self._effect = self.owner, owner, effect
        self.n_moved += len(changed)
        return np.column_stack([changed, owner[changed]]).astype(np.int32)


@pytest.mark.parametrize("topology", ["ring", "full", "random"])
@pytest.mark.parametrize(("interval", "delay"), [(1, 1), (2, 2), (2, 3)])
def test_moves_change_nothing(topology: str, interval: int, delay: int) -> None:
    options = MigrationOptions(topology=topology, interval=interval, delay=delay, emigrants=1)
    (_, alone), (endings, moved) = (
        run_on_threads(n, 7, generations=14, options=options, balance=Restless) for n in (1, 3)
    )
    assert digest(moved, 14) == digest(alone, 14)
    for generation in set(moved.saved) & set(alone.saved):
        assert digest(moved, generation)[:-1] == digest(alone, generation)[:-1]
    assert not any(ending.halted for ending in endings)


def test_statistics_come_up_a_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "FANOUT", 2)
    assert [messages.Gathering(rank, 7)._wanted for rank in range(7)] == [7, 3, 3, 1, 1, 1, 1]
    assert [messages.Gathering(rank, 5)._wanted for rank in range(5)] == [5, 3, 1, 1, 1]
    assert [messages.Gathering(rank, 7).parent for rank in range(1, 7)] == [0, 0, 1, 1, 2, 2]
    options = MigrationOptions(interval=2, emigrants=1)
    (_, alone), (_, tree) = (run_on_threads(n, 12, generations=10, options=options, balance=Restless) for n in (1, 8))
    assert digest(tree, 10) == digest(alone, 10)
    _, stopped = run_on_threads(8, 12, generations=10, options=options, recorder=ToyRecorder(5), every=1000)
    _, resumed = run_on_threads(7, 12, generations=10, options=options, resume=stopped)
    assert digest(resumed, 10) == digest(alone, 10)


def test_sixty_four_ranks_come_to_what_one_comes_to() -> None:
    """With shards, moves all the time, and statistics that come up a tree."""
    options = MigrationOptions(topology="torus", interval=2, emigrants=1)
    work = ToyWork(3, options, sharded=True)
    alone, many = (
        run_on_threads(n, 96, generations=6, options=options, balance=Restless, every=2, work=work)[1] for n in (1, 64)
    )
    assert digest(many, 6) == digest(alone, 6)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 13), st.integers(2, 4), st.integers(1, 4), st.integers(0, 99))
def test_stopped_between_moves_and_resumed(halt_after: int, n_ranks: int, later: int, seed: int) -> None:
    balance = type("Seeded", (Restless,), {"seed": seed})
    work = ToyWork(3, MigrationOptions(interval=2, emigrants=1), jitter=2e-3, sharded=seed % 2 == 0)
    _, alone = run_on_threads(1, 6, generations=14)
    _, stopped = run_on_threads(
        n_ranks, 6, generations=14, recorder=ToyRecorder(halt_after), balance=balance, every=1000, work=work
    )
    if not stopped.saved:  # it ended before all had their first generation
        return
    _, resumed = run_on_threads(later, 6, generations=14, resume=stopped, balance=balance, work=work)
    assert digest(resumed, 14) == digest(alone, 14)


@pytest.mark.parametrize("halt_after", range(8))
def test_stopped_while_shards_are_written(halt_after: int) -> None:
    """A generation that was being saved when all were told to halt may be saved a second time."""
    options = MigrationOptions(interval=2, emigrants=1)
    work = ToyWork(3, options, jitter=2e-3, sharded=True)
    _, stopped = run_on_threads(4, 6, generations=12, recorder=ToyRecorder(halt_after), work=work, every=1)
    _, resumed = run_on_threads(2, 6, generations=12, resume=stopped, work=work)
    _, alone = run_on_threads(1, 6, generations=12)
    assert digest(resumed, 12) == digest(alone, 12)
