"""Time and memory of an archive's readers: open, table and report of an archive of many structures.

    python tools/bench/report.py                        # 10,000 structures of 20 to 54 atoms
    python tools/bench/report.py --structures 1000 --json report.json

The archive is made up (rattled lattices, invented losses and history); reading and reporting do what they do for any.
Each stage runs in a process of its own, so that none profits from what another has imported, and is measured with its
imports. Seconds are processor time, which other work on the machine does not lengthen, and wall time beside it.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from grs_evo.descriptors.basis import build_basis
from grs_evo.search.population.individual import Individual
from grs_evo.storage.archive_file import Archive, write_archive
from grs_evo.structures.structure import Structure
from grs_evo.targets.target import Target

TERMS = ("structure", "mean", "variance")
_GENERATIONS, _ISLANDS = 500, 8
STAGES = {
    "open": "from grs_evo import read_archive; read_archive({path!r})",
    "table": "from grs_evo import read_archive; read_archive({path!r}).table()",
    "report": "from grs_evo.report.report import write_report; write_report({path!r}, {out!r})",
}
# What each stage may take, s, for 10,000 structures.
LIMITS = {"open": 2.0, "table": 4.0, "report": 60.0}


def made_up(count: int, in_set: int, seed: int = 0) -> Archive:
    """An archive of `count` structures of 20 to 54 Ta atoms, of which the first `in_set` are a set."""
    rng = np.random.default_rng(seed)
    basis = build_basis(("Ta",), cutoff=5.0)
    target = Target.from_structures(_lattice(rng, 1000), basis, description="rattled lattice")
    individuals = []
    for k in range(count):
        structure = _lattice(rng, int(rng.integers(20, 55)))
        mean, variance = rng.uniform(0.01, 1.0, 2) * (54 / structure.n_atoms)
        terms = np.array([mean + variance, mean, variance])
        parents = (int(rng.integers(k)), int(rng.integers(k))) if k > 1 else (-1, -1)
        island, generation = k % _ISLANDS, k * _GENERATIONS // count
        individuals.append(
            Individual(structure, float(terms[0]), terms, k, parents, "slice", island, generation, 50 * k)
        )
    island, generation = (a.ravel() for a in np.meshgrid(np.arange(_ISLANDS), np.arange(_GENERATIONS), indexing="ij"))
    return Archive(
        individuals=individuals,
        elements=("Ta",),
        term_names=TERMS,
        objective_names=("mean", "variance", "n_atoms"),
        objectives=np.array([[*one.terms[1:], one.structure.n_atoms] for one in individuals]),
        set=individuals[:in_set],
        history={
            "island": island,
            "generation": generation,
            "evaluations": 50.0 * (generation + 1),
            "best_value": 20.0 / (1.0 + generation),
            "diversity": np.full(len(island), 0.9),
        },
        target=target.to_arrays(),
        basis_text=basis.to_text(),
        run_file='[target]\nfiles = ["target.extxyz"]\n',
        seed=seed,
        archive_hash="0" * 16,
        attributes={"version": "made up"},
    )


def _lattice(rng: np.random.Generator, n_atoms: int) -> Structure:
    edge = int(np.ceil(n_atoms ** (1 / 3)))
    sites = np.stack(np.meshgrid(*[np.arange(edge)] * 3, indexing="ij"), -1).reshape(-1, 3)
    sites = sites[np.sort(rng.permutation(edge**3)[:n_atoms])]
    positions = 2.9 * sites + rng.normal(0, 0.12, (n_atoms, 3))
    return Structure(positions, 2.9 * edge * np.eye(3), np.zeros(n_atoms, np.int32), np.ones(3, np.bool_))


def measure(code: str) -> dict[str, float]:
    """Processor and wall seconds, and the largest memory in MB, of a fresh process that runs some code."""
    script = (
        "import json, resource, time\nbegan = time.perf_counter()\n"
        f"{code}\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(json.dumps({'cpu': used.ru_utime + used.ru_stime, 'wall': time.perf_counter() - began,"
        " 'peak_MB': used.ru_maxrss / 1024}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", type=int, default=10_000)
    parser.add_argument("--set", type=int, default=200, help="how many of them are a representative set")
    parser.add_argument("--json", metavar="FILE", help="write the results there")
    options = parser.parse_args()
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        path, out = str(Path(folder) / "archive.h5"), str(Path(folder) / "report.html")
        write_archive(Path(path), made_up(options.structures, options.set))
        print(f"{options.structures} structures, {Path(path).stat().st_size / 1e6:.1f} MB")
        print(f"{'':10}{'cpu s':>9}{'wall s':>9}{'peak MB':>9}{'limit s':>9}")
        for name, code in STAGES.items():
            measure(code.format(path=path, out=out))  # files read and functions compiled from here on
            rows[name] = one = measure(code.format(path=path, out=out))
            print(f"{name:10}{one['cpu']:9.2f}{one['wall']:9.2f}{one['peak_MB']:9.0f}{LIMITS[name]:9.0f}", flush=True)
        page = Path(out).stat().st_size
    print(f"the page has {page / 1e6:.1f} MB")
    if options.json:
        result = {"machine": platform.processor() or platform.machine(), "structures": options.structures,
                  "page_bytes": page, "stages": rows}  # fmt: skip
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
