"""The machinery of a round: the same states on any number of ranks, stopped and resumed anywhere."""

from __future__ import annotations

import numpy as np
import pytest
from fleet import ToyRecorder, ToyWork, digest, run_on_threads
from hypothesis import given, settings
from hypothesis import strategies as st

from grs_evo.errors import InputError, RankExit, StorageError
from grs_evo.parallel.decisions import StopOptions
from grs_evo.parallel.endings import Ending
from grs_evo.parallel.topology import MigrationOptions
from grs_evo.structures.structure import Structure


def _dropped() -> Structure:
    return Structure(np.array([[0.1, 0.2, 0.3]]), np.eye(3), np.zeros(1, np.int32), np.ones(3, bool))


@pytest.mark.parametrize("topology", ["ring", "torus", "full", "random", "none"])
@pytest.mark.parametrize("delay", [1, 2, 3])
def test_ranks_make_no_difference(topology: str, delay: int) -> None:
    options = MigrationOptions(topology=topology, interval=2, delay=delay, emigrants=1)
    finals = [digest(run_on_threads(n, options=options)[1], 12) for n in (1, 2, 3, 5)]
    assert all(one == finals[0] for one in finals[1:])


def test_a_topology_makes_a_difference() -> None:
    ring, none = (
        digest(run_on_threads(1, options=MigrationOptions(topology=t, interval=2, emigrants=1))[1], 12)
        for t in ("ring", "none")
    )
    assert ring != none


@settings(max_examples=25, deadline=None)
@given(
    ranks=st.tuples(*[st.sampled_from([1, 2, 3, 5])] * 2),
    at=st.integers(0, 11),
    delay=st.integers(1, 3),
    interval=st.integers(1, 3),
)
def test_resumed_at_any_generation_on_other_ranks(ranks: tuple[int, int], at: int, delay: int, interval: int) -> None:
    options = MigrationOptions(topology="ring", interval=interval, delay=delay, emigrants=1)
    seeds = {4: [(1, _dropped())], 7: [(0, _dropped()), (4, _dropped())]}
    whole = run_on_threads(1, options=options, recorder=ToyRecorder(seeds=seeds))[1]
    broken = run_on_threads(ranks[0], options=options, recorder=ToyRecorder(seeds=seeds, halt_after=at))[1]
    rest = run_on_threads(ranks[1], options=options, resume=broken)[1] if 12 not in broken.saved else broken
    assert digest(rest, 12) == digest(whole, 12)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 400), st.integers(0, 2), st.sampled_from([1, 2, 3]))
def test_a_signal_to_any_rank_at_any_time(when: int, rank: int, n_after: int) -> None:
    endings, recorder = run_on_threads(3, generations=40, interrupt=(rank, when * 1e-4))
    assert all(isinstance(one, Ending) for one in endings)
    generations = {one.generation for one in endings}
    assert len(generations) == 1
    reached = generations.pop()
    if reached >= 0:
        assert max(recorder.saved) == reached
        rest = run_on_threads(n_after, generations=40, resume=recorder)[1] if reached < 40 else recorder
    else:
        rest = run_on_threads(n_after, generations=40)[1]
    assert digest(rest, 40) == digest(run_on_threads(1, generations=40)[1], 40)


@pytest.mark.parametrize(
    "stop", [StopOptions(generations=None, loss=600.0), StopOptions(generations=None, evaluations=333)]
)
def test_stop_rules_end_at_the_same_generation(stop: StopOptions) -> None:
    ends = []
    for n in (1, 2, 5):
        endings, recorder = run_on_threads(n, generations=None, stop=stop)
        ends.append((endings[0].generation, digest(recorder, endings[0].generation)))  # type: ignore[union-attr]
    assert ends[0] == ends[1] == ends[2]
    assert 2 < ends[0][0] < 40


def test_a_stop_already_spoken_survives_a_resume() -> None:
    stop = StopOptions(generations=None, evaluations=999)
    endings, whole = run_on_threads(1, generations=None, stop=stop)
    end = endings[0].generation  # type: ignore[union-attr]
    before = [at for at in whole.saved if at < end]
    assert len(before) > 2
    for at in before:
        resumed, recorder = run_on_threads(2, generations=None, stop=stop, resume=whole, at=at)
        assert resumed[0].generation == end  # type: ignore[union-attr]
        assert digest(recorder, end) == digest(whole, end)


@pytest.mark.parametrize("island", [0, 4])
def test_bad_input_found_late_ends_all_ranks(island: int) -> None:
    options = MigrationOptions(interval=2, emigrants=1)
    work = ToyWork(3, options, fail_at=(island, 5), error=InputError)
    endings, _ = run_on_threads(3, options=options, work=work)
    assert isinstance(endings[0], InputError)
    assert "cannot make generation 5" in str(endings[0])
    others = endings[1:]
    assert all(isinstance(one, (RankExit, InputError)) for one in others)


def test_a_full_disk_ends_all_ranks() -> None:
    class Full(ToyRecorder):
        def save(self, *_: object) -> None:
            raise StorageError("no space left")

    endings, _ = run_on_threads(3, recorder=Full())
    assert isinstance(endings[0], StorageError)
    assert all(isinstance(one, RankExit) and one.code == 74 for one in endings[1:])
