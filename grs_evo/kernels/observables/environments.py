"""Compiled: what single environments look like: distances, coordination, bond angles, and how bonds lie in space."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.compiling import entry_beside, inner
from grs_evo.kernels.observables.cell_list import CellList, neighbours_of, space


class EnvironmentRows(NamedTuple):
    """One row for each of some atoms."""

    distances: NDArray[np.uint16]  # (n, n_el, n_bins) parts of neighbours of each element per distance
    coordination: NDArray[np.uint16]  # (n, n_el) bonded neighbours of each element
    angles: NDArray[np.uint16]  # (n, n_el (n_el + 1) / 2, n_angles) parts of angles b-centre-c, bonded, b <= c
    spans: NDArray[np.float64]  # (n, n_el, 6) Å², Σ v v over vectors v to bonded neighbours: xx, yy, zz, yz, xz, xy
    leans: NDArray[np.float64]  # (n, 6) Σ w(r) (v v / r² − 1/3) over bonded neighbours, in the same order


def environment_rows(
    atoms: CellList,
    chosen: NDArray[np.int64],
    n_bins: int,
    n_angles: int,
    bonded: NDArray[np.float64],
    parts: int = 1,
    weights: NDArray[np.float64] | None = None,
) -> EnvironmentRows:
    """Rows of the chosen atoms, in their order.

    A neighbour, or an angle, counts as `parts`. One part goes to the bin that it falls into, where rounding decides
    for what lies on an edge. More are shared between the two bins whose middles it lies between, so that a small
    displacement changes little, as it must: in crystals many distances and angles are equal.

    Parameters
    ----------
    chosen : (n,) numbers of atoms of the structure
    n_bins : of distances from 0 to the reach
    n_angles : angles from 0 to 180 degrees, both ends included, that angles are counted at
    bonded : (n_el, n_el) Å, neighbours nearer than this are bonded; 0 where there are none
    parts : what a neighbour and an angle count as
    weights : (n_el, n_el, n) w(r) of `leans` in the middles of n bins from 0 to the reach, linear between them;
        None: `leans` are not wanted
    """
    n_el = len(bonded)
    n = len(chosen)
    rows = EnvironmentRows(
        np.zeros((n, n_el, n_bins), np.uint16),
        np.zeros((n, n_el), np.uint16),
        np.zeros((n, n_el * (n_el + 1) // 2, n_angles), np.uint16),
        np.zeros((n, n_el, 6)),
        np.zeros((n, 6)),
    )
    known = np.zeros((n_el, n_el, 1)) if weights is None else np.ascontiguousarray(weights, np.float64)
    place = np.empty(len(atoms.order), np.int64)
    place[atoms.order] = np.arange(len(atoms.order))
    _fill(atoms, place[chosen], np.ascontiguousarray(bonded, np.float64), parts, known, *rows)
    return rows


@inner
def _count(bins, place, parts):
    """Add `parts` at a place in units of bins, shared between the two whole numbers beside it."""
    low = min(int(max(place, 0.0)), len(bins) - 1)
    high = min(low + 1, len(bins) - 1)
    above = int(parts * min(max(place - low, 0.0), 1.0) + 0.5)
    bins[low] += parts - above
    bins[high] += above


@inner
def _between(values, place):
    """A table at a place in units of its steps, linear between its numbers."""
    low = min(int(max(place, 0.0)), len(values) - 1)
    high = min(low + 1, len(values) - 1)
    share = min(max(place - low, 0.0), 1.0)
    return values[low] + share * (values[high] - values[low])


@inner
def _lie(spans, leans, vectors, k, weight):
    """Add how the vector k lies in space."""
    x, y, z = vectors[k, 0], vectors[k, 1], vectors[k, 2]
    square = x * x + y * y + z * z
    spans[0] += x * x
    spans[1] += y * y
    spans[2] += z * z
    spans[3] += y * z
    spans[4] += x * z
    spans[5] += x * y
    if square > 0.0:
        share = weight / square
        leans[0] += share * x * x - weight / 3.0
        leans[1] += share * y * y - weight / 3.0
        leans[2] += share * z * z - weight / 3.0
        leans[3] += share * y * z
        leans[4] += share * x * z
        leans[5] += share * x * y


@entry_beside
def _fill(atoms, chosen, bonded, parts, weights, distances, coordination, angles, spans, leans):
    n_el = len(bonded)
    n_bins, n_angles = distances.shape[2], angles.shape[2]
    per = n_bins / atoms.reach
    per_degree = (n_angles - 1) / 180.0
    per_weight = weights.shape[2] / atoms.reach
    ids, vectors, lengths = space(256)
    for row in range(len(chosen)):
        i = chosen[row]
        found, ids, vectors, lengths = neighbours_of(atoms, i, ids, vectors, lengths)
        kind = atoms.kinds[i]
        bonds = 0
        for k in range(found):
            other = atoms.kinds[ids[k]]
            place = lengths[k] * per
            if parts == 1:
                distances[row, other, min(int(place), n_bins - 1)] += 1
            else:
                _count(distances[row, other], place - 0.5, parts)
            if lengths[k] < bonded[kind, other]:
                coordination[row, other] += 1
                weight = _between(weights[kind, other], lengths[k] * per_weight - 0.5)
                _lie(spans[row, other], leans[row], vectors, k, weight)
                # bonded neighbours move to the front; what they overwrite has been counted
                vectors[bonds, 0], vectors[bonds, 1], vectors[bonds, 2] = vectors[k, 0], vectors[k, 1], vectors[k, 2]
                lengths[bonds] = lengths[k]
                ids[bonds] = ids[k]
                bonds += 1
        for k in range(bonds):
            b = atoms.kinds[ids[k]]
            for m in range(k + 1, bonds):
                c = atoms.kinds[ids[m]]
                dot = vectors[k, 0] * vectors[m, 0] + vectors[k, 1] * vectors[m, 1] + vectors[k, 2] * vectors[m, 2]
                length = lengths[k] * lengths[m]
                if length == 0.0:
                    continue
                angle = math.degrees(math.acos(max(-1.0, min(1.0, dot / length))))
                first, second = min(b, c), max(b, c)
                triple = first * n_el - first * (first - 1) // 2 + (second - first)
                _count(angles[row, triple], angle * per_degree, parts)
