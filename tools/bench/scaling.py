"""How a run scales: what each part of a generation costs against ranks and islands, and what follows for large ones.

    python tools/bench/scaling.py                        # everything, about twenty minutes on two cores
    python tools/bench/scaling.py --quick                # the same in small, about two minutes once compiled
    python tools/bench/scaling.py weak islands --json scaling.json

Parts: `ranks` (one answer on 1 to 16 ranks), `islands` (1 to 256 of them), `weak` (two ranks with twice the islands),
`share` (what is not evaluation), `memory` (256 islands on two ranks), `cold` (16 ranks, empty caches), `costs` and
`model` (the pieces of rank 0's work, measured one by one, and what they add up to on 1,024 ranks and 10^5 islands).

Runs are started as a user starts them, `mpiexec -n N python -m grs_evo run …`, and read from the run folder. Seconds
are those that each rank reports by part in status.json (`grs_evo.spent`); start-up and compilation are not in them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
PARTS = ("ranks", "islands", "weak", "share", "memory", "cold", "costs", "model")
MUST = {"weak": 0.95, "overhead": 0.05, "memory": 2000.0}

LIQUID = """
seed = 4
[target]
files = ["{root}/runs/liquid-ta/target.extxyz"]
[basis]
n_max = [8, 2, 2, 1]
l_max = [0, 2, 2, 1]
cutoff = 7.0
[loss]
scale = "target"
[candidates]
kind = "random"
sizes = [54, 54]
density = [1.0, 1.0]
[relax]
max_evaluations = {budget}
stage_evaluations = {stage}
progress = 0.0
[search]
islands = {islands}
population = {population}
[migration]
topology = "ring"
interval = 2
emigrants = 1
[stop]
generations = {generations}
[output]
log_seconds = 3600.0
"""

LATTICE = """
seed = 12
[target]
files = ["{root}/runs/cu3au-l12/target.extxyz"]
[basis]
n_max = [8, 2, 2, 1]
l_max = [0, 2, 2, 1]
cutoff = 6.0
[loss]
scale = "whitened"
variance = 0.0
[candidates]
kind = "lattice"
lattice = "fcc"
repeat = [2, 2, 2]
composition = "free"
[search]
islands = {islands}
population = {population}
[migration]
topology = "ring"
interval = 2
emigrants = 1
[stop]
generations = {generations}
[output]
log_seconds = 3600.0
"""


@dataclass(frozen=True)
class Case:
    """A run to be started; every relaxation takes its whole budget, so islands differ little in their work."""

    name: str
    text: str
    islands: int
    generations: int
    population: int
    budget: int = 100  # evaluations per relaxation

    @property
    def made(self) -> int:
        """Individuals of the whole run; two of a generation live on."""
        return self.islands * (self.population + self.generations * (self.population - 2))

    def write(self, folder: Path) -> Path:
        path = folder / f"{self.name}.toml"
        path.write_text(
            self.text.format(
                root=ROOT,
                islands=self.islands,
                generations=self.generations,
                population=self.population,
                budget=self.budget,
                stage=max(1, self.budget // 5),
            )
        )
        return path


@dataclass(frozen=True)
class Measured:
    """One run, from its folder."""

    ranks: int
    islands: int
    generations: int
    evaluations: int
    archive_hash: str
    wall: float  # s from starting mpiexec to its end
    checkpoints: dict[str, float]
    spent: list[dict[str, float]] = field(repr=False)  # per rank
    checkpoint_bytes: int = 0

    def total(self, part: str) -> float:
        return sum(row[part] for row in self.spent)

    @property
    def seconds(self) -> float:
        """Rank 0's time from the first generation to the end of the last save."""
        return sum(self.spent[0][part] for part in ("advance", "wait", "post", "pack", "save", "rest"))

    @property
    def evolving(self) -> float:
        """The same without saving, which is measured by itself."""
        return self.seconds - self.spent[0]["save"]

    @property
    def per_generation(self) -> float:
        return self.evolving / (self.generations + 1)

    @property
    def idle(self) -> float:
        """Share of all ranks' time that they napped while others had not come as far."""
        return self.total("wait") / (self.ranks * self.seconds)

    @property
    def busy(self) -> float:
        return self.total("advance") / (self.ranks * self.evolving)

    def row(self) -> dict[str, Any]:
        rank0 = self.spent[0]
        return {
            "ranks": self.ranks,
            "islands": self.islands,
            "evaluations": self.evaluations,
            "s/generation": self.per_generation,
            "advancing": self.busy,
            "idle": self.idle,
            "post s/gen": rank0["post"] / (self.generations + 1),
            "pack s/gen": rank0["pack"] / (self.generations + 1),
            "save s": self.checkpoints["seconds"] / max(1, self.checkpoints["saved"]),
            "checkpoint MB": self.checkpoint_bytes / 1e6,
            "peak MB": max(row["peak_memory"] for row in self.spent),
            "hash": self.archive_hash,
        }


