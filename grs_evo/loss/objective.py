"""Losses of a structure or a set against a target: value, parts, gradient (eqs. 13–16)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
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
from grs_evo.loss.options import LossOptions
from grs_evo.loss.plan import blank_plan
from grs_evo.loss.scaling import covariance_of, reference_part, target_part, with_set
from grs_evo.loss.terms.evaluation import AddedTerms, Arrays
from grs_evo.loss.terms.table import COMPILED, TERMS, chosen, prepared
from grs_evo.loss.terms.term import PreparedTerm
from grs_evo.structures.structure import Structure, as_structure
from grs_evo.targets.moments import Moments, moments_of
from grs_evo.targets.target import Target
from grs_evo.text import Shown


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
    calls: dict[bool, Calls] = field(default_factory=dict)  # by whether they are in single precision
    added: AddedTerms | None = None
    rows: NDArray[np.float64] = field(default_factory=lambda: np.empty((2, 0, 0)))


@dataclass(frozen=True, eq=False)
class Objective(Shown):
    """The effective potential V_eff as a function of a structure. Made by `make_objective`."""

    basis: Basis
    target: Target
    options: LossOptions
    plan: LossPlan  # what the compiled code reads
    notes: tuple[str, ...] = ()  # what was done to scales, for the log
    added: tuple[PreparedTerm, ...] = ()  # terms with their own code; their columns follow the compiled ones
    scratch: _Scratch = field(default_factory=_Scratch, repr=False)

    def __repr__(self) -> str:
        return f"Objective({', '.join(self.term_names)}; {self.basis!r};\n  {self.target!r})"

    @cached_property
    def terms_kept(self) -> NDArray[np.int64]:
        """Positions of this objective's terms in the full row: those of the compiled code, then the added ones."""
        kept = [one.column for one in COMPILED if one.kept(self.options)]
        return np.array([*kept, *range(distribution.N_TERMS, self.n_columns)], dtype=np.int64)

    @property
    def n_columns(self) -> int:
        """Length of the full row of terms."""
        return distribution.N_TERMS + len(self.added)

    @property
    def term_names(self) -> tuple[str, ...]:
        names = (*TERMS, *(one.term.name for one in self.added))
        return tuple(names[k] for k in self.terms_kept)

    @property
    def tabulated(self) -> bool:
        """Whether all of it can be tabulated on fixed sites (see `make_lattice_objective`)."""
        return len(self.added) < 2 and all(one.term.on_sites is not None for one in self.added)

    @property
    def has_core(self) -> bool:
        return "core" in self.term_names

    def with_term(self, term: PreparedTerm) -> Objective:
        """The same and one more term with its own code, whose column comes last."""
        return replace(self, added=(*self.added, term), scratch=_Scratch(engine=self.scratch.engine))

    def evaluate(self, structure: Any) -> Evaluation:
        """V_eff and its parts, of a Structure or ase.Atoms."""
        evaluation, _, _ = self._run(structure, gradient=False)
        return evaluation

    def gradient(self, structure: Any) -> tuple[Evaluation, NDArray[np.float64], NDArray[np.float64]]:
        """V_eff, forces −dV/dR (n_atoms, 3) per Å, and virial (3, 3) = −dV/dε under R → R (1 + ε)ᵀ.

        The name is that of the derivatives; what comes back has the sign of forces, as ASE and LAMMPS take them.
        """
        evaluation, dpositions, dstrain = self._run(structure, gradient=True)
        return evaluation, -dpositions, -dstrain

    def rows_loss(self, rows: NDArray[np.float64], species: NDArray[np.integer]) -> Evaluation:
        """The same for environments given as compact descriptor rows: without the core and terms of positions."""
        value, terms, _ = self._of_rows(rows, species, gradient=False)
        return Evaluation(value, terms[self.terms_kept], bool(np.isfinite(value)))

    def rows_gradient(
        self, rows: NDArray[np.float64], species: NDArray[np.integer]
    ) -> tuple[float, NDArray[np.float64]]:
        """Value as `rows_loss` has it, and its derivative +dV/dB with respect to each entry of the compact rows."""
        value, _, slope = self._of_rows(rows, species, gradient=True)
        return value, slope

    def _of_rows(
        self, given: NDArray[np.float64], species: NDArray[np.integer], gradient: bool
    ) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        """Value, full row of terms, and dV/dB of compact rows."""
        terms = np.zeros(self.n_columns)
        index = np.array(species, dtype=np.int32)
        rows = np.array(given, dtype=np.float64, order="C")
        slopes = np.zeros_like(rows) if gradient else rows
        descended, reported = kernel.rows_loss(
            rows, index, self.plan, *self.norm, gradient, self.loss_work(), terms, slopes
        )
        value = float(descended if gradient else reported)
        if self.added:
            value += self.added_terms().add_rows(rows, index, gradient, terms, slopes)
        return value, terms, slopes

    @property
    def norm(self) -> tuple[int, float]:
        """The reported norm and its δ, where nothing smoother is descended in its stead."""
        return self.plan.norm, self.plan.delta

    def moments_loss(self, moments: Moments) -> Evaluation:
        """Value and terms of a distribution given by its moments: no core, no entropy, no added terms (they are 0)."""
        terms = np.zeros(self.n_columns)
        flat = covariance_of(moments, len(self.plan.target_covariance))
        _, value = kernel.moments_loss(
            moments.central(), moments.counts, flat, self.plan, *self.norm, False, self.loss_work(), terms
        )
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
        added = prepared(self.added, self.basis, target)
        return replace(self, target=target, plan=plan, notes=notes, added=added, scratch=_Scratch())

    def loss_work(self) -> LossWork:
        if self.scratch.loss is None:
            self.scratch.loss = kernel.make_loss_work(self.plan)
        return self.scratch.loss

    def added_terms(self) -> AddedTerms:
        """What evaluates the terms with their own code."""
        if self.scratch.added is None:
            self.scratch.added = AddedTerms(self.added, len(self.basis.elements))
        return self.scratch.added

    def _run(self, given: Any, gradient: bool) -> tuple[Evaluation, NDArray[np.float64], NDArray[np.float64]]:
        """V_eff, dV/dR (n_atoms, 3) per Å and dV/dε (3, 3); the derivatives are zeros unless wanted."""
        structure = as_structure(given, self.basis.elements, "evaluate(structure)")
        n_atoms = structure.n_atoms
        dpositions, dstrain = np.zeros((n_atoms, 3)), np.zeros((3, 3))
        terms = np.zeros(self.n_columns)

        positions, cell = np.array(structure.positions), np.array(structure.cell)
        species, pbc = np.array(structure.species), np.array(structure.pbc)

        def call(engine: Work) -> tuple[int, float]:
            calls = self.calls(engine)
            rows, slopes = self.row_buffers(n_atoms)
            if self.added:
                self.added_terms().bind(
                    Arrays(positions, cell, species, pbc, engine, rows, gradient, slopes, terms, dpositions, dstrain)
                )
            status, _, value = evaluate_into(
                positions, cell, species, pbc, calls, self.tables, engine, self.plan, self.loss_work(), *self.norm,
                gradient, rows, slopes, terms, dpositions, dstrain,
            )  # fmt: skip
            if self.added:
                self.added_terms().check()
            return status, value

        status, value = self.with_memory(n_atoms, call)
        ok = status == OK and bool(np.isfinite(value))
        if ok and gradient:
            ok = bool(np.isfinite(dpositions).all() and np.isfinite(dstrain).all())
        kept = terms[self.terms_kept] if ok else np.full(len(self.terms_kept), np.nan)
        return Evaluation(float(value) if ok else float("nan"), kept, ok), dpositions, dstrain

    def calls(self, engine: Work, single: bool = False) -> Calls:
        """Where the compiled parts of V_eff are, with descriptors in single or double precision; found once."""
        if single not in self.scratch.calls:
            rows, slopes = self.row_buffers(1)
            found = calls_for(
                np.zeros((1, 3)), np.eye(3), np.zeros(1, np.int32), np.zeros(1, np.bool_), self.tables, engine,
                self.plan, self.loss_work(), rows, slopes, np.zeros(self.n_columns), np.zeros((1, 3)), np.zeros((3, 3)),
                single,
            )  # fmt: skip
            self.scratch.calls[single] = found._replace(terms=self.added_terms().address) if self.added else found
        return self.scratch.calls[single]

    @property
    def tables(self) -> Tables:
        return kernel_tables(self.basis)

    def row_buffers(self, n_atoms: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Arrays for the descriptor rows of a structure and their derivatives."""
        width = max(self.basis.sizes)
        if self.scratch.rows.shape[1:] != (max(n_atoms, 1), width):
            self.scratch.rows = np.zeros((2, n_atoms, width))
        return self.scratch.rows[0], self.scratch.rows[1]

    def with_memory(self, n_atoms: int, call: Callable[[Work], tuple[int, Any]]) -> tuple[int, Any]:
        """Run compiled code with the engine's scratch, and again from its start with a larger one while it is small."""
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
        The target belongs to another basis, lacks the covariance that is wanted, or the scale needs reference
        structures that are not there; an argument of another kind (WrongType).
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
    blank = blank_plan(basis, options)
    if options.scale in ("reference", "whitened"):
        blank, more = reference_part(blank, basis, options, reference)
    else:
        more = ()
    plan, notes = target_part(blank, target, options)
    added = prepared(chosen(options), basis, target)
    return Objective(basis, target, options, with_set(plan, set_moments), (*more, *notes), added)
