"""All operators: what each does, how often, and what stops it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from grs_evo.search.candidates.limits import Limits
from grs_evo.search.operators.names import CHEMICAL
from grs_evo.search.operators.options import OperatorOptions
from grs_evo.search.operators.spatial import (
    add,
    displace_all,
    displace_one,
    displace_some,
    flip,
    flips,
    occupation_crossover,
    remove,
    slice_crossover,
    strain,
    swap,
    swaps,
    volume_change,
)
from grs_evo.structures.structure import Structure

Operator = Callable[[np.random.Generator, Sequence[Structure], Limits, OperatorOptions], Structure | None]


TABLE: dict[str, Operator] = {
    "slice": slice_crossover,
    "occupation": occupation_crossover,
    "swap": swap,
    "swaps": swaps,
    "flip": flip,
    "flips": flips,
    "displace_one": displace_one,
    "displace_some": displace_some,
    "displace_all": displace_all,
    "strain": strain,
    "volume": volume_change,
    "add": add,
    "remove": remove,
}


# What each operator does unless told otherwise, relative to the others of its class.
_WEIGHTS = {
    "slice": 1.0,
    "occupation": 1.0,
    "swap": 1.0,
    "flip": 2.0,
    "swaps": 0.5,
    "flips": 0.5,
    "displace_one": 0.5,
    "displace_some": 1.0,
    "displace_all": 1.0,
    "strain": 0.5,
    "volume": 0.5,
    "add": 1.0,
    "remove": 1.0,
    "replace": 0.1,
}


def _obstacle(name: str, limits: Limits) -> str | None:
    """Why an operator could never act under the limits; None when it can."""
    if name == "replace":
        return None
    if name in CHEMICAL:
        if limits.n_elements == 1:
            return "one element only"
        return "fixed composition" if name in ("flip", "flips") and limits.composition.fixed else None
    if limits.lattice:
        return "atoms stay on their sites"
    if name in ("slice", "add", "remove") and limits.allowed is not None:
        return "elements given by site"
    if name in ("add", "remove"):
        if not limits.size_free:
            return "fixed number of atoms"
        return "fixed counts" if limits.composition.kind == "counts" else None
    if name.startswith("displace") and not limits.movable(limits.sizes[1]).any():
        return "all sites fixed"
    return None
