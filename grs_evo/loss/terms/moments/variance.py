"""Mismatch of the functions' variances."""

from __future__ import annotations

from grs_evo.kernels.loss.distribution import VARIANCE
from grs_evo.loss.terms.term import CompiledTerm

TERM = CompiledTerm(
    name="variance",
    meaning="part of it: their variances",
    unit="1",
    target="moments",
    column=VARIANCE,
    option="variance",
    given=lambda loss: loss.variance,
    weight=lambda loss: loss.w_structure * loss.variance,
    kept=lambda loss: True,
)
