"""How many atoms of each element.

The nearest whole numbers to the target's fractions are right. Other numbers are judged by blocks of the target: in an
alloy without order these scatter as by chance, in a compound they hardly do, and then one atom too many is a fault.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.observables.counting.survey import Survey, periodic_distances
from grs_evo.observables.record import Observable, Row
from grs_evo.observables.sampling import Comparison
from grs_evo.structures.structure import formula_of

LIMIT = 3.5
_BLOCKS = 40
_LEAST_BLOCK = 6  # atoms
# Blocks of a compound scatter by less than this share of what chance gives.
_COMPOUND = 0.6
_ONE_ATOM = 0.4  # the scatter of a compound's counts: one atom off is allowed, two are not


def _measure(found: Survey) -> dict[str, Any]:
    fractions = found.of_kind / found.n_atoms
    shares = {e: float(f) for e, f in zip(found.elements, fractions, strict=True) if f > 0}
    return {"formula": formula_of(found.of_kind, found.elements), "fractions": shares}


def _block_scatter(target: Survey, n: int) -> NDArray[np.float64]:
    """(n_el,) standard deviation of the fractions among blocks of n atoms of the target."""
    rng = np.random.default_rng(41)
    fractions = target.of_kind / target.n_atoms
    found = np.zeros(target.n_elements)
    rows = target.rows
    numbers = np.bincount(rows.region)
    large = np.flatnonzero(numbers >= 8 * _LEAST_BLOCK)
    if len(large):
        off = []
        for _ in range(_BLOCKS):
            own = np.flatnonzero(rows.region == large[rng.integers(len(large))])
            size = min(n, len(own) // 8)
            structure = target.kept[target.kept_frames.index(int(rows.frame[own[0]]))]
            centre = rows.positions[own[rng.integers(len(own))]]
            away = periodic_distances(rows.positions[own], centre, structure.cell, structure.pbc)
            near = own[np.argpartition(away, size - 1)[:size]]
            share = np.bincount(rows.kinds[near], minlength=target.n_elements) / size
            off.append((share - fractions) * np.sqrt(size / n))
        found = np.sqrt(np.mean(np.square(off), axis=0))
    if target.n_structures > 1:
        of_frames = target.counts / target.counts.sum(axis=1, keepdims=True)
        found = np.maximum(found, of_frames.std(axis=0))
    return np.asarray(found, np.float64)


def _compare(found: Survey, comparison: Comparison) -> list[Row]:
    target = comparison.target
    n = found.n_atoms
    expected = target.of_kind / target.n_atoms
    by_chance = np.sqrt(expected * (1 - expected) / n)
    blocks = _block_scatter(target, int(n / found.n_structures)) / np.sqrt(found.n_structures)
    rows = []
    for a, element in enumerate(found.elements):
        if target.of_kind[a] == 0 and found.of_kind[a] == 0:
            continue
        value = float(found.of_kind[a] / n)
        off = abs(found.of_kind[a] - n * expected[a])
        compound = blocks[a] < _COMPOUND * by_chance[a]
        scatter = _ONE_ATOM / n if compound else float(max(blocks[a], _ONE_ATOM / n))
        if expected[a] in (0.0, 1.0):
            scatter = 1e-3 if expected[a] == 0.0 else 2e-3  # the element that should not be there is told first
        deviation = 0.0 if off < 1 and 0 < expected[a] < 1 else off / n / scatter
        words = f"{100 * value:.1f} % of the atoms are {element}, in the target {100 * expected[a]:.1f} %"
        rows.append(
            OBSERVABLE.row(element, "fraction", value, float(expected[a]), scatter, LIMIT, words, deviation=deviation)
        )
    return rows


OBSERVABLE = Observable("composition", "share of the atoms that an element has", "", _measure, _compare)
