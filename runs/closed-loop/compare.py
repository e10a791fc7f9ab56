"""The fitted potential beside the calculator: lattice and elastic constants, energy against volume.

python compare.py cu.yace [module:Calculator]
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.units import GPa

import grs_evo

Energy = Callable[[Atoms], float]  # eV


def of_yace(file: str) -> Energy:
    """Energy by a .yace file: its functions hold the coefficients, so that their sum is the energy."""
    basis = grs_evo.read_yace(file)

    def energy(atoms: Atoms) -> float:
        constants = sum(basis.e0[basis.elements.index(s)] for s in atoms.get_chemical_symbols())
        return float(grs_evo.describe(atoms, basis).sum() + constants)

    return energy


def of_calculator(name: str) -> Energy:
    """Energy by an ASE calculator, given as module:Calculator."""
    module, _, factory = name.partition(":")
    made = getattr(importlib.import_module(module), factory)

    def energy(atoms: Atoms) -> float:
        atoms.calc = made()
        return float(atoms.get_potential_energy())

    return energy


def crystal(a: float, strain: np.ndarray | None = None) -> Atoms:
    atoms = bulk("Cu", a=a)
    if strain is not None:
        atoms.set_cell(atoms.cell[:] @ (np.eye(3) + strain), scale_atoms=True)
    return atoms


def properties(energy: Energy) -> dict[str, float]:
    """Lattice constant (Å) and elastic constants (GPa), from energies alone."""
    grid = np.linspace(3.4, 3.8, 17)
    values = [energy(crystal(a)) for a in grid]
    near = grid[int(np.argmin(values))] + np.linspace(-0.06, 0.06, 9)
    fit = np.polyfit(near, [energy(crystal(a)) for a in near], 4)
    roots = np.roots(np.polyder(fit))
    a = float(min((r.real for r in roots if abs(r.imag) < 1e-9), key=lambda r: abs(r - near.mean())))
    volume = a**3 / 4
    size = np.linspace(-0.01, 0.01, 5)

    def curvature(shape: np.ndarray) -> float:
        """d²E/dδ² per volume, GPa"""
        energies = [energy(crystal(a, delta * shape)) for delta in size]
        return float(2 * np.polyfit(size, energies, 2)[0] / volume / GPa)

    bulk_modulus = curvature(np.eye(3)) / 9
    tetragonal = curvature(np.diag([1.0, -1.0, 0.0])) / 2  # C11 - C12
    shear = np.zeros((3, 3))
    shear[0, 1] = shear[1, 0] = 0.5
    return {
        "lattice constant, Å": a,
        "bulk modulus, GPa": bulk_modulus,
        "C11, GPa": bulk_modulus + 2 * tetragonal / 3,
        "C12, GPa": bulk_modulus - tetragonal / 3,
        "C44, GPa": curvature(shear),
    }


def volume_curve(one: Energy, other: Energy, a: float) -> list[tuple[float, float, float]]:
    """(volume per atom in Å³, both energies in meV per atom above their lowest) for 12 % either way."""
    scales = np.linspace(0.96, 1.04, 9)
    energies = np.array([[f(crystal(a * scale)) for scale in scales] for f in (one, other)])
    energies = 1e3 * (energies - energies.min(axis=1, keepdims=True))
    return [(float((a * s) ** 3 / 4), float(x), float(y)) for s, x, y in zip(scales, *energies, strict=True)]


def main(potential: str, calculator: str = "ase.calculators.emt:EMT") -> tuple[dict[str, float], dict[str, float]]:
    fitted, given = of_yace(potential), of_calculator(calculator)
    ours, theirs = properties(fitted), properties(given)
    print(f"{'':24}{'calculator':>12}{'fitted':>12}{'off':>9}")
    for name, value in theirs.items():
        print(f"{name:24}{value:12.4g}{ours[name]:12.4g}{100 * (ours[name] / value - 1):8.2f} %")
    print("\nvolume, Å³/atom   calculator, meV/atom   fitted")
    for volume, x, y in volume_curve(given, fitted, theirs["lattice constant, Å"]):
        print(f"{volume:15.3f}{x:23.2f}{y:9.2f}")
    return ours, theirs


if __name__ == "__main__":
    main(*sys.argv[1:])
