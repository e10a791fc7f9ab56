"""Mismatch of the functions' skewnesses c3 / c2^(3/2)."""

from __future__ import annotations

from grs_evo.kernels.loss.distribution import SKEWNESS
from grs_evo.loss.terms.term import CompiledTerm

TERM = CompiledTerm(
    name="skewness",
    meaning="part of it: their skewnesses",
    unit="1",
    target="moments",
    column=SKEWNESS,
    option="skewness",
    given=lambda loss: loss.skewness,
    weight=lambda loss: loss.w_structure * loss.skewness,
    kept=lambda loss: loss.skewness != 0,
)
