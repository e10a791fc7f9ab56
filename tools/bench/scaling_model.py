"""Measured pieces put together for more ranks and islands than there are here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Model:
    """A generation and a save as sums of measured pieces; see scaling.md."""

    child: float  # s to make, relax and evaluate one individual
    per_message: float  # s for rank 0 to take one message of statistics and answer it
    per_row: float  # s of statistics and decision per island
    save: float  # s of a save per island
    per_byte: float  # s of a save per byte
    state: float  # bytes of a state without history and keys of what was evaluated
    row: float  # bytes of history per generation
    most_rows: float
    most_keys: float
    copies: float  # bytes that rank 0 needs to save, per byte of the file
    latency: float  # s per message
    bandwidth: float  # bytes/s

    def state_bytes(self, population: int, generations: int) -> float:
        rows, keys = min(generations, self.most_rows), min(generations * population, self.most_keys)
        return self.state * population / 50 + self.row * rows + 8.0 * keys

    def predict(self, ranks: int, islands: int, population: int = 50, generations: int = 1000) -> dict[str, float]:
        """What a run would take.

        Rank 0 does its own share of islands besides the work for all, so everybody waits for it; nobody else's
        messages take part, since a rank hears from a few others however many there are.
        """
        advance = -(-islands // ranks) * population * self.child
        speak = ranks * self.per_message + islands * self.per_row
        state = self.state_bytes(population, generations)
        gather = islands * (state / self.bandwidth + self.latency)
        saving = islands * (self.save + state * self.per_byte) + gather
        return {
            "ranks": ranks,
            "islands": islands,
            "s/generation": advance + speak,
            "rank 0 for all, s": speak,
            "share": speak / (advance + speak),
            "one save s": saving,
            "checkpoint GB": islands * state / 1e9,
            "rank 0 GB to save": self.copies * islands * state / 1e9,
            "min between saves at 2 %": saving / 0.02 / 60.0,
        }


def part_model(costs: dict[str, Any], share: dict[str, Any]) -> dict[str, Any]:
    """The pieces fitted, and put together for machines that are not here."""
    table, saves, post, state = costs["decisions"], costs["saves"], costs["post"], costs["state"]
    decided = _fit([[row["ranks"], row["islands"]] for row in table], [row["stats and decision s"] for row in table])
    saved = _fit([[1.0, row["islands"], row["checkpoint bytes"]] for row in saves], [row["save s"] for row in saves])
    full = saves[-1]
    model = Model(
        child=1e-3 * share["rows"][0]["ms/child"],
        per_message=decided[0] + 2 * post[0]["one way s"],
        per_row=decided[1],
        save=saved[1],
        per_byte=saved[2],
        state=state["bytes without history and keys"],
        row=state["history bytes/generation"],
        most_rows=state["most history rows"],
        most_keys=state["most keys"],
        copies=1.0 + full["more memory, bytes"] / full["checkpoint bytes"],
        latency=post[0]["one way s"],
        bandwidth=post[-1]["bytes"] / post[-1]["one way s"],
    )
    sizes = ((1, 2), (2, 256), (16, 1024), (128, 1024), (1024, 1024), (1024, 10_000), (1024, 100_000))
    found: dict[str, Any] = {"rows": [model.predict(*size) for size in sizes], "fitted": model.__dict__}
    fast = replace(model, child=1e-3 * share["rows"][-1]["ms/child"])
    found["lattice"] = [fast.predict(*size) for size in sizes]
    found["first to break"] = [_limits(name, one) for name, one in (("liquid", model), ("lattice", fast))]
    return found


def _fit(pieces: list[list[float]], seconds: list[float]) -> list[float]:
    """Non-negative coefficients of the pieces; relative errors count alike."""
    from scipy.optimize import nnls

    weights = 1.0 / np.array(seconds)
    found, _ = nnls(np.array(pieces, float) * weights[:, None], np.ones(len(seconds)))
    return [float(one) for one in found]


def _limits(name: str, model: Model) -> dict[str, Any]:
    """The largest powers of two at which each part still holds."""
    powers = [2**k for k in range(1, 24)]

    def largest(holds: Callable[[int], bool]) -> int:
        return max((n for n in powers if holds(n)), default=0)

    return {
        "case": name,
        "ranks, one island each, rank 0 <= 5 %": largest(lambda n: model.predict(n, n)["share"] <= 0.05),
        "ranks, 100 islands each, rank 0 <= 5 %": largest(lambda n: model.predict(n, 100 * n)["share"] <= 0.05),
        "islands, a save each 30 min <= 2 %": largest(
            lambda n: model.predict(n, n)["min between saves at 2 %"] <= 30.0
        ),
        "islands, rank 0 <= 64 GB to save": largest(lambda n: model.predict(n, n)["rank 0 GB to save"] <= 64.0),
    }
