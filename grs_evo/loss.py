"""Losses of a structure or a set against a target: value, parts, gradient (eqs. 13–16)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray
from pydantic import Field
from threadpoolctl import threadpool_limits

from .basis import Basis
from .descriptors import describe_compact
from .errors import InputError
from .kernels import objective as kernel
from .kernels.calls import Calls
from .kernels.effective import calls_for, evaluate_into
from .kernels.engine import GROW, OK, Tables, Work, kernel_tables, larger_work, make_work
from .kernels.objective import LossPlan, LossWork
from .moments import Moments, empty, of, standardise, variance_floor
from .options import Options
from .structure import Structure
from .target import Target

_NORMS = {"l1": kernel.L1, "l2": kernel.L2, "huber": kernel.HUBER}
_CORES = {"none": 0, "polynomial": 1, "zbl": 2}
_TERMS = (
    "structure",
    "mean",
    "variance",
    "skewness",
    "kurtosis",
    "covariance",
    "set",
    "core",
    "entropy",
    "matched",
    "raw",
)
# Principal axes whose variance is below this share of the largest are dropped (a share of 1e-3 in spread).
_WHITENING_CUTOFF = 1e-6
# A function whose size is below this share of the block's largest vanishes by symmetry.
_VANISHES = 1e-12


class CoreOptions(Options):
    """Repulsion at short distance: smooth, and exactly zero beyond its range."""

    kind: Literal["polynomial", "zbl", "none"] = Field(
        "polynomial", description="polynomial: strength·((R − r)/(R − d))³ below R; zbl: screened nuclear repulsion [–]"
    )
    fraction: float = Field(
        0.65, gt=0, le=2, description="core distance d as a share of the sum of the two covalent radii [1]"
    )
    width: float = Field(0.08, gt=0, le=1, description="the repulsion begins at R = (1 + width)·d [1]")
    strength: float = Field(
        10.0, ge=0, description="V_core of a pair at d, in units of the loss times atoms; for zbl: per eV [1]"
    )
    distances: dict[str, float] = Field(
        default_factory=dict, description='core distances that replace the default, e.g. {"Ta-Ta" = 2.3} [Å]'
    )


class LossOptions(Options):
    """What is compared with the target, and how (eqs. 13–16)."""

    mean: float = Field(1.0, description="weight of the means' mismatch; negative moves away from the target [1]")
    variance: float = Field(1.0, description="weight of the variances' mismatch [1]")
    skewness: float = Field(0.0, description="weight of the skewnesses' mismatch [1]")
    kurtosis: float = Field(0.0, description="weight of the kurtoses' mismatch [1]")
    covariance: float = Field(0.0, description="weight of the full covariances' mismatch [1]")
    norm: Literal["l1", "l2", "huber"] = Field(
        "l1", description="mean |x|, root mean square, or mean pseudo-Huber √(x² + δ²) − δ over functions [–]"
    )
    delta: float = Field(0.02, gt=0, description="δ of the pseudo-Huber norm, in scaled units [1]")
    scale: Literal["none", "target", "reference", "whitened"] = Field(
        "target",
        description="what differences are divided by: nothing, the target's spread, the spread over random reference"
        " structures, or that and its principal axes [–]",
    )
    scale_floor: float = Field(
        0.01, gt=0, le=1, description="smallest scale of a function, as a share of its root mean square [1]"
    )
    distribution: Literal["pooled", "per_element"] = Field(
        "pooled", description="one distribution over all atoms, or one per central element [–]"
    )
    w_structure: float = Field(1.0, description="w_1: weight of the structure loss, negative to move away [1]")
    w_set: float = Field(0.0, description="w_2: weight of the set loss, negative to move away [1]")
    w_entropy: float = Field(0.0, description="weight of minus the entropy of the environments; > 0 spreads them [1]")
    entropy_softness: float = Field(
        1e-4, gt=0, description="squared scaled distance below which environments count as one [1]"
    )
    reward: float = Field(0.0, ge=0, description="taken off the value times the share of matched functions [1]")
    tolerance: float = Field(1e-3, gt=0, description="scaled difference below which a function is matched [1]")
    core: CoreOptions = Field(default_factory=CoreOptions, description="repulsion at short distance")


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
        return tuple(_TERMS[k] for k in self.terms_kept)

    @property
    def has_core(self) -> bool:
        return "core" in self.term_names

    def evaluate(self, structure: Structure) -> Evaluation:
        """V_eff and its parts."""
        evaluation, _, _ = self._run(structure, gradient=False)
        return evaluation

    def gradient(self, structure: Structure) -> tuple[Evaluation, NDArray[np.float64], NDArray[np.float64]]:
        """V_eff, forces −dV/dR (n_atoms, 3) per Å, and virial (3, 3) = −dV/dε under R → R (1 + ε)ᵀ."""
        evaluation, forces, virial = self._run(structure, gradient=True)
        return evaluation, -forces, -virial

    def rows_loss(self, rows: NDArray[np.float64], species: NDArray[np.integer]) -> Evaluation:
        """The same without the core, for environments given as compact descriptor rows."""
        terms = np.zeros(kernel.N_TERMS)
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
        terms = np.zeros(kernel.N_TERMS)
        index = np.array(species, dtype=np.int32)
        compact = np.array(rows, dtype=np.float64, order="C")
        slope = np.zeros_like(compact)
        value, _ = kernel.rows_loss(
            compact, index, self.plan, self.plan.norm, self.plan.delta, True, self.loss_work(), terms, slope
        )
        return float(value), slope

    def moments_loss(self, moments: Moments) -> Evaluation:
        """Value and terms of a distribution given by its moments: no core, no entropy."""
        terms = np.zeros(kernel.N_TERMS)
        flat = _covariance_of(moments, len(self.plan.target_covariance))
        _, value = kernel.moments_loss(
            moments.central(), moments.counts, flat, self.plan, self.plan.norm, self.plan.delta, False,
            self.loss_work(), terms,
        )  # fmt: skip
        return Evaluation(float(value), terms[self.terms_kept], bool(np.isfinite(value)))

    def moments_of(self, structure: Structure) -> Moments:
        """Moments of one structure's environments, as a representative set collects them."""
        rows = describe_compact(structure, self.basis, warn=False)
        return of(rows, structure.species, self.basis.sizes, covariance=self.options.covariance != 0)

    def with_set(self, set_moments: Moments | None) -> Objective:
        """The same loss with other environments already in the representative set."""
        return replace(self, plan=_with_set(self.plan, set_moments), scratch=_Scratch())

    def with_target(self, target: Target) -> Objective:
        """The same loss against another target; scales that came from the old target are made anew."""
        target.check_basis(self.basis)
        plan, notes = _target_part(self.plan, target, self.options)
        return replace(self, target=target, plan=plan, notes=notes, scratch=_Scratch())

    def loss_work(self) -> LossWork:
        if self.scratch.loss is None:
            self.scratch.loss = kernel.make_loss_work(self.plan)
        return self.scratch.loss

    def _run(self, structure: Structure, gradient: bool) -> tuple[Evaluation, NDArray[np.float64], NDArray[np.float64]]:
        n_atoms = structure.n_atoms
        forces, strain = np.zeros((n_atoms, 3)), np.zeros((3, 3))
        terms = np.zeros(kernel.N_TERMS)

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
                np.zeros(kernel.N_TERMS), np.zeros((1, 3)), np.zeros((3, 3)),
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
        structures that are not there or too few.
    """
    options = options or LossOptions()
    target.check_basis(basis)
    if options.covariance != 0 and target.moments.covariance_sums is None:
        raise InputError("loss.covariance is not 0 but the target holds no covariance; make it with covariance=True")
    if options.covariance != 0 and set_moments is not None and set_moments.covariance_sums is None:
        raise InputError("loss.covariance is not 0 but the set's moments hold no covariance")
    alpha = np.array([options.mean, options.variance, options.skewness, options.kurtosis, options.covariance])
    active = alpha != 0
    active[:2] = True
    sizes = np.array(basis.sizes, dtype=np.int64)
    n_desc = int(sizes.sum())
    n_flat = int((sizes**2).sum()) if options.covariance != 0 else 0
    inner, outer = core_distances(basis.elements, options.core)
    _check_core(basis, outer, options.core)
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
        blank = _reference_part(blank, basis, options, reference)
    plan, notes = _target_part(blank, target, options)
    return Objective(basis, target, options, _with_set(plan, set_moments), notes)


def core_distances(elements: Sequence[str], options: CoreOptions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Core distance d and range R of each pair of elements, both (n_elements, n_elements) Å."""
    radii = np.array([covalent_radii[atomic_numbers[e]] for e in elements])
    inner = options.fraction * (radii[:, None] + radii[None, :])
    index = {element: k for k, element in enumerate(elements)}
    for pair, distance in options.distances.items():
        names = pair.split("-")
        if len(names) != 2 or any(name not in index for name in names):
            raise InputError(f"core.distances: {pair!r} is no pair of the elements {', '.join(elements)}")
        if not distance > 0:
            raise InputError(f"core.distances: {pair} is {distance} Å; it must be > 0")
        inner[index[names[0]], index[names[1]]] = inner[index[names[1]], index[names[0]]] = distance
    return inner, inner * (1.0 + options.width)


