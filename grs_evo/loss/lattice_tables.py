"""What each pair of sites of a lattice contributes, as tables that the compiled loss reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.descriptors.basis import Basis
from grs_evo.descriptors.equivalence import COINCIDE, Coincidence
from grs_evo.descriptors.pair_functions import pair_functions
from grs_evo.descriptors.program import Program
from grs_evo.kernels.ace.tables import aligned
from grs_evo.kernels.lattice import lattice as kernel
from grs_evo.kernels.lattice.clusters import ClusterTables, make_cluster_work, no_clusters
from grs_evo.kernels.lattice.lattice import LatticeLoss, LatticeTables, LatticeWork, MomentLoss
from grs_evo.kernels.loss import distribution, norms
from grs_evo.kernels.loss.effective import core_of_pair
from grs_evo.structures.composition import draw_occupation, free
from grs_evo.structures.neighbours import SitePairs
from grs_evo.structures.structure import Structure

# Environments on which that is judged, at least.
_PROBES = 2048


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
        clusters=make_cluster_work(full.clusters),
    )


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
    clusters: ClusterTables | None = None,
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
        no_clusters(tables.n_sites, n_el) if clusters is None else clusters,
        kind != kernel.SUMS or mean.weight != 0.0 or variance.weight != 0.0,
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
        if offset_k == 0.0 and plan.norm != norms.HUBER:
            share *= abs(weight) if plan.norm == norms.L1 else weight * weight
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
