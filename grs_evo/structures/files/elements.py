"""Which element a word, a mass, or a numbered atom type stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from grs_evo.errors import InputError

# How far a mass may be from an element's, as a share of it: not so far that the 1 of reduced units is hydrogen.
_NEAR = 0.005
# A mass so near is that element's and no other's.
_SAME = 0.0005


def symbol_of(text: str) -> str | None:
    """The chemical symbol that a text begins with."""
    from ase.data import atomic_numbers

    word = (text.split() or [""])[0]
    return word if atomic_numbers.get(word, 0) > 0 else None


@lru_cache(maxsize=4096)
def element_of_mass(mass: float) -> str | None:
    """The element of a mass in u; None where none is near."""
    import numpy as np
    from ase.data import atomic_masses, chemical_symbols

    number = int(np.argmin(np.abs(atomic_masses[1:] - mass))) + 1
    near = abs(atomic_masses[number] - mass) <= _NEAR * atomic_masses[number]
    return str(chemical_symbols[number]) if near else None


def contradicts(symbol: str, mass: float) -> str | None:
    """The element whose mass stands beside the symbol of another; None where they agree or the mass tells nothing."""
    from ase.data import atomic_masses, atomic_numbers

    heavy = element_of_mass(mass)
    if heavy is None or heavy == symbol:
        return None
    off = {one: abs(atomic_masses[atomic_numbers[one]] / mass - 1.0) for one in (symbol, heavy)}
    same = off[symbol] <= _SAME or (off[symbol] <= _NEAR and off[heavy] > _SAME)
    return None if same else heavy


def rename(atoms: Any, elements: Mapping[int, str], source: str) -> None:
    """Give atoms the elements of their numbered types."""
    kinds = [int(kind) for kind in atoms.arrays["type"]]
    odd = set(kinds) - set(elements)
    if odd:
        raise InputError(
            f"{source}: has atom types up to {max(kinds)}, but only {len(elements)} elements are given"
            if max(odd) > len(elements)
            else f"{source}: has atom type {min(odd)}; types are numbered from 1 on"
        )
    atoms.set_chemical_symbols([elements[kind] for kind in kinds])


def check_symbols(symbols: Sequence[str], source: str) -> None:
    """Raise an InputError for a word that is no chemical symbol."""
    from ase.data import atomic_numbers

    for symbol in dict.fromkeys(symbols):
        if atomic_numbers.get(symbol, 0) == 0:
            raise InputError(f"{source}: {symbol[:20]!r} is no chemical symbol")
