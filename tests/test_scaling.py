"""Many islands, many ranks, long runs: the same answer, and nothing that grows for ever."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fleet import digest, run_on_threads

from grs_evo.errors import InputError
from grs_evo.parallel.timing import COLUMNS, PARTS, PartClock
from grs_evo.parallel.topology import MigrationOptions, Routes, balanced, shares, sources
from grs_evo.search.island import recorded

TOOL = Path(__file__).parents[1] / "tools" / "bench" / "scaling.py"


@pytest.fixture(scope="module")
def tool():
    place = TOOL.with_name("scaling_model.py")
    spec = importlib.util.spec_from_file_location("tool_scaling_model", place)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize(("n_islands", "n_ranks"), [(16, 16), (17, 16), (64, 7), (256, 2)])
def test_many_of_both_make_no_difference(n_islands: int, n_ranks: int) -> None:
    options = MigrationOptions(topology="torus", interval=2, emigrants=1)
    alone, shared = (run_on_threads(n, n_islands, generations=4, options=options, every=2)[1] for n in (1, n_ranks))
    assert digest(shared, 4) == digest(alone, 4)


@pytest.mark.parametrize("n_islands", [1, 2, 7, 64, 1000])
@pytest.mark.parametrize("n_ranks", [1, 2, 3, 64])
def test_every_island_has_one_rank_and_shares_are_even(n_islands: int, n_ranks: int) -> None:
    if n_ranks > n_islands:
        with pytest.raises(InputError, match=f"{n_islands} of them cannot be shared by {n_ranks} ranks"):
            shares(n_islands, n_ranks)
        return
    owned = shares(n_islands, n_ranks)
    assert [k for mine in owned for k in mine] == list(range(n_islands))
    sizes = {len(mine) for mine in owned}
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("topology", ["ring", "torus", "full", "random"])
def test_emigrants_reach_exactly_those_who_expect_them(topology: str) -> None:
    heard = sources(64, MigrationOptions(topology=topology, degree=3), 5)
    owner = balanced(np.random.default_rng(1).random(64), 7)
    routes = [Routes(heard, owner, rank, 2, 2) for rank in range(7)]
    needed = [{source for k in one.mine for source in heard[k]} for one in routes]
    for one in routes:
        sent = one.receivers()
        for other, wanted in enumerate(needed):
            assert sent.get(other, []) == sorted(wanted & set(one.mine))


def test_history_of_a_long_run_stays_short_and_keeps_its_ends() -> None:
    history = np.empty((0, 2))
    for generation in range(1000):
        history = recorded(history, np.array([generation, -generation], float), most=16)
        assert len(history) <= 17
        assert history[-1].tolist() == [generation, -generation]
        assert history[0, 0] == 0
        steps = np.diff(history[:-1, 0])
        assert (steps == steps[0]).all() if len(steps) else True
        if generation < 16:
            assert len(history) == generation + 1
    assert len(history) >= 8


def test_time_is_counted_once() -> None:
    clock = PartClock()
    with clock.on("wait"):
        with clock.on("post"):
            deadline = clock._since + 0.02
            while clock.to_array().sum() < 0 or clock._since < deadline:
                pass
        assert clock.advance_cpu == 0.0
        with clock.on("advance"), clock.on("save"):
            pass
        inner = dict(zip(COLUMNS, clock.to_array(), strict=True))
    assert 0.02 <= inner["post"] < 2.0
    assert inner["wait"] < inner["post"]
    row = dict(zip(COLUMNS, clock.to_array(), strict=True))
    assert row["post"] == pytest.approx(inner["post"])
    assert 1.0 < row["peak_memory"] < 1e6
    with pytest.raises(ValueError, match="stopped"), clock.on("save"):
        raise ValueError("stopped")
    assert clock._part == "rest"


def test_the_model_adds_up(tool) -> None:
    model = tool.Model(0.1, 1e-5, 1e-6, 1e-7, 32, 1e-8, 0.5, 1e-5, 1e5, 1e5, 400.0, 500.0, 1000.0, 4.0, 1e8)
    small, large = model.predict(1, 2, 10), model.predict(1000, 100_000, 10)
    assert small["s/generation"] == pytest.approx(2 * 10 * 0.1, rel=1e-3)
    assert large["s/generation"] == pytest.approx(100 * 10 * 0.1 + 33 * 1e-5 + 0.1 + 1e-4, rel=1e-9)
    state = 1e5 / 5 + 500 * 400 + 1000 * 8  # history and keys have come to their full length
    assert large["one save s"] == pytest.approx(100 * state * 1e-8 + 0.5 + 1.0)
    assert large["rank 0 GB to save"] == pytest.approx(4e-9 * 100 * state + 0.1 + 33e-4)
    assert model.state_bytes(10, 50) == pytest.approx(1e5 / 5 + 50 * 400 + 500 * 8)


def test_columns_of_status_files_are_the_parts_and_three_more() -> None:
    assert (*PARTS, "cpu", "advance_cpu", "peak_memory") == COLUMNS
    assert len(set(COLUMNS)) == len(COLUMNS)


def test_an_unknown_part_is_named() -> None:
    done = subprocess.run([sys.executable, TOOL, "wek"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "'wek'" in done.stderr
    assert "weak" in done.stderr


@pytest.mark.long
@pytest.mark.mpi
def test_quick_ranks(tmp_path: Path) -> None:
    """16 ranks and 16 islands on whatever is here, real messages: one archive."""
    out = tmp_path / "found.json"
    done = subprocess.run(
        [sys.executable, TOOL, "ranks", "--quick", "--json", out], capture_output=True, text=True, timeout=1200
    )
    if "no mpiexec" in done.stderr:
        pytest.skip("no mpiexec here")
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())["ranks"]
    assert found["one_hash"]
    assert [(row["case"], row["ranks"]) for row in found["rows"]] == [
        (case, ranks) for case in ("liquid", "lattice") for ranks in (1, 2, 16)
    ]
    for case in ("liquid", "lattice"):
        assert len({row["evaluations"] for row in found["rows"] if row["case"] == case}) == 1
    for row in found["rows"]:
        assert row["islands"] == 16
        # shares of the ranks' time, which no two parts count both; in units of rank 0's time, which may be the shorter
        assert row["advancing"] > 0.0
        assert row["idle"] >= 0.0
        assert row["advancing"] + row["idle"] < 1.5


def test_what_became_slower_shows(tmp_path: Path) -> None:
    """Also a stage of one row alone, where other rows have a stage of that name; a line is added each time."""
    spec = importlib.util.spec_from_file_location("record", TOOL.parent / "record.py")
    assert spec is not None
    assert spec.loader is not None
    record = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(record)

    def results(stage: float, rate: float, commit: str) -> dict:
        times = {"Ta": 1.0, "  values": stage, "Co": 2.0, "   values": 1.0, "start": 3.0}
        rows = [{"what": what, "us": found, "gf": rate} for what, found in times.items()]
        return {"commit": commit, "date": "", "machine": "m", "speed": [*rows, {**rows[-1], "us": 9.0}]}

    path = tmp_path / "results.jsonl"
    assert record.append(results(0.5, 100.0, "a"), path) == []
    # half as fast a machine, in units of its own multiply-adds
    assert record.append(results(0.5, 50.0, "b"), path) == []
    assert record.append(results(0.8, 50.0, "c"), path) == ["Ta, values: 1.60 times what it took at b"]
    assert len(path.read_text().splitlines()) == 3
