"""Candidate options, elements and a target's structures into a source that candidates are drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError, nearest, within
from grs_evo.kernels.geometry.contacts import closest_ratio, fractional, inverse
from grs_evo.plugins import load
from grs_evo.search.candidates.disordered.carved import to_be_cut
from grs_evo.search.candidates.disordered.molecules import target_molecules
from grs_evo.search.candidates.disordered.networks import target_network
from grs_evo.search.candidates.disordered.pieces import cuttable
from grs_evo.search.candidates.limits import Fixed, Limits
from grs_evo.search.candidates.parents import PARENTS, parent_cell, sites_per_volume
from grs_evo.search.candidates.shapes import Parent, scaled, shapes_of
from grs_evo.search.candidates.source import CandidateGenerator, CandidateOptions, Source, minimum_distances
from grs_evo.search.candidates.supercells import build, heights, supercells
from grs_evo.search.candidates.target_lattice import target_lattice
from grs_evo.structures.composition import (
    Composition,
    assignable,
    free,
    largest_remainder,
    nearest_possible,
    site_mask,
    told,
)  # fmt: skip
from grs_evo.structures.reading import each_atoms
from grs_evo.structures.structure import Structure, from_atoms

# Packing fraction of spheres of the minimum distance that pushing apart has no hope of (random close packing is 0.64).
_MAX_PACKING = 0.68
_DENSEST = 10.0  # atoms/Å³ of a lattice, far beyond any solid; a number in nm⁻³ is above it


def bind(
    options: CandidateOptions,
    elements: Sequence[str],
    targets: Sequence[Structure] = (),
    *,
    spatial: bool | None = None,
    folder: Path | str = ".",
    where: str = "candidates",
) -> Source:
    """Options, elements and the target's structures into a source of candidates.

    Parameters
    ----------
    targets : give density, composition and, where wanted, the parent lattice; may be empty when the options say all
    spatial : whether atoms may move (operators, relaxation); default: only when rattled, strained, mixed or random
    folder : that relative file names start from
    where : the section of the run file, for messages

    Raises
    ------
    InputError
        A composition that no size fits, a density that cannot be packed, an unknown element or lattice, a missing or
        unreadable file, a site without an allowed element.
    """
    elements = tuple(elements)
    if options.kind != "random" and (options.molecules or options.network or options.carved > 0.0):
        name = "molecules" if options.molecules else "network" if options.network else "carved"
        raise InputError(f'{where}.{name}: makes random cells, so kind must be "random", not "{options.kind}"')
    rule = _rule(options, elements, targets, where)
    templates: tuple[Structure, ...] = ()
    parent: Parent | None = None
    per_site: NDArray[np.bool_] | None = None
    keep = False
    if options.kind == "random":
        reference = 1.0 / _density(options, targets, where)
    else:
        templates, parent = _templates(options, elements, targets, folder, where)
        keep = options.kind == "templates" and rule is None
        per_site = _site_rules(options, elements, 0 if parent is None else len(parent.sites), templates, where)
        if options.number_density is not None:
            if options.number_density > _DENSEST:
                raise InputError(
                    f"{where}.number_density: is {options.number_density:g} atoms/Å³; it must be at most {_DENSEST:g} "
                    f"(85 atoms/nm³ are 0.085 atoms/Å³)"
                )
            templates = tuple(scaled(one, one.n_atoms / options.number_density) for one in templates)
        reference = float(np.median([one.volume / one.n_atoms for one in templates]))
    composition = rule if rule is not None else free(len(elements), options.endpoints)
    minimum = minimum_distances(options, elements, where)
    possible = _possible_sizes(options, composition, templates, elements, where)
    molecules = None
    if options.molecules:
        given = options.counts is not None or options.fractions is not None
        molecules = target_molecules(targets, elements, composition, given, possible, where)
        possible, composition = tuple(molecules.numbers), free(len(elements))
    if options.kind == "random":
        _check_packing(options, rule or composition, minimum, reference, possible, where)
    else:
        templates = tuple(one for one in templates if one.n_atoms in possible)
    if spatial is None:
        spatial = options.kind == "random" or max(options.rattle, options.strain, options.between) > 0.0
    low, high = options.volume
    fixed = _fixed(options, templates, keep, where)
    chosen = options.sizes if spatial and molecules is None else None
    sizes = chosen or (possible[0], possible[-1])
    if fixed is not None:
        sizes = (max(sizes[0], int(fixed.sites[-1]) + 1), sizes[1])
    bounds = [one.volume / one.n_atoms for one in templates] or [reference]
    limits = Limits(
        composition=composition,
        min_distance=minimum,
        sizes=sizes,
        volume_per_atom=(low * min(bounds), high * max(bounds)),
        height=options.height,
        allowed=per_site,
        lattice=not spatial,
        periodic=all(one.pbc.all() for one in templates),
        fixed=fixed,
        molecules=molecules,
        network=target_network(targets, elements, options.shape, where) if options.network else None,
    )
    generator = _generator(options, where)
    between_atoms = options.carved_between_atoms
    carved = to_be_cut(0.0 if between_atoms else options.carved, targets, possible[-1], molecules, where)
    pieces = cuttable(targets, reference, possible[-1]) if between_atoms else ()
    shapes = shapes_of(options, parent, templates, limits.lattice and not keep, where)
    source = Source(options, elements, limits, templates, keep, possible, reference, generator, carved, pieces, shapes)
    _check_templates(source, where)
    return source


def _generator(options: CandidateOptions, where: str) -> CandidateGenerator | None:
    if options.generator is None:
        return None
    found: CandidateGenerator = load("candidates", options.generator, CandidateGenerator, f"{where}.generator").value
    return found


def _rule(
    options: CandidateOptions, elements: tuple[str, ...], targets: Sequence[Structure], where: str
) -> Composition | None:
    """The composition rule; None: keep what the templates have."""
    n = len(elements)

    def vector(name: str, given: Mapping[str, float], rest: float) -> NDArray[np.float64]:
        values = np.full(n, rest)
        for symbol, value in given.items():
            if symbol not in elements:
                raise InputError(
                    f"{where}.{name}: element {symbol!r} is not in the basis; its elements are {', '.join(elements)}"
                    + nearest(symbol, elements)
                )
            if value < 0:
                raise InputError(f"{where}.{name}.{symbol}: is {value}; must be 0 or more")
            values[elements.index(symbol)] = value
        return values

    if options.counts is not None:
        counts = vector("counts", options.counts, 0.0)
        if counts.sum() < 1:
            raise InputError(f"{where}.counts: add up to 0 atoms; a structure needs at least one")
        return Composition("counts", counts, counts, options.endpoints)
    if options.fractions is not None:
        fractions = vector("fractions", options.fractions, 0.0)
        if abs(fractions.sum() - 1.0) > 1e-6:
            raise InputError(f"{where}.fractions: add up to {fractions.sum():g}; must be 1")
        return Composition("fractions", fractions / fractions.sum(), fractions / fractions.sum(), options.endpoints)
    if options.limits is not None:
        low = vector("limits", {symbol: pair[0] for symbol, pair in options.limits.items()}, 0.0)
        high = vector("limits", {symbol: pair[1] for symbol, pair in options.limits.items()}, 1.0)
        for symbol, pair in options.limits.items():
            if not 0 <= pair[0] <= pair[1] <= 1:
                raise InputError(
                    f"{where}.limits.{symbol}: is {list(pair)}; must be [smallest, largest] within 0 and 1"
                )
        if low.sum() > 1 + 1e-9 or high.sum() < 1 - 1e-9:
            raise InputError(
                f"{where}.limits: smallest fractions add up to {low.sum():g}, largest to {high.sum():g}; "
                "1 must lie between"
            )
        return Composition("limits", low, high, options.endpoints)
    kind = options.composition or ("keep" if options.kind == "templates" else "target")
    if kind == "keep":
        if options.kind != "templates":
            raise InputError(f'{where}.composition: keep needs kind = "templates", not {options.kind!r}')
        return None
    if kind == "free" or n == 1:
        return free(n, options.endpoints)
    if not targets:
        raise InputError(
            f"{where}: has no composition and the target has no structures; give fractions, counts or limits"
        )
    total = np.sum([one.counts(n) for one in targets], axis=0)
    return Composition("fractions", total / total.sum(), total / total.sum(), options.endpoints)


def _density(options: CandidateOptions, targets: Sequence[Structure], where: str) -> float:
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


def _templates(
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
        a = options.a or (sites_per_volume(options.lattice, options.c_over_a) / _density(options, targets, where)) ** (
            1 / 3
        )
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


def _site_rules(
    options: CandidateOptions, elements: tuple[str, ...], n_parent: int, templates: Sequence[Structure], where: str
) -> NDArray[np.bool_] | None:
    """(period, n_el) what may sit where, or None when everything may."""
    if options.sites is None and not options.pinned:
        return None

    def index(symbol: str, key: str) -> int:
        if symbol not in elements:
            raise InputError(
                f"{where}.{key}: element {symbol!r} is not in the basis; its elements are {', '.join(elements)}"
                + nearest(symbol, elements)
            )
        return elements.index(symbol)

    n_sites = templates[0].n_atoms
    period = n_parent or n_sites
    mask = np.ones((period, len(elements)), bool)
    if options.sites is not None:
        if len(options.sites) != period:
            raise InputError(f"{where}.sites: has {len(options.sites)} entries; the parent cell has {period} sites")
        mask[:] = False
        for k, allowed in enumerate(options.sites):
            if not allowed:
                raise InputError(f"{where}.sites[{k}]: is empty; name at least one of {', '.join(elements)}")
            mask[k, [index(symbol, f"sites[{k}]") for symbol in allowed]] = True
    if options.pinned:
        if len(templates) != 1:
            raise InputError(f"{where}.pinned: needs one cell, but there are {len(templates)} templates")
        mask = site_mask(mask, n_sites)  # type: ignore[assignment]
        for key, symbol in options.pinned.items():
            if not key.isdigit() or int(key) >= n_sites:
                raise InputError(f"{where}.pinned: site {key!r} does not exist; sites are 0 to {n_sites - 1}")
            mask[int(key)] = False
            mask[int(key), index(symbol, f"pinned.{key}")] = True
    return mask


def _fixed(options: CandidateOptions, templates: Sequence[Structure], keep: bool, where: str) -> Fixed | None:
    """The atoms that stay where they are; None when all may move."""
    if not options.fixed:
        return None
    if len(templates) != 1:
        what = f"there are {len(templates)} templates" if templates else "random cells have no sites"
        raise InputError(f"{where}.fixed: needs one cell, but {what}")
    one = templates[0]
    wrong = next((site for site in (min(options.fixed), max(options.fixed)) if not 0 <= site < one.n_atoms), None)
    if wrong is not None:
        raise InputError(f"{where}.fixed: site {wrong} does not exist; sites are 0 to {one.n_atoms - 1}")
    index = np.unique(options.fixed).astype(np.int64)
    species = one.species[index] if keep else np.full(len(index), -1, np.int32)
    return Fixed(index, fractional(one.positions[index], inverse(one.cell)), species)


def _possible_sizes(
    options: CandidateOptions,
    rule: Composition,
    templates: Sequence[Structure],
    elements: Sequence[str],
    where: str,
) -> tuple[int, ...]:
    """Sizes that candidates may have; InputError when the rule leaves none."""
    if templates:
        offered = sorted({one.n_atoms for one in templates})
    elif options.sizes is not None:
        offered = list(range(options.sizes[0], options.sizes[1] + 1))
    elif rule.kind == "counts":
        offered = [int(rule.lower.sum())]
    else:
        raise InputError(f"{where}.sizes: must be given for random cells [atoms], e.g. [54, 54]")
    possible = tuple(n for n in offered if rule.bounds(n) is not None)
    if not possible:
        span = f"{offered[0]}" if len(offered) == 1 else f"{offered[0]} to {offered[-1]}"
        what = (
            f"counts add up to {int(rule.lower.sum())} atoms ({_closest(rule, offered, elements)})"
            if rule.kind == "counts"
            else "limits leave no whole numbers"
        )
        raise InputError(f"{where}: {what}, but the cells have {span} sites; no size fits the composition")
    return possible


def _closest(rule: Composition, offered: Sequence[int], elements: Sequence[str]) -> str:
    """The whole numbers nearest to some counts that one of the sizes holds."""
    total = float(rule.lower.sum())
    size = min(offered, key=lambda n: abs(n - total))
    return f"nearest possible: {told(largest_remainder(rule.lower / total, size), elements)}"


def _check_packing(
    options: CandidateOptions,
    rule: Composition,
    minimum: NDArray[np.float64],
    volume_per_atom: float,
    sizes: Sequence[int],
    where: str,
) -> None:
    fractions = rule.lower / rule.lower.sum() if rule.fixed else np.full(rule.n_elements, 1.0 / rule.n_elements)
    sphere = float(fractions @ (np.pi / 6 * minimum.diagonal() ** 3))
    dense = sphere / volume_per_atom * options.density[0]
    if dense > _MAX_PACKING:
        raise InputError(
            f"{where}: spheres of the minimum distance {minimum.diagonal().max():.3g} Å would fill {dense:.3g} "
            f"of the volume at {options.density[0] / volume_per_atom:.4g} atoms/Å³; random packing reaches "
            f"{_MAX_PACKING}: lower min_distance or the density"
        )
    if options.height > 0:
        widest = (sizes[-1] * volume_per_atom / options.density[0]) ** (1 / 3)
        if options.height > 1.25 * widest:
            raise InputError(
                f"{where}.height: is {options.height:g} Å, but a cell of {sizes[-1]} atoms is "
                f"only about {widest:.3g} Å wide"
            )


def _check_templates(source: Source, where: str) -> None:
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
