"""Offline analysis: arrays and archives in, numbers and plots out. No MPI, no run file, no network.

components.py    principal components of a cloud of environments
coverage.py      hull volumes and V_rep (eq. 18)
histograms.py    distributions of single functions and their distances (SI 1)
distances.py     differences of moments (Fig. 7), and the floor between halves of a target
fronts.py        Pareto fronts and hypervolumes
genealogy.py     how a structure came to be
embedding.py     several sets in one t-SNE plane (SI 2)
environments.py  the descriptors of archives and of structure files
figures.py       matplotlib's look, files and CSV
"""

from __future__ import annotations

from .components import Components, principal_components, project
from .convergence import bands, best_against_evaluations, evaluations_to_reach
from .coverage import Coverage, coverage, coverage_growth, coverage_of_samples, hull_volume
from .distances import MomentDistances, halves_floor, moment_distances
from .embedding import common_embedding
from .fronts import hypervolume, hypervolume_over_generations, pareto_front, reference_point
from .genealogy import Ancestor, ancestry, origins
from .histograms import Histograms, histograms, ks_distances, wasserstein_distances
from .merging import merge_archives

__all__ = [
    "Ancestor",
    "Components",
    "Coverage",
    "Histograms",
    "MomentDistances",
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
    "origins",
    "pareto_front",
    "principal_components",
    "project",
    "reference_point",
    "wasserstein_distances",
]
