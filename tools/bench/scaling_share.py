"""What a generation's processor time goes into: a run under a stopwatch."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from scaling_runs import LATTICE, LIQUID, MUST, Case, environment


class Stopwatch:
    """Processor seconds by what they went into; an inner piece is not counted to the outer."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._name = "everything else"
        self._since = time.thread_time()

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        outer = self._switch(name)
        try:
            yield
        finally:
            self._switch(outer)

    def _switch(self, name: str) -> str:
        now = time.thread_time()
        outer = self._name
        self.seconds[outer] = self.seconds.get(outer, 0.0) + now - self._since
        self._name, self._since = name, now
        return outer

    def watch(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            with self.on(name):
                return function(*args, **kwargs)

        return watched


def watch(run_file: Path, out: Path) -> dict[str, float]:
    """A run on one rank within this process, its functions under a stopwatch."""
    from grs_evo.driver import rounds, session
    from grs_evo.loss.lattice import LatticeObjective
    from grs_evo.loss.objective import Objective
    from grs_evo.parallel import coordinator
    from grs_evo.parallel.worker import Worker
    from grs_evo.search import evaluation, fresh_candidates, island, repeats
    from grs_evo.search.operators.table import operators
    from grs_evo.search.strategies import genetic

    clock = Stopwatch()
    for operator in operators():
        if operator.act is not None:
            object.__setattr__(operator, "act", clock.watch("operators", operator.act))
    for owner, names, label in (
        (evaluation, ("relax", "improve"), "evaluation"),
        (Objective, ("evaluate",), "evaluation"),
        (LatticeObjective, ("evaluate",), "evaluation"),
        (fresh_candidates, ("candidate",), "candidates"),
        (genetic, ("candidate",), "candidates"),
        (genetic, ("pick", "survivors", "preference", "draw_operator", "probabilities"), "selection"),
        (repeats, ("contains",), "repeats"),
        (fresh_candidates, ("content_key",), "repeats"),
        (genetic, ("content_key", "content_keys"), "repeats"),
        (island, ("extend",), "archive"),
        (island, ("diversity", "_row"), "statistics"),
        (island, ("_with_arrivals", "_accepted", "_emigrants", "rng_from_array", "rng_to_array"), "migration"),
        (Worker, ("send_emigrants", "_serve"), "migration"),
        (coordinator.Coordinator, ("_decide",), "decisions and logging"),
        (coordinator.Coordinator, ("_save",), "saving"),
    ):
        for name in names:
            setattr(owner, name, clock.watch(label, getattr(owner, name)))
    run_round = rounds.run_round
    wall = [0.0]

    def whole(worker: Worker, states: Any = None) -> Any:
        clock.seconds.clear()
        clock._since = time.thread_time()
        before = time.perf_counter()
        ending = run_round(worker, states)
        clock._switch("after")
        wall[0] = time.perf_counter() - before
        return ending

    rounds.run_round = whole
    session.run(run_file, out, quiet=True)
    found = {name: seconds for name, seconds in clock.seconds.items() if name != "after"}
    return {**found, "wall": wall[0]}


def part_share(quick: bool) -> dict[str, Any]:
    """Parts of the processor time of one rank, the run file's defaults for relaxation among them."""
    cases = [
        Case("liquid, default budget", LIQUID, 2, 3 if quick else 8, 8, 2500),
        Case("liquid, 100 evaluations", LIQUID, 2, 4 if quick else 20, 8, 100),
        Case("lattice", LATTICE, 2, 50 if quick else 200, 50),
    ]
    rows = []
    for case in cases:
        with tempfile.TemporaryDirectory(prefix="share-") as temporary:
            path = case.write(Path(temporary))
            own = [sys.executable, __file__, str(path), f"{temporary}/out"]
            done = subprocess.run(own, env=environment(), stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        wall = found.pop("wall")
        saving = found.pop("saving", 0.0)
        total = sum(found.values())
        rows.append(
            {
                "case": case.name,
                "not evaluation": 1.0 - found["evaluation"] / total,
                "ms/child": 1e3 * total / case.made,
                **{name: seconds / total for name, seconds in sorted(found.items(), key=lambda pair: -pair[1])},
                "one save, ms": 1e3 * saving,
                "processor/wall": (total + saving) / wall,
            }
        )
    return {"rows": rows, "held": rows[0]["not evaluation"] <= MUST["overhead"]}


if __name__ == "__main__":
    print(json.dumps(watch(Path(sys.argv[1]), Path(sys.argv[2]))))
