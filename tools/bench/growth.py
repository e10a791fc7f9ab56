"""What a child costs by the size of its population, and adding to an archive by the archive's size; CPU time.

    python tools/bench/growth.py [--log tools/bench/results.jsonl]

Au-Cu on 32 fcc sites with the paper's basis (452 functions), composition free, tournaments and NSGA-II with one and
two objectives: best and median of generations, over the children of one. Archives: 50 new individuals that nothing
dominates into a front of so many.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from engine import Rows, multiply_rate
from genetic import problem_of
from record import append, stamp

from grs_evo.search.island import advance, start
from grs_evo.search.options import IslandOptions, SelectionOptions
from grs_evo.search.population.archive import ArchiveOptions, extend
from grs_evo.search.population.individual import Individual
from grs_evo.structures.structure import Structure

POPULATIONS, FRONTS = (50, 200, 800), (100, 1000, 4000)


def row(what: str, us: float, spent: float, **more: Any) -> dict[str, Any]:
    return {"what": what, "us": us, "cpu_s": spent, "gf": multiply_rate(0.03), **more}


def children(populations: tuple[int, ...] = POPULATIONS) -> Rows:
    rows: Rows = []
    for objectives in (("mean",), ("mean", "variance")):
        problem = problem_of(6.0, "free", objectives)
        for kind in ("tournament", "nsga2"):
            for n in populations:
                island = IslandOptions(population=n, selection=SelectionOptions(kind=kind))  # type: ignore[arg-type]
                case = replace(problem, islands=(island,))
                state = advance(start(case, 0, 1), case)
                spent = []
                for _ in range(max(5, 4000 // n)):
                    begun = time.process_time()
                    state = advance(state, case)
                    spent.append((time.process_time() - begun) / n * 1e6)
                name = f"{kind}, {len(objectives)} objective(s), population {n}: child"
                rows.append(row(name, min(spent), sum(spent) * n / 1e6, median=float(np.median(spent))))
    return rows


def archives(fronts: tuple[int, ...] = FRONTS, added: int = 50) -> Rows:
    """New individuals spread over a front of two objectives."""
    rows: Rows = []
    rng = np.random.default_rng(0)
    names, options = ("mean", "variance"), ArchiveOptions(objectives=("mean", "variance"), size=100_000)

    def individuals(first: np.ndarray[Any, Any], uid: int) -> list[Individual]:
        return [
            Individual(
                Structure(rng.random((4, 3)), np.eye(3) * 4.0, np.zeros(4), np.ones(3, bool)),
                float(x + 1.0 / x), np.array([x, 1.0 / x]), uid + k,
            )
            for k, x in enumerate(first.tolist())
        ]  # fmt: skip

    for n in fronts:
        places = rng.permutation(np.linspace(1.0, 2.0, n + added))
        front = extend((), individuals(places[:n], 0), options, names)
        new, spent = individuals(places[n:], n), []
        for _ in range(15):
            begun = time.process_time()
            grown = extend(front, new, options, names)
            spent.append((time.process_time() - begun) * 1e6)
        assert len(grown) == n + added
        rows.append(row(f"{added} into an archive of {n}", min(spent), sum(spent) / 1e6))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, help="append the results here, and compare with the last of this machine")
    options = parser.parse_args()
    results = {**stamp(), "yardstick_gf": multiply_rate(), "children": children(), "archives": archives()}
    for line in results["children"] + results["archives"]:
        print(f"{line['what']:52}{line['us']:12.1f} µs   {line['cpu_s']:6.2f} CPU s at {line['gf']:.0f} GF/s")
    if options.log is not None:
        for slower in append(results, options.log):
            print(f"slower: {slower}")


if __name__ == "__main__":
    main()
