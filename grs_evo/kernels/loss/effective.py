"""Compiled: V_eff in one call: list → A → B → moments → loss → dV/dB → dV/dR and dV/dε, and the core."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.ace.engine import describe_into, describe_single, pull_into, pull_single
from grs_evo.kernels.ace.radial import field
from grs_evo.kernels.ace.tables import DX, DY, DZ, R_INVERSE, Tables, Work
from grs_evo.kernels.calls import (
    FROM_POSITIONS,
    FROM_ROWS,
    Calls,
    address,
    call_back,
    call_number,
    call_pair,
    call_status,
)
from grs_evo.kernels.compiling import entry_locked, inner
from grs_evo.kernels.geometry.layout import OK
from grs_evo.kernels.loss.distribution import CORE, LossPlan, LossWork
from grs_evo.kernels.loss.objective import rows_loss
from grs_evo.kernels.simd import DOUBLE, LANES, SINGLE, any_above, item, load_wide, numbers, width

POLYNOMIAL, ZBL = 1, 2
# Universal screening function of Ziegler, Biersack and Littmark: exponents and weights, and e²/(4πε0) in eV Å.
_ZBL_EXPONENT = (3.19980, 0.94229, 0.40290, 0.20162)
_ZBL_WEIGHT = (0.18175, 0.50986, 0.28022, 0.02817)
_COULOMB = 14.399645
_SCREENING = 0.46850


@inner
def _core_of_pair(r, kind, inner, outer, za, zb):
    """Energy and dV/dr of a pair at distance r < outer, for strength 1."""
    if kind == POLYNOMIAL:
        x = (outer - r) / (outer - inner)
        return x * x * x, -3.0 * x * x / (outer - inner)
    a = _SCREENING / (za**0.23 + zb**0.23)
    screen = 0.0
    slope = 0.0
    for k in range(4):
        part = _ZBL_WEIGHT[k] * math.exp(-_ZBL_EXPONENT[k] * r / a)
        screen += part
        slope -= _ZBL_EXPONENT[k] / a * part
    charge = _COULOMB * za * zb
    energy = charge * screen / r
    derivative = charge * (slope / r - screen / (r * r))
    # (1 - (r / R)²)³ takes it to 0 at R with two continuous derivatives
    s = 1.0 - r * r / (outer * outer)
    fade = s * s * s
    return energy * fade, derivative * fade - energy * 6.0 * r * s * s / (outer * outer)


@entry_locked
def core_of_pair(r, kind, inner, outer, za, zb):
    """The same for Python."""
    return _core_of_pair(r, kind, inner, outer, za, zb)


@inner
def core_of(species, plan, tables, engine, gradient, dpositions, dstrain, closest, kind):
    """V_core per atom, from the pairs that are left in `engine` in the precision of `kind`; adds dV/dR and dV/dε.

    closest (1,) becomes the smallest distance over the pair's core distance, inf when all are out of the core's reach.
    Every pair is met from both of its ends, so each end counts half of it.
    """
    n_atoms = species.shape[0]
    n_el = tables.n_el
    share = 0.5 * plan.core_strength / n_atoms
    total = 0.0
    closest[0] = np.inf
    pair = numbers(engine.pair, kind)
    wide = width(pair)
    for slot in range(engine.shape[4]):
        i = engine.slots[slot]
        if i < 0:
            continue
        for e in range(n_el):
            outer = plan.core_outer[species[i], e]
            if outer == 0.0:
                continue
            inner = plan.core_inner[species[i], e]
            near = 1.0 / outer
            for block in range(engine.section[slot * n_el + e], engine.section[slot * n_el + e + 1], wide // LANES):
                at = field(pair, block, R_INVERSE)
                if not any_above(load_wide(pair, at), near):
                    continue
                for lane in range(wide):
                    if item(pair, at + lane) <= near:
                        continue
                    j = engine.pair_id[block * LANES + lane]
                    if j >= n_atoms:
                        continue  # fills up a block of lanes
                    r = 1.0 / item(pair, at + lane)
                    energy, slope = _core_of_pair(
                        r, plan.core_kind, inner, outer, plan.numbers[species[i]], plan.numbers[e]
                    )
                    total += share * energy
                    closest[0] = min(closest[0], r / inner)
                    if gradient:
                        x = item(pair, field(pair, block, DX) + lane)
                        y = item(pair, field(pair, block, DY) + lane)
                        z = item(pair, field(pair, block, DZ) + lane)
                        push = share * slope / r
                        dpositions[i, 0] -= push * x
                        dpositions[i, 1] -= push * y
                        dpositions[i, 2] -= push * z
                        dpositions[j, 0] += push * x
                        dpositions[j, 1] += push * y
                        dpositions[j, 2] += push * z
                        dstrain[0, 0] += push * x * x
                        dstrain[1, 1] += push * y * y
                        dstrain[2, 2] += push * z * z
                        dstrain[0, 1] += push * x * y
                        dstrain[1, 0] += push * x * y
                        dstrain[0, 2] += push * x * z
                        dstrain[2, 0] += push * x * z
                        dstrain[1, 2] += push * y * z
                        dstrain[2, 1] += push * y * z
    return total


@entry_locked
def core_into(species, plan, tables, engine, gradient, dpositions, dstrain, closest):
    """`core_of` the pairs that `describe_into` left."""
    return core_of(species, plan, tables, engine, gradient, dpositions, dstrain, closest, DOUBLE)


@entry_locked
def core_single(species, plan, tables, engine, gradient, dpositions, dstrain, closest):
    """The same of those that `describe_single` left."""
    return core_of(species, plan, tables, engine, gradient, dpositions, dstrain, closest, SINGLE)


@entry_locked
def evaluate_into(
    positions, cell, species, pbc, calls, tables, engine, plan, work, norm, delta, gradient, rows, slopes, terms,
    dpositions, dstrain,
):  # fmt: skip
    """V_eff of a structure. Returns (status, value descended, value reported).

    Parameters
    ----------
    calls : Calls; `calls.terms` adds terms that are not compiled, once from rows (to `slopes`, before they are pulled
        back to positions), once from positions (to dpositions and dstrain)
    norm, delta : what is descended; the plan has the norm that is reported, which may be another
    gradient : whether derivatives are wanted
    rows, slopes : (n_atoms, max_size) become B and dV/dB
    terms : (N_TERMS + further terms,) become the parts, unweighted
    dpositions, dstrain : (n_atoms, 3) and (3, 3) become dV/dR in 1/Å and dV/dε of the value descended, under
        R → R (1 + ε)ᵀ; forces and virial are minus these
    """
    status = call_status(calls.describe, (positions, cell, species, pbc, tables, engine, rows))
    if status != OK:
        return status, np.nan, np.nan
    value, reported = call_pair(calls.rows, (rows, species, plan, norm, delta, gradient, work, terms, slopes))
    added = 0.0
    if calls.terms != 0:
        added = call_back(calls.terms, FROM_ROWS)
    if gradient:
        status = call_status(calls.pull, (positions, cell, species, pbc, tables, slopes, engine, dpositions, dstrain))
        if status != OK:
            return status, np.nan, np.nan
    core = 0.0
    if plan.core_kind != 0:
        core = call_number(calls.core, (species, plan, tables, engine, gradient, dpositions, dstrain, work.closest))
        terms[CORE] = core
    if calls.terms != 0:
        added += call_back(calls.terms, FROM_POSITIONS)
        return status, value + core + added, reported + core + added
    return status, value + core, reported + core


def calls_for(
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
    species: NDArray[np.int32],
    pbc: NDArray[np.bool_],
    tables: Tables,
    engine: Work,
    plan: LossPlan,
    work: LossWork,
    rows: NDArray[np.float64],
    slopes: NDArray[np.float64],
    terms: NDArray[np.float64],
    dpositions: NDArray[np.float64],
    dstrain: NDArray[np.float64],
    single: bool = False,
) -> Calls:
    """Where the parts of `evaluate_into`, and itself, are for arguments of these types.

    Parameters
    ----------
    single : descriptors and what is pulled back through them in single precision
    """
    norm, delta = plan.norm, plan.delta
    describe, pull, core = (describe_into, pull_into, core_into)
    if single:
        describe, pull, core = (describe_single, pull_single, core_single)
    parts = Calls(
        describe=address(describe, positions, cell, species, pbc, tables, engine, rows),
        pull=address(pull, positions, cell, species, pbc, tables, slopes, engine, dpositions, dstrain),
        rows=address(rows_loss, rows, species, plan, norm, delta, True, work, terms, slopes),
        core=address(core, species, plan, tables, engine, True, dpositions, dstrain, work.closest)
        if plan.core_kind
        else 0,
        evaluate=0,
        value=0,
        terms=0,
    )
    whole = address(
        evaluate_into, positions, cell, species, pbc, parts, tables, engine, plan, work, norm, delta, True, rows,
        slopes, terms, dpositions, dstrain,
    )  # fmt: skip
    return parts._replace(evaluate=whole)
