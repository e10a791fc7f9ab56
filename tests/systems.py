"""Structures and small problems that many tests use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.search.candidates.binding import bind
from grs_evo.search.candidates.source import CandidateOptions
from grs_evo.search.options import IslandOptions, MigrantOptions
from grs_evo.search.population.archive import ArchiveOptions
from grs_evo.search.problem import Problem
from grs_evo.structures.structure import Structure

ALLOY = ("Au", "Cu")


class ToyEvaluation(NamedTuple):
    value: float
    terms: NDArray[np.float64]
    ok: bool


@dataclass
class ToyObjective:
    """A loss without descriptors: how far the elements are from alternating, and the cell from 12 Å across.

    Parameters
    ----------
    fails : every so many evaluations one is not finite; 0: none
    """

    fails: int = 0
    term_names: tuple[str, ...] = ("mean", "variance")
    seen: list[bytes] = field(default_factory=list)

    def evaluate(self, structure: Structure) -> ToyEvaluation:
        self.seen.append(structure.species.tobytes() + structure.positions.tobytes() + structure.cell.tobytes())
        terms = np.array(
            [
                float(np.abs(structure.species - np.arange(structure.n_atoms) % 2).mean()),
                1e-3 * abs(float(np.sqrt((structure.cell**2).sum())) - 12.0),
            ]
        )
        # Which one fails must not depend on anything but the structure: results belong to run file and seed.
        if self.fails and sum(structure.species.tobytes()) % self.fails == 0:
            return ToyEvaluation(float("nan"), np.full(2, np.nan), False)
        return ToyEvaluation(float(terms.sum()), terms, True)


def toy_problem(
    candidates: CandidateOptions,
    islands: Sequence[IslandOptions] = (IslandOptions(population=12),),
    objective: Any = None,
    migration: MigrantOptions | None = None,
    archive: ArchiveOptions | None = None,
    relax: Any = None,
) -> Problem:
    """Islands that share one source of candidates and the toy loss."""
    sources = [bind(one.candidates or candidates, ALLOY) for one in islands]
    return Problem(
        elements=ALLOY,
        objective=objective or ToyObjective(),
        islands=tuple(islands),
        sources=tuple(sources),
        lattices=(None,) * len(islands),
        archive=archive or ArchiveOptions(objectives=("mean", "variance")),
        migration=migration or MigrantOptions(interval=2),
        relax=relax,
    )


ON_FCC = CandidateOptions(lattice="fcc", a=3.75, composition="free", repeat=(2, 2, 1))
IN_CELLS = CandidateOptions(kind="random", sizes=(6, 12), number_density=0.05, composition="free", min_distance=2.0)
