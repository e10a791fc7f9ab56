"""What a child costs by the size of its population, and adding to an archive by the archive's size; CPU time.

    python tools/bench/growth.py [--log tools/bench/results.jsonl]

Au-Cu on 32 fcc sites with the paper's basis (452 functions), composition free, tournaments and NSGA-II with one and
two objectives: best and median of generations, over the children of one. Archives: new individuals that nothing
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
from grs_evo.search.population.archive import ArchiveOptions
from grs_evo.search.population.growing import extend
from grs_evo.search.population.individual import Individual
from grs_evo.structures.structure import Structure

POPULATIONS, FRONTS, ADDED = (50, 200, 800), (500, 2000, 4000, 16_000), (10, 50, 200)


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


def archives(fronts: tuple[int, ...] = FRONTS, added: tuple[int, ...] = ADDED, n_objectives: int = 2) -> Rows:
    """New individuals spread over a front of two or three objectives."""
    rows: Rows = []
    rng = np.random.default_rng(0)
    names = ("mean", "variance", "core")[:n_objectives]
    options = ArchiveOptions(objectives=names, size=100_000)

    def individuals(scores: np.ndarray[Any, Any], uid: int) -> list[Individual]:
        return [
            Individual(
                Structure(rng.random((4, 3)), np.eye(3) * 4.0, np.zeros(4), np.ones(3, bool)),
                float(terms.sum()), terms, uid + k,
            )
            for k, terms in enumerate(scores)
        ]  # fmt: skip

    def on_a_front(n: int) -> np.ndarray[Any, Any]:
        """On a part of a sphere that curves towards the origin."""
        away = np.abs(rng.normal(size=(n, n_objectives))) + 0.3
        return 2.0 - away / np.linalg.norm(away, axis=1)[:, None]

    for n in fronts:
        front = extend((), individuals(on_a_front(n), 0), options, names)
        for count in added:
            new, spent = individuals(on_a_front(count), n), []
            for _ in range(15):
                begun = time.process_time()
                grown = extend(front, new, options, names)
                spent.append((time.process_time() - begun) * 1e6)
            assert len(grown) > len(front)  # a few are alike to the precision of an archive
            name = f"{count} into an archive of {n}, {n_objectives} objectives"
            rows.append(row(name, min(spent), sum(spent) / 1e6))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, help="append the results here, and compare with the last of this machine")
    options = parser.parse_args()
    results = {
        **stamp(),
        "yardstick_gf": multiply_rate(),
        "children": children(),
        "archives": archives() + archives(n_objectives=3),
    }
    for line in results["children"] + results["archives"]:
        print(f"{line['what']:52}{line['us']:12.1f} µs   {line['cpu_s']:6.2f} CPU s at {line['gf']:.0f} GF/s")
    if options.log is not None:
        for slower in append(results, options.log):
            print(f"slower: {slower}")


if __name__ == "__main__":
    main()
