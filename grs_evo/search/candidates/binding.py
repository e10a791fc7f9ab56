"""Candidate options, elements and a target's structures into a source that candidates are drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.plugins import load
from grs_evo.search.candidates.disordered.carved import to_be_cut
from grs_evo.search.candidates.disordered.molecules import target_molecules
from grs_evo.search.candidates.disordered.networks import target_network
from grs_evo.search.candidates.disordered.pieces import cuttable
from grs_evo.search.candidates.limits import Fixed, Limits
from grs_evo.search.candidates.shapes import Parent, scaled, shapes_of
from grs_evo.search.candidates.site_rules import element_index, fixed_sites, site_rules
from grs_evo.search.candidates.source import CandidateGenerator, CandidateOptions, Source, minimum_distances
from grs_evo.search.candidates.templates import check_templates, density_of, templates_of
from grs_evo.structures.composition import Composition, free, largest_remainder, told
from grs_evo.structures.structure import Structure

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
    _check_kind(options, where)
    rule = _rule(options, elements, targets, where)
    composition = rule if rule is not None else free(len(elements), options.endpoints)
    minimum = minimum_distances(options, elements, where)
    if spatial is None:
        spatial = options.kind == "random" or max(options.rattle, options.strain, options.between) > 0.0
    sites = _NO_SITES if options.kind == "random" else _sites(options, elements, targets, folder, rule is None, where)
    possible = _possible_sizes(options, composition, sites.templates, elements, where)
    if options.kind == "random":
        reference = 1.0 / density_of(options, targets, where)
    else:
        reference = float(np.median([one.volume / one.n_atoms for one in sites.templates]))
    molecules = None
    if options.molecules:
        given = options.counts is not None or options.fractions is not None
        molecules = target_molecules(targets, elements, composition, given, possible, where)
        possible, composition = tuple(molecules.numbers), free(len(elements))
    if options.kind == "random":
        _check_packing(options, rule or composition, minimum, reference, possible, where)
    templates = tuple(one for one in sites.templates if one.n_atoms in possible)
    fixed = fixed_sites(options, templates, sites.keep, where)
    limits = Limits(
        composition=composition,
        min_distance=minimum,
        sizes=_sizes(options.sizes if spatial and molecules is None else None, possible, fixed),
        volume_per_atom=_volumes(options, templates, reference),
        height=options.height,
        allowed=sites.allowed,
        lattice=not spatial,
        periodic=all(one.pbc.all() for one in templates),
        fixed=fixed,
        molecules=molecules,
        network=target_network(targets, elements, options.shape, where) if options.network else None,
    )
    between_atoms = options.carved_between_atoms
    source = Source(
        options,
        elements,
        limits,
        templates,
        sites.keep,
        possible,
        reference,
        _generator(options, where),
        to_be_cut(0.0 if between_atoms else options.carved, targets, possible[-1], molecules, where),
        cuttable(targets, reference, possible[-1]) if between_atoms else (),
        shapes_of(options, sites.parent, templates, limits.lattice and not sites.keep, where),
    )
    check_templates(source, where)
    return source


class _Sites(NamedTuple):
    """What candidates on sites are made of."""

    templates: tuple[Structure, ...] = ()
    parent: Parent | None = None
    allowed: NDArray[np.bool_] | None = None  # (period, n_el); None: everything everywhere
    keep: bool = False  # the templates' own elements stay


_NO_SITES = _Sites()


def _sites(
    options: CandidateOptions,
    elements: tuple[str, ...],
    targets: Sequence[Structure],
    folder: Path | str,
    unruled: bool,
    where: str,
) -> _Sites:
    templates, parent = templates_of(options, elements, targets, folder, where)
    allowed = site_rules(options, elements, 0 if parent is None else len(parent.sites), templates, where)
    if options.number_density is not None:
        if options.number_density > _DENSEST:
            raise InputError(
                f"{where}.number_density: is {options.number_density:g} atoms/Å³; it must be at most {_DENSEST:g} "
                f"(85 atoms/nm³ are 0.085 atoms/Å³)"
            )
        templates = tuple(scaled(one, one.n_atoms / options.number_density) for one in templates)
    return _Sites(templates, parent, allowed, options.kind == "templates" and unruled)


def _sizes(chosen: tuple[int, int] | None, possible: Sequence[int], fixed: Fixed | None) -> tuple[int, int]:
    """Smallest and largest number of atoms that a search may come to."""
    low, high = chosen or (possible[0], possible[-1])
    return (low, high) if fixed is None else (max(low, int(fixed.sites[-1]) + 1), high)


def _volumes(options: CandidateOptions, templates: Sequence[Structure], reference: float) -> tuple[float, float]:
    """Smallest and largest volume per atom that a search may come to, Å³."""
    low, high = options.volume
    starts = [one.volume / one.n_atoms for one in templates] or [reference]
    return low * min(starts), high * max(starts)


def _check_kind(options: CandidateOptions, where: str) -> None:
    if options.kind != "random" and (options.molecules or options.network or options.carved > 0.0):
        name = "molecules" if options.molecules else "network" if options.network else "carved"
        raise InputError(f'{where}.{name}: makes random cells, so kind must be "random", not "{options.kind}"')


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
            place = element_index(symbol, elements, f"{where}.{name}")
            if value < 0:
                raise InputError(f"{where}.{name}.{symbol}: is {value}; must be 0 or more")
            values[place] = value
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
