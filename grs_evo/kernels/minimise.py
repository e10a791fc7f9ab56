"""Compiled: descent of V_eff in positions and cell by L-BFGS, conjugate gradients or FIRE.

Variables: the atoms' positions in the frame of the starting cell, and a symmetric strain times a length that makes it
as stiff as a position. Every evaluation is judged by the reported norm, and the best ever seen is what is returned.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .calls import address, call_number, call_value
from .simd import LANES, fma, load, splat, store, total
from .tables import GROW, OK

# What may change besides positions.
CELL_NONE, CELL_VOLUME, CELL_SHAPE, CELL_FULL = range(4)
# Why a descent ended.
CONVERGED, STALLED, BUDGET, REACHED, FAILED, ROOM = range(6)
_ARMIJO = 1e-4


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


class Limits(NamedTuple):
    """When to stop."""

    evaluations: int
    gradient: float  # largest component of the gradient, loss per Å
    goal: float  # reported value at which the search is content
    step: float  # Å, longest displacement of any atom in one step
    progress: float  # relative decrease over `window` evaluations below which a descent has stalled
    window: int


class Room(NamedTuple):
    """Buffers of one relaxation and the best structure it has seen."""

    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    gradient: NDArray[np.float64]  # (n, 3)
    strain: NDArray[np.float64]  # (3, 3)
    rows: NDArray[np.float64]
    slopes: NDArray[np.float64]
    terms: NDArray[np.float64]
    best_positions: NDArray[np.float64]
    best_cell: NDArray[np.float64]
    best_terms: NDArray[np.float64]
    best_value: NDArray[np.float64]  # (1,)
    spent: NDArray[np.int64]  # (1,) evaluations so far
    status: NDArray[np.int64]  # (1,) of the last evaluation
    wall: NDArray[np.float64]  # (1,) smallest allowed distance over core distance, set by the first evaluation


class Potential(NamedTuple):
    """The function that is descended."""

    calls: Any
    tables: Any
    engine: Any
    plan: Any
    work: Any
    norm: int
    delta: float


def make_room(n_atoms: int, max_size: int, n_terms: int) -> Room:
    """Buffers for structures of one size."""
    return Room(
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


@njit(cache=True, error_model="numpy")
def _dot(a, i, b, j, n):
    """Σ a[i + k] b[j + k] for k < n, a multiple of eight: whole vectors, summed in a fixed order."""
    total_of = splat(0.0)
    for k in range(0, n, LANES):
        total_of = fma(load(a, i + k), load(b, j + k), total_of)
    return total(total_of)


@njit(cache=True, error_model="numpy")
def _add(factor, a, i, p, n):
    """p[k] += factor × a[i + k] for k < n, a multiple of eight."""
    for k in range(0, n, LANES):
        store(p, k, fma(load(a, i + k), splat(factor), load(p, k)))


@njit(cache=True, error_model="numpy")
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


@njit(cache=True, error_model="numpy")
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


@njit(cache=True, error_model="numpy")
def value_at(x, g, geometry, potential, room):
    """The value descended at x, inf where it cannot be had; fills g and keeps the best structure."""
    n = geometry.species.shape[0]
    n3 = 3 * n
    d = np.eye(3)
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
            room.positions[i, a] = shrink * (x[3 * i] * d[0, a] + x[3 * i + 1] * d[1, a] + x[3 * i + 2] * d[2, a])
    for i in range(3):
        for a in range(3):
            room.cell[i, a] = shrink * (
                geometry.cell[i, 0] * d[0, a] + geometry.cell[i, 1] * d[1, a] + geometry.cell[i, 2] * d[2, a]
            )
    status, value, reported = call_value(
        potential.calls.evaluate,
        (
            room.positions, room.cell, geometry.species, geometry.pbc, potential.calls, potential.tables,
            potential.engine, potential.plan, potential.work, potential.norm, potential.delta, True, room.rows,
            room.slopes, room.terms, room.gradient, room.strain,
        ),
    )  # fmt: skip
    room.spent[0] += 1
    room.status[0] = status
    if status != OK or not np.isfinite(value) or not np.isfinite(reported):
        return np.inf
    if geometry.wall:
        if room.spent[0] == 1:
            room.wall[0] = min(1.0, potential.work.closest[0])
        elif potential.work.closest[0] < room.wall[0]:
            return np.inf
    if reported < room.best_value[0]:
        room.best_value[0] = reported
        room.best_positions[:, :] = room.positions
        room.best_cell[:, :] = room.cell
        room.best_terms[:] = room.terms
    largest = 0.0
    for i in range(n):
        factor = shrink * geometry.free[i] if geometry.move else 0.0
        for a in range(3):
            g[3 * i + a] = factor * (
                room.gradient[i, 0] * d[0, a] + room.gradient[i, 1] * d[1, a] + room.gradient[i, 2] * d[2, a]
            )
            largest = max(largest, abs(g[3 * i + a]))
    for k in range(n3, n3 + 6):
        g[k] = 0.0
    if geometry.mode == CELL_VOLUME:
        trace = room.strain[0, 0] + room.strain[1, 1] + room.strain[2, 2]
        g[n3] = trace / d[0, 0] / (np.sqrt(3.0) * geometry.length)
    elif geometry.mode != CELL_NONE:
        inverse = np.empty((3, 3))
        _invert(d, inverse)
        slope = np.empty((3, 3))
        if geometry.mode == CELL_SHAPE:
            third = (room.strain[0, 0] + room.strain[1, 1] + room.strain[2, 2]) / 3.0
            for a in range(3):
                room.strain[a, a] -= third
        for a in range(3):
            for b in range(3):
                slope[a, b] = (
                    room.strain[a, 0] * inverse[b, 0]
                    + room.strain[a, 1] * inverse[b, 1]
                    + room.strain[a, 2] * inverse[b, 2]
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


def with_value(potential: Potential, x: Any, geometry: Geometry, room: Room) -> Potential:
    """The potential with the address of `value_at` for arguments of these types."""
    place = address(value_at, x, x, geometry, potential, room)
    return potential._replace(calls=potential.calls._replace(value=place))


@njit(cache=True, error_model="numpy", inline="always")
def _value(x, g, geometry, potential, room):
    return call_number(potential.calls.value, (x, g, geometry, potential, room))


@njit(cache=True, error_model="numpy")
def _longest(p, n):
    """Longest displacement of an atom, and of the strain as a displacement, in a step."""
    longest = 0.0
    for i in range(n):
        square = p[3 * i] * p[3 * i] + p[3 * i + 1] * p[3 * i + 1] + p[3 * i + 2] * p[3 * i + 2]
        longest = max(longest, square)
    square = 0.0
    for k in range(3 * n, 3 * n + 6):
        square += p[k] * p[k]
    # A strain step weighs as much as all atoms moving together, each a share of it.
    return np.sqrt(max(longest, square / n))


@njit(cache=True, error_model="numpy")
def _largest(g):
    out = 0.0
    for k in range(g.shape[0]):
        out = max(out, abs(g[k]))
    return out


@njit(cache=True, error_model="numpy")
def _line(x, p, f, slope, step, g, trial, geometry, potential, room, limits):
    """Shorten a step along p until the value falls enough. Returns (value, step); inf when it never did.

    trial and g hold the accepted point and its gradient.
    """
    for _ in range(12):
        if room.spent[0] >= limits.evaluations:
            return np.inf, 0.0
        for k in range(x.shape[0]):
            trial[k] = x[k] + step * p[k]
        value = _value(trial, g, geometry, potential, room)
        if room.status[0] == GROW:
            return np.inf, 0.0
        if value <= f + _ARMIJO * step * slope:
            return value, step
        if np.isfinite(value):
            # minimum of the parabola through both values and the slope, kept between a tenth and a half
            bend = value - f - step * slope
            shorter = -0.5 * slope * step * step / bend
            step = min(max(shorter, 0.1 * step), 0.5 * step)
        else:
            step *= 0.25
    return np.inf, 0.0


@njit(cache=True, error_model="numpy")
def _improved(f, marks, room, limits):
    """Whether the value still falls: compares with the value `window` evaluations ago. marks: [value, count]."""
    if room.spent[0] - marks[1] < limits.window:
        return True
    falls = marks[0] - f > limits.progress * abs(marks[0])
    marks[0] = f
    marks[1] = room.spent[0]
    return falls


@njit(cache=True, error_model="numpy")
def lbfgs(x, geometry, potential, room, limits, memory):
    """Limited-memory BFGS with a backtracking line search (Nocedal & Wright, alg. 7.4).

    x is moved; returns a stop reason.
    """
    n = geometry.species.shape[0]
    size = x.shape[0]
    g = np.zeros(size)
    g_new = np.zeros(size)
    trial = np.zeros(size)
    p = np.zeros(size)
    s = np.zeros(memory * size)
    y = np.zeros(memory * size)
    rho = np.zeros(memory)
    alpha = np.zeros(memory)
    f = _value(x, g, geometry, potential, room)
    if room.status[0] == GROW:
        return ROOM
    if not np.isfinite(f):
        return FAILED
    marks = np.array([f, float(room.spent[0])])
    held = 0
    newest = -1
    gamma = 0.0
    while True:
        if room.best_value[0] <= limits.goal:
            return REACHED
        if _largest(g) <= limits.gradient:
            return CONVERGED
        if room.spent[0] >= limits.evaluations:
            return BUDGET
        if not _improved(f, marks, room, limits):
            return STALLED
        for k in range(size):
            p[k] = -g[k]
        for t in range(held):
            j = (newest - t + memory) % memory
            alpha[j] = rho[j] * _dot(s, j * size, p, 0, size)
            _add(-alpha[j], y, j * size, p, size)
        if held > 0:
            for k in range(size):
                p[k] *= gamma
        for t in range(held):
            j = (newest - held + 1 + t + memory) % memory
            b = alpha[j] - rho[j] * _dot(y, j * size, p, 0, size)
            _add(b, s, j * size, p, size)
        slope = _dot(p, 0, g, 0, size)
        if not slope < 0.0:
            held = 0
            for k in range(size):
                p[k] = -g[k]
            slope = _dot(p, 0, g, 0, size)
        longest = _longest(p, n)
        step = 1.0
        if held == 0:
            step = 0.1 * limits.step / longest
        elif longest > limits.step:
            step = limits.step / longest
        value, step = _line(x, p, f, slope, step, g_new, trial, geometry, potential, room, limits)
        if room.status[0] == GROW:
            return ROOM
        if not np.isfinite(value):
            if room.spent[0] >= limits.evaluations:
                return BUDGET
            if held == 0:
                return STALLED
            held = 0
            continue
        newest = (newest + 1) % memory
        sn = s[newest * size : (newest + 1) * size]
        yn = y[newest * size : (newest + 1) * size]
        for k in range(size):
            sn[k] = trial[k] - x[k]
            yn[k] = g_new[k] - g[k]
            x[k] = trial[k]
            g[k] = g_new[k]
        f = value
        curvature = _dot(sn, 0, yn, 0, size)
        square = _dot(yn, 0, yn, 0, size)
        if curvature > 1e-10 * square:
            rho[newest] = 1.0 / curvature
            gamma = curvature / square
            held = min(held + 1, memory)
        else:
            newest = (newest - 1 + memory) % memory


@njit(cache=True, error_model="numpy")
def cg(x, geometry, potential, room, limits):
    """Conjugate gradients (Polak–Ribière, restarted) with a backtracking line search.

    x is moved; returns a stop reason.
    """
    n = geometry.species.shape[0]
    size = x.shape[0]
    g = np.zeros(size)
    g_new = np.zeros(size)
    trial = np.zeros(size)
    p = np.zeros(size)
    f = _value(x, g, geometry, potential, room)
    if room.status[0] == GROW:
        return ROOM
    if not np.isfinite(f):
        return FAILED
    marks = np.array([f, float(room.spent[0])])
    fresh = True
    old_slope = 0.0
    old_step = 0.0
    while True:
        if room.best_value[0] <= limits.goal:
            return REACHED
        if _largest(g) <= limits.gradient:
            return CONVERGED
        if room.spent[0] >= limits.evaluations:
            return BUDGET
        if not _improved(f, marks, room, limits):
            return STALLED
        slope = _dot(p, 0, g, 0, size)
        if fresh or not slope < 0.0:
            fresh = True
            for k in range(size):
                p[k] = -g[k]
            slope = -_dot(g, 0, g, 0, size)
        longest = _longest(p, n)
        step = 0.1 * limits.step / longest if old_step == 0.0 else old_step * old_slope / slope
        step = min(step, limits.step / longest)
        value, step = _line(x, p, f, slope, step, g_new, trial, geometry, potential, room, limits)
        if room.status[0] == GROW:
            return ROOM
        if not np.isfinite(value):
            if room.spent[0] >= limits.evaluations:
                return BUDGET
            if fresh:
                return STALLED
            fresh = True
            old_step = 0.0
            continue
        # one secant step along the line, from the two slopes, when it promises a step half as long again or more
        slope_new = _dot(p, 0, g_new, 0, size)
        if slope_new < 0.5 * slope and room.spent[0] < limits.evaluations:
            further = min(step * slope / (slope - slope_new) if slope_new > slope else 4.0 * step, 4.0 * step)
            further = min(further, limits.step / longest)
            if further > 1.5 * step:
                g_far = np.zeros(size)
                far = np.zeros(size)
                for k in range(size):
                    far[k] = x[k] + further * p[k]
                value_far = _value(far, g_far, geometry, potential, room)
                if room.status[0] == GROW:
                    return ROOM
                if value_far < value:
                    value = value_far
                    step = further
                    trial[:] = far
                    g_new[:] = g_far
        beta = max(0.0, (_dot(g_new, 0, g_new, 0, size) - _dot(g_new, 0, g, 0, size)) / _dot(g, 0, g, 0, size))
        for k in range(size):
            x[k] = trial[k]
            g[k] = g_new[k]
            p[k] = beta * p[k] - g_new[k]
        f = value
        old_slope = slope
        old_step = step
        fresh = False


@njit(cache=True, error_model="numpy")
def fire(x, geometry, potential, room, limits):
    """FIRE (Bitzek et al. 2006), with a time step that starts from the first force.

    x is moved; returns a stop reason.
    """
    n = geometry.species.shape[0]
    size = x.shape[0]
    g = np.zeros(size)
    v = np.zeros(size)
    move = np.zeros(size)
    f = _value(x, g, geometry, potential, room)
    if room.status[0] == GROW:
        return ROOM
    if not np.isfinite(f):
        return FAILED
    marks = np.array([f, float(room.spent[0])])
    longest = _longest(g, n)
    # A first step of a fiftieth of the longest allowed; ten times as long a time step at most.
    dt = np.sqrt(0.02 * limits.step / longest) if longest > 0.0 else 1.0
    dt_max = 10.0 * dt
    mix = 0.1
    downhill = 0
    lowest = f
    while True:
        if room.best_value[0] <= limits.goal:
            return REACHED
        if _largest(g) <= limits.gradient:
            return CONVERGED
        if room.spent[0] >= limits.evaluations:
            return BUDGET
        lowest = min(lowest, f)
        if not _improved(lowest, marks, room, limits):
            return STALLED
        power = -_dot(g, 0, v, 0, size)
        if power > 0.0:
            ratio = np.sqrt(_dot(v, 0, v, 0, size) / _dot(g, 0, g, 0, size))
            for k in range(size):
                v[k] = (1.0 - mix) * v[k] - mix * ratio * g[k]
            downhill += 1
            if downhill > 5:
                dt = min(1.1 * dt, dt_max)
                mix *= 0.99
        else:
            v[:] = 0.0
            downhill = 0
            mix = 0.1
            dt *= 0.5
        for k in range(size):
            v[k] -= dt * g[k]
            move[k] = dt * v[k]
        longest = _longest(move, n)
        factor = limits.step / longest if longest > limits.step else 1.0
        for k in range(size):
            move[k] *= factor
            x[k] += move[k]
        value = _value(x, g, geometry, potential, room)
        if room.status[0] == GROW:
            return ROOM
        if not np.isfinite(value):
            # step back and wait
            for k in range(size):
                x[k] -= move[k]
            v[:] = 0.0
            dt *= 0.5
            if dt < 1e-12 * dt_max:
                return STALLED
            value = _value(x, g, geometry, potential, room)
        f = value
