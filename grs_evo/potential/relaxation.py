"""Local relaxation of positions and cell on V_eff: bounded, and never worse than what it was given.

With mixed precision V_eff and its derivatives come from descriptors in single precision (to 1e-6) while atoms move, so
a stage may end because it has come as near as that. The last stage, or one that reaches the goal, therefore goes on in
double precision from where it is if it has evaluations left. What comes back is the best of the start and of what
either precision has found, by values of `Objective.evaluate`, in double precision: nobody sees others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from grs_evo.errors import InputError, expect
from grs_evo.kernels.ace.engine import GROW, OK, Work, end_lists, keep_lists
from grs_evo.kernels.loss.norms import HUBER
from grs_evo.kernels.relaxation import minimise as compiled
from grs_evo.kernels.relaxation import surface
from grs_evo.loss.objective import Objective, make_objective
from grs_evo.loss.terms.evaluation import Arrays
from grs_evo.options import Options
from grs_evo.structures.structure import Structure, as_structure, ase_of
from grs_evo.targets.target import Target

_MODES = {
    "none": surface.CELL_NONE,
    "volume": surface.CELL_VOLUME,
    "shape": surface.CELL_SHAPE,
    "full": surface.CELL_FULL,
}
_REASONS = {
    compiled.CONVERGED: "converged",
    compiled.STALLED: "stalled",
    compiled.BUDGET: "budget",
    compiled.REACHED: "reached",
    compiled.FAILED: "failed",
}
REASONS = tuple(_REASONS.values())
# After these no further stage follows.
_ENDS = (compiled.REACHED, compiled.FAILED)
# Structures that are judged in double precision after a descent in mixed precision, which has so many evaluations less:
# the start, the best in single precision, and the best in double precision.
JUDGED = 3


class RelaxOptions(Options):
    """How structures are relaxed on V_eff."""

    method: Literal["recipe", "lbfgs", "cg", "fire"] = Field(
        "recipe",
        description="recipe: L-BFGS on pseudo-Huber norms of falling δ; the others descend the reported norm [–]",
    )
    positions: bool = Field(True, description="whether atoms move [–]")
    cell: Literal["none", "volume", "shape", "full"] = Field(
        "none", description="what of the cell moves: nothing, its volume, its shape at fixed volume, all [–]"
    )
    max_evaluations: int = Field(2500, ge=1, description="most evaluations of loss and gradient together [1]")
    deltas: tuple[float, ...] = Field(
        (0.5, 0.1, 0.02, 0.004, 0.0008), min_length=1, description="δ of the recipe's stages, in scaled units [1]"
    )
    stage_evaluations: int = Field(500, ge=1, description="most evaluations of one stage of the recipe [1]")
    memory: int = Field(40, ge=1, le=200, description="steps that L-BFGS remembers [1]")
    max_step: float = Field(0.3, gt=0, le=2, description="longest displacement of an atom in one step [Å]")
    gradient: float = Field(1e-7, ge=0, description="stop when no component of the gradient is larger [loss/Å]")
    progress: float = Field(
        1e-4, ge=0, lt=1, description="stop when the value falls by a smaller share of itself within `window` [1]"
    )
    window: int = Field(50, ge=2, description="evaluations over which progress is looked at [1]")
    goal: float = Field(0.0, description="stop when V_eff has come down to this [1]")
    use_goal: bool = Field(False, description="whether `goal` is looked at [–]")
    precision: Literal["double", "mixed"] = Field(
        "double",
        description="of descriptors while atoms move; mixed: single first, double at the end and for what is kept [–]",
    )
    max_volume_change: float = Field(2.0, gt=1, description="largest factor by which the volume may grow or shrink [1]")


@dataclass(frozen=True, eq=False)
class Relaxed:
    """What came of a relaxation."""

    structure: Structure  # the best seen; the one given if nothing was better
    value: float  # V_eff of it; NaN if the start could not be evaluated
    terms: NDArray[np.float64]  # (n_terms,) its parts, as in Evaluation
    evaluations: int  # of loss and gradient together
    reason: str  # one of REASONS
    improved: bool

    @property
    def ok(self) -> bool:
        return bool(np.isfinite(self.value))


def relax(
    structure: Any,
    objective: Objective | Target,
    options: RelaxOptions | None = None,
    fixed: NDArray[np.bool_] | None = None,
    poll: Callable[[], None] | None = None,
) -> Any:
    """Relax a structure on V_eff.

    Parameters
    ----------
    structure : Structure, or ase.Atoms (then Atoms come back in `Relaxed.structure`; their FixAtoms are respected)
    objective : an Objective; or a Target, of which one with the default loss is made
    fixed : (n_atoms,) True for atoms that stay; with a moving cell they keep their fractional coordinates
    poll : called between stages; may raise to interrupt

    Returns
    -------
    Relaxed, judged by the objective's own norm whatever was descended: its value is never above the given structure's

    Raises
    ------
    InputError
        The cell is to move but the structure is not periodic in all directions; `fixed` has another length; an argument
        of another kind (WrongType).
    """
    options = options if options is not None else RelaxOptions()
    call = "relax(structure, objective, options)"
    expect(objective, (Objective, Target), "objective", call)
    expect(options, RelaxOptions, "options", call)
    if isinstance(objective, Target):
        objective = make_objective(objective.own_basis(), objective)
    if not isinstance(structure, Structure):
        return _relax_atoms(structure, objective, options, fixed, poll)
    n_atoms = structure.n_atoms
    free = np.ones(n_atoms) if fixed is None else 1.0 - np.asarray(fixed, dtype=np.float64)
    if free.shape != (n_atoms,):
        raise InputError(f"relax: fixed has shape {free.shape} for {n_atoms} atoms")
    if options.cell != "none" and not structure.pbc.all():
        raise InputError(
            f"relax: cell = {options.cell!r} needs a structure that is periodic in all directions; pbc is"
            f" {structure.pbc.tolist()}"
        )
    geometry = geometry_of(structure, objective, options, free)
    return descended(structure, objective, options, geometry, poll, partial(_minimiser, options))


# What descends one stage: from the potential and the number of evaluations, of all stages together, at which it has to
# end, to why it ended.
Minimiser = Callable[[surface.Potential, int], int]


def descended(
    structure: Structure,
    objective: Objective,
    options: RelaxOptions,
    geometry: surface.Geometry,
    poll: Callable[[], None] | None,
    begin: Callable[[surface.Geometry, NDArray[np.float64], surface.Descent], Minimiser],
) -> Relaxed:
    """What all stages of a descent find, begun again where the engine's arrays were too small.

    Parameters
    ----------
    begin : gets the geometry, whose cell may be changed in place, the positions, which change, and the descent; returns
        what descends stage after stage
    """
    n_atoms = structure.n_atoms

    def descend(engine: Work) -> tuple[int, _Found]:
        keep_lists(engine, n_atoms)
        own = geometry._replace(cell=np.array(structure.cell))
        try:
            return _all_stages(structure, objective, options, own, engine, poll, begin)
        finally:
            end_lists(engine)

    _, found = objective.with_memory(n_atoms, descend)
    return _relaxed_of(structure, objective, found)


@dataclass(frozen=True, eq=False)
class _Found:
    """What a descent has come to."""

    reason: int
    descent: surface.Descent
    single: Structure | None  # the best by descriptors in single precision, where these were used


def _relaxed_of(structure: Structure, objective: Objective, found: _Found) -> Relaxed:
    """What a descent from a structure has found."""
    descent = found.descent
    value, terms = float(descent.best_value[0]), descent.best_terms[objective.terms_kept]
    evaluations = int(descent.evaluations[0])
    best = _best_of(structure, descent)
    if found.single is not None:
        places = [structure, *(one for one in (found.single, best) if one is not structure)]
        judged = [objective.evaluate(one) for one in places]
        evaluations += len(judged)
        # of equals the first: a structure that is no better than the start is not taken for it
        lowest = min(range(len(places)), key=lambda k: judged[k].value if judged[k].ok else np.inf)
        best, value, terms = places[lowest], judged[lowest].value, judged[lowest].terms
    if not np.isfinite(value):
        terms = np.full(len(objective.terms_kept), np.nan)
        return Relaxed(structure, float("nan"), terms, evaluations, _REASONS[compiled.FAILED], False)
    return Relaxed(best, value, terms, evaluations, _REASONS[found.reason], best is not structure)


def _best_of(structure: Structure, descent: surface.Descent) -> Structure:
    """The best structure that a descent has seen since it forgot the others; the start itself where that is it."""
    if not np.isfinite(descent.best_value[0]):
        return structure
    best = structure.replace(positions=np.array(descent.best_positions), cell=np.array(descent.best_cell))
    moved = not (np.array_equal(best.positions, structure.positions) and np.array_equal(best.cell, structure.cell))
    return best if moved else structure


def geometry_of(
    structure: Structure, objective: Objective, options: RelaxOptions, free: NDArray[np.float64]
) -> surface.Geometry:
    """What moves from where; `free` (n_atoms,) is 1 for atoms that may, else 0."""
    plan = objective.plan
    added = [one.weight for one in objective.added]
    # A loss that is to grow has no lower bound and would push atoms through any finite core.
    grows = min(plan.alpha.min(), plan.w_structure, plan.w_set, *added) < 0
    return surface.Geometry(
        cell=np.array(structure.cell),
        species=np.array(structure.species),
        pbc=np.array(structure.pbc),
        free=free,
        move=options.positions,
        mode=_MODES[options.cell],
        length=float((structure.volume / structure.n_atoms) ** (1 / 3) * np.sqrt(structure.n_atoms)),
        stretch=options.max_volume_change,
        wall=bool(objective.has_core and grows),
    )


def _stages(objective: Objective, options: RelaxOptions) -> list[tuple[int, float, int]]:
    """Norm that is descended, its δ, and most evaluations, of one stage after the other."""
    if options.method == "recipe":
        return [(HUBER, delta, options.stage_evaluations) for delta in options.deltas]
    return [(*objective.norm, options.max_evaluations)]


def _begun(structure: Structure, objective: Objective, geometry: surface.Geometry, engine: Work) -> surface.Descent:
    """Buffers of a descent, to which the terms with their own code are bound."""
    descent = surface.make_descent(structure.n_atoms, max(objective.basis.sizes), objective.n_columns)
    if objective.added:
        objective.added_terms().bind(
            Arrays(
                descent.positions, descent.cell, geometry.species, geometry.pbc, engine, descent.rows, True,
                descent.slopes, descent.terms, descent.dpositions, descent.dstrain,
            )
        )  # fmt: skip
    return descent


def _potential_of(
    objective: Objective,
    engine: Work,
    single: bool,
    norm: int,
    delta: float,
    x: NDArray[np.float64],
    geometry: surface.Geometry,
    descent: surface.Descent,
) -> surface.Potential:
    """The function that a stage descends."""
    potential = surface.Potential(
        objective.calls(engine, single), objective.tables, engine, objective.plan, objective.loss_work(), int(norm),
        float(delta),
    )  # fmt: skip
    if not potential.calls.value:
        # Found once: numba takes a millisecond to tell the types of all these arguments.
        potential = surface.with_value(potential, x, geometry, descent)
        objective.scratch.calls[single] = potential.calls
    return potential


def _all_stages(
    structure: Structure,
    objective: Objective,
    options: RelaxOptions,
    geometry: surface.Geometry,
    engine: Work,
    poll: Callable[[], None] | None,
    begin: Callable[[surface.Geometry, NDArray[np.float64], surface.Descent], Minimiser],
) -> tuple[int, _Found]:
    """All stages; (OK, what was found), or (GROW, …) where the engine's arrays are too small."""
    descent = _begun(structure, objective, geometry, engine)
    x = surface.start(structure.positions)
    minimise = begin(geometry, x, descent)

    def descend(norm: int, delta: float, single: bool, limit: int) -> int:
        why = minimise(_potential_of(objective, engine, single, norm, delta, x, geometry, descent), limit)
        if objective.added:
            objective.added_terms().check()
        return why

    most = options.max_evaluations
    single, found = options.precision == "mixed" and most > JUDGED, None
    if single:
        most -= JUDGED
    reason, stages = compiled.BUDGET, _stages(objective, options)
    for k, (norm, delta, own) in enumerate(stages, 1):
        if poll is not None:
            poll()
        limit = min(most, int(descent.evaluations[0]) + own)
        reason = descend(norm, delta, single, limit)
        last = k == len(stages) or descent.evaluations[0] >= most or reason in _ENDS
        if single and last and reason != compiled.MEMORY:
            single, found = False, _best_of(structure, descent)
            descent.best_value[0] = np.inf
            reason = compiled.BUDGET if descent.evaluations[0] >= limit else descend(norm, delta, False, limit)
        if reason == compiled.MEMORY:
            return GROW, _Found(reason, descent, None)
        if reason in _ENDS or descent.evaluations[0] >= most:
            break
    return OK, _Found(reason, descent, found)