class Failed(Exception):
    """A run did not end as it should."""


def command(ranks: int, run_file: Path, out: Path) -> list[str]:
    launcher = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if launcher is None:
        raise Failed("no mpiexec: install mpich or openmpi into this environment")
    own = [sys.executable, "-m", "grs_evo", "run", str(run_file), "--out", str(out)]
    return [launcher, "-n", str(ranks), *own]


def environment(**more: str) -> dict[str, str]:
    found = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", **more}
    found.setdefault("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe")
    found["PYTHONPATH"] = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH", "")) if part)
    return found


def launch(case: Case, ranks: int, **more: str) -> Measured:
    """Start a run and wait for it."""
    return launch_all([case], ranks, **more)[0]


def launch_all(cases: Sequence[Case], ranks: int, **more: str) -> list[Measured]:
    """Start runs at the same moment and wait for all."""
    with tempfile.TemporaryDirectory(prefix="scaling-") as temporary:
        started = []
        for k, case in enumerate(cases):
            folder = Path(temporary) / str(k)
            folder.mkdir()
            out, errors = folder / "out", folder / "stderr"
            with errors.open("w") as stderr:
                process = subprocess.Popen(
                    command(ranks, case.write(folder), out),
                    env=environment(**more),
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                )
            started.append((case, process, out, errors, time.monotonic()))
        return [_finished(*one, ranks) for one in started]


def _finished(
    case: Case, process: subprocess.Popen[Any], out: Path, errors: Path, begun: float, ranks: int
) -> Measured:
    code = process.wait()
    said = errors.read_text()
    if code != 0 or "Traceback" in said or "Warning" in said:
        raise Failed(f"{case.name} on {ranks} ranks ended with exit code {code}:\n{said[-2000:]}")
    status = json.loads((out / "status.json").read_text())
    newest = max((out / "checkpoints").iterdir())
    return Measured(
        ranks=ranks,
        islands=case.islands,
        generations=status["generation"],
        evaluations=status["evaluations"],
        archive_hash=status["archive_hash"],
        wall=time.monotonic() - begun,
        checkpoints=status["checkpoints"],
        spent=status["spent"],
        checkpoint_bytes=newest.stat().st_size,
    )


# ---------------------------------------------------------------------------------------------------------------------
# runs


