"""Fixed sites: occupations in, losses out, by pair functions that are tabulated once.

On fixed sites A is linear in the occupation. Each site's contribution to the A of all sites is a table column, so a
flip or swap subtracts and adds columns, and many descriptors that differ in general coincide up to scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .basis import Basis
from .composition import Composition, draw_occupation, free
from .errors import InputError
from .kernels import distribution
from .kernels import lattice as kernel
from .kernels import objective as loss_kernel
from .kernels.effective import core_of_pair
from .kernels.lattice import AnyLoss, LatticeLoss, LatticeTables, LatticeWork, MomentLoss
from .kernels.tables import aligned
from .loss import Objective
from .program import Program
from .pruning import COINCIDE, Coincidence, distinct, prune, representatives
from .sites import SitePairs, pair_functions, site_pairs
from .structure import Structure

# The table of pair functions grows with the square of the number of sites.
MOST_SITES = 1024
# Environments on which that is judged, at least.
_PROBES = 2048


@dataclass(frozen=True, eq=False)
class LatticeObjective:
    """A loss as a function of the occupation of fixed sites. Made by `make_lattice_objective`."""

    objective: Objective
    template: Structure  # positions, cell and pbc; its species only say how the sites are occupied in the template
    allowed: NDArray[np.bool_]  # (n_sites, n_el) which elements may sit where
    full: LatticeLoss  # every function and every term
    fast: LatticeLoss  # the value alone, as cheaply as the loss allows
    n_functions: int  # computed by `full`, all elements
    n_representatives: int  # computed by `fast`
    work: LatticeWork = field(repr=False)

    @property
    def n_sites(self) -> int:
        return self.template.n_atoms

    @property
    def n_elements(self) -> int:
        return self.allowed.shape[1]

    @property
    def term_names(self) -> tuple[str, ...]:
        return self.objective.term_names

    @property
    def scratch(self) -> AnyLoss | None:
        """What `fast` needs besides `work`."""
        return None if self.fast.kind == kernel.SUMS else AnyLoss(self.objective.plan, self.objective.loss_work())

    def structure(self, occupation: NDArray[np.integer]) -> Structure:
        """The template with these species."""
        return self.template.replace(species=np.array(occupation, np.int32))

    def evaluate(self, occupations: NDArray[np.integer]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Losses and their parts.

        Parameters
        ----------
        occupations : (k, n_sites) element indices

        Returns
        -------
        values (k,), terms (k, n_terms) named by `term_names`; equal to `Objective.evaluate` to rounding
        """
        sites = self._checked(occupations)
        values = np.empty(len(sites))
        terms = np.zeros((len(sites), distribution.N_TERMS))
        plan, scratch, work = self.objective.plan, self.objective.loss_work(), self.work
        for k, occupation in enumerate(sites):
            if self.full.kind == kernel.ROWS:
                kernel.site_rows(self.full.tables, occupation, work)
                _, values[k] = loss_kernel.rows_loss(
                    work.rows, occupation, plan, plan.norm, plan.delta, False, scratch, terms[k], work.rows
                )
            else:
                kernel.whole(self.full.tables, occupation, work, True)
                kernel.central_moments(work, plan.sizes, plan.offsets)
                _, values[k] = loss_kernel.moments_loss(
                    work.central, work.counts, scratch.covariance, plan, plan.norm, plan.delta, False, scratch, terms[k]
                )
            if len(self.full.core):
                terms[k, distribution.CORE] = kernel.core_value(self.full.core, occupation)
                values[k] += terms[k, distribution.CORE]
        return values, terms[:, self.objective.terms_kept]

    def values(self, occupations: NDArray[np.integer]) -> NDArray[np.float64]:
        """Losses alone, (k,): several times faster than `evaluate` where the loss compares means only."""
        sites = self._checked(occupations)
        values = np.empty(len(sites))
        kernel.batch_values(self.fast, self.scratch, sites, self.work, values)
        return values

    def rows(self, occupation: NDArray[np.integer]) -> NDArray[np.float64]:
        """Descriptors of all sites, (n_sites, max_size) compact rows as `describe_compact` gives them."""
        kernel.site_rows(self.full.tables, self._checked(np.atleast_2d(occupation))[0], self.work)
        return self.work.rows.copy()

    def _checked(self, occupations: NDArray[np.integer]) -> NDArray[np.int32]:
        sites = np.array(occupations, dtype=np.int32, order="C", ndmin=2)
        if sites.shape[1] != self.n_sites:
            raise InputError(f"occupations have {sites.shape[1]} sites; the lattice has {self.n_sites}")
        if sites.size and not (sites.min() >= 0 and sites.max() < self.n_elements):
            raise InputError(
                f"occupations hold element index {sites.min() if sites.min() < 0 else sites.max()};"
                f" allowed are 0 to {self.n_elements - 1}"
            )
        return sites


