"""What a run file leaves open and its alloy says: lattice, composition, cells, basis, loss, search.

Resolved once, when a run begins, and written into its effective run file. A key that is given is left as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.driver.config.run_file import AlloyOptions, RunFile
from grs_evo.errors import InputError, within
from grs_evo.search.candidates.lattices.parents import PARENTS, parent_cell
from grs_evo.search.candidates.source import CandidateOptions
from grs_evo.structures.clusters import shells
from grs_evo.structures.composition import largest_remainder
from grs_evo.targets.random_alloy import site_fractions

# Functions on ideal sites: of a pair of elements one for each of three shells, angles of two and three neighbours.
_N_MAX, _L_MAX, _SHELLS = [3, 1, 1], [0, 2, 1], 3
_FAR = 3.0  # of the cube root of the volume of a site
# Annealing on sites: losses of one generation, and of one anneal.
_EVALUATIONS, _STEPS = 2_500, 10_000
# A parent of the candidates' own; what then follows from the alloy is the composition alone.
_PARENT = {"lattice", "file", "a"}
_COMPOSITION = {"counts", "fractions", "limits", "composition"}


class AlloyCell(NamedTuple):
    """The parent cell of an alloy."""

    cell: NDArray[np.float64]  # (3, 3) Å
    sites: NDArray[np.float64]  # (n, 3) fractional
    file: str  # that it was read from; empty: a named lattice


def named_lattice(options: AlloyOptions, cubic: bool = False) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cell in Å and fractional sites, primitive or conventional."""
    if options.lattice not in PARENTS:
        raise InputError(
            f"target.alloy.lattice: {options.lattice!r} is no lattice; allowed are {', '.join((*PARENTS, 'file'))}; "
            'of a compound "file", with its cell in target.files and a composition for each of its sites'
        )
    if options.a is None:
        raise InputError(f"target.alloy.a: is missing; a {options.lattice} lattice needs its constant in Å")
    return parent_cell(options.lattice, options.a, cubic=cubic)


def with_alloy_defaults(run: RunFile, parent: AlloyCell) -> tuple[RunFile, tuple[str, ...]]:
    """The run file with what its alloy decides, and a line about each such decision.

    Raises
    ------
    InputError
        No cell of the wanted size holds the composition.
    """
    alloy = run.target.alloy
    if alloy is None:
        return run, ()
    notes: list[str] = []
    changes: dict[str, Any] = {}
    if not run.basis.model_fields_set - {"elements"}:
        reach = shells(parent.cell, parent.sites, _FAR * _spacing(parent))
        cutoff = round(float(np.mean(reach[_SHELLS - 1 : _SHELLS + 1])), 3)
        changes["basis"] = run.basis.model_copy(update={"n_max": _N_MAX, "l_max": _L_MAX, "cutoff": cutoff})
        notes.append(f"basis: n_max {_N_MAX}, l_max {_L_MAX}, cutoff {cutoff} Å: three shells of the alloy's sites")
    candidates, told = _candidates(run.candidates, alloy, parent)
    notes += told
    changes["candidates"] = candidates
    on_sites = _has_sites(candidates) and candidates.rattle == 0 and run.relax is None
    loss: dict[str, Any] = {}
    if "variance" not in run.loss.model_fields_set:
        loss["variance"] = 0.0
        notes.append("loss.variance: 0, since no small cell has the variances of a random alloy; give it for others")
    towards = run.loss.mean > 0 and run.loss.w_structure > 0 and run.loss.w_set == 0
    if "terms" not in run.loss.model_fields_set and on_sites and towards and (weight := _cluster_weight(alloy)):
        loss["terms"] = {"clusters": weight}
        notes.append(
            f"loss.terms.clusters: {weight:g}, cluster correlations beside environments; terms = {{}}: without"
        )
    changes["loss"] = run.loss.model_copy(update=loss)
    given = run.search.model_fields_set
    one_cell = candidates.kind != "supercells" or candidates.compact == 1
    if on_sites and one_cell and not run.islands and not given & {"strategy", "walk", "genetic", "operators"}:
        walk = run.search.walk.model_copy(update={"evaluations": _EVALUATIONS, "steps": _STEPS})
        changes["search"] = run.search.model_copy(update={"strategy": "annealing", "walk": walk})
        notes.append("search.strategy: annealing by swaps on the fixed sites; give strategy for another")
    return run.model_copy(update=changes), tuple(notes)


def _has_sites(options: CandidateOptions) -> bool:
    """Whether candidates are occupations of sites: of a lattice, or of a given cell that holds some of its atoms."""
    on_lattice = options.kind in ("lattice", "supercells")
    return on_lattice or (options.kind == "templates" and bool(options.pinned or options.fixed))


def _spacing(parent: AlloyCell) -> float:
    return float((abs(np.linalg.det(parent.cell)) / len(parent.sites)) ** (1 / 3))


