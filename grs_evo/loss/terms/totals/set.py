"""The set loss (eq. 14): the candidate and the representative set so far as one distribution, against the target."""

from __future__ import annotations

from grs_evo.kernels.loss.distribution import SET
from grs_evo.loss.terms.term import CompiledTerm

TERM = CompiledTerm(
    name="set",
    meaning="all cells of the set together (eq. 14)",
    unit="1",
    target="moments",
    column=SET,
    option="w_set",
    given=lambda loss: loss.w_set,
    weight=lambda loss: loss.w_set,
    kept=lambda loss: loss.w_set != 0,
)
