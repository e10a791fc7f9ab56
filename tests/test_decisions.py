"""When a round stops and when it saves, from statistics alone."""

from __future__ import annotations

import numpy as np
import pytest

from grs_evo.parallel.decisions import NEVER, CheckpointOptions, Decision, Pace, StopOptions, Totals, judge


def _through(values: list[float], stop: StopOptions, delay: int = 2) -> list[Decision]:
    decided: list[Decision] = []
    for g, value in enumerate(values):
        decided.append(judge(decided[-1] if decided else None, Totals(g, value, 10.0 * (g + 1)), stop, delay))
    return decided


@pytest.mark.parametrize(
    ("rule", "at", "reason"),
    [({"loss": 0.5}, 2, "loss"), ({"evaluations": 40}, 3, "evaluations"), ({"stagnation": 2}, 4, "stagnation")],
)
def test_a_rule_stops_a_delay_after_it_holds(rule: dict[str, float], at: int, reason: str) -> None:
    decided = _through([3.0, 2.0, 0.5, 0.6, 0.7], StopOptions(generations=None, **rule))
    assert [one.stop_at for one in decided[:at]] == [NEVER] * at
    assert (decided[at].stop_at, decided[at].reason) == (at + 2, reason)
    assert decided[-1].stop_at == at + 2


def test_the_best_value_never_rises() -> None:
    decided = _through([3.0, 2.0, 2.5, 1.0], StopOptions())
    assert [one.best for one in decided] == [3.0, 2.0, 2.0, 1.0]
    assert [one.improved for one in decided] == [0, 1, 1, 3]


def test_a_decision_travels_bit_for_bit() -> None:
    for one in (Decision(3), Decision(4, 1 / 3, 2, 9, "loss", 7, 5)):
        assert Decision.from_array(one.to_array()) == one
    with pytest.raises(ValueError, match="7 numbers"):
        Decision.from_array(np.zeros(6))


def test_saving_keeps_to_its_share_of_the_time() -> None:
    options = CheckpointOptions(generations=1, seconds=None, max_cost=0.1)
    pace = Pace(0, 100.0).saved(1, 101.0, cost=1.0)
    assert not pace.due(2, 102.0, options)  # 1 s of saving in 2 s
    assert pace.due(2, 111.0, options)
    assert not pace.due(1, 999.0, options)  # saved already
    by_time = CheckpointOptions(generations=None, seconds=5.0, max_cost=1.0)
    assert [Pace(0, 100.0).due(1, now, by_time) for now in (104.0, 105.0)] == [False, True]
    assert (pace.n_saved, pace.total_cost) == (1, 1.0)
