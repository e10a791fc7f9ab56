"""Compiled: descent of V_eff in positions and cell by L-BFGS, conjugate gradients or FIRE.

Variables: the atoms' positions in the frame of the starting cell, and a symmetric strain times a length that makes it
as stiff as a position. Every evaluation is judged by the reported norm, and the best ever seen is what is returned.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from grs_evo.kernels.arrays import assign, zeros
from grs_evo.kernels.bundles import bundle
from grs_evo.kernels.compiling import entry_allocating, inner
from grs_evo.kernels.geometry.layout import GROW
from grs_evo.kernels.relaxation.surface import add, dot, evaluate

# Why a descent ended.
CONVERGED, STALLED, BUDGET, REACHED, FAILED, MEMORY = range(6)  # MEMORY: scratch arrays are too small, see GROW
_ARMIJO = 1e-4


@bundle
class Limits(NamedTuple):
    """When to stop."""

    evaluations: int
    gradient: float  # largest component of the gradient, loss per Å
    goal: float  # reported value that is low enough
    step: float  # Å, longest displacement of any atom in one step
    progress: float  # relative decrease over `window` evaluations below which a descent has stalled
    window: int


@inner
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


@inner
def _largest(g):
    out = 0.0
    for k in range(g.shape[0]):
        out = max(out, abs(g[k]))
    return out


@inner
def _line(x, p, f, slope, step, g, trial, geometry, potential, descent, limits):
    """Shorten a step along p until the value falls enough. Returns (value, step); inf when it never did.

    trial and g hold the accepted point and its gradient.
    """
    for _ in range(12):
        if descent.evaluations[0] >= limits.evaluations:
            return np.inf, 0.0
        for k in range(x.shape[0]):
            trial[k] = x[k] + step * p[k]
        value = evaluate(trial, g, geometry, potential, descent)
        if descent.status[0] == GROW:
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


@inner
def _improved(f, marks, descent, limits):
    """Whether the value still falls: compares with the value `window` evaluations ago. marks: [value, count]."""
    if descent.evaluations[0] - marks[1] < limits.window:
        return True
    falls = marks[0] - f > limits.progress * abs(marks[0])
    marks[0] = f
    marks[1] = descent.evaluations[0]
    return falls


@entry_allocating
def lbfgs(x, geometry, potential, descent, limits, memory):
    """Limited-memory BFGS with a backtracking line search (Nocedal & Wright, alg. 7.4).

    x is moved; returns a stop reason.
    """
    n = geometry.species.shape[0]
    size = x.shape[0]
    g = zeros(size)
    g_new = zeros(size)
    trial = zeros(size)
    p = zeros(size)
    s = zeros(memory * size)
    y = zeros(memory * size)
    rho = zeros(memory)
    alpha = zeros(memory)
    f = evaluate(x, g, geometry, potential, descent)
    if descent.status[0] == GROW:
        return MEMORY
    if not np.isfinite(f):
        return FAILED
    marks = np.array([f, float(descent.evaluations[0])])
    held = 0
    newest = -1
    gamma = 0.0
    while True:
        if descent.best_value[0] <= limits.goal:
            return REACHED
        if _largest(g) <= limits.gradient:
            return CONVERGED
        if descent.evaluations[0] >= limits.evaluations:
            return BUDGET
        if not _improved(f, marks, descent, limits):
            return STALLED
        for k in range(size):
            p[k] = -g[k]
        for t in range(held):
            j = (newest - t + memory) % memory
            alpha[j] = rho[j] * dot(s, j * size, p, 0, size)
            add(-alpha[j], y, j * size, p, size)
        if held > 0:
            for k in range(size):
                p[k] *= gamma
        for t in range(held):
            j = (newest - held + 1 + t + memory) % memory
            b = alpha[j] - rho[j] * dot(y, j * size, p, 0, size)
            add(b, s, j * size, p, size)
        slope = dot(p, 0, g, 0, size)
        if not slope < 0.0:
            held = 0
            for k in range(size):
                p[k] = -g[k]
            slope = dot(p, 0, g, 0, size)
        longest = _longest(p, n)
        step = 1.0
        if held == 0:
            step = 0.1 * limits.step / longest
        elif longest > limits.step:
            step = limits.step / longest
        value, step = _line(x, p, f, slope, step, g_new, trial, geometry, potential, descent, limits)
        if descent.status[0] == GROW:
            return MEMORY
        if not np.isfinite(value):
            if descent.evaluations[0] >= limits.evaluations:
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
        curvature = dot(sn, 0, yn, 0, size)
        square = dot(yn, 0, yn, 0, size)
        if curvature > 1e-10 * square:
            rho[newest] = 1.0 / curvature
            gamma = curvature / square
            held = min(held + 1, memory)
        else:
            newest = (newest - 1 + memory) % memory


@entry_allocating
def cg(x, geometry, potential, descent, limits):
    """Conjugate gradients (Polak–Ribière, restarted) with a backtracking line search.

    x is moved; returns a stop reason.
    """
    n = geometry.species.shape[0]
    size = x.shape[0]
    g = zeros(size)
    g_new = zeros(size)
    trial = zeros(size)
    p = zeros(size)
    f = evaluate(x, g, geometry, potential, descent)
    if descent.status[0] == GROW:
        return MEMORY
    if not np.isfinite(f):
        return FAILED
    marks = np.array([f, float(descent.evaluations[0])])
    fresh = True
    old_slope = 0.0
    old_step = 0.0
    while True:
        if descent.best_value[0] <= limits.goal:
            return REACHED
        if _largest(g) <= limits.gradient:
            return CONVERGED
        if descent.evaluations[0] >= limits.evaluations:
            return BUDGET
        if not _improved(f, marks, descent, limits):
            return STALLED
        slope = dot(p, 0, g, 0, size)
        if fresh or not slope < 0.0:
            fresh = True
            for k in range(size):
                p[k] = -g[k]
            slope = -dot(g, 0, g, 0, size)
        longest = _longest(p, n)
        step = 0.1 * limits.step / longest if old_step == 0.0 else old_step * old_slope / slope
        step = min(step, limits.step / longest)
        value, step = _line(x, p, f, slope, step, g_new, trial, geometry, potential, descent, limits)
        if descent.status[0] == GROW:
            return MEMORY
        if not np.isfinite(value):
            if descent.evaluations[0] >= limits.evaluations:
                return BUDGET
            if fresh:
                return STALLED
            fresh = True
            old_step = 0.0
            continue
        # one secant step along the line, from the two slopes, when it promises a step half as long again or more
        slope_new = dot(p, 0, g_new, 0, size)
        if slope_new < 0.5 * slope and descent.evaluations[0] < limits.evaluations:
            further = min(step * slope / (slope - slope_new) if slope_new > slope else 4.0 * step, 4.0 * step)
            further = min(further, limits.step / longest)
            if further > 1.5 * step:
                g_far = zeros(size)
                far = zeros(size)
                for k in range(size):
                    far[k] = x[k] + further * p[k]
                value_far = evaluate(far, g_far, geometry, potential, descent)
                if descent.status[0] == GROW:
                    return MEMORY
                if value_far < value:
                    value = value_far
                    step = further
                    assign(trial, far)
                    assign(g_new, g_far)
        beta = max(0.0, (dot(g_new, 0, g_new, 0, size) - dot(g_new, 0, g, 0, size)) / dot(g, 0, g, 0, size))
        for k in range(size):
            x[k] = trial[k]
            g[k] = g_new[k]
            p[k] = beta * p[k] - g_new[k]
        f = value
        old_slope = slope
        old_step = step
        fresh = False


@entry_allocating
def fire(x, geometry, potential, descent, limits):
    """FIRE (Bitzek et al. 2006), with a time step that starts from the first force.

    x is moved; returns a stop reason.
    """
    n = geometry.species.shape[0]
    size = x.shape[0]
    g = zeros(size)
    v = zeros(size)
    move = zeros(size)
    f = evaluate(x, g, geometry, potential, descent)
    if descent.status[0] == GROW:
        return MEMORY
    if not np.isfinite(f):
        return FAILED
    marks = np.array([f, float(descent.evaluations[0])])
    longest = _longest(g, n)
    # A first step of a fiftieth of the longest allowed; ten times as long a time step at most.
    dt = np.sqrt(0.02 * limits.step / longest) if longest > 0.0 else 1.0
    dt_max = 10.0 * dt
    mix = 0.1
    downhill = 0
    lowest = f
    while True:
        if descent.best_value[0] <= limits.goal:
            return REACHED
        if _largest(g) <= limits.gradient:
            return CONVERGED
        if descent.evaluations[0] >= limits.evaluations:
            return BUDGET
        lowest = min(lowest, f)
        if not _improved(lowest, marks, descent, limits):
            return STALLED
        power = -dot(g, 0, v, 0, size)
        if power > 0.0:
            ratio = np.sqrt(dot(v, 0, v, 0, size) / dot(g, 0, g, 0, size))
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
        value = evaluate(x, g, geometry, potential, descent)
        if descent.status[0] == GROW:
            return MEMORY
        if not np.isfinite(value):
            # step back and wait
            for k in range(size):
                x[k] -= move[k]
            v[:] = 0.0
            dt *= 0.5
            if dt < 1e-12 * dt_max:
                return STALLED
            value = evaluate(x, g, geometry, potential, descent)
        f = value
