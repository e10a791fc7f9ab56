"""Compiled: V_eff of a structure as a function of one vector of variables, positions and perhaps the cell."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.arrays import assign, assign_matrix, real_rows
from grs_evo.kernels.bundles import bundle
from grs_evo.kernels.calls import address, call_number, call_value
from grs_evo.kernels.compiling import entry_allocating, inner, inner_allocating
from grs_evo.kernels.geometry.layout import OK
from grs_evo.kernels.simd import LANES, fma, load, splat, store, total

# What may change besides positions.
CELL_NONE, CELL_VOLUME, CELL_SHAPE, CELL_FULL = range(4)


@bundle
class Geometry(NamedTuple):
    """What is moved, and how."""

    cell: NDArray[np.float64]  # (3, 3) Å at the start
    species: NDArray[np.int32]
    pbc: NDArray[np.bool_]
    free: NDArray[np.float64]  # (n,) 1 where an atom may move, 0 where it is fixed
    move: bool  # positions move at all
    mode: int  # CELL_…
    length: float  # Å, what a strain of 1 weighs as a displacement
    stretch: float  # largest factor by which the volume may change, either way
    wall: bool  # whether no pair may come nearer than the core distance, or than it was at the start if that is less


@bundle
class Descent(NamedTuple):
    """Buffers of one relaxation and the best structure it has seen."""

    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    dpositions: NDArray[np.float64]  # (n, 3) dV/dR of the value descended, per Å; forces are minus this
    dstrain: NDArray[np.float64]  # (3, 3) dV/dε of it, under R → R (1 + ε)ᵀ
    rows: NDArray[np.float64]  # (n, max_size) descriptors B
    slopes: NDArray[np.float64]  # (n, max_size) dV/dB
    terms: NDArray[np.float64]
    best_positions: NDArray[np.float64]
    best_cell: NDArray[np.float64]
    best_terms: NDArray[np.float64]
    best_value: NDArray[np.float64]  # (1,)
    evaluations: NDArray[np.int64]  # (1,) so far
    status: NDArray[np.int64]  # (1,) of the last evaluation
    wall: NDArray[np.float64]  # (1,) smallest allowed distance over core distance, set by the first evaluation


@bundle
class Potential(NamedTuple):
    """The function that is descended, and what it is computed with."""

    calls: Any
    tables: Any
    engine: Any
    plan: Any
    work: Any
    norm: int  # that is descended, with its δ; the plan has the ones that are reported
    delta: float


def make_descent(n_atoms: int, max_size: int, n_terms: int) -> Descent:
    """Buffers for structures of one size."""
    return Descent(
        np.zeros((n_atoms, 3)),
        np.zeros((3, 3)),
        np.zeros((n_atoms, 3)),
        np.zeros((3, 3)),
        np.zeros((n_atoms, max_size)),
        np.zeros((n_atoms, max_size)),
        np.zeros(n_terms),
        np.zeros((n_atoms, 3)),
        np.zeros((3, 3)),
        np.zeros(n_terms),
        np.full(1, np.inf),
        np.zeros(1, np.int64),
        np.zeros(1, np.int64),
        np.zeros(1),
    )


@inner
def dot(a, i, b, j, n):
    """Σ a[i + k] b[j + k] for k < n, a multiple of eight: whole vectors, summed in a fixed order."""
    total_of = splat(0.0)
    for k in range(0, n, LANES):
        total_of = fma(load(a, i + k), load(b, j + k), total_of)
    return total(total_of)


@inner
def add(factor, a, i, p, n):
    """p[k] += factor × a[i + k] for k < n, a multiple of eight."""
    for k in range(0, n, LANES):
        store(p, k, fma(load(a, i + k), splat(factor), load(p, k)))


@inner
def _invert(m, out):
    """Inverse and determinant of a (3, 3) matrix."""
    c00 = m[1, 1] * m[2, 2] - m[1, 2] * m[2, 1]
    c01 = m[1, 2] * m[2, 0] - m[1, 0] * m[2, 2]
    c02 = m[1, 0] * m[2, 1] - m[1, 1] * m[2, 0]
    det = m[0, 0] * c00 + m[0, 1] * c01 + m[0, 2] * c02
    s = 1.0 / det
    out[0, 0] = c00 * s
    out[1, 0] = c01 * s
    out[2, 0] = c02 * s
    out[0, 1] = (m[0, 2] * m[2, 1] - m[0, 1] * m[2, 2]) * s
    out[1, 1] = (m[0, 0] * m[2, 2] - m[0, 2] * m[2, 0]) * s
    out[2, 1] = (m[0, 1] * m[2, 0] - m[0, 0] * m[2, 1]) * s
    out[0, 2] = (m[0, 1] * m[1, 2] - m[0, 2] * m[1, 1]) * s
    out[1, 2] = (m[0, 2] * m[1, 0] - m[0, 0] * m[1, 2]) * s
    out[2, 2] = (m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0]) * s
    return det


@inner_allocating
def _deform(x, geometry, d):
    """The deformation (3, 3) that x's last six entries stand for; returns its determinant before any rescaling."""
    n3 = 3 * geometry.species.shape[0]
    s = 1.0 / geometry.length
    d[:, :] = 0.0
    if geometry.mode == CELL_VOLUME:
        grown = 1.0 + x[n3] * s / np.sqrt(3.0)
        for a in range(3):
            d[a, a] = grown
        return grown * grown * grown
    half = s / np.sqrt(2.0)
    for a in range(3):
        d[a, a] = 1.0 + x[n3 + a] * s
    d[1, 2] = d[2, 1] = x[n3 + 3] * half
    d[0, 2] = d[2, 0] = x[n3 + 4] * half
    d[0, 1] = d[1, 0] = x[n3 + 5] * half
    return (
        d[0, 0] * (d[1, 1] * d[2, 2] - d[1, 2] * d[2, 1])
        - d[0, 1] * (d[1, 0] * d[2, 2] - d[1, 2] * d[2, 0])
        + d[0, 2] * (d[1, 0] * d[2, 1] - d[1, 1] * d[2, 0])
    )