def features(moments: Moments, distribution: Any) -> NDArray[np.float64]:
    """(4, n_desc): the mean, variance, skewness and kurtosis that losses compare."""
    return moments.standardised(distribution)


def _check_core(basis: Basis, outer: NDArray[np.float64], options: CoreOptions) -> None:
    if options.kind == "none":
        return
    for a, b in np.argwhere(outer > np.minimum(basis.cutoff, basis.cutoff.T)):
        names = f"{basis.elements[a]}-{basis.elements[b]}"
        raise InputError(
            f"core: the range of {names} is {outer[a, b]:.3f} Å, beyond the basis's cutoff"
            f" {min(basis.cutoff[a, b], basis.cutoff[b, a]):.3f} Å; lower core.fraction or core.width"
        )


def _with_set(plan: LossPlan, moments: Moments | None) -> LossPlan:
    if moments is None:
        moments = empty([int(n) for n in plan.sizes], covariance=True)
    return plan._replace(
        set_counts=np.array(moments.counts),
        set_central=moments.central(),
        set_covariance=_covariance_of(moments, len(plan.target_covariance)),
    )


def _covariance_of(moments: Moments, n_flat: int) -> NDArray[np.float64]:
    """Each block's covariance, 1/N, flat; empty when it is not compared."""
    if n_flat == 0:
        return np.zeros(0)
    if moments.covariance_sums is None:
        raise InputError("the covariance is compared but these moments hold none")
    sizes = np.array(moments.sizes)
    count = np.repeat(moments.counts, sizes**2)
    return np.divide(moments.covariance_sums, count, out=np.zeros(n_flat), where=count > 0)


