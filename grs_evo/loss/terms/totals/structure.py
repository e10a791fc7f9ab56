"""The structure loss Q (eq. 13): the weighted sum of the moments' mismatches."""

from __future__ import annotations

from grs_evo.kernels.loss.distribution import STRUCTURE
from grs_evo.loss.terms.term import CompiledTerm

TERM = CompiledTerm(
    name="structure",
    meaning="this cell against the target (eq. 13)",
    unit="1",
    target="moments",
    column=STRUCTURE,
    option="w_structure",
    given=lambda loss: loss.w_structure,
    weight=lambda loss: loss.w_structure,
    kept=lambda loss: True,
)
