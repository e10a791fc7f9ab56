"""Mismatch of the full covariance matrix of each element's functions."""

from __future__ import annotations

from grs_evo.kernels.loss.distribution import COVARIANCE
from grs_evo.loss.terms.term import CompiledTerm

TERM = CompiledTerm(
    name="covariance",
    meaning="part of it: their covariances",
    unit="1",
    target="covariance",
    column=COVARIANCE,
    option="covariance",
    given=lambda loss: loss.covariance,
    weight=lambda loss: loss.w_structure * loss.covariance,
    kept=lambda loss: loss.covariance != 0,
)
