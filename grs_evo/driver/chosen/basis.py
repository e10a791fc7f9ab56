"""A basis for a target: cutoffs between its shells, and as many radial functions as its pair distances need.

The measure: the density of neighbours over distance is projected on the radial functions of a basis and back, by the
smoothest density with the same means. What is then missing of g(r), over what as many random environments of the
target differ by, says how far cells that agree in every mean of the basis may differ in g(r); up to 1 it is less than
chance. (Method: the pair distribution of a glass is off by four times the random scatter where 8 functions reach 7 Å.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from grs_evo.descriptors.basis import Basis, build_basis
from grs_evo.descriptors.options import BasisOptions, default_cutoffs
from grs_evo.observables.counting.cutoffs import shell_cutoffs
from grs_evo.observables.counting.sampled import PairDensity, on_sites, pair_density
from grs_evo.observables.counting.shells import broadened
from grs_evo.observables.counting.survey import COARSE
from grs_evo.search.candidates.disordered.networks import find_network
from grs_evo.structures.structure import Structure

Array = NDArray[np.float64]

# Environments that a resolution is measured for: a cell of the usual size.
_CELL = 54
# Radial functions of rank 1 that are tried; higher ranks from the paper's to what many elements allow.
_RADIAL = (8, 12, 16, 20, 24, 28)
_HIGHER = (((2, 2, 1), (2, 2, 1)), ((2, 1), (2, 1)), ((2,), (2,)), ((1,), (2,)))
# Of a network of directed bonds: functions of rank 4 grow as the fourth power of how far an atom stands out of the
# middle of its neighbours, their variance as the eighth, and rule over all others.
_DIRECTED = ((3,), (4,))
# Functions per element with which a cell of some fifty atoms is relaxed in about a second.
_MOST_FUNCTIONS = 300
ENOUGH = 1.0
_WORTH_A_WORD = 1.5
_INNER = 1.0  # Å, g(r) below is 0 and of no interest


@dataclass(frozen=True)
class Resolution:
    """How well a basis tells distances of pairs apart."""

    ratio: float  # what is missing of g(r) over what random environments differ by; 0 where there is nothing to see
    enough: int  # radial functions of rank 1 with which the ratio is at most 1, or the most that are tried


def resolution(basis: Basis, density: PairDensity) -> Resolution:
    """How well the functions of rank 1 resolve the target's distances, and how many of them would be enough."""
    n_own = basis.n_of_l[0] if basis.n_of_l else 0
    tried = [n_own, *(n for n in _RADIAL if n > n_own)]
    ratio = _missing(basis, density, n_own)
    enough = next((n for n in tried if _missing(basis, density, n) <= ENOUGH), tried[-1])
    return Resolution(ratio, enough)


def _missing(basis: Basis, density: PairDensity, n_radial: int) -> float:
    """What n radial functions leave out of g(r), over what a cell's worth of random environments differs by."""
    missing, noise = 0.0, 0.0
    shares = density.counted / max(int(density.counted.sum()), 1)
    mean = density.coarse
    for a, b in product(np.flatnonzero(density.counted).tolist(), repeat=2):
        n_bins = min(int(float(basis.cutoff[a, b]) / COARSE), mean.shape[2])
        r = (np.arange(n_bins) + 0.5) * COARSE
        even = 4 * np.pi * r**2 * COARSE * density.per_volume[b]
        off = mean[a, b, :n_bins] - even
        functions = radial_functions(basis, a, b, r, n_radial)
        back = even * (functions.T @ _solved(functions, even, off))
        inner = r > _INNER
        missing += float(((broadened(off - back, COARSE) / even)[inner] ** 2).sum())
        number = max(_CELL * float(shares[a]), 1.0)
        noise += float(((density.spread[a, b, :n_bins] / even)[inner] ** 2).sum()) / number
    return float(np.sqrt(missing / noise)) if noise > 0 else 0.0


def _solved(functions: Array, even: Array, off: Array) -> Array:
    """Coefficients of the smallest departure from an even density with the same projections."""
    scale = 1.0 / np.sqrt((functions**2 * even).sum(axis=1))
    scaled = functions * scale[:, None]
    overlap = (scaled * even) @ scaled.T
    found = np.linalg.lstsq(overlap, scaled @ off, rcond=1e-9)[0]
    return np.asarray(found * scale, np.float64)


