"""What the page says of the loss terms, and text freed of what belongs to one machine."""

from __future__ import annotations

import re

# What the parts of the loss are, one sentence each.
TERM_WORDS = {
    "structure": "this cell against the target (eq. 13)",
    "mean": "part of it: means of the functions",
    "variance": "part of it: their variances",
    "skewness": "part of it: their skewnesses",
    "kurtosis": "part of it: their kurtoses",
    "covariance": "part of it: their covariances",
    "set": "all cells of the set together (eq. 14)",
    "core": "penalty for atoms too close; 0 = none",
    "entropy": "minus the entropy of the environments",
    "matched": "share of functions within the tolerance",
    "raw": "in the functions’ own units; no part of the loss",
}


def without_folders(text: str) -> str:
    """Text in which file names have lost the folders they lay in on the machine of the run."""
    return re.sub(r"(?:[^\s/<>]*/)+([^\s/<>]+)", r"\1", text)
