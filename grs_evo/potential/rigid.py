"""Relaxation of molecules as rigid bodies: they shift and turn on V_eff, and keep their bonds and angles.

Forces on atoms are those of V_eff; each body feels their sum and their torque. L-BFGS in shifts and rotation vectors,
from the bodies' places at the last renewal, where rotation vectors are 0; where the cell moves too, it takes the
bodies' centres along and leaves their shapes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.kernels.ace.engine import GROW
from grs_evo.kernels.relaxation import minimise as compiled
from grs_evo.kernels.relaxation import surface
from grs_evo.loss.objective import Objective
from grs_evo.potential.relaxation import Minimiser, Relaxed, RelaxOptions, descended, geometry_of
from grs_evo.structures.molecules.bodies import Bodies, bodies_of, placed, pulled
from grs_evo.structures.structure import Structure

Array = NDArray[np.float64]

_ARMIJO = 1e-4
# Radians beyond which a rotation vector is renewed: at a whole turn it loses a direction.
_TURNED = 2.0
_SHORTENINGS = 12
# Share of its volume to which a cell may collapse in a trial step.
_COLLAPSED = 1e-3


def can_keep_rigid(options: RelaxOptions | None) -> str:
    """Why molecules cannot be kept rigid in relaxations with these options; empty where they can."""
    if options is not None and not options.positions:
        return "relax.positions is false, and rigid molecules are relaxed in place and cell together"
    if options is not None and options.method not in ("recipe", "lbfgs"):
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
    geometry = geometry_of(structure, objective, options, np.ones(structure.n_atoms))
    # The engine sees deformed cells, not strains: those that bodies feel differ from those that their atoms would.
    geometry = geometry._replace(mode=surface.CELL_NONE)

    def begin(own: surface.Geometry, x: Array, descent: surface.Descent) -> Minimiser:
        on = _Surface(bodies, own, descent, x, options)

        def minimise(potential: surface.Potential, limit: int) -> int:
            on.potential = potential
            return _lbfgs(on, options, limit)

        return minimise

    return descended(structure, objective, options, geometry, poll, begin)


class _Surface:
    """V_eff as a function of shifts and rotation vectors of bodies, and of a strain; changed in place as a descent goes
    on.

    Variables: six of each body, (shift, turn) in Å, a turn being radians times the body's length; then the six entries
    xx, yy, zz, yz, xz, xy of a symmetric strain of the centres and of the cell at the start, times a length that makes
    it as stiff as a position. What of it does not move has no slope.
    """

    def __init__(
        self, bodies: Bodies, geometry: surface.Geometry, descent: surface.Descent, x: Array, options: RelaxOptions
    ) -> None:
        self.bodies, self.geometry, self.descent = bodies, geometry, descent
        self.potential: surface.Potential | None = None
        self.strain = np.zeros(6)  # at the last renewal
        self._cell = geometry.cell.copy()
        self._options = options
        self._x, self._g = x.copy(), np.zeros_like(x)

    @property
    def n(self) -> int:
        """Number of variables."""
        return 6 * len(self.bodies.centres) + 6

    def at(self, u: Array) -> tuple[float, Array]:
        """Value and derivative, inf where the cell would collapse or leave its volumes."""
        rows = u[:-6].reshape(-1, 6)
        strained = self._deformation(u[-6:])
        if strained is None:
            self.descent.evaluations[0] += 1
            return np.inf, np.zeros(self.n)
        deform, bare = strained
        scale = 1.0 / self.bodies.lengths[:, None]
        angles = rows[:, 3:] * scale
        centres = _times(self.bodies.centres + rows[:, :3], deform)
        positions, turned = placed(self.bodies._replace(centres=centres), np.zeros_like(centres), angles)
        n = positions.size
        self._x[:n] = positions.ravel()
        self.geometry.cell[:] = _times(self._cell, deform)
        value = float(surface.value_at(self._x, self._g, self.geometry, self.potential, self.descent))
        slopes = self._g[:n].reshape(-1, 3)
        force, torque = pulled(self.bodies, angles, turned, slopes)
        by_body = np.concatenate([_times(force, deform), torque * scale], axis=1).ravel()
        return value, np.concatenate([by_body, self._by_strain(bare, slopes, turned)])

    def _deformation(self, change: Array) -> tuple[Array, Array] | None:
        """What centres and cell are multiplied by, and the same before its volume is brought back to 1."""
        mode = self._options.cell
        if mode == "none":
            return np.eye(3), np.eye(3)
        xx, yy, zz, yz, xz, xy = ((self.strain + change) / self.geometry.length).tolist()
        bare = np.array([[1 + xx, xy, xz], [xy, 1 + yy, yz], [xz, yz, 1 + zz]])
        volume = float(np.linalg.det(bare))
        if not volume > _COLLAPSED:
            return None
        if mode == "shape":
            return bare * volume ** (-1.0 / 3.0), bare
        most = self._options.max_volume_change
        return (bare, bare) if 1.0 / most <= volume <= most else None

    def _by_strain(self, bare: Array, slopes: Array, turned: Array) -> Array:
        """(6,) derivative by the strain: that of the engine, without what would deform the bodies."""
        mode = self._options.cell
        if mode == "none":
            return np.zeros(6)
        strain = self.descent.dstrain - (slopes[:, :, None] * turned[:, None, :]).sum(0)
        if mode == "volume":
            trace = float(np.trace(strain)) / bare[0, 0] / 3.0
            return np.array([trace, trace, trace, 0.0, 0.0, 0.0]) / self.geometry.length
        if mode == "shape":
            strain = strain - np.eye(3) * float(np.trace(strain)) / 3.0
        slope = _times(strain, np.asarray(np.linalg.inv(bare), np.float64))
        sums = [slope[1, 2] + slope[2, 1], slope[0, 2] + slope[2, 0], slope[0, 1] + slope[1, 0]]
        return np.array([slope[0, 0], slope[1, 1], slope[2, 2], *sums]) / self.geometry.length

    def renew(self, u: Array) -> None:
        """Take the places at `u` as those from which bodies are shifted and turned; the strain is kept."""
        rows = u[:-6].reshape(-1, 6)
        positions, _ = placed(self.bodies, rows[:, :3], rows[:, 3:] / self.bodies.lengths[:, None])
        lengths = self.bodies.lengths
        self.bodies = bodies_of(self.bodies.group, positions)._replace(lengths=lengths)
        self.strain = self.strain + u[-6:]

    def longest(self, u: Array) -> float:
        """Å, longest shift or turn of a body; a strain weighs as much as all bodies moving together."""
        by_strain = float((u[-6:] ** 2).sum()) / max(len(self.bodies.centres), 1)
        return float(np.sqrt(max(float((u[:-6].reshape(-1, 3) ** 2).sum(1).max()), by_strain)))

    def turned_far(self, u: Array) -> bool:
        rows = u[:-6].reshape(-1, 6)
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


def _times(rows: Array, matrix: Array) -> Array:
    """(n, 3) rows times a matrix, in a fixed order of additions."""
    found: Array = rows[:, 0, None] * matrix[0] + rows[:, 1, None] * matrix[1] + rows[:, 2, None] * matrix[2]
    return found


def _dot(a: Array, b: Array) -> float:
    """Σ a b, in numpy's own fixed order and not that of a linear algebra library."""
    return float((a * b).sum())