def radial_functions(basis: Basis, a: int, b: int, r: Array, n: int) -> Array:
    """(n, len(r)) the radial functions of a pair (arXiv:2409.13871 eq. 9), tapers apart."""
    cutoff, lam = float(basis.cutoff[a, b]), float(basis.lam[a, b])
    x = 1 - 2 * (np.exp(-lam * r / cutoff) - np.exp(-lam)) / (1 - np.exp(-lam))
    envelope = 0.5 * (1 + np.cos(np.pi * r / cutoff))
    angle = np.arccos(np.clip(x, -1, 1))
    higher = [0.5 * (1 - np.cos(k * angle)) * envelope for k in range(1, n)]
    return np.stack([envelope, *higher])


def is_open(options: BasisOptions) -> bool:
    """Whether the options leave the basis to the target."""
    return (
        options.preset is None
        and options.yace is None
        and options.cutoff is None
        and not options.model_fields_set & {"n_max", "l_max"}
    )


def chosen_basis(options: BasisOptions, structures: Sequence[Structure], elements: Sequence[str]) -> BasisOptions:
    """The options with cutoffs, radial and angular limits for a target's structures."""
    density, between = shell_cutoffs(structures, default_cutoffs(elements))
    cutoffs = {
        f"{first}-{second}": float(between[a, b])
        for a, first in enumerate(elements)
        for b, second in enumerate(elements)
    }
    with_cutoffs = options.model_copy(update={"cutoff": cutoffs})
    higher = next((limits for limits in _HIGHER if _size(len(elements), limits) <= _MOST_FUNCTIONS), _HIGHER[-1])
    n_radial = _RADIAL[0]
    if not on_sites(density):
        basis = build_basis(elements, (_RADIAL[0],), (0,), cutoffs, options.lam)
        n_radial = resolution(basis, density).enough
        if find_network(structures, elements).network is not None:
            higher = _DIRECTED
    return with_cutoffs.model_copy(update={"n_max": [n_radial, *higher[0]], "l_max": [0, *higher[1]]})


def _size(n_elements: int, limits: tuple[tuple[int, ...], tuple[int, ...]]) -> int:
    """Functions per element of ranks 2 and up."""
    symbols = ("H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne")[:n_elements]
    if len(symbols) < n_elements:
        return _MOST_FUNCTIONS + 1
    return build_basis(symbols, (1, *limits[0]), (0, *limits[1]), 5.0).sizes[0]


def resolution_note(basis: Basis, structures: Sequence[Structure], compared: bool) -> tuple[str, ...]:
    """A word about a given basis that does not resolve the target's distances.

    Parameters
    ----------
    compared : whether distances of pairs are compared as a term of the loss
    """
    if compared or not structures or not basis.n_of_l:
        return ()
    density = pair_density(structures, basis.n_elements, float(basis.cutoff.max()))
    if on_sites(density) or not density.mean.any():
        return ()
    found = resolution(basis, density)
    if found.ratio <= _WORTH_A_WORD:
        return ()
    return (
        f"the target: {basis.n_of_l[0]} radial functions to {basis.cutoff.max():.1f} Å do not resolve its distances: "
        f"g(r) may be {found.ratio:.1f} times as far off as {_CELL} random environments; n_max = [{found.enough}, …] "
        "or loss.terms.pair_distances holds it",
    )


def basis_line(options: BasisOptions) -> str:
    """What was chosen, in a line."""
    cutoffs = options.cutoff if isinstance(options.cutoff, dict) else {}
    told = {"-".join(sorted(pair.split("-"))): cutoff for pair, cutoff in cutoffs.items()}
    listed = ", ".join(f"{pair} {cutoff:.2f} Å" for pair, cutoff in told.items())
    return (
        f"basis: n_max = {options.n_max}, l_max = {options.l_max}, cutoffs between the target's shells: {listed} "
        '(basis.preset = "paper" takes the paper\'s)'
    )