def _minimiser(
    options: RelaxOptions, geometry: surface.Geometry, x: NDArray[np.float64], descent: surface.Descent
) -> Minimiser:
    """Each atom by itself."""

    def minimise(potential: surface.Potential, limit: int) -> int:
        limits = compiled.Limits(
            evaluations=limit,
            gradient=options.gradient,
            goal=options.goal if options.use_goal else -np.inf,
            step=options.max_step,
            progress=options.progress,
            window=options.window,
        )
        if options.method == "fire":
            return int(compiled.fire(x, geometry, potential, descent, limits))
        if options.method == "cg":
            return int(compiled.cg(x, geometry, potential, descent, limits))
        return int(compiled.lbfgs(x, geometry, potential, descent, limits, options.memory))

    return minimise


def _relax_atoms(
    atoms: Any,
    objective: Objective,
    options: RelaxOptions,
    fixed: NDArray[np.bool_] | None,
    poll: Callable[[], None] | None,
) -> Relaxed:
    """The same for ase.Atoms: FixAtoms constraints are taken over, and Atoms come back."""
    from ase.constraints import FixAtoms

    atoms = ase_of(atoms)
    start = as_structure(atoms, objective.basis.elements, "relax(structure, objective, options)")
    stays = np.zeros(len(atoms), dtype=bool) if fixed is None else np.array(fixed, dtype=bool)
    for constraint in atoms.constraints:
        if not isinstance(constraint, FixAtoms):
            raise InputError(f"relax: constraint {type(constraint).__name__} is not known; only FixAtoms is")
        stays[constraint.index] = True
    done = relax(start, objective, options, stays, poll)
    moved = atoms.copy()  # tags, moments, arrays, info and constraints stay as they are
    if options.cell != "none":
        moved.set_cell(done.structure.cell)
    moved.set_positions(done.structure.positions, apply_constraint=False)
    return Relaxed(moved, done.value, done.terms, done.evaluations, done.reason, done.improved)
