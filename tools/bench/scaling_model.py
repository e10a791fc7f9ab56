"""Measured pieces put together for more ranks and islands than there are here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from grs_evo.parallel.messages import FANOUT


@dataclass(frozen=True)
class Model:
    """A generation and a save as sums of measured pieces; see scaling.md."""

    child: float  # s to make, relax and evaluate one individual
    per_message: float  # s for rank 0 to take one message of statistics
    per_row: float  # s of statistics and decision per island
    per_answer: float  # s for rank 0 to send the decision to one rank
    fanout: int  # ranks that rank 0 hears from, the others through these
    per_byte: float  # s of a rank per byte of its shard
    name: float  # s of rank 0 to name the shards and write the archive file, of 1,024 islands on 16 ranks
    per_history: float  # s of rank 0 for the history of one island in the archive file
    told: float  # bytes that rank 0 is told of a shard, without history
    state: float  # bytes of a state without history and keys of what was evaluated
    row: float  # bytes of history per generation
    most_rows: float
    most_keys: float
    copies: float  # bytes that a rank needs to write its shard, per byte of it
    rest: float  # bytes that rank 0 needs besides, of 1,024 islands on 16 ranks

    def state_bytes(self, population: int, generations: int) -> float:
        rows, keys = min(generations, self.most_rows), min(generations * population, self.most_keys)
        return self.state * population / 50 + self.row * rows + 8.0 * keys

    def predict(self, ranks: int, islands: int, population: int = 50, generations: int = 1000) -> dict[str, float]:
        """What a run would take, its islands on the ranks that have least to do.

        Rank 0 does its own share of islands besides the work for all, so everybody waits for it; nobody else's
        messages take part, since a rank hears from a few others however many there are. All ranks write at once.
        """
        advance = islands / ranks * population * self.child
        speak = min(ranks, self.fanout + 1) * self.per_message + islands * self.per_row + ranks * self.per_answer
        state = self.state_bytes(population, generations)
        shard = islands / ranks * state
        naming = self.name + islands * self.per_history
        return {
            "ranks": ranks,
            "islands": islands,
            "s/generation": advance + speak,
            "rank 0 for all, s": speak,
            "share": speak / (advance + speak),
            "one save s": shard * self.per_byte + naming,
            "checkpoint GB": islands * state / 1e9,
            "rank 0 GB to save": (self.copies * shard + self.rest + min(ranks, self.fanout + 1) * self.told) / 1e9,
            "min between saves at 2 %": (shard * self.per_byte + naming) / 0.02 / 60.0,
            "resume, s": 2.0 * islands * state * self.per_byte,  # rank 0 reads each shard twice
        }


def part_model(costs: dict[str, Any], share: dict[str, Any]) -> dict[str, Any]:
    """The pieces fitted, and put together for machines that are not here."""
    table, post, state, shards = costs["decisions"], costs["post"], costs["state"], costs["shards"][0]
    decided = _fit(
        [[min(row["ranks"], FANOUT + 1), row["islands"]] for row in table],
        [row["stats and decision s"] for row in table],
    )
    model = Model(
        child=1e-3 * share["rows"][0]["ms/child"],
        per_message=decided[0],
        per_row=decided[1],
        per_answer=post[0]["one way s"],
        fanout=FANOUT,
        per_byte=shards["shard cpu s"] / shards["shard bytes"],
        name=shards["rank 0 then cpu s"],
        per_history=shards["history s/island"],
        told=shards["told bytes without history"],
        state=state["bytes without history and keys"],
        row=state["history bytes/generation"],
        most_rows=state["most history rows"],
        most_keys=state["most keys"],
        copies=1e6 * (shards["after the shard, MB"] - shards["memory before, MB"]) / shards["shard bytes"],
        rest=6.0 * shards["archive bytes"],
    )
    sizes = ((2, 256), (16, 1024), (128, 1024), (1024, 1024), (1024, 10_000), (1024, 100_000), (4096, 100_000))
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
        "islands, 25 per rank, a save each 30 min <= 2 %": largest(
            lambda n: model.predict(n // 25 + 1, n)["min between saves at 2 %"] <= 30.0
        ),
        "islands, 25 per rank, rank 0 <= 4 GB to save": largest(
            lambda n: model.predict(n // 25 + 1, n)["rank 0 GB to save"] <= 4.0
        ),
        "islands, a resume <= 10 min": largest(lambda n: model.predict(n, n)["resume, s"] <= 600.0),
    }
