"""Minus the nearest-neighbour entropy of the environments (Karabin & Perez 2020), softened."""

from __future__ import annotations

from grs_evo.kernels.loss.distribution import ENTROPY
from grs_evo.loss.terms.term import CompiledTerm

TERM = CompiledTerm(
    name="entropy",
    meaning="minus the entropy of the environments",
    unit="1",
    target="nothing",
    column=ENTROPY,
    option="w_entropy",
    given=lambda loss: loss.w_entropy,
    weight=lambda loss: loss.w_entropy,
    kept=lambda loss: loss.w_entropy != 0,
)