def _floored(
    spread: NDArray[np.float64], size: NDArray[np.float64], sizes: NDArray[np.int64], floor: float
) -> tuple[NDArray[np.float64], int]:
    """Spreads raised to `floor` × the function's own size, and how many were.

    A function that vanishes on all that was seen (by symmetry) has no size of its own: it takes the block's median.
    """
    lowest = floor * size
    start = 0
    for n in sizes:
        block = size[start : start + n]
        gone = block <= _VANISHES * block.max(initial=0.0)
        typical = float(np.median(block[~gone])) if (~gone).any() else 1.0
        lowest[start : start + n][gone] = floor * typical
        start += n
    return np.maximum(spread, lowest), int((spread < lowest).sum())


def _target_part(plan: LossPlan, target: Target, options: LossOptions) -> tuple[LossPlan, tuple[str, ...]]:
    """The plan with everything that depends on the target."""
    central = target.moments.central(options.distribution)
    floor = variance_floor(central)
    wanted = standardise(central, floor)
    changed: dict[str, Any] = {"target": wanted, "floor": floor}
    size = np.sqrt(central[0] ** 2 + central[1])
    spread, n_floored = _floored(np.sqrt(central[1]), size, plan.sizes, options.scale_floor)
    notes: tuple[str, ...] = ()
    if options.scale == "target":
        ones = np.ones_like(spread)
        changed["inverse"] = np.array([1.0 / spread, 1.0 / spread**2, ones, ones])
        changed["spread"] = 1.0 / spread
        if n_floored:
            notes = (
                f"{n_floored} of {len(spread)} functions have (almost) no spread in the target; their scale is"
                f" {options.scale_floor:g} of their root mean square",
            )
    elif options.scale == "none":
        # Distances between environments always need a scale: the entropy would see one function only.
        changed["spread"] = 1.0 / spread
    if options.covariance != 0:
        flat = _covariance_of(target.moments, len(plan.target_covariance))
        changed["target_covariance"] = _pooled_blocks(flat, target.moments, plan) if plan.pooled else flat
    return plan._replace(**changed), notes


