"""Terms with their own code as parts of V_eff: called back by the compiled evaluation, between its own steps.

The compiled code calls one C function with the stage it has come to (`kernels.calls.CALLBACK`). What the terms read
and add to are the arrays that it works in, which `bind` names before it starts. So the same minimisers descend any
loss, and a loss without such terms pays two comparisons of integers.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.ace.engine import Work
from grs_evo.kernels.calls import CALLBACK, FROM_ROWS
from grs_evo.kernels.loss.distribution import N_TERMS
from grs_evo.kernels.loss.pairs import add_weighted, list_pairs, list_single, pull_pairs
from grs_evo.kernels.simd import LANES
from grs_evo.loss.terms.term import PreparedTerm


class Arrays(NamedTuple):
    """What a compiled evaluation works in. The last four are added to, the one before the last only where wanted."""

    positions: NDArray[np.float64]  # (n_atoms, 3) Å
    cell: NDArray[np.float64]  # (3, 3) Å
    species: NDArray[np.int32]  # (n_atoms,)
    pbc: NDArray[np.bool_]  # (3,)
    engine: Work  # holds the pairs
    rows: NDArray[np.float64]  # (n_atoms, max_size)
    gradient: bool  # whether derivatives are wanted
    slopes: NDArray[np.float64]  # (n_atoms, max_size) dV/drows
    terms: NDArray[np.float64]  # (N_TERMS + n_added,) values
    dpositions: NDArray[np.float64]  # (n_atoms, 3) dV/dR, 1/Å
    dstrain: NDArray[np.float64]  # (3, 3) dV/dε


class Pairs(NamedTuple):
    """All pairs of atoms within the basis's cutoff, from both of their ends."""

    first: NDArray[np.int64]  # (n_pairs,)
    second: NDArray[np.int64]  # (n_pairs,)
    vectors: NDArray[np.float64]  # (n_pairs, 3) from the first to the second, Å
    distances: NDArray[np.float64]  # (n_pairs,) Å
    slopes: NDArray[np.float64]  # (n_pairs,) dV/dr, 1/Å


def _pair_arrays(most: int) -> Pairs:
    return Pairs(
        np.empty(most, np.int64), np.empty(most, np.int64), np.empty((most, 3)), np.empty(most), np.empty(most)
    )


class AddedTerms:
    """The terms of one loss that have their own code, and their buffers. One evaluation at a time.

    Parameters
    ----------
    prepared : in the order of their columns, which follow the compiled ones
    n_elements : of the basis
    """

    def __init__(self, prepared: Sequence[PreparedTerm], n_elements: int) -> None:
        self._by_column = [(N_TERMS + k, one) for k, one in enumerate(prepared)]
        self._n_elements = n_elements
        self._bound: Arrays | None = None
        self._error: BaseException | None = None
        self._buffers = _pair_arrays(0)
        self._callback = CALLBACK(self._stage)  # lives as long as its address is used

    @property
    def address(self) -> int:
        """Of the C function that compiled code calls."""
        return int(ctypes.cast(self._callback, ctypes.c_void_p).value or 0)

    def bind(self, arrays: Arrays) -> None:
        """Say which arrays the next evaluations work in."""
        self._bound, self._error = arrays, None

    def check(self) -> None:
        """Raise what a term raised since `bind`."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _stage(self, stage: int) -> float:
        # What is raised here cannot pass through compiled code: it is kept for `check`; until then the value is NaN.
        if self._error is None and self._bound is not None:
            try:
                return self._from_rows(self._bound) if stage == FROM_ROWS else self._from_positions(self._bound)
            except BaseException as error:
                self._error = error
        return float("nan")

    def _from_rows(self, at: Arrays) -> float:
        return self.add_rows(at.rows, at.species, at.gradient, at.terms, at.slopes)

    def add_rows(
        self,
        rows: NDArray[np.float64],
        species: NDArray[np.int32],
        gradient: bool,
        terms: NDArray[np.float64],
        slopes: NDArray[np.float64],
    ) -> float:
        """What the terms of descriptor rows add to the value; fills their columns of `terms`, adds to `slopes`."""
        total = 0.0
        for column, one in self._by_column:
            if one.term.takes != "rows":
                continue
            own = np.zeros_like(rows)
            terms[column] = value = one.term.value(rows, species, gradient, own, one.state)
            total += one.weight * value
            if gradient:
                add_weighted(one.weight, own, slopes)
        return total

    def _from_positions(self, at: Arrays) -> float:
        total = 0.0
        pairs: Pairs | None = None
        for column, one in self._by_column:
            if one.term.takes == "pairs":
                pairs = self._listed(at) if pairs is None else pairs
                value = self._of_pairs(one, pairs, at)
            elif one.term.takes == "positions":
                value = self._of_positions(one, at)
            else:
                continue
            at.terms[column] = value
            total += one.weight * value
        return total

    def _listed(self, at: Arrays) -> Pairs:
        n_atoms, n_slots = len(at.positions), int(at.engine.shape[4])
        most = int(at.engine.section[n_slots * self._n_elements]) * LANES
        if len(self._buffers.first) < most:
            self._buffers = _pair_arrays(most)
        first, second, vectors, distances, slopes = self._buffers
        listed = list_single if at.engine.shape[8] else list_pairs
        n = listed(
            n_atoms, self._n_elements, n_slots, at.engine.slots, at.engine.section, at.engine.pair, at.engine.pair_id,
            first, second, vectors, distances,
        )  # fmt: skip
        return Pairs(first[:n], second[:n], vectors[:n], distances[:n], slopes[:n])

    @staticmethod
    def _of_pairs(one: PreparedTerm, pairs: Pairs, at: Arrays) -> float:
        pairs.slopes[:] = 0.0
        value = one.term.value(
            at.species, pairs.first, pairs.second, pairs.distances, at.gradient, pairs.slopes, one.state
        )
        if at.gradient:
            pull_pairs(*pairs, one.weight, at.dpositions, at.dstrain)
        return value

    @staticmethod
    def _of_positions(one: PreparedTerm, at: Arrays) -> float:
        own, strain = np.zeros_like(at.positions), np.zeros((3, 3))
        value = one.term.value(at.positions, at.cell, at.species, at.pbc, at.gradient, own, strain, one.state)
        if at.gradient:
            add_weighted(one.weight, own, at.dpositions)
            add_weighted(one.weight, strain, at.dstrain)
        return value
