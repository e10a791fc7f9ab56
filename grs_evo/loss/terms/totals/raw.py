"""The structure loss without scales and in the mean |x| norm: reported only; its sign is that of w_structure."""

from __future__ import annotations

from grs_evo.kernels.loss.distribution import RAW
from grs_evo.loss.terms.term import CompiledTerm

TERM = CompiledTerm(
    name="raw",
    meaning="in the functions’ own units; no part of the loss",
    unit="1",
    target="moments",
    column=RAW,
    option="w_structure",
    given=lambda loss: None,
    weight=lambda loss: loss.w_structure,
    kept=lambda loss: True,
)
