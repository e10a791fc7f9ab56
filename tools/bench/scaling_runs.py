"""Runs as a user starts them, and what they tell of themselves in their folders."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from grs_evo.parallel.topology import idle_share

ROOT = Path(__file__).parents[2]
# smallest, largest, largest MB per rank, largest
MUST = {"weak": 0.95, "overhead": 0.05, "memory": 2000.0, "balance": 0.05}


# How each of them ends.
_END = """
[migration]
topology = "ring"
interval = 2
emigrants = 1
[stop]
generations = {generations}
floor = false
[output]
log_seconds = 3600.0
"""

LIQUID = (
    """
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
"""
    + _END
)


LATTICE = (
    """
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
"""
    + _END
)


# Sixteen islands whose generations differ by a factor of ten or so, in the order in which a user writes them.
MIXED = (
    LIQUID.split("[search]")[0]
    + """
[search]
population = {population}
[[islands]]
count = {count}
candidates = {{kind = "random", sizes = [20, 20], density = [1.0, 1.0]}}
[[islands]]
count = {count}
candidates = {{kind = "random", sizes = [72, 72], density = [1.0, 1.0]}}
[[islands]]
count = {count}
strategy = "gradient"
[[islands]]
count = {rest}
strategy = "annealing"
candidates = {{kind = "random", sizes = [36, 36], density = [1.0, 1.0]}}
walk = {{evaluations = 400}}
[[islands]]
count = {rest}
strategy = "descent"
candidates = {{kind = "random", sizes = [20, 20], density = [1.0, 1.0]}}
walk = {{evaluations = 1600}}
"""
    + _END
)

# Two islands of 20 atoms and two of 72.
FOUR = MIXED.split("[[islands]]\ncount = {count}\nstrategy")[0].replace("{count}", "2") + (
    "[migration]" + MIXED.split("[migration]")[1]
)


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
                count=self.islands // 4,
                rest=self.islands // 8,
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
    each: list[dict[str, Any]] = field(repr=False)  # per island
    moved: int  # islands that changed ranks, so often
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
    def idle_by_processor(self) -> float:
        """Share of the ranks' time that those with less work would wait, had each rank a core of its own."""
        busy = [row["advance_cpu"] for row in self.spent]
        return 1.0 - sum(busy) / (self.ranks * max(busy))

    @property
    def idle_if_contiguous(self) -> float:
        """The same by the seconds that each island took, with equal numbers of neighbouring islands on each rank."""
        seconds = np.array([one["seconds_per_generation"] for one in self.each])
        owner = np.arange(self.islands) * self.ranks // self.islands
        return idle_share(seconds, owner.astype(np.int32), self.ranks)

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


# A script that makes runs one after the other: run file, folder, run file, folder, …
_IN_TURN = """
import atexit, gc, sys
gc.set_threshold(50_000, 10, 10)  # as the program does
atexit.register(gc.freeze)
import grs_evo
for run_file, out in zip(sys.argv[1::2], sys.argv[2::2]):
    if not grs_evo.run(run_file, out).finished:
        sys.exit(1)
"""


def command(ranks: int, *program: object) -> list[str]:
    """Python under mpiexec."""
    launcher = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if launcher is None:
        raise Failed("no mpiexec: install mpich or openmpi into this environment")
    return [launcher, "-n", str(ranks), sys.executable, *map(str, program)]


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
            process = _started(command(ranks, "-m", "grs_evo", "run", case.write(folder), "--out", out), errors, **more)
            started.append((case, process, out, errors, time.monotonic()))
        return [_finished(*one, ranks) for one in started]


def launch_in_turn(cases: Sequence[Case], ranks: int) -> list[Measured]:
    """Start ranks once for runs one after the other; their peak memory is that of all runs so far."""
    with tempfile.TemporaryDirectory(prefix="scaling-") as temporary:
        folder = Path(temporary)
        words = [word for case in cases for word in (case.write(folder), folder / case.name)]
        process, begun = _started(command(ranks, "-c", _IN_TURN, *words), folder / "stderr"), time.monotonic()
        return [_finished(case, process, folder / case.name, folder / "stderr", begun, ranks) for case in cases]


def _started(program: Sequence[str], errors: Path, **more: str) -> subprocess.Popen[Any]:
    with errors.open("w") as stderr:
        return subprocess.Popen(program, env=environment(**more), stdout=subprocess.DEVNULL, stderr=stderr)


def _finished(
    case: Case, process: subprocess.Popen[Any], out: Path, errors: Path, begun: float, ranks: int
) -> Measured:
    code = process.wait()
    said = errors.read_text()
    if code != 0 or "Traceback" in said or "Warning" in said:
        raise Failed(f"{case.name} on {ranks} ranks ended with exit code {code}:\n{said[-2000:]}")
    status = json.loads((out / "status.json").read_text())
    saved = out / "checkpoints"
    step = max(saved.glob("ckpt_*.h5")).stem.partition("_")[2]
    return Measured(
        ranks=ranks,
        islands=case.islands,
        generations=status["generation"],
        evaluations=status["evaluations"],
        archive_hash=status["archive_hash"],
        wall=time.monotonic() - begun,
        checkpoints=status["checkpoints"],
        spent=status["spent"],
        each=status["islands"],
        moved=status["islands_moved"],
        checkpoint_bytes=sum(one.stat().st_size for one in saved.glob(f"*_{step}*.h5")),  # with its shards
    )
