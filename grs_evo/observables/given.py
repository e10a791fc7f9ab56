"""What users hand over, checked and one at a time: structures, ase.Atoms, iterables of them, names of files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from grs_evo.errors import InputError, WrongType, type_of
from grs_evo.structures.reading import read_with_elements
from grs_evo.structures.structure import Structure, ase_of, checked_structure, is_atoms


def structures_of(given: Any, elements: Sequence[str] | None, name: str) -> tuple[tuple[str, ...], Iterable[Structure]]:
    """Elements and checked structures.

    Where elements are given, structures are checked as they are wanted, so that any number can stream through.

    Parameters
    ----------
    name : how messages call them

    Raises
    ------
    InputError, WrongType
        Neither structures nor files; a Structure, or an iterator, without `elements`; an element that is not in them.
    """
    if isinstance(elements, str):
        raise WrongType(f"{name}: elements is a str; it must be a list of chemical symbols")
    if isinstance(given, str | Path):
        given = [given]
    if isinstance(given, Structure) or is_atoms(given):
        given = [given]
    if not isinstance(given, Iterable):
        raise WrongType(f"{name}: is {type_of(given)}; it must be a structure, several of them, or names of files")
    if isinstance(given, Sequence) and given and all(isinstance(one, str | Path) for one in given):
        symbols, entries = read_with_elements(given)
        if elements is None:
            return symbols, [entry.structure for entry in entries]
        given = _renamed((entry.structure for entry in entries), symbols, elements, name)
    if elements is not None:
        return tuple(elements), _checked(given, tuple(elements), name)
    kept = list(given)
    if any(isinstance(one, Structure) for one in kept):
        raise InputError(f"{name}: a Structure does not know its elements; give elements, e.g. basis.elements")
    known = sorted(_numbers(kept, name).items(), key=lambda item: item[1])
    symbols = tuple(symbol for symbol, _ in known)
    return symbols, list(_checked(kept, symbols, name))


def _numbers(kept: Sequence[Any], name: str) -> dict[str, int]:
    for k, one in enumerate(kept):
        if not is_atoms(one):
            raise WrongType(f"{name}[{k}]: is {type_of(one)}; it must be ase.Atoms or a Structure")
    kept = [ase_of(one, f"{name}[{k}]") for k, one in enumerate(kept)]
    pairs = chain.from_iterable(zip(one.get_chemical_symbols(), one.get_atomic_numbers(), strict=True) for one in kept)
    return {symbol: int(number) for symbol, number in pairs}


def _checked(given: Iterable[Any], elements: tuple[str, ...], name: str) -> Iterator[Structure]:
    for k, one in enumerate(given):
        yield checked_structure(one, elements, f"{name}[{k}]")


def _renamed(
    found: Iterable[Structure], symbols: Sequence[str], elements: Sequence[str], name: str
) -> Iterator[Structure]:
    """Structures with species in another order of elements."""
    import numpy as np

    missing = [symbol for symbol in symbols if symbol not in elements]
    if missing:
        raise InputError(f"{name}: element {missing[0]} is not among {', '.join(elements)}")
    place = np.array([list(elements).index(symbol) for symbol in symbols], np.int32)
    for structure in found:
        yield structure.replace(species=place[structure.species])
