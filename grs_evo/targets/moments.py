"""Moments of a distribution of environments: descriptor rows in, means and central sums out, mergeable in any pieces.

An environment of element μ is a vector in μ's block of functions. Everything is kept per block; the `pooled`
distribution, in which an environment is zero outside its own block, follows from it exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.kernels.loss import moments as compiled

Distribution = Literal["pooled", "per_element"]
MOMENT_NAMES = ("mean", "variance", "skewness", "kurtosis")
# A standard deviation below this share of the column's size, or of the largest column, is rounding noise.
_NOISE_OF_COLUMN = 1e-9
_NOISE_OF_BLOCK = 1e-13


@dataclass(frozen=True, eq=False)
class Moments:
    """Weighted count, mean and central sums of each element's block of descriptors."""

    sizes: tuple[int, ...]  # functions per element
    counts: NDArray[np.float64]  # (n_elements,) sum of weights: the number of environments when all weights are 1
    mean: NDArray[np.float64]  # (n_desc,) mean over the environments of each column's own element
    sums: NDArray[np.float64]  # (3, n_desc) Σ w (x − mean)^p for p = 2, 3, 4
    covariance_sums: NDArray[np.float64] | None = None  # (Σ size²,) Σ w d dᵀ per element, row-major; None: not kept

    @property
    def n_desc(self) -> int:
        return len(self.mean)

    @property
    def total(self) -> float:
        """Sum of all weights."""
        return float(self.counts.sum())

    @property
    def elements(self) -> NDArray[np.int64]:
        """(n_desc,) element of each column."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def central(self, distribution: Distribution = "per_element") -> NDArray[np.float64]:
        """(4, n_desc): mean and central moments c2, c3, c4, divided by the number of environments."""
        per_column = self.counts[self.elements]
        share = np.divide(1.0, per_column, out=np.zeros_like(per_column), where=per_column > 0)
        own = np.vstack([self.mean[None], self.sums * share])
        if distribution == "per_element" or self.total == 0.0:
            return own
        zeros = np.zeros(self.n_desc)
        return np.array(_blend(per_column / self.total, own, np.array([zeros] * 4)))

    def standardised(self, distribution: Distribution = "pooled") -> NDArray[np.float64]:
        """(4, n_desc): mean, variance, skewness and kurtosis (central, standardised; 0 where the variance is 0)."""
        central = self.central(distribution)
        return standardise(central, variance_floor(central))

    def covariance(self, distribution: Distribution = "pooled") -> NDArray[np.float64]:
        """(n_desc, n_desc) full covariance; raises InputError when its sums were not kept."""
        if self.covariance_sums is None:
            raise InputError("these moments hold no covariance; make them with covariance=True")
        wide = np.zeros((self.n_desc, self.n_desc))
        start = column = 0
        shares = self.counts / self.total if distribution == "pooled" else np.ones(len(self.sizes))
        for size, count, share in zip(self.sizes, self.counts, shares, strict=True):
            block = self.covariance_sums[start : start + size * size].reshape(size, size)
            mean = self.mean[column : column + size]
            if count > 0:
                own = share * block / count
                if distribution == "pooled":
                    own = own + share * np.outer(mean, mean)
                wide[column : column + size, column : column + size] = own
            start += size * size
            column += size
        if distribution == "pooled":
            pooled_mean = self.central("pooled")[0]
            wide -= np.outer(pooled_mean, pooled_mean)
        return wide

    def scaled(self, factor: float) -> Moments:
        """The same distribution with all weights multiplied."""
        sums = None if self.covariance_sums is None else self.covariance_sums * factor
        return Moments(self.sizes, self.counts * factor, self.mean, self.sums * factor, sums)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Named arrays that hold all of it."""
        arrays = {
            "sizes": np.array(self.sizes, dtype=np.int64),
            "counts": self.counts,
            "mean": self.mean,
            "sums": self.sums,
        }
        if self.covariance_sums is not None:
            arrays["covariance_sums"] = self.covariance_sums
        return arrays

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> Moments:
        """The inverse of `to_arrays`, bit for bit."""
        kept = arrays.get("covariance_sums")
        return Moments(
            tuple(int(n) for n in arrays["sizes"]),
            np.array(arrays["counts"], dtype=np.float64),
            np.array(arrays["mean"], dtype=np.float64),
            np.array(arrays["sums"], dtype=np.float64),
            None if kept is None else np.array(kept, dtype=np.float64),
        )


def empty(sizes: Sequence[int], covariance: bool = False) -> Moments:
    """Moments of no environments: merging them changes nothing."""
    n_desc = int(sum(sizes))
    flat = np.zeros(int(sum(n * n for n in sizes))) if covariance else None
    return Moments(tuple(int(n) for n in sizes), np.zeros(len(sizes)), np.zeros(n_desc), np.zeros((3, n_desc)), flat)


