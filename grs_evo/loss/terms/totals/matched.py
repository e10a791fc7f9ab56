"""Share of the compared residuals within `loss.tolerance`; a reward, so its weight is below 0."""

from __future__ import annotations

from grs_evo.kernels.loss.distribution import MATCHED
from grs_evo.loss.terms.term import CompiledTerm

TERM = CompiledTerm(
    name="matched",
    meaning="share of functions within the tolerance",
    unit="1",
    target="moments",
    column=MATCHED,
    option="reward",
    given=lambda loss: -loss.reward,
    weight=lambda loss: -loss.reward,
    kept=lambda loss: loss.reward != 0,
)
