"""Sites that several elements share, or that are filled in part: never a structure, at most the lattice of an alloy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from grs_evo.errors import InputError
from grs_evo.structures.files.text import shown

Occupants = dict[str, float]

# Occupations differ from 1 by rounding only, below this.
_FULL = 1e-3


def check_occupancy(atoms: Any, source: str, sites: bool) -> None:
    """Raise an InputError for mixed or partly filled sites, as ASE keeps them in ``atoms.info["occupancy"]``.

    Parameters
    ----------
    sites : the atoms stand for the sites of a lattice: several elements may share one, but none may be empty in part
    """
    given = atoms.info.get("occupancy")
    if given is None:
        return
    if isinstance(given, str):
        try:
            given = json.loads(given.removeprefix("_JSON "))
        except (ValueError, RecursionError):
            raise InputError(f"{source}: its occupancy cannot be read; it must be what ASE writes") from None
    kinds = atoms.arrays.get("spacegroup_kinds")
    if not isinstance(given, Mapping):
        raise InputError(f"{source}: its occupancy is no mapping from sites to elements and shares")
    given = {str(key): one for key, one in given.items()}  # trajectories have numbers for keys
    for k in range(len(atoms)):
        key = str(int(kinds[k])) if kinds is not None else str(k)
        one = given.get(key)
        if one is None:
            continue
        try:
            shares = {str(symbol): float(share) for symbol, share in one.items()}
        except (AttributeError, TypeError, ValueError):
            raise InputError(f"{source}: the occupancy of site {key} is no mapping from elements to shares") from None
        check_site(shares, f"site {key}", tuple(atoms.get_scaled_positions()[k]), source, sites)


def check_site(shares: Occupants, name: str, place: tuple[float, ...], source: str, sites: bool) -> None:
    """Raise an InputError unless one element fills a site; see `check_occupancy`."""
    total = sum(shares.values())
    full = abs(total - 1.0) <= _FULL
    if full and (sites or sum(share > _FULL for share in shares.values()) == 1):
        return
    told = ", ".join(f"{symbol} {share:g}" for symbol, share in shares.items())
    at = ", ".join(f"{x:.4g}" for x in place)
    what = "is shared by several elements" if full else "is occupied in part"
    if total > 1.0 + _FULL:
        what = "holds more than one atom"
    way = (
        'draw an ordered structure from it, or make a random alloy the target: target.alloy with lattice = "file" and'
        " the composition"
        if full
        else "give a structure with one atom on each site"
    )
    raise InputError(f"{source}: {shown(name, 30)} at ({at}) {what}: {told}; {way}")