def part_ranks(quick: bool) -> dict[str, Any]:
    """One answer, whatever the number of ranks; above the number of cores this is about correctness only."""
    rows, same = [], True
    for text, name, population in ((LIQUID, "liquid", 4), (LATTICE, "lattice", 20)):
        case = Case(name, text, 16, 4, population, 30)
        measured = [launch(case, n) for n in ((1, 2, 16) if quick else (1, 2, 3, 5, 8, 16))]
        rows += [{"case": name, **one.row()} for one in measured]
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
    from grs_evo import conductor, genetic, island
    from grs_evo.evolution import Evolution
    from grs_evo.lattice import LatticeObjective
    from grs_evo.loss import Objective
    from grs_evo.operators import TABLE

    clock = Stopwatch()
    # The package's own names hide the modules of the same name.
    relax, passes, room = (import_module(f"grs_evo.{name}") for name in ("relax", "kernels.passes", "run"))
    for name, function in TABLE.items():
        TABLE[name] = clock.watch("operators", function)
    for owner, names, label in (
        (relax, ("relax",), "evaluation"),
        (passes, ("improve",), "evaluation"),
        (Objective, ("evaluate",), "evaluation"),
        (LatticeObjective, ("evaluate",), "evaluation"),
        (genetic, ("candidate",), "candidates"),
        (genetic, ("pick", "survivors", "preference", "draw_operator", "probabilities"), "selection"),
        (genetic, ("content_key", "keys_of", "_contains"), "repeats"),
        (island, ("extend",), "archive"),
        (island, ("diversity", "_row"), "statistics"),
        (island, ("_admit", "_known", "_emigrants", "rng_from_array", "rng_to_array"), "migration"),
        (Evolution, ("_send_emigrants", "_serve"), "migration"),
        (conductor.Conductor, ("_speak",), "verdicts and logging"),
        (conductor.Conductor, ("_save",), "saving"),
    ):
        for name in names:
            if hasattr(owner, name):
                setattr(owner, name, clock.watch(label, getattr(owner, name)))
    evolve = Evolution.run
    wall = [0.0]

    def whole(self: Any, states: Any = None) -> Any:
        clock.seconds.clear()
        clock._since = time.thread_time()
        before = time.perf_counter()
        ending = evolve(self, states)
        clock._switch("after")
        wall[0] = time.perf_counter() - before
        return ending

    Evolution.run = whole  # type: ignore[method-assign]
    room.run(run_file, out, quiet=True)
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
            own = [sys.executable, __file__, "--watch", str(path), f"{temporary}/out"]
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


# ---------------------------------------------------------------------------------------------------------------------
# the pieces of rank 0's work


class _Owner:
    def check(self) -> None:
        """This process owns the folder."""


def best_of(task: Callable[[], Any], repeats: int = 5) -> float:
    """The shortest of some tries, s."""
    times = []
    for _ in range(repeats):
        before = time.perf_counter()
        task()
        times.append(time.perf_counter() - before)
    return min(times)


