"""The basis as a user gives it: options of the run file, and arguments checked and spread over pairs of elements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from ase.data import atomic_names, atomic_numbers, chemical_symbols, covalent_radii, vdw_radii
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from grs_evo.errors import InputError, nearest
from grs_evo.options import Options
from grs_evo.structures.structure import VACANCY

MAX_RANK = 6
MOST_CUTOFF = 100.0  # Å
MAX_LAMBDA = 50.0

PairTable = float | Mapping[str, float] | Mapping[tuple[str, str], float] | NDArray[np.float64] | None


def _listed(value: Any) -> Any:
    """A number alone is a basis of rank 1."""
    return [value] if isinstance(value, int) and not isinstance(value, bool) else value


class BasisOptions(Options):
    """The basis: either built from limits, or read from a LAMMPS `.yace` file."""

    elements: list[str] = Field(default_factory=list, description="chemical symbols; empty: taken from the target")
    n_max: Annotated[list[int], BeforeValidator(_listed)] = Field(
        default=[8, 2, 2, 1], description="radial functions for ranks 1, 2, …"
    )
    l_max: Annotated[list[int], BeforeValidator(_listed)] = Field(
        default=[0, 2, 2, 1], description="highest angular momentum for ranks 1, 2, …"
    )
    cutoff: float | dict[str, float] | None = Field(
        default=None,
        description="cutoff, one or per ordered pair 'Au-Cu'; default: sum of both van der Waals diameters, in metals"
        " 4 to 7 neighbour shells [Å]",
    )
    lam: float | dict[str, float] | None = Field(
        default=None, description="exponent of the distance scaling; default: 0.05 cutoff/Å"
    )
    cutoff_in: float | dict[str, float] | None = Field(default=None, description="inner cutoff; default: none [Å]")
    taper_in: float | dict[str, float] = Field(default=0.01, description="rise below the inner cutoff [Å]")
    taper: float | dict[str, float] = Field(default=0.01, description="extra fall before the cutoff, LAMMPS's dcut [Å]")
    yace: str | None = Field(default=None, description="path of a .yace file; then nothing else is given here")
    preset: Literal["paper"] | None = Field(
        default=None,
        description='"paper": the defaults listed here, whatever the target; without it and without n_max, l_max and'
        " cutoff they are chosen for the target's structures",
        # Not written where it is not given: files of runs without it stay as they are.
        json_schema_extra={"written": "when given"},
    )


def checked_elements(elements: Sequence[str]) -> tuple[str, ...]:
    """Chemical symbols as a tuple, and X (or Va) for vacancies.

    Raises
    ------
    InputError
        An unknown or repeated symbol, or no element at all.
    """
    if isinstance(elements, str) or not isinstance(elements, Sequence) or not elements:
        raise InputError(f"elements = {elements!r}; it must be a list of chemical symbols such as ['Au', 'Cu']")
    elements = [VACANCY if symbol == "Va" else symbol for symbol in elements]
    for k, symbol in enumerate(elements):
        if symbol != VACANCY and atomic_numbers.get(symbol, 0) == 0:
            known = ["Va", *chemical_symbols[1:]]
            by_name = dict(zip(atomic_names[1:], chemical_symbols[1:], strict=True))
            near = by_name.get(str(symbol).capitalize())
            meant = nearest(str(symbol), known) if near is None else f" (did you mean {near!r}?)"
            raise InputError(f"elements: {symbol!r} is no chemical symbol{meant}")
        if symbol in elements[:k]:
            raise InputError(f"elements: {symbol} is given twice; each element must be given once")
    if elements == [VACANCY]:
        raise InputError(f"elements: {VACANCY} is a vacancy, and there is no element beside it; at least one is needed")
    return tuple(elements)


def checked_limits(n_max: Sequence[int] | int, l_max: Sequence[int] | int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Limits with one entry per rank; InputError where they are out of range or their lengths differ."""
    n, l = _integers("n_max", n_max, 1, 50), _integers("l_max", l_max, 0, 12)
    if len(n) != len(l):
        raise InputError(
            f"n_max = {list(n)} has {len(n)} entries and l_max = {list(l)} has {len(l)}; both need one per rank"
        )
    if not 1 <= len(n) <= MAX_RANK:
        raise InputError(f"n_max = {list(n)}: rank {len(n)} is out of range; ranks 1 to {MAX_RANK} are allowed")
    if l[0] != 0:
        raise InputError(f"l_max = {list(l)}: the entry of rank 1 must be 0, a single neighbour has no angle")
    return n, l


