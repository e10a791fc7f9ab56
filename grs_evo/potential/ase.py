"""V_eff as an ASE calculator: for ASE's optimisers, filters and dynamics, or anything else that speaks ASE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase.calculators.calculator import Calculator, CalculatorSetupError, all_changes

from grs_evo.descriptors.basis import Basis
from grs_evo.errors import WrongType, expect
from grs_evo.loss.objective import Objective, make_objective
from grs_evo.loss.options import LossOptions
from grs_evo.structures.structure import from_atoms
from grs_evo.targets.target import Target


class GRSCalculator(Calculator):
    """The effective potential V_eff (eq. 16) with forces and stress.

    Parameters
    ----------
    objective : an Objective; or a Target and, if wanted, `options`
    basis : the basis of the target, for one that does not hold it (made of bare arrays)
    options : LossOptions
    scale : eV per unit of the loss, which has no dimension of its own
    options_for_objective : further arguments of `loss.make_objective` (``reference``, ``set_moments``)

    Notes
    -----
    The loss belongs to the structure as a whole: there are no energies per atom. ``results["terms"]`` holds the parts
    of V_eff by name, in units of the loss.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012 - ASE declares it so
    discard_results_on_any_change = True

    def __init__(
        self,
        objective: Objective | Target,
        basis: Basis | None = None,
        options: LossOptions | None = None,
        scale: float = 1.0,
        **options_for_objective: Any,
    ) -> None:
        ase: Any = super()  # typed in part only
        ase.__init__()
        call = "GRSCalculator(objective), or GRSCalculator(target, basis, options)"
        expect(objective, (Objective, Target), "the first argument", call)
        if isinstance(objective, Target):
            basis = basis if basis is not None else objective.basis
            if basis is None:
                raise CalculatorSetupError("GRSCalculator of a Target without its basis needs the basis too")
            objective = make_objective(basis, objective, options, **options_for_objective)
        elif options is not None or options_for_objective:
            raise WrongType("GRSCalculator(objective): options go with a Target; an Objective has its own")
        self.objective = objective
        self.scale = float(scale)

    def calculate(
        self,
        atoms: Any = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Fill `results`. Raises ValueError where V_eff is not finite (atoms on top of each other)."""
        ase: Any = super()
        ase.calculate(atoms, list(properties), list(system_changes))
        structure = from_atoms(self.atoms, self.objective.basis.elements, "atoms")
        evaluation, forces, virial = self.objective.gradient(structure)
        if not evaluation.ok:
            raise ValueError("V_eff is not finite: atoms on top of each other, or a cell without volume")
        energy = self.scale * evaluation.value
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": self.scale * forces,
            "terms": dict(zip(self.objective.term_names, evaluation.terms.tolist(), strict=True)),
        }
        if structure.pbc.all():
            # stress = dV/dε over the volume, in ASE's order xx, yy, zz, yz, xz, xy
            stress = -self.scale * virial / structure.volume
            self.results["stress"] = np.array([stress[k] for k in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))])
