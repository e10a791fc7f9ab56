"""How good the best structure is: its loss beside that of a random sample of the target of the same size."""

from __future__ import annotations

import numpy as np

from ..basis import Basis
from ..config import parse
from ..errors import InputError
from ..loss import make_objective
from ..population import Individual
from ..quality import LEAST_NOISE, sampling_noise
from ..storage import Archive
from ..target import Target

# Draws of the median; its error is then a tenth of the spread of single draws.
_DRAWS = 200


def loss_over_noise(archive: Archive, basis: Basis, target: Target, one: Individual) -> float | None:
    """Structure loss of an individual over the median loss of as many random environments of the target.

    None where the archive does not tell enough to make its loss again: a run file of another program version, a loss
    that is scaled by reference structures, which an archive does not keep, or a target without any spread.
    """
    if "structure" not in archive.term_names:
        return None
    try:
        objective = make_objective(basis, target, parse(archive.run_file, "run file").loss)
        noise = sampling_noise(objective, one.structure.n_atoms, draws=_DRAWS)
    except InputError:
        return None
    loss = float(one.terms[archive.term_names.index("structure")])
    return loss / noise if np.isfinite(noise) and noise > LEAST_NOISE else None
