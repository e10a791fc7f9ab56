"""All observables that there are, and their values for some structures."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from grs_evo.errors import InputError
from grs_evo.observables import cells, environments
from grs_evo.observables.counting.survey import survey
from grs_evo.observables.given import structures_of
from grs_evo.observables.record import Observable
from grs_evo.plugins import entry_points, load
from grs_evo.structures.structure import Structure

# Those that run files name; the only state of this module, which says what code there is, as an import does.
_plugged: dict[str, Observable] = {}


def plug(observable: Observable) -> None:
    """Add an observable for as long as the process lasts; the same one again changes nothing.

    Raises
    ------
    InputError
        Another one has this name.
    """
    if _plugged.get(observable.name) == observable:
        return
    extended(all_observables(), [observable])  # raises
    _plugged[observable.name] = observable


def try_plugged(structures: Sequence[Structure], elements: Sequence[str]) -> None:
    """Measure the smallest structure with what run files name, so that slips are told before a search, not after it.

    Raises
    ------
    InputError
        One of them raises, or gives something else than values.
    """
    if _plugged and structures:
        counted = survey([min(structures, key=lambda one: one.n_atoms)], elements)
        for one in _plugged.values():
            one.measure(counted)


def all_observables() -> tuple[Observable, ...]:
    """The observables of this package, then those of entry points, then those that were plugged in."""
    return (*_installed(), *_plugged.values())


@cache
def _installed() -> tuple[Observable, ...]:
    """The observables of this package, by module name, then those that other packages add by entry points.

    Raises
    ------
    InputError
        An entry point is no `Observable`, or has the name of another one.
    """
    found: list[Observable] = []
    for package in (cells, environments):
        for module in sorted(info.name for info in pkgutil.iter_modules(package.__path__)):
            found.append(importlib.import_module(f"{package.__name__}.{module}").OBSERVABLE)
    return extended(
        found, [load("observables", name, Observable, "observables").value for name in entry_points("observables")]
    )


def extended(known: Sequence[Observable], extra: Sequence[Any]) -> tuple[Observable, ...]:
    """Observables and more of them, whose names must be new."""
    result = list(known)
    for one in extra:
        if not isinstance(one, Observable):
            raise InputError(f"observables: {one!r} is a {type(one).__name__}; it must be an Observable")
        if one.name in {other.name for other in result}:
            raise InputError(f"observables: there are two of the name {one.name!r}; each needs its own")
        result.append(one)
    return tuple(result)


def observe(
    structures: Any,
    elements: Sequence[str] | None = None,
    reach: float | None = None,
    extra: Sequence[Observable] = (),
) -> dict[str, dict[str, Any]]:
    """Everything that can be told of some structures without a target, taken together.

    Parameters
    ----------
    structures : a Structure or ase.Atoms, several of them in any iterable, or names of structure files
    elements : symbols in the order of species; needed for a Structure alone, otherwise those that occur
    reach : Å, how far pairs are looked at; None: past the second shell of neighbours
    extra : observables beside those of `all_observables`

    Returns
    -------
    dict : plain values by observable, and within it by pair, element or quantity; "sizes" tells what was read

    Raises
    ------
    InputError
        There is no structure, or one that is unsound.
    """
    symbols, found = structures_of(structures, elements, "structures")
    counted = survey(found, symbols, reach)
    result: dict[str, dict[str, Any]] = {
        "sizes": {"structures": counted.n_structures, "atoms": counted.n_atoms, "reach": counted.reach}
    }
    for observable in extended(all_observables(), extra):
        result[observable.name] = observable.measure(counted)
    return result


def listing(extra: Iterable[Observable] = ()) -> list[dict[str, str]]:
    """Name, meaning and unit of each observable, for pages that list them."""
    known = extended(all_observables(), list(extra))
    return [{"name": o.name, "meaning": o.meaning, "unit": o.unit} for o in known]
