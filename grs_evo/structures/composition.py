"""How many atoms of each element a structure may hold, and on which sites: rules, drawing and repair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Allowed = NDArray[np.bool_]

_TRIES = 200
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Composition:
    """A rule for the counts of a structure of n atoms."""

    kind: Literal["counts", "fractions", "limits", "free"]
    lower: NDArray[np.float64]  # (n_el,) counts, fractions, or smallest fractions
    upper: NDArray[np.float64]  # (n_el,) the same, or largest fractions
    endpoints: bool = True  # whether a structure of one element only is allowed when others could be there
    known: dict[int, tuple[Counts, Counts] | None] = field(default_factory=dict, repr=False)  # bounds asked for before

    @property
    def fixed(self) -> bool:
        """Whether the size of a structure determines its counts."""
        return self.kind in ("counts", "fractions")

    @property
    def n_elements(self) -> int:
        return len(self.lower)

    def bounds(self, n: int) -> tuple[Counts, Counts] | None:
        """Smallest and largest counts for n atoms, or None when no counts add up to n."""
        if n not in self.known:
            self.known[n] = self._bounds(n)
        return self.known[n]

    def _bounds(self, n: int) -> tuple[Counts, Counts] | None:
        if self.kind == "counts":
            counts = self.lower.astype(np.int64)
            return (counts, counts) if counts.sum() == n else None
        if self.kind == "fractions":
            counts = largest_remainder(self.lower, n)
            return counts, counts
        low = np.ceil(self.lower * n - _ROUNDING).astype(np.int64)
        high = np.floor(self.upper * n + _ROUNDING).astype(np.int64)
        if not self.endpoints and self.n_elements > 1:
            high = np.minimum(high, n - 1)
        if (low > high).any() or low.sum() > n or high.sum() < n:
            return None
        return low, high

    def draw(self, rng: np.random.Generator, n: int) -> Counts | None:
        """Counts for n atoms: the fixed ones, or a composition uniform over those allowed."""
        bounds = self.bounds(n)
        if bounds is None:
            return None
        low, high = bounds
        if self.fixed:
            return low.copy()
        for _ in range(_TRIES):
            counts = low + uniform_counts(rng, n - int(low.sum()), self.n_elements)
            if (counts <= high).all():
                return counts
        return clip(counts, low, high)

    def admits(self, counts: NDArray[np.int64]) -> bool:
        """Whether a structure with these counts keeps the rule."""
        if self.kind == "free" and self.endpoints:
            return True
        bounds = self.bounds(sum(counts.tolist()))
        if bounds is not None and bounds[0] is bounds[1]:
            return bool(counts.tolist() == bounds[0].tolist())
        return bounds is not None and bool((counts >= bounds[0]).all() and (counts <= bounds[1]).all())

    def nearest(self, counts: NDArray[np.int64]) -> Counts | None:
        """The allowed counts of the same size that differ least; None when there are none."""
        bounds = self.bounds(sum(counts.tolist()))
        if bounds is None:
            return None
        return bounds[0] if bounds[0] is bounds[1] else clip(counts, *bounds)


def free(n_elements: int, endpoints: bool = True) -> Composition:
    """Anything goes."""
    return Composition("free", np.zeros(n_elements), np.ones(n_elements), endpoints)


def uniform_counts(rng: np.random.Generator, n: int, n_elements: int) -> Counts:
    """Counts of n atoms, drawn with the same chance from all that add up to n (bars among n atoms in a row)."""
    bars = np.sort(rng.choice(n + n_elements - 1, n_elements - 1, replace=False))
    counts: Counts = np.diff(bars, prepend=-1, append=n + n_elements - 1) - 1
    return counts


def largest_remainder(fractions: NDArray[np.float64], n: int) -> Counts:
    """Whole counts that add up to n and differ from n·fractions by less than one; ties go to the lower index."""
    exact = np.asarray(fractions, np.float64) * n
    counts = np.floor(exact + _ROUNDING).astype(np.int64)
    missing = n - int(counts.sum())
    if missing > 0:
        counts[np.argsort(counts - exact, kind="stable")[:missing]] += 1
    return counts


def clip(counts: NDArray[np.int64], low: Counts, high: Counts) -> Counts:
    """Counts brought between the bounds with their sum kept; the farthest from its bound gives or takes first."""
    total = int(counts.sum())
    result = np.clip(counts, low, high)
    while (excess := int(result.sum()) - total) != 0:
        room = result - low if excess > 0 else high - result
        result[int(np.argmax(room))] -= np.sign(excess)
    return result


def site_mask(allowed: Allowed | None, n: int) -> Allowed | None:
    """(n, n_el) the cyclic mask of a parent cell, written out for n sites."""
    if allowed is None:
        return None
    return allowed[np.arange(n) % len(allowed)]


def assignable(counts: NDArray[np.int64], mask: Allowed) -> bool:
    """Whether atoms in these counts can be put on sites with this mask (Hall's theorem over sets of elements)."""
    n_elements = len(counts)
    for size in range(1, n_elements + 1):
        for chosen in combinations(range(n_elements), size):
            outside = np.ones(n_elements, bool)
            outside[list(chosen)] = False
            only_here = int((~mask[:, outside].any(1)).sum())
            reachable = int(mask[:, list(chosen)].any(1).sum())
            wanted = int(counts[list(chosen)].sum())
            if only_here > wanted or reachable < wanted:
                return False
    return True


def nearest_possible(counts: NDArray[np.int64], mask: Allowed) -> Counts:
    """Of the counts that sites with this mask can hold those that come nearest to the wanted ones of the same sum."""
    species = mask.argmax(1)
    excess = np.bincount(species, minlength=len(counts)) - counts
    rng = np.random.default_rng(0)  # which of equal sites changes makes no difference to the counts
    while (excess > 0).any():
        path = _exchange_path(rng, species.astype(np.int32), mask, excess)
        if path is None:
            break
        for site, old, new in path:
            species[site] = new
            excess[old] -= 1
            excess[new] += 1
    return np.asarray(counts + excess, np.int64)


def told(counts: NDArray[np.int64], elements: Sequence[str]) -> str:
    """Counts as people read them: "Co 10, Cr 9"."""
    return ", ".join(f"{symbol} {n}" for symbol, n in zip(elements, counts.tolist(), strict=True))


def draw_occupation(
    rng: np.random.Generator, rule: Composition, allowed: Allowed | None, n: int
) -> NDArray[np.int32] | None:
    """Species of n sites that keep rule and mask, or None after a bounded number of tries."""
    mask = site_mask(allowed, n)
    if mask is None:
        counts = rule.draw(rng, n)
        return None if counts is None else rng.permutation(np.repeat(np.arange(len(counts), dtype=np.int32), counts))
    if rule.bounds(n) is None:
        return None
    for _ in range(1 if rule.fixed else _TRIES):
        species = _draw_per_class(rng, mask)
        if rule.kind == "free" and rule.endpoints:
            return species
        result = repair(rng, species, rule, allowed)
        if result is not None:
            return result
    return None


def repair(
    rng: np.random.Generator, species: NDArray[np.int32], rule: Composition, allowed: Allowed | None
) -> NDArray[np.int32] | None:
    """Species changed on as few sites as the rule needs; None when the mask does not let it.

    Chains through a third element are followed when no site can change directly, so with sublattices as well the only
    failure is a composition that the mask forbids.
    """
    counts = np.bincount(species, minlength=rule.n_elements)
    wanted = rule.nearest(counts)
    if wanted is None:
        return None
    if counts.tolist() == wanted.tolist():
        return species
    mask = site_mask(allowed, len(species))
    species = species.copy()
    excess = counts - wanted
    if mask is None:
        leaving = np.concatenate(
            [rng.permutation((species == el).nonzero()[0])[:n] for el, n in enumerate(excess.tolist()) if n > 0]
        )
        arriving = np.repeat(np.arange(len(excess)), np.maximum(-excess, 0))
        species[rng.permutation(leaving)] = arriving
        return species
    while (excess > 0).any():
        path = _exchange_path(rng, species, mask, excess)
        if path is None:
            return None
        for site, old, new in path:
            species[site] = new
            excess[old] -= 1
            excess[new] += 1
    return species


def _draw_per_class(rng: np.random.Generator, mask: Allowed) -> NDArray[np.int32]:
    """Species with a uniform composition drawn on each set of sites that share their allowed elements."""
    species = np.empty(len(mask), np.int32)
    codes = mask @ (1 << np.arange(mask.shape[1]))
    for code in np.unique(codes):
        sites = np.flatnonzero(codes == code)
        elements = np.flatnonzero(mask[sites[0]]).astype(np.int32)
        species[sites] = rng.permutation(np.repeat(elements, uniform_counts(rng, len(sites), len(elements))))
    return species


def _exchange_path(
    rng: np.random.Generator, species: NDArray[np.int32], mask: Allowed, excess: NDArray[np.int64]
) -> list[tuple[int, int, int]] | None:
    """Sites to change, (site, old, new), that carry one atom from an element in excess to one that is short."""
    n_elements = len(excess)
    came_from: dict[int, tuple[int, int]] = {}
    reached = [int(k) for k in np.flatnonzero(excess > 0)]
    seen = set(reached)
    while reached:
        old = reached.pop(0)
        sites = np.flatnonzero(species == old)
        for new in range(n_elements):
            open_sites = sites[mask[sites, new]]
            if new in seen or not len(open_sites):
                continue
            came_from[new] = (int(open_sites[int(rng.random() * len(open_sites))]), old)
            if excess[new] < 0:
                path = []
                while new in came_from:
                    site, old = came_from[new]
                    path.append((site, old, new))
                    new = old
                return path
            seen.add(new)
            reached.append(new)
    return None
