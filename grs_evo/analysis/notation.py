"""Numbers and names of objectives as people read them: one way each, in tables, captions and ticks alike."""

from __future__ import annotations

import numpy as np

from grs_evo.text import counted

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
THIN = "\u2009"  # between thousands
MINUS = "−"  # longer than a hyphen, as typeset

# What the objectives mean, for axis titles and sentences.
_OBJECTIVES = {
    "mean": "loss of the means",
    "variance": "loss of the variances",
    "skewness": "loss of the skewnesses",
    "kurtosis": "loss of the kurtoses",
    "covariance": "loss of the covariance",
    "value": "total loss",
    "set": "set loss",
    "n_atoms": "number of atoms",
    "cost": "cost, n³ relative to the target",
    "displacements": "symmetry-distinct displacements",
    "elongation": "elongation of the cell",
}


def objective(name: str) -> str:
    """What an objective is called in a sentence; an unknown name stands for itself."""
    return _OBJECTIVES.get(name, name)


def power(exponent: int) -> str:
    """A power of ten, e.g. ``"10⁻³"``."""
    return "10" + str(exponent).translate(_RAISED)


def significant(value: float, digits: int = 4) -> str:
    """A number as people read it: four digits, no exponent between 1e-3 and 1e5."""
    if not np.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    if 1e-3 <= size < 1e5:
        decimals = max(0, digits - 1 - int(np.floor(np.log10(size))))
        return f"{value:,.{decimals}f}".replace(",", THIN).replace("-", MINUS)
    mantissa, _, exponent = f"{value:.{max(1, digits - 2)}e}".partition("e")
    return f"{mantissa}·{power(int(exponent))}".replace("-", MINUS)


def tick(value: float) -> str:
    """A round number at a tick of a logarithmic axis."""
    if 1e-3 <= value < 1e5:
        return f"{value:,.12g}".replace(",", THIN)
    digit, _, exponent = f"{value:.0e}".partition("e")
    return power(int(exponent)) if digit == "1" else f"{digit}·{power(int(exponent))}"


def whole(count: float) -> str:
    """A count with thin spaces between thousands."""
    return f"{int(count):,}".replace(",", THIN).replace("-", MINUS)


def percent(share: float) -> str:
    """A share of 1 in per cent."""
    return f"{100 * share:.1f}{THIN}%"


def several(count: int, what: str) -> str:
    """As `text.counted`, with the number as `whole` writes it."""
    return counted(count, what, whole(count))
