"""The operators' names, in the order of their columns."""

from __future__ import annotations

OPERATORS = (
    "slice",
    "occupation",
    "swap",
    "flip",
    "swaps",
    "flips",
    "displace_one",
    "displace_some",
    "displace_all",
    "strain",
    "volume",
    "add",
    "remove",
    "replace",
)


CROSSOVERS = ("slice", "occupation")


CHEMICAL = ("occupation", "swap", "flip", "swaps", "flips")
