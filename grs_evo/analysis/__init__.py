"""Offline analysis: arrays and archives in, numbers and plots out. No MPI, no run file, no network.

| what | module |
|---|---|
| how do distributions of environments compare? | `distributions/` |
| does what was found stand for the target, in a line? | `quality` |
| how near may one come before it says nothing? | `floor` |
| what do frames say that the search did not see? | `kept_out` |
| what did a search do? | `runs/` |
| which archives, targets and files were named? | `sources` |
| figures as data, and as files | `figures/` |
| numbers and names as text | `notation` |
"""

from __future__ import annotations

from grs_evo.lazy import public_names

# public name -> the module it lives in; imported when first asked for: some need parts of scipy that take a while
_PUBLIC = {
    "Ancestor": "runs.genealogy",
    "Components": "distributions.components",
    "Coverage": "distributions.coverage",
    "Histograms": "distributions.histograms",
    "MomentDistances": "distributions.distances",
    "Nearness": "distributions.nearness",
    "Shared": "distributions.shared",
    "ancestry": "runs.genealogy",
    "bands": "runs.convergence",
    "best_against_evaluations": "runs.convergence",
    "common_embedding": "distributions.embedding",
    "coverage": "distributions.coverage",
    "coverage_growth": "distributions.coverage",
    "coverage_of_samples": "distributions.coverage",
    "evaluations_to_reach": "runs.convergence",
    "halves_floor": "distributions.distances",
    "histograms": "distributions.histograms",
    "hull_volume": "distributions.coverage",
    "hypervolume": "runs.hypervolume",
    "hypervolume_over_generations": "runs.hypervolume",
    "ks_distances": "distributions.histograms",
    "merge_archives": "runs.merging",
    "moment_distances": "distributions.distances",
    "nearness": "distributions.nearness",
    "origins": "runs.genealogy",
    "pareto_front": "runs.hypervolume",
    "principal_components": "distributions.components",
    "project": "distributions.components",
    "reference_point": "runs.hypervolume",
    "shared": "distributions.shared",
    "wasserstein_distances": "distributions.histograms",
}

__all__ = sorted(_PUBLIC)

__getattr__, __dir__ = public_names(__name__, _PUBLIC)
