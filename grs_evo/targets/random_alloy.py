"""Random alloys: descriptors averaged exactly over all occupations of an ideal lattice, and occupations drawn.

Every site is occupied independently of all others. A of an atom is then a sum over neighbours that are independent of
each other, so joint cumulants of entries of A are sums over neighbours of the cumulants of one, and a function of
correlation order N, a polynomial in A, has the expectation

    E[A_1 … A_N] = Σ over partitions of {1 … N} of Π over parts of K(part),   K(part) = Σ_j κ_j(μ's of the part) Π φ_j

with φ_j what neighbour j adds to A when it is there and κ_j the cumulants of the occupation of its site.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import factorial

import numpy as np
from numpy.typing import NDArray

from grs_evo.descriptors.basis import Basis
from grs_evo.descriptors.pair_functions import pair_functions
from grs_evo.descriptors.program import Program
from grs_evo.errors import InputError, nearest
from grs_evo.structures.neighbours import neighbours
from grs_evo.structures.structure import Structure

# Monomials in A beyond which the exact mean is given up for sampling: some seconds of set-up.
MOST_MONOMIALS = 300_000
_SUM_SLACK = 1e-6

Polynomial = dict[tuple[int, ...], float]


def site_fractions(
    composition: Mapping[str, float] | Sequence[Mapping[str, float]], elements: Sequence[str], n_sites: int
) -> NDArray[np.float64]:
    """Composition as (n_sites, n_elements) fractions.

    Parameters
    ----------
    composition : fraction of each element, for all sites alike or one mapping per site

    Raises
    ------
    InputError
        Fractions that do not sum to 1, are negative, name an element outside the basis; a wrong number of sites.
    """
    each = [composition] * n_sites if isinstance(composition, Mapping) else list(composition)
    if len(each) != n_sites:
        raise InputError(f"composition: {len(each)} sites given for a lattice of {n_sites}")
    out = np.zeros((n_sites, len(elements)))
    for site, fractions in enumerate(each):
        if not fractions:
            raise InputError(f"composition: of site {site} names no element; its fractions must sum to 1")
        for symbol, fraction in fractions.items():
            if symbol not in elements:
                raise InputError(
                    f"composition: element {symbol} is not in the basis; its elements are {', '.join(elements)}"
                    + nearest(symbol, elements)
                )
            if not (np.isfinite(fraction) and 0 <= fraction <= 1):
                raise InputError(f"composition: the fraction of {symbol} is {fraction}; it must lie between 0 and 1")
            out[site, list(elements).index(symbol)] = fraction
        total = sum(fractions.values())
        if abs(total - 1) > _SUM_SLACK:
            listed = ", ".join(f"{symbol} {fraction:g}" for symbol, fraction in fractions.items())
            raise InputError(f"composition: fractions {listed} sum to {total:g}; they must sum to 1")
        out[site] /= out[site].sum()
    return out


def expected_descriptors(
    lattice: Structure, basis: Basis, fractions: NDArray[np.float64], most_monomials: int = MOST_MONOMIALS
) -> NDArray[np.float64] | None:
    """Mean descriptors of each element's atoms over all occupations, (n_desc,); None where that is too much work.

    Parameters
    ----------
    lattice : the ideal sites; species are ignored
    fractions : (n_sites, n_elements) occupation probabilities
    """
    expanded: dict[int, list[Polynomial] | None] = {}
    pairs = neighbours(lattice, float(np.max(basis.cutoff)))
    out = np.zeros(basis.n_desc)
    for element, program in enumerate(basis.programs):
        weights = fractions[:, element]
        if weights.sum() == 0:
            continue
        if id(program) not in expanded:
            expanded[id(program)] = expand(program, most_monomials)
        polynomials = expanded[id(program)]
        if polynomials is None:
            return None
        mean = np.zeros(basis.sizes[element])
        for site in np.flatnonzero(weights):
            mine = pairs.first == site
            phi = _columns(pairs.vectors[mine], element, basis)
            expectation = _Expectation(phi, fractions[pairs.second[mine]], basis.n_a // basis.n_elements)
            values = [sum(c * expectation.of(key) for key, c in p.items()) for p in polynomials]
            mean += weights[site] * np.array(values)
        out[basis.columns(element)] = mean / weights.sum()
    return out


def draw_alloy(lattice: Structure, basis: Basis, fractions: NDArray[np.float64], rng: np.random.Generator) -> Structure:
    """A supercell with every site occupied at random, so large that no atom sees two images of one site."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(lattice.cell), axis=0)
    repeats = np.where(lattice.pbc, np.ceil(2.0 * np.max(basis.cutoff) / heights).astype(int), 1)
    grid = np.stack(np.meshgrid(*(np.arange(k) for k in repeats), indexing="ij"), axis=-1).reshape(-1, 3)
    positions = (lattice.positions[None, :, :] + (grid @ lattice.cell)[:, None, :]).reshape(-1, 3)
    steps = np.cumsum(fractions, axis=1)
    steps[:, -1] = 1.0
    site = np.tile(np.arange(lattice.n_atoms), len(grid))
    species = (rng.random(len(site))[:, None] >= steps[site]).sum(axis=1)
    # An element of fraction 0 behind the last one drawn can only be met by rounding.
    species = np.minimum(species, basis.n_elements - 1).astype(np.int32)
    return Structure(positions, lattice.cell * repeats[:, None], species, lattice.pbc)


