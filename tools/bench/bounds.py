"""The numbers that the engine and the search are held to, measured in one run, and what each stage costs.

    python tools/bench/bounds.py [--only checkpoint effective wide relaxation search start threads balance]
                                 [--log tools/bench/results.jsonl] [--ace-jax PYTHON] [--lammps PYTHON …]

Times are CPU times of one thread, best of many, except those of threads, which are wall time in turns and need a quiet
machine. Each row has the machine's rate of multiply-adds at that moment. LAMMPS with ML-PACE is seldom at hand: its
times were measured once (pace recursive, 4 Jul 2026, at 91.5 GF/s), and are compared in units of that rate.

Floors: the vector operations that a stage must do (counted in `kernels.ace`: per pair, and per step of the programs),
two of eight numbers at a time per cycle, as the yardstick does them.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import engine as bench
import growth
import numpy as np
from engine import kept_all
from record import append, stamp
from relax import by_size
from rich.console import Console
from rich.table import Table

from grs_evo.descriptors.basis import Basis, build_basis
from grs_evo.descriptors.describe import stream_descriptors
from grs_evo.kernels.ace.engine import describe_into, keep_lists, pull_into
from grs_evo.kernels.compiling import probe
from grs_evo.loss.objective import make_objective
from grs_evo.potential.relaxation import RelaxOptions, relax
from grs_evo.structures.reading import read_structures
from grs_evo.structures.structure import Structure
from grs_evo.targets.target import Target

ROOT = Path(__file__).parents[2]
Rows = list[dict[str, Any]]

# pace recursive, µs per atom for energy and forces at 91.5 GF/s of multiply-adds
PACE_GF = 91.5
PACE = {"Ta54": 37.4, "Co-Cr-Ni 54": 85.6, "Fe-Cr-Si-V 54": 114.0}
TIMES = {"Ta54": (32, 40), "Co-Cr-Ni 54": (25, 30), "Fe-Cr-Si-V 54": (18, 25)}

# Vector operations for eight pairs: `radial_section` with slopes, without the polynomial of x; `fast_moments`; the
# loop of `fast_pull` with what `scatter_add` adds.
RADIAL, MOMENTS, FORCES = 33, 42, 100
# A step of a program is a product and a multiply-add.
STEP = 2


def us(what: str, seconds: float, per: int = 1, **more: Any) -> dict[str, Any]:
    """A row; `seconds` are of the processor where `more` has no cpu_s of its own."""
    return {"what": what, "us": seconds / per * 1e6, "cpu_s": seconds, "gf": bench.multiply_rate(0.03), **more}


def systems() -> list[tuple[str, Structure, Structure, Basis]]:
    """Name, structure, what the target is made of, basis."""
    rank3: dict[str, Any] = {"n_max": (8, 2, 2), "l_max": (0, 2, 2), "cutoff": 5.5}
    three, four = ["Co", "Cr", "Ni"], ["Fe", "Cr", "Si", "V"]
    return [
        ("Ta54", bench.bcc(3), bench.bcc(4, amplitude=0.3, seed=1), build_basis(["Ta"], cutoff=7.0)),
        (
            "Co-Cr-Ni 54",
            bench.alloy(3, (18, 18, 18)),
            bench.alloy(4, (44, 42, 42), seed=1),
            build_basis(three, cutoff=5.5),
        ),
        (
            "Fe-Cr-Si-V 54",
            bench.alloy(3, (19, 19, 8, 8)),
            bench.alloy(4, (40, 40, 24, 24), seed=1),
            build_basis(four, **rank3),
        ),
    ]


@probe
def stages_again(times, values, pull, positions, cell, species, pbc, tables, work, rows, slopes, gradient, strain):
    """The list that is kept, with values, with the gradient, many times over."""
    for _ in range(times):
        if values:
            describe_into(positions, cell, species, pbc, tables, work, rows)
        else:
            kept_all(positions, cell, species, pbc, tables, work)
        if pull:
            pull_into(positions, cell, species, pbc, tables, slopes, work, gradient, strain)


def stages_of(name: str, structure: Structure, seen: Structure, basis: Basis) -> Rows:
    """The whole of V_eff with its gradient along a relaxation of 54 atoms, and what its stages cost."""
    n = structure.n_atoms
    objective = make_objective(basis, Target.from_structures([seen], basis))
    objective.gradient(structure)
    one = bench.Bench(structure, basis, objective.tables)
    one.dq_db[:] = 1.0
    keep_lists(one.work, n)
    while kept_all(*one.arrays, one.tables, one.work) < 0:
        one.work = bench.engine.larger_work(one.work, one.tables)
        keep_lists(one.work, n)
    one.values()
    rows, slopes = objective.row_buffers(n)
    given = (
        objective.calls(one.work), *one.arrays, objective.tables, one.work, objective.plan, objective.loss_work(), rows,
        slopes, np.zeros(objective.n_columns), np.zeros((n, 3)),
    )  # fmt: skip
    options = RelaxOptions(progress=0.0, gradient=0.0, max_evaluations=500)
    evaluations = relax(structure, objective, options).evaluations
    again = (*one.arrays, one.tables, one.work, one.rows, one.dq_db, one.gradient, one.strain)

    def stages(values: bool, pull: bool) -> float:
        return bench.best(lambda: stages_again(50, values, pull, *again)) / 50

    seconds = {
        "list": stages(False, False),
        "values": stages(True, False),
        "pull": stages(True, True),
        "evaluation": bench.best(lambda: bench.evaluate_again(50, *given)) / 50,
        "relaxation": bench.best(lambda: relax(structure, objective, options), 1.5) / evaluations,
    }
    rate = bench.multiply_rate() * 1e9 / 2  # operations per second
    program = basis.programs[0]
    vectors = one.pairs / 8
    floors = {
        "values": vectors * (RADIAL + one.tables.degree + MOMENTS) + n / 8 * STEP * len(program.fwd_c),
        "pull": vectors * FORCES + n / 8 * STEP * len(program.bwd_c),
    }
    costs = {
        "kept list": (seconds["list"], None),
        "values": (seconds["values"] - seconds["list"], floors["values"] * 8 / rate),
        "pull": (seconds["pull"] - seconds["values"], floors["pull"] * 8 / rate),
        "loss": (seconds["evaluation"] - seconds["pull"], None),
        "relaxer and lists made anew": (seconds["relaxation"] - seconds["evaluation"], None),
    }
    own = us(f"{name}: V_eff with gradient along a relaxation, per atom", seconds["relaxation"], n)
    must, aim = TIMES[name]
    own |= {
        "functions": max(basis.sizes),
        "times pace, by multiply-adds": PACE[name] * PACE_GF / (own["us"] * own["gf"]),
        "must": f"{must} ×",
        "aim": f"{aim} ×",
    }
    return [own] + [
        us(f"   {stage}, per evaluation", spent) | ({} if floor is None else {"floor_us": floor * 1e6})
        for stage, (spent, floor) in costs.items()
    ]


def part_effective(_: argparse.Namespace) -> Rows:
    return [row for system in systems() for row in stages_of(*system)]


def part_wide(given: argparse.Namespace) -> Rows:
    return bench.wide(given.ace_jax, given.lammps, given.pace_plugin)


def part_relaxation(_: argparse.Namespace) -> Rows:
    """54 Ta atoms from random positions, 2,500 evaluations, 20 seeds."""
    basis = build_basis(["Ta"], cutoff=7.0)
    entries = read_structures(str(ROOT / "runs" / "liquid-ta" / "target.extxyz"), basis.elements)
    target = Target.from_structures([e.structure for e in entries], basis, names=[e.source for e in entries])
    objective = make_objective(basis, target)
    by_size(objective, [54], 1, 50)
    (found,) = by_size(objective, [54], 20, 2500)
    more = {"loss / noise, median": found["loss / noise, median"], "worst": found["worst"]}
    per_evaluation = found["CPU s, median"] / found["evaluations, median"]
    return [us("54 Ta, 2,500 evaluations, 20 seeds: evaluation", per_evaluation, must="38.3", aim="30.7", **more)]


def part_search(_: argparse.Namespace) -> Rows:
    """A child of genetic search, one of NSGA-II, and 50 individuals into an archive of 4,000."""
    bounds = {
        "tournament, 1 objective(s), population 50": ("30", "15"),
        "nsga2, 1 objective(s), population 800": ("60", "30"),
        "nsga2, 2 objective(s), population 800": ("60", "30"),
    }
    rows = growth.children((50, 800)) + growth.archives((4000,), (50,))
    for row in rows:
        for name, (must, aim) in bounds.items():
            if row["what"].startswith(name):
                row |= {"must": must, "aim": aim}
    return rows


def part_start(_: argparse.Namespace) -> Rows:
    """A first run on a machine and a second one: one generation of `runs/cu3au-l12`, all processes."""
    rows: Rows = []
    text = (ROOT / "runs" / "cu3au-l12" / "run.toml").read_text()
    text = text.replace("generations = 80", "generations = 1")
    with tempfile.TemporaryDirectory(prefix="start-") as folder:
        place = Path(folder)
        (place / "run.toml").write_text(text)
        (place / "target.extxyz").write_bytes((ROOT / "runs" / "cu3au-l12" / "target.extxyz").read_bytes())
        environment = {**os.environ, "NUMBA_CACHE_DIR": f"{folder}/numba", "GRS_EVO_CACHE_DIR": f"{folder}/grs"}
        for name, must, aim in (("cold", "15", "8"), ("warm", "1.2", "0.8"), ("warm", "1.2", "0.8")):
            before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            out = f"{folder}/out-{len(rows)}"
            subprocess.run(
                [sys.executable, "-m", "grs_evo", "run", f"{folder}/run.toml", "--out", out],
                env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            more = {"cpu_s": cpu, "wall_s": time.perf_counter() - begun, "must": must, "aim": aim}
            rows.append(us(f"{name} start, one generation and the verdict", cpu, **more))
    return rows


def part_threads(given: argparse.Namespace) -> Rows:
    """Values of 101,306 atoms by one thread and several, in turns of which every second is the other way round; wall.

    The ratio of medians is what counts; those of the best turns and of the two of each turn stand beside it.
    """
    basis, structure = build_basis(["Ta"], cutoff=7.0), bench.bcc(37)
    counts = (1, given.threads)
    seconds: dict[int, list[float]] = {count: [] for count in counts}
    spent = dict.fromkeys(counts, 0.0)
    for turn in range(given.turns + 1):
        for count in counts[:: 1 if turn % 2 else -1]:
            begun, processor = time.perf_counter(), time.process_time()
            for _ in stream_descriptors(structure, basis, threads=count):
                pass
            if turn:
                seconds[count].append(time.perf_counter() - begun)
                spent[count] += (time.process_time() - processor) / given.turns
    one, many = (np.array(found) for found in seconds.values())
    rows = [
        us(
            f"values of {structure.n_atoms} atoms, {count} thread(s), median",
            float(np.median(found)),
            cpu_s=spent[count],
        )
        for count, found in seconds.items()
    ]
    rows[1] |= {
        "median over median": np.median(one) / np.median(many),
        "best over best": one.min() / many.min(),
        "median ratio of a turn": np.median(one / many),
    }
    return [rows[0], rows[1] | {"must": "1.9 ×", "aim": "1.95 ×"}]


def part_balance(_: argparse.Namespace) -> Rows:
    """Idle share by processor time of 16 islands of mixed size and strategy."""
    from scaling_runs import MIXED, Case, launch

    rows: Rows = []
    case = Case("mixed", MIXED, 16, 20, 6, 100)
    for ranks in (2, 8):
        found = launch(case, ranks)
        rows.append(
            {
                "what": f"idle share of 16 mixed islands on {ranks} ranks",
                "share": found.idle_by_processor,
                "if shared out in order": found.idle_if_contiguous,
                "must": "0.05",
                "aim": "0.02",
            }
        )
    return rows


def part_checkpoint(_: argparse.Namespace) -> Rows:
    """A checkpoint of 1,024 islands of 50 after 1,000 generations by 16 ranks."""
    from scaling_costs import Stage, _shards

    with tempfile.TemporaryDirectory(prefix="costs-") as temporary:
        (found,) = _shards(Stage.at(Path(temporary)))
    cpu = found["shard cpu s"] + found["rank 0 then cpu s"]
    more = {"cpu_s": cpu, "rank 0, MB": found["rank 0 in all, MB"], "must": "2 s, 500 MB"}
    return [us("checkpoint of 1,024 islands on 16 ranks: a shard, then rank 0", cpu, **more)]


PARTS: dict[str, Callable[[argparse.Namespace], Rows]] = {
    "checkpoint": part_checkpoint,  # first, since the peak of memory only grows
    "effective": part_effective,
    "wide": part_wide,
    "relaxation": part_relaxation,
    "search": part_search,
    "start": part_start,
    "threads": part_threads,
    "balance": part_balance,
}


def show(title: str, rows: Rows, console: Console) -> None:
    table = Table(title=title, title_justify="left")
    for column in ("", "µs", "must", "aim", "GF/s", "other"):
        table.add_column(column, justify="left" if column in ("", "other") else "right")
    for row in rows:
        cost = row.get("us", row.get("us_per_atom"))
        other = {k: v for k, v in row.items() if k not in ("what", "us", "us_per_atom", "must", "aim", "gf")}
        table.add_row(
            row["what"],
            "" if cost is None else f"{cost:.4g}",
            str(row.get("must", "")),
            str(row.get("aim", "")),
            f"{row['gf']:.0f}" if "gf" in row else "",
            ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in other.items()),
        )
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(PARTS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=40, help="of one thread and several")
    parser.add_argument("--log", type=Path, help="append the results here, and compare with the last of this machine")
    parser.add_argument("--ace-jax", help="a Python that has ace-jax")
    parser.add_argument("--lammps", default=sys.executable, help="a Python whose LAMMPS may have pair_style pace")
    parser.add_argument("--pace-plugin", help="the plugin that brings it pair_style pace")
    given = parser.parse_args()
    console = Console(width=150)
    results: dict[str, Any] = {**stamp(), "yardstick_gf": bench.multiply_rate()}
    console.print(f"{results['machine']}, {results['commit']}; {results['yardstick_gf']:.0f} GF/s multiply-add")
    for name in given.only or PARTS:
        results[name] = PARTS[name](given)
        show(name, results[name], console)
    if given.log is not None:
        for line in append(results, given.log):
            console.print(f"slower: {line}")


if __name__ == "__main__":
    main()
