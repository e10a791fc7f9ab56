"""Losses of a structure or a set against a target: value, parts, gradient (eqs. 13–16)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from grs_evo.descriptors.basis import Basis
from grs_evo.descriptors.describe import describe_compact
from grs_evo.errors import InputError, expect
from grs_evo.kernels.ace.engine import GROW, OK, Tables, Work, kernel_tables, larger_work, make_work
from grs_evo.kernels.calls import Calls
from grs_evo.kernels.loss import distribution
from grs_evo.kernels.loss import objective as kernel
from grs_evo.kernels.loss.distribution import LossPlan, LossWork
from grs_evo.kernels.loss.effective import calls_for, evaluate_into
from grs_evo.loss.options import TERMS, LossOptions
from grs_evo.loss.scaling import check_core, core_distances, covariance_of, reference_part, target_part, with_set
from grs_evo.structures.structure import Structure, as_structure
from grs_evo.targets.moments import Moments, moments_of
from grs_evo.targets.target import Target

_NORMS = {"l1": distribution.L1, "l2": distribution.L2, "huber": distribution.HUBER}
_CORES = {"none": 0, "polynomial": 1, "zbl": 2}


class Evaluation(NamedTuple):
    """What one structure is worth."""

    value: float  # V_eff (eq. 16); NaN when not ok
    terms: NDArray[np.float64]  # (n_terms,) its parts, unweighted, named by Objective.term_names
    ok: bool  # False: atoms on top of each other, or not finite


@dataclass(eq=False)
class _Scratch:
    """Buffers that grow with the structures met; nothing in them outlives a call."""

    loss: LossWork | None = None
    engine: Work | None = None
    calls: Calls | None = None
    rows: NDArray[np.float64] = field(default_factory=lambda: np.empty((2, 0, 0)))


@dataclass(frozen=True, eq=False)
class Objective:
    """The effective potential V_eff as a function of a structure. Made by `make_objective`."""

    basis: Basis
    target: Target
    options: LossOptions
    plan: LossPlan  # what the compiled code reads
    notes: tuple[str, ...] = ()  # what was done to scales, for the log
    scratch: _Scratch = field(default_factory=_Scratch, repr=False)

    @property
    def terms_kept(self) -> NDArray[np.int64]:
        """Positions of this objective's terms in the compiled code's full row."""
        o = self.options
        on = (True, True, True, o.skewness != 0, o.kurtosis != 0, o.covariance != 0, o.w_set != 0)
        core = o.core.kind != "none" and o.core.strength > 0
        return np.flatnonzero([*on, core, o.w_entropy != 0, o.reward != 0, True])

    @property
    def term_names(self) -> tuple[str, ...]:
        return tuple(TERMS[k] for k in self.terms_kept)

    @property
    def has_core(self) -> bool:
        return "core" in self.term_names

    def evaluate(self, structure: Any) -> Evaluation:
        """V_eff and its parts, of a Structure or ase.Atoms."""
        evaluation, _, _ = self._run(structure, gradient=False)
        return evaluation

    def gradient(self, structure: Any) -> tuple[Evaluation, NDArray[np.float64], NDArray[np.float64]]:
        """V_eff, forces −dV/dR (n_atoms, 3) per Å, and virial (3, 3) = −dV/dε under R → R (1 + ε)ᵀ."""
        evaluation, forces, virial = self._run(structure, gradient=True)
        return evaluation, -forces, -virial

    def rows_loss(self, rows: NDArray[np.float64], species: NDArray[np.integer]) -> Evaluation:
        """The same without the core, for environments given as compact descriptor rows."""
        terms = np.zeros(distribution.N_TERMS)
        index = np.array(species, dtype=np.int32)
        compact = np.array(rows, dtype=np.float64, order="C")
        _, value = kernel.rows_loss(
            compact, index, self.plan, self.plan.norm, self.plan.delta, False, self.loss_work(), terms, compact
        )
        return Evaluation(float(value), terms[self.terms_kept], bool(np.isfinite(value)))

    def rows_gradient(
        self, rows: NDArray[np.float64], species: NDArray[np.integer]
    ) -> tuple[float, NDArray[np.float64]]:
        """Value without the core, and its derivative with respect to each entry of the compact rows."""
        terms = np.zeros(distribution.N_TERMS)
        index = np.array(species, dtype=np.int32)
        compact = np.array(rows, dtype=np.float64, order="C")
        slope = np.zeros_like(compact)
        value, _ = kernel.rows_loss(
            compact, index, self.plan, self.plan.norm, self.plan.delta, True, self.loss_work(), terms, slope
        )
        return float(value), slope

    def moments_loss(self, moments: Moments) -> Evaluation:
        """Value and terms of a distribution given by its moments: no core, no entropy."""
        terms = np.zeros(distribution.N_TERMS)
        flat = covariance_of(moments, len(self.plan.target_covariance))
        _, value = kernel.moments_loss(
            moments.central(), moments.counts, flat, self.plan, self.plan.norm, self.plan.delta, False,
            self.loss_work(), terms,
        )  # fmt: skip
        return Evaluation(float(value), terms[self.terms_kept], bool(np.isfinite(value)))

    def moments_of(self, structure: Any) -> Moments:
        """Moments of one structure's environments, as a representative set collects them."""
        structure = as_structure(structure, self.basis.elements, "moments_of(structure)")
        rows = describe_compact(structure, self.basis, warn=False)
        return moments_of(rows, structure.species, self.basis.sizes, covariance=self.options.covariance != 0)

    def with_set(self, set_moments: Moments | None) -> Objective:
        """The same loss with other environments already in the representative set."""
        return replace(self, plan=with_set(self.plan, set_moments), scratch=_Scratch())

    def with_target(self, target: Target, keep_scales: bool = False) -> Objective:
        """The same loss against another target.

        Parameters
        ----------
        keep_scales : measure by what came from the old target, so that values stay comparable; else scales are made
            anew
        """
        target.check_basis(self.basis)
        plan, notes = target_part(self.plan, target, self.options)
        if keep_scales:
            plan, notes = plan._replace(inverse=self.plan.inverse, spread=self.plan.spread), self.notes
        return replace(self, target=target, plan=plan, notes=notes, scratch=_Scratch())

    def loss_work(self) -> LossWork:
        if self.scratch.loss is None:
            self.scratch.loss = distribution.make_loss_work(self.plan)
        return self.scratch.loss

    def _run(self, given: Any, gradient: bool) -> tuple[Evaluation, NDArray[np.float64], NDArray[np.float64]]:
        structure = as_structure(given, self.basis.elements, "evaluate(structure)")
        n_atoms = structure.n_atoms
        forces, strain = np.zeros((n_atoms, 3)), np.zeros((3, 3))
        terms = np.zeros(distribution.N_TERMS)

        positions, cell = np.array(structure.positions), np.array(structure.cell)
        species, pbc = np.array(structure.species), np.array(structure.pbc)

        def call(engine: Work) -> tuple[int, float]:
            calls = self.calls(engine)
            rows, slopes = self.row_buffers(n_atoms)
            status, _, value = evaluate_into(
                positions, cell, species, pbc, calls, self.tables, engine, self.plan, self.loss_work(),
                self.plan.norm, self.plan.delta, gradient, rows, slopes, terms, forces, strain,
            )  # fmt: skip
            return status, value

        status, value = self.with_room(n_atoms, call)
        ok = status == OK and bool(np.isfinite(value))
        if ok and gradient:
            ok = bool(np.isfinite(forces).all() and np.isfinite(strain).all())
        kept = terms[self.terms_kept] if ok else np.full(len(self.terms_kept), np.nan)
        return Evaluation(float(value) if ok else float("nan"), kept, ok), forces, strain

    def calls(self, engine: Work) -> Calls:
        """Where the compiled parts of V_eff are; found once."""
        if self.scratch.calls is None:
            rows, slopes = self.row_buffers(1)
            self.scratch.calls = calls_for(
                np.zeros((1, 3)), np.eye(3), np.zeros(1, np.int32), np.zeros(1, np.bool_), self.tables, engine,
                self.plan, self.loss_work(), self.plan.norm, self.plan.delta, True, rows, slopes,
                np.zeros(distribution.N_TERMS), np.zeros((1, 3)), np.zeros((3, 3)),
            )  # fmt: skip
        return self.scratch.calls

    @property
    def tables(self) -> Tables:
        return kernel_tables(self.basis)

    def row_buffers(self, n_atoms: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Room for the descriptor rows of a structure and their derivatives."""
        width = max(self.basis.sizes)
        if self.scratch.rows.shape[1:] != (max(n_atoms, 1), width):
            self.scratch.rows = np.zeros((2, n_atoms, width))
        return self.scratch.rows[0], self.scratch.rows[1]

    def with_room(self, n_atoms: int, call: Callable[[Work], tuple[int, Any]]) -> tuple[int, Any]:
        """Run compiled code with the engine's scratch, and again from its start with more room while it lacks some."""
        engine = self.scratch.engine
        if engine is None:
            engine = make_work(n_atoms, self.tables)
        while True:
            status, result = call(engine)
            if status != GROW:
                self.scratch.engine = engine
                return status, result
            engine = larger_work(engine, self.tables)


def make_objective(
    basis: Basis,
    target: Target,
    options: LossOptions | None = None,
    set_moments: Moments | None = None,
    reference: Sequence[Structure] = (),
) -> Objective:
    """Bind a target and loss options into one function of a structure.

    Parameters
    ----------
    reference : random structures (or random occupations of the lattice, of random composition when composition is
        free) whose spread scales the differences; needed for scales ``reference`` and ``whitened`` only.

    Raises
    ------
    InputError
        The target belongs to another basis, lacks the covariance that is asked for, or the scale needs reference
        structures that are not there or too few; an argument of another kind (WrongType).
    """
    options = options if options is not None else LossOptions()
    call = "make_objective(basis, target, options)"
    expect(basis, Basis, "basis", call)
    expect(target, Target, "target", call)
    expect(options, LossOptions, "options", call)
    target.check_basis(basis)
    if options.covariance != 0 and target.moments.covariance_sums is None:
        raise InputError(
            "loss.covariance is not 0 but the target holds no covariance; make it with `grs-evo target --covariance`"
            " (covariance=True in Python)"
        )
    if options.covariance != 0 and set_moments is not None and set_moments.covariance_sums is None:
        raise InputError("loss.covariance is not 0 but the set's moments hold no covariance")
    alpha = np.array([options.mean, options.variance, options.skewness, options.kurtosis, options.covariance])
    active = alpha != 0
    active[:2] = True
    sizes = np.array(basis.sizes, dtype=np.int64)
    n_desc = int(sizes.sum())
    n_flat = int((sizes**2).sum()) if options.covariance != 0 else 0
    inner, outer = core_distances(basis.elements, options.core)
    check_core(basis, outer, options.core)
    blank = LossPlan(
        sizes=sizes,
        offsets=np.concatenate([[0], np.cumsum(sizes)]),
        starts=np.concatenate([[0], np.cumsum(sizes**2)]),
        pooled=options.distribution == "pooled",
        alpha=alpha,
        active=active,
        norm=_NORMS[options.norm],
        delta=options.delta,
        target=np.zeros((4, n_desc)),
        inverse=np.ones((4, n_desc)),
        floor=np.ones(n_desc),
        n_components=np.zeros(4, dtype=np.int64),
        axes=np.zeros((4, n_desc, 0)),
        target_covariance=np.zeros(n_flat),
        w_structure=options.w_structure,
        w_set=options.w_set,
        set_counts=np.zeros(len(sizes)),
        set_central=np.zeros((4, n_desc)),
        set_covariance=np.zeros(n_flat),
        reward=options.reward,
        tolerance=options.tolerance,
        w_entropy=options.w_entropy,
        softness=options.entropy_softness,
        spread=np.ones(n_desc),
        core_kind=_CORES[options.core.kind],
        core_strength=options.core.strength,
        core_inner=inner,
        core_outer=outer if options.core.kind != "none" else np.zeros_like(outer),
        numbers=np.array([float(atomic_numbers[e]) for e in basis.elements]),
    )
    if options.scale in ("reference", "whitened"):
        blank = reference_part(blank, basis, options, reference)
    plan, notes = target_part(blank, target, options)
    return Objective(basis, target, options, with_set(plan, set_moments), notes)
