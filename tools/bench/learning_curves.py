"""Learning curves of selection rules: what a linear potential knows after so many environments, or so much Σ n³.

    python tools/bench/learning_curves.py Si_training.extxyz.gz --test Si_test.extxyz.gz -o si
    python tools/bench/learning_curves.py POOL --test TEST --by clusters random --shares 0.1 0.2 --draws 3 --budget cost
    python tools/bench/learning_curves.py POOL --test TEST --ace-jax ENV/bin/aj -o second   # fitted by ace-jax instead
    python tools/bench/learning_curves.py --draw si.csv mo.csv -o curves          # the picture again, from the numbers

Pool and test carry energies and forces. A rule takes a share of the pool (of its environments, or of its Σ n³); the fit
weighs 1 meV per atom like 0.1 eV/Å and chooses its ridge by cross-validation on what was taken; errors are those on the
test, and on pool and test together, which tells more where the test is small. With --ace-jax another program fits what
the rules took, with a basis, weights and a prior of its own (errors on the test and every fifth of the pool together:
it predicts slowly). Rules that draw are drawn several times; points are medians, bars the lowest and highest draw.
Writes OUT.csv (a row per draw) and OUT.svg.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from grs_evo.datasets.labels import Labelled, as_text, read_labelled
from grs_evo.datasets.pool import Block, Task, block_of
from grs_evo.datasets.refit import fit, labelled_rows
from grs_evo.datasets.select import basis_for, select
from grs_evo.descriptors.basis import Basis, build_basis
from grs_evo.errors import InputError

RULES = ("clusters", "stratified", "information", "moments", "distance", "random")
DRAWN = ("clusters", "stratified", "random")
FIELDS = (
    "set", "rule", "budget", "share", "draw", "structures", "environments", "cost",
    "test_energy", "test_forces", "all_energy", "all_forces", "fitter",
)  # fmt: skip


class Remembered:
    """Describes the structures of one pool once, however often it is chosen from."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[int, int], Block] = {}

    def __call__(self, tasks: Iterator[Task]) -> Iterator[Block]:
        for task in tasks:
            key = (task.first, task.seed if task.sketched else 0)
            if key not in self._blocks:
                self._blocks[key] = block_of(task)
            known = self._blocks[key]
            # force rows are scaled in place
            yield Block(tuple(replace(one, forces=one.forces.copy()) for one in known.rows), known.gram)


# errors of a set, given as numbers of the pool's structures and a seed: test energies, forces, and those on all
Errors = tuple[float | str, float | str, float, float]
Fitter = Callable[[Sequence[int], int], Errors]


def our_fitter(pool: Sequence[Labelled], test: Sequence[Labelled], basis: Basis) -> Fitter:
    """As `grs-evo refit --energies 1`: one weight for all, so that curves compare."""
    rows, unseen = labelled_rows(pool, basis), labelled_rows(test, basis)

    def errors(taken: Sequence[int], seed: int) -> Errors:
        potential = fit([rows[k] for k in taken], basis, seed, 1.0)
        own, both = potential.errors(unseen)["all"], potential.errors([*rows, *unseen])["all"]
        return own.energy, own.forces, both.energy, both.forces

    return errors


def ace_jax_fitter(program: str, pool: Sequence[Labelled], test: Sequence[Labelled], cutoff: float) -> Fitter:
    """ace-jax, a process for each fit: linear, ridge and noise by evidence, energies weighted as its manual has it."""

    def errors(taken: Sequence[int], seed: int) -> Errors:
        with tempfile.TemporaryDirectory() as folder:
            for name, chosen in (("train", [pool[k] for k in taken]), ("all", [*pool[::5], *test])):
                Path(folder, f"{name}.xyz").write_text(as_text([one.atoms for one in chosen]))
            subprocess.run(
                [program, "fit", "--train", "train.xyz", "--test", "all.xyz", "--out", "out", "--no-save-model",
                 "--order", "3", "--max-degree", "12", "--rcut", f"{cutoff:g}", "--e0", "lsq", "--map-polish", "off",
                 "--weights", '{"default": {"E": 30.0, "F": 1.0, "V": 1.0}}', "--seed", str(seed)],
                cwd=folder, check=True, capture_output=True,
            )  # fmt: skip
            with Path(folder, "out", "metrics.csv").open(newline="") as file:
                found = {row["quantity"]: float(row["rmse"]) for row in csv.DictReader(file)}
        return "", "", found["E"], 1e3 * found["F"]

    return errors


def curve(
    name: str,
    pool: Sequence[Labelled],
    basis: Basis,
    fitter: Fitter,
    rules: Sequence[str],
    shares: Sequence[float],
    draws: int,
    budget: str = "environments",
    called: str = "refit",
) -> Iterator[dict[str, Any]]:
    """A row for each rule, share and draw, and one for the whole pool; energies in meV/atom, forces in meV/Å."""
    sizes = np.array([len(one.atoms) for one in pool], float)
    whole = {"environments": sizes.sum(), "cost": (sizes**3).sum()}[budget]
    describe = Remembered()

    def row(rule: str, share: float, draw: int, taken: Sequence[int]) -> dict[str, Any]:
        own = sizes[list(taken)]
        errors = fitter(taken, draw)
        values = (name, rule, budget, share, draw, len(taken), int(own.sum()), float((own**3).sum()), *errors, called)
        return dict(zip(FIELDS, values, strict=True))

    yield row("all", 1.0, 0, range(len(pool)))
    for share in shares:
        for rule in rules:
            for draw in range(draws if rule in DRAWN else 1):
                limit: Any = round(share * whole) if budget == "environments" else share * whole
                taken = select(
                    pool, by=rule, seed=100 + draw, basis=basis, describe=describe, **{budget: limit}
                ).indices
                yield row(rule, share, draw, taken)


