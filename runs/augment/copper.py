"""Files of this run, and what the refilled set is worth; labels are those of ASE's EMT.

python runs/augment/copper.py make                 # given, target, cells and test (they are here already)
python runs/augment/copper.py errors out-augment   # of fits on the given set, on it with the run's, and with others
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk, fcc100, fcc110, fcc111
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.md.langevin import Langevin
from ase.units import fs

import grs_evo
from grs_evo.structures.structure import to_atoms

HERE = Path(__file__).parent
A = 3.61
GROUPS, REMOVED = ("crystal",), ("liquid", "surface", "vacancy")


def labelled(atoms: Atoms, group: str) -> Atoms:
    made = atoms.copy()
    made.calc = EMT()
    labels = {"energy": float(made.get_potential_energy()), "forces": made.get_forces()}
    made.calc = SinglePointCalculator(made, **labels)
    made.info["group"] = group
    return made


def shaken(atoms: Atoms, rng: np.random.Generator, rattle: float = 0.12, strain: float = 0.02) -> Atoms:
    made = atoms.copy()
    made.set_cell(made.cell[:] @ (np.eye(3) + strain * rng.normal(size=(3, 3))), scale_atoms=True)
    made.positions += rattle * rng.normal(size=made.positions.shape)
    return made


def slab(kind: Any, size: tuple[int, int, int]) -> Atoms:
    made = kind("Cu", size, a=A, vacuum=6.0)
    made.pbc = True
    made.info.clear()
    return made


def vacancy(repeat: tuple[int, int, int]) -> Atoms:
    made = bulk("Cu", a=A, cubic=True) * repeat
    del made[0]
    return made


def liquid(count: int, rng: np.random.Generator) -> list[Atoms]:
    atoms = bulk("Cu", a=3.78, cubic=True) * (2, 2, 2)
    atoms.calc = EMT()
    found = []
    motion = Langevin(atoms, 5 * fs, temperature_K=4000, friction=0.02, fixcm=False, rng=rng)
    motion.run(300)
    motion = Langevin(atoms, 5 * fs, temperature_K=1800, friction=0.02, fixcm=False, rng=rng)
    for _ in range(count):
        motion.run(100)
        found.append(atoms.copy())
    return found


def missing(rng: np.random.Generator, count: int) -> dict[str, list[Atoms]]:
    slabs = [slab(fcc100, (2, 2, 6)), slab(fcc111, (2, 2, 6)), slab(fcc110, (2, 2, 8))]
    return {
        "surface": [shaken(slabs[k % 3], rng) for k in range(count)],
        "vacancy": [shaken(vacancy((2, 2, 2)), rng) for _ in range(count)],
        "liquid": liquid(count, rng),
    }


def make() -> None:
    rng = np.random.default_rng(7)
    crystal = bulk("Cu", a=A, cubic=True) * (2, 2, 2)
    write(HERE / "given.extxyz", [labelled(shaken(crystal, rng), "crystal") for _ in range(60)])
    groups = missing(rng, 4)
    bare = [atoms for group in groups.values() for atoms in group]
    write(HERE / "target.extxyz", [shaken(crystal, rng) for _ in range(4)] + bare, columns=["symbols", "positions"])
    small = [slab(kind, (1, 1, n)) for kind in (fcc100, fcc111, fcc110) for n in (4, 5, 6)]
    small += [vacancy((1, 1, 2)), vacancy((1, 1, 3)), vacancy((2, 2, 1))]
    write(HERE / "cells.extxyz", small, columns=["symbols", "positions"])


def test_set() -> list[Atoms]:
    rng = np.random.default_rng(8)
    crystal = bulk("Cu", a=A, cubic=True) * (2, 2, 2)
    groups = {"crystal": [shaken(crystal, rng) for _ in range(12)], **missing(rng, 12)}
    return [labelled(atoms, group) for group, found in groups.items() for atoms in found]


def errors(folder: str) -> None:
    given = read(HERE / "given.extxyz", ":")
    archive = grs_evo.read_archive(folder)
    new = [labelled(to_atoms(one.structure, ["Cu"]), "new") for one in archive.set]
    rng, count = np.random.default_rng(9), sum(map(len, new))
    crystal = bulk("Cu", a=A, cubic=True) * (2, 2, 2)
    more = [labelled(shaken(crystal, rng), "crystal") for _ in range(max(1, round(count / len(crystal))))]
    own = [labelled(atoms, "own") for atoms in read(HERE / "target.extxyz", ":")]
    test = test_set()
    atoms_of = {name: sum(len(one) for one in test if one.info["group"] == name) for name in (*GROUPS, *REMOVED)}
    print(f"{sum(map(len, given))} environments given, {count} of the run ({len(new)} cells)")
    print("set | " + " | ".join((*GROUPS, *REMOVED)) + " | these three  (meV/atom, meV/Å)")
    for name, chosen in (
        ("given", given),
        ("with as much crystal", given + more),
        ("with the run's cells", given + new),
        ("with the target's own structures", given + own),
    ):
        found = grs_evo.refit(chosen, test, energies=1.0).test
        cells = [f"{found[g].energy:.1f}, {found[g].forces:.1f}" for g in atoms_of]
        squares = sum(atoms_of[g] * found[g].forces ** 2 for g in REMOVED)
        together = np.sqrt(squares / sum(atoms_of[g] for g in REMOVED))
        print(f"{name} | " + " | ".join(cells) + f" | {together:.1f}")


if __name__ == "__main__":
    if sys.argv[1:] == ["make"]:
        make()
    elif sys.argv[1:2] == ["errors"] and len(sys.argv) == 3:
        errors(sys.argv[2])
    else:
        sys.exit(__doc__)
