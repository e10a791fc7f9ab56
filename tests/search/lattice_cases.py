"""Lattices and their rules, for the tests of chains."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from systems import ON_FCC, toy_problem
from test_loss_lattice import fcc, objective, system

from grs_evo.descriptors.basis import build_basis
from grs_evo.loss.lattice import make_lattice_objective, reference_structures
from grs_evo.loss.objective import make_objective
from grs_evo.loss.options import LossOptions
from grs_evo.search.options import IslandOptions, WalkOptions
from grs_evo.structures.composition import Composition, free
from grs_evo.structures.structure import Structure
from grs_evo.targets.target import Target


def rules() -> dict[str, tuple[Composition, np.ndarray]]:
    everything = np.ones((36, 3), bool)
    sublattices = everything.copy()
    sublattices[:12, 2] = False  # no Si on these
    sublattices[12:16] = [False, True, False]  # pinned
    sublattices[16:20] = [False, True, True]
    limits = Composition("limits", np.array([0.2, 0.1, 0.3]), np.array([0.4, 0.5, 0.4]))
    counts = Composition("counts", np.array([9.0, 15.0, 12.0]), np.array([9.0, 15.0, 12.0]))
    return {
        "free": (free(3), everything),
        "limits": (limits, everything),
        "sublattices, limits": (limits, sublattices),
        "sublattices, counts": (counts, sublattices),
        "no pure elements": (free(3, endpoints=False), sublattices),
    }


@cache
def ternary(name: str):
    judge, template = objective("three elements", variance=0.0), system("three elements")[1]
    return make_lattice_objective(judge, template, rules()[name][1])


def l12() -> Structure:
    """L1_2 AuCu3, the paper's ordering target."""
    return fcc((1, 1, 1)).replace(species=np.array([0, 1, 1, 1]))


@cache
def ordering():
    """L1_2 on 32 sites with the whitened loss of the means."""
    basis = build_basis(("Au", "Cu"), cutoff=4.6)
    template = fcc((2, 2, 2))
    judge = make_objective(
        basis,
        Target.from_structures([l12()], basis),
        LossOptions(variance=0.0, scale="whitened"),
        reference=reference_structures(template, 2),
    )
    return make_lattice_objective(judge, template)


def walk_problem(kind: str, **options):
    lattice = ordering()
    island = IslandOptions(strategy=kind, population=5, walk=WalkOptions(evaluations=200, **options))
    same_sites = ON_FCC.model_copy(update={"repeat": (2, 2, 2)})
    problem = toy_problem(same_sites, [island], objective=lattice.objective)
    assert [one.n_atoms for one in problem.sources[0].templates] == [lattice.n_sites]
    return replace(problem, lattices=(lattice,))