def make_lattice_objective(
    objective: Objective, template: Structure, allowed: NDArray[np.bool_] | None = None
) -> LatticeObjective:
    """Tabulate the pair functions of a template's sites and cut the loss down to what it needs.

    Parameters
    ----------
    template : the sites; species are ignored
    allowed : (n_sites, n_el) which elements may sit where; all of them by default

    Raises
    ------
    InputError
        More than `MOST_SITES` sites, sites on top of each other, or a mask of the wrong shape or with a site that no
        element may take.
    """
    basis = objective.basis
    n, n_el = template.n_atoms, len(basis.elements)
    if n > MOST_SITES:
        raise InputError(f"lattice: {n} sites; tables of pair functions are made for at most {MOST_SITES}")
    mask = np.ones((n, n_el), bool) if allowed is None else np.array(allowed, bool)
    if mask.shape != (n, n_el):
        raise InputError(f"lattice: the mask of allowed elements has shape {mask.shape}; it must be {(n, n_el)}")
    if not mask.any(1).all():
        raise InputError(f"lattice: site {int(np.argmin(mask.any(1)))} may hold no element at all")
    pairs = site_pairs(template, float(basis.cutoff.max()))
    geometry = _geometry(basis, template, pairs)
    classes, programs = distinct(basis.programs)
    tables = _tables(geometry, n, n_el, classes, programs)
    plan = objective.plan
    core = _core_table(plan, template, pairs, n_el)
    kind = kernel.ROWS if plan.active[2:].any() or plan.w_entropy != 0 else kernel.MOMENTS
    full = _lattice_loss(tables, kind, plan, core, None)
    n_functions = int(plan.offsets[-1])
    work = make_lattice_work(plan, full, full)
    with_variances = plan.alpha[1] != 0
    if kind == kernel.ROWS or plan.reward != 0 or (with_variances and plan.w_set != 0):
        return LatticeObjective(objective, template, mask, full, full, n_functions, n_functions, work)
    found = [
        representatives(_probes(tables, work, mask, classes == p, len(program.b_rows)))
        for p, program in enumerate(programs)
    ]
    pruned, rows_kept = prune(programs, [one.kept for one in found], n_el)
    fast_tables = _tables(_fewer_rows(geometry, rows_kept), n, n_el, classes, pruned)
    fast = _lattice_loss(fast_tables, kernel.SUMS, plan, core, [found[p] for p in classes])
    n_kept = sum(len(found[p].kept) for p in classes)
    work = make_lattice_work(plan, full, fast)
    return LatticeObjective(objective, template, mask, full, fast, n_functions, n_kept, work)


def make_lattice_work(plan: distribution.LossPlan, full: LatticeLoss, fast: LatticeLoss) -> LatticeWork:
    """Scratch space that serves both."""
    tables = full.tables
    n_centre = tables.table_of.shape[0]
    n_lanes = 8 * int(tables.widths.sum())
    size = tables.n_el * tables.rows * n_lanes
    n_wide = _wide(int(plan.sizes.max()))
    single = n_centre == 1 and len(tables.n_rows) == 1
    return LatticeWork(
        a=aligned(n_centre * size).reshape(n_centre, size),
        trial=np.zeros((0, 0)) if single else aligned(n_centre * size).reshape(n_centre, size),
        buf=aligned(int(max(tables.n_rows.max(), fast.tables.n_rows.max())) * n_lanes),
        masks=aligned(tables.n_el * n_lanes).reshape(tables.n_el, n_lanes),
        counts=np.zeros(tables.n_el),
        sums=aligned(tables.n_el * n_wide).reshape(tables.n_el, n_wide),
        squares=aligned(tables.n_el * n_wide).reshape(tables.n_el, n_wide),
        mean=aligned(n_wide),
        rows=np.zeros((tables.n_sites, int(plan.sizes.max()))),
        gaps=aligned(fast.mean.target.size),
        residual=aligned(max(len(fast.mean.offset), len(fast.variance.offset))),
        central=np.zeros((4, int(plan.offsets[-1]))),
        terms=np.zeros(distribution.N_TERMS),
    )