def _pooled_blocks(flat: NDArray[np.float64], moments: Moments, plan: LossPlan) -> NDArray[np.float64]:
    """Each block's covariance in the pooled distribution."""
    pooled = np.zeros_like(flat)
    for e, share in enumerate(moments.counts / moments.total):
        own = slice(int(plan.starts[e]), int(plan.starts[e + 1]))
        mean = moments.mean[plan.offsets[e] : plan.offsets[e + 1]]
        pooled[own] = share * flat[own] + share * (1.0 - share) * np.outer(mean, mean).ravel()
    return pooled


def _reference_part(plan: LossPlan, basis: Basis, options: LossOptions, reference: Sequence[Structure]) -> LossPlan:
    """The plan with scales, and principal axes, from the spread of the moments over the reference structures."""
    if len(reference) < 2:
        raise InputError(
            f"loss.scale is {options.scale!r}, which needs random reference structures to take the spread from;"
            f" {len(reference)} given, at least 2 needed"
        )
    all_moments = [of(describe_compact(s, basis, warn=False), s.species, basis.sizes) for s in reference]
    seen = np.array([features(m, options.distribution) for m in all_moments])  # (n_reference, 4, n_desc)
    centre = seen.mean(axis=0)
    spread = seen.std(axis=0)
    inverse = np.ones((4, plan.target.shape[1]))
    for p in range(4):
        size = np.sqrt(centre[p] ** 2 + spread[p] ** 2)
        inverse[p] = 1.0 / _floored(spread[p], size, plan.sizes, options.scale_floor)[0]
    within = np.mean([m.central(options.distribution)[1] for m in all_moments], axis=0) + spread[0] ** 2
    size = np.sqrt(centre[0] ** 2 + within)
    changed: dict[str, Any] = {
        "inverse": inverse,
        "spread": 1.0 / _floored(np.sqrt(within), size, plan.sizes, options.scale_floor)[0],
    }
    if options.scale == "whitened":
        found = [_principal_axes(seen[:, p], centre[p], spread[p]) if plan.active[p] else None for p in range(4)]
        counts = [0 if a is None else a.shape[1] for a in found]
        axes = np.zeros((4, plan.target.shape[1], max(counts)))
        for p, one in enumerate(found):
            if one is None:
                continue
            if one.shape[1] == 0:
                raise InputError(
                    f"loss.scale is 'whitened' but the {_TERMS[1 + p]}s of the {len(reference)} reference structures"
                    " do not differ at all; hand in structures that do, or choose scale = 'reference'"
                )
            if one.shape[1] >= min(len(reference) - 1, plan.target.shape[1] + 1):
                raise InputError(
                    f"loss.scale is 'whitened' but {len(reference)} reference structures span only"
                    f" {one.shape[1]} principal axes, all there can be: mismatches outside them would go unseen;"
                    f" hand in more (up to {plan.target.shape[1] + 2}) or choose scale = 'reference'"
                )
            axes[p, :, : one.shape[1]] = one
        changed["axes"] = axes
        changed["n_components"] = np.array(counts, dtype=np.int64)
    return plan._replace(**changed)


def _principal_axes(
    seen: NDArray[np.float64], centre: NDArray[np.float64], spread: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n_desc, n_components): columns that turn a raw difference into components of unit spread over `seen`."""
    size = np.sqrt(centre**2 + spread**2)
    moves = spread > 1e-9 * np.maximum(size, _VANISHES * size.max(initial=0.0))
    if not moves.any():
        return np.zeros((len(centre), 0))
    scaled = (seen[:, moves] - centre[moves]) / spread[moves]
    with threadpool_limits(1):
        _, sigma, vt = np.linalg.svd(scaled, full_matrices=False)
    kept = sigma**2 > _WHITENING_CUTOFF * sigma[0] ** 2
    sigma, vt = sigma[kept] / np.sqrt(len(seen)), vt[kept]
    # The sign of an axis is the library's choice; norms do not see it, but files should not differ by it.
    vt = vt * np.sign(vt[np.arange(len(vt)), np.argmax(np.abs(vt), axis=1)])[:, None]
    axes = np.zeros((len(centre), len(sigma)))
    axes[moves] = vt.T / sigma / spread[moves][:, None]
    return axes
