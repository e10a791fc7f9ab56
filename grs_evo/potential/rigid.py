"""Relaxation of molecules as rigid bodies: they shift and turn on V_eff, and keep their bonds and angles.

Forces on atoms are those of V_eff; each body feels their sum and their torque. L-BFGS in shifts and rotation vectors,
from the bodies' places at the last renewal, where rotation vectors are 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.kernels.ace.engine import GROW, OK, Work, end_lists, keep_lists
from grs_evo.kernels.relaxation import minimise as compiled
from grs_evo.kernels.relaxation import surface
from grs_evo.loss.objective import Objective
from grs_evo.potential.relaxation import (
    Relaxed,
    RelaxOptions,
    begun,
    geometry_of,
    potential_of,
    relaxed_of,
    stages,
)
from grs_evo.structures.molecules.bodies import Bodies, bodies_of, placed, pulled
from grs_evo.structures.structure import Structure

Array = NDArray[np.float64]

_ARMIJO = 1e-4
# Radians beyond which a rotation vector is renewed: at a whole turn it loses a direction.
_TURNED = 2.0
_SHORTENINGS = 12


def can_keep_rigid(options: RelaxOptions | None) -> str:
    """Why molecules cannot be kept rigid in relaxations with these options; empty where they can."""
    if options is None or not options.positions:
        return ""
    if options.cell != "none":
        return f"relax.cell is {options.cell!r}, and rigid molecules are relaxed in a cell that stays"
    if options.method not in ("recipe", "lbfgs"):
        return f"relax.method is {options.method!r}, and rigid molecules are relaxed by recipe or lbfgs"
    return ""


def relax_bodies(
    structure: Structure,
    bodies: Bodies,
    objective: Objective,
    options: RelaxOptions,
    poll: Callable[[], None] | None = None,
) -> Relaxed:
    """Relax a structure on V_eff by shifts and turns of its bodies.

    Parameters
    ----------
    bodies : of the structure, each in one piece
    poll : called between stages; may raise to interrupt

    Raises
    ------
    InputError
        Options that rigid bodies have no relaxation for.
    """
    why = can_keep_rigid(options)
    if why:
        raise InputError(f"relax: {why}")
    n = structure.n_atoms
    geometry = geometry_of(structure, objective, options, np.ones(n))

    def descend(engine: Work) -> tuple[int, tuple[int, surface.Descent]]:
        keep_lists(engine, n)
        try:
            return _all_stages(structure, bodies, objective, options, geometry, engine, poll)
        finally:
            end_lists(engine)

    _, (reason, descent) = objective.with_memory(n, descend)
    return relaxed_of(structure, objective, reason, descent)


def _all_stages(
    structure: Structure,
    bodies: Bodies,
    objective: Objective,
    options: RelaxOptions,
    geometry: surface.Geometry,
    engine: Work,
    poll: Callable[[], None] | None,
) -> tuple[int, tuple[int, surface.Descent]]:
    descent = begun(structure, objective, geometry, engine)
    x = surface.start(structure.positions)
    surface_of = _Surface(bodies, geometry, descent, x)
    reason = compiled.BUDGET
    for norm, delta, most in stages(objective, options):
        if poll is not None:
            poll()
        surface_of.potential = potential_of(objective, engine, norm, delta, x, geometry, descent)
        limit = min(options.max_evaluations, int(descent.evaluations[0]) + most)
        reason = _lbfgs(surface_of, options, limit)
        if objective.added:
            objective.added_terms().check()
        if reason == compiled.MEMORY:
            return GROW, (reason, descent)
        if reason in (compiled.REACHED, compiled.FAILED) or descent.evaluations[0] >= options.max_evaluations:
            break
    return OK, (reason, descent)


class _Surface:
    """V_eff as a function of the shifts and rotation vectors of bodies; changed in place as a descent goes on."""

    def __init__(self, bodies: Bodies, geometry: surface.Geometry, descent: surface.Descent, x: Array) -> None:
        self.bodies, self.geometry, self.descent = bodies, geometry, descent
        self.potential: surface.Potential | None = None
        self._x, self._g = x.copy(), np.zeros_like(x)

    @property
    def n(self) -> int:
        """Number of variables."""
        return 6 * len(self.bodies.centres)

    def at(self, u: Array) -> tuple[float, Array]:
        """Value and derivative at shifts and turns, (n_bodies × 6,) Å; turns are radians times the body's length."""
        rows = u.reshape(-1, 6)
        scale = 1.0 / self.bodies.lengths[:, None]
        angles = rows[:, 3:] * scale
        positions, turned = placed(self.bodies, rows[:, :3], angles)
        n = positions.size
        self._x[:n] = positions.ravel()
        value = float(surface.value_at(self._x, self._g, self.geometry, self.potential, self.descent))
        force, torque = pulled(self.bodies, angles, turned, self._g[:n].reshape(-1, 3))
        return value, np.concatenate([force, torque * scale], axis=1).ravel()

    def renew(self, u: Array) -> None:
        """Take the places at `u` as those from which bodies are shifted and turned."""
        rows = u.reshape(-1, 6)
        positions, _ = placed(self.bodies, rows[:, :3], rows[:, 3:] / self.bodies.lengths[:, None])
        lengths = self.bodies.lengths
        self.bodies = bodies_of(self.bodies.group, positions)._replace(lengths=lengths)

    def longest(self, u: Array) -> float:
        """Å, longest shift or turn of a body."""
        return float(np.sqrt((u.reshape(-1, 3) ** 2).sum(1).max()))

    def turned_far(self, u: Array) -> bool:
        rows = u.reshape(-1, 6)
        return bool((((rows[:, 3:] / self.bodies.lengths[:, None]) ** 2).sum(1) > _TURNED**2).any())


