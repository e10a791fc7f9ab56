"""Principal components of a cloud of environments: the space in which hulls are taken and scatter plots drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from grs_evo.errors import InputError

# A function that varies by less than this share of the largest value of any function is constant up to rounding:
# functions that symmetry makes vanish in a crystal come out as 1e-30 or 1e-60, and differences of those mean nothing.
FLOOR = 1e-11
# Rows turned into principal coordinates at a time: bounds the copy that scaling makes.
_CHUNK = 4096


@dataclass(frozen=True, eq=False)
class Components:
    """Axes of largest variance of a cloud of environments."""

    mean: NDArray[np.float64]  # (n_desc,)
    scale: NDArray[np.float64]  # (n_desc,) what each function is divided by; 0 marks one that is constant
    axes: NDArray[np.float64]  # (k, n_desc) orthonormal rows, widest first
    variances: NDArray[np.float64]  # (k,) of the scaled functions along the axes
    share: float  # of all variance that the k axes carry, 0 … 1

    @property
    def count(self) -> int:
        return len(self.axes)


def checked_rows(rows: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """The rows as float64 (n, n_desc), or an `InputError` that names what is wrong with them."""
    rows = np.asarray(rows, dtype=np.float64)
    if rows.ndim != 2:
        raise InputError(f"{name}: environments come as an array (n_environments, n_functions), got shape {rows.shape}")
    if len(rows) == 0:
        raise InputError(f"{name}: holds no environments; at least one is needed")
    if not np.isfinite(rows).all():
        row, column = np.argwhere(~np.isfinite(rows))[0]
        raise InputError(f"{name}: environment {row}, function {column} is {rows[row, column]}; it must be finite")
    return rows


def principal_components(
    rows: NDArray[np.float64], variance: float = 0.99, scale: str = "target", most: int | None = None
) -> Components:
    """The fewest principal axes of the rows that carry a share of their variance.

    Parameters
    ----------
    rows : (n, n_desc) environments of the target
    variance : share of the variance to reach, in (0, 1]
    scale : ``"target"`` divides each function by its standard deviation over the rows; ``"none"`` keeps raw values,
        whose variance a few functions of high rank carry alone
    most : keep at most so many axes

    Raises
    ------
    InputError
        No rows, rows without any spread (a perfect crystal of one kind of site), or a share out of range.

    Notes
    -----
    The sign of an axis is fixed by making its largest entry positive, so that the same rows give the same picture.
    """
    rows = checked_rows(rows, "target")
    if not 0.0 < variance <= 1.0:
        raise InputError(f"variance share is {variance}; it must be above 0 and at most 1")
    if scale not in ("target", "none"):
        raise InputError(f"scale is {scale!r}; allowed are 'target' and 'none'")
    mean = rows.mean(axis=0)
    spread = rows.std(axis=0)
    varies = spread > FLOOR * np.abs(rows).max()
    if not varies.any():
        raise InputError(
            "target: all environments are equal, so they have no principal components and no hull; "
            "coverage needs a target with a spread of environments"
        )
    divisor = np.where(varies, spread if scale == "target" else 1.0, 0.0)
    inverse = np.divide(1.0, divisor, out=np.zeros_like(divisor), where=divisor > 0.0)
    with threadpool_limits(1):
        used = np.flatnonzero(varies)
        covariance = np.zeros((len(used), len(used)))
        for start in range(0, len(rows), _CHUNK):
            part = (rows[start : start + _CHUNK][:, used] - mean[used]) * inverse[used]
            covariance += part.T @ part
        values, vectors = np.linalg.eigh(covariance / len(rows))
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1].T
    shares = np.cumsum(values) / values.sum()
    count = min(int(np.searchsorted(shares, variance - 1e-12)) + 1, len(values))
    # An axis without variance (dependent functions, or too few environments) is no direction to measure in.
    count = min(count, int((values > 1e-12 * values[0]).sum()))
    if most is not None:
        count = min(count, most)
    axes = np.zeros((count, rows.shape[1]))
    axes[:, used] = vectors[:count]
    largest = axes[np.arange(count), np.abs(axes).argmax(axis=1)]
    axes *= np.sign(largest)[:, None]
    return Components(mean, divisor, axes, values[:count], float(shares[count - 1]))


def project(components: Components, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coordinates of the rows along the axes, (n, k)."""
    rows = np.asarray(rows, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != len(components.mean):
        raise InputError(
            f"environments have {rows.shape[-1] if rows.ndim else 0} functions, the target {len(components.mean)}; "
            "both must come from the same basis"
        )
    divisor = components.scale
    inverse = np.divide(1.0, divisor, out=np.zeros_like(divisor), where=divisor > 0.0)
    result = np.empty((len(rows), components.count))
    with threadpool_limits(1):
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            result[start : start + _CHUNK] = ((part - components.mean) * inverse) @ components.axes.T
    return result
