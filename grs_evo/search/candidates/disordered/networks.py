"""Candidates that are networks of bonds, and whether a run file leaves it to the target to have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.loss.terms.coordination import bonded_gaps
from grs_evo.structures.molecules.kinds import find_molecules
from grs_evo.structures.networks.usual import WIDEST, Network, usual_bonds
from grs_evo.structures.structure import Structure

# Å to which the target's distances are looked at.
_REACH = 5.0
# Atoms of a structure, at most, that bonds are looked for in.
_LARGEST = 20_000
# Of an element's atoms, so many at least have one number of bonds: others are melts, in which bonds come and go.
_ALIKE = 0.7
# Atoms without a bond, as a share.
_ALONE = 0.02


class FoundNetwork(NamedTuple):
    """What bonds hold a target together."""

    network: Network | None
    told: str  # which bonds these are, e.g. "O-Si", or why there is none


def find_network(structures: Sequence[Structure], elements: Sequence[str]) -> FoundNetwork:
    """The network of bonds that a target is, as far as it is one; looked for once, though basis and candidates ask."""
    return _found(tuple(structures), tuple(elements))


@lru_cache(maxsize=1)  # structures are never written to, and are compared as objects
def _found(structures: tuple[Structure, ...], elements: tuple[str, ...]) -> FoundNetwork:
    if not structures or not all(one.pbc.all() for one in structures):
        return FoundNetwork(None, "it is not periodic in all directions")
    if max(one.n_atoms for one in structures) > _LARGEST:
        return FoundNetwork(None, f"it has structures of more than {_LARGEST:,} atoms")
    gaps = bonded_gaps(structures, elements, _REACH)
    if not gaps:
        return FoundNetwork(None, "no gap divides bonded neighbours from the next ones, or atoms have seven and more")
    if find_molecules(structures, elements).kinds:
        return FoundNetwork(None, "it consists of molecules")
    bonds = np.zeros((len(elements), len(elements)))
    for (a, b), (inner, outer) in gaps.items():
        bonds[a, b] = bonds[b, a] = 0.5 * (inner + outer)
    network, spread = usual_bonds(structures, bonds, _REACH)
    why_not = _why_not(network, spread, elements)
    names = sorted({"-".join(sorted((elements[a], elements[b]))) for a, b in gaps})
    return FoundNetwork(None, why_not) if why_not else FoundNetwork(network, ", ".join(names))


def _why_not(network: Network, spread: NDArray[np.float64], elements: Sequence[str]) -> str:
    """Why a target is no network of directed bonds; empty where it is one."""
    for element, numbers in zip(elements, network.numbers, strict=True):
        total = numbers.sum(axis=1)
        if (total == 0).mean() > _ALONE:
            return f"{(total == 0).mean():.0%} of its {element} have no bonds"
        share = np.bincount(total).max() / max(len(total), 1)
        if share < _ALIKE:
            return f"its {element} have {total.min()} to {total.max()} bonds, no number of them in {_ALIKE:.0%}"
    widest = np.unravel_index(int(np.nanargmax(np.nan_to_num(spread))), spread.shape)
    if np.nan_to_num(spread)[widest] > WIDEST:
        centre, one, other = (elements[int(k)] for k in widest)
        return f"its {one}-{centre}-{other} angles take all values"
    return ""


def target_network(targets: Sequence[Structure], elements: Sequence[str], shape: str, where: str) -> Network:
    """What candidates keep that are networks.

    Parameters
    ----------
    shape : of random cells; tilted ones take the shape that fits
    where : the section of the run file, for messages

    Raises
    ------
    InputError
        The target is no network of bonds.
    """
    found = find_network(targets, elements)
    if found.network is None:
        raise InputError(f"{where}.network: is true, but the target is no network of bonds: {found.told}")
    return replace(found.network, shape=shape == "triclinic")


def numbers_told(network: Network, elements: Sequence[str]) -> str:
    """E.g. "O with 2 Si, Si with 4 O", of the commonest numbers."""
    told = []
    for element, numbers in zip(elements, network.numbers, strict=True):
        if len(numbers):
            kinds, count = np.unique(numbers, axis=0, return_counts=True)
            common = kinds[int(np.argmax(count))]
            with_what = [f"{n} {other}" for n, other in zip(common.tolist(), elements, strict=True) if n]
            told.append(f"{element} with {' and '.join(with_what)}")
    return ", ".join(told)
