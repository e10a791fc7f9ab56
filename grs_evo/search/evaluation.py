"""New structures into individuals: evaluated, or relaxed first, and counted.

One loss evaluation counts as one; gradient and incremental ones are counted apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.lattice.passes import improve
from grs_evo.kernels.relaxation.strain import Bonds
from grs_evo.loss.lattice import LatticeObjective
from grs_evo.potential.network import relax_network
from grs_evo.potential.relaxation import RelaxOptions, relax
from grs_evo.potential.rigid import relax_bodies
from grs_evo.search.counters import Ledger
from grs_evo.search.operators.lattice_moves import make_moves
from grs_evo.search.population.individual import NO_PARENT, Individual, newborn
from grs_evo.search.problem import Problem
from grs_evo.structures.networks.bonding import completed
from grs_evo.structures.structure import Structure, with_species

# The parents of what has none.
NO_PARENTS = (NO_PARENT, NO_PARENT)


class Proposal(NamedTuple):
    """A structure that is to be evaluated."""

    structure: Structure
    operator: str  # what made it, as in `Individual.operator`
    parents: tuple[int, int] = NO_PARENTS  # uids


def evaluate(
    proposals: Sequence[Proposal],
    island: int,
    problem: Problem,
    ledger: Ledger,
    rng: np.random.Generator | None = None,
) -> list[Individual | None]:
    """Evaluate (and relax, with the island's probability) new structures; None where the loss is not finite.

    Parameters
    ----------
    rng : decides which are relaxed; None: none is
    """
    lattice = problem.lattices[island]
    if lattice is not None:
        return _evaluated_on_lattice(proposals, island, problem, lattice, ledger, rng)
    share, network = problem.islands[island].genetic.relaxed, problem.limits(island).network
    result = []
    for proposal in proposals:
        ledger.check()
        bonds = None
        if network is not None and rng is not None:
            made, bonds = completed(rng, proposal.structure, network, proposal.parents == NO_PARENTS)
            proposal = proposal._replace(structure=made)
        if problem.relax is not None and rng is not None and (share >= 1.0 or rng.random() < share):
            result.append(_relaxed(proposal, bonds, island, problem, problem.relax, ledger))
        else:
            evaluation = problem.objective.evaluate(proposal.structure)
            ledger.count("evaluations")
            value = evaluation.value if evaluation.ok and np.isfinite(evaluation.terms).all() else np.nan
            result.append(_individual(proposal, value, evaluation.terms, island, ledger, ledger.evaluations))
    return result


def _relaxed(
    proposal: Proposal,
    bonds: Bonds | None,
    island: int,
    problem: Problem,
    options: RelaxOptions,
    ledger: Ledger,
) -> Individual | None:
    """The relaxed structure, with its bonds where it has some to keep, as an individual; None where it has left the
    limits."""
    structure, limits = proposal.structure, problem.limits(island)
    fixed = None if limits.fixed is None else ~limits.movable(structure.n_atoms)
    bodies = None if limits.molecules is None else limits.molecules.bodies(structure)
    if bonds is not None and limits.network is not None:
        relaxed = relax_network(structure, bonds, limits.network, problem.objective, options, ledger.poll)
    elif bodies is None:
        relaxed = relax(structure, problem.objective, options, fixed, ledger.poll)
    else:
        relaxed = relax_bodies(structure, bodies[0], problem.objective, options, ledger.poll)
    ledger.count("gradient_evaluations", relaxed.evaluations)
    cause = limits.violation(relaxed.structure)
    if cause is not None:
        ledger.reject(cause)
        return None
    proposal = proposal._replace(structure=relaxed.structure)
    value = relaxed.value if np.isfinite(relaxed.terms).all() else np.nan
    return _individual(proposal, value, relaxed.terms, island, ledger, ledger.evaluations)


def _evaluated_on_lattice(
    proposals: Sequence[Proposal],
    island: int,
    problem: Problem,
    lattice: LatticeObjective,
    ledger: Ledger,
    rng: np.random.Generator | None,
) -> list[Individual | None]:
    if not proposals:
        return []
    ledger.check()
    occupations = np.array([one.structure.species for one in proposals], dtype=np.int32)
    before = ledger.evaluations
    if problem.islands[island].genetic.passes and rng is not None:
        found_after = _improve(occupations, island, problem, lattice, rng, ledger)
        proposals = [
            one._replace(structure=with_species(one.structure, occupation.copy()))
            for occupation, one in zip(occupations, proposals, strict=True)
        ]
    else:
        found_after = np.arange(1, len(proposals) + 1)
        ledger.count("evaluations", len(proposals))
    values, terms = lattice.evaluate(occupations)
    finite = np.asarray(np.isfinite(terms).all(axis=1)).tolist()
    return [
        _individual(one, value if ok else np.nan, row, island, ledger, before + after)
        for one, value, row, ok, after in zip(
            proposals, values.tolist(), terms, finite, found_after.tolist(), strict=True
        )
    ]


def _improve(
    occupations: NDArray[np.int32],
    island: int,
    problem: Problem,
    lattice: LatticeObjective,
    rng: np.random.Generator,
    ledger: Ledger,
) -> NDArray[np.int64]:
    """Local passes over each occupation, in place; (k,) losses computed in all when each one's last gain was found."""
    moves = make_moves(lattice, problem.limits(island).composition)
    passes = problem.islands[island].genetic.passes
    found_after = np.zeros(len(occupations), np.int64)
    values = np.empty(len(occupations))
    full, incremental = improve(
        rng, lattice.fast, lattice.scratch, moves, passes, occupations, values, found_after, lattice.work
    )
    ledger.count("evaluations", int(full))
    ledger.count("incremental", int(incremental))
    return found_after


def _individual(
    proposal: Proposal, value: float, terms: NDArray[np.float64], island: int, ledger: Ledger, evaluation: int
) -> Individual | None:
    if not math.isfinite(value):
        ledger.reject("evaluation")
        return None
    made = newborn(
        structure=proposal.structure,
        value=value,
        terms=terms.copy(),
        uid=ledger.new_uid(),
        parents=proposal.parents,
        operator=proposal.operator,
        island=island,
        generation=ledger.generation,
        evaluation=evaluation,
    )
    if ledger.evaluated is not None:
        ledger.evaluated(made)
    return made
