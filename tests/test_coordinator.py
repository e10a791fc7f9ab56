"""Rank 0's side of a round, fed by hand."""

from __future__ import annotations

import numpy as np
from fleet import N_STATS, ToyRecorder, ToyWork

from grs_evo.parallel.coordinator import Coordinator, RoundRules
from grs_evo.parallel.decisions import Balance, CheckpointOptions, StopOptions
from grs_evo.parallel.topology import MigrationOptions


def _coordinator(recorder: ToyRecorder, n_islands: int = 3, generations: int = 9, every: int = 2) -> Coordinator:
    stop, saving = StopOptions(generations=generations), CheckpointOptions(generations=every, max_cost=1.0)
    balance = Balance(np.zeros(n_islands, np.int32), 1, np.ones(n_islands))
    return Coordinator(RoundRules(n_islands, N_STATS, generations, 2, stop, saving), recorder, balance)


def _told(generation: int, islands: list[int], *best: float) -> dict[str, np.ndarray]:
    rows = np.array([[generation, 10.0, value] for value in best])
    seconds = np.ones(len(islands))
    ranks = {"ranks": np.array([islands[0]]), "times": np.array([[float(generation)]])}
    return {**ranks, "islands": np.array(islands), "rows": rows, "seconds": seconds}


def test_a_decision_waits_for_the_last_island_and_for_those_before() -> None:
    coordinator = _coordinator(ToyRecorder())
    coordinator.take_stats(1, _told(1, [0, 1, 2], 3.0, 2.0, 1.0))
    coordinator.take_stats(0, _told(0, [2], 5.0))
    assert coordinator.decisions() == []
    coordinator.take_stats(0, _told(0, [0, 1], 4.0, 6.0))
    decided = [decision for decision, _ in coordinator.decisions()]
    assert [(one.generation, one.best) for one in decided] == [(0, 4.0), (1, 1.0)]
    assert {rank: times.tolist() for rank, times in coordinator.times.items()} == {0: [0.0], 2: [0.0]}


def test_a_checkpoint_is_saved_once_all_states_are_here() -> None:
    recorder = ToyRecorder()
    coordinator = _coordinator(recorder)
    for generation in range(3):
        coordinator.take_stats(generation, _told(generation, [0, 1, 2], 1.0, 1.0, 1.0))
    at = [decision.checkpoint_at for decision, _ in coordinator.decisions()]
    due = max(at)
    assert due >= 2
    for generation in range(3, due + 1):
        coordinator.take_stats(generation, _told(generation, [0, 1, 2], 1.0, 1.0, 1.0))
    coordinator.decisions()
    for island in (2, 0):
        coordinator.take_state(due, island, {"n": np.array([island])})
        coordinator.save_due()
        assert recorder.saved == {}
    coordinator.take_state(due, 1, {"n": np.array([1])})
    coordinator.save_due()
    states, _ = recorder.saved[due]
    assert [int(one["n"][0]) for one in states] == [0, 1, 2]


def test_a_generation_in_shards_may_be_saved_twice() -> None:
    """A halt may come when a generation was just saved that all ranks have: it is then the last one as well."""
    coordinator = _coordinator(ToyRecorder())
    coordinator.take_stats(0, _told(0, [0, 1, 2], 1.0, 1.0, 1.0))
    coordinator.decisions()
    work = ToyWork(3, MigrationOptions(interval=2, emigrants=1))
    made = {k: work.start(k, lambda: None) for k in range(3)}
    for rank, islands in ((0, [0, 2]), (1, [1])):
        assert not coordinator.can_save(0)
        told = work.write(0, {k: made[k] for k in islands})
        coordinator.take_shard(0, {"ranks": np.array([rank]), **told})
    for _ in range(2):
        assert coordinator.can_save(0)
        coordinator.save_final(0)
    assert coordinator.pace.n_saved == 2


def test_a_halt_saves_a_generation_whose_states_come_twice() -> None:
    """What a rank sent for a checkpoint that was due it sends once more; between the two nothing may be taken away."""
    recorder = ToyRecorder()
    coordinator = _coordinator(recorder)
    for generation in range(3):
        coordinator.take_stats(generation, _told(generation, [0, 1, 2], 1.0, 1.0, 1.0))
    due = max(decision.checkpoint_at for decision, _ in coordinator.decisions())
    for generation in range(3, due):
        coordinator.take_stats(generation, _told(generation, [0, 1, 2], 1.0, 1.0, 1.0))
    coordinator.decisions()
    state = {"n": np.zeros(1)}
    for island in range(3):
        coordinator.take_state(due, island, state)  # for the checkpoint; statistics are still on their way
    assert coordinator.tick("SIGTERM")
    coordinator.take_state(due, 0, state)  # as all are told to hand over that generation
    coordinator.take_stats(due, _told(due, [0, 1, 2], 1.0, 1.0, 1.0))
    coordinator.decisions()
    coordinator.save_due()
    for island in (1, 2):
        coordinator.take_state(due, island, state)
    assert coordinator.can_save(due)
    coordinator.save_final(due)
    assert list(recorder.saved) == [due]


def test_the_reason_to_halt_is_asked_until_there_is_one() -> None:
    recorder = ToyRecorder(halt_after=0)
    coordinator = _coordinator(recorder)
    assert not coordinator.tick("")
    recorder.newest = 0
    assert coordinator.tick("")
    assert coordinator.halt_reason == "test"
    assert _coordinator(ToyRecorder()).tick("SIGTERM")
