"""status.json: what programs and `grs-evo status` read of a run."""

from __future__ import annotations

_ISLAND_FACTS = ("evaluations", "gradient_evaluations", "incremental", "accepted_migrants", "accepted_seeds")
