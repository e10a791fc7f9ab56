"""Evolutionary search for generalized representative structures (GRS)."""

from __future__ import annotations

from grs_evo.lazy import public_names

__version__ = "0.1.0"

# public name -> the module it lives in; imported when first asked for, since some take a second
_PUBLIC = {
    "Archive": "storage.archive_file",
    "Basis": "descriptors.basis",
    "BasisOptions": "descriptors.options",
    "CandidateOptions": "search.candidates.source",
    "CoreOptions": "loss.options",
    "Evaluation": "loss.objective",
    "GRSCalculator": "potential.ase",
    "InputError": "errors",
    "LossOptions": "loss.options",
    "Objective": "loss.objective",
    "RelaxOptions": "potential.relaxation",
    "Relaxed": "potential.relaxation",
    "StorageError": "errors",
    "Structure": "structures.structure",
    "Target": "targets.target",
    "build_basis": "descriptors.basis",
    "describe": "descriptors.describe",
    "export": "exporters.export",
    "label": "datasets.labelling.join",
    "make_objective": "loss.objective",
    "pullback": "descriptors.describe",
    "read_archive": "storage.archive_file",
    "read_structures": "structures.reading",
    "read_target": "storage.target_file",
    "read_yace": "descriptors.yace.file",
    "refit": "datasets.refit",
    "relax": "potential.relaxation",
    "resume": "driver.session",
    "run": "driver.session",
    "select": "datasets.select",
    "write_target": "storage.target_file",
    "write_yace": "descriptors.yace.file",
}

__all__ = ["__version__", *sorted(_PUBLIC)]

__getattr__, __dir__ = public_names(__name__, _PUBLIC)
