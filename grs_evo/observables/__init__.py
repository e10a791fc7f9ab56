"""What a person checks before trusting a structure: g(r), coordination, contacts, angles, order, density, molecules.

Structures in; numbers with units, their deviation from a target in scatters, and a line of words out. A scatter is
that of as many environments drawn from the target. No loss and no basis has a part in it: this is the other opinion.

| what | module |
|---|---|
| what can be told of a structure, and which observables are there? | `catalogue` |
| does a structure or a set stand for a target, and why not? which curves show it? | `quality` |
| what is a target like, and what is wrong with it? | `reference` |
| how much do as many environments of the target scatter? | `sampling` |
| how does an observable say what it is? | `record` |
| what may be handed over? | `given` |
| how are pairs, environments, shells and vacuum found? | `counting/` |
| g(r), first peak, coordination, contacts, angles, order, anisotropy | `environments/` |
| density, composition, periodicity, space group, molecules | `cells/` |

To add an observable, add a module with an `OBSERVABLE` to `environments` or `cells`, or an entry point of the group
``grs_evo.observables`` to another package; all that lists or judges observables then knows it.
"""

from __future__ import annotations

from grs_evo.observables.catalogue import all_observables, listing, observe
from grs_evo.observables.quality import DIFFERS, SAMPLE, STANDS, Quality, compare, curves, quality_of
from grs_evo.observables.record import Curve, Observable, Row
from grs_evo.observables.reference import Reference, describe_target

__all__ = [
    "DIFFERS",
    "SAMPLE",
    "STANDS",
    "Curve",
    "Observable",
    "Quality",
    "Reference",
    "Row",
    "all_observables",
    "compare",
    "curves",
    "describe_target",
    "listing",
    "observe",
    "quality_of",
]
