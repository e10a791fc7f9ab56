"""What the best structure so far is told beside: the target's floor, and the frames that the search does not see."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from grs_evo.analysis.floor import floor_of
from grs_evo.analysis.kept_out import kept_out_of
from grs_evo.driver.chosen.frames import seeks_one_cell
from grs_evo.driver.config.run_file import RunFile
from grs_evo.loss.objective import Objective
from grs_evo.loss.quality import structure_loss
from grs_evo.search.population.individual import Individual, order_key
from grs_evo.targets.target import Target

# Times what a look takes that goes by until the next one.
_PAUSE = 50.0


class Beside:
    """Looks at the best structure whenever the archive is put together; rank 0 alone has one.

    Parameters
    ----------
    kept_out : frames that the search does not see
    say : tells a line
    """

    def __init__(self, run: RunFile, objective: Objective, kept_out: Target | None, say: Callable[[str], None]) -> None:
        self._objective = objective
        self._seeks = seeks_one_cell(run) and "structure" in objective.term_names
        self._kept_out = kept_out_of(objective, kept_out) if self._seeks else None
        self._say = say
        self._uid: object = None  # of the structure that was looked at last
        self._due = 0.0  # on the monotonic clock
        self.told: dict[str, Any] = {"floor": None, "kept_out": None}  # in status.json while the run lasts

    def begin(self) -> None:
        """The floor, before the first structure."""
        found = floor_of(self._objective) if self._seeks else None
        self.told["floor"] = None if found is None else found.loss

    def look(self, archive: Sequence[Individual]) -> None:
        """Another archive, of which the best may be new."""
        now = time.monotonic()
        if self._kept_out is None or not archive or now < self._due:
            return
        best = min(archive, key=order_key)
        if best.uid == self._uid:
            return
        seen = structure_loss(best.terms, self._objective.term_names)
        self.told["kept_out"] = found = self._kept_out.found(best.structure, seen)
        self._uid = best.uid
        self._say(found["line"])
        self._due = now + _PAUSE * (time.monotonic() - now)
