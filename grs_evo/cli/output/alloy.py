"""`grs-evo alloy`: a large cell of the alloy of a run file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from grs_evo.driver.config.run_file import RunFile
    from grs_evo.structures.structure import Structure


@click.command(short_help="Write a large cell of a run file's alloy.")
@click.argument("run_file", type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="File to write, e.g. big.extxyz.")
@click.option("--sites", type=click.IntRange(1, 2_000_000), default=16_000, show_default=True, help="About so many.")
@click.option("--seed", type=click.IntRange(0), help="Instead of target.alloy.seed.")
def alloy(run_file: Path, out: Path, sites: int, seed: int | None) -> None:
    """Write a large cell of the alloy of a run file: random, or with its short-range order.

    About as long as wide, with whole numbers of atoms nearest to the composition. Swaps bring the Warren-Cowley orders
    of target.alloy.order within 5e-4; a quarter of a million sites take seconds. Such a file can be a target.
    """
    from grs_evo.driver.config.run_file import read
    from grs_evo.exporters.export import write_atoms
    from grs_evo.structures.structure import formula_of, without_vacancies

    elements, cell, left = large_cell(read(run_file), run_file.parent, sites, seed)
    write_atoms(without_vacancies(cell, elements), elements, out)
    order = "random" if left is None else f"orders within {left:.1e} of the wanted ones"
    click.echo(f"{out}: {cell.n_atoms} sites, {formula_of(cell.counts(len(elements)), elements)}, {order}")


def large_cell(
    run: RunFile, folder: Path, n_sites: int, seed: int | None
) -> tuple[tuple[str, ...], Structure, float | None]:
    """Elements, the cell, and how far its orders are from the wanted ones; None where none are wanted.

    Raises
    ------
    InputError
        The run file has no [target.alloy], or one that cannot be.
    """
    import numpy as np

    from grs_evo.driver.setup import alloy_lattice
    from grs_evo.errors import InputError, within
    from grs_evo.targets.clusters import AlloySites
    from grs_evo.targets.random_alloy import site_fractions
    from grs_evo.targets.short_range_order import ordered_cell, orders_of

    options = run.target.alloy
    if options is None:
        raise InputError("target.alloy: is missing; it says which lattice and composition a large cell has")
    elements = options.occupants
    sites = alloy_lattice(run.target, elements, folder, cubic=isinstance(options.composition, dict))
    with within("target.alloy", "."):
        fractions = site_fractions(options.composition, elements, sites.n_atoms)
        orders = orders_of(options.order, elements, fractions)
        scaled = sites.positions @ np.linalg.inv(sites.cell)
        parent = AlloySites(sites.cell, scaled, fractions, orders, options.seed if seed is None else seed)
        cell, left = ordered_cell(parent, n_sites)
    return elements, cell, left if len(orders) else None
