"""What may sit on a site of candidates, and which of them stay where they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError, nearest
from grs_evo.kernels.geometry.contacts import fractional, inverse
from grs_evo.search.candidates.limits import Fixed
from grs_evo.search.candidates.source import CandidateOptions
from grs_evo.structures.composition import site_mask
from grs_evo.structures.structure import Structure


def element_index(symbol: str, elements: Sequence[str], key: str) -> int:
    """Which of the basis's elements a key of the run file names; InputError where it is none."""
    if symbol not in elements:
        raise InputError(
            f"{key}: element {symbol!r} is not in the basis; its elements are {', '.join(elements)}"
            + nearest(symbol, elements)
        )
    return elements.index(symbol)


def site_rules(
    options: CandidateOptions, elements: tuple[str, ...], n_parent: int, templates: Sequence[Structure], where: str
) -> NDArray[np.bool_] | None:
    """(period, n_el) what may sit where, or None when everything may."""
    if options.sites is None and not options.pinned:
        return None

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
            mask[k, [element_index(symbol, elements, f"{where}.sites[{k}]") for symbol in allowed]] = True
    if options.pinned:
        if len(templates) != 1:
            raise InputError(f"{where}.pinned: needs one cell, but there are {len(templates)} templates")
        mask = site_mask(mask, n_sites)  # type: ignore[assignment]
        for key, symbol in options.pinned.items():
            if not key.isdigit() or int(key) >= n_sites:
                raise InputError(f"{where}.pinned: site {key!r} does not exist; sites are 0 to {n_sites - 1}")
            mask[int(key)] = False
            mask[int(key), element_index(symbol, elements, f"{where}.pinned.{key}")] = True
    return mask


def fixed_sites(options: CandidateOptions, templates: Sequence[Structure], keep: bool, where: str) -> Fixed | None:
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
