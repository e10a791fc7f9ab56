"""Runs whose archives must stay the same bit for bit, and the table of their hashes.

Bits depend on what computed them: the instructions that LLVM may use (AVX-512, AVX2 or older) and the versions of
numba, llvmlite, numpy and scipy. The table has one entry per such combination; where a machine's own is missing, tests
that compare with it are skipped, saying so. ``python tests/pinned_runs.py`` adds the entry of this machine, after it
has made every run twice in one process and, where there is an mpiexec, on one, two and three ranks. Do that with a
version whose results are known to be right (one at which these tests pass elsewhere), never to make a failing test
pass. Where a change means other results, ``--changed`` replaces the table by this machine's entry and prints old and
new archive hashes, for the changelog.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import h5py

DATA = Path(__file__).parent / "data" / "pinned"
TABLE = DATA / "archive_hashes.json"
# A run that the version before the package was divided left in the second of three rounds. It stays as it is: copies of
# it go on.
STOPPED = DATA / "stopped-run"
# s; machines that compile for the first time are slow
_PATIENCE = 600

# 8 atoms of an alloy, a little off their sites.
TARGET = """8
Lattice="3.75 0 0 0.05 3.75 0 0 0.1 7.5" Properties=species:S:1:pos:R:3 pbc="T T T"
Au 0.02 0.01 0.0
Cu 0.0 1.875 1.9
Cu 1.875 0.05 1.85
Cu 1.9 1.875 0.03
Cu 0.0 0.0 3.75
Au -0.02 1.9 5.6
Cu 1.875 0.0 5.65
Cu 1.85 1.875 3.75
"""

_COMMON = """
[target]
files = ["target.xyz"]
[basis]
n_max = [3, 1]
l_max = [0, 1]
cutoff = 4.0
[checkpoint]
generations = 1
max_cost = 1.0
"""

RUNS = {
    # Sites of a lattice: every strategy for them, the tabulated loss, and its incremental updates.
    "lattice": """
seed = 11
[loss]
variance = 0.5
skewness = 0.1
scale = "reference"
[candidates]
kind = "lattice"
lattice = "fcc"
a = 3.75
repeat = [3, 2, 1]
composition = "free"
[search]
population = 8
walk.evaluations = 80
walk.steps = 60
[[islands]]
count = 2
genetic.passes = 1
[[islands]]
operators.adaptive = true
selection.kind = "nsga2"
[[islands]]
strategy = "annealing"
[[islands]]
strategy = "descent"
[[islands]]
strategy = "random_walk"
[migration]
interval = 2
emigrants = 2
topology = "torus"
[stop]
generations = 14
""",
    # Random cells whose atoms and cell relax on the loss, every operator, migrants in every generation.
    "relaxed": """
seed = 5
[loss]
skewness = 0.2
terms = {}
core.distances = {}
[candidates]
kind = "random"
contact = 0.6
sizes = [3, 5]
composition = "free"
[relax]
cell = "full"
max_evaluations = 40
stage_evaluations = 8
[search]
population = 5
walk.evaluations = 30
[[islands]]
count = 2
[[islands]]
genetic.survival = "plus"
operators.adaptive = true
[[islands]]
strategy = "gradient"
[[islands]]
strategy = "descent"
[migration]
interval = 1
emigrants = 1
delay = 2
topology = "full"
[stop]
generations = 6
""",
    # A representative set, round after round, of supercells of a parent lattice.
    "set": """