def expand(program: Program, most: int = MOST_MONOMIALS) -> list[Polynomial] | None:
    """Each function of a bilinear program as a polynomial in the rows of A; None beyond `most` monomials in all."""
    rows: dict[int, Polynomial] = {r: {(r,): 1.0} for r in range(program.n_a)}
    rows[program.n_a] = {(): 1.0}
    size = 0
    for s, dst in enumerate(program.fwd_dst):
        made: Polynomial = {}
        for t in range(program.fwd_start[s], program.fwd_start[s + 1]):
            c = float(program.fwd_c[t])
            right = rows[int(program.fwd_y[t])]
            for a, x in rows[int(program.fwd_x[t])].items():
                for b, y in right.items():
                    key = tuple(sorted(a + b))
                    made[key] = made.get(key, 0.0) + c * x * y
        rows[int(dst)] = made
        size += len(made)
        if size > most:
            return None
    return [rows[int(r)] for r in program.b_rows]


class _Expectation:
    """Expectations of products of rows of A for one central atom, with everything met before remembered."""

    def __init__(self, phi: NDArray[np.float64], fractions: NDArray[np.float64], rows_per_element: int) -> None:
        self.phi = np.ascontiguousarray(phi.T)  # (rows of A, n_neighbours)
        self.fractions = fractions  # (n_neighbours, n_elements)
        self.per_element = rows_per_element
        self.parts: dict[tuple[int, ...], float] = {}
        self.cumulants: dict[tuple[int, ...], NDArray[np.float64]] = {}
        self.products: dict[tuple[int, ...], float] = {}

    def of(self, rows: tuple[int, ...]) -> float:
        """E[Π A over rows]."""
        known = self.products.get(rows)
        if known is None:
            known = 0.0
            for partition in _partitions(len(rows)):
                term = 1.0
                for part in partition:
                    term *= self._part(tuple(rows[k] for k in part))
                    if term == 0.0:
                        break
                known += term
            self.products[rows] = known
        return known

    def _part(self, rows: tuple[int, ...]) -> float:
        """Joint cumulant of some rows of A: a sum over the neighbours."""
        known = self.parts.get(rows)
        if known is None:
            product = self._cumulant(tuple(sorted(r // self.per_element for r in rows)))
            for row in rows:
                product = product * self.phi[row]
            known = float(product.sum())
            self.parts[rows] = known
        return known

    def _cumulant(self, kinds: tuple[int, ...]) -> NDArray[np.float64]:
        """(n_neighbours,) joint cumulant of the indicators "the site holds element μ" for the μ in `kinds`."""
        known = self.cumulants.get(kinds)
        if known is None:
            known = np.zeros(len(self.fractions))
            for partition in _partitions(len(kinds)):
                term = np.full(len(self.fractions), float((-1) ** (len(partition) - 1) * factorial(len(partition) - 1)))
                for part in partition:
                    inside = {kinds[k] for k in part}
                    # a site holds one element, so indicators of two different ones have no common moment
                    term = term * (self.fractions[:, inside.pop()] if len(inside) == 1 else 0.0)
                known = known + term
            self.cumulants[kinds] = known
        return known


_PARTITIONS: dict[int, list[list[tuple[int, ...]]]] = {0: [[]]}


def _partitions(n: int) -> list[list[tuple[int, ...]]]:
    """All ways to share 0 … n − 1 out into parts."""
    if n not in _PARTITIONS:
        made = []
        for smaller in _partitions(n - 1):
            made.append([*smaller, (n - 1,)])
            for k in range(len(smaller)):
                made.append([*smaller[:k], (*smaller[k], n - 1), *smaller[k + 1 :]])
        _PARTITIONS[n] = made
    return _PARTITIONS[n]


def _columns(vectors: NDArray[np.float64], centre: int, basis: Basis) -> NDArray[np.float64]:
    """(n_vectors, n_a): what a neighbour at each vector adds to A of a central atom, were it each of the elements."""
    return np.concatenate([pair_functions(basis, centre, other, vectors) for other in range(basis.n_elements)], axis=1)
