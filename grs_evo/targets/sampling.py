"""Samples of environments that stand for all, and standard errors of moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.targets.moments import Moments, merge, merge_all


def with_expectation(drawn: Moments, fractions: NDArray[np.float64], mean: NDArray[np.float64] | None) -> Moments:
    """Moments of drawn environments with what is known exactly: the elements' shares, and the means if given."""
    share = np.divide(fractions * drawn.total, drawn.counts, out=np.zeros(len(drawn.counts)), where=drawn.counts > 0)
    flat = drawn.covariance_sums
    return Moments(
        drawn.sizes,
        drawn.counts * share,
        drawn.mean if mean is None else mean,
        drawn.sums * share[drawn.elements],
        None if flat is None else flat * np.repeat(share, np.array(drawn.sizes) ** 2),
    )


def jackknife(
    parts: Sequence[Moments],
    sizes: Sequence[int],
    fractions: NDArray[np.float64],
    mean: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """(4, n_desc) standard errors of the pooled moments, from independent cells left out one at a time."""
    n = len(parts)
    before = [merge_all([], sizes)]
    for part in parts[:-1]:
        before.append(merge(before[-1], part))
    after = [merge_all([], sizes)]
    for part in reversed(parts[1:]):
        after.append(merge(after[-1], part))
    left = np.array(
        [
            with_expectation(merge(a, b), fractions, mean).standardised("pooled")
            for a, b in zip(before, reversed(after), strict=True)
        ]
    )
    errors: NDArray[np.float64] = np.sqrt((n - 1) * left.var(axis=0))
    return errors


def systematic_sample(n_atoms: NDArray[np.int64], weights: NDArray[np.float64], sample: int) -> NDArray[np.int64]:
    """Sorted indices of the environments kept: all, or `sample` at even steps of cumulative weight."""
    total = int(n_atoms.sum())
    if total <= sample:
        return np.arange(total)
    ends = np.cumsum(np.repeat(weights, n_atoms))
    steps = (np.arange(sample) + 0.5) * (ends[-1] / sample)
    picks: NDArray[np.int64] = np.minimum(np.searchsorted(ends, steps), total - 1)
    return picks


def atoms_sampled(
    n_atoms: NDArray[np.int64], owned: Sequence[NDArray[np.int64]], weights: NDArray[np.float64], sample: int
) -> NDArray[np.int64]:
    """The same, as numbers of atoms counted through all structures, where only some of each one's atoms are meant.

    Parameters
    ----------
    n_atoms : (n_structures,)
    owned : (n_structures,) numbers of those that are meant
    """
    starts = np.cumsum(n_atoms) - n_atoms
    atoms = np.concatenate([start + own for start, own in zip(starts, owned, strict=True)])
    numbers = np.array([len(own) for own in owned])
    return np.asarray(atoms[systematic_sample(numbers, weights, sample)], np.int64)


def packed_centres(centres: Sequence[NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
    """Numbers of atoms of each structure as arrays; none where all are meant."""
    if not centres:
        return {}
    return {"centres": np.concatenate(centres), "n_centres": np.array([len(own) for own in centres], np.int64)}


def unpacked_centres(arrays: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.int64], ...]:
    """The inverse of `packed_centres`, among other arrays."""
    if "centres" not in arrays:
        return ()
    ends = np.cumsum(np.array(arrays["n_centres"], np.int64))
    return tuple(np.split(np.array(arrays["centres"], np.int64), ends[:-1]))
