"""How a run scales: what each part of a generation costs against ranks and islands, and what follows for large ones.

    python tools/bench/scaling.py                        # everything, about twenty minutes on two cores
    python tools/bench/scaling.py --quick                # the same in small, about two minutes once compiled
    python tools/bench/scaling.py weak islands --json scaling.json

Parts: `ranks` (one answer on 1 to 16 ranks), `islands` (1 to 256 of them), `balance` (islands of unequal work), `weak`
(two ranks with twice the islands), `share` (what is not evaluation), `memory` (256 islands on two ranks), `cold` (16
ranks, empty caches), `costs` and `model` (the pieces of rank 0's work, measured one by one, and what they add up to on
1,024 ranks and 10^5 islands).

Runs are started as a user starts them, `mpiexec -n N python -m grs_evo run …` (those of `ranks` by a script, which
starts the ranks once for both), and read from the run folder. Seconds are those that each rank reports by part in
status.json (`grs_evo.spent`); start-up and compilation are not in them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scaling_costs import part_costs
from scaling_model import part_model
from scaling_runs import FOUR, LATTICE, LIQUID, MIXED, MUST, Case, Failed, Measured, launch, launch_all, launch_in_turn
from scaling_share import part_share

PARTS = ("ranks", "islands", "balance", "weak", "share", "memory", "cold", "costs", "model")


# ---------------------------------------------------------------------------------------------------------------------
# runs


def part_ranks(quick: bool) -> dict[str, Any]:
    """One answer, whatever the number of ranks; above the number of cores this is about correctness only."""
    rows, same = [], True
    cases = [Case("liquid", LIQUID, 16, 4, 4, 30), Case("lattice", LATTICE, 16, 4, 20, 30)]
    on_ranks = [launch_in_turn(cases, n) for n in ((1, 2, 16) if quick else (1, 2, 3, 5, 8, 16))]
    for case, measured in zip(cases, zip(*on_ranks, strict=True), strict=True):
        rows += [{"case": case.name, **one.row()} for one in measured]
        same &= len({one.archive_hash for one in measured}) == 1
    return {"rows": rows, "one_hash": same, "held": same}


def part_islands(quick: bool) -> dict[str, Any]:
    """1 to 256 islands on two ranks (one island: on one)."""
    rows = []
    for text, name, population in ((LIQUID, "liquid", 4), (LATTICE, "lattice", 50)):
        for n in (1, 4, 16) if quick else (1, 4, 16, 64, 256):
            case = Case(name, text, n, 5 if name == "liquid" else 20, population, 30)
            rows.append({"case": name, **launch(case, min(2, n)).row()})
    return {"rows": rows}


def part_weak(quick: bool) -> dict[str, Any]:
    """Two ranks with twice the islands against one, and against two runs of one rank side by side.

    The second is what the machine allows: two processes share its memory, its clock and whatever else runs on it. The
    third way to judge leaves out what other programs take: evaluations per second of processor time, idle time off.
    """
    repeats = 2 if quick else 3
    one = Case("liquid", LIQUID, 4, 4 if quick else 60, 8, 100)  # long, since ranks begin half a second apart
    two = replace(one, islands=8)
    rows = []
    for _ in range(repeats):
        alone = launch(one, 1)
        apart = launch_all([one, one], 1)
        both = launch(two, 2)

        def rate(run: Measured) -> float:
            return run.evaluations / run.ranks / run.evolving

        def per_cpu(run: Measured) -> float:
            return run.evaluations / run.total("cpu")

        ceiling = statistics.mean(rate(run) for run in apart)
        rows.append(
            {
                "alone ev/s": rate(alone),
                "apart ev/s": ceiling,
                "2 ranks ev/s": rate(both),
                "over alone": rate(both) / rate(alone),
                "over apart": rate(both) / ceiling,
                "per cpu s, not idle": per_cpu(both) / per_cpu(alone) * (1.0 - both.idle),
                "advancing": both.busy,
                "idle": both.idle,
            }
        )
    over_alone = statistics.median(row["over alone"] for row in rows)
    over_apart = statistics.median(row["over apart"] for row in rows)
    return {
        "rows": rows,
        "efficiency": over_alone,
        "efficiency_of_what_the_machine_allows": over_apart,
        "efficiency_by_processor_time": statistics.median(row["per cpu s, not idle"] for row in rows),
        "held": over_alone >= MUST["weak"],
    }


def part_balance(quick: bool) -> dict[str, Any]:
    """Sixteen islands of mixed size and strategy; and two of 20 with two of 72 atoms."""
    rows, same = [], []
    for case, ranks in (
        (Case("mixed", MIXED, 16, 6 if quick else 20, 6, 100), (2, 8)),
        (Case("four", FOUR, 4, 6 if quick else 30, 6, 100), (2,)),
    ):
        measured = [launch(case, n) for n in ranks]
        same.append(len({one.archive_hash for one in measured}) == 1)
        rows += [
            {
                "case": case.name,
                "ranks": one.ranks,
                "generations": one.generations,
                "shared out in order": one.idle_if_contiguous,
                "idle by processor time": one.idle_by_processor,
                "idle": one.idle,
                "moved": one.moved,
                "processor s": one.total("advance_cpu"),
                "hash": one.archive_hash,
            }
            for one in measured
        ]
    worst = max(row["idle by processor time"] for row in rows)
    return {"rows": rows, "held": all(same) and worst <= MUST["balance"]}


def part_memory(quick: bool) -> dict[str, Any]:
    """256 islands of 50 on two ranks."""
    case = Case("liquid", LIQUID, 32 if quick else 256, 4, 50, 4)
    row = launch(case, 2).row()
    return {"rows": [row], "held": row["peak MB"] < MUST["memory"]}


def part_cold(quick: bool) -> dict[str, Any]:
    """Many ranks on one node that find no compiled code and no set-up results anywhere."""
    case = Case("liquid", LIQUID, 16, 2, 4, 30)
    warm = launch(case, 1)
    with tempfile.TemporaryDirectory(prefix="cold-") as folder:
        cold = launch(case, 4 if quick else 16, NUMBA_CACHE_DIR=f"{folder}/numba", GRS_EVO_CACHE_DIR=f"{folder}/grs")
        files = sum(1 for path in Path(folder).rglob("*") if path.is_file())
    same = cold.archive_hash == warm.archive_hash
    rows = [{"ranks": one.ranks, "wall s": one.wall, "hash": one.archive_hash} for one in (warm, cold)]
    return {"rows": rows, "cache_files": files, "held": same}


# ---------------------------------------------------------------------------------------------------------------------
# what is not evaluation


# ---------------------------------------------------------------------------------------------------------------------
# the pieces of rank 0's work


# ---------------------------------------------------------------------------------------------------------------------
# the model


# ---------------------------------------------------------------------------------------------------------------------
# telling


def text_of(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)


def table_of(rows: Sequence[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(text_of(row.get(name, "")) for name in names) + " |" for row in rows]
    return "\n".join(lines)


def tell(name: str, found: dict[str, Any]) -> None:
    print(f"\n## {name}\n")
    for key, value in found.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            print(("" if key == "rows" else f"{key}\n\n") + table_of(value) + "\n")
        elif isinstance(value, dict):
            print(f"{key}: " + ", ".join(f"{k} {text_of(v)}" for k, v in value.items()))
        else:
            print(f"{key}: {text_of(value)}")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--json", type=Path, help="write everything here as well")
    given = parser.parse_args()
    wanted = given.parts or list(PARTS)
    for name in wanted:
        if name not in PARTS:
            parser.error(f"no part is called {name!r}; there are {', '.join(PARTS)}")
    if "model" in wanted:  # is made of these
        wanted = list(dict.fromkeys([*(part for part in wanted if part != "model"), "costs", "share", "model"]))
    results: dict[str, Any] = {
        "machine": {"cores": os.cpu_count(), "load": os.getloadavg(), "platform": platform.platform()}
    }
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before, {platform.platform()}")
    runs = {"ranks": part_ranks, "islands": part_islands, "weak": part_weak, "share": part_share}
    runs |= {"balance": part_balance, "memory": part_memory, "cold": part_cold, "costs": part_costs}
    try:
        for text in (LIQUID, LATTICE):
            launch(Case("warm", text, 2, 1, 4, 4), 1)  # compiles
        for name in wanted:
            found = part_model(results["costs"], results["share"]) if name == "model" else runs[name](given.quick)
            results[name] = found
            tell(name, found)
            if given.json:
                given.json.write_text(json.dumps(results, indent=1) + "\n")
    except Failed as error:
        print(f"scaling: {error}", file=sys.stderr)
        return 1
    missed = [name for name in wanted if not results[name].get("held", True)]
    print(f"\nmissed: {', '.join(missed)}" if missed else "\nall bounds held")
    return 0 if not missed else 3


if __name__ == "__main__":
    sys.exit(main())
