"""Evolutionary search for generalized representative structures (GRS)."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

# public name -> the room it lives in; imported when first asked for, since some rooms take a second
_PUBLIC = {
    "Archive": "storage",
    "Basis": "basis",
    "BasisOptions": "basis",
    "CandidateOptions": "candidates",
    "CoreOptions": "plan",
    "Evaluation": "loss",
    "GRSCalculator": "potential",
    "InputError": "errors",
    "LossOptions": "plan",
    "Objective": "loss",
    "RelaxOptions": "relax",
    "Relaxed": "relax",
    "StorageError": "errors",
    "Structure": "structure",
    "Target": "target",
    "build_basis": "basis",
    "describe": "descriptors",
    "export": "export",
    "make_objective": "loss",
    "pullback": "descriptors",
    "read_archive": "storage",
    "read_structures": "readers",
    "read_target": "ground",
    "read_yace": "yace",
    "relax": "relax",
    "resume": "run",
    "run": "run",
    "write_target": "ground",
    "write_yace": "yace",
}

__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_PUBLIC[name]}", __name__), name)
    globals()[name] = value
    return value


class _Face(ModuleType):
    """`grs_evo.relax` and `grs_evo.run` are functions, and stay so when the rooms of the same names are imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _PUBLIC and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
