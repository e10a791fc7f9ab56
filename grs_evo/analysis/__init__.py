"""Offline analysis: arrays and archives in, numbers and plots out. No MPI, no run file, no network.

| what | module |
|---|---|
| how do distributions of environments compare? | `distributions/` |
| does what was found stand for the target, in a line? | `quality` |
| what did a search do? | `runs/` |
| which archives, targets and files were named? | `sources` |
| figures as data, and as files | `figures/` |
| numbers and names as text | `notation` |
"""

from __future__ import annotations

from grs_evo.analysis.distributions.components import Components, principal_components, project
from grs_evo.analysis.distributions.coverage import (
    Coverage,
    coverage,
    coverage_growth,
    coverage_of_samples,
    hull_volume,
)
from grs_evo.analysis.distributions.distances import MomentDistances, halves_floor, moment_distances
from grs_evo.analysis.distributions.embedding import common_embedding
from grs_evo.analysis.distributions.histograms import Histograms, histograms, ks_distances, wasserstein_distances
from grs_evo.analysis.distributions.nearness import Nearness, nearness
from grs_evo.analysis.distributions.shared import Shared, shared
from grs_evo.analysis.runs.convergence import bands, best_against_evaluations, evaluations_to_reach
from grs_evo.analysis.runs.genealogy import Ancestor, ancestry, origins
from grs_evo.analysis.runs.hypervolume import hypervolume, hypervolume_over_generations, pareto_front, reference_point
from grs_evo.analysis.runs.merging import merge_archives

__all__ = [
    "Ancestor",
    "Components",
    "Coverage",
    "Histograms",
    "MomentDistances",
    "Nearness",
    "Shared",
    "ancestry",
    "bands",
    "best_against_evaluations",
    "common_embedding",
    "coverage",
    "coverage_growth",
    "coverage_of_samples",
    "evaluations_to_reach",
    "halves_floor",
    "histograms",
    "hull_volume",
    "hypervolume",
    "hypervolume_over_generations",
    "ks_distances",
    "merge_archives",
    "moment_distances",
    "nearness",
    "origins",
    "pareto_front",
    "principal_components",
    "project",
    "reference_point",
    "shared",
    "wasserstein_distances",
]