def moments_of(
    rows: NDArray[np.float64],
    species: NDArray[np.integer],
    sizes: Sequence[int],
    weights: NDArray[np.float64] | float = 1.0,
    covariance: bool = False,
) -> Moments:
    """Moments of descriptor rows.

    Parameters
    ----------
    rows : (n_atoms, max_size) compact rows, own block first
    species : (n_atoms,) element index of each
    sizes : functions per element (`basis.sizes`)
    weights : weight of each environment, (n_atoms,) or one number; > 0
    covariance : keep the full covariance of each block too

    Returns
    -------
    Moments of the environments; sums in the order of the rows, so that the same rows give the same bits
    """
    sizes_array = np.array(sizes, dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(sizes_array)])
    rows = np.ascontiguousarray(rows, dtype=np.float64)
    index = np.ascontiguousarray(species, dtype=np.int64)
    each = np.ascontiguousarray(np.broadcast_to(np.asarray(weights, dtype=np.float64), index.shape))
    made = empty(sizes, covariance)
    compiled.weighted_sums_into(rows, index, each, sizes_array, offsets, made.counts, made.mean, made.sums)
    if made.covariance_sums is not None:
        starts = np.concatenate([[0], np.cumsum(sizes_array**2)])
        compiled.covariance_into(rows, index, each, sizes_array, offsets, made.mean, starts, made.covariance_sums)
    return made


def merge(a: Moments, b: Moments) -> Moments:
    """Moments of both sets of environments together: the exact pairwise update of central sums (Pébay 2008).

    Raises
    ------
    InputError
        The moments belong to bases of different sizes.
    """
    if a.sizes != b.sizes:
        raise InputError(f"moments of different bases: {a.sizes} and {b.sizes} functions per element")
    if (a.covariance_sums is None) == (b.covariance_sums is None):
        # merging with an empty distribution is exact
        if a.total == 0.0:
            return b
        if b.total == 0.0:
            return a
    counts = a.counts + b.counts
    columns = a.elements
    total = counts[columns]
    share = np.divide(a.counts[columns], total, out=np.zeros_like(total), where=total > 0)
    mean, *central = _blend(share, _own(a), _own(b))
    flat = None
    if a.covariance_sums is not None and b.covariance_sums is not None:
        flat = a.covariance_sums + b.covariance_sums
        start = column = 0
        for size, n_a, n_b in zip(a.sizes, a.counts, b.counts, strict=True):
            if n_a > 0 and n_b > 0:
                gap = a.mean[column : column + size] - b.mean[column : column + size]
                flat[start : start + size * size] += (n_a * n_b / (n_a + n_b)) * np.outer(gap, gap).ravel()
            start += size * size
            column += size
    return Moments(a.sizes, counts, mean, np.array(central) * total, flat)


def merge_all(parts: Iterable[Moments], sizes: Sequence[int], covariance: bool = False) -> Moments:
    """Merge in the order given, from left to right, so the same parts give the same bits."""
    made = empty(sizes, covariance)
    for part in parts:
        made = merge(made, part)
    return made


def standardise(central: NDArray[np.float64], floor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean, variance, skewness and kurtosis from mean and central moments.

    Parameters
    ----------
    central : (4, n_desc) mean, c2, c3, c4
    floor : (n_desc,) a variance added in denominators, so that 0/0 becomes 0 smoothly (`variance_floor`)
    """
    mean, c2, c3, c4 = central
    safe = c2 + floor
    return np.array([mean, c2, c3 / (safe * np.sqrt(safe)), c4 / (safe * safe)])


def variance_floor(central: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n_desc,) variances far below which a column's spread is rounding noise; never 0.

    A function that vanishes by symmetry holds noise of the size of the largest column's last digit, so the floor looks
    at both the column itself and the largest of all.
    """
    size = np.sqrt(central[0] ** 2 + central[1])
    largest = float(size.max(initial=0.0))
    floor = (_NOISE_OF_COLUMN * size) ** 2 + (_NOISE_OF_BLOCK * largest) ** 2
    least = float(np.finfo(np.float64).tiny) ** 0.25
    bounded: NDArray[np.float64] = np.maximum(floor, least)
    return bounded


def _own(moments: Moments) -> NDArray[np.float64]:
    return moments.central("per_element")


def _blend(
    share: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64]
) -> tuple[NDArray[np.float64], ...]:
    """The array form of `kernels.loss.moments.blend`."""
    rest = 1.0 - share
    gap = a[0] - b[0]
    da, db = rest * gap, -share * gap
    mean = share * a[0] + rest * b[0]
    c2 = share * (a[1] + da**2) + rest * (b[1] + db**2)
    c3 = share * (a[2] + 3 * da * a[1] + da**3) + rest * (b[2] + 3 * db * b[1] + db**3)
    c4 = share * (a[3] + 4 * da * a[2] + 6 * da**2 * a[1] + da**4) + rest * (
        b[3] + 4 * db * b[2] + 6 * db**2 * b[1] + db**4
    )
    return mean, c2, c3, c4