def _integers(name: str, values: Any, low: int, high: int) -> tuple[int, ...]:
    """One integer per rank from a sequence, or from a number alone."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        values = [values]
    values = list(values)
    out = []
    for value in values:
        whole = isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and value == np.floor(value)
        if not whole or not low <= value <= high:
            raise InputError(f"{name} = {values}: {value!r} must be an integer from {low} to {high}")
        out.append(int(value))
    return tuple(out)


def default_cutoffs(elements: Sequence[str]) -> NDArray[np.float64]:
    """Where environments end unless a run says otherwise, (n_el, n_el) Å.

    The reach of an element is its van der Waals diameter, or twice its covalent radius where no van der Waals radius is
    tabulated; a pair's cutoff is the sum of both. In metals that is the paper's 4 to 7 neighbour shells, while the sum
    of two radii would end within the first.
    """
    numbers = [atomic_numbers[symbol] for symbol in elements]
    reach = np.array([2.0 * (vdw_radii[z] if np.isfinite(vdw_radii[z]) else covalent_radii[z]) for z in numbers])
    reach[np.equal(numbers, 0)] = reach.max()  # of vacancies, which have no size
    cutoffs: NDArray[np.float64] = reach[:, None] + reach[None, :]
    return cutoffs


def pair_table(
    value: PairTable, elements: Sequence[str], name: str, unit: str, low: float | None = None
) -> NDArray[np.float64]:
    """A number, a table per pair or an array as (n_el, n_el) floats.

    Parameters
    ----------
    value : a number for all pairs, an array (n_el, n_el), or a table by pair, named "central-neighbour" or (central,
        neighbour); where only one order of a pair is given the other gets the same
    elements : symbols of the basis
    name, unit : of the parameter, for messages
    low : bound that all values must exceed

    Raises
    ------
    InputError
        An unknown pair, a pair without a value, a value that is no finite number or not above `low`.
    """
    n = len(elements)
    unit = f" {unit}" if unit else ""
    if isinstance(value, Mapping):
        table = np.full((n, n), np.nan)
        for pair, x in value.items():
            parts = pair.split("-") if isinstance(pair, str) else list(pair) if isinstance(pair, tuple) else [pair]
            if len(parts) != 2 or any(part not in elements for part in parts):
                allowed = [f"{a}-{b}" for a in elements for b in elements]
                hint = nearest("-".join(map(str, parts)), allowed)
                raise InputError(f"{name}: {pair!r} is no pair of the basis's elements{hint}")
            if isinstance(x, bool) or not isinstance(x, (int, float, np.number)):
                raise InputError(f"{name} of {parts[0]}-{parts[1]} = {x!r}; it must be a number{unit and f' in{unit}'}")
            table[elements.index(parts[0]), elements.index(parts[1])] = x
        table = np.where(np.isnan(table), table.T, table)
        for a, b in np.argwhere(np.isnan(table)):
            raise InputError(f"{name}: no value for the pair {elements[a]}-{elements[b]}; every pair needs one")
    else:
        try:
            if isinstance(value, (str, bool)):
                raise ValueError
            given = np.asarray(value, dtype=np.float64)
            if given.shape not in ((), (n, n)):
                raise ValueError
        except (TypeError, ValueError):
            raise InputError(
                f"{name} = {value!r}; it must be a number{unit and f' in{unit}'}, a table with one per pair such as"
                f" {{'{elements[0]}-{elements[-1]}': …}}, or an array of shape {(n, n)}"
            ) from None
        table = np.array(np.broadcast_to(given, (n, n)))
    for a, b in np.argwhere(~(np.isfinite(table) & (table > (-np.inf if low is None else low)))):
        bound = "finite" if low is None else f"above {low:g}{unit}"
        raise InputError(f"{name} of {elements[a]}-{elements[b]} = {table[a, b]:g}{unit}; it must be {bound}")
    return table


def check_radial(
    elements: Sequence[str],
    cutoff: NDArray[np.float64],
    lam: NDArray[np.float64],
    cutoff_in: NDArray[np.float64],
    taper_in: NDArray[np.float64],
    taper: NDArray[np.float64],
    source: str,
) -> None:
    """Refuse radial parameters for which the functions are undefined, jump, or vanish everywhere.

    Parameters
    ----------
    cutoff, lam, cutoff_in, taper_in, taper : (n_el, n_el) as in `Basis`; Å, λ dimensionless
    source : how messages call the basis

    Raises
    ------
    InputError
        Names the first pair and parameter that is out of range.
    """
    for a, first in enumerate(elements):
        for b, second in enumerate(elements):
            rc, start, pair = cutoff[a, b], cutoff_in[a, b], f"{source}: {{}} of {first}-{second}"
            if not 0.0 < rc <= MOST_CUTOFF:
                raise InputError(
                    f"{pair.format('cutoff')} = {rc:g} Å; it must be above 0 and at most {MOST_CUTOFF:g} Å"
                )
            if not 0.0 < lam[a, b] <= MAX_LAMBDA:
                raise InputError(f"{pair.format('lam')} = {lam[a, b]:g}; it must be above 0 and at most {MAX_LAMBDA:g}")
            if not 0.0 < taper[a, b] <= rc:
                raise InputError(f"{pair.format('taper')} = {taper[a, b]:g} Å; it must be above 0, at most the cutoff")
            if not 0.0 <= start < rc:
                raise InputError(
                    f"{pair.format('cutoff_in')} = {start:g} Å; it must be at least 0 (none) and below the cutoff,"
                    f" {rc:g} Å"
                )
            if start > 0 and not 0.0 < taper_in[a, b] <= rc:
                raise InputError(
                    f"{pair.format('taper_in')} = {taper_in[a, b]:g} Å; it must be above 0 and at most the"
                    f" cutoff, {rc:g} Å"
                )