def _tables(alloy: AlloyOptions, n_sites: int) -> list[dict[str, float]]:
    """The composition of each site of the parent cell."""
    return [alloy.composition] * n_sites if isinstance(alloy.composition, dict) else list(alloy.composition)


def _cluster_weight(alloy: AlloyOptions) -> float:
    """Elements beside the first on the site with most of them; 0 where no site is mixed.

    Functions of environments grow in number with a higher power of the elements than those of pairs, and ask for more
    of the few occupations of a small cell: with equal weights the orders of five elements stay far off.
    """
    return float(max(sum(x > 0 for x in one.values()) for one in _tables(alloy, 1)) - 1)


def _candidates(
    options: CandidateOptions, alloy: AlloyOptions, parent: AlloyCell
) -> tuple[CandidateOptions, list[str]]:
    given = options.model_fields_set
    if options.kind == "templates" and not _has_sites(options):
        return options, []
    tables = _tables(alloy, len(parent.sites))
    if len(tables) != len(parent.sites):
        raise InputError(
            f"target.alloy.composition: {len(tables)} tables for the {len(parent.sites)} sites of the lattice's cell"
        )
    with within("target.alloy", "."):
        site_fractions(alloy.composition, alloy.occupants, len(tables))
    changes: dict[str, Any] = {}
    notes: list[str] = []
    if options.kind in ("lattice", "supercells") and not given & _PARENT:
        changes, notes = _on_its_lattice(options, alloy, parent, tables)
    if not given & _COMPOSITION:
        changes["fractions"] = {symbol: x / len(tables) for symbol, x in _total(tables).items()}
    made = CandidateOptions.model_validate({**options.model_dump(exclude_unset=True), **changes})
    if made.sizes is not None and made.fractions is not None and made.sizes[0] == made.sizes[1]:
        notes += _rounding(made.fractions, made.sizes[0])
    return made, notes


def _on_its_lattice(
    options: CandidateOptions, alloy: AlloyOptions, parent: AlloyCell, tables: Sequence[dict[str, float]]
) -> tuple[dict[str, Any], list[str]]:
    """Parent, cell and sublattices of candidates on the alloy's own lattice, and a word about the cell."""
    given = options.model_fields_set
    changes: dict[str, Any] = {"lattice": alloy.lattice}
    changes |= {"file": parent.file} if parent.file else {"a": alloy.a}
    notes = []
    supercells = options.kind == "supercells" or (options.sizes is not None and not given & {"kind", "repeat"})
    if supercells:
        changes["kind"] = "supercells"
    if supercells and not given & {"kind", "compact"}:
        size = _size(options, tables)
        changes |= {"sizes": (size, size), "compact": 1}
        notes.append(f"candidates: {size} sites, in the cell whose sites are farthest from their own images")
    occupants = [tuple(symbol for symbol, x in one.items() if x > 0) for one in tables]
    if "sites" not in given and len(set(map(frozenset, occupants))) > 1:
        # the conventional cell of diamond lists each of its sites four times
        times = 4 if alloy.lattice == "diamond" and not supercells and options.cubic else 1
        changes["sites"] = tuple(one for one in occupants for _ in range(times))
    return changes, notes


def _total(tables: Sequence[dict[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for one in tables:
        for symbol, x in one.items():
            if x > 0:
                total[symbol] = total.get(symbol, 0.0) + x
    return total


def _size(options: CandidateOptions, tables: Sequence[dict[str, float]]) -> int:
    """The number of sites in range that comes nearest to the fractions in whole atoms; of equals the largest."""
    low, high = options.sizes or (1, 1)
    n = len(tables)
    sizes = range(-(-low // n) * n, high + 1, n)
    if not sizes:
        raise InputError(
            f"candidates.sizes: are {low} to {high} sites, and the lattice's cell has {n}; the nearest possible "
            f"numbers are {max(1, low // n) * n} and {(high // n + 1) * n}"
        )
    fractions = np.array(list(_total(tables).values())) / n
    off = {size: round(float(np.abs(largest_remainder(fractions, size) / size - fractions).max()), 9) for size in sizes}
    return min(sizes, key=lambda size: (off[size], -size))


def _rounding(fractions: dict[str, float], size: int) -> list[str]:
    """A word where whole atoms differ from the fractions; InputError where an element would be left out."""
    wanted = np.array(list(fractions.values()))
    counts = largest_remainder(wanted, size)
    told = ", ".join(f"{symbol} {n}" for symbol, n in zip(fractions, counts.tolist(), strict=True))
    for symbol, x, n in zip(fractions, wanted, counts, strict=True):
        if n == 0:
            raise InputError(
                f"candidates.sizes: {size} sites cannot hold a fraction {x:.4g} of {symbol}; the nearest possible "
                f"composition is {told}: give it as fractions, or at least {int(np.ceil(1 / x))} sites"
            )
    if np.abs(counts - wanted * size).max() > 1e-6:
        return [f"candidates: {size} sites do not hold the composition exactly; the nearest, {told}, is taken"]
    return []
