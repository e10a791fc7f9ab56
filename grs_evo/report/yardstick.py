"""How good a structure or a set is: its loss beside that of as many environments drawn at random from the target."""

from __future__ import annotations

from dataclasses import dataclass

from ..loss import Objective
from ..quality import LEAST_NOISE, sampling_noise

_MANY = 1000  # environments, of a set
_DRAWS_OF_MANY = 100


@dataclass(frozen=True)
class Yardstick:
    """A loss over the sampling noise of the target."""

    n_atoms: int
    noise: float  # median loss of as many random environments of the target; 0 where all are one
    ratio: float  # NaN where there is no noise


def over_noise(objective: Objective, loss: float, n_atoms: int) -> Yardstick:
    """A structure's or a set's loss over the sampling noise for as many environments, as `grs-evo score` tells it."""
    # Samples of many environments differ little from each other, and take long.
    noise = sampling_noise(objective, n_atoms, **({"draws": _DRAWS_OF_MANY} if n_atoms > _MANY else {}))
    if not noise > LEAST_NOISE:
        return Yardstick(n_atoms, 0.0, float("nan"))
    return Yardstick(n_atoms, noise, loss / noise)
