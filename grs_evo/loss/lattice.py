"""Fixed sites: occupations in, losses out, by pair functions that are tabulated once.

On fixed sites A is linear in the occupation. Each site's contribution to the A of all sites is a table column, so a
flip or swap subtracts and adds columns, and many descriptors that differ in general coincide up to scale.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from grs_evo.descriptors.equivalence import distinct, prune, representatives
from grs_evo.errors import InputError
from grs_evo.kernels.calls import address
from grs_evo.kernels.lattice import lattice as kernel
from grs_evo.kernels.lattice.lattice import AnyLoss, LatticeLoss, LatticeWork
from grs_evo.kernels.loss import objective as loss_kernel
from grs_evo.loss.lattice_tables import (
    _core_table,
    _fewer_rows,
    _geometry,
    _lattice_loss,
    _probes,
    _tables,
    make_lattice_work,
)
from grs_evo.loss.objective import Objective
from grs_evo.structures.composition import Composition, draw_occupation, free
from grs_evo.structures.neighbours import site_pairs
from grs_evo.structures.structure import Structure

# The table of pair functions grows with the square of the number of sites.
MOST_SITES = 1024


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
    shapes: tuple[LatticeObjective, ...] = ()  # the same on cells of other shapes, for walks that keep symmetry

    @property
    def n_sites(self) -> int:
        return self.template.n_atoms

    @property
    def n_elements(self) -> int:
        return int(self.allowed.shape[1])

    @property
    def term_names(self) -> tuple[str, ...]:
        return self.objective.term_names

    @property
    def scratch(self) -> AnyLoss | None:
        """What `fast` needs besides `work`."""
        return None if self.fast.kind == kernel.SUMS else AnyLoss(self.objective.plan, self.objective.loss_work())

    @cached_property
    def _addresses(self) -> tuple[int, int]:
        """Of `moments_loss` and `rows_loss`; 0 for the one that the loss does not use."""
        plan, scratch, work = self.objective.plan, self.objective.loss_work(), self.work
        same = (plan, plan.norm, plan.delta, False, scratch, np.zeros(self.objective.n_columns))
        if self.full.kind == kernel.ROWS:
            return 0, address(loss_kernel.rows_loss, work.rows, np.zeros(self.n_sites, np.int32), *same, work.rows)
        return address(loss_kernel.moments_loss, work.central, work.counts, scratch.covariance, *same), 0

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
        terms = np.zeros((len(sites), self.objective.n_columns))
        plan, scratch = self.objective.plan, self.objective.loss_work()
        kernel.batch_terms(self.full, *self._addresses, plan, scratch, sites, self.work, values, terms)
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
        element may take; an objective with terms that have their own code, for which there are no tables.
    """
    if not objective.tabulated:
        names = ", ".join(one.term.name for one in objective.added if one.term.on_sites is None)
        raise InputError(f"lattice: the loss has terms without tables ({names}); evaluate its structures one by one")
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
    on_sites = [one.term.on_sites(template, one.weight, one.state) for one in objective.added if one.term.on_sites]
    clusters = on_sites[0] if on_sites else None
    full = _lattice_loss(tables, kind, plan, core, None, clusters)
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
    fast = _lattice_loss(fast_tables, kernel.SUMS, plan, core, [found[p] for p in classes], clusters)
    n_kept = sum(len(found[p].kept) for p in classes)
    work = make_lattice_work(plan, full, fast)
    return LatticeObjective(objective, template, mask, full, fast, n_functions, n_kept, work)


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