def reference_structures(
    template: Structure,
    n_elements: int,
    rule: Composition | None = None,
    allowed: NDArray[np.bool_] | None = None,
    number: int = 512,
    seed: int = 0,
) -> list[Structure]:
    """Random occupations of a template, whose spread scales the differences of a loss (`make_objective(reference=…)`).

    Where the composition is free they have uniformly random compositions (with those of a fixed one the axes along
    which the composition changes would look narrow, and a search that may flip elements stays in traps: method §9);
    where it is fixed, that composition.

    Raises
    ------
    InputError
        The rule or the mask lets no occupation be.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(template.n_atoms, 0x726566)))
    rule = rule or free(n_elements)
    made = []
    for _ in range(number):
        species = draw_occupation(rng, rule, allowed, template.n_atoms)
        if species is None:
            raise InputError(
                f"lattice: no occupation of the {template.n_atoms} sites keeps both the composition and the allowed"
                " elements of the sites"
            )
        made.append(template.replace(species=species))
    return made


class _Geometry(NamedTuple):
    phi: NDArray[np.float64]  # (n_tables, n_sites, rows * n_lanes)
    table_of: NDArray[np.int64]  # (n_centre, n_el)
    widths: NDArray[np.int64]
    rows: int


def _geometry(basis: Basis, template: Structure, pairs: SitePairs) -> _Geometry:
    """Tabulated columns, with equal tables (and centre elements that play no part) kept once."""
    n, n_el = template.n_atoms, len(basis.elements)
    n_vectors = -(-n // kernel.VECTOR)
    widths = np.full(-(-n_vectors // kernel.WIDEST), kernel.WIDEST, np.int64)
    widths[-1] = n_vectors - kernel.WIDEST * (len(widths) - 1)
    lanes = kernel.VECTOR * widths
    tables: list[NDArray[np.float64]] = []
    keys: list[tuple[float, ...]] = []
    table_of = np.zeros((n_el, n_el), np.int64)
    rows = 0
    for c in range(n_el):
        for e in range(n_el):
            key = tuple(float(a[c, e]) for a in (basis.cutoff, basis.lam, basis.taper, basis.cutoff_in, basis.taper_in))
            if key not in keys:
                values = pair_functions(basis, c, e, pairs.vector)
                rows = values.shape[1]
                dense = np.zeros((n, n, rows))  # [what is at j adds to, A of site i]
                np.add.at(dense, (pairs.neighbour, pairs.centre), values)
                flat = np.zeros((n, rows * int(lanes.sum())))
                for b, wide in enumerate(lanes):
                    sites = dense[:, kernel.BLOCK * b : kernel.BLOCK * b + wide]
                    block = np.zeros((n, rows, wide))
                    block[:, :, : sites.shape[1]] = sites.transpose(0, 2, 1)
                    flat[:, kernel.BLOCK * b * rows : kernel.BLOCK * b * rows + rows * wide] = block.reshape(n, -1)
                keys.append(key)
                tables.append(flat)
            table_of[c, e] = keys.index(key)
    if (table_of == table_of[:1]).all():
        table_of = table_of[:1]
    phi = aligned(len(tables) * tables[0].size).reshape(len(tables), *tables[0].shape)
    phi[:] = tables
    return _Geometry(phi, np.ascontiguousarray(table_of), widths, rows)


def _core_table(plan: distribution.LossPlan, template: Structure, pairs: SitePairs, n_el: int) -> NDArray[np.float64]:
    """(n_el, n_el, n, n) core energy of a pair of sites over the number of atoms; no entries where it is always 0."""
    distance = np.sqrt((pairs.vector**2).sum(1))
    near = distance < plan.core_outer.max(initial=0.0)
    if plan.core_kind == 0 or plan.core_strength == 0.0 or not near.any():
        return np.zeros((0, 0, 0, 0))
    n = template.n_atoms
    table = np.zeros((n_el, n_el, n, n))
    for i, j, r in zip(pairs.centre[near], pairs.neighbour[near], distance[near], strict=True):
        if j > i:
            continue  # both directions are listed; an image of the site itself is, too, and counts half
        for a in range(n_el):
            for b in range(n_el):
                if r >= plan.core_outer[a, b]:
                    continue
                energy, _ = core_of_pair(
                    float(r), plan.core_kind, plan.core_inner[a, b], plan.core_outer[a, b], plan.numbers[a],
                    plan.numbers[b],
                )  # fmt: skip
                energy *= plan.core_strength / n
                table[a, b, i, j] += 0.5 * energy if i == j else energy
    return table


def _fewer_rows(geometry: _Geometry, kept: NDArray[np.int64]) -> _Geometry:
    """The same columns with only some rows of A."""
    n_tables, n, _ = geometry.phi.shape
    lanes = kernel.VECTOR * geometry.widths
    phi = aligned(n_tables * n * len(kept) * int(lanes.sum())).reshape(n_tables, n, -1)
    for b, wide in enumerate(lanes):
        first, size = kernel.BLOCK * b, int(wide)
        old = geometry.phi[:, :, first * geometry.rows : (first + size) * geometry.rows]
        new = old.reshape(n_tables, n, geometry.rows, size)[:, :, kept]
        phi[:, :, first * len(kept) : (first + size) * len(kept)] = new.reshape(n_tables, n, -1)
    return _Geometry(phi, geometry.table_of, geometry.widths, len(kept))


def _wide(n: int) -> int:
    return -(-n // kernel.VECTOR) * kernel.VECTOR


def _tables(
    geometry: _Geometry, n_sites: int, n_el: int, classes: NDArray[np.int64], programs: Sequence[Program]
) -> LatticeTables:
    """Everything compiled code needs to go from an occupation to B."""
    alone = len(geometry.phi) == 1
    # Lists of functions are filled up with the row of ones: its sums are never looked at.
    b_rows = [np.pad(p.b_rows, (0, _wide(len(p.b_rows)) - len(p.b_rows)), constant_values=p.n_a) for p in programs]

    def ends(lengths: list[int]) -> NDArray[np.int64]:
        return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)

    return LatticeTables(
        phi=geometry.phi,
        table_of=geometry.table_of,
        total=geometry.phi[0].sum(0) if alone else np.zeros(0),
        widths=geometry.widths,
        n_sites=n_sites,
        n_el=n_el,
        rows=geometry.rows,
        program_of=classes,
        n_rows=np.array([p.n_rows for p in programs], np.int64),
        b_rows=np.concatenate(b_rows).astype(np.int32),
        b_from=ends([len(rows) for rows in b_rows]),
        dst=np.concatenate([p.fwd_dst for p in programs]),
        start=np.concatenate([p.fwd_start for p in programs]),
        seg_from=ends([len(p.fwd_dst) for p in programs]),
        x=np.concatenate([p.fwd_x for p in programs]),
        y=np.concatenate([p.fwd_y for p in programs]),
        c=np.concatenate([p.fwd_c for p in programs]),
        step_from=ends([len(p.fwd_c) for p in programs]),
    )


def _probes(
    tables: LatticeTables, work: LatticeWork, mask: NDArray[np.bool_], mine: NDArray[np.bool_], n_functions: int
) -> NDArray[np.float64]:
    """B of many random environments, (n_environments, n_functions), of the elements `mine` that share a program."""
    rng = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(0x70726F62,)))
    found, number = [], 0
    rule = free(mask.shape[1])
    for _ in range(64 + _PROBES // max(1, tables.n_sites)):
        species = draw_occupation(rng, rule, mask, tables.n_sites)
        if species is None:
            break
        kernel.site_rows(tables, species, work)
        chosen = work.rows[mine[species], :n_functions]
        found.append(chosen.copy())
        number += len(chosen)
        if number >= _PROBES:
            break
    return np.concatenate(found) if found else np.zeros((0, n_functions))


def _lattice_loss(
    tables: LatticeTables,
    kind: int,
    plan: distribution.LossPlan,
    core: NDArray[np.float64],
    found: Sequence[Coincidence] | None,
) -> LatticeLoss:
    """Bind tables and loss; `found` (one per element) for losses of kind SUMS."""
    n_el = len(plan.sizes)
    n_wide = kernel.VECTOR if found is None else _wide(max(1, *(len(one.kept) for one in found)))
    set_sums = np.zeros((n_el, n_wide))
    nothing = MomentLoss(
        0.0, np.zeros((n_el, n_wide)), 0, True, np.zeros((1, 0)), np.zeros(0, np.int64), np.zeros(0), np.zeros(0)
    )
    mean = variance = nothing
    if found is not None:
        for e, one in enumerate(found):
            columns = int(plan.offsets[e]) + one.kept
            set_sums[e, : len(one.kept)] = plan.set_counts[e] * plan.set_central[0, columns]
        if plan.alpha[0] != 0:
            mean = _moment_loss(plan, 0, found, n_wide)
        if plan.alpha[1] != 0:
            variance = _moment_loss(plan, 1, found, n_wide)
    return LatticeLoss(
        tables, kind, bool(plan.pooled), int(plan.norm), float(plan.delta), float(plan.w_structure), float(plan.w_set),
        plan.set_counts, set_sums, mean, variance, core,
    )  # fmt: skip


def _moment_loss(plan: distribution.LossPlan, p: int, found: Sequence[Coincidence], n_wide: int) -> MomentLoss:
    """Fold the functions that coincide into their representatives: means (p = 0) scale with the factor, variances
    (p = 1) with its square."""
    n_desc = int(plan.offsets[-1])
    n_axes = int(plan.n_components[p])
    target = np.zeros((len(found), n_wide))
    home = np.zeros(n_desc, np.int64)  # where each function's representative lies in the flat (n_el, n_wide)
    factor = np.zeros(n_desc)
    rest = np.zeros(n_desc)  # what remains of a gap where the representative's is 0
    for e, one in enumerate(found):
        start = int(plan.offsets[e])
        target[e, : len(one.kept)] = plan.target[p, start + one.kept]
        own = slice(start, int(plan.offsets[e + 1]))
        home[own] = e * n_wide + one.which
        factor[own] = one.factor ** (p + 1)
        wanted = plan.target[p, own]
        far = factor[own] * target[e, one.which] - wanted
        # Targets on the same kind of lattice coincide in the same way; what is left then is rounding.
        rest[own] = np.where(np.abs(far) <= COINCIDE * np.abs(wanted), 0.0, far)
    alpha = float(plan.alpha[p])
    if n_axes:
        n_padded = _wide(n_axes)
        weights = np.zeros((len(found) * n_wide, n_padded))
        axes = plan.axes[p, :, :n_axes]
        np.add.at(weights[:, :n_axes], home, factor[:, None] * axes)
        offset = np.zeros(n_padded)
        offset[:n_axes] = (axes * rest[:, None]).sum(0)
        flat = aligned(weights.size).reshape(weights.shape)
        flat[:] = weights
        return MomentLoss(alpha, target, n_axes, False, flat, np.zeros(0, np.int64), np.zeros(0), offset)
    merged: dict[tuple[int, float, float], float] = {}  # (source, weight, offset) -> share
    for k in range(n_desc):
        scale = float(plan.inverse[p, k])
        weight, offset_k, share = factor[k] * scale, rest[k] * scale, 1.0 / n_desc
        if weight == 0.0 and offset_k == 0.0:
            continue
        if offset_k == 0.0 and plan.norm != distribution.HUBER:
            share *= abs(weight) if plan.norm == distribution.L1 else weight * weight
            weight = 1.0
        key = (int(home[k]), float(weight), float(offset_k))
        merged[key] = merged.get(key, 0.0) + share
    keys = list(merged)
    n = len(keys)
    return MomentLoss(
        alpha, target, n, True, np.array([[w for _, w, _ in keys]]).reshape(1, n),
        np.array([h for h, _, _ in keys], np.int64), np.array([merged[key] for key in keys]),
        np.array([o for _, _, o in keys]),
    )  # fmt: skip
