"""Benchmarks of the descriptor engine: time per atom, stage by stage, its growth, and the start-up.

    python tools/bench/engine.py [--json out.json] [--only speed wide growth start large] [--target liquid.extxyz]
                                 [--log log.jsonl] [--ace-jax PYTHON] [--lammps PYTHON [--pace-plugin paceplugin.so]]

Times are CPU time on one thread, the best of many repetitions, so that a busy machine disturbs them little; start-up
and threads are wall time. Figures of different machines compare through the yardstick: the rate of a fused
multiply-add loop on eight doubles, measured again for each row. With `--log` the results are appended to a file, with
commit and machine, and compared with the last ones of the same machine there. Peers (`peers.py`) are measured in the
same run where a Python that has them is named.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from peers import peer_costs
from record import append, stamp
from rich.console import Console
from rich.table import Table

from grs_evo.descriptors.basis import Basis, build_basis
from grs_evo.descriptors.describe import stream_descriptors
from grs_evo.kernels.ace import engine
from grs_evo.kernels.ace.interpreter import FEWEST
from grs_evo.kernels.ace.tables import COLUMNS, Tables, Work, make_tables
from grs_evo.kernels.calls import call_value
from grs_evo.kernels.compiling import probe
from grs_evo.kernels.geometry.kept import find_kept, image_space, list_space, renew
from grs_evo.kernels.geometry.layout import GROW, OK, SECTIONS
from grs_evo.kernels.geometry.pairs import find_near
from grs_evo.kernels.simd import fma, item, pointer, splat, total
from grs_evo.loss.objective import Objective, make_objective
from grs_evo.potential.relaxation import RelaxOptions, relax
from grs_evo.structures.structure import Structure, from_atoms
from grs_evo.targets.target import Target

Rows = list[dict[str, Any]]


@probe
def multiply_add(n: int) -> float:
    """Ten independent chains of eight multiply-adds, n times."""
    a, b, c, d, e = splat(1.0), splat(1.1), splat(1.2), splat(1.3), splat(1.4)
    f, g, h, i, j = splat(1.5), splat(1.6), splat(1.7), splat(1.8), splat(1.9)
    x, y = splat(0.999999), splat(1e-6)
    for _ in range(n):
        a, b, c, d, e = fma(a, x, y), fma(b, x, y), fma(c, x, y), fma(d, x, y), fma(e, x, y)
        f, g, h, i, j = fma(f, x, y), fma(g, x, y), fma(h, x, y), fma(i, x, y), fma(j, x, y)
    return total(a + b + c + d + e + f + g + h + i + j)


@probe
def search_all(species, tables, work):
    """The neighbour search alone, on images that are sorted already. Returns the number of pairs."""
    n_el, radial, home = tables.n_el, pointer(tables.radial), pointer(work.home)
    grid, shape, bins = pointer(work.grid), pointer(work.shape), pointer(work.bins)
    gx, gy, gz, gid = pointer(work.gx), pointer(work.gy), pointer(work.gz), pointer(work.gid)
    sx, sy, sz, pair_id = pointer(work.sx), pointer(work.sy), pointer(work.sz), pointer(work.pair_id)
    room = min(work.sx.shape[0], work.pair_id.shape[0]) - 8
    pairs = 0
    for i in range(species.shape[0]):
        x, y, z = item(home, 3 * i), item(home, 3 * i + 1), item(home, 3 * i + 2)
        for other in range(n_el):
            reach = item(radial, (species[i] * n_el + other) * COLUMNS)
            found, _ = find_near(
                x, y, z, other, reach, grid, shape, bins, gx, gy, gz, gid, sx, sy, sz, pair_id, np.int64(0), room
            )
            pairs += found
    return pairs


@probe
def kept_all(positions, cell, species, pbc, tables, work):
    """A list that is kept: where its images are now, and which candidates are near. Returns the number of pairs."""
    status = renew(positions, cell, species, pbc, tables, COLUMNS, work)
    if status != OK:
        return -1
    n_el, radial, home = tables.n_el, pointer(tables.radial), pointer(work.home)
    kept, images, ids = pointer(work.kept), pointer(work.kept_images), pointer(work.kept_ids)
    sx, sy, sz, pair_id = pointer(work.sx), pointer(work.sy), pointer(work.sz), pointer(work.pair_id)
    room = min(work.sx.shape[0], work.pair_id.shape[0]) - 8
    lists = image_space(work)
    atoms = lists + list_space(work) + 8
    pairs = 0
    for i in range(species.shape[0]):
        x, y, z = item(home, 3 * i), item(home, 3 * i + 1), item(home, 3 * i + 2)
        for other in range(n_el):
            reach = item(radial, (species[i] * n_el + other) * COLUMNS)
            begin, end = item(kept, SECTIONS + i * n_el + other), item(kept, SECTIONS + i * n_el + other + 1)
            found, _ = find_kept(
                x, y, z, begin, end, reach, images, ids, lists, atoms, sx, sy, sz, pair_id, np.int64(0), room
            )
            pairs += found
    return pairs


@probe
def mean_square(rows, mean, dq_db):
    """Q = Σ mean² over functions, a loss as simple as can be, and its derivative."""
    n, size = rows.shape
    for k in range(size):
        mean[k] = 0.0
    for i in range(n):
        own = rows[i]
        for k in range(size):
            mean[k] += own[k]
    value = 0.0
    for k in range(size):
        mean[k] /= n
        value += mean[k] * mean[k]
    for i in range(n):
        own = dq_db[i]
        for k in range(size):
            own[k] = mean[k] * (2.0 / n)
    return value


def best(function: Callable[[], Any], budget: float = 0.6, clock: Callable[[], float] = time.process_time) -> float:
    """Shortest time of one call, s."""
    function()
    begin = clock()
    function()
    once = max(clock() - begin, 1e-7)
    inner = max(1, int(2e-3 / once))
    shortest = np.inf
    spent = 0.0
    while spent < budget:
        begin = clock()
        for _ in range(inner):
            function()
        elapsed = clock() - begin
        spent += max(elapsed, 1e-6)
        shortest = min(shortest, elapsed / inner)
    return float(shortest)


class Bench:
    """One structure and basis, ready to be evaluated."""

    def __init__(self, structure: Structure, basis: Basis, tables: Tables | None = None) -> None:
        self.n = structure.n_atoms
        self.basis = basis
        self.tables: Tables = tables or engine.kernel_tables(basis)
        self.arrays = [np.array(a) for a in (structure.positions, structure.cell, structure.species, structure.pbc)]
        self.rows = np.zeros((self.n, self.tables.max_size))
        self.dq_db, self.mean = np.zeros_like(self.rows), np.zeros(self.tables.max_size)
        self.gradient, self.strain = np.zeros((self.n, 3)), np.zeros((3, 3))
        self.work: Work = engine.make_work(self.n, self.tables)
        while engine.describe_into(*self.arrays, self.tables, self.work, self.rows) == GROW:
            self.work = engine.larger_work(self.work, self.tables)
        self.pairs = int(search_all(self.arrays[2], self.tables, self.work))
        engine.describe_into(*self.arrays, self.tables, self.work, self.rows)

    def images(self) -> None:
        engine.sort_images(*self.arrays, self.tables.reach, self.tables.n_el, self.work)

    def search(self) -> None:
        search_all(self.arrays[2], self.tables, self.work)

    def kept_list(self) -> None:
        kept_all(*self.arrays, self.tables, self.work)

    def values(self) -> None:
        engine.describe_into(*self.arrays, self.tables, self.work, self.rows)

    def loss(self) -> None:
        mean_square(self.rows, self.mean, self.dq_db)

    def pull(self) -> None:
        engine.pull_into(*self.arrays, self.tables, self.dq_db, self.work, self.gradient, self.strain)

    def values_and_pull(self) -> None:
        self.values()
        self.pull()

    def loss_and_gradient(self) -> None:
        self.values()
        self.loss()
        self.pull()

    def without_list(self) -> float:
        """Seconds for values only, without the neighbour list."""
        atoms = np.arange(self.n, dtype=np.int32)

        def once() -> None:
            engine.describe_range(self.arrays[2], self.tables, self.work, atoms, 0, self.n, self.rows)

        return best(once) - best(self.search)


def multiply_rate(budget: float = 0.6) -> float:
    """GF/s of fused multiply-adds on eight doubles."""
    return 100_000 * 160 / best(lambda: multiply_add(100_000), budget) / 1e9


def bcc(cells: int, edge: float = 3.3, amplitude: float = 0.1, seed: int = 0) -> Structure:
    rng = np.random.default_rng(seed)
    corner = np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * edge
    positions = np.concatenate([corner, corner + edge / 2])
    positions += rng.normal(scale=amplitude, size=positions.shape)
    return Structure(positions, np.eye(3) * cells * edge, np.zeros(len(positions), np.int32), np.ones(3, bool))


def alloy(cells: int, counts: tuple[int, ...], seed: int = 0) -> Structure:
    structure = bcc(cells, edge=2.88)
    species = np.repeat(np.arange(len(counts)), counts)
    return structure.replace(species=np.random.default_rng(seed).permutation(species).astype(np.int32))


def row(name: str, seconds: float, atoms: int, cpu: float | None = None, **more: Any) -> dict[str, Any]:
    """One line of results, with the rate of multiply-adds at this moment.

    Parameters
    ----------
    seconds : of one evaluation, CPU time
    cpu : its CPU time, where `seconds` is wall time
    """
    spent = seconds if cpu is None else cpu
    return {"what": name, "us_per_atom": seconds / atoms * 1e6, "cpu_s": spent, "gf": multiply_rate(0.03), **more}


def speed(liquid: Structure | None) -> Rows:
    """The figures the engine is judged by, with the stages of the first."""
    out: Rows = []
    for cutoff in (7.0, 7.5):
        ta = Bench(bcc(3), build_basis(["Ta"], cutoff=cutoff))
        name = f"Ta54, 46 functions, rc {cutoff} Å"
        out.append(
            row(f"{name}: loss + gradient, list rebuilt", best(ta.loss_and_gradient), 54, neighbours=ta.pairs / 54)
        )
        stages = {stage: best(getattr(ta, stage)) for stage in ("images", "search", "values", "loss", "pull")}
        out += [row(f"   {stage}", seconds, 54) for stage, seconds in stages.items()]
        engine.keep_lists(ta.work, ta.n)
        ta.work = engine.larger_work(ta.work, ta.tables) if kept_all(*ta.arrays, ta.tables, ta.work) < 0 else ta.work
        engine.keep_lists(ta.work, ta.n)
        assert kept_all(*ta.arrays, ta.tables, ta.work) == ta.pairs
        out.append(row("   kept list", best(ta.kept_list), 54))
        out.append(row(f"{name}: loss + gradient, list kept", best(ta.loss_and_gradient), 54))
    wide = Bench(bcc(3), build_basis(["Ta"], cutoff=7.45))
    out.append(row("Ta54: values only, without the list", wide.without_list(), 54, neighbours=wide.pairs / 54))
    hea = Bench(alloy(3, (19, 19, 8, 8)), build_basis(["Fe", "Cr", "Si", "V"], (8, 2, 2), (0, 2, 2), cutoff=5.5))
    out.append(
        row(
            "Fe-Cr-Si-V 54, rank <= 3, rc 5.5 Å: loss + gradient",
            best(hea.loss_and_gradient),
            54,
            neighbours=hea.pairs / 54,
        )
    )
    melt = liquid or bcc(10, amplitude=0.4)
    big = Bench(melt, build_basis(["Ta"], cutoff=7.0))
    out.append(row(f"Ta {melt.n_atoms} {'liquid' if liquid else 'disordered'}: values", best(big.values), melt.n_atoms))
    out.append(
        row(
            f"Ta {melt.n_atoms}: loss + gradient",
            best(big.loss_and_gradient),
            melt.n_atoms,
            neighbours=big.pairs / melt.n_atoms,
        )
    )
    out += effective_rows()
    out += vesin_rows([("Ta54", bcc(3)), (f"Ta{melt.n_atoms}", melt)])
    return out


@probe
def evaluate_again(times, calls, positions, cell, species, pbc, tables, engine, plan, work, rows, slopes, terms, force):
    """V_eff with its gradient, as a relaxer calls it, many times over."""
    strain = np.zeros((3, 3))
    last = 0.0
    for _ in range(times):
        _, last, _ = call_value(
            calls.evaluate,
            (
                positions, cell, species, pbc, calls, tables, engine, plan, work, plan.norm, plan.delta, True, rows,
                slopes, terms, force, strain,
            ),
        )  # fmt: skip
    return last


def effective_rows() -> Rows:
    """The whole of V_eff with its gradient: alone, along a relaxation, and through its Python face."""
    rank3 = {"n_max": (8, 2, 2), "l_max": (0, 2, 2), "cutoff": 5.5}
    systems: list[tuple[str, Structure, Structure, Basis]] = [
        ("Ta54", bcc(3), bcc(4, amplitude=0.3, seed=1), build_basis(["Ta"], cutoff=7.0)),
        (
            "Co-Cr-Ni 54",
            alloy(3, (18, 18, 18)),
            alloy(4, (44, 42, 42), seed=1),
            build_basis(["Co", "Cr", "Ni"], cutoff=5.5),
        ),
        (
            "Fe-Cr-Si-V 54",
            alloy(3, (19, 19, 8, 8)),
            alloy(4, (40, 40, 24, 24), seed=1),
            build_basis(["Fe", "Cr", "Si", "V"], **rank3),
        ),
    ]
    out = []
    for name, structure, target, basis in systems:
        objective = make_objective(basis, Target.from_structures([target], basis))
        objective.gradient(structure)
        engine_work = objective.scratch.engine
        assert engine_work is not None
        rows, slopes = objective.row_buffers(structure.n_atoms)
        arguments = (
            objective.calls(engine_work), np.array(structure.positions), np.array(structure.cell),
            np.array(structure.species), np.array(structure.pbc), objective.tables, engine_work, objective.plan,
            objective.loss_work(), rows, slopes, np.zeros(objective.n_columns), np.zeros((structure.n_atoms, 3)),
        )  # fmt: skip
        alone = best(lambda arguments=arguments: evaluate_again(50, *arguments)) / 50
        out.append(row(f"{name}: V_eff + gradient, list made anew", alone, 54, functions=max(basis.sizes)))
        options = RelaxOptions(progress=0.0, gradient=0.0, max_evaluations=500)

        def descend(start: Structure = structure, loss: Objective = objective, o: RelaxOptions = options) -> int:
            return relax(start, loss, o).evaluations

        count = descend()
        out.append(row(f"{name}: V_eff + gradient along a relaxation", best(descend, 1.5) / count, 54))
    objective = make_objective(systems[0][3], Target.from_structures([systems[0][2]], systems[0][3]))
    seconds = best(lambda: objective.gradient(systems[0][1]))
    return [*out, row("Ta54: Objective.gradient, one Python call each", seconds, 54)]


def peer_rows(ace_jax: str | None, lammps: str | None, plugin: str | None) -> Rows:
    """Energy and forces of Ta54 by other programs."""
    costs = peer_costs(bcc(3), build_basis(["Ta"], cutoff=7.0), ace_jax, lammps, plugin)
    return [row(f"Ta54: {name}", cost * 54e-6, 54) for name, cost in costs]


# More than 500 functions of rank 4 (841, 939, 549), by their highest l.
WIDE = {
    2: ((8, 6, 4, 4), (0, 2, 2, 2)),
    3: ((8, 6, 4, 3), (0, 3, 3, 3)),
    4: ((8, 6, 4, 2), (0, 4, 4, 4)),
}


def wide(ace_jax: str | None, lammps: str | None, plugin: str | None) -> Rows:
    """Bases whose products are most of the work: with strips and without, in turns, and other programs."""
    out: Rows = []
    cases: list[tuple[str, Structure, Basis, bool]] = [
        (f"Ta54, l to {l}", bcc(3, edge=2.88), build_basis(["Ta"], n_max, l_max, cutoff=5.5), True)
        for l, (n_max, l_max) in WIDE.items()
    ]
    three, four = ["Co", "Cr", "Ni"], ["Fe", "Cr", "Si", "V"]
    cases.append(("Co-Cr-Ni 54", alloy(3, (18, 18, 18)), build_basis(three, cutoff=5.5), False))
    rank3 = build_basis(four, (8, 2, 2), (0, 2, 2), cutoff=5.5)
    cases.append(("Fe-Cr-Si-V 54", alloy(3, (19, 19, 8, 8)), rank3, False))
    for name, structure, basis, peers in cases:
        program = basis.programs[0]
        ways = {
            "in strips" if fewest == FEWEST else "in single steps": Bench(structure, basis, make_tables(basis, fewest))
            for fewest in (FEWEST, 10**9)
        }
        shortest = dict.fromkeys(ways, np.inf)
        for _ in range(4):
            for way, bench in ways.items():
                shortest[way] = min(shortest[way], best(bench.values_and_pull, 0.25))
        for way, seconds in shortest.items():
            sizes = {"functions": max(basis.sizes), "steps": len(program.fwd_c) + len(program.bwd_c)}
            out.append(row(f"{name}: values + pull, products {way}", seconds, 54, **sizes))
        for peer, cost in peer_costs(structure, basis, ace_jax, lammps, plugin) if peers else []:
            out.append(row(f"{name}: {peer}", cost * 54e-6, 54))
    return out


def vesin_rows(systems: list[tuple[str, Structure]]) -> Rows:
    try:
        from vesin import NeighborList
    except ImportError:
        return []
    out = []
    for name, structure in systems:
        calculator = NeighborList(cutoff=7.0, full_list=True)
        seconds = best(
            lambda c=calculator, s=structure: c.compute(s.positions, s.cell, True, "ijD"), clock=time.process_time
        )
        out.append(row(f"{name}: vesin's list, rc 7.0 Å", seconds, structure.n_atoms))
    return out


def growth() -> Rows:
    """Loss + gradient against atoms, neighbours, elements and rank."""
    out: Rows = []
    basis = build_basis(["Ta"], cutoff=7.0)
    for cells in (2, 3, 5, 10, 17):
        one = Bench(bcc(cells), basis)
        out.append(row(f"atoms {one.n}", best(one.loss_and_gradient), one.n))
    for cutoff in (5.0, 6.0, 7.0, 8.0, 9.0):
        one = Bench(bcc(4), build_basis(["Ta"], cutoff=cutoff))
        out.append(row(f"neighbours {one.pairs / one.n:.0f}", best(one.loss_and_gradient), one.n))
    for count, elements in enumerate((["Fe"], ["Fe", "Cr"], ["Fe", "Cr", "Si"], ["Fe", "Cr", "Si", "V"]), 1):
        shares = (54,), (27, 27), (18, 18, 18), (19, 19, 8, 8)
        one = Bench(alloy(3, shares[count - 1]), build_basis(elements, (8, 2, 2), (0, 2, 2), cutoff=5.5))
        out.append(row(f"elements {count} ({one.tables.max_size} functions)", best(one.loss_and_gradient), 54))
    for rank in (1, 2, 3, 4):
        basis = build_basis(["Ta"], (8, 2, 2, 1)[:rank], (0, 2, 2, 1)[:rank], cutoff=7.0)
        one = Bench(bcc(3), basis)
        out.append(row(f"rank {rank} ({one.tables.max_size} functions)", best(one.loss_and_gradient), 54))
    return out


def large(threads: int) -> Rows:
    """Values of many atoms, streamed, and whole targets; wall time."""
    basis = build_basis(["Ta"], cutoff=7.0)
    few, many = bcc(10), bcc(37)

    def stream(structure: Structure, count: int) -> None:
        for _ in stream_descriptors(structure, basis, threads=count):
            pass

    def target(structure: Structure, count: int) -> None:
        Target.from_structures([structure], basis, threads=count)

    seconds: dict[tuple[str, int, int], float] = {}
    spent: dict[tuple[str, int, int], float] = {}
    for name, task in (("values", stream), ("target", target)):
        for structure, count in ((few, 1), (many, 1), (many, threads)):
            key = (name, structure.n_atoms, count)
            seconds[key] = best(lambda s=structure, c=count, t=task: t(s, c), budget=2.0, clock=time.perf_counter)
            begin = time.process_time()
            task(structure, count)
            spent[key] = time.process_time() - begin
    out: Rows = [
        row(f"{name} of {n} atoms, {count} thread{'s' if count > 1 else ''}", took, n, spent[name, n, count])
        for (name, n, count), took in seconds.items()
    ]
    per_atom = seconds["values", many.n_atoms, 1] / many.n_atoms
    growth = per_atom / (seconds["values", few.n_atoms, 1] / few.n_atoms)
    out.append({"what": "time per atom at 10^5 over that at 2,000", "ratio": growth})
    for name in ("values", "target"):
        ratio = seconds[name, many.n_atoms, 1] / seconds[name, many.n_atoms, threads]
        out.append({"what": f"speed-up of {name} on {threads} threads", "ratio": ratio})
    return out


_FIRST_VALUE = """
import time, sys
begin = time.perf_counter()
import numpy as np
from grs_evo.descriptors.basis import build_basis
from grs_evo.descriptors.describe import describe, pullback
from grs_evo.structures.structure import Structure
basis = build_basis(["Ta"], cutoff=5.0)
cell = np.eye(3) * 6.6
structure = Structure(np.array([[0, 0, 0], [1.6, 1.7, 1.6], [3.3, 0, 0]]), cell, [0, 0, 0], [True] * 3)
rows = describe(structure, basis)
first = time.perf_counter() - begin
pullback(structure, basis, rows)
print(first, time.perf_counter() - begin, time.process_time())
"""


def start() -> Rows:
    """From nothing to the first value and gradient, nothing compiled yet, then from the cache; wall and CPU time."""
    out: Rows = []
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        for name in ("cold", "warm", "warm"):
            done = subprocess.run(
                [sys.executable, "-c", _FIRST_VALUE], env=environment, capture_output=True, text=True, check=True
            )
            value, gradient, spent = map(float, done.stdout.split())
            times = {"first_value_s": value, "first_gradient_s": gradient, "us": spent * 1e6, "cpu_s": spent}
            out.append({"what": f"{name} start", **times, "gf": multiply_rate(0.03)})
    return out


def show(results: dict[str, Any]) -> None:
    console = Console(width=110)
    console.print(f"{results['machine']}; {results['yardstick_gf']:.0f} GF/s multiply-add, one core")
    for name in ("speed", "wide", "growth", "large", "start"):
        if name not in results:
            continue
        table = Table(title=name, title_justify="left")
        table.add_column("")
        table.add_column("µs/atom", justify="right")
        table.add_column("thousand flops' time/atom", justify="right")
        table.add_column("other")
        for line in results[name]:
            time_ = line.get("us_per_atom")
            other = {k: v for k, v in line.items() if k not in ("what", "us_per_atom", "gf")}
            table.add_row(
                line["what"],
                "" if time_ is None else f"{time_:.3f}",
                "" if time_ is None else f"{time_ * line['gf']:.0f}",
                ", ".join(f"{k} {v:.3g}" for k, v in other.items()),
            )
        console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the results here too")
    parser.add_argument("--only", nargs="+", choices=("speed", "wide", "growth", "large", "start"))
    parser.add_argument("--target", type=Path, help="a structure of liquid Ta to take instead of a made one")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--log", type=Path, help="append the results here, and compare with the last of this machine")
    parser.add_argument("--ace-jax", help="a Python that has ace-jax")
    parser.add_argument("--lammps", default=sys.executable, help="a Python whose LAMMPS may have pair_style pace")
    parser.add_argument("--pace-plugin", help="the plugin that brings it pair_style pace")
    options = parser.parse_args()
    liquid = None
    if options.target is not None:
        import ase.io

        liquid = from_atoms(ase.io.read(options.target), ["Ta"], str(options.target))
    results: dict[str, Any] = {
        **stamp(),
        "yardstick_gf": multiply_rate(),
    }
    parts: dict[str, Callable[[], Rows]] = {
        "speed": lambda: speed(liquid) + peer_rows(options.ace_jax, options.lammps, options.pace_plugin),
        "wide": lambda: wide(options.ace_jax, options.lammps, options.pace_plugin),
        "growth": growth,
        "large": lambda: large(options.threads),
        "start": start,
    }
    for name in options.only or parts:
        results[name] = parts[name]()
    show(results)
    if options.log is not None:
        for line in append(results, options.log):
            print(f"slower: {line}")
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
