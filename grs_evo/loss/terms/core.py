"""Repulsion of pairs at short distance, per atom; its strength is part of its value."""

from __future__ import annotations

from grs_evo.kernels.loss.distribution import CORE
from grs_evo.loss.terms.term import CompiledTerm

TERM = CompiledTerm(
    name="core",
    meaning="penalty for atoms too close; 0 = none",
    unit="1",
    target="nothing",
    column=CORE,
    option="core.strength",
    given=lambda loss: 1.0,
    weight=lambda loss: 1.0 if loss.core.kind != "none" and loss.core.strength > 0 else 0.0,
    kept=lambda loss: loss.core.kind != "none" and loss.core.strength > 0,
)
