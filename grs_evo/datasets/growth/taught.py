"""How much a set that is there tells a linear potential about a target: predicted variance and ln det."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from grs_evo.datasets.growth.goal import make_goal
from grs_evo.search.population.representative_set import InformationOptions
from grs_evo.structures.structure import Structure


@dataclass(frozen=True)
class Taught:
    """What a linear potential that is fitted on a set knows, beside one fitted on the target itself."""

    energies: float  # mean predicted variance of the target's energies, over what the target itself would leave
    forces: float  # and of its forces (I-optimality)
    log_det: float  # ln det of the set's Gram matrix less that of the target's, in nats per function (D-optimality)
    functions: int

    def sentence(self) -> str:
        """The result in words."""
        side = "above" if self.log_det >= 0.0 else "below"
        return (
            f"a linear potential of {self.functions} functions fitted on it: predicted variance of the target's "
            f"energies {self.energies:.3g} and forces {self.forces:.3g} times what the target itself would leave; "
            f"ln det {abs(self.log_det):.3g} nats per function {side} the target's"
        )


class Measure:
    """Tells of sets what they teach about a target, without labels (method §11).

    Parameters
    ----------
    target : species index `elements`
    given : structures that are in every set

    Raises
    ------
    InputError
        As `goal.make_goal` and `design.design_rows`.
    """

    def __init__(self, target: Sequence[Structure], elements: Sequence[str], given: Sequence[Structure] = ()) -> None:
        self.goal = make_goal(target, elements, InformationOptions(misfit=0.0))
        self._given = self._gram(given)

    def of(self, chosen: Sequence[Structure]) -> Taught:
        """Of the given structures and these."""
        with threadpool_limits(1):
            inverse = self.goal.inverse(self._given + self._gram(chosen)).matrix
            log_det = -float(np.linalg.slogdet(inverse)[1])
        return Taught(
            float((inverse * self.goal.energies).sum()),
            float((inverse * self.goal.forces).sum()),
            (log_det - self.goal.log_det) / self.goal.n_columns,
            self.goal.n_columns,
        )

    def _gram(self, structures: Sequence[Structure]) -> NDArray[np.float64]:
        gram = np.zeros((self.goal.n_columns, self.goal.n_columns))
        with threadpool_limits(1):
            for k, one in enumerate(structures):
                rows = self.goal.rows(one, f"structure {k} of the set")
                gram += rows.T @ rows
        return gram
