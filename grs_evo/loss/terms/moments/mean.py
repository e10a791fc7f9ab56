"""Mismatch of the functions' means, in the chosen norm and scale."""

from __future__ import annotations

from grs_evo.kernels.loss.distribution import MEAN
from grs_evo.loss.terms.term import CompiledTerm

TERM = CompiledTerm(
    name="mean",
    meaning="part of it: means of the functions",
    unit="1",
    target="moments",
    column=MEAN,
    option="mean",
    given=lambda loss: loss.mean,
    weight=lambda loss: loss.w_structure * loss.mean,
    kept=lambda loss: True,
)
