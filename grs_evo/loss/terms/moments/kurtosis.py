"""Mismatch of the functions' kurtoses c4 / c2²."""

from __future__ import annotations

from grs_evo.kernels.loss.distribution import KURTOSIS
from grs_evo.loss.terms.term import CompiledTerm

TERM = CompiledTerm(
    name="kurtosis",
    meaning="part of it: their kurtoses",
    unit="1",
    target="moments",
    column=KURTOSIS,
    option="kurtosis",
    given=lambda loss: loss.kurtosis,
    weight=lambda loss: loss.w_structure * loss.kurtosis,
    kept=lambda loss: loss.kurtosis != 0,
)