seed = 3
[loss]
covariance = 0.3
w_set = 0.7
[candidates]
kind = "supercells"
lattice = "fcc"
a = 3.75
sizes = [2, 6]
composition = "free"
rattle = 0.05
[search]
islands = 3
population = 8
carried = 0.3
[migration]
interval = 2
emigrants = 1
topology = "ring"
[set]
rounds = 3
accept = 2
patience = 3
[stop]
generations = 5
""",
}


def write(folder: Path, name: str) -> Path:
    """The run file and the target of a run in a folder; returns the run file."""
    (folder / "target.xyz").write_text(TARGET)
    path = folder / f"{name}.toml"
    # top-level keys come before the tables
    seed, _, rest = RUNS[name].strip().partition("\n")
    path.write_text(f"{seed}\n{_COMMON}{rest}\n")
    return path


def environment() -> dict[str, str]:
    """For a subprocess: Open MPI as root, and more ranks than cores."""
    extra = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return {**os.environ, **extra, "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe"}


def call(n_ranks: int, *arguments: object, cwd: Path) -> tuple[int, str]:
    """The command line in processes of its own: exit code, and what it said. No mpiexec for 0 ranks."""
    mpi = ["mpiexec", "-n", str(n_ranks)] if n_ranks else []
    done = subprocess.run(
        [*mpi, sys.executable, "-m", "grs_evo", *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
    )
    return done.returncode, done.stdout + done.stderr


def made(name: str, n_ranks: int, folder: Path) -> dict[str, str]:
    """Make a run in a new folder, or go on with the stopped one, and say what its archive is."""
    if name == "resumed":
        out = shutil.copytree(STOPPED, folder / "resumed")
        code, text = call(n_ranks, "resume", out, "--quiet", cwd=folder)
    else:
        out = folder / name
        code, text = call(n_ranks, "run", write(folder, name), "--out", out, "--quiet", cwd=folder)
    if code != 0:
        raise RuntimeError(f"{name} on {n_ranks} ranks ended with code {code}: {text}")
    return digests(out / "archive.h5")


def digests(path: Path) -> dict[str, str]:
    """What an archive file is: its own hash, and one of all its numbers, history and lines of descent included."""
    with h5py.File(path) as file:
        whole = hashlib.blake2b(digest_size=8)

        def add(name: str, item: Any) -> None:
            # texts hold paths and wording
            if isinstance(item, h5py.Dataset) and item.dtype.kind != "O" and name != "target/text":
                whole.update(f"{name} {item.dtype.str} {item.shape} ".encode() + item[()].tobytes())

        file.visititems(add)
        return {"archive": str(file.attrs["archive_hash"]), "numbers": whole.hexdigest()}


NAMES = (*RUNS, "resumed")


# ---------------------------------------------------------------------------------------------------------------------
# the table


def combination() -> dict[str, str]:
    """What the bits of a run depend on besides the program, the run file and the seed."""
    from llvmlite import binding
    from numba import config

    cpu = config.CPU_NAME or binding.get_host_cpu_name()
    # the kernels ask for the host's vector width themselves, whatever Numba was told
    features = f"{binding.get_host_cpu_features().flatten()} {config.CPU_FEATURES or ''}"
    found = {
        "machine": platform.machine(),
        "cpu": str(cpu),
        "features": hashlib.blake2b(features.encode(), digest_size=8).hexdigest(),
    }
    found.update({name: metadata.version(name) for name in ("numpy", "numba", "llvmlite", "scipy")})
    return found


def table() -> list[dict[str, Any]]:
    """The entries: ``{"made_with": combination, "runs": {name: digests}}``."""
    return list(json.loads(TABLE.read_text())) if TABLE.exists() else []


def known() -> dict[str, dict[str, str]] | None:
    """The hashes of this machine's combination, None when there are none."""
    here = combination()
    return next((dict(entry["runs"]) for entry in table() if entry["made_with"] == here), None)


def unknown() -> str:
    """Why a comparison is skipped."""
    here = " ".join(f"{name} {value}" for name, value in combination().items())
    return f"no archive hashes for {here}; `python tests/pinned_runs.py`, at a version known to be right, adds them"


def record(changed: bool) -> int:
    """Make every run, check that it gives one archive on any number of ranks, and put what it is into the table.

    `changed`: results are meant to differ from the table's, whose entries for other machines no longer hold.
    """
    before, runs, odd = known() or {}, {}, []
    ranks = [0, 0, 1, 2, 3] if shutil.which("mpiexec") else [0, 0]
    for name in NAMES:
        found: list[dict[str, str]] = []
        for n_ranks in ranks:
            with tempfile.TemporaryDirectory() as folder:
                found.append(made(name, n_ranks, Path(folder)))
            on = f"mpiexec -n {n_ranks}" if n_ranks else "one process"
            print(f"{name:<8} {on:<12} archive {found[-1]['archive']} numbers {found[-1]['numbers']}", flush=True)
        if any(one != found[0] for one in found):
            odd.append(f"{name}: differs from run to run")
        if changed:
            print(f"{name}: {before[name]['archive'] if name in before else 'none'} -> {found[0]['archive']}")
        elif before.get(name, found[0]) != found[0]:
            odd.append(f"{name}: {found[0]}, but the table has {before[name]}")
        runs[name] = found[0]
    if odd:
        print("the table is left as it is:", *odd, sep="\n", file=sys.stderr)
        return 1
    kept = [] if changed else [entry for entry in table() if entry["made_with"] != combination()]
    TABLE.write_text(json.dumps([*kept, {"made_with": combination(), "runs": runs}], indent=1) + "\n")
    print(f"{TABLE}: has the archives of {' '.join(f'{name} {value}' for name, value in combination().items())}")
    return 0


if __name__ == "__main__":
    sys.exit(record(changed=sys.argv[1:] == ["--changed"]))