# ---------------------------------------------------------------------------------------------------------------------
# the picture


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Errors on pool and test together against the budget; a row of panels for each set."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "grs_evo"  # the same numbers, the same bytes
    from matplotlib import pyplot as plt

    sets = list(dict.fromkeys(_panel_of(row) for row in rows))
    figure, panels = plt.subplots(len(sets), 2, figsize=(8.0, 2.5 * len(sets)), squeeze=False)
    for (name, budget, fitter), pair in zip(sets, panels, strict=True):
        own = [row for row in rows if _panel_of(row) == (name, budget, fitter)]
        name = name if fitter == "refit" else f"{name}, {fitter}"
        for panel, column, unit in zip(pair, ("all_energy", "all_forces"), ("meV/atom", "meV/Å"), strict=True):
            _panel(panel, own, column, budget)
            panel.set_title(f"{name}: {'energies' if 'energy' in column else 'forces'}", fontsize=9)
            panel.set_ylabel(unit, fontsize=8)
            panel.set_xlabel("environments" if budget == "environments" else "Σ n³", fontsize=8)
            panel.tick_params(labelsize=7, which="both")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=4, fontsize=8, loc="upper center", frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.55 / (2.5 * len(sets))))
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


def _panel_of(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["set"], row["budget"], row.get("fitter") or "refit"


def _panel(panel: Any, rows: Sequence[dict[str, Any]], column: str, budget: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    points: dict[str, dict[float, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["rule"] == "all":
            panel.axhline(float(row[column]), color="0.6", lw=1, ls=":", label="whole pool")
        else:
            points[row["rule"]][float(row["share"])].append((float(row[budget]), float(row[column])))
    for shift, (rule, shares) in enumerate(sorted(points.items(), key=lambda one: RULES.index(one[0]))):
        values = [np.array(shares[share]) for share in sorted(shares)]
        # side by side, so that bars of one size can be told apart
        x = np.array([one[:, 0].mean() for one in values]) * 1.02 ** (shift - len(points) / 2)
        y = np.array([np.median(one[:, 1]) for one in values])
        bars = np.abs(np.array([[one[:, 1].min(), one[:, 1].max()] for one in values]).T - y)
        width = 1.8 if rule == "clusters" else 1.0
        panel.errorbar(x, y, bars, marker="o", ms=3, lw=width, elinewidth=0.8, color=f"C{shift}", label=rule)
    panel.set_xscale("log")
    panel.set_yscale("log")
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(NullLocator())


# ---------------------------------------------------------------------------------------------------------------------
# the program


def _read_csv(paths: Sequence[Path]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for path in paths:
        with path.open(newline="") as file:
            rows += csv.DictReader(file)
    return rows


def _basis(options: argparse.Namespace, pool: Sequence[Labelled]) -> Basis:
    if options.n_max is None:
        return basis_for(pool, options.cutoff)
    if options.cutoff is None or options.l_max is None:
        raise InputError("--n-max: goes with --l-max and --cutoff")
    elements = sorted({symbol for one in pool for symbol in one.atoms.get_chemical_symbols()})
    return build_basis(elements, tuple(options.n_max), tuple(options.l_max), options.cutoff)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", nargs="*")
    parser.add_argument("--test", nargs="+", default=[])
    parser.add_argument("--name", help="of the set; default: the pool's formula")
    parser.add_argument("--by", nargs="+", default=list(RULES), choices=[*RULES, "coverage"])
    parser.add_argument("--shares", nargs="+", type=float, default=[0.05, 0.1, 0.2, 0.5])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--budget", choices=["environments", "cost"], default="environments")
    parser.add_argument("--n-max", nargs="+", type=int)
    parser.add_argument("--l-max", nargs="+", type=int)
    parser.add_argument("--cutoff", type=float)
    parser.add_argument("--ace-jax", metavar="AJ", help="fit with this program, `aj` of an environment with ace-jax")
    parser.add_argument("--draw", nargs="+", type=Path, default=[], help="draw these .csv files, compute nothing")
    parser.add_argument("-o", "--out", required=True)
    options = parser.parse_args(arguments)
    if options.draw:
        draw(_read_csv(options.draw), Path(f"{options.out}.svg"))
        return
    pool, test = list(read_labelled(options.pool)), list(read_labelled(options.test))
    if not pool or not test:
        raise InputError("give a pool and --test files, both with energies and forces")
    basis = _basis(options, pool)
    name = options.name or "-".join(basis.elements)
    begun = time.process_time()
    with threadpool_limits(1), Path(f"{options.out}.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, FIELDS, lineterminator="\n")
        table.writeheader()
        if options.ace_jax:
            fitter = ace_jax_fitter(options.ace_jax, pool, test, float(basis.cutoff.max()))
        else:
            fitter = our_fitter(pool, test, basis)
        called = "ace-jax" if options.ace_jax else "refit"
        lines = curve(name, pool, basis, fitter, options.by, options.shares, options.draws, options.budget, called)
        for row in lines:
            table.writerow({key: f"{value:.5g}" if isinstance(value, float) else value for key, value in row.items()})
            file.flush()
            print(
                f"{row['rule']:12}{row['share']:6.2f}{row['environments']:8d}"
                f"{row['all_energy']:9.3g}{row['all_forces']:9.4g}  {time.process_time() - begun:7.0f} s",
                flush=True,
            )
    draw(_read_csv([Path(f"{options.out}.csv")]), Path(f"{options.out}.svg"))


if __name__ == "__main__":
    main()
