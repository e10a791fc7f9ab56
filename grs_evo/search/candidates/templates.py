"""Structures whose sites candidates occupy: cells of a lattice, of a file, of the target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from grs_evo.errors import InputError, nearest, within
from grs_evo.kernels.geometry.contacts import closest_ratio
from grs_evo.search.candidates.lattices.parents import PARENTS, parent_cell, sites_per_volume
from grs_evo.search.candidates.lattices.supercells import build, heights, supercells
from grs_evo.search.candidates.lattices.target_lattice import target_lattice
from grs_evo.search.candidates.shapes import Parent
from grs_evo.search.candidates.source import CandidateOptions, Source
from grs_evo.structures.composition import assignable, nearest_possible, told
from grs_evo.structures.reading import each_atoms
from grs_evo.structures.structure import Structure, from_atoms


def density_of(options: CandidateOptions, targets: Sequence[Structure], where: str) -> float:
    """Atoms per Å³."""
    if options.number_density is not None:
        return options.number_density
    if not targets:
        raise InputError(
            f"{where}.number_density: must be given [1/Å³], since the target has no structures to take it from"
        )
    if not all(one.pbc.all() for one in targets):
        raise InputError(
            f"{where}.number_density: must be given [1/Å³], since the target is not periodic in all directions "
            "and its cell holds vacuum"
        )
    return sum(one.n_atoms for one in targets) / sum(one.volume for one in targets)


def templates_of(
    options: CandidateOptions,
    elements: tuple[str, ...],
    targets: Sequence[Structure],
    folder: Path | str,
    where: str,
) -> tuple[tuple[Structure, ...], Parent | None]:
    """Structures to occupy, and their parent."""
    if options.kind == "templates":
        return tuple(_read(options, elements, folder, where)), None
    cell, sites, kinds, pbc = parent = _parent(options, elements, targets, folder, where)
    if options.kind == "lattice":
        one = build(cell, sites, np.diag(np.array(options.repeat, np.int64)), compact=False)
        return (one.replace(pbc=pbc),), parent
    sizes = options.sizes or (1, 8 * len(sites))
    if not pbc.all():
        raise InputError(
            f"{where}.kind: supercells needs a parent that is periodic in all directions, pbc is {pbc.tolist()}"
        )
    with within(where, "."):
        found = supercells(cell, sites, sizes, options.height, kinds, options.compact)
    if not found:
        raise InputError(
            f"{where}.sizes: no supercell of the {len(sites)}-site parent has {sizes[0]} to {sizes[1]} sites "
            f"and heights of {options.height:g} Å or more"
        )
    return tuple(found), parent


def _parent(
    options: CandidateOptions,
    elements: tuple[str, ...],
    targets: Sequence[Structure],
    folder: Path | str,
    where: str,
) -> Parent:
    periodic = np.ones(3, bool)
    cubic = options.cubic and options.kind == "lattice"
    if options.lattice in PARENTS:
        a = options.a or (
            sites_per_volume(options.lattice, options.c_over_a) / density_of(options, targets, where)
        ) ** (1 / 3)
        cell, sites = parent_cell(options.lattice, a, options.c_over_a, cubic)
        return Parent(cell, sites, None, periodic)
    if options.lattice == "file":
        one = _read(options, elements, folder, where)[0]
    elif options.lattice == "target":
        if not targets:
            raise InputError(
                f'{where}.lattice: is "target", but the target has no structures; name a lattice or a file'
            )
        one = targets[0]
    else:
        allowed = (*PARENTS, "target", "file")
        raise InputError(
            f"{where}.lattice: {options.lattice!r} is not a parent lattice; allowed are {', '.join(allowed)}"
            + nearest(options.lattice, allowed)
        )
    if options.lattice == "target":
        found = target_lattice(one, cubic, options.symprec, where)
        if options.kind == "lattice" and (np.array(options.repeat)[~found.pbc] > 1).any():
            raise InputError(
                f"{where}.repeat: is {list(options.repeat)}, but the target is periodic along {found.pbc.tolist()} "
                "only; it must be 1 along the others, where the vacuum is"
            )
        return Parent(found.cell, found.sites, None, found.pbc)
    kinds = None
    if options.sites is not None:
        # Sublattices with different elements are different kinds of site for the symmetry.
        names = sorted({tuple(sorted(site)) for site in options.sites})
        kinds = np.array([names.index(tuple(sorted(site))) for site in options.sites], np.int64)
        if len(kinds) != one.n_atoms:
            kinds = None
    return Parent(one.cell, one.positions @ np.linalg.inv(one.cell), kinds, one.pbc)


def _read(options: CandidateOptions, elements: tuple[str, ...], folder: Path | str, where: str) -> list[Structure]:
    if options.file is None:
        raise InputError(f"{where}.file: must name a structure file for this kind of candidates")
    # A parent cell may hold any symbols: its sites count, not what sits there.
    ruled = any(one is not None for one in (options.counts, options.fractions, options.limits))
    bare = options.kind != "templates" or ruled or options.composition not in (None, "keep")
    with within(f"{where}.file"):
        found = list(each_atoms(options.file, folder=folder, nameless=bare))
        if bare:
            for _, _, atoms in found:
                atoms.symbols = [s if s in elements else elements[0] for s in atoms.get_chemical_symbols()]
        return [from_atoms(atoms, elements, source) for source, _, atoms in found]


def check_templates(source: Source, where: str) -> None:
    """Every template keeps the limits by itself, and its sites can hold the composition."""
    limits = source.limits
    if not source.templates:
        return
    for k, one in enumerate(source.templates):
        if limits.height > 0 and heights(one.cell)[one.pbc].min(initial=np.inf) < limits.height - 1e-9:
            raise InputError(
                f"{where}.height: template {k} is {heights(one.cell).min():.3g} Å high; "
                f"at least {limits.height:g} Å is asked for"
            )
        if one.pbc.all():
            # Sites cannot be farther apart than those of a closest packing; of a far greater distance no structure
            # comes near, and looking for pairs within it takes time that grows as its cube.
            farthest = (np.sqrt(2.0) * one.volume / one.n_atoms) ** (1 / 3)
            if limits.min_distance.min() > 2.0 * farthest:
                raise InputError(
                    f"{where}.min_distance: is {limits.min_distance.min():.4g} Å, but at the density of template {k} "
                    f"sites are at most {farthest:.3g} Å apart; lower min_distance or the density"
                )
        shortest = closest_ratio(one.positions, one.cell, np.zeros(one.n_atoms, np.int32), one.pbc, limits.min_distance)
        if not source.keep and shortest < 1.0 and len(source.elements) == 1:
            raise InputError(
                f"{where}: sites of template {k} are {shortest * limits.min_distance[0, 0]:.3g} Å apart; "
                f"min_distance is {limits.min_distance[0, 0]:.3g} Å"
            )
        mask = limits.mask(one.n_atoms)
        bounds = limits.composition.bounds(one.n_atoms)
        if limits.composition.fixed and mask is not None and bounds is not None and not assignable(bounds[0], mask):
            raise InputError(
                f"{where}.sites: the allowed elements cannot hold the composition {told(bounds[0], source.elements)}; "
                f"the nearest possible one is {told(nearest_possible(bounds[0], mask), source.elements)}"
            )