def part_costs(quick: bool) -> dict[str, Any]:
    """Seconds and bytes of each piece, by the program's own functions in this process, no messages."""
    from grs_evo import __version__, checkpoint
    from grs_evo.archive import merge
    from grs_evo.conductor import Conductor, Terms
    from grs_evo.config import parse
    from grs_evo.control import Verdict
    from grs_evo.desk import Desk
    from grs_evo.folder import Folder
    from grs_evo.island import _HISTORY_ROWS, advance, start
    from grs_evo.migration import Routes, pack_parcel, shares, sources, unpack_parcel
    from grs_evo.population import unpack
    from grs_evo.problem import IslandState, stat_names
    from grs_evo.progress import Reporter
    from grs_evo.setup import lay_ground, make_problem
    from grs_evo.spent import peak_memory
    from grs_evo.wire import decode, encode

    costs: dict[str, Any] = {"version": __version__}
    with tempfile.TemporaryDirectory(prefix="costs-") as temporary:
        place = Path(temporary)
        case = Case("liquid", LIQUID, 1, 5, 50, 4)
        given = parse(case.write(place).read_text(), "costs")
        ground = lay_ground(given, place)
        problem = make_problem(given, ground, place)
        state = start(problem, 0, 4)
        for _ in range(5):
            state = advance(state, problem)
        arrays = state.to_arrays()
        block = encode(arrays)
        costs["state"] = {
            "bytes": block.size,
            "bytes without history and keys": block.size - state.history.nbytes - state.seen.nbytes,
            "history bytes/generation": state.history[0].nbytes,
            "most history rows": _HISTORY_ROWS,
            "most keys": given.search.genetic.memory,
            "to_arrays s": best_of(state.to_arrays),
            "encode s": best_of(lambda: encode(arrays)),
            "decode s": best_of(lambda: decode(block)),
            "from_arrays s": best_of(lambda: IslandState.from_arrays(arrays)),
        }
        parcel = [(0, state.population[:2])]
        n_terms = len(problem.term_names)
        message = encode(pack_parcel(0, 2, parcel, n_terms))
        costs["emigrants"] = {
            "bytes": message.size,
            "pack s": best_of(lambda: encode(pack_parcel(0, 2, parcel, n_terms)), 20),
            "unpack s": best_of(lambda: unpack_parcel(decode(message)), 20),
        }

        names = stat_names(problem.term_names)
        folder = Folder(place)
        folder.checkpoints.mkdir()

        def desk_of(n: int) -> Desk:
            many = replace(
                problem, islands=problem.islands * n, sources=problem.sources * n, lattices=problem.lattices * n
            )
            reporter = Reporter(quiet=True, every=1e9)
            return Desk(folder, _Owner(), given, ground, many, {}, reporter, 1)  # type: ignore[arg-type]

        verdicts = []
        for n_islands, n_ranks in ((100, 10), (1000, 10), (1000, 100), (10_000, 100), (10_000, 1000)):
            if quick and n_islands > 1000:
                continue
            desk = desk_of(n_islands)
            desk.run = given.model_copy(
                update={"output": given.output.model_copy(update={"status_seconds": 1e9})}
            )  # status is measured by itself
            desk._told = time.monotonic()
            terms = Terms(n_islands, len(names), 10**6, 2, given.stop, given.checkpoint)
            conductor = Conductor(terms, desk)
            owned = shares(n_islands, n_ranks)
            rows = np.tile(state.history[-1], (n_islands, 1))
            when = np.zeros(2, np.int64)
            spent = np.zeros(8)
            posts = [encode({"when": when, "rows": rows[mine.start : mine.stop], "spent": spent}) for mine in owned]
            generation = [0]

            def judge(
                c: Conductor = conductor, posts: Any = posts, owned: Any = owned, generation: list[int] = generation
            ) -> None:
                for mine, post in zip(owned, posts, strict=True):
                    c.take_stats(generation[0], mine, decode(post)["rows"])
                for verdict, columns in c.verdicts():
                    encode({"verdict": verdict.to_array(), **columns})
                generation[0] += 1

            seconds = best_of(judge)
            status = best_of(desk.write_status, 3)
            verdicts.append(
                {
                    "islands": n_islands,
                    "ranks": n_ranks,
                    "stats and verdict s": seconds,
                    "status.json s": status,
                    "status.json bytes": folder.status.stat().st_size,
                }
            )
        costs["verdicts"] = verdicts

        # A state early in a run, and one that has come to its full length.
        full = {
            **arrays,
            "history": np.tile(arrays["history"], (1 + _HISTORY_ROWS // 6, 1))[:_HISTORY_ROWS],
            "seen": np.arange(given.search.genetic.memory, dtype=np.uint64),
        }
        saves = []
        for n_islands, one in ((16, arrays), (128, arrays), (8, full), (64, full)):
            desk = desk_of(n_islands)
            states = [dict(one) for _ in range(n_islands)]
            archives = [unpack({k[8:]: v for k, v in each.items() if k.startswith("archive.")}) for each in states]
            before = peak_memory()
            seconds = best_of(lambda d=desk, s=states: d.save(5, s, Verdict(5), False), 3)
            path = checkpoint.files(folder.checkpoints)[0]
            saves.append(
                {
                    "islands": n_islands,
                    "state": "full" if one is full else "early",
                    "save s": seconds,
                    "of it merging archives s": best_of(
                        lambda a=archives: merge(a, problem.archive, problem.term_names), 3
                    ),
                    "checkpoint bytes": path.stat().st_size,
                    "archive bytes": folder.archive.stat().st_size,
                    "more memory, bytes": 1e6 * (peak_memory() - before),
                }
            )
        costs["saves"] = saves

        maps = []
        for n_islands in (1000, 4000) if quick else (1000, 4000, 16_000):
            row: dict[str, Any] = {"islands": n_islands}
            for topology in ("ring", "torus", "random", "full"):
                if topology == "full" and n_islands > 4000:
                    continue
                options = given.migration.model_copy(update={"topology": topology})
                row[f"{topology} s"] = best_of(lambda o=options, n=n_islands: sources(n, o, 1), 1)
                heard = sources(n_islands, options, 1)
                routes = Routes(heard, shares(n_islands, 100), 0, 2, 2)
                row[f"{topology} parcels s"] = best_of(lambda r=routes: (r.writers(), r.parcels()), 1)
            maps.append(row)
        costs["maps"] = maps

        histories = []
        for length in (100, 1000, 10_000):
            history = np.zeros((length, len(names)))
            row_ = history[:1]
            histories.append(
                {
                    "generations": length,
                    "bytes": history.nbytes,
                    "append s": best_of(lambda h=history, r=row_: np.concatenate([h, r])),
                }
            )
        costs["history"] = histories
        seen = np.random.default_rng(0).integers(0, 2**63, given.search.genetic.memory).astype(np.uint64)
        costs["seen"] = {
            "keys": len(seen),
            "append s": best_of(lambda: np.concatenate([seen, seen[:50]])[-len(seen) :]),
            "sort s": best_of(lambda: np.sort(seen)),
        }
    costs["post"] = _messages(quick)
    return costs


def _messages(quick: bool) -> list[dict[str, float]]:
    """There and back between two ranks, by the program's own post."""
    own = [sys.executable, __file__, "--ping", "5" if quick else "50"]
    launcher = command(2, Path(), Path())[:3]
    done = subprocess.run([*launcher, *own], env=environment(), stdout=subprocess.PIPE, text=True, check=True)
    found: list[dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def ping(repeats: int) -> None:
    from grs_evo.mpi import connect

    world = connect()
    rows = []
    for size in (1_000, 10_000, 100_000, 1_000_000, 10_000_000):
        block = np.zeros(size, np.uint8)
        times = []
        for _ in range(repeats):
            before = time.perf_counter()
            if world.rank == 0:
                world.post(1, 1, block)
            while not world.arrived():
                pass
            if world.rank == 1:
                world.post(0, 1, block)
            while world._pending:
                world.arrived()
            times.append(time.perf_counter() - before)
        rows.append({"bytes": size, "one way s": min(times) / 2})
    world.settle(lambda *_: None)
    if world.rank == 0:
        print(json.dumps(rows))


# ---------------------------------------------------------------------------------------------------------------------
# the model


@dataclass(frozen=True)
class Model:
    """A generation and a save as sums of measured pieces; see scaling.md."""

    child: float  # s to make, relax and evaluate one individual
    per_message: float  # s for rank 0 to take one message of statistics and answer it
    per_row: float  # s of statistics and verdict per island
    save: float  # s of a save per island
    per_byte: float  # s of a save per byte
    state: float  # bytes of a state without history and keys of what was evaluated
    row: float  # bytes of history per generation
    most_rows: float
    most_keys: float
    copies: float  # bytes that rank 0 needs to save, per byte of the file
    latency: float  # s per message
    bandwidth: float  # bytes/s

    def state_bytes(self, population: int, generations: int) -> float:
        rows, keys = min(generations, self.most_rows), min(generations * population, self.most_keys)
        return self.state * population / 50 + self.row * rows + 8.0 * keys

    def predict(self, ranks: int, islands: int, population: int = 50, generations: int = 1000) -> dict[str, float]:
        """What a run would take.

        Rank 0 does its own share of islands besides the work for all, so everybody waits for it; nobody else's
        messages take part, since a rank hears from a few others however many there are.
        """
        advance = -(-islands // ranks) * population * self.child
        speak = ranks * self.per_message + islands * self.per_row
        state = self.state_bytes(population, generations)
        gather = islands * (state / self.bandwidth + self.latency)
        saving = islands * (self.save + state * self.per_byte) + gather
        return {
            "ranks": ranks,
            "islands": islands,
            "s/generation": advance + speak,
            "rank 0 for all, s": speak,
            "share": speak / (advance + speak),
            "one save s": saving,
            "checkpoint GB": islands * state / 1e9,
            "rank 0 GB to save": self.copies * islands * state / 1e9,
            "min between saves at 2 %": saving / 0.02 / 60.0,
        }


def part_model(costs: dict[str, Any], share: dict[str, Any]) -> dict[str, Any]:
    """The pieces fitted, and put together for machines that are not here."""
    table, saves, post, state = costs["verdicts"], costs["saves"], costs["post"], costs["state"]
    spoken = _fit([[row["ranks"], row["islands"]] for row in table], [row["stats and verdict s"] for row in table])
    saved = _fit([[1.0, row["islands"], row["checkpoint bytes"]] for row in saves], [row["save s"] for row in saves])
    full = saves[-1]
    model = Model(
        child=1e-3 * share["rows"][0]["ms/child"],
        per_message=spoken[0] + 2 * post[0]["one way s"],
        per_row=spoken[1],
        save=saved[1],
        per_byte=saved[2],
        state=state["bytes without history and keys"],
        row=state["history bytes/generation"],
        most_rows=state["most history rows"],
        most_keys=state["most keys"],
        copies=1.0 + full["more memory, bytes"] / full["checkpoint bytes"],
        latency=post[0]["one way s"],
        bandwidth=post[-1]["bytes"] / post[-1]["one way s"],
    )
    sizes = ((1, 2), (2, 256), (16, 1024), (128, 1024), (1024, 1024), (1024, 10_000), (1024, 100_000))
    found: dict[str, Any] = {"rows": [model.predict(*size) for size in sizes], "fitted": model.__dict__}
    fast = replace(model, child=1e-3 * share["rows"][-1]["ms/child"])
    found["lattice"] = [fast.predict(*size) for size in sizes]
    found["first to break"] = [_limits(name, one) for name, one in (("liquid", model), ("lattice", fast))]
    return found


def _fit(pieces: list[list[float]], seconds: list[float]) -> list[float]:
    """Non-negative coefficients of the pieces; relative errors count alike."""
    from scipy.optimize import nnls

    weights = 1.0 / np.array(seconds)
    found, _ = nnls(np.array(pieces, float) * weights[:, None], np.ones(len(seconds)))
    return [float(one) for one in found]


def _limits(name: str, model: Model) -> dict[str, Any]:
    """The largest powers of two at which each part still holds."""
    powers = [2**k for k in range(1, 24)]

    def largest(holds: Callable[[int], bool]) -> int:
        return max((n for n in powers if holds(n)), default=0)

    return {
        "case": name,
        "ranks, one island each, rank 0 <= 5 %": largest(lambda n: model.predict(n, n)["share"] <= 0.05),
        "ranks, 100 islands each, rank 0 <= 5 %": largest(lambda n: model.predict(n, 100 * n)["share"] <= 0.05),
        "islands, a save each 30 min <= 2 %": largest(
            lambda n: model.predict(n, n)["min between saves at 2 %"] <= 30.0
        ),
        "islands, rank 0 <= 64 GB to save": largest(lambda n: model.predict(n, n)["rank 0 GB to save"] <= 64.0),
    }


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
    parser.add_argument("--watch", nargs=2, type=Path, metavar=("RUN_FILE", "OUT"), help=argparse.SUPPRESS)
    parser.add_argument("--ping", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.watch:
        print(json.dumps(watch(*given.watch)))
        return 0
    if given.ping:
        ping(given.ping)
        return 0
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
    runs |= {"memory": part_memory, "cold": part_cold, "costs": part_costs}
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