@entry_allocating
def value_at(x, g, geometry, potential, descent):
    """The value descended at x, inf where it cannot be had; fills g and keeps the best structure."""
    n = geometry.species.shape[0]
    n3 = 3 * n
    d = real_rows(3, 3)
    for a in range(3):
        for b in range(3):
            d[a, b] = 1.0 if a == b else 0.0
    shrink = 1.0
    if geometry.mode != CELL_NONE:
        det = _deform(x, geometry, d)
        if not det > 1e-3:
            return np.inf
        if geometry.mode == CELL_SHAPE:
            shrink = det ** (-1.0 / 3.0)
        elif det > geometry.stretch or det < 1.0 / geometry.stretch:
            return np.inf
    for i in range(n):
        for a in range(3):
            descent.positions[i, a] = shrink * (x[3 * i] * d[0, a] + x[3 * i + 1] * d[1, a] + x[3 * i + 2] * d[2, a])
    for i in range(3):
        for a in range(3):
            descent.cell[i, a] = shrink * (
                geometry.cell[i, 0] * d[0, a] + geometry.cell[i, 1] * d[1, a] + geometry.cell[i, 2] * d[2, a]
            )
    status, value, reported = call_value(
        potential.calls.evaluate,
        (
            descent.positions, descent.cell, geometry.species, geometry.pbc, potential.calls, potential.tables,
            potential.engine, potential.plan, potential.work, potential.norm, potential.delta, True, descent.rows,
            descent.slopes, descent.terms, descent.dpositions, descent.dstrain,
        ),
    )  # fmt: skip
    descent.evaluations[0] += 1
    descent.status[0] = status
    if status != OK or not np.isfinite(value) or not np.isfinite(reported):
        return np.inf
    if geometry.wall:
        if descent.evaluations[0] == 1:
            descent.wall[0] = min(1.0, potential.work.closest[0])
        elif potential.work.closest[0] < descent.wall[0]:
            return np.inf
    if reported < descent.best_value[0]:
        descent.best_value[0] = reported
        assign_matrix(descent.best_positions, descent.positions)
        assign_matrix(descent.best_cell, descent.cell)
        assign(descent.best_terms, descent.terms)
    largest = 0.0
    for i in range(n):
        factor = shrink * geometry.free[i] if geometry.move else 0.0
        for a in range(3):
            g[3 * i + a] = factor * (
                descent.dpositions[i, 0] * d[0, a]
                + descent.dpositions[i, 1] * d[1, a]
                + descent.dpositions[i, 2] * d[2, a]
            )
            largest = max(largest, abs(g[3 * i + a]))
    for k in range(n3, n3 + 6):
        g[k] = 0.0
    if geometry.mode == CELL_VOLUME:
        trace = descent.dstrain[0, 0] + descent.dstrain[1, 1] + descent.dstrain[2, 2]
        g[n3] = trace / d[0, 0] / (np.sqrt(3.0) * geometry.length)
    elif geometry.mode != CELL_NONE:
        inverse = real_rows(3, 3)
        _invert(d, inverse)
        slope = real_rows(3, 3)
        if geometry.mode == CELL_SHAPE:
            third = (descent.dstrain[0, 0] + descent.dstrain[1, 1] + descent.dstrain[2, 2]) / 3.0
            for a in range(3):
                descent.dstrain[a, a] -= third
        for a in range(3):
            for b in range(3):
                slope[a, b] = (
                    descent.dstrain[a, 0] * inverse[b, 0]
                    + descent.dstrain[a, 1] * inverse[b, 1]
                    + descent.dstrain[a, 2] * inverse[b, 2]
                )
        s = 1.0 / geometry.length
        half = s / np.sqrt(2.0)
        for a in range(3):
            g[n3 + a] = slope[a, a] * s
        g[n3 + 3] = (slope[1, 2] + slope[2, 1]) * half
        g[n3 + 4] = (slope[0, 2] + slope[2, 0]) * half
        g[n3 + 5] = (slope[0, 1] + slope[1, 0]) * half
    if not np.isfinite(largest):
        return np.inf
    return value


def start(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variables of undeformed positions: 3 n coordinates, six of the strain, and zeros up to whole vectors."""
    size = positions.size + 6
    return np.concatenate([np.ravel(positions), np.zeros(6 + -size % LANES)])


def with_value(potential: Potential, x: Any, geometry: Geometry, descent: Descent) -> Potential:
    """The potential with the address of `value_at` for arguments of these types."""
    place = address(value_at, x, x, geometry, potential, descent)
    return potential._replace(calls=potential.calls._replace(value=place))


@inner
def evaluate(x, g, geometry, potential, descent):
    return call_number(potential.calls.value, (x, g, geometry, potential, descent))