def _lbfgs(on: _Surface, options: RelaxOptions, limit: int) -> int:
    """L-BFGS with a backtracking line search (Nocedal & Wright, alg. 7.4), as the compiled one; a stop reason.

    Parameters
    ----------
    limit : evaluations of the whole descent after which it ends
    """
    descent = on.descent
    u = np.zeros(on.n)
    value, g = on.at(u)
    if descent.status[0] == GROW:
        return compiled.MEMORY
    if not np.isfinite(value):
        return compiled.FAILED
    goal = options.goal if options.use_goal else -np.inf
    marked, marked_at = value, int(descent.evaluations[0])
    steps: list[tuple[Array, Array, float]] = []  # change of place, change of slope, 1 / their product
    while True:
        evaluations = int(descent.evaluations[0])
        if descent.best_value[0] <= goal:
            reason = compiled.REACHED
        elif np.abs(g).max() <= options.gradient:
            reason = compiled.CONVERGED
        elif evaluations >= limit:
            reason = compiled.BUDGET
        else:
            reason = -1
        if reason < 0 and evaluations - marked_at >= options.window:
            if not marked - value > options.progress * abs(marked):
                reason = compiled.STALLED
            marked, marked_at = value, evaluations
        if reason >= 0:
            on.renew(u)
            return reason
        p = _direction(g, steps)
        slope = _dot(p, g)
        if not slope < 0.0:
            steps.clear()
            p, slope = -g, -_dot(g, g)
        longest = on.longest(p)
        step = min(1.0, options.max_step / longest) if steps else 0.1 * options.max_step / longest
        found = _line(on, u, p, value, slope, step, limit)
        if descent.status[0] == GROW:
            return compiled.MEMORY
        if found is None:
            if steps and descent.evaluations[0] < limit:
                steps.clear()
                continue
            on.renew(u)
            return compiled.BUDGET if descent.evaluations[0] >= limit else compiled.STALLED
        following, value, new = found
        change, bend = following - u, new - g
        curvature = _dot(change, bend)
        if curvature > 1e-10 * _dot(bend, bend):
            steps.append((change, bend, 1.0 / curvature))
            del steps[: -options.memory]
        u, g = following, new
        if on.turned_far(u):
            on.renew(u)
            u = np.zeros(on.n)
            value, g = on.at(u)
            steps.clear()


def _direction(g: Array, steps: list[tuple[Array, Array, float]]) -> Array:
    """The quasi-Newton step from the changes remembered."""
    p = -g
    shares = []
    for change, bend, inverse in reversed(steps):
        shares.append(inverse * _dot(change, p))
        p = p - shares[-1] * bend
    if steps:
        _, bend, inverse = steps[-1]
        p = p / (inverse * _dot(bend, bend))
    for (change, bend, inverse), share in zip(steps, reversed(shares), strict=True):
        p = p + (share - inverse * _dot(bend, p)) * change
    return p


def _line(
    on: _Surface, u: Array, p: Array, value: float, slope: float, step: float, limit: int
) -> tuple[Array, float, Array] | None:
    """Place, value and slope where the value has fallen enough along p; None where it never does."""
    for _ in range(_SHORTENINGS):
        if on.descent.evaluations[0] >= limit:
            return None
        trial = u + step * p
        found, g = on.at(trial)
        if on.descent.status[0] == GROW:
            return None
        if found <= value + _ARMIJO * step * slope:
            return trial, found, g
        if np.isfinite(found):
            shorter = -0.5 * slope * step * step / (found - value - step * slope)
            step = min(max(shorter, 0.1 * step), 0.5 * step)
        else:
            step *= 0.25
    return None


def _dot(a: Array, b: Array) -> float:
    """Σ a b, in numpy's own fixed order and not that of a linear algebra library."""
    return float((a * b).sum())
