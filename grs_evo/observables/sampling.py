"""How far as many environments, drawn from the target, scatter: what every deviation is measured in.

Two kinds of draws. Independent ones take each environment by chance from all that the target has. Blocks take atoms
that stand side by side: the nearest to a centre chosen by chance, from one structure of the target as far as it goes,
then from another. A cell is more like a block: its environments share bonds, so that their counts scatter more. The
scatter is the larger of the two, times √(1 + n/N) since the target, N atoms, is a sample itself.

Draws hold as many atoms of each element as the structure has, so that composition is judged on its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from grs_evo.observables.counting.shells import pair_function
from grs_evo.observables.counting.survey import COARSE, PARTS, Survey, periodic_distances

Array = NDArray[np.float64]

_DRAWS = 120  # of each kind
_CENTRES = 60
# Blocks of more than this share of a structure have too little to be drawn from: they would all be the same.
_SHARE = 0.25
# What differs lies at least so much farther off than the farthest of all draws.
_BEYOND = 1.2


@dataclass(frozen=True, eq=False)
class Comparison:
    """A target, and draws from it as large as the structure or set that is compared with it."""

    target: Survey
    exact: bool  # whether the target's atoms stand on sites, without any displacement
    sizes: NDArray[np.int64]  # (n_structures, n_el) atoms of what is compared
    weights: NDArray[np.float32]  # (n_draws, n_rows) how often each environment of the target was drawn
    blocks: NDArray[np.bool_]  # (n_draws,) which draws are blocks
    torn: NDArray[np.float64]  # (n_el, n_el) Å, the target's contacts below are left out: they are faults of it
    known: dict[int, Array] = field(default_factory=dict, repr=False)  # what `distances` has found so far

    @property
    def of_kind(self) -> NDArray[np.int64]:
        """(n_el,) atoms of what is compared."""
        return np.asarray(self.sizes.sum(axis=0), np.int64)

    @cached_property
    def widening(self) -> float:
        """√(1 + n/N)."""
        return float(np.sqrt(1.0 + self.sizes.sum() / self.target.n_atoms))

    def usable(self, a: int) -> bool:
        """Whether both have atoms of an element."""
        return bool(self.of_kind[a] > 0 and (self.target.rows.kinds == a).any())

    def sums(self, a: int, values: NDArray[np.generic]) -> Array:
        """(n_draws, …) sums over the drawn environments of one element, of values (n_rows_of_element, …)."""
        flat = values.reshape(len(values), -1).astype(np.float32)
        weights = self.weights[:, self.target.rows.kinds == a]
        return np.asarray((weights @ flat).reshape(len(weights), *values.shape[1:]), np.float64)

    def means(self, a: int, values: NDArray[np.generic]) -> Array:
        """The same, over the number of atoms."""
        return self.sums(a, values) / max(int(self.of_kind[a]), 1)

    def rows_of(self, a: int, name: str) -> NDArray[np.generic]:
        """An array of `Rows` for the environments of one element."""
        array: NDArray[np.generic] = getattr(self.target.rows, name)[self.target.rows.kinds == a]
        return array

    def scatter(self, drawn: Array, floor: float = 0.0) -> float:
        """Scatter of a number (n_draws,): the larger standard deviation of the two kinds of draws."""
        found = floor
        for kind in (self.blocks, ~self.blocks):
            known = drawn[kind][np.isfinite(drawn[kind])]
            if len(known) > 2:
                found = max(found, float(known.std()) * self.widening)
        return found

    def scatters(self, drawn: Array) -> Array:
        """(n,) the same for each number of a curve (n_draws, n)."""
        each = [drawn[kind].std(axis=0) for kind in (self.blocks, ~self.blocks) if kind.any()]
        return np.asarray(np.max(each, axis=0) * self.widening, np.float64)

    def limit(self, drawn: Array, scatter: float, least: float) -> float:
        """A limit in scatters that no draw (n_draws,) comes near: few atoms, and frames of many kinds, have tails."""
        known = drawn[np.isfinite(drawn)]
        if len(known) == 0:
            return least
        return max(least, _BEYOND * float(np.abs(known - known.mean()).max()) * self.widening / scatter)

    def typical(self, drawn: Array) -> float:
        """The larger median of the two kinds of draws, of a number that is 0 for the target itself."""
        medians = [np.median(drawn[kind]) for kind in (self.blocks, ~self.blocks) if kind.any()]
        return float(max(medians)) * self.widening

    def independent(self, drawn: Array) -> float:
        """The median of the independent draws alone."""
        return float(np.median(drawn[~self.blocks])) * self.widening

    def distances(self, a: int) -> Array:
        """(n_draws, n_el, n_coarse) neighbours of each element per atom of element a and bin of distances."""
        if a not in self.known:
            self.known[a] = self.means(a, self.rows_of(a, "distances")) / PARTS
        return self.known[a]

    def pair_functions(self, a: int, b: int) -> Array:
        """(n_draws, n_coarse) g(r) of each draw."""
        return pair_function(self.distances(a)[:, b], COARSE, float(self.target.densities[b]))


def draw(target: Survey, sizes: NDArray[np.int64], exact: bool, torn: NDArray[np.float64], seed: int) -> Comparison:
    """Draw as many environments of each element as some structures have."""
    rng = np.random.default_rng([seed, 29])
    rows = target.rows
    wanted = sizes.sum(axis=0)
    independent = np.zeros((_DRAWS, len(rows.kinds)), np.float32)
    for a in np.flatnonzero(wanted):
        own = np.flatnonzero(rows.kinds == a)
        if len(own):
            independent[:, own] = rng.multinomial(wanted[a], np.full(len(own), 1.0 / len(own)), size=_DRAWS)
    blocks = _blocks(target, sizes, rng)
    weights = np.concatenate([independent, blocks])
    kind = np.arange(len(weights)) >= _DRAWS
    return Comparison(target, exact, sizes, weights, kind, torn)


def _blocks(target: Survey, sizes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float32]:
    """(n_draws, n_rows) blocks, one for each structure; none where the target is too small to draw them from."""
    rows = target.rows
    n_regions = int(rows.region.max()) + 1 if len(rows.region) else 0
    smallest = int(sizes.sum(axis=1).min())
    if n_regions == 0 or (n_regions < 4 and smallest > _SHARE * len(rows.kinds)):
        return np.zeros((0, len(rows.kinds)), np.float32)
    orders = [_order(target, int(rng.integers(len(rows.kinds)))) for _ in range(_CENTRES)]
    drawn = np.zeros((_DRAWS, len(rows.kinds)), np.float32)
    for k in range(_DRAWS):
        for size in sizes:
            for a in np.flatnonzero(size):
                _fill(drawn[k], int(size[a]), [order[a] for order in orders], rng)
    return drawn


def _order(target: Survey, centre: int) -> list[NDArray[np.int64]]:
    """Rows of the centre's region by distance from it, element by element."""
    rows = target.rows
    own = np.flatnonzero(rows.region == rows.region[centre])
    structure = target.kept[target.kept_frames.index(int(rows.frame[centre]))]
    away = periodic_distances(rows.positions[own], rows.positions[centre], structure.cell, structure.pbc)
    near = own[np.argsort(away, kind="stable")]
    return [near[rows.kinds[near] == a] for a in range(target.n_elements)]


def _fill(weights: NDArray[np.float32], wanted: int, orders: list[NDArray[np.int64]], rng: np.random.Generator) -> None:
    """Add the first rows of one order after another until there are as many as wanted."""
    tries = 0
    while wanted > 0 and tries < 1000:
        chosen = orders[rng.integers(len(orders))][:wanted]
        np.add.at(weights, chosen, 1.0)
        wanted -= len(chosen)
        tries += 1
